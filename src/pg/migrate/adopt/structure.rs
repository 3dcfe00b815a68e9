//! Clearing the way, types and columns.

use super::{
    FUNCTIONS, Kind, TRIGGERS, Work,
    catalog::{Catalog, Column, Table, Trigger},
    literal, quoted, table,
};
use crate::pg::migrate::MigrateError;

/// Where things go that are replaced but still used by something that is not ours.
const ASIDE: &str = "dropwire_original";

/// Removes the original's policies, triggers and functions; triggers of anybody else rest until [`tidy`].
pub(super) async fn clear(
    work: &mut Work<'_>,
    found: &Catalog,
    reference: &Catalog,
) -> Result<(), MigrateError> {
    for (name, ours) in &reference.tables {
        let Some(theirs) = found.tables.get(name) else {
            continue;
        };
        for policy in &theirs.policies {
            let sql = format!("drop policy {} on {}", quoted(&policy.name), table(name));
            let doing = format!("removing policy \"{}\" from public.{name}", policy.name);
            work.run(doing, &sql).await?;
            let object = format!("public.{name}");
            work.note(
                Kind::Policy,
                object,
                format!("policy \"{}\" removed", policy.name),
                Some(&policy.definition),
            );
        }
        for trigger in &theirs.triggers {
            let of_original = is_of_original(trigger, ours);
            let verb = if of_original { "drop" } else { "disable" };
            let sql = if of_original {
                format!("drop trigger {} on {}", quoted(&trigger.name), table(name))
            } else {
                format!(
                    "alter table {} disable trigger {}",
                    table(name),
                    quoted(&trigger.name)
                )
            };
            let doing = format!("{verb} trigger {} of public.{name}", trigger.name);
            work.run(doing, &sql).await?;
            if of_original {
                let change = format!("trigger {} removed", trigger.name);
                work.note(
                    Kind::Trigger,
                    format!("public.{name}"),
                    change,
                    Some(&trigger.definition),
                );
            }
        }
    }
    for function in &found.functions {
        let replaced = reference.functions.iter().any(|ours| ours.name == function.name);
        if !replaced && !FUNCTIONS.contains(&function.name.as_str()) {
            continue;
        }
        let signature = &function.signature;
        let doing = format!("removing function {signature}");
        let change = if work.dropped(&doing, &format!("drop routine {signature}")).await? {
            "removed".to_owned()
        } else {
            let aside =
                format!("create schema if not exists {ASIDE}; alter routine {signature} set schema {ASIDE}");
            work.run(doing, &aside).await?;
            format!("moved to schema {ASIDE}, since something that is not ours uses it")
        };
        work.note(Kind::Function, signature, change, Some(&function.definition));
    }
    Ok(())
}

fn is_of_original(trigger: &Trigger, ours: &Table) -> bool {
    FUNCTIONS
        .iter()
        .any(|name| trigger.function.strip_prefix("public.") == Some(name))
        || TRIGGERS.contains(&trigger.name.as_str())
        || ours.triggers.iter().any(|other| other.name == trigger.name)
}

/// Brings enum types and free sequences to ours. An enum with other labels is replaced: a label added to it could not
/// be used before the transaction ends.
pub(super) async fn types(
    work: &mut Work<'_>,
    found: &Catalog,
    reference: &Catalog,
) -> Result<(), MigrateError> {
    for (name, labels) in &reference.enums {
        let theirs = found.enums.get(name);
        if theirs == Some(labels) {
            continue;
        }
        let doing = format!("creating type public.{name}");
        let mut change = "created".to_owned();
        if let Some(theirs) = theirs {
            let aside = format!(
                "create schema if not exists {ASIDE}; alter type {} set schema {ASIDE}",
                table(name)
            );
            work.run(&doing, &aside).await?;
            let added: Vec<_> = labels.iter().filter(|label| !theirs.contains(label)).collect();
            change = format!("replaced by one with {added:?} in addition");
        }
        let labels: Vec<_> = labels.iter().map(|label| literal(label)).collect();
        let sql = format!("create type {} as enum ({})", table(name), labels.join(", "));
        work.run(&doing, &sql).await?;
        work.note(Kind::Structure, format!("type public.{name}"), change, None);
    }
    for (name, sequence) in &reference.sequences {
        if sequence.of_column || found.sequences.contains_key(name) {
            continue;
        }
        let sql = format!(
            "create sequence {} as {} start with {}",
            table(name),
            sequence.kind,
            sequence.start
        );
        work.run(format!("creating sequence public.{name}"), &sql).await?;
        work.note(
            Kind::Structure,
            format!("sequence public.{name}"),
            "created",
            None,
        );
    }
    Ok(())
}

