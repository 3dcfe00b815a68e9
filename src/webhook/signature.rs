//! Signatures by Standard Webhooks (<https://www.standardwebhooks.com>, symmetric scheme `v1`). A plain function.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What every secret begins with; the key follows, in base64.
const PREFIX: &str = "whsec_";
/// Takes keys with and without padding.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The `webhook-signature` of a request: one `v1,<base64>` per secret, blanks between. `None` when no secret is usable.
///
/// Signed is `<id>.<timestamp>.<body>`; `timestamp` is in seconds since 1970.
pub fn sign(secrets: &[String], id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let signatures: Vec<_> = secrets
        .iter()
        .filter_map(|secret| {
            let key = KEY.decode(secret.trim().strip_prefix(PREFIX)?).ok()?;
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        })
        .collect();
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference implementations.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn sign_with(secrets: &[&str]) -> Option<String> {
        let secrets: Vec<_> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        sign(&secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, BODY)
    }

    #[test]
    fn the_reference_example_comes_out() {
        assert_eq!(sign_with(&[SECRET]).as_deref(), Some(SIGNED));
    }

    #[test]
    fn two_secrets_make_two_signatures_and_a_broken_one_none() {
        let both = sign_with(&[SECRET, "whsec_c2Vjb25k"]).unwrap();
        let parts: Vec<_> = both.split(' ').collect();
        assert_eq!((parts.len(), parts[0]), (2, SIGNED));
        assert!(parts[1].starts_with("v1,") && parts[1] != SIGNED);
        assert_eq!(sign_with(&["plain", SECRET]).as_deref(), Some(SIGNED));
        assert_eq!(sign_with(&["plain", "whsec_?"]), None);
        assert_eq!(sign_with(&[]), None);
    }
}
