//! Calling functions.

use crate::schema_cache::{Parameter, QualifiedName};
use bytes::Bytes;
use std::collections::BTreeSet;

/// A call.
#[derive(Debug, Clone)]
pub struct CallPlan {
    /// The function.
    pub function: QualifiedName,
    /// Its parameters that are passed.
    pub parameters: CallParameters,
    /// What is passed.
    pub arguments: Arguments,
    /// Whether it returns one value that is no row.
    pub scalar: bool,
    /// Whether it returns a set of values that are no rows.
    pub set_of_scalar: bool,
    /// Columns that filters need.
    pub filter_fields: BTreeSet<String>,
    /// Columns that the result needs.
    pub returning: BTreeSet<String>,
}

/// How parameters are passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallParameters {
    /// By name; possibly none.
    Named(Vec<Parameter>),
    /// The one parameter that has no name takes the body whole.
    Positional(Parameter),
}

/// What is passed.
#[derive(Debug, Clone)]
pub enum Arguments {
    /// Texts, from a query string or form.
    Direct(Vec<(String, Argument)>),
    /// A body: JSON for named parameters, anything for a positional one.
    Body(Option<Bytes>),
}

/// One argument from a query string or form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// One value.
    Fixed(String),
    /// The values of a variadic parameter.
    Variadic(Vec<String>),
}
