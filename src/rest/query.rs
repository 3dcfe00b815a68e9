//! Plan -> statement: the only place that writes request SQL. Cannot fail.
//!
//! Identifiers come out of the schema cache and are quoted; values are bound parameters. The text depends on the
//! request's shape alone, so that a connection's prepared statements serve all requests of that shape.
//!
//! The main statement answers with one row; `header` stands before the body of a write and behind that of a read, as
//! PostgREST's plans show them:
//!
//! | column | type | meaning |
//! | --- | --- | --- |
//! | `total_result_set` | `int8` | rows there are, if they are counted |
//! | `page_total` | `int8` | rows in the body |
//! | `body` | any | the body |
//! | `response_headers` | `text` | what SQL code set |
//! | `response_status` | `text` | what SQL code set |
//! | `response_inserted` | `int8` | rows inserted rather than merged |
//! | `header` | `text[]` | `column=eq.value` for `Location` |

mod bind;
mod body;
mod call;
mod fragment;
mod mutate;
mod output;
mod read;
mod session;
pub mod statement;
#[cfg(test)]
mod tests;
mod type_name;

pub use self::session::{pre_request, session};
pub use self::statement::{Statement, Value};

use self::fragment::{bind_name, separated};
use self::mutate::Told;
use crate::rest::plan::{CallPlan, Handler, MutatePlan, Output, Plan, ReadNode, SOURCE};
use crate::rest::request::preferences::{Count, Representation};
use crate::rest::request::{MediaType, PlanFormat, PlanOption, Range, Request};
use crate::rest::settings::RestSettings;
use crate::schema_cache::Routine;

/// Rows up to which a result is one aggregated value; larger ones are streamed.
pub const STREAM_THRESHOLD: i64 = 2000;

/// What a plan is run by.
#[derive(Debug, Clone, Default)]
pub struct Rendered {
    /// The statement that answers; empty for plans that need none.
    pub main: Statement,
    /// `explain (format json)` of the count, run after it.
    pub count_estimate: Option<Statement>,
    /// For results that may be large: each row as a text of its own. Then [`Self::main`] reads one row more than
    /// [`STREAM_THRESHOLD`], and is the answer unless that row came.
    pub stream: Option<Statement>,
}

/// Writes the statements of a plan.
pub fn render(plan: &Plan, request: &Request, settings: &RestSettings) -> Rendered {
    match plan {
        Plan::Read { read, output, .. } => render_read(read, output, request, settings),
        Plan::Mutate {
            mutate, read, output, ..
        } => Rendered {
            main: explained(output, render_mutate(mutate, read, output, request)),
            ..Rendered::default()
        },
        Plan::Call {
            call,
            read,
            routine,
            output,
            read_only,
            ..
        } => {
            let total = Total::of(request, settings);
            if is_plain_value(call, read, routine, output, total) {
                return Rendered {
                    main: explained(output, render_value(call, total)),
                    ..Rendered::default()
                };
            }
            let stream = *read_only && may_stream(read.plan.range, output) && returns_rows(routine);
            let mut main = Statement::default();
            main.push("with ").push(SOURCE).push(" as (");
            call::statement(&mut main, call);
            main.push(") ");
            let source = main.clone();
            let page_total = if routine.returns_single() {
                "1::int8"
            } else {
                "count(*)"
            };
            answer(&mut main, read, output, Some(routine), total, page_total, stream);
            Rendered {
                main: explained(output, main),
                count_estimate: None,
                stream: stream.then(|| rows(source, read, output)),
            }
        }
        Plan::InspectSchema { .. } | Plan::RelationInfo(_) | Plan::RoutineInfo(_) | Plan::SchemaInfo => {
            Rendered::default()
        }
    }
}

