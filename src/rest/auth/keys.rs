//! The keys that tokens are verified with: a secret, a JWK or a JWK set, as `jwt-secret` holds them.
//!
//! A key says which algorithms it is for, never the token: a token's `alg` only chooses among the keys that fit it,
//! so that `none` and a public key used as an HMAC secret lead nowhere.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// Shortest plain secret in bytes.
pub const SECRET_MIN_BYTES: usize = 32;
/// Shortest RSA modulus in bytes: 2048 bits.
const RSA_MIN_BYTES: usize = 256;

/// Why a secret cannot be used. Says nothing of its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A plain secret is too short.
    #[error("it is shorter than {SECRET_MIN_BYTES} characters")]
    TooShort,
    /// A JWK lacks a parameter, or has one that does not fit.
    #[error("its key {number} {reason}")]
    Jwk {
        /// Its place in the set, from 1.
        number: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Signature algorithms of tokens (RFC 7518, section 3.1; RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    Rs384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    Rs512,
    /// RSA, PSS, SHA-256.
    Ps256,
    /// RSA, PSS, SHA-384.
    Ps384,
    /// RSA, PSS, SHA-512.
    Ps512,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// ECDSA on P-521.
    Es512,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The algorithm of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hs256,
            "HS384" => Self::Hs384,
            "HS512" => Self::Hs512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// Verification keys, tried in their order.
pub struct KeySet {
    keys: Vec<Key>,
    /// Of the secret, to tell whether a reload brought another.
    digest: [u8; 32],
    /// How many keys were left out because their type or algorithm is not known here.
    pub unsupported_count: usize,
}

struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, where it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

enum Material {
    Secret(Box<[hmac::Key; 3]>),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// A point of the algorithm's curve, or an Ed25519 key.
    Public(Algorithm, ParsedPublicKey),
}

impl KeySet {
    /// Reads a secret: a JWK set, a JWK, or else a plain HS256 secret of at least [`SECRET_MIN_BYTES`].
    pub fn parse(secret: &[u8]) -> Result<Self, KeyError> {
        if let Ok(object) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(secret) {
            return match object.get("keys") {
                Some(serde_json::Value::Array(keys)) => Self::of(secret, keys),
                _ => Self::of(secret, &[object.into()]),
            };
        }
        if secret.len() < SECRET_MIN_BYTES {
            return Err(KeyError::TooShort);
        }
        Ok(Self::of_secret(secret))
    }

    /// The set of one HS256 secret, whatever its length.
    pub fn of_secret(secret: &[u8]) -> Self {
        let key = Key {
            id: None,
            algorithm: Some(Algorithm::Hs256),
            material: Material::secret(secret),
        };
        Self {
            keys: vec![key],
            digest: Sha256::digest(secret).into(),
            unsupported_count: 0,
        }
    }

    fn of(secret: &[u8], objects: &[serde_json::Value]) -> Result<Self, KeyError> {
        let mut set = Self {
            keys: Vec::new(),
            digest: Sha256::digest(secret).into(),
            unsupported_count: 0,
        };
        for (index, object) in objects.iter().enumerate() {
            let jwk = Jwk::deserialize(object)
                .map_err(|_not_shown| "has a parameter that is no text")
                .and_then(Jwk::into_key);
            match jwk {
                Ok(Some(key)) => set.keys.push(key),
                Ok(None) => set.unsupported_count += 1,
                Err(reason) => {
                    return Err(KeyError::Jwk {
                        number: index + 1,
                        reason,
                    });
                }
            }
        }
        Ok(set)
    }

    /// Adds the keys of another set behind its own.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.keys.extend(other.keys);
        self.digest = Sha256::digest([self.digest, other.digest].concat()).into();
        self.unsupported_count += other.unsupported_count;
        self
    }

    /// Verifies a signature. `None` when no key fits the algorithm and key id, else whether one of those that do
    /// verifies it.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm, id)).peekable();
        fitting.peek()?;
        Some(fitting.any(|key| key.material.verifies(algorithm, message, signature)))
    }
}

/// Made of the same secrets.
impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// Ids and algorithms, no material.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| (&key.id, key.algorithm)))
            .finish()
    }
}

impl Key {
    fn fits(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        (id.is_none() || id == self.id.as_deref())
            && self.algorithm.is_none_or(|own| own == algorithm)
            && self.material.takes(algorithm)
    }
}

