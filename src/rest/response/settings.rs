//! What SQL code asked for by `response.status` and `response.headers`.

use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};

use crate::rest::error::RequestError;

/// Reads a status: its leading digits. Informational statuses cannot end an answer, so they are none.
pub(super) fn status(text: &str) -> Result<StatusCode, RequestError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let status = text.get(..digits).and_then(|digits| digits.parse().ok());
    status
        .and_then(|status: u16| StatusCode::from_u16(status).ok())
        .filter(|status| !status.is_informational())
        .ok_or(RequestError::GucStatus)
}

/// Replaces headers by those of a JSON array of objects with one member each. A name may come several times.
pub(super) fn override_headers(headers: &mut HeaderMap, json: &str) -> Result<(), RequestError> {
    let given: Vec<Header> = serde_json::from_str(json).map_err(|_not_headers| RequestError::GucHeaders)?;
    let mut valid = Vec::with_capacity(given.len());
    for Header(name, value) in given {
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_not_headers| RequestError::GucHeaders)?;
        let value =
            HeaderValue::from_bytes(value.as_bytes()).map_err(|_not_headers| RequestError::GucHeaders)?;
        // These say how the body travels, which the server alone knows.
        if !["content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
            headers.remove(&name);
            valid.push((name, value));
        }
    }
    for (name, value) in valid {
        headers.append(name, value);
    }
    Ok(())
}

/// `{"Name":"value"}`
struct Header(String, String);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Member;
        impl<'de> Visitor<'de> for Member {
            type Value = Header;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object with one member")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let (name, value) = map.next_entry()?.ok_or_else(|| de::Error::custom("no member"))?;
                match map.next_key::<de::IgnoredAny>()? {
                    None => Ok(Header(name, value)),
                    Some(_) => Err(de::Error::custom("more than one member")),
                }
            }
        }
        deserializer.deserialize_map(Member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_its_leading_digits() {
        for (text, expected) in [
            ("418", Some(418)),
            ("204 No Content", Some(204)),
            ("999", Some(999)),
            ("", None),
            ("teapot", None),
            ("-1", None),
            ("100", None),
            ("1000", None),
            ("99999999999", None),
        ] {
            assert_eq!(status(text).ok().map(|s| s.as_u16()), expected, "{text:?}");
        }
    }

    #[test]
    fn headers_replace_ours_and_may_repeat() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("content-length", HeaderValue::from_static("2"));
        let json =
            r#"[{"Content-Length":"7"},{"Content-Type":"text/x"},{"Set-Cookie":"a=1"},{"set-cookie":"b=2"}]"#;
        override_headers(&mut headers, json).unwrap();
        assert_eq!(headers["content-type"], "text/x");
        assert_eq!(headers["content-length"], "2");
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
    }

    #[test]
    fn what_is_no_list_of_headers_is_refused() {
        for json in [
            "",
            "{}",
            r#"{"a":"b"}"#,
            r#"["a"]"#,
            r#"[{"a":1}]"#,
            "[{}]",
            r#"[{"a":"b","c":"d"}]"#,
            r#"[{"a b":"c"}]"#,
            r#"[{"a":"b\r\nc: d"}]"#,
        ] {
            let outcome = override_headers(&mut HeaderMap::new(), json);
            assert_eq!(outcome, Err(RequestError::GucHeaders), "{json}");
        }
    }
}
