//! Type names of casts (`col::numeric(10,2)`), written anew so that no text of the request reaches the statement.
//!
//! SQL spells some types in several words or by keywords that a quoted name would not find (`int`,
//! `double precision`); those are mapped to what PostgreSQL calls them. Any other name is quoted, after the case
//! folding that an unquoted one would get.

use crate::schema_cache::name::write_ident;

/// SQL spellings and the names in `pg_catalog` that they stand for.
const SQL_NAMES: &[(&str, &str)] = &[
    ("bigint", "int8"),
    ("bit varying", "varbit"),
    ("bit", "bit"),
    ("boolean", "bool"),
    ("char", "bpchar"),
    ("char varying", "varchar"),
    ("character", "bpchar"),
    ("character varying", "varchar"),
    ("dec", "numeric"),
    ("decimal", "numeric"),
    ("double precision", "float8"),
    ("float", "float8"),
    ("int", "int4"),
    ("integer", "int4"),
    ("interval", "interval"),
    ("national character", "bpchar"),
    ("national character varying", "varchar"),
    ("nchar", "bpchar"),
    ("numeric", "numeric"),
    ("real", "float4"),
    ("smallint", "int2"),
    ("time", "time"),
    ("time with time zone", "timetz"),
    ("time without time zone", "time"),
    ("timestamp", "timestamp"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
    ("varchar", "varchar"),
];

/// Appends the type that a cast names. One that cannot be read as a type is quoted whole: PostgreSQL then answers
/// that it does not exist.
pub(super) fn write_type(sql: &mut String, cast: &str) {
    let Some(parts) = Parts::read(cast) else {
        write_ident(sql, cast);
        return;
    };
    match SQL_NAMES.iter().find(|(spelling, _)| *spelling == parts.name) {
        // `char` alone is one character long in SQL; `pg_catalog.bpchar` would be unlimited.
        Some((_, "bpchar")) if parts.modifiers.is_empty() => sql.push_str("pg_catalog.bpchar(1)"),
        Some((_, "bit")) if parts.modifiers.is_empty() => sql.push_str("pg_catalog.bit(1)"),
        Some((_, name)) => {
            sql.push_str("pg_catalog.");
            sql.push_str(name);
        }
        None => {
            for (n, part) in parts.name.split('.').enumerate() {
                if n > 0 {
                    sql.push('.');
                }
                write_ident(sql, part);
            }
        }
    }
    if !parts.modifiers.is_empty() {
        let numbers: Vec<String> = parts.modifiers.iter().map(u32::to_string).collect();
        sql.push('(');
        sql.push_str(&numbers.join(","));
        sql.push(')');
    }
    for _ in 0..parts.dimensions {
        sql.push_str("[]");
    }
}

/// A type's name (lower case, single spaces), its modifiers and its array dimensions.
struct Parts {
    name: String,
    modifiers: Vec<u32>,
    dimensions: usize,
}

impl Parts {
    fn read(cast: &str) -> Option<Self> {
        let mut rest = cast.trim();
        let mut dimensions = 0;
        while let Some(element) = rest.strip_suffix("[]") {
            rest = element.trim_end();
            dimensions += 1;
        }
        let (before, modifiers, after) = match rest.split_once('(') {
            None => (rest, Vec::new(), ""),
            Some((before, behind)) => {
                let (inside, after) = behind.split_once(')')?;
                let modifiers = inside
                    .split(',')
                    .map(|number| number.trim().parse().ok())
                    .collect::<Option<Vec<u32>>>()?;
                (before, modifiers, after)
            }
        };
        // `timestamp(3) with time zone` has its modifier in the middle.
        let words: Vec<String> = before
            .split_whitespace()
            .chain(after.split_whitespace())
            .map(str::to_lowercase)
            .collect();
        let plain = |word: &String| {
            word.chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '$'))
        };
        (!words.is_empty() && words.iter().all(plain)).then(|| Self {
            name: words.join(" "),
            modifiers,
            dimensions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cast: &str) -> String {
        let mut sql = String::new();
        write_type(&mut sql, cast);
        sql
    }

    #[test]
    fn sql_spellings_become_catalog_names() {
        for (cast, sql) in [
            ("int", "pg_catalog.int4"),
            ("INTEGER[]", "pg_catalog.int4[]"),
            ("double  precision", "pg_catalog.float8"),
            ("numeric(10, 2)", "pg_catalog.numeric(10,2)"),
            ("timestamp(3) with time zone", "pg_catalog.timestamptz(3)"),
            ("char", "pg_catalog.bpchar(1)"),
            ("character varying(5)[]", "pg_catalog.varchar(5)[]"),
        ] {
            assert_eq!(written(cast), sql);
        }
    }

    #[test]
    fn other_names_are_folded_and_quoted() {
        for (cast, sql) in [
            ("text", r#""text""#),
            ("Mood", r#""mood""#),
            ("extensions.geometry", r#""extensions"."geometry""#),
            ("int4", r#""int4""#),
            ("json[][]", r#""json"[][]"#),
        ] {
            assert_eq!(written(cast), sql);
        }
    }

    #[test]
    fn what_is_no_type_stays_inside_quotes() {
        for cast in [
            "text); drop table x; --",
            "int(1",
            "int(a)",
            "\"quoted\"",
            "",
            "a b) as x, (select 1",
        ] {
            let sql = written(cast);
            assert!(sql.starts_with('"') && sql.ends_with('"'), "{sql}");
            assert_eq!(sql.matches('"').count() % 2, 0, "{sql}");
        }
    }
}