fn render_read(read: &ReadNode, output: &Output, request: &Request, settings: &RestSettings) -> Rendered {
    let stream = !read.plan.by_key && may_stream(read.plan.range, output);
    let mut main = Statement::default();
    let total = Total::of(request, settings);
    if output.handler == Handler::Csv {
        // The header line reads the rows a second time.
        main.push("with ").push(SOURCE).push(" as (");
        read::select_within(&mut main, read, probe_range(read.plan.range, stream));
        main.push(") select ");
        columns(&mut main, read, output, None, total, "count(*)");
        main.push(" from ").push(SOURCE).push(" as ").push(output::ROWS);
    } else {
        answer(&mut main, read, output, None, total, "count(*)", stream);
    }
    let estimates = matches!(request.preferences.count, Some(Count::Planned | Count::Estimated));
    Rendered {
        main: explained(output, main),
        count_estimate: estimates.then(|| {
            let mut count = Statement::default();
            count.push("explain (format json) ");
            read::select_countable(&mut count, read);
            count
        }),
        stream: stream.then(|| rows(Statement::default(), read, output)),
    }
}

/// Whether a call has one value that nothing of the request shapes, so that there are no rows to aggregate.
fn is_plain_value(
    call: &CallPlan,
    read: &ReadNode,
    routine: &Routine,
    output: &Output,
    total: Total,
) -> bool {
    let plan = &read.plan;
    routine.returns_scalar()
        && !routine.returns_void()
        && output.handler == Handler::Json
        && !matches!(total, Total::Counted(_))
        && call::has_one_row(call)
        && plan.filters.is_empty()
        && plan.range == Range::ALL
        && read.children.is_empty()
        && plan.select.iter().all(|item| item.field.name == "*")
}

fn render_value(call: &CallPlan, total: Total) -> Statement {
    let mut out = Statement::default();
    out.push(if total == Total::Page {
        "select 1::int8"
    } else {
        "select null::int8"
    });
    out.push(" as total_result_set, 1::int8 as page_total, ");
    output::value(&mut out);
    out.push(" as body, ");
    response_settings(&mut out);
    out.push(", null::int8 as response_inserted, null::text[] as header from (");
    call::statement(&mut out, call);
    out.push(") as ").push(output::ROWS);
    out
}

/// How the rows that there are, limits aside, are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Total {
    /// They are not.
    No,
    /// The page has them all.
    Page,
    /// By a count of their own, up to a number of them if one is given.
    Counted(Option<i64>),
}

impl Total {
    fn of(request: &Request, settings: &RestSettings) -> Self {
        match request.preferences.count {
            None | Some(Count::Planned) => Self::No,
            Some(_) if settings.max_rows.is_none() && request.top_range == Range::ALL => Self::Page,
            Some(Count::Exact) => Self::Counted(None),
            // One more than the cap tells that the estimate is needed.
            Some(Count::Estimated) => Self::Counted(settings.max_rows.map(|max| max + 1)),
        }
    }
}

/// Appends ` select … from (rows)`, the statement's end.
fn answer(
    out: &mut Statement,
    read: &ReadNode,
    output: &Output,
    routine: Option<&Routine>,
    total: Total,
    page_total: &str,
    stream: bool,
) {
    out.push("select ");
    columns(out, read, output, routine, total, page_total);
    out.push(" from (");
    read::select_within(out, read, probe_range(read.plan.range, stream));
    out.push(") as ").push(output::ROWS);
}

fn columns(
    out: &mut Statement,
    read: &ReadNode,
    output: &Output,
    routine: Option<&Routine>,
    total: Total,
    page_total: &str,
) {
    match total {
        Total::No => {
            out.push("null::int8");
        }
        Total::Page => {
            out.push(page_total);
        }
        Total::Counted(limit) => {
            out.push("(select count(*) from (");
            read::select_countable(out, read);
            read::limit(out, Range { offset: 0, limit });
            out.push(") as pgrst_source_count)");
        }
    }
    out.push(" as total_result_set, ")
        .push(page_total)
        .push(" as page_total, ");
    output::body(out, &output.handler, routine);
    out.push(" as body, ");
    response_settings(out);
    out.push(", null::int8 as response_inserted, null::text[] as header");
}

fn response_settings(out: &mut Statement) {
    out.push(
        "nullif(current_setting('response.headers', true), '') as response_headers, \
         nullif(current_setting('response.status', true), '') as response_status",
    );
}

