//! A query string as pairs: separators, percent-decoding, and the canonical form.

use std::borrow::Cow;

use crate::rest::error::RequestError;

/// A decoded parameter; without `=` it has no value.
pub(super) type Pair<'a> = (Cow<'a, str>, Option<Cow<'a, str>>);

/// Takes a query string apart, at `&` and `;`. A form is written alike.
pub(super) fn pairs(query: &[u8]) -> Result<Vec<Pair<'_>>, NotUtf8> {
    let query = query.strip_prefix(b"?").unwrap_or(query);
    if query.is_empty() {
        return Ok(Vec::new());
    }
    // A separator at the very end begins no parameter.
    let query = query
        .strip_suffix(b"&")
        .or(query.strip_suffix(b";"))
        .unwrap_or(query);
    query
        .split(|byte| matches!(byte, b'&' | b';'))
        .map(|pair| {
            let mut sides = pair.splitn(2, |byte| *byte == b'=');
            let key = text(sides.next().unwrap_or_default())?;
            let value = sides.next().map(text).transpose()?;
            Ok((key, value))
        })
        .collect()
}

/// Bytes that are no text.
#[derive(Debug)]
pub(super) struct NotUtf8;

impl From<NotUtf8> for RequestError {
    fn from(_: NotUtf8) -> Self {
        Self::QueryParam {
            message: "The query string is not valid UTF-8".to_owned(),
            details: "Percent-encode names and values as UTF-8".to_owned(),
        }
    }
}

fn text(encoded: &[u8]) -> Result<Cow<'_, str>, NotUtf8> {
    match decode(encoded, true) {
        Cow::Borrowed(bytes) => match str::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(_) => Err(NotUtf8),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(_) => Err(NotUtf8),
        },
    }
}

/// Decodes `%xx`, and `+` as a blank if `plus` says so. A `%` without two hexadecimal digits stands for itself.
pub(super) fn decode(encoded: &[u8], plus: bool) -> Cow<'_, [u8]> {
    if !encoded
        .iter()
        .any(|byte| *byte == b'%' || (plus && *byte == b'+'))
    {
        return Cow::Borrowed(encoded);
    }
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'+' if plus => decoded.push(b' '),
            b'%' => match behind {
                [high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    decoded.push(hexadecimal(*high) << 4 | hexadecimal(*low));
                    rest = behind;
                }
                _ => decoded.push(byte),
            },
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(decoded)
}

fn hexadecimal(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

/// The parameters sorted by name, encoded anew: what `Content-Location` shows.
///
/// Values of one name are joined by commas. Bytes beyond ASCII are encoded as if each were a character of its own,
/// as PostgREST does; the header is for people and caches, and must be the same from either.
pub(super) fn canonical(pairs: &[Pair<'_>]) -> String {
    let mut sorted: Vec<&Pair<'_>> = pairs.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
    let mut canonical = String::new();
    let mut last: Option<&str> = None;
    for (name, value) in sorted {
        if last == Some(name) {
            canonical.push(',');
        } else {
            if last.is_some() {
                canonical.push('&');
            }
            encode(&mut canonical, name);
            canonical.push('=');
            last = Some(name);
        }
        encode(&mut canonical, value.as_deref().unwrap_or_default());
    }
    canonical
}

fn encode(encoded: &mut String, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~') {
            encoded.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 2]).bytes() {
                encoded.push('%');
                encoded.extend([byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)])));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(query: &str) -> Vec<(String, Option<String>)> {
        pairs(query.as_bytes())
            .unwrap()
            .into_iter()
            .map(|(key, value)| (key.into_owned(), value.map(Cow::into_owned)))
            .collect()
    }

    fn some(key: &str, value: &str) -> (String, Option<String>) {
        (key.to_owned(), Some(value.to_owned()))
    }

    #[test]
    fn parameters_are_separated_and_decoded() {
        assert_eq!(plain(""), []);
        assert_eq!(
            plain("a=1&b=2;c=3"),
            [some("a", "1"), some("b", "2"), some("c", "3")]
        );
        assert_eq!(plain("a=1&"), [some("a", "1")]);
        assert_eq!(plain("a=b=c"), [some("a", "b=c")]);
        assert_eq!(plain("a"), [("a".to_owned(), None)]);
        assert_eq!(plain("a+b=c+d%2Be%20f"), [some("a b", "c d+e f")]);
        assert_eq!(plain("a=%C3%A9%e2%82%ac"), [some("a", "é€")]);
        assert_eq!(plain("a=%00"), [some("a", "\0")]);
    }

    #[test]
    fn a_percent_sign_that_encodes_nothing_stands_for_itself() {
        assert_eq!(
            plain("a=100%&b=%zz&c=%4"),
            [some("a", "100%"), some("b", "%zz"), some("c", "%4")]
        );
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert!(pairs(b"a=%ff").is_err());
        assert!(pairs(b"%c3=1").is_err());
        assert!(pairs(b"a=\xff").is_err());
    }

    #[test]
    fn the_canonical_form_is_sorted_joined_and_encoded() {
        for (query, expected) in [
            ("", ""),
            ("a=1&c=3&b=2&d", "a=1&b=2&c=3&d="),
            ("b=2&a=1&a=0", "a=1,0&b=2"),
            ("select=id,name&id=eq.1", "id=eq.1&select=id%2Cname"),
            ("a=x+y%2Fz~_-.", "a=x%20y%2Fz~_-."),
            ("a=é", "a=%C3%83%C2%A9"),
        ] {
            assert_eq!(canonical(&pairs(query.as_bytes()).unwrap()), expected, "{query}");
        }
    }
}
