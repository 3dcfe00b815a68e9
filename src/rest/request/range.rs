//! Ranges of rows: `limit`, `offset`, `Range: 0-9`.

use crate::rest::error::RequestError;

/// Rows from `offset` on, `limit` of them at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// Rows passed over.
    pub offset: i64,
    /// Rows at most; None is all.
    pub limit: Option<i64>,
}

impl Range {
    /// Every row.
    pub const ALL: Self = Self {
        offset: 0,
        limit: None,
    };

    /// Caps the number of rows.
    #[must_use]
    pub fn restricted(self, max_rows: Option<i64>) -> Self {
        let limit = match (self.limit, max_rows) {
            (Some(limit), Some(max)) => Some(limit.min(max)),
            (limit, max) => limit.or(max),
        };
        Self { limit, ..self }
    }
}

/// An interval of row numbers, both ends in it. Wide enough that no request overflows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interval {
    lower: i128,
    /// None is without end.
    upper: Option<i128>,
}

impl Interval {
    const ALL: Self = Self {
        lower: 0,
        upper: None,
    };

    /// `limit=0`, which is allowed, while every other interval without rows is not.
    const NONE: Self = Self {
        lower: 0,
        upper: Some(-1),
    };

    fn is_empty(self) -> bool {
        self.upper.is_some_and(|upper| upper < self.lower)
    }

    fn is_limit_zero(self) -> bool {
        self.upper == Self::NONE.upper
    }

    /// What both hold. None if either is empty.
    fn intersection(self, other: Self) -> Option<Self> {
        if self.is_empty() || other.is_empty() {
            return None;
        }
        Some(Self {
            lower: self.lower.max(other.lower),
            upper: match (self.upper, other.upper) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        })
    }
}

impl From<Interval> for Range {
    fn from(interval: Interval) -> Self {
        Self {
            offset: clamped(interval.lower),
            limit: interval.upper.map(|upper| clamped(1 + upper - interval.lower)),
        }
    }
}

fn clamped(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

/// `limit` and `offset` of one embed, or of the top level, as they were given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LimitOffset<'a> {
    pub(super) limit: Option<&'a str>,
    pub(super) offset: Option<&'a str>,
}

impl LimitOffset<'_> {
    /// What is no number does not count; but a limit that is none, beside an offset, leaves no rows.
    fn interval(self) -> Interval {
        let limit = self.limit.map(integer);
        let lower = self.offset.and_then(integer).map_or(0, i128::from);
        let upper = match (limit, self.offset) {
            (Some(limit), Some(_)) => Some(lower + limit.map_or(0, i128::from) - 1),
            (Some(Some(limit)), None) => Some(i128::from(limit) - 1),
            (Some(None) | None, _) => None,
        };
        Interval { lower, upper }
    }

    /// The rows of an embed. PostgreSQL judges negative numbers.
    pub(super) fn embed_range(self) -> Range {
        self.interval().into()
    }

    /// The rows of the top level, where the `Range` header counts as well (RFC 9110: on GET alone).
    pub(super) fn top_range(self, method: &str, header: Option<&str>) -> Result<Range, RequestError> {
        let header = match header {
            Some(header) if method == "GET" => header_interval(header),
            _ => Interval::ALL,
        };
        let limit = self.interval();
        let top = if limit.is_limit_zero() {
            Interval::NONE
        } else {
            match header.intersection(limit) {
                Some(top) if !top.is_empty() => top,
                _ if header.is_empty() => return Err(RequestError::RangeLowerGreaterUpper),
                _ => return Err(RequestError::RangeNegativeLimit),
            }
        };
        if method == "PUT" && top != Interval::ALL {
            return Err(RequestError::PutLimit);
        }
        Ok(top.into())
    }
}

