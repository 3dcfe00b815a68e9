//! A statement under construction: its text and what is bound to it.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::schema_cache::QualifiedName;
use crate::schema_cache::name::{write_ident, write_literal};

/// SQL with its parameters.
#[derive(Debug, Clone, Default)]
pub struct Statement {
    /// The text, with `$1`, `$2`, … for the parameters.
    pub sql: String,
    /// What is bound to them. PostgreSQL infers each type from its place.
    pub values: Vec<Value>,
}

/// A bound value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// Sent in text form, of whatever type its place has.
    Text(String),
    /// Sent in text form: a body that is not copied.
    Body(Bytes),
    /// Sent in binary form, to a `bytea`.
    Binary(Bytes),
}

impl Statement {
    /// Appends text. For constants of ours only.
    pub fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Appends a quoted identifier.
    pub fn ident(&mut self, ident: &str) -> &mut Self {
        write_ident(&mut self.sql, ident);
        self
    }

    /// Appends a name as a string constant.
    pub fn literal(&mut self, name: &str) -> &mut Self {
        write_literal(&mut self.sql, name);
        self
    }

    /// Appends a quoted name with its schema.
    pub fn name(&mut self, name: &QualifiedName) -> &mut Self {
        name.write_to(&mut self.sql);
        self
    }

    /// Appends a placeholder and binds a value to it.
    pub fn bind(&mut self, value: Value) -> &mut Self {
        self.values.push(value);
        write!(self.sql, "${}", self.values.len()).expect("a string takes what is written to it");
        self
    }

    /// Appends a placeholder and binds a text to it.
    pub fn bind_text(&mut self, value: impl Into<String>) -> &mut Self {
        self.bind(Value::Text(value.into()))
    }
}
