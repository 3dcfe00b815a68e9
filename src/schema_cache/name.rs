//! Names of database objects and how they are written into SQL.

use std::fmt;

/// A name with its schema. An empty schema leaves the name to the search path, or marks an alias of our own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct QualifiedName {
    /// The schema, or empty.
    pub schema: String,
    /// The name within it.
    pub name: String,
}

impl QualifiedName {
    /// A name within a schema.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }

    /// A name that needs no schema: an alias of our own.
    pub fn bare(name: impl Into<String>) -> Self {
        Self::new("", name)
    }

    /// Appends the quoted name to a statement.
    pub fn write_to(&self, sql: &mut String) {
        if !self.schema.is_empty() {
            write_ident(sql, &self.schema);
            sql.push('.');
        }
        write_ident(sql, &self.name);
    }
}

/// As people write it: `schema.name`, unquoted.
impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.schema.is_empty() {
            write!(f, "{}.", self.schema)?;
        }
        f.write_str(&self.name)
    }
}

/// Appends an identifier in double quotes, its own quotes doubled. PostgreSQL's names end at a NUL, so ours do.
pub fn write_ident(sql: &mut String, ident: &str) {
    let ident = ident.split('\0').next().unwrap_or_default();
    sql.push('"');
    if ident.contains('"') {
        sql.push_str(&ident.replace('"', "\"\""));
    } else {
        sql.push_str(ident);
    }
    sql.push('"');
}

/// Appends a name as a string constant, where it stands for itself. Like identifiers, for names of the catalog only.
pub fn write_literal(sql: &mut String, name: &str) {
    let name = name.split('\0').next().unwrap_or_default();
    // Without a backslash it means the same whatever standard_conforming_strings says.
    sql.push_str(if name.contains('\\') { "E'" } else { "'" });
    for char in name.chars() {
        if matches!(char, '\'' | '\\') {
            sql.push(char);
        }
        sql.push(char);
    }
    sql.push('\'');
}

/// An identifier in double quotes.
pub fn quoted(ident: &str) -> String {
    let mut sql = String::with_capacity(ident.len() + 2);
    write_ident(&mut sql, ident);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled_and_nothing_follows_a_nul() {
        assert_eq!(quoted("a"), r#""a""#);
        assert_eq!(quoted(r#"a"b"#), r#""a""b""#);
        assert_eq!(quoted(r#"""#), r#""""""#);
        assert_eq!(quoted("a\0b"), r#""a""#);
        assert_eq!(quoted(""), r#""""#);
    }

    #[test]
    fn a_literal_cannot_be_left() {
        let literal = |name| {
            let mut sql = String::new();
            write_literal(&mut sql, name);
            sql
        };
        assert_eq!(literal("a b"), "'a b'");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
        assert_eq!(literal("a\0b"), "'a'");
    }

    #[test]
    fn a_bare_name_has_no_schema() {
        let mut sql = String::new();
        QualifiedName::bare("x y").write_to(&mut sql);
        QualifiedName::new("s", "t").write_to(&mut sql);
        assert_eq!(sql, r#""x y""s"."t""#);
    }
}
