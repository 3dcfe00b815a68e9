//! Names, and paths into columns: what `select`, filters and `order` have in common.

use std::borrow::Cow;

use super::filter::{Field, JsonOperand, JsonStep};
use super::parser::{Parsed, Parser};
use super::query_params::EmbedPath;

/// `name`, `na-me`, `"na.me"`. Blanks around it do not count, but those in it do.
pub(super) fn name<'a>(p: &mut Parser<'a>) -> Parsed<Cow<'a, str>> {
    if let Some(plain) = p.shortcut(plain_name) {
        return Ok(Cow::Borrowed(plain.trim()));
    }
    p.label("field name (* or [a..z0..9_$])", |p| {
        p.either(quoted, |p| dashed(p, identifier))
    })
}

/// A [`name`] to be kept.
pub(super) fn owned_name(p: &mut Parser<'_>) -> Parsed<String> {
    name(p).map(Cow::into_owned)
}

/// The length of a name without quotes and dashes, which most are.
fn plain_name(text: &str) -> Option<usize> {
    let rest = text.trim_start_matches(in_identifier);
    let length = text.len() - rest.len();
    (length > 0 && !rest.starts_with('-')).then_some(length)
}

/// Letters, digits, `_`, `$` and blanks. Letters are Unicode's, so that no language needs quotes.
pub(super) fn identifier<'a>(p: &mut Parser<'a>) -> Parsed<&'a str> {
    Ok(p.take_some(&["letter", "digit"], in_identifier)?.trim())
}

fn in_identifier(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ' ' | '$') || (!c.is_ascii() && c.is_alphabetic())
}

/// Anything in double quotes, with a backslash before those inside and before itself.
pub(super) fn quoted<'a>(p: &mut Parser<'a>) -> Parsed<Cow<'a, str>> {
    p.char('"')?;
    let mut text = Cow::Borrowed("");
    loop {
        let piece = p.take_while(&[], |c| !matches!(c, '"' | '\\'));
        if text.is_empty() {
            text = Cow::Borrowed(piece);
        } else {
            text.to_mut().push_str(piece);
        }
        if p.optional(|p| p.char('\\'))?.is_none() {
            break;
        }
        text.to_mut().push(p.satisfy(|_| true)?);
    }
    p.char('"')?;
    Ok(text)
}

/// Pieces with `-` between them. The `-` of `->` belongs to a path.
fn dashed<'a>(p: &mut Parser<'a>, piece: fn(&mut Parser<'a>) -> Parsed<&'a str>) -> Parsed<Cow<'a, str>> {
    let mut name: Option<Cow<'a, str>> = None;
    p.separated_into(
        piece,
        |p| {
            p.attempt(|p| {
                p.char('-')?;
                p.not_followed_by(Some('>'), |c| c == '>')
            })
        },
        |piece| match &mut name {
            Some(name) => {
                let name = name.to_mut();
                name.push('-');
                name.push_str(piece);
            }
            None => name = Some(Cow::Borrowed(piece)),
        },
    )?;
    Ok(name.unwrap_or_default())
}

/// `->a->>b->0`, possibly nothing.
pub(super) fn json_path(p: &mut Parser<'_>) -> Parsed<Vec<JsonStep>> {
    let mut steps = 0;
    p.many(|p| {
        let step = p.one_of_words(&[
            ("->>", JsonStep::DoubleArrow as fn(JsonOperand) -> JsonStep),
            ("->", JsonStep::Arrow),
        ])?;
        p.check_depth(steps)?;
        steps += 1;
        let operand = p.either(|p| p.attempt(json_index), |p| p.attempt(json_key))?;
        Ok(step(operand))
    })
}

fn json_index(p: &mut Parser<'_>) -> Parsed<JsonOperand> {
    let minus = p.optional(|p| p.char('-'))?.is_some();
    let digits = p.take_some(&["digit"], |c| c.is_ascii_digit())?;
    let next = |word| move |p: &mut Parser<'_>| p.look_ahead(|p| p.word(word));
    p.either(
        |p| p.attempt(next("->")),
        |p| {
            p.either(
                |p| p.attempt(next("::")),
                |p| {
                    p.either(
                        |p| p.attempt(next(".")),
                        |p| p.either(|p| p.attempt(next(",")), |p| p.attempt(Parser::end)),
                    )
                },
            )
        },
    )?;
    Ok(JsonOperand::Index(if minus {
        format!("-{digits}")
    } else {
        digits.to_owned()
    }))
}

fn json_key(p: &mut Parser<'_>) -> Parsed<JsonOperand> {
    let key = p.label("any non reserved character different from: .,>()", |p| {
        p.either(quoted, |p| dashed(p, json_key_piece))
    })?;
    Ok(JsonOperand::Key(key.into_owned()))
}

