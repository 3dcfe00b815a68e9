//! Where a token holds its role: `jwt-role-claim-key`, in both of its syntaxes.
//!
//! A JSON Path (RFC 9535) such as `$.realm_access.roles[0]`; or the older one of PostgREST's own, which begins with a
//! dot, as in `.realm_access.roles[?(@ ^== "app_")]`. What reads as the first is the first.

use serde_json::Value;
use serde_json_path::JsonPath;

/// A path to the role.
#[derive(Debug, Clone, PartialEq)]
pub struct RolePath {
    text: String,
    steps: Steps,
}

#[derive(Debug, Clone, PartialEq)]
enum Steps {
    Standard(JsonPath),
    Legacy(Vec<Step>),
}

/// A step of the older syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// `.name` or `."any name"`
    Member(String),
    /// `[0]`
    Element(usize),
    /// `[?(@ == "text")]`: the first text that fits; always the last step.
    First(Test, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equals,
    Differs,
    StartsWith,
    EndsWith,
    Contains,
}

impl RolePath {
    /// What a right one looks like.
    pub const ALLOWED: &'static str =
        r#"a JSON Path such as $.role, $.roles[0] or $.roles[?(@ == "author")]"#;

    /// Reads a path in either syntax.
    pub fn parse(text: &str) -> Option<Self> {
        let steps = match JsonPath::parse(text) {
            Ok(path) => Steps::Standard(path),
            Err(_other_syntax) => Steps::Legacy(Legacy(text).path()?),
        };
        Some(Self {
            text: text.to_owned(),
            steps,
        })
    }

    /// Whether it is written in the syntax that PostgREST is giving up.
    pub fn is_legacy(&self) -> bool {
        matches!(self.steps, Steps::Legacy(_))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first value that it leads to: a text as it is, anything else as JSON.
    pub(super) fn role(&self, claims: &Value) -> Option<String> {
        let found = match &self.steps {
            Steps::Standard(path) => path.query(claims).first(),
            Steps::Legacy(steps) => steps.iter().try_fold(claims, |value, step| step.follow(value)),
        };
        found.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }
}

impl Default for RolePath {
    /// `$.role`
    fn default() -> Self {
        let member = Step::Member("role".to_owned());
        Self::parse("$.role").unwrap_or_else(|| Self {
            text: "$.role".to_owned(),
            steps: Steps::Legacy(vec![member]),
        })
    }
}

impl Step {
    fn follow<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Member(name) => value.as_object()?.get(name),
            Self::Element(index) => value.as_array()?.get(*index),
            Self::First(test, wanted) => {
                let fits = |value: &&Value| value.as_str().is_some_and(|value| test.holds(value, wanted));
                value.as_array()?.iter().find(fits)
            }
        }
    }
}

impl Test {
    fn holds(self, value: &str, wanted: &str) -> bool {
        match self {
            Self::Equals => value == wanted,
            Self::Differs => value != wanted,
            Self::StartsWith => value.starts_with(wanted),
            Self::EndsWith => value.ends_with(wanted),
            Self::Contains => value.contains(wanted),
        }
    }
}

/// What is left to read of a path in the older syntax.
struct Legacy<'a>(&'a str);

