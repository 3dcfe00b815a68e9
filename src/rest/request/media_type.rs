//! Media types of `Accept` and `Content-Type`.

use std::borrow::Cow;

/// A media type that has a meaning here, or any other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// `application/json`
    Json,
    /// `application/geo+json`
    GeoJson,
    /// `text/csv`
    Csv,
    /// `text/plain`
    Text,
    /// `text/xml`
    Xml,
    /// `application/openapi+json`
    OpenApi,
    /// `application/x-www-form-urlencoded`
    Form,
    /// `application/octet-stream`
    OctetStream,
    /// `*/*`
    Any,
    /// `application/vnd.pgrst.array+json;nulls=stripped`
    ArrayStripped,
    /// `application/vnd.pgrst.object+json`
    Object {
        /// `nulls=stripped`
        stripped: bool,
    },
    /// `application/vnd.pgrst.plan`
    Plan {
        /// The media type whose statement is explained.
        target: Box<MediaType>,
        /// How the plan is written.
        format: PlanFormat,
        /// Options of `explain`.
        options: Vec<PlanOption>,
    },
    /// Any other, as sent.
    Other(String),
}

/// How a plan is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanFormat {
    /// `+json`
    Json,
    /// `+text`
    Text,
}

/// Options of `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanOption {
    /// `analyze`
    Analyze,
    /// `verbose`
    Verbose,
    /// `settings`
    Settings,
    /// `buffers`
    Buffers,
    /// `wal`
    Wal,
}

impl MediaType {
    /// Reads a media type, with or without parameters. What has no meaning here is kept as sent.
    pub fn parse(text: &str) -> Self {
        let Some((main, sub, parameters)) = tokens(text) else {
            return Self::Other(text.to_owned());
        };
        let is = |a: &str, b: &str| main.eq_ignore_ascii_case(a) && sub.eq_ignore_ascii_case(b);
        // Of two parameters of one name the last counts.
        let parameter = |name: &str| {
            let named = |(key, _): &&(&str, &str)| key.eq_ignore_ascii_case(name);
            parameters.iter().rev().find(named).map(|(_, value)| *value)
        };
        let stripped = || parameter("nulls") == Some("stripped");
        let plan = |format| Self::Plan {
            target: Box::new(parameter("for").map_or(Self::Json, Self::parse)),
            format,
            options: PlanOption::parse_all(parameter("options").unwrap_or_default()),
        };
        if is("application", "json") {
            Self::Json
        } else if is("*", "*") {
            Self::Any
        } else if is("text", "csv") {
            Self::Csv
        } else if is("application", "vnd.pgrst.object+json") || is("application", "vnd.pgrst.object") {
            Self::Object { stripped: stripped() }
        } else if is("application", "vnd.pgrst.array+json") || is("application", "vnd.pgrst.array") {
            if stripped() {
                Self::ArrayStripped
            } else {
                Self::Json
            }
        } else if is("application", "vnd.pgrst.plan") || is("application", "vnd.pgrst.plan+text") {
            plan(PlanFormat::Text)
        } else if is("application", "vnd.pgrst.plan+json") {
            plan(PlanFormat::Json)
        } else if is("application", "geo+json") {
            Self::GeoJson
        } else if is("text", "plain") {
            Self::Text
        } else if is("text", "xml") {
            Self::Xml
        } else if is("application", "openapi+json") {
            Self::OpenApi
        } else if is("application", "x-www-form-urlencoded") {
            Self::Form
        } else if is("application", "octet-stream") {
            Self::OctetStream
        } else {
            Self::Other(text.to_owned())
        }
    }

    /// Reads `Accept`, best first.
    ///
    /// By quality, then by the number of parameters less that of stars, then in the order given. An `Accept` splits at
    /// every comma, loses its blanks, and each part ends at its `;q=`.
    pub fn parse_accept(header: &str) -> Vec<Self> {
        if header.is_empty() {
            return Vec::new();
        }
        if !header.contains([',', ';', ' ']) {
            return vec![Self::parse(header)];
        }
        let mut ranked: Vec<(f64, isize, Self)> = header
            .split(',')
            .map(|part| {
                let mut part = part.replace(' ', "");
                let mut quality = 1.0;
                if let Some(at) = part.find(";q=") {
                    let parameter = part.split_off(at);
                    let value = parameter.get(3..).unwrap_or_default();
                    quality = number(value.split(';').next().unwrap_or_default()).unwrap_or(1.0);
                }
                let count = |c| isize::try_from(part.matches(c).count()).unwrap_or(isize::MAX);
                (quality, count(';') - count('*'), Self::parse(&part))
            })
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        ranked.into_iter().map(|(_, _, media_type)| media_type).collect()
    }

