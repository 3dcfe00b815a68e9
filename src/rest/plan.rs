//! Request + schema cache -> plan: which relations, joined how, with which columns and types. Pure.
//!
//! A plan holds no SQL text but names out of the schema cache, and request values that [`super::query`] will bind.

mod aggregate;
mod build;
pub mod call;
mod conditions;
mod embed;
mod media;
pub mod mutate;
mod negotiate;
pub mod read;
mod resolve;
mod returning;
mod routine;
mod select_list;
mod sketch;
mod suggest;
#[cfg(test)]
mod tests;
mod tree;

use crate::rest::request::MediaType;
use crate::schema_cache::{QualifiedName, Routine};
use std::sync::Arc;

pub use self::build::build;
pub use self::call::{Argument, Arguments, CallParameters, CallPlan};
pub use self::mutate::MutatePlan;
pub use self::read::{
    EmbedMode, JoinCondition, LogicPlan, OrderPlan, PlannedField, PlannedFilter, ReadNode, ReadPlan,
    RelationSelect, SelectField, Spread, SpreadSelect, ToTsVector,
};

/// The name of the common table expression that holds a write's or call's rows.
pub const SOURCE: &str = "pgrst_source";

/// What will be done.
#[derive(Debug, Clone)]
pub enum Plan {
    /// Read rows.
    Read {
        /// The rows and what is embedded in them.
        read: ReadNode,
        /// Whether only headers are wanted.
        head: bool,
        /// How the rows are written.
        output: Output,
        /// The relation.
        relation: QualifiedName,
    },
    /// Write rows, then read what was written.
    Mutate {
        /// The write.
        mutate: MutatePlan,
        /// What is read of it.
        read: ReadNode,
        /// How the rows are written.
        output: Output,
        /// The relation.
        relation: QualifiedName,
    },
    /// Call a function, then read its result.
    Call {
        /// The call.
        call: CallPlan,
        /// What is read of it.
        read: ReadNode,
        /// The function.
        routine: Arc<Routine>,
        /// Whether only headers are wanted.
        head: bool,
        /// Whether the transaction is read only.
        read_only: bool,
        /// How the result is written.
        output: Output,
    },
    /// Describe a schema as OpenAPI.
    InspectSchema {
        /// The schema.
        schema: String,
        /// Whether only headers are wanted.
        head: bool,
    },
    /// Tell which methods a relation takes.
    RelationInfo(QualifiedName),
    /// Tell which methods a function takes.
    RoutineInfo(Arc<Routine>),
    /// Tell which methods the root takes.
    SchemaInfo,
}

impl Plan {
    /// Whether its transaction forbids writes.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Call { read_only, .. } => *read_only,
            Self::Mutate { .. } => false,
            _ => true,
        }
    }
}

/// How rows become a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// What writes it.
    pub handler: Handler,
    /// The media type of the answer; a [`MediaType::Plan`] asks for the statement's plan instead of its rows.
    pub media_type: MediaType,
}

/// What writes a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handler {
    /// A JSON array, or the value of a function that returns one.
    Json,
    /// The same without members that are null.
    JsonStripped,
    /// One JSON object.
    SingleJson {
        /// Whether members that are null are left out.
        stripped: bool,
    },
    /// CSV with a header line.
    Csv,
    /// A `GeoJSON` feature collection.
    GeoJson,
    /// An aggregate or function of the database.
    Custom {
        /// It.
        function: QualifiedName,
        /// The row type it takes; None for any.
        target: Option<QualifiedName>,
    },
    /// No body.
    None,
}
