//! Relationships: from foreign keys, through views, over junctions, and computed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio_postgres::Row;

use super::keys::{Key, KeyKind};
use super::views::{Dependency, Part, View};
use crate::schema_cache::relationship::ColumnPairs;
use crate::schema_cache::{Cardinality, Junction, QualifiedName, Relationship, Table};

/// A foreign key from a table or a view that shows it, to a table or a view that shows what it references.
#[derive(Debug, Clone)]
struct Link<'a> {
    origin: End<'a>,
    target: End<'a>,
    is_self: bool,
    constraint: &'a str,
    /// (origin column, target column).
    columns: ColumnPairs,
    /// Whether the key is unique on its side too.
    one_to_one: bool,
}

#[derive(Debug, Clone, Copy)]
struct End<'a> {
    name: &'a QualifiedName,
    is_view: bool,
}

/// Reads a row of `sql/catalog/computed_relationships.sql`.
pub(super) fn computed(row: &Row) -> Relationship {
    let qualified =
        |schema, name| QualifiedName::new(row.get::<&str, String>(schema), row.get::<&str, String>(name));
    let origin = qualified("origin_schema", "origin_table");
    let target = qualified("target_schema", "target_table");
    Relationship::Computed {
        function: qualified("function_schema", "function_name"),
        is_self: origin == target,
        origin,
        target,
        to_one: row.get("to_one"),
    }
}

/// Builds the relationships between relations of the exposed schemas.
pub(super) fn build(
    keys: &[Key],
    views: &[View],
    dependencies: &[Vec<Dependency>],
    tables: &HashMap<QualifiedName, Arc<Table>>,
    computed: Vec<Relationship>,
    exposed: &HashSet<String>,
) -> HashMap<QualifiedName, Vec<Arc<Relationship>>> {
    let is_exposed = |name: &QualifiedName| exposed.contains(&name.schema);
    let links = links(keys, views, dependencies, is_exposed);
    let mut found: Vec<Relationship> = links
        .iter()
        .flat_map(|link| [link.forward(), link.backward()])
        .collect();
    across_junctions(&links, tables, &mut found);
    // A function takes the place of what it is named like.
    let replaced: HashSet<(QualifiedName, QualifiedName)> = computed
        .iter()
        .filter_map(|relationship| match relationship {
            Relationship::Computed { function, origin, .. } => Some((origin.clone(), function.clone())),
            Relationship::ForeignKey { .. } => None,
        })
        .collect();
    if !replaced.is_empty() {
        found.retain(|link| !replaced.contains(&(link.origin().clone(), link.target().clone())));
    }
    found.extend(
        computed
            .into_iter()
            .filter(|computed| is_exposed(computed.origin()) && is_exposed(computed.target())),
    );
    let mut by_origin: HashMap<QualifiedName, Vec<Arc<Relationship>>> = HashMap::new();
    for relationship in found {
        if let Some(group) = by_origin.get_mut(relationship.origin()) {
            group.push(Arc::new(relationship));
        } else {
            by_origin.insert(relationship.origin().clone(), vec![Arc::new(relationship)]);
        }
    }
    for group in by_origin.values_mut() {
        group.sort_unstable();
        group.shrink_to_fit();
    }
    by_origin
}

/// Lists the foreign keys, and again for each view that shows either side or both.
fn links<'a>(
    keys: &'a [Key],
    views: &'a [View],
    dependencies: &[Vec<Dependency>],
    is_exposed: impl Fn(&QualifiedName) -> bool,
) -> Vec<Link<'a>> {
    let mut unique: HashMap<u32, Vec<&Key>> = HashMap::new();
    for key in keys {
        if !matches!(key.kind, KeyKind::Foreign(_)) {
            unique.entry(key.table.oid).or_default().push(key);
        }
    }
    let mut links = Vec::new();
    for (key, dependencies) in keys.iter().zip(dependencies) {
        let KeyKind::Foreign(target) = &key.kind else {
            continue;
        };
        let one_to_one = unique
            .get(&key.table.oid)
            .is_some_and(|unique| unique.iter().any(|other| other.table.is_same_set(&key.table)));
        let sides = |part, name: &'a QualifiedName, columns: &[String]| {
            let mut sides = Vec::new();
            if is_exposed(name) {
                sides.push((End { name, is_view: false }, columns.to_vec()));
            }
            for dependency in dependencies.iter().filter(|found| found.part == part) {
                if let Some(view) = views.get(dependency.view) {
                    let end = End {
                        name: &view.name,
                        is_view: true,
                    };
                    sides.extend(choices(&dependency.columns).map(|columns| (end, columns)));
                }
            }
            sides
        };
        let targets = sides(Part::Referenced, &target.name, &target.columns);
        for (origin, columns) in sides(Part::Own, &key.table.name, &key.table.columns) {
            for (target, target_columns) in &targets {
                links.push(Link {
                    origin,
                    target: *target,
                    is_self: origin.name == target.name,
                    constraint: &key.name,
                    columns: columns
                        .iter()
                        .cloned()
                        .zip(target_columns.iter().cloned())
                        .collect(),
                    one_to_one,
                });
            }
        }
    }
    links
}