    /// The media type as text, without charset.
    pub fn mime(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::Json => "application/json",
            Self::GeoJson => "application/geo+json",
            Self::Csv => "text/csv",
            Self::Text => "text/plain",
            Self::Xml => "text/xml",
            Self::OpenApi => "application/openapi+json",
            Self::Form => "application/x-www-form-urlencoded",
            Self::OctetStream => "application/octet-stream",
            Self::Any => "*/*",
            Self::ArrayStripped => "application/vnd.pgrst.array+json;nulls=stripped",
            Self::Object { stripped: true } => "application/vnd.pgrst.object+json;nulls=stripped",
            Self::Object { stripped: false } => "application/vnd.pgrst.object+json",
            Self::Plan {
                target,
                format,
                options,
            } => return Cow::Owned(plan_mime(target, *format, options)),
            Self::Other(text) => text,
        })
    }

    /// The value of a `Content-Type` header: with a charset unless the database chose the type or it is bytes.
    pub fn content_type(&self) -> String {
        let mime = self.mime();
        match self {
            Self::OctetStream | Self::Other(_) => mime.into_owned(),
            _ => format!("{mime}; charset=utf-8"),
        }
    }
}

fn plan_mime(target: &MediaType, format: PlanFormat, options: &[PlanOption]) -> String {
    let format = match format {
        PlanFormat::Json => "json",
        PlanFormat::Text => "text",
    };
    let mut mime = format!("application/vnd.pgrst.plan+{format}; for=\"{}\"", target.mime());
    for (i, option) in options.iter().enumerate() {
        mime.push_str(if i == 0 { "; options=" } else { "|" });
        mime.push_str(option.name());
    }
    mime
}

impl PlanOption {
    const ALL: [Self; 5] = [
        Self::Analyze,
        Self::Verbose,
        Self::Settings,
        Self::Buffers,
        Self::Wal,
    ];

    /// Its name, in requests and in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Analyze => "analyze",
            Self::Verbose => "verbose",
            Self::Settings => "settings",
            Self::Buffers => "buffers",
            Self::Wal => "wal",
        }
    }

    /// Those of `analyze|buffers` that there are, always in one order.
    fn parse_all(text: &str) -> Vec<Self> {
        let named = |option: &Self| text.split('|').any(|name| name == option.name());
        Self::ALL.into_iter().filter(named).collect()
    }
}

/// Parameters of a media type: names and values.
type Parameters<'t> = Vec<(&'t str, &'t str)>;

/// Main type, subtype and parameters. Reading ends where it cannot go on; what follows does not count.
fn tokens(text: &str) -> Option<(&str, &str, Parameters<'_>)> {
    let (main, rest) = split_while(text, |c| c.is_alphanumeric() || matches!(c, '.' | '*'))?;
    let rest = rest.strip_prefix('/')?;
    let (sub, mut rest) = split_while(rest, |c| {
        c.is_alphanumeric() || matches!(c, '.' | '*' | '+' | '-')
    })?;
    let mut parameters = Vec::new();
    while let Some((key, value, behind)) = parameter(rest) {
        parameters.push((key, value));
        rest = behind;
    }
    Some((main, sub, parameters))
}

/// `; key=value`, `;key="value"`, and what follows it.
fn parameter(text: &str) -> Option<(&str, &str, &str)> {
    let rest = text.trim_start().strip_prefix(';')?.trim_start();
    let (key, rest) = split_while(rest, |c| c.is_alphanumeric() || c == '-')?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
    let (value, rest) =
        quoted.or_else(|| split_while(rest, |c| c.is_alphanumeric() || matches!(c, '|' | '-')))?;
    Some((key, value, rest))
}

/// The accepted characters at the beginning, one at least, and what follows them.
fn split_while(text: &str, accepts: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    let rest = text.trim_start_matches(accepts);
    let taken = text.get(..text.len() - rest.len())?;
    (!taken.is_empty()).then_some((taken, rest))
}