fn json_key_piece<'a>(p: &mut Parser<'a>) -> Parsed<&'a str> {
    let piece = p.take_some(&[], |c| !matches!(c, '(' | '-' | ':' | '.' | ',' | '>' | ')'))?;
    Ok(piece.trim())
}

/// A column, or a path into one.
pub(super) fn field(p: &mut Parser<'_>) -> Parsed<Field> {
    p.lexeme(|p| {
        Ok(Field {
            name: name(p)?.into_owned(),
            path: json_path(p)?,
        })
    })
}

/// `embed.embed.column->path`: the name of a parameter.
pub(super) fn tree_path(p: &mut Parser<'_>) -> Parsed<(EmbedPath, Field)> {
    let mut embeds = p.separated(owned_name, delimiter)?;
    let path = json_path(p)?;
    let name = embeds.pop().unwrap_or_default();
    Ok((embeds, Field { name, path }))
}

/// `columns` and `on_conflict`.
pub(super) fn names(p: &mut Parser<'_>) -> Parsed<Vec<String>> {
    p.separated(owned_name, |p| p.lexeme(|p| p.char(',')))
}

/// The dot between the parts of a parameter's name and of a filter.
pub(super) fn delimiter(p: &mut Parser<'_>) -> Parsed<()> {
    p.label("delimiter (.)", |p| p.char('.'))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;
    use super::super::testing::details;
    use super::*;

    fn named(text: &str) -> Result<String, String> {
        parse("name", text, text, owned_name).map_err(details)
    }

    fn path(text: &str) -> Result<Vec<JsonStep>, String> {
        parse("path", text, text, json_path).map_err(details)
    }

    #[test]
    fn names_may_hold_blanks_dashes_and_letters_of_any_language() {
        for (text, expected) in [
            ("id", "id"),
            ("two words", "two words"),
            (" around ", "around"),
            ("with-dash", "with-dash"),
            ("a - b", "a-b"),
            ("123", "123"),
            ("_", "_"),
            ("$", "$"),
            ("Größe", "Größe"),
            ("انبار", "انبار"),
            ("未出荷", "未出荷"),
            ("a->b", "a"),
            ("a.b", "a"),
        ] {
            assert_eq!(named(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn quotes_allow_everything_in_a_name() {
        for (text, expected) in [
            (r#"":""#, ":"),
            (r#"" a.b,(c) ""#, " a.b,(c) "),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (r#""""#, ""),
        ] {
            assert_eq!(named(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_wrong_name_is_told_from_a_half_one() {
        for (text, expected) in [
            (
                ":",
                r#"(1, 1) unexpected ":" expecting field name (* or [a..z0..9_$])"#,
            ),
            (
                "",
                "(1, 1) unexpected end of input expecting field name (* or [a..z0..9_$])",
            ),
            (
                r#""open"#,
                r#"(1, 6) unexpected end of input expecting "\\" or "\"""#,
            ),
            (r#""open\"#, "(1, 7) unexpected end of input"),
        ] {
            assert_eq!(named(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn json_paths_have_keys_and_indexes() {
        let key = |key: &str| JsonOperand::Key(key.to_owned());
        let index = |index: &str| JsonOperand::Index(index.to_owned());
        for (text, expected) in [
            ("", vec![]),
            ("->text", vec![JsonStep::Arrow(key("text"))]),
            ("->>text", vec![JsonStep::DoubleArrow(key("text"))]),
            ("->!@#$%^&*_a", vec![JsonStep::Arrow(key("!@#$%^&*_a"))]),
            ("->1", vec![JsonStep::Arrow(index("1"))]),
            ("->>-1", vec![JsonStep::DoubleArrow(index("-1"))]),
            ("->0,other", vec![JsonStep::Arrow(index("0"))]),
            ("->0.desc", vec![JsonStep::Arrow(index("0"))]),
            ("->0)", vec![JsonStep::Arrow(key("0"))]),
            (
                "->a->0->>b-c",
                vec![
                    JsonStep::Arrow(key("a")),
                    JsonStep::Arrow(index("0")),
                    JsonStep::DoubleArrow(key("b-c")),
                ],
            ),
            (r#"->"a.b""#, vec![JsonStep::Arrow(key("a.b"))]),
        ] {
            assert_eq!(path(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_bad_index_is_explained() {
        for (text, expected) in [
            (
                "->>-78xy",
                r#"(1, 7) unexpected 'x' expecting digit, "->", "::", ".", "," or end of input"#,
            ),
            ("->>--34", r#"(1, 5) unexpected "-" expecting digit"#),
            ("->>-xy-4", r#"(1, 5) unexpected "x" expecting digit"#),
        ] {
            assert_eq!(path(text), Err(expected.to_owned()), "{text}");
        }
    }
}
