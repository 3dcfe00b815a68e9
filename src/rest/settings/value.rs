//! Reading one of PostgREST's settings: where it stands, and what its text means.

use url::Url;

use crate::config::{ConfigError, RestEnv};
use crate::schema_cache::QualifiedName;

/// Where settings stand. The database's win over the environment's.
pub(super) struct Sources<'a> {
    pub env: &'a RestEnv,
    /// Names in lower case without `pgrst.`, and values.
    pub database: &'a [(String, String)],
}

/// A setting that was found.
struct Found<'a> {
    /// As its owner wrote the name.
    name: String,
    value: &'a str,
}

impl Found<'_> {
    fn refused(&self, allowed: impl Into<String>) -> ConfigError {
        ConfigError::new(&self.name, self.value, allowed)
    }
}

impl<'a> Sources<'a> {
    /// The first of `keys` (a name and its older names) that has a value. Empty ones count as absent, and one in the
    /// database hides the environment's.
    fn find(&self, keys: &[&str]) -> Option<Found<'a>> {
        keys.iter()
            .filter_map(|key| self.stored(key))
            .find(|found| !found.value.trim().is_empty())
    }

    fn stored(&self, key: &str) -> Option<Found<'a>> {
        if let Some((_, value)) = self.database.iter().find(|(name, _)| name == key) {
            let name = format!("pgrst.{key}");
            return Some(Found { name, value });
        }
        let value = self.env.get(key)?;
        let name = format!("PGRST_{}", key.to_ascii_uppercase());
        Some(Found { name, value })
    }

    /// A text.
    pub fn text(&self, keys: &[&str]) -> Option<String> {
        self.find(keys).map(|found| found.value.to_owned())
    }

    /// A value that `read` understands; `allowed` describes it.
    pub fn parse<T>(
        &self,
        keys: &[&str],
        allowed: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.find(keys)
            .map(|found| read(found.value.trim()).ok_or_else(|| found.refused(allowed)))
            .transpose()
    }

    /// As [`Sources::parse`], for a value that no error may show.
    pub fn secret<T>(
        &self,
        keys: &[&str],
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        self.find(keys)
            .map(|found| read(found.value).map_err(|allowed| ConfigError::new(&found.name, "***", allowed)))
            .transpose()
    }

    /// A switch.
    pub fn flag(&self, keys: &[&str]) -> Result<Option<bool>, ConfigError> {
        self.parse(keys, "true or false", flag)
    }

    /// A whole number of at least `least`.
    pub fn count<T: TryFrom<i64>>(&self, keys: &[&str], least: i64) -> Result<Option<T>, ConfigError> {
        let allowed = format!("a whole number from {least}");
        self.parse(keys, &allowed, |value| {
            value
                .parse::<i64>()
                .ok()
                .filter(|count| *count >= least)?
                .try_into()
                .ok()
        })
    }

    /// A TCP port.
    pub fn port(&self, key: &str) -> Result<Option<u16>, ConfigError> {
        self.parse(&[key], "a port from 0 to 65535", |value| value.parse().ok())
    }

    /// A function's name, with or without its schema.
    pub fn function(&self, keys: &[&str]) -> Option<QualifiedName> {
        self.text(keys).map(|text| match text.split_once('.') {
            Some((schema, name)) => QualifiedName::new(schema, name),
            None => QualifiedName::bare(text),
        })
    }

    /// Names joined by commas. An empty text is no names, where it is given at all.
    pub fn names(&self, key: &str) -> Option<Vec<String>> {
        self.stored(key).map(|found| names(found.value))
    }

    /// Names joined by commas, at least one.
    pub fn some_names(&self, keys: &[&str]) -> Result<Option<Vec<String>>, ConfigError> {
        self.parse(keys, "names joined by commas, such as public, api", |value| {
            let names = names(value);
            (!names.is_empty()).then_some(names)
        })
    }

    /// Fails for what this program does not offer.
    pub fn unsupported(&self, key: &str, instead: &str) -> Result<(), ConfigError> {
        match self.find(&[key]) {
            None => Ok(()),
            Some(found) => Err(found.refused(format!("nothing: it is not supported; {instead}"))),
        }
    }
}

fn names(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Reads `true` and `false` in any case and in quotes, and numbers, of which those above 0 are true.
fn flag(text: &str) -> Option<bool> {
    let letters: String = text
        .chars()
        .filter(char::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    match letters.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => text.parse::<i64>().ok().map(|number| number > 0),
    }
}

/// Tells whether a text is a URI (RFC 3986): a scheme, a colon, and nothing that would have to be escaped.
pub(super) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let mut letters = scheme.bytes();
    let is_scheme = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let mut bytes = rest.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    is_scheme
}

/// Tells whether a text is an absolute http or https URL without a query, a fragment and a user.
pub(super) fn is_proxy_uri(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let scheme = url.scheme();
    matches!(scheme, "http" | "https")
        && text
            .get(scheme.len()..)
            .is_some_and(|rest| rest.starts_with("://"))
        && is_uri(text)
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && url.port() != Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_read_as_postgrest_reads_them() {
        let cases = [
            ("true", Some(true)),
            ("TRUE", Some(true)),
            ("\"True\"", Some(true)),
            ("1", Some(true)),
            ("7", Some(true)),
            ("false", Some(false)),
            ("'FALSE'", Some(false)),
            ("0", Some(false)),
            ("-1", Some(false)),
            ("yes", None),
            ("on", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(flag(text), expected, "{text}");
        }
    }

    #[test]
    fn uris_are_told_from_other_texts() {
        for text in ["http://x", "urn:a:b", "https://x/%20?a=b#c", "a+b-c.d:e", "x:"] {
            assert!(is_uri(text), "{text}");
        }
        for text in [
            "x",
            "http://%%localhorst.invalid",
            "1a:b",
            ":b",
            "a b:c",
            "a:b c",
            "a:%2",
            "a:ü",
        ] {
            assert!(!is_uri(text), "{text}");
        }
        for text in [
            "http://postgrest.com/openapi.json",
            "https://example.com:8443/basePath",
            "https://[::1]/",
        ] {
            assert!(is_proxy_uri(text), "{text}");
        }
        for text in [
            "htp:/@@localhorst.invalid",
            "http:/x",
            "ftp://x",
            "http://x?a=b",
            "http://x#a",
            "http://u@x",
            "http://u:p@x",
            "http://x:0",
            "http://x:70000",
            "http://",
            "/x",
            "",
        ] {
            assert!(!is_proxy_uri(text), "{text}");
        }
    }
}
