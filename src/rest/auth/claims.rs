//! The claims of a verified token: which of them may refuse it, and how they read in SQL.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value;
use serde_json::value::RawValue;

use super::RolePath;
use crate::rest::error::JwtError;

/// Tolerated clock difference in seconds.
const SKEW: i64 = 30;

/// A claim that holds a time in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    Absent,
    At(i64),
    NotNumber,
}

/// A token's claims, in so far as they matter here.
#[derive(Debug)]
pub(super) struct Claims {
    /// Which of them may refuse the token.
    pub limits: Limits,
    /// The role that the role path leads to.
    pub role: Option<String>,
    /// Every claim with its value as it was sent.
    members: BTreeMap<String, Box<RawValue>>,
}

/// The claims that may refuse a token.
#[derive(Debug)]
pub(super) struct Limits {
    expires: Time,
    not_before: Time,
    issued: Time,
    /// What the audience is refused with.
    audience: Result<(), &'static str>,
}

impl Claims {
    /// Reads a verified payload. Without an `audience`, every one is right.
    pub fn read(payload: &[u8], audience: Option<&str>, path: &RolePath) -> Result<Self, JwtError> {
        let unreadable = |_reason| JwtError::Claims("Parsing claims failed".to_owned());
        let value: Value = serde_json::from_slice(payload).map_err(unreadable)?;
        // Numbers beyond what a double holds stay as they are in what SQL gets to see.
        let members = serde_json::from_slice(payload).map_err(unreadable)?;
        Ok(Self {
            limits: Limits {
                expires: Time::of(&value["exp"]),
                not_before: Time::of(&value["nbf"]),
                issued: Time::of(&value["iat"]),
                audience: check_audience(&value["aud"], audience),
            },
            role: path.role(&value),
            members,
        })
    }

    /// Settles on a role, `anon_role` where the token names none: the role, and all claims as JSON with that role among
    /// them, in the order of their names.
    pub fn settle(mut self, anon_role: Option<&str>) -> (Limits, Option<(String, String)>) {
        let role = self.role.take().or_else(|| anon_role.map(str::to_owned));
        let bearer = role.map(|role| {
            // Neither can fail: a text is JSON once written so, and the values were read as JSON.
            if let Ok(role) = serde_json::value::to_raw_value(&role) {
                self.members.insert("role".to_owned(), role);
            }
            let json = serde_json::to_string(&self.members).unwrap_or_default();
            (role, json)
        });
        (self.limits, bearer)
    }
}

impl Limits {
    /// Tells whether the token is good now, `now` in seconds since 1970.
    pub fn check(&self, now: i64) -> Result<(), JwtError> {
        let refused = |message: &str| Err(JwtError::Claims(message.to_owned()));
        match self.expires {
            Time::NotNumber => return refused("The JWT 'exp' claim must be a number"),
            Time::At(at) if at < now - SKEW => return refused("JWT expired"),
            Time::At(_) | Time::Absent => {}
        }
        match self.not_before {
            Time::NotNumber => return refused("The JWT 'nbf' claim must be a number"),
            Time::At(at) if at > now + SKEW => return refused("JWT not yet valid"),
            Time::At(_) | Time::Absent => {}
        }
        match self.issued {
            Time::NotNumber => return refused("The JWT 'iat' claim must be a number"),
            Time::At(at) if at > now + SKEW => return refused("JWT issued at future"),
            Time::At(_) | Time::Absent => {}
        }
        self.audience.or_else(refused)
    }
}

impl Time {
    fn of(claim: &Value) -> Self {
        match claim {
            Value::Null => Self::Absent,
            // As PostgREST: what is no whole number of 64 bits counts as 0.
            Value::Number(number) => Self::At(number.as_i64().unwrap_or_else(|| whole(number.as_f64()))),
            _ => Self::NotNumber,
        }
    }
}

fn whole(number: Option<f64>) -> i64 {
    // Both bounds are doubles without loss, and between them the cast is exact.
    let bounds = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
    match number {
        #[expect(clippy::cast_possible_truncation, reason = "within the bounds of an i64")]
        Some(number) if number.fract() == 0.0 && bounds.contains(&number) => number as i64,
        _ => 0,
    }
}