impl Material {
    fn secret(secret: &[u8]) -> Self {
        Self::Secret(Box::new(
            [hmac::HMAC_SHA256, hmac::HMAC_SHA384, hmac::HMAC_SHA512]
                .map(|kind| hmac::Key::new(kind, secret)),
        ))
    }

    fn takes(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Secret(_) => hmac_index(algorithm).is_some(),
            Self::Rsa(_) => rsa_parameters(algorithm).is_some(),
            Self::Public(own, _) => *own == algorithm,
        }
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(keys) => {
                // In constant time.
                hmac_index(algorithm).is_some_and(|at| hmac::verify(&keys[at], message, signature).is_ok())
            }
            Self::Rsa(key) => rsa_parameters(algorithm)
                .is_some_and(|parameters| key.verify(parameters, message, signature).is_ok()),
            Self::Public(_, key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

fn hmac_index(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::Hs256 => Some(0),
        Algorithm::Hs384 => Some(1),
        Algorithm::Hs512 => Some(2),
        _ => None,
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

/// A JSON Web Key (RFC 7517), as far as verification needs it.
#[derive(Deserialize)]
struct Jwk {
    kty: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    k: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    /// The key, or None when it is of no use for verifying tokens, or not known here.
    fn into_key(self) -> Result<Option<Key>, &'static str> {
        let algorithm = match &self.alg {
            None => None,
            Some(name) => match Algorithm::from_name(name) {
                Some(algorithm) => Some(algorithm),
                None => return Ok(None),
            },
        };
        if self.usage.as_deref() == Some("enc") {
            return Ok(None);
        }
        let material = match self.kty.as_deref() {
            Some("oct") => Material::secret(&decode(self.k.as_deref()).ok_or("lacks a base64url `k`")?),
            Some("RSA") => self.rsa()?,
            Some("EC") => match self.elliptic()? {
                Some(material) => material,
                None => return Ok(None),
            },
            Some("OKP") if self.crv.as_deref() == Some("Ed25519") => {
                let x = decode(self.x.as_deref()).ok_or("lacks a base64url `x`")?;
                let key = ParsedPublicKey::new(&signature::ED25519, x);
                let key = key.map_err(|_rejected| "has an `x` that is no Ed25519 key")?;
                Material::Public(Algorithm::EdDsa, key)
            }
            _ => return Ok(None),
        };
        Ok(Some(Key {
            id: self.kid,
            algorithm,
            material,
        }))
    }

    fn rsa(&self) -> Result<Material, &'static str> {
        let n = significant(decode(self.n.as_deref()).ok_or("lacks a base64url `n`")?);
        let e = significant(decode(self.e.as_deref()).ok_or("lacks a base64url `e`")?);
        if n.len() < RSA_MIN_BYTES {
            return Err("is an RSA key of fewer than 2048 bits");
        }
        Ok(Material::Rsa(RsaPublicKeyComponents { n, e }))
    }

    /// None for a curve that is not known here.
    fn elliptic(&self) -> Result<Option<Material>, &'static str> {
        let (algorithm, verification, width): (_, &'static signature::EcdsaVerificationAlgorithm, usize) =
            match self.crv.as_deref() {
                Some("P-256") => (Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED, 32),
                Some("P-384") => (Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED, 48),
                Some("P-521") => (Algorithm::Es512, &signature::ECDSA_P521_SHA512_FIXED, 66),
                Some(_) => return Ok(None),
                None => return Err("lacks its curve `crv`"),
            };
        let mut point = vec![4]; // uncompressed (SEC 1, 2.3.3)
        for coordinate in [&self.x, &self.y] {
            let bytes = significant(decode(coordinate.as_deref()).ok_or("lacks a base64url `x` or `y`")?);
            let padding = width
                .checked_sub(bytes.len())
                .ok_or("has a coordinate that is too long")?;
            point.resize(point.len() + padding, 0);
            point.extend(bytes);
        }
        let key =
            ParsedPublicKey::new(verification, point).map_err(|_rejected| "is no point of its curve")?;
        Ok(Some(Material::Public(algorithm, key)))
    }
}

fn decode(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

/// A number's bytes without leading zeros.
fn significant(mut bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    bytes
}
