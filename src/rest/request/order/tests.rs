use super::super::parser::parse;
use super::super::testing::details;
use super::*;

fn parsed(text: &str) -> Result<Vec<OrderTerm>, String> {
    parse("order", text, text, terms).map_err(details)
}

fn shown(terms: &[OrderTerm]) -> String {
    let modifiers = |direction: Option<Direction>, nulls: Option<Nulls>| {
        format!(
            "{}{}",
            direction.map_or_else(String::new, |direction| format!(" {direction:?}")),
            nulls.map_or_else(String::new, |nulls| format!(" {nulls:?}"))
        )
    };
    let terms: Vec<String> = terms
        .iter()
        .map(|term| match term {
            OrderTerm::Field {
                field,
                direction,
                nulls,
            } => format!(
                "{}/{}{}",
                field.name,
                field.path.len(),
                modifiers(*direction, *nulls)
            ),
            OrderTerm::Relation {
                relation,
                field,
                direction,
                nulls,
            } => format!(
                "{relation}({}/{}){}",
                field.name,
                field.path.len(),
                modifiers(*direction, *nulls)
            ),
        })
        .collect();
    terms.join(", ")
}

#[test]
fn terms_have_directions_nulls_paths_and_relations() {
    for (text, expected) in [
        ("id", "id/0"),
        ("id,name", "id/0, name/0"),
        (" id.asc , name.desc ", ""),
        ("name.desc.nullsfirst", "name/0 Desc First"),
        ("name.nullslast", "name/0 Last"),
        ("json_col->key.asc.nullslast", "json_col/1 Asc Last"),
        ("json_col->!@#$%^&*_a.asc.nullslast", "json_col/1 Asc Last"),
        ("data->a->>0.desc", "data/2 Desc"),
        (
            "clients(json_col->key).desc.nullsfirst",
            "clients(json_col/1) Desc First",
        ),
        ("name,clients(name),id", "name/0, clients(name/0), id/0"),
        (r#""a.b".desc"#, "a.b/0 Desc"),
    ] {
        if expected.is_empty() {
            assert!(parsed(text).is_err(), "{text}");
        } else {
            assert_eq!(
                parsed(text).as_deref().map(shown).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
    }
}

#[test]
fn a_wrong_order_is_explained() {
    for (text, expected) in [
        (
            "clients(name,id)",
            r#"(1, 8) unexpected '(' expecting letter, digit, "-", "->>", "->", delimiter (.), "," or end of input"#,
        ),
        (
            "id.ac",
            r#"(1, 4) unexpected "c" expecting "asc", "desc", "nullsfirst" or "nullslast""#,
        ),
        (
            "id.descc",
            r#"(1, 8) unexpected 'c' expecting delimiter (.), "," or end of input"#,
        ),
        (
            "id.nulsfist",
            r#"(1, 4) unexpected "n" expecting "asc", "desc", "nullsfirst" or "nullslast""#,
        ),
        (
            "id.nullslasttt",
            r#"(1, 13) unexpected 't' expecting "," or end of input"#,
        ),
        (
            "id.smth34",
            r#"(1, 4) unexpected "s" expecting "asc", "desc", "nullsfirst" or "nullslast""#,
        ),
        (
            "id.asc.nlsfst",
            r#"(1, 8) unexpected "l" expecting "nullsfirst" or "nullslast""#,
        ),
        (
            "id.asc.nullslasttt",
            r#"(1, 17) unexpected 't' expecting "," or end of input"#,
        ),
        (
            "id.asc.smth34",
            r#"(1, 8) unexpected "s" expecting "nullsfirst" or "nullslast""#,
        ),
        (
            "",
            "(1, 1) unexpected end of input expecting field name (* or [a..z0..9_$])",
        ),
    ] {
        assert_eq!(parsed(text), Err(expected.to_owned()), "{text}");
    }
}