fn check_audience(claim: &Value, wanted: Option<&str>) -> Result<(), &'static str> {
    const NO_AUDIENCE: &str = "The JWT 'aud' claim must be a string or an array of strings";
    let is_right = |audience: &str| wanted.is_none_or(|wanted| wanted == audience);
    let any_right = match claim {
        Value::Null => true,
        Value::String(audience) => is_right(audience),
        Value::Array(_) => {
            let audiences = Vec::<&str>::deserialize(claim).map_err(|_element| NO_AUDIENCE)?;
            audiences.is_empty() || audiences.into_iter().any(is_right)
        }
        _ => return Err(NO_AUDIENCE),
    };
    any_right.then_some(()).ok_or("JWT not in audience")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_700_000_000;

    fn read(payload: &str) -> Result<Claims, JwtError> {
        Claims::read(payload.as_bytes(), Some("us"), &RolePath::default())
    }

    fn check(claims: &Value) -> Result<(), String> {
        match read(&claims.to_string()).unwrap().limits.check(NOW) {
            Err(JwtError::Claims(message)) => Err(message),
            other => other.map_err(|error| error.to_string()),
        }
    }

    #[test]
    fn times_are_checked_with_thirty_seconds_of_skew() {
        let cases = [
            (json!({"exp": NOW - 30}), Ok(())),
            (json!({"exp": NOW - 31}), Err("JWT expired")),
            (
                json!({"exp": "soon"}),
                Err("The JWT 'exp' claim must be a number"),
            ),
            (json!({"exp": null}), Ok(())),
            (json!({"exp": 1e10}), Ok(())),
            (json!({"exp": 1_700_000_000.5}), Err("JWT expired")),
            (json!({"exp": 1e300}), Err("JWT expired")),
            (json!({"exp": u64::MAX}), Err("JWT expired")),
            (json!({"nbf": NOW + 30}), Ok(())),
            (json!({"nbf": NOW + 31}), Err("JWT not yet valid")),
            (json!({"nbf": [1]}), Err("The JWT 'nbf' claim must be a number")),
            (json!({"iat": NOW + 30}), Ok(())),
            (json!({"iat": NOW + 31}), Err("JWT issued at future")),
            (json!({"iat": true}), Err("The JWT 'iat' claim must be a number")),
            (json!({"iat": NOW + 99, "exp": NOW - 99}), Err("JWT expired")),
        ];
        for (claims, expected) in cases {
            assert_eq!(check(&claims), expected.map_err(str::to_owned), "{claims}");
        }
    }

    #[test]
    fn the_audience_is_one_of_those_named_where_any_is() {
        let neither = "The JWT 'aud' claim must be a string or an array of strings";
        let cases = [
            (json!("us"), Ok(())),
            (json!(["them", "us"]), Ok(())),
            (json!([]), Ok(())),
            (json!(null), Ok(())),
            (json!(""), Err("JWT not in audience")),
            (json!("them"), Err("JWT not in audience")),
            (json!(["them"]), Err("JWT not in audience")),
            (json!(["us", 1]), Err(neither)),
            (json!({"us": 1}), Err(neither)),
            (json!(1), Err(neither)),
        ];
        for (audience, expected) in cases {
            assert_eq!(
                check(&json!({ "aud": audience })),
                expected.map_err(str::to_owned),
                "{audience}"
            );
        }
        let any = Claims::read(br#"{"aud":"them"}"#, None, &RolePath::default()).unwrap();
        assert!(any.limits.check(NOW).is_ok());
    }

    #[test]
    fn the_role_is_set_and_everything_else_stays_as_it_was_sent() {
        let claims =
            read(r#"{"sub":"x", "big":123456789012345678901234567890,"role":"a","n":1.50,"a\"":{"b": [ ]}}"#);
        let (_, bearer) = claims.unwrap().settle(Some("anon"));
        let json = r#"{"a\"":{"b": [ ]},"big":123456789012345678901234567890,"n":1.50,"role":"a","sub":"x"}"#;
        assert_eq!(bearer, Some(("a".to_owned(), json.to_owned())));
        let (_, nobody) = read(r#"{"role_":1}"#).unwrap().settle(Some(r#"a"b"#));
        let json = r#"{"role":"a\"b","role_":1}"#;
        assert_eq!(nobody, Some((r#"a"b"#.to_owned(), json.to_owned())));
        assert_eq!(read("{}").unwrap().settle(None).1, None);
    }

    #[test]
    fn what_is_no_object_is_no_set_of_claims() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for payload in [
            "",
            "[]",
            "1",
            "\"x\"",
            "{",
            "{\"a\":\u{1}}",
            &format!("{{\"a\":{deep}}}"),
        ] {
            let error = read(payload).unwrap_err();
            assert_eq!(
                error,
                JwtError::Claims("Parsing claims failed".to_owned()),
                "{payload:.20}"
            );
        }
        assert!(Claims::read(b"{\"a\":\"\xff\"}", None, &RolePath::default()).is_err());
    }
}
