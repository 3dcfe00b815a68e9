//! Which function a call means: overloads are told apart by the names of the arguments.

use std::sync::Arc;

use super::suggest;
use crate::rest::error::{NoRoutine, PlanError, RoutineSignature};
use crate::rest::request::MediaType;
use crate::schema_cache::{QualifiedName, Routine, SchemaCache};

/// A call as far as it decides which function it means.
pub(super) struct Wanted<'a> {
    /// The function.
    pub(super) name: &'a QualifiedName,
    /// The arguments' names, sorted, each once.
    pub(super) arguments: &'a [&'a str],
    /// For a `POST`, the body's media type: a function with one unnamed parameter may take the body whole.
    pub(super) body: Option<&'a MediaType>,
}

/// Finds the function whose parameters fit, else the one that takes the body whole.
pub(super) fn find(cache: &SchemaCache, wanted: &Wanted<'_>) -> Result<Arc<Routine>, PlanError> {
    let overloads = cache.routines(wanted.name);
    let by_name = |routine: &&Arc<Routine>| wanted.fits(routine);
    let whole = |routine: &&Arc<Routine>| wanted.takes_body(routine);
    match only(overloads.iter().filter(by_name))? {
        Some(routine) => Ok(routine),
        None => only(overloads.iter().filter(whole))?.ok_or_else(|| wanted.missing(cache, overloads)),
    }
}

/// The one there is, if any.
fn only<'a>(mut routines: impl Iterator<Item = &'a Arc<Routine>>) -> Result<Option<Arc<Routine>>, PlanError> {
    let Some(first) = routines.next() else {
        return Ok(None);
    };
    let Some(second) = routines.next() else {
        return Ok(Some(Arc::clone(first)));
    };
    let signatures = [first, second].into_iter().chain(routines);
    Err(PlanError::AmbiguousRoutine(
        signatures
            .map(|routine| RoutineSignature::from(&**routine))
            .collect(),
    ))
}

impl Wanted<'_> {
    /// Whether every required parameter has its argument, and every argument its parameter.
    fn fits(&self, routine: &Routine) -> bool {
        let parameters = &routine.parameters;
        if parameters.is_empty() {
            return self.arguments.is_empty() && !self.has_raw_body();
        }
        let passed = |name: &str| self.arguments.binary_search(&name).is_ok();
        self.arguments.len() <= parameters.len()
            && parameters
                .iter()
                .all(|parameter| !parameter.required || passed(&parameter.name))
            && self
                .arguments
                .iter()
                .all(|argument| parameters.iter().any(|parameter| parameter.name == *argument))
    }

    /// Whether its one parameter has no name and takes what the body is.
    fn takes_body(&self, routine: &Routine) -> bool {
        match (routine.parameters.as_slice(), self.body) {
            ([parameter], Some(body)) if parameter.name.is_empty() => matches!(
                (body, parameter.sql_type.as_str()),
                (MediaType::Json, "json" | "jsonb")
                    | (MediaType::Text, "text")
                    | (MediaType::Xml, "xml")
                    | (MediaType::OctetStream, "bytea")
            ),
            _ => false,
        }
    }

    /// Whether there is a body that no arguments can be taken from.
    fn has_raw_body(&self) -> bool {
        matches!(
            self.body,
            Some(MediaType::Text | MediaType::Xml | MediaType::OctetStream)
        )
    }

    fn missing(&self, cache: &SchemaCache, overloads: &[Arc<Routine>]) -> PlanError {
        let only_unnamed = self.has_raw_body();
        PlanError::NoRoutine(Box::new(NoRoutine {
            schema: self.name.schema.clone(),
            name: self.name.name.clone(),
            arguments: self.arguments.iter().map(|&name| name.to_owned()).collect(),
            unnamed: match self.body {
                Some(MediaType::Json) => Some("json/jsonb"),
                Some(MediaType::Text) => Some("text"),
                Some(MediaType::Xml) => Some("xml"),
                Some(MediaType::OctetStream) => Some("bytea"),
                _ => None,
            },
            only_unnamed,
            suggestion: if only_unnamed {
                None
            } else {
                suggest::routine(cache, self.name, self.arguments, overloads)
            },
        }))
    }
}
