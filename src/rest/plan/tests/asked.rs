//! Short ways to say requests, and to plan them.

use super::fixture::{cache, name};
use crate::rest::error::{PlanError, RequestError, RestError};
use crate::rest::plan::{MutatePlan, Plan, ReadNode, build};
use crate::rest::request::preferences::Handling;
use crate::rest::request::{
    Action, Aggregate, CallMethod, Direction, Field, Filter, FtsOperator, IsValue, JoinType, JsonOperand,
    JsonStep, MediaType, Mutation, OpExpr, Operation, OrderTerm, Payload, Preferences, QuantifiedOperator,
    QueryParams, Range, Request, SelectItem, SelectNode,
};
use crate::rest::settings::RestSettings;

/// The settings of most tests: PostgREST's, with everything switched on.
pub(super) fn settings() -> RestSettings {
    RestSettings {
        schemas: vec!["api".to_owned()],
        aggregates: true,
        plan: true,
        ..RestSettings::default()
    }
}

fn request(action: Action) -> Request {
    Request {
        action,
        schema: "api".to_owned(),
        negotiated_by_profile: false,
        query: QueryParams {
            select: vec![field("*")],
            ..QueryParams::default()
        },
        top_range: Range::ALL,
        payload: None,
        columns: std::collections::BTreeSet::new(),
        preferences: Preferences::default(),
        accept: vec![MediaType::Any],
        content_type: MediaType::Json,
        method: String::new(),
        path: String::new(),
        headers: Vec::new(),
        cookies: Vec::new(),
    }
}

pub(super) fn get(relation: &str) -> Request {
    request(Action::Read {
        relation: name(relation),
        head: false,
    })
}

pub(super) fn write(relation: &str, mutation: Mutation, columns: &[&str]) -> Request {
    let mut request = request(Action::Mutate {
        relation: name(relation),
        mutation,
    });
    request.columns = columns.iter().map(|&column| column.to_owned()).collect();
    request.payload = Some(Payload::Json {
        raw: bytes::Bytes::from_static(b"{}"),
        keys: request.columns.clone(),
        is_object: true,
    });
    request
}

pub(super) fn call(routine: &str, method: CallMethod, arguments: &[(&str, &str)]) -> Request {
    let mut request = request(Action::Call {
        routine: name(routine),
        method,
    });
    let pairs = arguments
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()));
    if method == CallMethod::Post {
        request.columns = pairs.map(|(name, _)| name).collect();
        request.payload = Some(Payload::Json {
            raw: bytes::Bytes::from_static(b"{}"),
            keys: request.columns.clone(),
            is_object: true,
        });
    } else {
        request.query.arguments = pairs.collect();
    }
    request
}

pub(super) fn options(action: Action) -> Request {
    request(action)
}

pub(super) fn strict() -> Preferences {
    Preferences {
        handling: Some(Handling::Strict),
        ..Preferences::default()
    }
}

/// `a->b->>1`, cut at the arrows.
pub(super) fn path(path: &str) -> Field {
    let mut steps = path.split("->");
    let name = steps.next().unwrap().to_owned();
    let path = steps
        .map(|step| {
            let key = step.trim_start_matches('>').to_owned();
            let operand = if key.parse::<i64>().is_ok() {
                JsonOperand::Index(key)
            } else {
                JsonOperand::Key(key)
            };
            if step.starts_with('>') {
                JsonStep::DoubleArrow(operand)
            } else {
                JsonStep::Arrow(operand)
            }
        })
        .collect();
    Field { name, path }
}

pub(super) fn field(of: &str) -> SelectNode {
    SelectNode {
        item: SelectItem::Field {
            field: path(of),
            aggregate: None,
            aggregate_cast: None,
            cast: None,
            alias: None,
        },
        children: Vec::new(),
    }
}

pub(super) fn aggregate(of: &str, with: Aggregate, shown: Option<&str>) -> SelectNode {
    let mut node = field(of);
    if let SelectItem::Field { aggregate, alias, .. } = &mut node.item {
        *aggregate = Some(with);
        *alias = shown.map(str::to_owned);
    }
    node
}

/// An embed: `alias:relation!hint!inner`.
pub(super) fn embed<const N: usize>(of: &str, children: [SelectNode; N]) -> SelectNode {
    let (alias, rest) = match of.split_once(':') {
        Some((alias, rest)) => (Some(alias.to_owned()), rest),
        None => (None, of),
    };
    let (relation, hint, join) = target(rest);
    SelectNode {
        item: SelectItem::Relation {
            relation,
            alias,
            hint,
            join,
        },
        children: children.into(),
    }
}

pub(super) fn spread<const N: usize>(of: &str, children: [SelectNode; N]) -> SelectNode {
    let (relation, hint, join) = target(of);
    SelectNode {
        item: SelectItem::Spread { relation, hint, join },
        children: children.into(),
    }
}

fn target(of: &str) -> (String, Option<String>, Option<JoinType>) {
    let mut parts = of.split('!');
    let relation = parts.next().unwrap().to_owned();
    let (mut hint, mut join) = (None, None);
    for part in parts {
        match part {
            "inner" => join = Some(JoinType::Inner),
            hinted => hint = Some(hinted.to_owned()),
        }
    }
    (relation, hint, join)
}

fn condition(of: &str, operation: Operation) -> Filter {
    Filter {
        field: path(of),
        expr: OpExpr {
            negated: false,
            operation,
        },
    }
}

pub(super) fn equals(of: &str, value: &str) -> Filter {
    condition(
        of,
        Operation::Quantified(QuantifiedOperator::Equal, None, value.to_owned()),
    )
}

pub(super) fn is_null(of: &str) -> Filter {
    condition(of, Operation::Is(IsValue::Null))
}

pub(super) fn matches(of: &str, language: Option<&str>) -> Filter {
    condition(
        of,
        Operation::Fts(FtsOperator::Query, language.map(str::to_owned), "leak".to_owned()),
    )
}

pub(super) fn not(mut filter: Filter) -> Filter {
    filter.expr.negated = true;
    filter
}

pub(super) fn by(of: &str) -> OrderTerm {
    OrderTerm::Field {
        field: path(of),
        direction: None,
        nulls: None,
    }
}

pub(super) fn by_embed(relation: &str, of: &str) -> OrderTerm {
    OrderTerm::Relation {
        relation: relation.to_owned(),
        field: path(of),
        direction: Some(Direction::Desc),
        nulls: None,
    }
}

pub(super) fn at(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

pub(super) fn plan(request: &Request) -> Result<Plan, RestError> {
    build(request, &cache(), &settings())
}

/// The tree of a plan that has one.
pub(super) fn tree(request: &Request) -> ReadNode {
    tree_of(plan(request).unwrap())
}

pub(super) fn tree_of(plan: Plan) -> ReadNode {
    match plan {
        Plan::Read { read, .. } | Plan::Mutate { read, .. } | Plan::Call { read, .. } => read,
        other => panic!("{other:?} reads nothing"),
    }
}

pub(super) fn mutation_of(plan: Plan) -> MutatePlan {
    match plan {
        Plan::Mutate { mutate, .. } => mutate,
        other => panic!("{other:?} writes nothing"),
    }
}

pub(super) fn plan_error(request: &Request) -> PlanError {
    match plan(request) {
        Err(RestError::Plan(error)) => error,
        other => panic!("{other:?} is no planning error"),
    }
}

pub(super) fn request_error(request: &Request) -> RequestError {
    match plan(request) {
        Err(RestError::Request(error)) => error,
        other => panic!("{other:?} is no request error"),
    }
}
