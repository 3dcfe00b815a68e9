//! JavaScript's notions of text and truth, which the original's callers rely on.
//!
//! The original ran on Deno: what counts as blank, as missing, and how a number reads as text are ECMAScript's.

use serde_json::{Map, Value};

/// A body as a function of the original sees it: `None` for what is no JSON and for falsy values, else an object;
/// an array, a number, a string or true is one without fields of ours. Bytes that are no UTF-8 become U+FFFD.
pub fn object(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_str(&String::from_utf8_lossy(body)).ok()? {
        Value::Object(fields) => Some(fields),
        value => (!is_falsy(&value)).then(Map::new),
    }
}

/// `String.prototype.trim`: Unicode white space and line ends, with U+FEFF and without U+0085.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}')
}

/// Whether a value is falsy: null, false, 0, `""`.
pub fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// `String(value)`: numbers as ECMAScript prints them (beyond 2^53 rounded), arrays joined by commas.
pub fn to_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => ryu_js::Buffer::new()
            .format(n.as_f64().unwrap_or(f64::NAN))
            .to_owned(),
        Value::String(s) => s.clone(),
        Value::Array(items) => {
            let text = |item: &Value| {
                if item.is_null() {
                    String::new()
                } else {
                    to_text(item)
                }
            };
            items.iter().map(text).collect::<Vec<_>>().join(",")
        }
        Value::Object(_) => "[object Object]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn trim_removes_what_ecmascript_calls_white_space() {
        assert_eq!(trim("\u{feff}\u{a0}\u{2003}\t x \u{2028}\r\n"), "x");
        assert_eq!(trim("\u{85}x"), "\u{85}x");
    }

    #[test]
    fn numbers_read_as_ecmascript_prints_them() {
        for (value, text) in [
            (json!(1001), "1001"),
            (json!(1001.0), "1001"),
            (json!(-0.0), "0"),
            (json!(0.1), "0.1"),
            (json!(1e21), "1e+21"),
            (json!(9_007_199_254_740_993_u64), "9007199254740992"),
            (json!([1, null, ["a"]]), "1,,a"),
            (json!({}), "[object Object]"),
            (json!(true), "true"),
        ] {
            assert_eq!(to_text(&value), text, "{value}");
        }
    }

    #[test]
    fn zero_in_any_form_is_falsy_and_an_empty_array_is_not() {
        assert!(
            [
                json!(0),
                json!(0.0),
                json!(-0.0),
                json!(""),
                json!(false),
                Value::Null
            ]
            .iter()
            .all(is_falsy)
        );
        assert!(![json!("0"), json!([]), json!({}), json!(1)].iter().any(is_falsy));
    }
}
