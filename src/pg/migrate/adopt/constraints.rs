//! Constraints and indexes: what is in the way goes before rows and columns change, what is missing comes after.

use super::{
    Kind, Work,
    catalog::{Catalog, Constraint, Target},
    list, quoted, table,
};
use crate::pg::migrate::MigrateError;

/// Removes constraints and indexes that contradict ours; leaves those that only add to them.
pub(super) async fn clear(
    work: &mut Work<'_>,
    found: &Catalog,
    reference: &Catalog,
) -> Result<(), MigrateError> {
    for (name, ours) in &reference.tables {
        let Some(theirs) = found.tables.get(name) else {
            continue;
        };
        let object = format!("public.{name}");
        for constraint in &theirs.constraints {
            let ours_too = ours
                .constraints
                .iter()
                .find(|other| other.says_the_same(constraint));
            // The same under two names: ours stays.
            let is_double = ours_too.is_some_and(|ours_too| {
                ours_too.name != constraint.name && theirs.constraints.iter().any(|c| c.name == ours_too.name)
            });
            if ours_too.is_some() && !is_double {
                continue;
            }
            let same_name = ours.constraints.iter().any(|other| other.name == constraint.name);
            // A second foreign key makes embeds of its table ambiguous, and one on tickets.executor_id keeps out the
            // users that are stored there. Somebody else's own columns are none of our business.
            let is_foreign_key =
                constraint.kind == "f" && constraint.columns.iter().all(|c| ours.column(c).is_some());
            let is_narrower = constraint.kind == "u" && is_narrower(&constraint.columns, &ours.constraints);
            if is_double || same_name || is_foreign_key || is_narrower {
                let sql = format!(
                    "alter table {} drop constraint {}",
                    table(name),
                    quoted(&constraint.name)
                );
                let doing = format!("removing constraint {} of public.{name}", constraint.name);
                work.run(doing, &sql).await?;
                let change = format!("constraint {} removed", constraint.name);
                work.note(
                    Kind::Structure,
                    object.as_str(),
                    change,
                    Some(&constraint.definition),
                );
            } else {
                let change = format!("constraint {}: {}", constraint.name, constraint.definition);
                work.note(Kind::Kept, object.as_str(), change, None);
            }
        }
        for index in &theirs.indexes {
            let is_ours = ours.indexes.iter().any(|other| other.shape() == index.shape());
            let same_name = ours.indexes.iter().any(|other| other.name == index.name);
            let is_narrower = index
                .unique_over
                .as_ref()
                .is_some_and(|columns| is_narrower(columns, &ours.constraints));
            if !is_ours && (same_name || is_narrower) {
                let sql = format!("drop index {}", table(&index.name));
                work.run(format!("removing index {}", index.name), &sql).await?;
                let change = format!("index {} removed", index.name);
                work.note(Kind::Structure, object.as_str(), change, Some(&index.definition));
            } else if !is_ours {
                work.note(Kind::Kept, object.as_str(), format!("index {}", index.name), None);
            }
        }
    }
    Ok(())
}

/// Tells whether unique `columns` are fewer than one of our unique constraints has, as `(name)` against
/// `(tenant_id, name)`: then what two tenants may have, one of them could not.
fn is_narrower(columns: &[String], ours: &[Constraint]) -> bool {
    ours.iter().any(|other| {
        other.kind == "u"
            && columns.len() < other.columns.len()
            && columns.iter().all(|column| other.columns.contains(column))
    })
}

/// Adds what is missing under our names, foreign keys last. Rows that break a constraint are problems.
pub(super) async fn complete(
    work: &mut Work<'_>,
    found: &Catalog,
    reference: &Catalog,
) -> Result<(), MigrateError> {
    for foreign_keys in [false, true] {
        for (name, ours) in &reference.tables {
            let theirs = found
                .tables
                .get(name)
                .map_or(&[][..], |theirs| &theirs.constraints);
            for constraint in &ours.constraints {
                if (constraint.kind == "f") != foreign_keys {
                    continue;
                }
                let same: Vec<_> = theirs
                    .iter()
                    .filter(|other| other.says_the_same(constraint))
                    .collect();
                match same.first() {
                    _ if same.iter().any(|other| other.name == constraint.name) => {}
                    Some(other) => rename_constraint(work, name, &other.name, &constraint.name).await?,
                    None => add_constraint(work, name, constraint, found.tables.contains_key(name)).await?,
                }
            }
        }
        // A foreign key needs the keys it refers to.
        work.stop_at_problems()?;
    }
    for (name, ours) in &reference.tables {
        let theirs = found.tables.get(name).map_or(&[][..], |theirs| &theirs.indexes);
        let mut added = 0;
        for index in &ours.indexes {
            let same: Vec<_> = theirs
                .iter()
                .filter(|other| other.shape() == index.shape())
                .collect();
            if same.iter().any(|other| other.name == index.name) {
                continue;
            }
            if let Some(other) = same.first() {
                let sql = format!(
                    "alter index {} rename to {}",
                    table(&other.name),
                    quoted(&index.name)
                );
                work.run(format!("renaming index {}", other.name), &sql).await?;
                let change = format!("index {} is {} now", other.name, index.name);
                work.note(Kind::Structure, format!("public.{name}"), change, None);
            } else {
                work.run(format!("creating index {}", index.name), &index.definition)
                    .await?;
                added += 1;
            }
        }
        if added > 0 && found.tables.contains_key(name) {
            let change = format!("{added} {} added", if added == 1 { "index" } else { "indexes" });
            work.note(Kind::Structure, format!("public.{name}"), change, None);
        }
    }
    Ok(())
}

