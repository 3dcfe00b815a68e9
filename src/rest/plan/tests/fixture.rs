//! A tenants' ticket system with every kind of relationship.

use std::sync::Arc;

use crate::schema_cache::{
    Cardinality, Column, Junction, Parameter, QualifiedName, Relationship, ReturnKind, Routine, SchemaCache,
    Table, Volatility,
};

pub(super) fn name(name: &str) -> QualifiedName {
    QualifiedName::new("api", name)
}

pub(super) fn cache() -> SchemaCache {
    let mut cache = SchemaCache::default();
    tables(&mut cache);
    relationships(&mut cache);
    for (source, target, function) in [
        ("api.color", "json", "\"api\".\"color_to_json\""),
        ("json", "api.color", "\"api\".\"color_from_json\""),
        ("text", "api.color", "\"api\".\"color_from_text\""),
    ] {
        cache
            .representations
            .insert((source.to_owned(), target.to_owned()), function.to_owned());
    }
    cache
}

fn tables(cache: &mut SchemaCache) {
    table(cache, "tenants", &["id:integer", "name:text"]);
    table(
        cache,
        "users",
        &[
            "id:integer",
            "name:text",
            "tenant_id:integer",
            "manager_id:integer",
        ],
    );
    table(
        cache,
        "tickets",
        &[
            "id:integer",
            "title:text",
            "data:jsonb",
            "words:tsvector",
            "places:text[]",
            "tenant_id:integer",
            "complainant_id:integer",
            "executor_id:integer",
        ],
    );
    table(cache, "reports", &["ticket_id:integer", "body:text"]);
    table(
        cache,
        "activities",
        &["id:integer", "ticket_id:integer", "kind:text", "minutes:integer"],
    );
    table(cache, "tags", &["id:integer", "name:text", "color:api.color"]);
    table(cache, "ticket_tags", &["ticket_id:integer", "tag_id:integer"]);
    table(cache, "ticket_labels", &["ticket_id:integer", "tag_id:integer"]);
    table(cache, "log", &["line:text"]);
    view(cache, "open_tickets", &["id:integer", "tenant_id:integer"]);
    primary_key(cache, "ticket_tags", &["ticket_id", "tag_id"]);
    primary_key(cache, "reports", &["ticket_id"]);
    primary_key(cache, "log", &[]);
}

fn relationships(cache: &mut SchemaCache) {
    foreign_key(cache, "users", "tenant_id", "tenants");
    foreign_key(cache, "users", "manager_id", "users");
    foreign_key(cache, "tickets", "tenant_id", "tenants");
    foreign_key(cache, "tickets", "complainant_id", "users");
    foreign_key(cache, "tickets", "executor_id", "users");
    foreign_key(cache, "activities", "ticket_id", "tickets");
    foreign_key(cache, "ticket_tags", "ticket_id", "tickets");
    foreign_key(cache, "ticket_tags", "tag_id", "tags");
    foreign_key(cache, "open_tickets", "tenant_id", "tenants");
    one_to_one(cache, "reports", "ticket_id", "tickets");
    many_to_many(cache, "tickets", "ticket_tags", "tags");
    many_to_many(cache, "tickets", "ticket_labels", "tags");
    computed(cache, "similar_tickets", "tickets", "tickets", false);
    computed(cache, "owner", "tickets", "users", true);
}

fn columns(columns: &[&str]) -> Vec<Column> {
    let column = |column: &&str| {
        let (name, nominal_type) = column.split_once(':').unwrap();
        Column {
            name: name.to_owned(),
            nominal_type: nominal_type.to_owned(),
            base_type: nominal_type.replace("api.color", "integer"),
            default: (name == "id").then(|| "nextval('ids')".to_owned()),
            ..Column::default()
        }
    };
    columns.iter().map(column).collect()
}

pub(super) fn table(cache: &mut SchemaCache, of: &str, with: &[&str]) {
    let table = Table {
        name: name(of),
        primary_key: vec!["id".to_owned()],
        columns: columns(with),
        ..Table::default()
    };
    cache.tables.insert(name(of), Arc::new(table));
}

fn view(cache: &mut SchemaCache, of: &str, with: &[&str]) {
    let view = Table {
        name: name(of),
        is_view: true,
        columns: columns(with),
        ..Table::default()
    };
    cache.tables.insert(name(of), Arc::new(view));
}

