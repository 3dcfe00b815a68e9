//! One key, one effect, across replicas: what an idempotency key is, and what it stands for.
//!
//! A function that honours `Idempotency-Key` reads the [`Key`], binds it to the body that it came with, and passes the
//! [`Claim`] to a SQL function that does work and bookkeeping in one transaction; how, and for how long an answer is
//! kept, is in `sql/migrations/0012_idempotency.sql`. A call without a key never comes near any of it.

use postgres_types::Type;
use sha2::{Digest as _, Sha256};

use crate::pg::pool::Param;

/// Length of the longest key.
pub const KEY_MAX_CHARS: usize = 255;

/// A caller's name for one call, unique among the calls to one function for one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

/// A header that holds no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invalid Idempotency-Key: send one value of 1 to {KEY_MAX_CHARS} visible ASCII characters")]
pub struct InvalidKey;

impl Key {
    /// Reads all values that a request has for the header; empty ones count as absent.
    pub fn read<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Self>, InvalidKey> {
        let mut values = values.into_iter().filter(|value| !value.is_empty());
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value).map_err(|_no_ascii| InvalidKey)?;
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && text.len() <= KEY_MAX_CHARS && values.next().is_none() {
            Ok(Some(Self(text.to_owned())))
        } else {
            Err(InvalidKey)
        }
    }

    /// The key as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Binds the key to the bytes of a body. The same JSON in other bytes is another body.
    pub fn claim(self, body: &[u8]) -> Claim {
        Claim {
            key: self.0,
            fingerprint: Sha256::digest(body).to_vec(),
        }
    }
}

/// A key with the fingerprint of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    key: String,
    fingerprint: Vec<u8>,
}

impl Claim {
    /// The key and the fingerprint as parameters of a statement, in this order.
    pub fn params(&self) -> [Param<'_>; 2] {
        [(&self.key, Type::TEXT), (&self.fingerprint, Type::BYTEA)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<String>, InvalidKey> {
        Key::read(values.iter().copied()).map(|key| key.map(|key| key.0))
    }

    #[test]
    fn every_visible_ascii_character_may_stand_in_a_key() {
        let all: Vec<u8> = (b'!'..=b'~').collect();
        assert_eq!(read(&[&all]), Ok(Some(String::from_utf8(all.clone()).unwrap())));
        assert_eq!(read(&[&[b'k'; KEY_MAX_CHARS]]), Ok(Some("k".repeat(255))));
    }

    #[test]
    fn an_empty_value_is_no_key() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b""]), Ok(None));
        assert_eq!(read(&[b"", b"a"]), Ok(Some("a".to_owned())));
    }

    #[test]
    fn long_invisible_and_several_values_are_refused() {
        let cases: [&[&[u8]]; 7] = [
            &[&[b'k'; KEY_MAX_CHARS + 1]],
            &[b"a b"],
            &[b"a\tb"],
            &[b"\x7f"],
            &["schl\u{fc}ssel".as_bytes()],
            &[b"\xff"],
            &[b"a", b"a"],
        ];
        for values in cases {
            assert_eq!(read(values), Err(InvalidKey), "{values:?}");
        }
    }

    #[test]
    fn the_refusal_says_what_to_send() {
        assert_eq!(
            InvalidKey.to_string(),
            "Invalid Idempotency-Key: send one value of 1 to 255 visible ASCII characters"
        );
    }

    #[test]
    fn a_claim_is_about_bytes() {
        let claim = |body: &[u8]| Key("k".to_owned()).claim(body);
        assert_eq!(claim(b"{}"), claim(b"{}"));
        assert_ne!(claim(b"{}"), claim(b"{ }"));
        assert_eq!(claim(b"").fingerprint.len(), 32);
    }
}