impl Legacy<'_> {
    fn path(mut self) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        while !self.0.is_empty() {
            let step = self.step()?;
            let is_last = matches!(step, Step::First(..));
            steps.push(step);
            if is_last && !self.0.is_empty() {
                return None;
            }
        }
        (!steps.is_empty()).then_some(steps)
    }

    fn step(&mut self) -> Option<Step> {
        if self.take(".") {
            return self.name().map(Step::Member);
        }
        if self.take("[?(@") {
            self.0 = self.0.trim_start();
            let signs = [
                ("==^", Test::EndsWith),
                ("==", Test::Equals),
                ("!=", Test::Differs),
                ("^==", Test::StartsWith),
                ("*==", Test::Contains),
            ];
            let (_, test) = signs.into_iter().find(|(sign, _)| self.take(sign))?;
            self.0 = self.0.trim_start();
            let wanted = self.quoted()?;
            return self.take(")]").then_some(Step::First(test, wanted));
        }
        if self.take("[") {
            let (digits, rest) = self.0.split_once(']')?;
            self.0 = rest;
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            return plain.then(|| digits.parse().ok()).flatten().map(Step::Element);
        }
        None
    }

    fn name(&mut self) -> Option<String> {
        let plain = |c: char| c.is_alphanumeric() || "_$@".contains(c);
        let end = self.0.find(|c| !plain(c)).unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at(end);
        if name.is_empty() {
            return self.quoted();
        }
        self.0 = rest;
        Some(name.to_owned())
    }

    fn quoted(&mut self) -> Option<String> {
        let (text, rest) = self.0.strip_prefix('"')?.split_once('"')?;
        self.0 = rest;
        Some(text.to_owned())
    }

    fn take(&mut self, sign: &str) -> bool {
        let rest = self.0.strip_prefix(sign);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn role(path: &str, claims: &Value) -> Option<String> {
        RolePath::parse(path)
            .unwrap_or_else(|| panic!("{path}"))
            .role(claims)
    }

    #[test]
    fn a_json_path_leads_to_its_first_value() {
        let claims = json!({
            "role": "a", "number": 7, "nothing": null, "deep": {"roles": ["x", "author"]},
            "https://example.com/role": [{"value": "b"}]
        });
        let cases = [
            ("$.role", Some("a")),
            ("$.number", Some("7")),
            ("$.nothing", Some("null")),
            ("$.absent", None),
            ("$.deep.roles[1]", Some("author")),
            ("$.deep.roles[3]", None),
            ("$.deep.roles", Some(r#"["x","author"]"#)),
            (r#"$["https://example.com/role"][0].value"#, Some("b")),
            (r#"$.deep.roles[?(@ == "author")]"#, Some("author")),
            (r#"$.deep.roles[?(@ != "x")]"#, Some("author")),
            ("$.deep.roles[?search(@, '^au')]", Some("author")),
            ("$.deep.roles[?search(@, '^z')]", None),
        ];
        for (path, expected) in cases {
            assert_eq!(role(path, &claims).as_deref(), expected, "{path}");
            assert!(!RolePath::parse(path).unwrap().is_legacy(), "{path}");
        }
        assert_eq!(RolePath::default().role(&claims).as_deref(), Some("a"));
        assert!(!RolePath::default().is_legacy());
    }

    #[test]
    fn the_older_syntax_is_still_read() {
        let claims = json!({
            "role": "a", "my_$@": {"ünder": "b"}, "a.b": [{"value": "c"}], "empty": "",
            "roles": ["other", "app_author", {"x": 1}]
        });
        let cases = [
            (".role", Some("a")),
            (".my_$@.ünder", Some("b")),
            (r#"."a.b"[0].value"#, Some("c")),
            (".roles[1]", Some("app_author")),
            (".roles[9]", None),
            (".role[0]", None),
            (".absent.more", None),
            (r#".roles[?(@ == "app_author")]"#, Some("app_author")),
            (r#".roles[?(@ != "other")]"#, Some("app_author")),
            (r#".roles[?(@ ^== "app_")]"#, Some("app_author")),
            (r#".roles[?(@ ==^ "author")]"#, Some("app_author")),
            (r#".roles[?(@*=="_")]"#, Some("app_author")),
            (r#".roles[?(@ == "x")]"#, None),
            (r#".role[?(@ == "a")]"#, None),
        ];
        for (path, expected) in cases {
            assert_eq!(role(path, &claims).as_deref(), expected, "{path}");
            assert!(RolePath::parse(path).unwrap().is_legacy(), "{path}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for path in [
            "",
            "role",
            "role.other",
            ".role##",
            ".my_role;;domain",
            "$.my_role;;domain",
            "@@.role.other",
            ".#$$%&$%/",
            "1234",
            ".role[?(@ =)]",
            r#".role[?(@ == "a")].more"#,
            r#".role[?(@ == "a)]"#,
            ".role[x]",
            ".role[]",
            ".role[99999999999999999999999]",
            ".",
            "..a",
        ] {
            assert!(RolePath::parse(path).is_none(), "{path}");
        }
    }
}