/// `0-9`, `10-`. Anything else, units among it, is every row.
fn header_interval(header: &str) -> Interval {
    let Some((lower, upper)) = header.split_once('-') else {
        return Interval::ALL;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if lower.is_empty() || !digits(lower) || !digits(upper) {
        return Interval::ALL;
    }
    Interval {
        lower: integer(lower).map_or(0, i128::from),
        upper: integer(upper).map(i128::from),
    }
}

/// Reads a whole number as Haskell's `read` does: blanks and parentheses around it, `0x10`, `0o17`. Numbers that are
/// too large become the largest.
pub(super) fn integer(text: &str) -> Option<i64> {
    let mut text = text.trim();
    while let Some(inner) = text.strip_prefix('(') {
        text = inner.strip_suffix(')')?.trim();
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits.trim_start()),
        None => (false, text),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (digits.get(2..)?, 16),
        [b'0', b'o' | b'O', ..] => (digits.get(2..)?, 8),
        _ => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let number = i64::from_str_radix(digits, radix).unwrap_or(i64::MAX);
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(method: &str, limit: Option<&str>, offset: Option<&str>, header: Option<&str>) -> String {
        match (LimitOffset { limit, offset }).top_range(method, header) {
            Ok(Range { offset, limit: None }) => format!("{offset}-"),
            Ok(Range {
                offset,
                limit: Some(limit),
            }) => format!("{offset}+{limit}"),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn limit_and_offset_choose_rows() {
        for (limit, offset, expected) in [
            (None, None, "0-"),
            (Some("3"), None, "0+3"),
            (None, Some("2"), "2-"),
            (Some("3"), Some("2"), "2+3"),
            (Some("0"), None, "0+0"),
            (Some("0"), Some("0"), "0+0"),
            (Some("0"), Some("5"), "RangeNegativeLimit"),
            (Some("-1"), None, "RangeNegativeLimit"),
            (None, Some("-4"), "0-"),
            (Some("10"), Some("-4"), "0+6"),
            (Some("3"), Some("-5"), "RangeNegativeLimit"),
            (Some("x"), None, "0-"),
            (Some(""), None, "0-"),
            (None, Some("x"), "0-"),
            (Some("x"), Some("5"), "RangeNegativeLimit"),
            (Some("3"), Some("x"), "0+3"),
            (Some("99999999999999999999"), None, "0+9223372036854775807"),
            (Some("1"), Some("99999999999999999999"), "9223372036854775807+1"),
        ] {
            assert_eq!(top("GET", limit, offset, None), expected, "{limit:?} {offset:?}");
        }
    }

    #[test]
    fn the_range_header_counts_on_get_alone() {
        for (method, limit, header, expected) in [
            ("GET", None, "0-1", "0+2"),
            ("GET", None, "5-", "5-"),
            ("GET", None, "items=0-1", "0-"),
            ("GET", None, "-1", "0-"),
            ("GET", None, "0-1-2", "0-"),
            ("GET", None, "", "0-"),
            ("GET", None, "1-0", "RangeLowerGreaterUpper"),
            ("GET", Some("3"), "0-9", "0+3"),
            ("GET", Some("30"), "10-19", "10+10"),
            ("GET", Some("5"), "10-19", "RangeNegativeLimit"),
            ("GET", Some("0"), "1-0", "0+0"),
            ("HEAD", None, "0-1", "0-"),
            ("DELETE", None, "1-0", "0-"),
        ] {
            assert_eq!(
                top(method, limit, None, Some(header)),
                expected,
                "{method} {limit:?} {header}"
            );
        }
    }

    #[test]
    fn put_takes_neither_limit_nor_offset() {
        for (limit, offset, expected) in [
            (None, None, "0-"),
            (None, Some("0"), "0-"),
            (Some("1"), None, "PutLimit"),
            (Some("0"), None, "PutLimit"),
            (None, Some("1"), "PutLimit"),
            (Some("-1"), None, "RangeNegativeLimit"),
        ] {
            assert_eq!(top("PUT", limit, offset, None), expected, "{limit:?} {offset:?}");
        }
    }

    #[test]
    fn embeds_pass_negative_numbers_on() {
        let range = |limit, offset| LimitOffset { limit, offset }.embed_range();
        assert_eq!(
            range(Some("-1"), None),
            Range {
                offset: 0,
                limit: Some(-1)
            }
        );
        assert_eq!(
            range(None, Some("-1")),
            Range {
                offset: -1,
                limit: None
            }
        );
        assert_eq!(
            range(Some("2"), Some("3")),
            Range {
                offset: 3,
                limit: Some(2)
            }
        );
        assert_eq!(range(None, None), Range::ALL);
    }

    #[test]
    fn numbers_are_read_as_haskell_reads_them() {
        for (text, expected) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("(7)", Some(7)),
            ("((-7))", Some(-7)),
            ("- 7", Some(-7)),
            ("0x1F", Some(31)),
            ("0o17", Some(15)),
            ("007", Some(7)),
            ("+7", None),
            ("7.0", None),
            ("1e2", None),
            ("7 8", None),
            ("(7", None),
            ("0x", None),
            ("", None),
            ("-", None),
            ("--7", None),
            ("-99999999999999999999", Some(-i64::MAX)),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }
}
