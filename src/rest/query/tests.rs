//! What no request can do to a statement: leave its quotes, or bring its values into the text.

use proptest::prelude::*;

use super::*;
use crate::rest::plan::{
    Argument, Arguments, CallParameters, EmbedMode, JoinCondition, LogicPlan, OrderPlan, PlannedField,
    PlannedFilter, ReadPlan, RelationSelect, SelectField,
};
use crate::rest::request::preferences::Resolution;
use crate::rest::request::{
    Field, JsonOperand, JsonStep, LogicOperator, OpExpr, Operation, QuantifiedOperator, Quantifier,
};
use crate::schema_cache::{Cardinality, Parameter, QualifiedName, Relationship};
use std::sync::Arc;

/// Everything that a request or a catalog may name or say in a plan.
#[derive(Debug, Clone)]
struct Words {
    schema: String,
    table: String,
    column: String,
    alias: String,
    cast: String,
    value: String,
}

fn words() -> impl Strategy<Value = Words> {
    // Any text, and text that is made of what SQL finds special.
    let word = || {
        prop_oneof![".*", r#"["'$;\\()\-/*\[\]a-z0-9. \x00]{0,24}"#]
            .prop_filter("a name, not all columns", |w| !w.is_empty() && w != "*")
    };
    (word(), word(), word(), word(), word(), word()).prop_map(
        |(schema, table, column, alias, cast, value)| Words {
            schema,
            table,
            column,
            alias,
            cast,
            value,
        },
    )
}

fn tame() -> Words {
    let [schema, table, column, alias, cast, value] =
        ["schema", "table", "column", "alias", "mood", "value"].map(str::to_owned);
    Words {
        schema,
        table,
        column,
        alias,
        cast,
        value,
    }
}

fn planned(words: &Words) -> PlannedField {
    PlannedField {
        name: words.column.clone(),
        path: vec![
            JsonStep::Arrow(JsonOperand::Key(words.value.clone())),
            JsonStep::DoubleArrow(JsonOperand::Index("1".to_owned())),
        ],
        ..PlannedField::default()
    }
}

fn conditions(words: &Words) -> Vec<LogicPlan> {
    let on = |operation| {
        LogicPlan::Filter(PlannedFilter {
            field: planned(words),
            expr: OpExpr {
                negated: true,
                operation,
            },
        })
    };
    let value = words.value.clone();
    vec![LogicPlan::Expr {
        negated: false,
        operator: LogicOperator::Or,
        children: vec![
            on(Operation::In(vec![value.clone(), "b".to_owned()])),
            on(Operation::Quantified(
                QuantifiedOperator::Like,
                Some(Quantifier::Any),
                value.clone(),
            )),
            on(Operation::Fts(
                crate::rest::request::FtsOperator::Plain,
                Some(value.clone()),
                value,
            )),
        ],
    }]
}

fn node(words: &Words, depth: usize) -> ReadNode {
    let name = QualifiedName::new(&words.schema, &words.table);
    let mut plan = ReadPlan {
        select: vec![SelectField {
            field: planned(words),
            aggregate: None,
            aggregate_cast: None,
            cast: Some(words.cast.clone()),
            alias: Some(words.alias.clone()),
        }],
        from: name.clone(),
        filters: conditions(words),
        order: vec![OrderPlan::Relation {
            aggregate_alias: words.alias.clone(),
            field: Field {
                name: words.column.clone(),
                path: Vec::new(),
            },
            direction: None,
            nulls: None,
        }],
        aggregate_alias: words.alias.clone(),
        ..ReadPlan::default()
    };
    let children = if depth == 0 {
        plan.relation_select = vec![RelationSelect::Embed {
            name: words.alias.clone(),
            aggregate_alias: words.alias.clone(),
            mode: EmbedMode::Array,
            empty: false,
        }];
        vec![node(words, 1)]
    } else {
        plan.from_alias = Some(words.alias.clone());
        plan.relationship = Some(Arc::new(Relationship::ForeignKey {
            origin: name.clone(),
            target: name.clone(),
            is_self: false,
            cardinality: Cardinality::OneToMany {
                constraint: words.alias.clone(),
                columns: Vec::new(),
            },
            origin_is_view: false,
            target_is_view: false,
        }));
        plan.join_conditions = vec![JoinCondition {
            left: (name.clone(), words.column.clone()),
            right: (name, words.column.clone()),
        }];
        Vec::new()
    };
    ReadNode { plan, children }
}

fn statements(words: &Words) -> Vec<Statement> {
    let name = QualifiedName::new(&words.schema, &words.table);
    let mut read = Statement::default();
    read::select(&mut read, &node(words, 0));
    let mut count = Statement::default();
    read::select_countable(&mut count, &node(words, 0));
    let mut write = Statement::default();
    mutate::statement(
        &mut write,
        &MutatePlan::Insert {
            into: name.clone(),
            columns: vec![PlannedField {
                nominal_type: "text".to_owned(),
                default: Some("now()".to_owned()),
                ..planned(words)
            }],
            body: Some(words.value.clone().into()),
            body_is_object: false,
            on_conflict: Some((Resolution::MergeDuplicates, vec![words.column.clone()])),
            put_filters: conditions(words),
            returning: vec![words.column.clone()],
            primary_key: vec![words.column.clone()],
            has_xmax: false,
            apply_defaults: true,
        },
    );
    let mut delete = Statement::default();
    mutate::statement(
        &mut delete,
        &MutatePlan::Delete {
            relation: name.clone(),
            filters: conditions(words),
            returning: Vec::new(),
        },
    );
    let mut called = Statement::default();
    call::statement(
        &mut called,
        &CallPlan {
            function: name,
            parameters: CallParameters::Named(vec![Parameter {
                name: words.column.clone(),
                sql_type: "text".to_owned(),
                widened_type: "text".to_owned(),
                required: true,
                variadic: false,
            }]),
            arguments: Arguments::Direct(vec![(words.column.clone(), Argument::Fixed(words.value.clone()))]),
            scalar: false,
            set_of_scalar: false,
            filter_fields: std::iter::once(words.column.clone()).collect(),
            returning: std::iter::once(words.alias.clone()).collect(),
        },
    );
    vec![read, count, write, delete, called]
}

/// The text without what stands inside quotes. None if a quote stays open, or a backslash could mean anything else than
/// itself.
fn skeleton(sql: &str) -> Option<String> {
    let mut outside = String::new();
    let mut chars = sql.chars().peekable();
    while let Some(char) = chars.next() {
        let escapes = char == 'E' && chars.peek() == Some(&'\'');
        let quote = if escapes { chars.next()? } else { char };
        if !matches!(quote, '"' | '\'') {
            outside.push(quote);
            continue;
        }
        outside.push('@');
        loop {
            match chars.next()? {
                '\\' if quote == '\'' => {
                    chars.next_if_eq(&'\\').filter(|_| escapes)?;
                }
                end if end == quote && chars.next_if_eq(&quote).is_none() => break,
                _ => {}
            }
        }
    }
    Some(outside)
}

/// A type's own words (`pg_catalog.int4`, dots and brackets) depend on the cast, within a closed set.
fn without_types(skeleton: &str) -> String {
    let mut out = String::new();
    let mut rest = skeleton;
    while let Some((before, behind)) = rest.split_once(" as @") {
        out.push_str(before);
        out.push_str(" as @");
        rest = behind.trim_start_matches(['.', '@', '[', ']']);
    }
    out.push_str(rest);
    out
}

proptest! {
    #[test]
    fn no_name_and_no_value_changes_what_stands_outside_the_quotes(mut words in words()) {
        // A cast to one of SQL's own types has no quotes; those are a closed set, tested where they are written.
        words.cast.push('_');
        for (wild, tame) in statements(&words).iter().zip(statements(&tame())) {
            let wild = skeleton(&wild.sql).expect("every quote is closed");
            let tame = skeleton(&tame.sql).expect("every quote is closed");
            prop_assert_eq!(without_types(&wild), without_types(&tame));
        }
    }

    #[test]
    fn every_value_is_bound(words in words()) {
        let secret = Words { value: "s3cret-value".to_owned(), ..words };
        for statement in statements(&secret) {
            prop_assert!(!statement.sql.contains("s3cret-value"));
            let highest = format!("${}", statement.values.len());
            prop_assert!(statement.values.is_empty() || statement.sql.contains(&highest));
        }
    }
}