async fn rename_constraint(
    work: &mut Work<'_>,
    name: &str,
    from: &str,
    to: &str,
) -> Result<(), MigrateError> {
    let sql = format!(
        "alter table {} rename constraint {} to {}",
        table(name),
        quoted(from),
        quoted(to)
    );
    work.run(format!("renaming constraint {from} of public.{name}"), &sql)
        .await?;
    let change = format!("constraint {from} is {to} now");
    work.note(Kind::Structure, format!("public.{name}"), change, None);
    Ok(())
}

async fn add_constraint(
    work: &mut Work<'_>,
    name: &str,
    constraint: &Constraint,
    announce: bool,
) -> Result<(), MigrateError> {
    let doing = format!("adding constraint {} to public.{name}", constraint.name);
    if let Some(target) = &constraint.target
        && target.clears
    {
        clear_orphans(work, name, constraint, target).await?;
    }
    if let Some((count, example)) = work.count(&doing, &offenders(name, constraint)).await? {
        work.problems.push(format!(
            "public.{name}: {count} {} {} {}, such as {}",
            if count == 1 { "row breaks" } else { "rows break" },
            constraint.name,
            constraint.definition,
            example.unwrap_or_default()
        ));
        return Ok(());
    }
    let sql = format!(
        "alter table {} add constraint {} {}",
        table(name),
        quoted(&constraint.name),
        constraint.definition
    );
    work.run(doing, &sql).await?;
    if announce {
        let change = format!("constraint {} added", constraint.name);
        work.note(Kind::Structure, format!("public.{name}"), change, None);
    }
    Ok(())
}

/// The query that counts the rows that break a constraint and shows one: its id and the constraint's columns.
fn offenders(name: &str, constraint: &Constraint) -> String {
    let shown: Vec<_> = constraint
        .columns
        .iter()
        .map(|column| format!("'{}', t.{}", column.replace('\'', "''"), quoted(column)))
        .collect();
    let example = format!(
        "min(concat_ws(' ', 'id ' || (to_jsonb(t) ->> 'id'), jsonb_build_object({})))",
        shown.join(", ")
    );
    let table = table(name);
    match (&constraint.check, &constraint.target) {
        (Some(check), _) => format!("select count(*), {example} from {table} t where not ({check})"),
        (None, Some(target)) => format!(
            "select count(*), {example} from {table} t where {}",
            is_orphan(constraint, target)
        ),
        (None, None) => {
            let columns = list(&constraint.columns);
            let no_nulls: Vec<_> = constraint
                .columns
                .iter()
                .map(|column| format!("t.{} is not null", quoted(column)))
                .collect();
            format!(
                "select count(*), {example} from (
                   select t.*, count(*) over (partition by {columns}) as dropwire_times from {table} t where {}
                 ) t where t.dropwire_times > 1",
                no_nulls.join(" and ")
            )
        }
    }
}

fn is_orphan(constraint: &Constraint, target: &Target) -> String {
    let pairs = constraint.columns.iter().zip(&target.columns);
    let (refers, matches): (Vec<_>, Vec<_>) = pairs
        .map(|(from, to)| {
            let from = format!("t.{}", quoted(from));
            (
                format!("{from} is not null"),
                format!("r.{} = {from}", quoted(to)),
            )
        })
        .unzip();
    format!(
        "{} and not exists (select from {} r where {})",
        refers.join(" and "),
        target.table,
        matches.join(" and ")
    )
}

/// Does what deleting the missing row would have done: the reference becomes null. What it named is kept.
async fn clear_orphans(
    work: &mut Work<'_>,
    name: &str,
    constraint: &Constraint,
    target: &Target,
) -> Result<(), MigrateError> {
    let [column] = constraint.columns.as_slice() else {
        return Ok(()); // none of ours has more
    };
    let quoted = quoted(column);
    let sql = format!(
        "with orphans as (select t.id, t.{quoted} as was from {table} t where {}),
              cleared as (update {table} t set {quoted} = null from orphans o where o.id = t.id)
         select count(*), string_agg(format('%s: %s', id, was), ', ' order by id) from orphans",
        is_orphan(constraint, target),
        table = table(name),
    );
    let doing = format!("clearing {column} of public.{name} where it leads nowhere");
    if let Some((count, was)) = work.count(doing, &sql).await? {
        let change = format!("{column} emptied where it named what does not exist: {count}");
        work.note(Kind::Rows, format!("public.{name}"), change, was.as_deref());
    }
    Ok(())
}
