//! The way from a request to its plan, by action. Which mistake is told first is as in PostgREST.

use std::sync::Arc;

use super::resolve::Columns;
use super::routine::{self, Wanted};
use super::tree::{self, Source};
use super::{Handler, MutatePlan, Output, Plan, call, mutate, negotiate, suggest};
use crate::rest::error::{PlanError, RequestError, RestError};
use crate::rest::request::preferences::Representation;
use crate::rest::request::{Action, CallMethod, MediaType, Mutation, Request};
use crate::rest::settings::RestSettings;
use crate::schema_cache::{QualifiedName, Routine, SchemaCache, Table, Volatility};

/// Plans a request.
///
/// Errors: PGRST105 (filters of a PUT), 107 (media types), 108 (embed paths), 118 (orders by embeds), 122 (strict
/// preferences), 123 (aggregates), 127, 128 (max-affected), 200 to 205; SQLSTATE 21000 for a write without a filter
/// where [`RestSettings::refuse_unfiltered_writes`] is set.
pub fn build(request: &Request, cache: &SchemaCache, settings: &RestSettings) -> Result<Plan, RestError> {
    let planner = Planner {
        request,
        cache,
        settings,
    };
    match &request.action {
        Action::Read { relation, head } => planner.read(relation, *head),
        Action::Mutate { relation, mutation } => planner.mutate(relation, *mutation),
        Action::Call { routine, method } => planner.call(routine, *method),
        Action::InspectSchema { head } => planner.inspect_schema(*head),
        Action::RelationInfo(relation) => {
            planner.table(relation)?;
            Ok(Plan::RelationInfo(relation.clone()))
        }
        Action::RoutineInfo(routine) => Ok(Plan::RoutineInfo(planner.described(routine)?)),
        Action::SchemaInfo => Ok(Plan::SchemaInfo),
    }
}

struct Planner<'a> {
    request: &'a Request,
    cache: &'a SchemaCache,
    settings: &'a RestSettings,
}

impl<'a> Planner<'a> {
    fn read(&self, relation: &QualifiedName, head: bool) -> Result<Plan, RestError> {
        let table = self.table(relation)?;
        let mut read = tree::build(
            self.request,
            self.cache,
            self.settings,
            relation,
            Source::Relation,
        )?;
        // What is derived for a view need not be unique in it.
        read.plan.by_key = !table.is_view && read.plan.names_all_of(&table.primary_key);
        let mut output =
            negotiate::negotiate(&self.request.accept, self.cache, self.settings, relation, &read)?;
        self.check_preferences()?;
        if head {
            output.handler = Handler::None;
        }
        Ok(Plan::Read {
            read,
            head,
            output,
            relation: relation.clone(),
        })
    }

    fn mutate(&self, relation: &QualifiedName, mutation: Mutation) -> Result<Plan, RestError> {
        let table = self.table(relation)?;
        let read = tree::build(self.request, self.cache, self.settings, relation, Source::Write)?;
        let mutate = mutate::build(self.request, self.cache, mutation, table, &read)?;
        self.check_preferences()?;
        let mut output =
            negotiate::negotiate(&self.request.accept, self.cache, self.settings, relation, &read)?;
        if self.request.preferences.representation != Some(Representation::Full) {
            output.handler = Handler::None;
        }
        self.check_filtered(&mutate)?;
        Ok(Plan::Mutate {
            mutate,
            read,
            output,
            relation: relation.clone(),
        })
    }

    fn call(&self, name: &QualifiedName, method: CallMethod) -> Result<Plan, RestError> {
        let is_post = method == CallMethod::Post;
        let arguments = self.arguments(is_post);
        let wanted = Wanted {
            name,
            arguments: &arguments,
            body: is_post.then_some(&self.request.content_type),
        };
        let routine = routine::find(self.cache, &wanted)?;
        let relation = result_of(&routine);
        let read = tree::build(self.request, self.cache, self.settings, &relation, Source::Call)?;
        let columns = Columns::of(
            self.cache,
            &relation,
            read.plan.select.len() + read.plan.filters.len(),
        );
        let call = call::build(self.request, &routine, &arguments, &read, &columns);
        let output = self.call_output(&routine, &relation, &read, method)?;
        Ok(Plan::Call {
            call,
            read,
            head: method == CallMethod::Head,
            read_only: !is_post || routine.volatility != Volatility::Volatile,
            routine,
            output,
        })
    }

    fn call_output(
        &self,
        routine: &Routine,
        relation: &QualifiedName,
        read: &super::ReadNode,
        method: CallMethod,
    ) -> Result<Output, RestError> {
        let mut output =
            negotiate::negotiate(&self.request.accept, self.cache, self.settings, relation, read)?;
        self.check_preferences()?;
        let preferences = &self.request.preferences;
        if preferences.is_strict() && preferences.max_affected.is_some() && routine.returns_single() {
            return Err(RequestError::MaxAffectedRpc.into());
        }
        if method == CallMethod::Head {
            output.handler = Handler::None;
        }
        Ok(output)
    }

    /// The function whose methods are asked for. Without arguments any overload will do.
    fn described(&self, name: &QualifiedName) -> Result<Arc<Routine>, RestError> {
        let wanted = Wanted {
            name,
            arguments: &self.arguments(false),
            body: None,
        };
        match (routine::find(self.cache, &wanted), self.cache.routines(name)) {
            (Err(_), [first, ..]) => Ok(Arc::clone(first)),
            (found, _) => Ok(found?),
        }
    }

    fn inspect_schema(&self, head: bool) -> Result<Plan, RestError> {
        let written =
            |wanted: &MediaType| matches!(wanted, MediaType::OpenApi | MediaType::Json | MediaType::Any);
        if !self.request.accept.iter().any(written) {
            return Err(negotiate::unavailable(&self.request.accept).into());
        }
        Ok(Plan::InspectSchema {
            schema: self.request.schema.clone(),
            head,
        })
    }

    fn table(&self, relation: &QualifiedName) -> Result<&'a Table, PlanError> {
        let table = self.cache.table(relation);
        table
            .map(|table| &**table)
            .ok_or_else(|| PlanError::TableNotFound {
                relation: relation.to_string(),
                suggestion: suggest::table(self.cache, relation),
            })
    }

    /// The names of a call's arguments, sorted, each once.
    fn arguments(&self, is_post: bool) -> Vec<&'a str> {
        if is_post {
            return self.request.columns.iter().map(String::as_str).collect();
        }
        let arguments = &self.request.query.arguments;
        let mut names: Vec<&str> = arguments.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn check_preferences(&self) -> Result<(), RequestError> {
        let preferences = &self.request.preferences;
        if preferences.is_strict() && !preferences.invalid.is_empty() {
            return Err(RequestError::InvalidPreferences(preferences.invalid.clone()));
        }
        Ok(())
    }

    fn check_filtered(&self, plan: &MutatePlan) -> Result<(), RestError> {
        if self.settings.refuse_unfiltered_writes {
            mutate::refuse_unfiltered(plan)?;
        }
        Ok(())
    }
}

/// The relation whose rows a function returns, found in the function's own schema; its own name if they are no
/// relation's.
fn result_of(routine: &Routine) -> QualifiedName {
    let name = routine
        .relation()
        .map_or(&routine.name.name, |relation| &relation.name);
    QualifiedName::new(&routine.name.schema, name)
}