fn render_mutate(mutate: &MutatePlan, read: &ReadNode, output: &Output, request: &Request) -> Statement {
    let mut out = Statement::default();
    out.push("with ").push(SOURCE).push(" as (");
    mutate::statement(&mut out, mutate);
    out.push(") select null::int8 as total_result_set, count(*) as page_total, ");
    location(&mut out, mutate, request.preferences.representation);
    out.push(" as header, ");
    output::body(&mut out, &output.handler, None);
    out.push(" as body, ");
    response_settings(&mut out);
    out.push(", ");
    inserted(&mut out, mutate);
    out.push(" as response_inserted from (");
    if output.handler == Handler::None {
        out.push("select * from ").push(SOURCE);
    } else {
        read::select(&mut out, read);
    }
    out.push(") as ").push(output::ROWS);
    out
}

/// Appends the parts of `Location`: the primary key of the row, if one was written.
fn location(out: &mut Statement, mutate: &MutatePlan, representation: Option<Representation>) {
    let (MutatePlan::Insert { primary_key, .. }, Some(Representation::HeadersOnly)) =
        (mutate, representation)
    else {
        out.push("null::text[]");
        return;
    };
    if primary_key.is_empty() {
        out.push("null::text[]");
        return;
    }
    let mut names: Vec<&String> = primary_key.iter().collect();
    names.sort_unstable();
    out.push("case when count(*) = 1 then (select array[");
    separated(out, ", ", names, |out, name| {
        bind_name(out, name);
        out.push(" || '=' || coalesce('eq.' || (written ->> ");
        bind_name(out, name);
        out.push("), 'is.null')");
    });
    out.push("] from (select row_to_json(r) as written from ")
        .push(SOURCE)
        .push(" as r limit 1) as first) end");
}

/// Appends the number of rows that a merge inserted.
fn inserted(out: &mut Statement, mutate: &MutatePlan) {
    match mutate::told(mutate) {
        None => {
            out.push("null::int8");
        }
        Some(Told::ByRow) => {
            out.push("(select count(*) from ").push(SOURCE);
            out.push(" where ").push(mutate::INSERTED).push(")");
        }
        Some(Told::BySetting) => {
            out.push("count(*) - coalesce(nullif(current_setting('")
                .push(mutate::UPDATED_SETTING)
                .push("', true), ''), '0')::int8");
        }
    }
}

/// Whether the result may be too large for one value, and can be written row by row.
fn may_stream(range: Range, output: &Output) -> bool {
    range.limit.is_none_or(|limit| limit > STREAM_THRESHOLD)
        && matches!(
            output.handler,
            Handler::Json | Handler::JsonStripped | Handler::Csv
        )
        && !matches!(output.media_type, MediaType::Plan { .. })
}

fn returns_rows(routine: &Routine) -> bool {
    routine.returns.is_set && routine.returns.is_composite
}

fn probe_range(range: Range, stream: bool) -> Range {
    if stream {
        range.restricted(Some(STREAM_THRESHOLD + 1))
    } else {
        range
    }
}

/// The rows of a result, each as a text of its own, in the form that its body has them in.
fn rows(mut out: Statement, read: &ReadNode, output: &Output) -> Statement {
    out.push("select ");
    match output.handler {
        Handler::Csv => output::csv_line(&mut out),
        Handler::JsonStripped => {
            out.push("json_strip_nulls(row_to_json(")
                .push(output::ROWS)
                .push("))::text");
        }
        _ => {
            out.push("row_to_json(").push(output::ROWS).push(")::text");
        }
    }
    out.push(" from (");
    read::select(&mut out, read);
    out.push(") as ").push(output::ROWS);
    out
}

/// Puts `explain` before a statement whose plan is asked for.
fn explained(output: &Output, statement: Statement) -> Statement {
    let MediaType::Plan { format, options, .. } = &output.media_type else {
        return statement;
    };
    let mut out = Statement::default();
    out.push("explain (format ").push(match format {
        PlanFormat::Json => "json",
        PlanFormat::Text => "text",
    });
    for option in options {
        out.push(match option {
            PlanOption::Analyze => ", analyze",
            PlanOption::Verbose => ", verbose",
            PlanOption::Settings => ", settings",
            PlanOption::Buffers => ", buffers",
            PlanOption::Wal => ", wal",
        });
    }
    out.push(") ").push(&statement.sql);
    out.values = statement.values;
    out
}
