//! Result set -> status, headers, body.
//!
//! What is answered follows from the kind of plan and what was preferred. SQL code has the last word: the settings
//! `response.status` and `response.headers` replace what stands here.

mod preferences;
mod range;
mod settings;

use bytes::Bytes;
use poem::http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use poem::http::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, LOCATION, VARY, WARNING,
};
use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::error::{PlanError, RequestError, RestError};
use super::execute::{Body, Outcome, ResultSet};
use super::plan::{Output, Plan, ReadNode};
use super::request::preferences::{Count, Representation, Resolution};
use super::request::{Action, MediaType, Mutation, Request};
use super::settings::RestSettings;
use super::timing::Timing;
use crate::schema_cache::{SchemaCache, Table, Volatility};

static CONTENT_PROFILE: HeaderName = HeaderName::from_static("content-profile");
static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
static PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// An answer that is no error.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Body,
}

impl Answer {
    fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::with_capacity(12),
            body: Body::default(),
        }
    }

    /// Sets a header. What no header can hold is left out: names of relations may contain anything.
    fn set(&mut self, name: impl Into<HeaderName>, value: impl AsRef<[u8]>) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_ref()) {
            self.headers.insert(name.into(), value);
        }
    }

    /// Sets the body and, where it is known, its length.
    fn fill(&mut self, body: Body) {
        if let Body::Whole(bytes) = &body {
            self.headers.insert(CONTENT_LENGTH, bytes.len().into());
        }
        self.body = body;
    }

    /// Tells how long each stage took.
    pub fn set_timing(&mut self, timing: &Timing) {
        self.set(SERVER_TIMING.clone(), timing.header());
    }

    fn set_type(&mut self, media_type: &MediaType, request: &Request) {
        match media_type {
            MediaType::Json => {
                let json = HeaderValue::from_static("application/json; charset=utf-8");
                self.headers.insert(CONTENT_TYPE, json);
            }
            other => self.set(CONTENT_TYPE, other.content_type()),
        }
        if request.negotiated_by_profile {
            self.set(CONTENT_PROFILE.clone(), &request.schema);
        }
    }

    fn set_preferences(&mut self, plan: &Plan, request: &Request) {
        if let Some(applied) = preferences::applied(plan, request) {
            self.set(PREFERENCE_APPLIED.clone(), applied);
        }
    }
}

/// Answers a plan that ran.
pub fn build(
    plan: &Plan,
    request: &Request,
    settings: &RestSettings,
    outcome: Outcome,
) -> Result<Answer, RestError> {
    let mut answer = match (outcome, plan) {
        (
            Outcome::Plan(lines),
            Plan::Read { output, .. } | Plan::Mutate { output, .. } | Plan::Call { output, .. },
        ) => {
            let mut answer = Answer::new(StatusCode::OK);
            answer.fill(Body::Whole(lines));
            answer.set_type(&output.media_type, request);
            answer
        }
        (Outcome::Rows(mut result), _) => {
            let status = result.status.take();
            let headers = result.headers.take();
            let mut answer = match plan {
                Plan::Read {
                    head,
                    output,
                    relation,
                    ..
                } => {
                    let mut answer = page(result, output, *head, plan, request, settings);
                    answer.set(
                        CONTENT_LOCATION,
                        content_location(&relation.name, &request.query.canonical),
                    );
                    answer
                }
                Plan::Call {
                    routine,
                    head,
                    output,
                    ..
                } => {
                    let mut answer = page(result, output, *head, plan, request, settings);
                    if routine.returns_void() {
                        answer.status = StatusCode::NO_CONTENT;
                        for name in [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_PROFILE.clone()] {
                            answer.headers.remove(name);
                        }
                        answer.body = Body::default();
                    }
                    answer
                }
                Plan::Mutate { output, relation, .. } => {
                    written(result, output, &relation.name, plan, request)
                }
                _ => return Err(no_rows()),
            };
            if let Some(headers) = headers {
                settings::override_headers(&mut answer.headers, &headers)?;
            }
            if let Some(status) = status {
                answer.status = settings::status(&status)?;
            }
            answer
        }
        _ => return Err(no_rows()),
    };
    if settings.legacy_target_names
        && let Some(warning) = legacy_names(plan)
    {
        answer.set(WARNING, warning);
    }
    finish(&mut answer);
    Ok(answer)
}

fn no_rows() -> RestError {
    RestError::Internal("a plan was answered by what answers another".to_owned())
}

/// What every answer has.
fn finish(answer: &mut Answer) {
    if !answer.headers.contains_key(VARY) {
        answer
            .headers
            .insert(VARY, HeaderValue::from_static("Accept, Prefer, Range"));
    }
    if matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        answer.headers.remove(CONTENT_LENGTH);
        answer.body = Body::default();
    }
}

/// Answers with a page of rows, of a relation or of a function's result.
fn page(
    result: ResultSet,
    output: &Output,
    head: bool,
    plan: &Plan,
    request: &Request,
    settings: &RestSettings,
) -> Answer {
    let (status, content_range) = range::of_page(request.top_range, result.page, result.total);
    let mut answer = Answer::new(status);
    answer.set(CONTENT_RANGE, content_range);
    if !head {
        answer.fill(match result.total {
            Some(total) if status == StatusCode::RANGE_NOT_SATISFIABLE => {
                let offset = request.top_range.offset;
                let error = RestError::from(RequestError::RangeOutOfBounds { offset, total });
                Body::Whole(Bytes::from(error.wire(settings).body))
            }
            _ => result.body,
        });
    }
    answer.set_type(&output.media_type, request);
    answer.set_preferences(plan, request);
    answer
}

