//! Which keys of which tables a view shows, and by which columns.

use std::collections::{BTreeMap, HashMap, HashSet};
use tokio_postgres::Row;

use super::LoadError;
use super::keys::{Key, KeyKind, Side};
use super::node_tree::{self, Origin};
use crate::schema_cache::QualifiedName;

/// A view and where its columns come from.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub oid: u32,
    pub name: QualifiedName,
    /// Whether its schema is exposed; others are only looked through.
    pub exposed: bool,
    /// Each column's name and origin.
    pub columns: Vec<(String, Option<Origin>)>,
}

impl View {
    /// Reads a row of `sql/catalog/views.sql`.
    pub fn from_row(row: &Row) -> Result<Self, LoadError> {
        let name = QualifiedName::new(row.get::<_, String>("schema"), row.get::<_, String>("name"));
        let Some(origins) = node_tree::origins(row.get("definition")) else {
            return Err(LoadError::View(name));
        };
        let origins: HashMap<_, _> = origins.into_iter().collect();
        let names: Vec<String> = row.get("columns");
        let columns = (1..)
            .zip(names)
            .map(|(number, name)| (name, origins.get(&number).copied().flatten()));
        Ok(Self {
            oid: row.get("oid"),
            name,
            exposed: row.get("exposed"),
            columns: columns.collect(),
        })
    }

    /// The origin of a column by its number.
    fn origin(&self, number: i16) -> Option<Origin> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.columns.get(at)?.1
    }
}

/// All of a key's columns, or of the columns that a foreign key references, shown by a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dependency {
    /// The view's place in the list of views.
    pub view: usize,
    pub part: Part,
    /// For each column of the key, in its order, the view's columns that show it: one at least.
    pub columns: Vec<Vec<String>>,
}

/// Which side of a key a view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The key's own columns.
    Own,
    /// The columns that a foreign key references.
    Referenced,
}

/// Finds, for each key by its place in the list, the exposed views that show it whole.
pub(super) fn dependencies(views: &[View], keys: &[Key]) -> Vec<Vec<Dependency>> {
    let by_oid: HashMap<u32, &View> = views.iter().map(|view| (view.oid, view)).collect();
    let mut by_table: HashMap<u32, Vec<(usize, Part, &Side)>> = HashMap::new();
    for (at, key) in keys.iter().enumerate() {
        if key.kind == KeyKind::Unique {
            continue;
        }
        let own = by_table.entry(key.table.oid).or_default();
        own.push((at, Part::Own, &key.table));
        if let KeyKind::Foreign(target) = &key.kind {
            let referenced = by_table.entry(target.oid).or_default();
            referenced.push((at, Part::Referenced, target));
        }
    }
    let mut found = vec![Vec::new(); keys.len()];
    for (view, definition) in views.iter().enumerate().filter(|(_, view)| view.exposed) {
        let shown = shown(definition, &by_oid);
        let tables: HashSet<u32> = shown.keys().map(|(table, _)| *table).collect();
        for (at, part, side) in tables.iter().filter_map(|table| by_table.get(table)).flatten() {
            let columns: Option<Vec<Vec<String>>> = side
                .numbers
                .iter()
                .map(|number| shown.get(&(side.oid, *number)).cloned())
                .collect();
            if let Some(columns) = columns
                && let Some(dependencies) = found.get_mut(*at)
            {
                dependencies.push(Dependency {
                    view,
                    part: *part,
                    columns,
                });
            }
        }
    }
    found
}

/// Follows a view's columns down, through the views below it. A column counts at every level, so that what the keys
/// are looked up by is the table, however deep.
fn shown(view: &View, views: &HashMap<u32, &View>) -> BTreeMap<Origin, Vec<String>> {
    let mut shown: BTreeMap<Origin, Vec<String>> = BTreeMap::new();
    for (name, origin) in &view.columns {
        let mut next = *origin;
        // Views can be redefined upon each other; a circle is left where it closes.
        let mut passed = HashSet::new();
        while let Some(origin) = next
            && passed.insert(origin)
        {
            shown.entry(origin).or_default().push(name.clone());
            next = views.get(&origin.0).and_then(|below| below.origin(origin.1));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(oid: u32, exposed: bool, columns: &[(&str, Option<Origin>)]) -> View {
        View {
            oid,
            name: QualifiedName::new("s", format!("v{oid}")),
            exposed,
            columns: columns
                .iter()
                .map(|(name, origin)| ((*name).to_owned(), *origin))
                .collect(),
        }
    }

    fn primary(oid: u32, numbers: &[i16]) -> Key {
        Key {
            kind: KeyKind::Primary,
            name: "pkey".to_owned(),
            table: Side {
                oid,
                name: QualifiedName::new("s", "t"),
                numbers: numbers.to_vec(),
                columns: numbers.iter().map(|number| format!("c{number}")).collect(),
            },
        }
    }

    #[test]
    fn a_key_is_found_through_hidden_views_by_every_column_that_shows_it() {
        let views = [
            view(
                10,
                true,
                &[("x", Some((11, 2))), ("y", Some((11, 1))), ("z", Some((11, 2)))],
            ),
            view(11, false, &[("a", Some((1, 7))), ("b", Some((1, 8)))]),
        ];
        let found = dependencies(&views, &[primary(1, &[8, 7])]);
        let columns = vec![vec!["x".to_owned(), "z".to_owned()], vec!["y".to_owned()]];
        let expected = Dependency {
            view: 0,
            part: Part::Own,
            columns,
        };
        assert_eq!(found, [vec![expected]]);
    }

    #[test]
    fn part_of_a_key_is_none() {
        let views = [view(10, true, &[("x", Some((1, 1))), ("y", None)])];
        assert_eq!(dependencies(&views, &[primary(1, &[1, 2])]), [vec![]]);
    }

    #[test]
    fn a_circle_of_views_ends() {
        let views = [
            view(10, true, &[("x", Some((11, 1)))]),
            view(11, true, &[("x", Some((10, 1)))]),
        ];
        assert_eq!(dependencies(&views, &[primary(1, &[1])]), [vec![]]);
    }
}