/// Brings the columns of every table to ours, and creates the tables that are missing. Constraints follow later.
pub(super) async fn columns(
    work: &mut Work<'_>,
    found: &Catalog,
    reference: &Catalog,
) -> Result<(), MigrateError> {
    let nothing = Table::default();
    for (name, ours) in &reference.tables {
        let theirs = found.tables.get(name);
        if theirs.is_none() {
            let sql = format!("create table {} ()", table(name));
            work.run(format!("creating public.{name}"), &sql).await?;
            work.note(Kind::Structure, format!("public.{name}"), "created", None);
        }
        let is_new = theirs.is_none();
        let theirs = theirs.unwrap_or(&nothing);
        let mut added = Vec::new();
        for column in &ours.columns {
            if let Some(existing) = theirs.column(&column.name) {
                alter_column(work, name, column, existing).await?;
            } else {
                add_column(work, name, column).await?;
                added.push(column.name.as_str());
            }
        }
        if !is_new && !added.is_empty() {
            let change = format!("column{} {} added", plural(added.len()), added.join(", "));
            work.note(Kind::Structure, format!("public.{name}"), change, None);
        }
        for column in &theirs.columns {
            if ours.column(&column.name).is_none() {
                keep_column(work, name, column).await?;
            }
        }
    }
    Ok(())
}

async fn add_column(work: &mut Work<'_>, name: &str, column: &Column) -> Result<(), MigrateError> {
    let doing = format!("adding column {} to public.{name}", column.name);
    let (table, quoted, kind) = (table(name), quoted(&column.name), &column.kind);
    let mut sql = format!("alter table {table} add column {quoted} {kind}");
    if column.identity.is_some() {
        // Numbered in the order of the rows' age; the sequence goes on behind the last.
        let numbering = format!(
            "; update {table} t set {quoted} = n.number
                 from (select id, row_number() over (order by created_at, id) as number from {table}) n
                where n.id = t.id;
              alter table {table} alter column {quoted} set not null;
              alter table {table} alter column {quoted} add generated {} as identity;
              select setval(pg_get_serial_sequence({}, {}), max({quoted})) from {table} having count(*) > 0",
            if column.identity.as_deref() == Some("a") {
                "always"
            } else {
                "by default"
            },
            literal(&table),
            literal(&column.name),
        );
        sql.push_str(&numbering);
        return work.run(doing, &sql).await;
    }
    if let Some(default) = &column.default {
        sql.push_str(" default ");
        sql.push_str(default);
    }
    if column.not_null {
        let rows = format!("select count(*), null from {table}");
        if column.default.is_none()
            && let Some((count, _)) = work.count(&doing, &rows).await?
        {
            work.blocked = true;
            work.problems.push(format!(
                "public.{name}: column {} is missing, and each of the {count} rows needs a value there",
                column.name
            ));
        } else {
            sql.push_str(" not null");
        }
    }
    work.run(doing, &sql).await
}

async fn alter_column(
    work: &mut Work<'_>,
    name: &str,
    ours: &Column,
    theirs: &Column,
) -> Result<(), MigrateError> {
    let object = format!("public.{name}");
    let doing = format!("changing column {} of public.{name}", ours.name);
    let alter = format!("alter table {} alter column {}", table(name), quoted(&ours.name));
    if ours.kind != theirs.kind {
        if !is_castable(work, name, ours, theirs).await? {
            return Ok(());
        }
        // A default of the old type would not follow.
        let sql = format!(
            "{alter} drop default; {alter} type {} using {}::text::{}",
            ours.kind,
            quoted(&ours.name),
            ours.kind
        );
        work.run(&doing, &sql).await?;
        // A replaced enum has been told of already.
        if !theirs.kind.starts_with(ASIDE) {
            let change = format!("{} is {} now, not {}", ours.name, ours.kind, theirs.kind);
            work.note(Kind::Structure, object.as_str(), change, None);
        }
    }
    match &ours.default {
        _ if ours.default == theirs.default && ours.kind == theirs.kind => {}
        Some(default) => {
            let sql = format!("{alter} set default {default}");
            work.run(&doing, &sql).await?;
            if ours.kind == theirs.kind {
                let change = format!("default of {} is {default} now", ours.name);
                work.note(
                    Kind::Structure,
                    object.as_str(),
                    change,
                    theirs.default.as_deref(),
                );
            }
        }
        // An identity column's value comes from its sequence.
        None if theirs.default.is_some() && ours.identity.is_none() => {
            work.run(&doing, &format!("{alter} drop default")).await?;
            let change = format!("{} has no default any more", ours.name);
            work.note(
                Kind::Structure,
                object.as_str(),
                change,
                theirs.default.as_deref(),
            );
        }
        None => {}
    }
    if theirs.not_null && !ours.not_null {
        work.run(&doing, &format!("{alter} drop not null")).await?;
        work.note(
            Kind::Structure,
            object,
            format!("{} may be null now", ours.name),
            None,
        );
    } else if ours.not_null && !theirs.not_null {
        require_values(work, name, ours, &alter).await?;
    }
    Ok(())
}

