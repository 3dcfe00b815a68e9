//! A token's form and signature: its claims come out only when a key has verified them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::keys::{Algorithm, KeySet};
use crate::rest::error::JwtError;

const EMPTY: &str = "Empty JWT is sent in Authorization header";
const MALFORMED: &str = "JWT cryptographic operation failed";
const NO_KEY: &str = "No suitable key or wrong key type";
const NO_ALGORITHM: &str = "Wrong or unsupported encoding algorithm";

/// What of a JOSE header matters. Other members are let be, save for those of encrypted tokens.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    // Checked for their type only.
    #[serde(rename = "typ")]
    _typ: Option<String>,
    #[serde(rename = "cty")]
    _cty: Option<String>,
    enc: Option<serde::de::IgnoredAny>,
}

/// Verifies a token in compact form and answers its payload.
pub(super) fn open(token: &str, keys: &KeySet) -> Result<Vec<u8>, JwtError> {
    if token.is_empty() {
        return Err(refused(EMPTY, None));
    }
    let parts = token.bytes().filter(|byte| *byte == b'.').count() + 1;
    let (Some((message, signature)), 3) = (token.rsplit_once('.'), parts) else {
        return Err(refused(&format!("Expected 3 parts in JWT; got {parts}"), None));
    };
    let (head, payload) = message.split_once('.').unwrap_or_default();
    let malformed = || refused(MALFORMED, None);
    let header: Header =
        serde_json::from_slice(&decode(head).ok_or_else(malformed)?).map_err(|_shape| malformed())?;
    let payload = decode(payload).ok_or_else(malformed)?;
    if header.alg == "none" {
        let details = "JWT is unsecured but expected 'alg' was not 'none'";
        return Err(refused(NO_ALGORITHM, Some(details)));
    }
    let signature = decode(signature).ok_or_else(malformed)?;
    let algorithm = Algorithm::from_name(&header.alg).ok_or_else(malformed)?;
    if header.enc.is_some() {
        return Err(malformed());
    }
    match keys.verify(algorithm, header.kid.as_deref(), message.as_bytes(), &signature) {
        Some(true) => Ok(payload),
        Some(false) => Err(refused(
            NO_KEY,
            Some("None of the keys was able to decode the JWT"),
        )),
        None => Err(refused(
            NO_KEY,
            Some("No suitable key was found to decode the JWT"),
        )),
    }
}

fn refused(message: &str, details: Option<&str>) -> JwtError {
    JwtError::Decode {
        message: message.to_owned(),
        details: details.map(str::to_owned),
    }
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}
