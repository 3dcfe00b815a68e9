//! PostgreSQL's notions of what a text means, where the original left the reading to it.

use uuid::Uuid;

/// Longest number that is read; PostgreSQL's numeric would take far more digits than any chat id has.
const NUMERIC_MAX_CHARS: usize = 128;
/// Largest power of ten in a number, for the same reason.
const EXPONENT_MAX: i32 = 1_000;

/// A UUID in any form that PostgreSQL's `uuid` input takes: capitals, braces, hyphens after any four digits.
pub fn uuid(text: &str) -> Option<Uuid> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut digits = String::with_capacity(32);
    let mut hyphen_allowed = false;
    for c in inner.chars() {
        if c == '-' && hyphen_allowed {
            hyphen_allowed = false;
        } else if c.is_ascii_hexdigit() {
            digits.push(c);
            hyphen_allowed = digits.len().is_multiple_of(4) && digits.len() < 32;
        } else {
            return None;
        }
    }
    Uuid::try_parse(&digits).ok().filter(|_| digits.len() == 32)
}

/// A number in any form that PostgreSQL's `numeric` input takes in decimal notation; the text without blanks around it.
pub fn numeric(text: &str) -> Option<String> {
    let number = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
    if number.len() > NUMERIC_MAX_CHARS {
        return None;
    }
    let magnitude = number.strip_prefix(['+', '-']).unwrap_or(number);
    if ["nan", "inf", "infinity"].contains(&magnitude.to_ascii_lowercase().as_str()) {
        // Readable, and no chat id. The infinities exist from PostgreSQL 14 on, which is where we begin.
        return Some("NaN".to_owned());
    }
    let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (magnitude, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let readable = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    (readable && exponent.abs() <= EXPONENT_MAX).then(|| number.to_owned())
}
