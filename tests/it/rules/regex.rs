//! Regular expressions: JavaScript's meaning, and no way to run away.

use std::time::{Duration, Instant};

use crate::support::TestSql;

impl TestSql {
    /// Whether a pattern matches a text as a condition's does; why not, where it is refused.
    async fn matches(&self, pattern: &str, text: &str) -> Result<bool, String> {
        let query = "select (select r.problem from dropwire.translate_regex($1) r),
                            dropwire.condition_holds(jsonb_build_object('f', $2::text), 'f', 'regex', array[$1])";
        let row = self.owner.query_one(query, &[&pattern, &text]).await.unwrap();
        match row.get::<_, Option<String>>(0) {
            None => Ok(row.get(1)),
            Some(problem) => {
                assert!(
                    !row.get::<_, bool>(1),
                    "a refused pattern matches nothing: {pattern}"
                );
                Err(problem)
            }
        }
    }
}

#[tokio::test]
async fn patterns_mean_what_they_mean_in_javascript() {
    let sql = TestSql::start().await;
    let cases = [
        ("leak", "A LEAK in the hall", true),
        ("^leak", "a leak", false),
        ("leak$", "leak\n", false),
        (r"\bac\b", "the AC is off", true),
        (r"\bac\b", "vacuum", false),
        (r"a\Bc", "ac", true),
        (r"\d{3}", "room 301", true),
        (r"^\D+$", "room 301", false),
        (r"^\D+$", "room", true),
        (r"\d", "٣", false),
        (r"^\w+$", "room_3", true),
        (r"^\w+$", "büro", false),
        (r"\W", "room_3", false),
        (r"a\sb", "a\u{a0}b", true),
        (r"a\sb", "a\u{feff}b", true),
        (r"^\S+$", "a b", false),
        (r"[\d-]+x", "1-x", true),
        (r"^[\w.-]+@[\w-]+\.com$", "john.doe@example.com", true),
        (r"^[^\W_]+$", "room3", true),
        (r"^[^\W_]+$", "room_3", false),
        (r"^[\D]$", "x", true),
        (r"^[\D5]+$", "x5", true),
        (r"^[\D5]+$", "x6", false),
        (r"^[^\D]$", "7", true),
        (r"^[^\D\S]$", "7", false),
        (r"[\b]", "a\u{8}", true),
        ("[[:alpha:]]", "x", false),
        ("[[:alpha:]]", "a]", true),
        ("[.]", "a", false),
        ("[]", "a", false),
        ("^[^]$", "\n", true),
        ("^.$", "\n", false),
        ("a.c", "a\u{2028}c", false),
        ("x{,2}", "x{,2}", true),
        ("x{,2}", "xx", false),
        ("a{2}b", "aab", true),
        ("a{2,}?b", "aaaab", true),
        ("(?:ab)+$", "abab", true),
        ("(?<year>20[0-9]{2})", "in 2025", true),
        ("^(?!.*test)", "a leak", true),
        ("^(?!.*test)", "a TEST", false),
        ("leak(?= in)", "leak in", true),
        ("(?<=no )leak", "no leak", true),
        ("a|", "zzz", true),
        (r"\u00e9\x41", "Éa", true),
        ("É", "é", true),
        (r"\A\m\y\Z", "amyz", true),
        (r"\/\-\.", "/-.", true),
        (r"\cJ", "\n", true),
        ("a*b+?c??", "b", true),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(
            sql.matches(pattern, text).await,
            Ok(expected),
            "{pattern} on {text:?}"
        );
    }
}

#[tokio::test]
async fn patterns_that_could_run_away_or_are_none_match_nothing_and_say_why() {
    let sql = TestSql::start().await;
    let too_long = "a".repeat(1001);
    let cases = [
        (r"(a)\1", "has a backreference"),
        (r"(?<n>a)\k<n>", "has a backreference"),
        ("((a{30}){30}){30}", "repeats too much too often"),
        ("a{99999}", "repeats too often"),
        ("(?=a(?=b))", "has a lookaround inside a lookaround"),
        ("(?i)a", "has a group that starts with (? and something unknown"),
        ("***=a", "begins with a repetition"),
        (r"\0", "names the character U+0000"),
        ("(", "leaves a class or group open"),
        ("[a", "leaves a class or group open"),
        (")", "closes a group that is not open"),
        ("\\", "ends in a backslash"),
        ("a**", "invalid regular expression: quantifier operand invalid"),
        ("[z-a]", "invalid regular expression: invalid character range"),
        (too_long.as_str(), "longer than 1000 characters"),
    ];
    for (pattern, problem) in cases {
        assert_eq!(
            sql.matches(pattern, "aa").await,
            Err(problem.to_owned()),
            "{pattern}"
        );
    }
}

/// What takes a backtracking engine longer than the universe has.
#[tokio::test]
async fn a_match_takes_no_longer_than_the_texts_length_allows() {
    let sql = TestSql::start().await;
    let text = format!("{}!", "a".repeat(3_999));
    for pattern in [
        "^(a+)+$",
        "^(a|aa)+$",
        "^(.*?,){11}P",
        "(a|a?)+b",
        "(?=.*b)a",
        "(.*)(.*)(.*)(.*)(.*)[^!a]$",
    ] {
        let began = Instant::now();
        assert_eq!(sql.matches(pattern, &text).await, Ok(false), "{pattern}");
        // Of a longer text the rest is not looked at.
        assert!(sql.matches(pattern, &"a".repeat(1_000_000)).await.is_ok());
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{pattern} took {:?}",
            began.elapsed()
        );
    }
}