/// The number that a quality begins with. It needs a digit before its point.
fn number(text: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut end = digits(text);
    if end == 0 {
        return None;
    }
    let fraction = text.get(end..)?.strip_prefix('.').map_or(0, digits);
    if fraction > 0 {
        end += 1 + fraction;
    }
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(target: MediaType, format: PlanFormat, options: &[PlanOption]) -> MediaType {
        MediaType::Plan {
            target: Box::new(target),
            format,
            options: options.to_vec(),
        }
    }

    #[test]
    fn media_types_are_known_in_any_case_and_with_parameters() {
        for (text, expected) in [
            ("application/json", MediaType::Json),
            ("application/json; charset=utf-8", MediaType::Json),
            ("Application/JSON", MediaType::Json),
            ("application/json garbage", MediaType::Json),
            ("application/geo+json", MediaType::GeoJson),
            ("text/csv; version=1", MediaType::Csv),
            ("text/plain", MediaType::Text),
            ("text/xml", MediaType::Xml),
            ("application/openapi+json", MediaType::OpenApi),
            ("application/x-www-form-urlencoded", MediaType::Form),
            ("application/octet-stream", MediaType::OctetStream),
            ("*/*", MediaType::Any),
            ("application/vnd.pgrst.array+json", MediaType::Json),
            (
                "application/vnd.pgrst.array+json;nulls=stripped",
                MediaType::ArrayStripped,
            ),
            (
                "application/vnd.pgrst.array; NULLS=stripped",
                MediaType::ArrayStripped,
            ),
            (
                "ApplicatIon/vnd.PgRsT.object+json",
                MediaType::Object { stripped: false },
            ),
            (
                "application/vnd.pgrst.object;nulls=stripped",
                MediaType::Object { stripped: true },
            ),
        ] {
            assert_eq!(MediaType::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_has_no_meaning_is_kept_as_sent() {
        for text in [
            "application/vnd.twkb",
            "text/*",
            "x-y/z",
            "application",
            "",
            "/",
            "image/PNG; a=b",
        ] {
            assert_eq!(MediaType::parse(text), MediaType::Other(text.to_owned()));
        }
    }

    #[test]
    fn plans_say_what_they_explain_and_how() {
        for (text, expected) in [
            (
                "application/vnd.pgrst.plan",
                plan(MediaType::Json, PlanFormat::Text, &[]),
            ),
            (
                "application/vnd.pgrst.plan;",
                plan(MediaType::Json, PlanFormat::Text, &[]),
            ),
            (
                "application/vnd.pgrst.plan ; for=\"text/xml\" ; options=analyze",
                plan(MediaType::Xml, PlanFormat::Text, &[PlanOption::Analyze]),
            ),
            (
                "application/vnd.pgrst.plan+json;for=\"text/csv\"",
                plan(MediaType::Csv, PlanFormat::Json, &[]),
            ),
            (
                "application/vnd.pgrst.plan+text; for=\"application/json\"; options=wal|nonsense|buffers",
                plan(
                    MediaType::Json,
                    PlanFormat::Text,
                    &[PlanOption::Buffers, PlanOption::Wal],
                ),
            ),
        ] {
            assert_eq!(MediaType::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn nested_plans_do_not_recurse_without_end() {
        // A quoted value ends at the next quote, so a plan cannot hold a plan with a target of its own.
        let text = "application/vnd.pgrst.plan;for=\"application/vnd.pgrst.plan;for=".repeat(10_000);
        assert_eq!(
            MediaType::parse(&text),
            plan(
                plan(MediaType::Other("application".to_owned()), PlanFormat::Text, &[]),
                PlanFormat::Text,
                &[]
            )
        );
    }

    #[test]
    fn content_types_have_a_charset_unless_they_are_bytes_or_the_databases_own() {
        for (media_type, expected) in [
            (MediaType::Json, "application/json; charset=utf-8"),
            (
                MediaType::Object { stripped: true },
                "application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8",
            ),
            (MediaType::OctetStream, "application/octet-stream"),
            (MediaType::Other("image/png".to_owned()), "image/png"),
            (
                plan(
                    MediaType::Csv,
                    PlanFormat::Json,
                    &[PlanOption::Analyze, PlanOption::Wal],
                ),
                "application/vnd.pgrst.plan+json; for=\"text/csv\"; options=analyze|wal; charset=utf-8",
            ),
        ] {
            assert_eq!(media_type.content_type(), expected);
        }
    }

    #[test]
    fn accept_is_ordered_by_quality_then_specificity() {
        for (header, expected) in [
            ("*/*", &["*/*"][..]),
            ("", &[]),
            ("text/csv, application/json", &["text/csv", "application/json"]),
            (
                "text/csv;q=0.5, application/json",
                &["application/json", "text/csv"],
            ),
            ("*/*, text/csv", &["text/csv", "*/*"]),
            ("text/csv;q=0.8, */*;q=0.9", &["*/*", "text/csv"]),
            (
                "text/csv; q=0.1, text/xml;q=x, text/plain;q=.9",
                &["text/xml", "text/plain", "text/csv"],
            ),
            (
                "application/json, application/vnd.pgrst.object+json;nulls=stripped",
                &[
                    "application/vnd.pgrst.object+json;nulls=stripped",
                    "application/json",
                ],
            ),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
                &[
                    "text/html",
                    "application/xhtml+xml",
                    "image/webp",
                    "application/xml",
                    "*/*",
                ],
            ),
        ] {
            let accepted = MediaType::parse_accept(header);
            let accepted: Vec<_> = accepted.iter().map(MediaType::mime).collect();
            assert_eq!(accepted, expected, "{header}");
        }
    }
}
