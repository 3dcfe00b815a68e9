//! What surrounds the tables: functions, triggers, policies, row level security, comments, rights.

use super::{
    Kind, Work,
    catalog::{Catalog, Grants, Table},
    literal, quoted, table,
};
use crate::pg::migrate::MigrateError;

/// The roles whose rights a migration decides on. Anybody else's were given by the database's owner and stay.
const API_ROLES: [&str; 4] = ["public", "anon", "authenticated", "service_role"];

/// Gives the tables everything besides their shape that they have in the reference.
pub(super) async fn complete(
    work: &mut Work<'_>,
    found: &Catalog,
    reference: &Catalog,
) -> Result<(), MigrateError> {
    for function in &reference.functions {
        let doing = format!("creating function {}", function.signature);
        let mut sql = format!("{};\n", function.definition.trim_end());
        sql.push_str(&comment(
            "function",
            &function.signature,
            function.comment.as_deref(),
        ));
        sql.push_str(&rights("function", &function.signature, &function.grants));
        work.run(doing, &sql).await?;
    }
    let nothing = Table::default();
    for (name, ours) in &reference.tables {
        let theirs = found.tables.get(name).unwrap_or(&nothing);
        surround(work, name, ours, theirs).await?;
        if found.tables.contains_key(name) {
            announce(work, name, ours, theirs);
        }
    }
    for (name, sequence) in &reference.sequences {
        let sql = rights("sequence", &table(name), &sequence.grants);
        work.run(format!("granting rights on sequence public.{name}"), &sql)
            .await?;
    }
    Ok(())
}

async fn surround(work: &mut Work<'_>, name: &str, ours: &Table, theirs: &Table) -> Result<(), MigrateError> {
    let quoted_name = table(name);
    let mut sql = String::new();
    for trigger in &ours.triggers {
        sql.push_str(&trigger.definition);
        sql.push_str(";\n");
    }
    for policy in &ours.policies {
        sql.push_str(&policy.definition);
        sql.push_str(";\n");
    }
    if ours.row_security && !theirs.row_security {
        sql.push_str("alter table ");
        sql.push_str(&quoted_name);
        sql.push_str(" enable row level security;\n");
    }
    if ours.comment != theirs.comment {
        sql.push_str(&comment("table", &quoted_name, ours.comment.as_deref()));
    }
    for column in &ours.columns {
        let old = theirs.column(&column.name).and_then(|old| old.comment.as_ref());
        if column.comment.as_ref() != old {
            let object = format!("{quoted_name}.{}", quoted(&column.name));
            sql.push_str(&comment("column", &object, column.comment.as_deref()));
        }
    }
    sql.push_str(&rights("table", &quoted_name, &ours.grants));
    work.run(format!("completing public.{name}"), &sql).await
}

fn announce(work: &mut Work<'_>, name: &str, ours: &Table, theirs: &Table) {
    let object = format!("public.{name}");
    if ours.row_security && !theirs.row_security {
        work.note(Kind::Structure, object.as_str(), "row level security on", None);
    }
    let of_api = |grants: &Grants| -> Grants {
        let ours = grants
            .iter()
            .filter(|(role, _)| API_ROLES.contains(&role.as_str()));
        ours.map(|(role, rights)| (role.clone(), rights.clone()))
            .collect()
    };
    let (before, after) = (of_api(&theirs.grants), of_api(&ours.grants));
    if before != after {
        let before = format!("{before:?}");
        work.note(
            Kind::Rights,
            object,
            "rights of anon, authenticated and service_role set as on a fresh database",
            Some(&before),
        );
    }
}

fn comment(kind: &str, object: &str, text: Option<&str>) -> String {
    let text = text.map_or_else(|| "null".to_owned(), literal);
    format!("comment on {kind} {object} is {text};\n")
}

fn rights(kind: &str, object: &str, grants: &Grants) -> String {
    let revoke = format!("revoke all on {kind} {object} from {};\n", API_ROLES.join(", "));
    let grants = grants.iter().map(|(role, rights)| {
        let role = if role == "public" {
            role.clone()
        } else {
            quoted(role)
        };
        format!("grant {rights} on {kind} {object} to {role};\n")
    });
    std::iter::once(revoke).chain(grants).collect()
}
