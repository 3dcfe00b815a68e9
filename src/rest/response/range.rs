//! `Content-Range` and the status that goes with it.

use std::fmt::Write as _;

use poem::http::StatusCode;

use crate::rest::request::Range;

/// Which rows stand in the body, out of how many: `0-9/200`, `0-9/*` where they were not counted, `*/0` for none.
/// `first` and `last` are counted from 0; an empty page ends before it begins.
pub(super) fn content_range(first: i64, last: i64, total: Option<i64>) -> String {
    let mut value = String::with_capacity(24);
    let written = if first <= last && total != Some(0) {
        write!(value, "{first}-{last}")
    } else {
        value.write_str("*")
    };
    let written = written.and_then(|()| match total {
        Some(total) => write!(value, "/{total}"),
        None => value.write_str("/*"),
    });
    written.expect("a string takes what is written to it");
    value
}

/// The rows of a page, and its status: partial where there are more, unsatisfiable where it begins behind them all.
pub(super) fn of_page(range: Range, rows: i64, total: Option<i64>) -> (StatusCode, String) {
    let last = range.offset.saturating_add(rows) - 1;
    let status = match total {
        Some(total) if range.offset > total => StatusCode::RANGE_NOT_SATISFIABLE,
        Some(total) if rows < total => StatusCode::PARTIAL_CONTENT,
        _ => StatusCode::OK,
    };
    (status, content_range(range.offset, last, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_say_where_they_stand() {
        let page = |offset, rows, total| {
            let (status, range) = of_page(Range { offset, limit: None }, rows, total);
            (status.as_u16(), range)
        };
        for (offset, rows, total, status, range) in [
            (0, 15, None, 200, "0-14/*"),
            (0, 15, Some(15), 200, "0-14/15"),
            (0, 10, Some(200), 206, "0-9/200"),
            (190, 10, Some(200), 206, "190-199/200"),
            (0, 0, None, 200, "*/*"),
            (0, 0, Some(0), 200, "*/0"),
            (0, 0, Some(4), 206, "*/4"),
            (4, 0, Some(4), 206, "*/4"),
            (5, 0, Some(4), 416, "*/4"),
            (5, 0, None, 200, "*/*"),
        ] {
            let expected = (status, range.to_owned());
            assert_eq!(
                page(offset, rows, total),
                expected,
                "{rows} rows from {offset} of {total:?}"
            );
        }
    }
}