/// Lists every way to choose one column for each of a key's columns.
fn choices(columns: &[Vec<String>]) -> impl Iterator<Item = Vec<String>> {
    let mut chosen = vec![Vec::new()];
    for options in columns {
        chosen = chosen
            .iter()
            .flat_map(|before: &Vec<String>| {
                options.iter().map(move |option| {
                    let mut with = before.clone();
                    with.push(option.clone());
                    with
                })
            })
            .collect();
    }
    chosen.into_iter()
}

impl Link<'_> {
    /// From the foreign key to what it references.
    fn forward(&self) -> Relationship {
        let constraint = self.constraint.to_owned();
        let columns = self.columns.clone();
        let cardinality = if self.one_to_one {
            Cardinality::OneToOne {
                constraint,
                columns,
                origin_is_parent: false,
            }
        } else {
            Cardinality::ManyToOne { constraint, columns }
        };
        between(self.origin, self.target, self.is_self, cardinality)
    }

    /// From what is referenced to the foreign key.
    fn backward(&self) -> Relationship {
        let constraint = self.constraint.to_owned();
        let columns = swapped(&self.columns);
        let cardinality = if self.one_to_one {
            Cardinality::OneToOne {
                constraint,
                columns,
                origin_is_parent: true,
            }
        } else {
            Cardinality::OneToMany { constraint, columns }
        };
        between(self.target, self.origin, self.is_self, cardinality)
    }
}

fn between(origin: End<'_>, target: End<'_>, is_self: bool, cardinality: Cardinality) -> Relationship {
    Relationship::ForeignKey {
        origin: origin.name.clone(),
        target: target.name.clone(),
        is_self,
        cardinality,
        origin_is_view: origin.is_view,
        target_is_view: target.is_view,
    }
}

/// Adds many-to-many relationships: two foreign keys of one relation whose columns are all in its primary key.
fn across_junctions(
    links: &[Link<'_>],
    tables: &HashMap<QualifiedName, Arc<Table>>,
    found: &mut Vec<Relationship>,
) {
    let mut junctions: HashMap<&QualifiedName, Vec<&Link<'_>>> = HashMap::new();
    for link in links {
        let Some(table) = tables.get(link.origin.name) else {
            continue;
        };
        let in_key = |column: &String| table.primary_key.contains(column);
        if !link.one_to_one && link.columns.iter().all(|(column, _)| in_key(column)) {
            junctions.entry(link.origin.name).or_default().push(link);
        }
    }
    for (junction, links) in junctions {
        for origin in &links {
            for target in &links {
                if origin.constraint == target.constraint {
                    continue;
                }
                let cardinality = Cardinality::ManyToMany(Junction {
                    table: junction.clone(),
                    origin_constraint: origin.constraint.to_owned(),
                    target_constraint: target.constraint.to_owned(),
                    origin_columns: swapped(&origin.columns),
                    target_columns: swapped(&target.columns),
                });
                let is_self = origin.target.name == target.target.name;
                found.push(between(origin.target, target.target, is_self, cardinality));
            }
        }
    }
}

fn swapped(columns: &ColumnPairs) -> ColumnPairs {
    columns
        .iter()
        .map(|(left, right)| (right.clone(), left.clone()))
        .collect()
}