fn primary_key(cache: &mut SchemaCache, of: &str, columns: &[&str]) {
    let table = Arc::make_mut(cache.tables.get_mut(&name(of)).unwrap());
    table.primary_key = columns.iter().map(|&column| column.to_owned()).collect();
}

fn add(cache: &mut SchemaCache, origin: &str, target: &str, cardinality: Cardinality) {
    let relationship = Relationship::ForeignKey {
        origin: name(origin),
        target: name(target),
        is_self: origin == target,
        cardinality,
        origin_is_view: origin.starts_with("open_"),
        target_is_view: target.starts_with("open_"),
    };
    cache
        .relationships
        .entry(name(origin))
        .or_default()
        .push(Arc::new(relationship));
}

fn pairs(first: &str, second: &str) -> Vec<(String, String)> {
    vec![(first.to_owned(), second.to_owned())]
}

fn foreign_key(cache: &mut SchemaCache, from: &str, column: &str, to: &str) {
    let constraint = format!("{from}_{column}_fkey");
    let up = Cardinality::ManyToOne {
        constraint: constraint.clone(),
        columns: pairs(column, "id"),
    };
    let down = Cardinality::OneToMany {
        constraint: constraint.clone(),
        columns: pairs("id", column),
    };
    add(cache, from, to, up);
    add(cache, to, from, down);
}

fn one_to_one(cache: &mut SchemaCache, from: &str, column: &str, to: &str) {
    let constraint = format!("{from}_{column}_fkey");
    let way = |columns, origin_is_parent| Cardinality::OneToOne {
        constraint: constraint.clone(),
        columns,
        origin_is_parent,
    };
    add(cache, from, to, way(pairs(column, "id"), false));
    add(cache, to, from, way(pairs("id", column), true));
}

fn many_to_many(cache: &mut SchemaCache, one: &str, junction: &str, other: &str) {
    let column = |table: &str| format!("{}_id", table.trim_end_matches('s'));
    let constraint = |table: &str| format!("{junction}_{}_fkey", column(table));
    for (origin, target) in [(one, other), (other, one)] {
        let junction = Junction {
            table: name(junction),
            origin_constraint: constraint(origin),
            target_constraint: constraint(target),
            origin_columns: pairs("id", &column(origin)),
            target_columns: pairs("id", &column(target)),
        };
        add(cache, origin, target, Cardinality::ManyToMany(junction));
    }
}

fn computed(cache: &mut SchemaCache, function: &str, origin: &str, target: &str, to_one: bool) {
    let relationship = Relationship::Computed {
        function: name(function),
        origin: name(origin),
        target: name(target),
        to_one,
        is_self: origin == target,
    };
    cache
        .relationships
        .entry(name(origin))
        .or_default()
        .push(Arc::new(relationship));
}

/// A function; parameters are written `name:type`, with `?` behind those that have a default and `...` before a
/// variadic one.
pub(super) fn routine(cache: &mut SchemaCache, of: &str, parameters: &[&str], returns: ReturnKind) {
    let parameters: Vec<Parameter> = parameters
        .iter()
        .map(|parameter| {
            let variadic = parameter.starts_with("...");
            let (name, sql_type) = parameter.trim_start_matches('.').split_once(':').unwrap();
            Parameter {
                name: name.to_owned(),
                sql_type: sql_type.trim_end_matches('?').to_owned(),
                widened_type: sql_type.trim_end_matches('?').to_owned(),
                required: !sql_type.ends_with('?'),
                variadic,
            }
        })
        .collect();
    let routine = Routine {
        name: name(of),
        description: None,
        is_variadic: parameters.iter().any(|parameter| parameter.variadic),
        parameters,
        returns,
        volatility: Volatility::Volatile,
        isolation: None,
        settings: Vec::new(),
    };
    cache
        .routines
        .entry(name(of))
        .or_default()
        .push(Arc::new(routine));
}

pub(super) fn returns(type_name: &str, is_set: bool, is_composite: bool) -> ReturnKind {
    ReturnKind {
        type_name: name(type_name),
        is_set,
        is_composite,
        is_composite_alias: false,
    }
}
