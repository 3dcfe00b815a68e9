//! `Preference-Applied` (RFC 7240, section 3): which preferences had a meaning for the answer.

use crate::rest::plan::{MutatePlan, Plan};
use crate::rest::request::preferences::{
    Count, Handling, Missing, Preferences, Representation, Resolution, TransactionEnd,
};
use crate::rest::request::{Action, Mutation, Request};

/// The header's value. None where no preference was applied.
pub(super) fn applied(plan: &Plan, request: &Request) -> Option<String> {
    let preferences = &request.preferences;
    if *preferences == Preferences::default() {
        return None;
    }
    let mutation = match &request.action {
        Action::Mutate { mutation, .. } => Some(*mutation),
        _ => None,
    };
    let is_call = matches!(plan, Plan::Call { .. });
    let is_insert = mutation == Some(Mutation::Insert);
    let is_update = mutation == Some(Mutation::Update);
    let is_delete = mutation == Some(Mutation::Delete);

    let mut value = Value::default();
    if is_insert && has_conflict_target(plan, request) {
        value.name(preferences.resolution.map(resolution));
    }
    if is_insert || is_update {
        value.name(preferences.missing.map(missing));
    }
    if mutation.is_some() {
        value.name(preferences.representation.map(representation));
    }
    value.name(preferences.count.map(count));
    value.name(preferences.transaction.map(transaction));
    value.name(preferences.handling.map(handling));
    if let Some(timezone) = &preferences.timezone {
        value.pair("timezone=", timezone);
    }
    if let Some(max) = preferences.max_affected
        && preferences.is_strict()
        && (is_update || is_delete || is_call)
    {
        value.pair("max-affected=", &max.to_string());
    }
    Some(value.0).filter(|value| !value.is_empty())
}

/// Whether there are columns by which rows that exist are told.
fn has_conflict_target(plan: &Plan, request: &Request) -> bool {
    let has_primary_key = match plan {
        Plan::Mutate {
            mutate: MutatePlan::Insert { primary_key, .. },
            ..
        } => !primary_key.is_empty(),
        _ => false,
    };
    has_primary_key || request.query.on_conflict.is_some()
}

/// Preferences, separated by commas.
#[derive(Default)]
struct Value(String);

impl Value {
    fn name(&mut self, preference: Option<&str>) {
        if let Some(preference) = preference {
            self.pair(preference, "");
        }
    }

    fn pair(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        self.0.push_str(name);
        self.0.push_str(value);
    }
}

fn resolution(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::MergeDuplicates => "resolution=merge-duplicates",
        Resolution::IgnoreDuplicates => "resolution=ignore-duplicates",
    }
}

fn missing(missing: Missing) -> &'static str {
    match missing {
        Missing::ApplyDefaults => "missing=default",
        Missing::ApplyNulls => "missing=null",
    }
}

fn representation(representation: Representation) -> &'static str {
    match representation {
        Representation::Full => "return=representation",
        Representation::HeadersOnly => "return=headers-only",
        Representation::Minimal => "return=minimal",
    }
}

fn count(count: Count) -> &'static str {
    match count {
        Count::Exact => "count=exact",
        Count::Planned => "count=planned",
        Count::Estimated => "count=estimated",
    }
}

fn transaction(end: TransactionEnd) -> &'static str {
    match end {
        TransactionEnd::Commit => "tx=commit",
        TransactionEnd::Rollback => "tx=rollback",
    }
}

fn handling(handling: Handling) -> &'static str {
    match handling {
        Handling::Strict => "handling=strict",
        Handling::Lenient => "handling=lenient",
    }
}
