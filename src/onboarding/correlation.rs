//! The id that ties a callback to the request that caused it.

use uuid::Uuid;

/// A UUID in the spelling that it came in, so that it is echoed and sent on as it was.
///
/// Only hexadecimal digits and hyphens: it is Telegram's `start` parameter in `https://t.me/<bot>?start=<id>`, which
/// takes 64 characters of `A-Z a-z 0-9 _ -`. The longest spelling has 36.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrelationId(String);

impl CorrelationId {
    /// A new random one, version 4.
    pub fn generate() -> Self {
        Self::of(Uuid::new_v4())
    }

    /// That id, spelt as usual.
    pub fn of(id: Uuid) -> Self {
        Self(id.to_string())
    }

    /// Takes 32 hexadecimal digits, with hyphens in the usual places or without any.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        (fits && Uuid::try_parse(text).is_ok()).then(|| Self(text.to_owned()))
    }

    /// The spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b";

    #[test]
    fn a_generated_one_is_a_random_uuid_that_fits_telegram() {
        let (one, other) = (CorrelationId::generate(), CorrelationId::generate());
        assert_ne!(one, other);
        assert_eq!(Uuid::try_parse(one.as_str()).unwrap().get_version_num(), 4);
        assert!(one.as_str().len() <= 64);
    }

    #[test]
    fn spellings_that_fit_a_deep_link_are_kept_and_others_refused() {
        let plain: String = ID.split('-').collect();
        for text in [ID, ID.to_uppercase().as_str(), &plain] {
            assert_eq!(CorrelationId::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "",
            "x",
            "--",
            &format!("{{{ID}}}"),
            &format!("urn:uuid:{ID}"),
            &format!(" {ID}"),
            &format!("{ID}0"),
            &ID.replacen('0', "", 1),
        ] {
            assert_eq!(CorrelationId::parse(text), None, "{text}");
        }
    }
}