/// Makes a column not null: rows without a value get the default, or are a problem where there is none.
async fn require_values(
    work: &mut Work<'_>,
    name: &str,
    ours: &Column,
    alter: &str,
) -> Result<(), MigrateError> {
    let object = format!("public.{name}");
    let doing = format!("making column {} of public.{name} not null", ours.name);
    let column = quoted(&ours.name);
    let empty = format!(
        "select count(*), min(coalesce(to_jsonb(t) ->> 'id', t::text)) from {} t where {column} is null",
        table(name)
    );
    if let Some((count, example)) = work.count(&doing, &empty).await? {
        let Some(default) = &ours.default else {
            work.problems.push(format!(
                "public.{name}: {count} {} no {}, such as id {}",
                if count == 1 { "row has" } else { "rows have" },
                ours.name,
                example.unwrap_or_default()
            ));
            return Ok(());
        };
        let fill = format!(
            "update {} set {column} = {default} where {column} is null",
            table(name)
        );
        work.run(&doing, &fill).await?;
        let change = format!("{} of {count} rows set to the default {default}", ours.name);
        work.note(Kind::Rows, object.as_str(), change, None);
    }
    work.run(&doing, &format!("{alter} set not null")).await?;
    work.note(
        Kind::Structure,
        object,
        format!("{} is not null now", ours.name),
        None,
    );
    Ok(())
}

/// Tells whether all values of a column can become values of our type; a problem says which cannot.
async fn is_castable(
    work: &mut Work<'_>,
    name: &str,
    ours: &Column,
    theirs: &Column,
) -> Result<bool, MigrateError> {
    let doing = format!("reading column {} of public.{name} as {}", ours.name, ours.kind);
    // A function of the session, gone with it: SQL has no cast that answers instead of failing.
    let probe = format!(
        "create or replace function pg_temp.dropwire_reads(value text) returns boolean language plpgsql as
         $$ begin perform value::{}; return true; exception when data_exception then return false; end $$",
        ours.kind
    );
    work.run(&doing, &probe).await?;
    let unreadable = format!(
        "select count(*), min({column}::text) from {} where not pg_temp.dropwire_reads({column}::text)",
        table(name),
        column = quoted(&ours.name)
    );
    let unreadable = work.count(&doing, &unreadable).await?;
    work.run(&doing, "drop function pg_temp.dropwire_reads(text)")
        .await?;
    if let Some((count, example)) = &unreadable {
        work.blocked = true;
        work.problems.push(format!(
            "public.{name}: column {} is {} and must become {}, which {count} of its values cannot, such as {:?}",
            ours.name,
            theirs.kind,
            ours.kind,
            example.as_deref().unwrap_or_default()
        ));
    }
    Ok(unreadable.is_none())
}

/// Leaves a column of somebody else's alone, but for a value that it demands and that we cannot give.
async fn keep_column(work: &mut Work<'_>, name: &str, column: &Column) -> Result<(), MigrateError> {
    let mut change = format!("column {}", column.name);
    if column.not_null && column.default.is_none() && column.identity.is_none() {
        let sql = format!(
            "alter table {} alter column {} drop not null",
            table(name),
            quoted(&column.name)
        );
        work.run(format!("relaxing column {} of public.{name}", column.name), &sql)
            .await?;
        change.push_str(", which no longer has to have a value");
    }
    work.note(Kind::Kept, format!("public.{name}"), change, None);
    Ok(())
}

/// Lets the triggers that are not ours work again as before, and removes what nothing uses any more.
pub(super) async fn tidy(
    work: &mut Work<'_>,
    before: &Catalog,
    reference: &Catalog,
) -> Result<(), MigrateError> {
    for (name, ours) in &reference.tables {
        let theirs = before.tables.get(name).map_or(&[][..], |theirs| &theirs.triggers);
        for trigger in theirs.iter().filter(|trigger| !is_of_original(trigger, ours)) {
            let enable = match trigger.enabled.as_str() {
                "D" => None,
                "A" => Some("enable always"),
                "R" => Some("enable replica"),
                _ => Some("enable"),
            };
            if let Some(enable) = enable {
                let sql = format!(
                    "alter table {} {enable} trigger {}",
                    table(name),
                    quoted(&trigger.name)
                );
                work.run(format!("{enable} trigger {}", trigger.name), &sql)
                    .await?;
            }
            let change = format!("trigger {}", trigger.name);
            work.note(Kind::Kept, format!("public.{name}"), change, None);
        }
    }
    for name in reference.enums.keys() {
        let sql = format!("drop type if exists {ASIDE}.{}", quoted(name));
        if !work
            .dropped(format!("removing the old type {name}"), &sql)
            .await?
        {
            let change =
                format!("the original's, in schema {ASIDE}, since something that is not ours uses it");
            work.note(Kind::Kept, format!("type {name}"), change, None);
        }
    }
    // Stays where something is left in it, and does no harm there.
    let doing = format!("removing schema {ASIDE}");
    work.dropped(doing, &format!("drop schema if exists {ASIDE}"))
        .await?;
    Ok(())
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
