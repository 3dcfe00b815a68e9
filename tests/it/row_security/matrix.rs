//! The matrix: role × table × operation × whose row it is.

use super::{Caller, Outcome, World};

/// Create, read, update, delete: the classes of rows for which each works. The classes are the fixture's.
type Cell = [&'static str; 4];

const NOTHING: Cell = ["", "", "", ""];

pub(super) struct Table {
    pub(super) name: &'static str,
    /// Classes of the rows that exist.
    rows: &'static str,
    /// Classes of the rows to create.
    new: &'static str,
    /// Which row a class is.
    key: &'static str,
    /// What to create: columns and values.
    pub(super) columns: &'static str,
    values: &'static str,
    /// A harmless update.
    pub(super) touch: &'static str,
    admin: Cell,
    /// Also an admin who carries the tenant.
    tenant_admin: Cell,
    executor: Cell,
    complainant: Cell,
}

/// A table of settings that everybody in the tenant reads.
const SETTINGS: Table = Table {
    name: "",
    rows: "ots",
    new: "ots",
    key: "id = fixture.id('{table} {class}')",
    columns: "name, tenant_id",
    values: "'new', {tenant}",
    touch: "name = name",
    admin: ["ots", "ots", "ots", "ots"],
    tenant_admin: ["o", "os", "o", "o"],
    executor: ["", "os", "", ""],
    complainant: ["", "os", "", ""],
};

/// A table that only who administers the tenant reads.
const RULES: Table = Table {
    tenant_admin: ["o", "o", "o", "o"],
    executor: NOTHING,
    complainant: NOTHING,
    ..SETTINGS
};

/// A table that is nobody's but service_role's.
const INTERNAL: Table = Table {
    rows: "o",
    new: "o",
    touch: "tenant_id = tenant_id",
    admin: NOTHING,
    tenant_admin: NOTHING,
    executor: NOTHING,
    complainant: NOTHING,
    ..SETTINGS
};

pub(super) const MATRIX: &[Table] = &[
    Table {
        name: "tenants",
        rows: "ot",
        new: "n",
        columns: "name, email",
        values: "'New', 'new@example.com'",
        admin: ["n", "ot", "ot", "ot"],
        tenant_admin: ["", "o", "o", ""],
        executor: ["", "o", "", ""],
        complainant: ["", "o", "", ""],
        ..SETTINGS
    },
    Table {
        name: "users",
        rows: "mots",
        key: "id = fixture.id('{person}')",
        columns: "email, role, tenant_id",
        values: "'new@example.com', 'executor', {tenant}",
        touch: "full_name = 'Other'",
        admin: ["ots", "mots", "mots", "mots"],
        tenant_admin: ["o", "mo", "mo", "mo"],
        executor: ["", "mo", "m", ""],
        complainant: ["", "mo", "m", ""],
        ..SETTINGS
    },
    Table {
        name: "tickets",
        rows: "mots",
        new: "mots",
        columns: "title, description, location, category, priority, type, complainant_id, tenant_id",
        values: "'new', 'new', 'here', 'HVAC', 'low', 'Maintenance', fixture.id('{complainant}'), {tenant}",
        touch: "status = 'in-progress'",
        admin: ["mots", "mots", "mots", "mots"],
        tenant_admin: ["mo", "mo", "mo", "mo"],
        executor: ["", "m", "m", ""],
        complainant: ["m", "m", "", ""],
        ..SETTINGS
    },
    Table {
        name: "ticket_activities",
        rows: "mots",
        new: "mots",
        columns: "ticket_id, tenant_id, activity_type",
        values: "fixture.id('tickets {class}'), {tenant}, 'executor_update'",
        touch: "comment = 'other'",
        admin: ["mots", "mots", "", ""],
        tenant_admin: ["mo", "mo", "", ""],
        executor: ["m", "m", "", ""],
        complainant: ["m", "m", "", ""],
        ..SETTINGS
    },
    Table {
        name: "tenant_notifications",
        rows: "ot",
        new: "ot",
        columns: "tenant_id, type, title, message",
        values: "{tenant}, 'new', 'new', 'new'",
        touch: "status = 'read', read_at = now()",
        admin: ["", "ot", "ot", ""],
        tenant_admin: ["", "o", "o", ""],
        ..RULES
    },
    Table {
        name: "executor_profiles",
        rows: "mot",
        new: "ot",
        columns: "full_name, tenant_id",
        touch: "availability_status = 'busy'",
        admin: ["ot", "mot", "mot", "mot"],
        tenant_admin: ["o", "mo", "mo", "mo"],
        executor: ["", "m", "", ""],
        complainant: NOTHING,
        ..SETTINGS
    },
    Table {
        name: "executor_skill",
        rows: "ot",
        new: "ot",
        admin: ["ot", "ot", "ot", "ot"],
        tenant_admin: ["o", "o", "o", "o"],
        executor: ["", "o", "", ""],
        complainant: ["", "o", "", ""],
        ..SETTINGS
    },
    Table {
        name: "executor_skills",
        rows: "ot",
        new: "ot",
        key: "executor_skill_id = fixture.id('executor_skill {class}')",
        columns: "executor_user_id, executor_skill_id",
        values: "fixture.id('{complainant}'), fixture.id('executor_skill {class}')",
        touch: "executor_skill_id = executor_skill_id",
        admin: ["ot", "ot", "ot", "ot"],
        tenant_admin: ["o", "o", "o", "o"],
        executor: ["", "o", "", ""],
        complainant: ["", "o", "", ""],
    },
    Table {
        name: "executors",
        rows: "mo",
        new: "m",
        columns: "user_id",
        values: "fixture.id('executor')",
        touch: "current_load = 1",
        admin: ["m", "mo", "mo", "mo"],
        tenant_admin: NOTHING,
        executor: ["", "m", "", ""],
        complainant: NOTHING,
        ..SETTINGS
    },
    Table {
        name: "categories",
        ..SETTINGS
    },
    Table {
        name: "priorities",
        rows: "oits",
        admin: ["ots", "oits", "oits", "oits"],
        tenant_admin: ["o", "ois", "oi", "oi"],
        ..SETTINGS
    },
    Table {
        name: "designations",
        rows: "oits",
        admin: ["ots", "oits", "oits", "oits"],
        tenant_admin: ["o", "ois", "oi", "oi"],
        ..SETTINGS
    },
    Table {
        name: "business_hours",
        columns: "day_of_week, tenant_id",
        values: "'Sunday', {tenant}",
        touch: "is_working_day = true",
        ..SETTINGS
    },
    Table {
        name: "holidays",
        columns: "date, name, tenant_id",
        values: "'2026-05-01', 'new', {tenant}",
        ..SETTINGS
    },
    Table {
        name: "rules",
        columns: "rule_name, tenant_id",
        touch: "is_active = false",
        ..RULES
    },
    Table {
        name: "conditions",
        columns: "rule_id, tenant_id, field_path, operator",
        values: "fixture.id('rules {class}'), {tenant}, 'status', 'is_null'",
        touch: "field_path = 'type'",
        ..RULES
    },
    Table {
        name: "actions",
        columns: "rule_id, action_type", // the dashboard may leave tenant_id out
        values: "fixture.id('rules {class}'), 'notify'",
        touch: "step_order = 2",
        ..RULES
    },
    Table {
        name: "rule_execution_logs",
        rows: "mot",
        new: "mot",
        columns: "rule_id, ticket_id, execution_status",
        values: "fixture.id('rules {home}'), fixture.id('tickets {class}'), 'skipped'",
        touch: "error_message = 'other'",
        admin: ["mot", "mot", "", ""],
        tenant_admin: ["mo", "mo", "", ""],
        executor: ["m", "", "", ""],
        complainant: ["m", "", "", ""],
        ..SETTINGS
    },
    Table {
        name: "ticket_webhook_queue",
        columns: "ticket_id, tenant_id",
        values: "fixture.id('tickets m'), {tenant}",
        ..INTERNAL
    },
    Table {
        name: "ticket_webhook_attempts",
        key: "entry_id = fixture.id('ticket_webhook_queue o')",
        columns: "entry_id, ticket_id, tenant_id, attempt, started_at, duration_ms",
        values: "fixture.id('ticket_webhook_queue o'), fixture.id('tickets m'), {tenant}, 2, now(), 20",
        touch: "duration_ms = 30",
        ..INTERNAL
    },
    Table {
        name: "executor_ticket_sessions",
        columns: "ticket_id, telegram_chat_id, session_type",
        values: "fixture.id('tickets m'), '2', 'update'",
        touch: "state = 'cancelled'",
        ..INTERNAL
    },
    Table {
        name: "telegram_messages",
        columns: "chat_id, tenant_id",
        ..INTERNAL
    },
    Table {
        name: "sla_configurations",
        columns: "tenant_id",
        values: "{tenant}",
        ..INTERNAL
    },
];

impl Table {
    /// What a caller may do. Registration is all that anybody without a row in users has.
    fn cell(&self, caller: Caller) -> Cell {
        match caller {
            "admin" => self.admin,
            "tenant_admin" | "local admin" => self.tenant_admin,
            "executor" => self.executor,
            "complainant" => self.complainant,
            // Attempts are written by the dispatcher's own functions, and never changed.
            "service_role" if self.name == "ticket_webhook_attempts" => ["", self.rows, "", ""],
            "service_role" => [self.new, self.rows, self.rows, self.rows],
            _ if self.name == "tenants" => ["n", "", "", ""],
            _ => NOTHING,
        }
    }

    /// Every statement to try as a caller, and whether it works.
    fn attempts(&self, caller: Caller) -> Vec<(String, bool)> {
        let statement = |attempt: &Attempt| match attempt.operation {
            Operation::Create => format!(
                "insert into {} ({}) values ({})",
                self.name, self.columns, attempt.values
            ),
            Operation::Read => format!("select 1 from {} where {}", self.name, attempt.key),
            Operation::Update => format!("update {} set {} where {}", self.name, self.touch, attempt.key),
            Operation::Delete => format!("delete from {} where {}", self.name, attempt.key),
        };
        self.cells(caller)
            .iter()
            .map(|attempt| (statement(attempt), attempt.works))
            .collect()
    }

    /// Everything to try as a caller.
    pub(super) fn cells(&self, caller: Caller) -> Vec<Attempt> {
        let tried = [
            (Operation::Create, self.new),
            (Operation::Read, self.rows),
            (Operation::Update, self.rows),
            (Operation::Delete, self.rows),
        ];
        // Of users, who is none has no row of its own.
        let is_nobody = self.name == "users" && matches!(caller, "anon" | "service_role" | "stranger");
        let mut attempts = Vec::new();
        for (allowed, (operation, classes)) in self.cell(caller).into_iter().zip(tried) {
            for class in classes.chars().filter(|class| *class != 'm' || !is_nobody) {
                attempts.push(Attempt {
                    operation,
                    key: self.fill(self.key, class, caller),
                    values: self.fill(self.values, class, caller),
                    works: allowed.contains(class),
                });
            }
        }
        attempts
    }

    fn fill(&self, template: &str, class: char, caller: Caller) -> String {
        let home = match class {
            't' => "t",
            's' => "s",
            _ => "o",
        };
        let tenant = match home {
            "s" => "null".to_owned(),
            home => format!("fixture.id('tenants {home}')"),
        };
        let complainant = match class {
            'm' => "complainant",
            't' => "neighbour",
            's' => "drifter",
            _ => "colleague",
        };
        template
            .replace("{table}", self.name)
            .replace("{class}", &class.to_string())
            .replace("{home}", home)
            .replace("{tenant}", &tenant)
            .replace("{complainant}", complainant)
            .replace("{person}", if class == 'm' { caller } else { complainant })
    }
}

/// One thing to try.
pub(super) struct Attempt {
    pub(super) operation: Operation,
    /// Which row: a condition.
    pub(super) key: String,
    /// What to create.
    pub(super) values: String,
    /// Whether the matrix lets it.
    pub(super) works: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Create,
    Read,
    Update,
    Delete,
}

pub(super) const CALLERS: [Caller; 8] = [
    "anon",
    "stranger",
    "admin",
    "local admin",
    "tenant_admin",
    "executor",
    "complainant",
    "service_role",
];

#[tokio::test]
async fn every_role_does_to_every_row_what_the_matrix_says_and_nothing_else() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for table in MATRIX {
        for caller in CALLERS {
            let attempts = table.attempts(caller);
            let statements = attempts
                .iter()
                .map(|attempt| attempt.0.clone())
                .collect::<Vec<_>>();
            let outcomes = world.attempt_all(caller, &statements).await;
            for ((statement, works), outcome) in attempts.into_iter().zip(outcomes) {
                if (outcome == Outcome::Rows(1)) != works {
                    wrong.push(format!("{caller}: {statement}: {outcome:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_matrix_covers_every_table() {
    let world = World::new().await;
    let mut tables = MATRIX.iter().map(|table| table.name).collect::<Vec<_>>();
    tables.sort_unstable();
    let found = world
        .text("select string_agg(tablename, ' ' order by tablename collate \"C\") from pg_tables where schemaname = 'public'")
        .await;
    assert_eq!(found.unwrap(), tables.join(" "));
}

/// Without a `where` nothing else comes along.
#[tokio::test]
async fn a_select_without_conditions_shows_as_many_rows_as_the_matrix() {
    let world = World::new().await;
    // The fixture has more users than one of a class.
    for table in MATRIX.iter().filter(|table| table.name != "users") {
        for caller in CALLERS.into_iter().filter(|caller| *caller != "service_role") {
            let seen = table.cell(caller)[1].len().to_string();
            // A role without the privilege gets an error instead, which the matrix has seen.
            let outcome = world
                .attempt(caller, &format!("select 1 from {}", table.name))
                .await;
            let seen_nothing = seen == "0" && matches!(outcome, Outcome::Denied(_));
            assert!(
                seen_nothing || outcome == Outcome::Rows(seen.parse().unwrap()),
                "{caller}: {}: {outcome:?}, expected {seen}",
                table.name
            );
        }
    }
}