/// Answers a write: with what was written where that was asked for.
fn written(result: ResultSet, output: &Output, relation: &str, plan: &Plan, request: &Request) -> Answer {
    let Action::Mutate { mutation, .. } = request.action else {
        return Answer::new(StatusCode::NO_CONTENT);
    };
    let preferences = &request.preferences;
    let returns = preferences.representation == Some(Representation::Full);
    let counts = matches!(preferences.count, Some(Count::Exact | Count::Estimated));
    let total = counts.then_some(result.page);
    let inserted = result.inserted.is_some_and(|rows| rows > 0);
    let merges = preferences.resolution == Some(Resolution::MergeDuplicates);
    let status = match mutation {
        Mutation::Insert if merges && !inserted => StatusCode::OK,
        Mutation::Insert => StatusCode::CREATED,
        _ if !returns => StatusCode::NO_CONTENT,
        Mutation::SingleUpsert if inserted => StatusCode::CREATED,
        _ => StatusCode::OK,
    };

    let mut answer = Answer::new(status);
    if !result.location.is_empty() {
        answer.set(LOCATION, location(relation, &result.location));
    }
    match mutation {
        Mutation::Insert | Mutation::Delete => {
            answer.set(CONTENT_RANGE, range::content_range(1, 0, total));
        }
        Mutation::Update => answer.set(CONTENT_RANGE, range::content_range(0, result.page - 1, total)),
        Mutation::SingleUpsert => {}
    }
    if returns {
        answer.fill(result.body);
        answer.set_type(&output.media_type, request);
    } else if mutation == Mutation::Insert {
        answer.fill(Body::default());
    }
    answer.set_preferences(plan, request);
    answer
}

/// Answers with the OpenAPI document; without one where it is switched off.
pub fn openapi(document: String, head: bool, request: &Request) -> Answer {
    let mut answer = Answer::new(StatusCode::OK);
    if !head {
        answer.fill(Body::Whole(Bytes::from(document)));
    }
    answer.set_type(&MediaType::OpenApi, request);
    finish(&mut answer);
    answer
}

/// Answers OPTIONS.
pub fn info(plan: &Plan, cache: &SchemaCache) -> Result<Answer, RestError> {
    let allowed = match plan {
        Plan::RelationInfo(relation) => match cache.table(relation) {
            Some(table) => methods(table),
            None => {
                return Err(RestError::from(PlanError::TableNotFound {
                    relation: relation.to_string(),
                    suggestion: None,
                }));
            }
        },
        Plan::RoutineInfo(routine) if routine.volatility == Volatility::Volatile => "OPTIONS,POST".to_owned(),
        Plan::RoutineInfo(_) => "OPTIONS,GET,HEAD,POST".to_owned(),
        Plan::SchemaInfo => "OPTIONS,GET,HEAD".to_owned(),
        _ => return Err(no_rows()),
    };
    let mut answer = Answer::new(StatusCode::OK);
    answer.fill(Body::default());
    answer.set(ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    answer.set(ALLOW, allowed);
    finish(&mut answer);
    Ok(answer)
}

/// The methods that a relation takes, whoever asks.
fn methods(table: &Table) -> String {
    let puts = table.insertable && table.updatable && !table.primary_key.is_empty();
    let mut allowed = "OPTIONS,GET,HEAD".to_owned();
    for (method, is_allowed) in [
        (",POST", table.insertable),
        (",PUT", puts),
        (",PATCH", table.updatable),
        (",DELETE", table.deletable),
    ] {
        if is_allowed {
            allowed.push_str(method);
        }
    }
    allowed
}

/// `/relation?sorted=query`
fn content_location(relation: &str, query: &str) -> String {
    let mut location = String::with_capacity(relation.len() + query.len() + 2);
    location.push('/');
    location.push_str(relation);
    if !query.is_empty() {
        location.push('?');
        location.push_str(query);
    }
    location
}

/// `/relation?id=eq.1`, of conditions such as `id=eq.1`.
fn location(relation: &str, conditions: &[String]) -> String {
    let mut location = format!("/{relation}");
    for (n, condition) in conditions.iter().enumerate() {
        let (name, value) = condition.split_once('=').unwrap_or((condition, ""));
        location.push(if n == 0 { '?' } else { '&' });
        encode(&mut location, name);
        location.push('=');
        encode(&mut location, value);
    }
    location
}

/// Percent-encodes what is not unreserved (RFC 3986, section 2.3).
fn encode(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// A warning for embeds that have an alias but are named by their relation.
fn legacy_names(plan: &Plan) -> Option<String> {
    let (Plan::Read { read, .. } | Plan::Mutate { read, .. } | Plan::Call { read, .. }) = plan else {
        return None;
    };
    let mut updates = String::new();
    collect_legacy_names(read, &mut updates);
    (!updates.is_empty()).then(|| {
        format!(
            "299 PostgRESTv16 \"Embedded resource was referenced by relation name even though it has an alias. This \
             is deprecated and will stop working in a future release. Update {updates} in query string filters, \
             orders or limits.\""
        )
    })
}

fn collect_legacy_names(node: &ReadNode, updates: &mut String) {
    if let (true, Some(alias)) = (node.plan.named_by_relation, &node.plan.alias) {
        if !updates.is_empty() {
            updates.push_str(", ");
        }
        for part in ["`", &node.plan.name, "` to `", alias, "`"] {
            updates.push_str(part);
        }
    }
    for child in &node.children {
        collect_legacy_names(child, updates);
    }
}

#[cfg(test)]
mod tests;
