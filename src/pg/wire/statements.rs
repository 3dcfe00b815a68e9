//! The statements that were prepared on a connection.
//!
//! They are kept by text and role: PostgreSQL throws a plan away when a table with row level security is read as another
//! role than the last time, so that roles that take turns would have every statement planned each time.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// The names of a result's columns.
pub(super) type Columns = Arc<[Box<str>]>;

/// A small map that forgets what was not used for longest. Looking up costs a hash; only inserting into a full one
/// looks at every entry, which is right for the few hundred that a connection keeps.
pub(super) struct Statements {
    /// By the hash of role and text. Of two with the same hash, the later one stays.
    entries: HashMap<u64, Kept>,
    hasher: RandomState,
    /// Counts uses; an entry's `used` is the count at its last one.
    uses: u64,
    named: u64,
    /// What the server is to close.
    closing: Vec<Box<str>>,
}

struct Kept {
    name: Box<str>,
    role: Box<str>,
    sql: Box<str>,
    columns: Columns,
    used: u64,
}

/// A statement that is being prepared.
pub(super) struct New {
    name: Box<str>,
    role: Box<str>,
    sql: Box<str>,
    hash: u64,
    /// Whether the server has it.
    pub(super) parsed: bool,
}

impl Statements {
    pub(super) fn new() -> Self {
        Self {
            entries: HashMap::new(),
            hasher: RandomState::default(),
            uses: 0,
            named: 0,
            closing: Vec::new(),
        }
    }

    /// Finds the name and the columns of a statement, and notes its use.
    pub(super) fn find(&mut self, role: &str, sql: &str) -> Option<(&str, Columns)> {
        self.uses += 1;
        let hash = self.hash(role, sql);
        let kept = self.entries.get_mut(&hash)?;
        if *kept.sql != *sql || *kept.role != *role {
            return None;
        }
        kept.used = self.uses;
        Some((&kept.name, Arc::clone(&kept.columns)))
    }

    /// Names a statement that is to be prepared.
    pub(super) fn name(&mut self, role: &str, sql: &str) -> New {
        self.named += 1;
        New {
            name: format!("s{}", self.named).into(),
            role: role.into(),
            sql: sql.into(),
            hash: self.hash(role, sql),
            parsed: false,
        }
    }

    /// Keeps a prepared statement, and lets the longest unused ones beyond `capacity` go.
    pub(super) fn keep(&mut self, new: New, columns: Columns, capacity: usize) {
        self.remove(new.hash);
        while self.entries.len() >= capacity.max(1) {
            let Some((oldest, _)) = self.entries.iter().min_by_key(|(_, kept)| kept.used) else {
                break;
            };
            self.remove(*oldest);
        }
        self.uses += 1;
        let kept = Kept {
            name: new.name,
            role: new.role,
            sql: new.sql,
            columns,
            used: self.uses,
        };
        self.entries.insert(new.hash, kept);
    }

    /// Lets a statement go that came to nothing.
    pub(super) fn abandon(&mut self, new: New) {
        if new.parsed {
            self.closing.push(new.name);
        }
    }

    /// Lets a statement go.
    pub(super) fn forget(&mut self, role: &str, sql: &str) {
        self.remove(self.hash(role, sql));
    }

    /// Lets all of them go.
    pub(super) fn clear(&mut self) {
        self.closing
            .extend(self.entries.drain().map(|(_, kept)| kept.name));
    }

    /// Takes the names that the server is to close.
    pub(super) fn closing(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.closing)
    }

    fn remove(&mut self, hash: u64) {
        self.closing
            .extend(self.entries.remove(&hash).map(|kept| kept.name));
    }

    fn hash(&self, role: &str, sql: &str) -> u64 {
        self.hasher.hash_one((role, sql))
    }
}

impl New {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(statements: &mut Statements, role: &str, sql: &str) {
        let mut new = statements.name(role, sql);
        new.parsed = true;
        statements.keep(new, [].into(), 3);
    }

    fn found(statements: &mut Statements, role: &str, sql: &str) -> bool {
        statements.find(role, sql).is_some()
    }

    #[test]
    fn the_longest_unused_statement_goes_first_and_is_closed() {
        let mut statements = Statements::new();
        for sql in ["a", "b", "c"] {
            keep(&mut statements, "anon", sql);
        }
        assert!(found(&mut statements, "anon", "a"));
        keep(&mut statements, "anon", "d");
        assert!(!found(&mut statements, "anon", "b"));
        assert!(
            ["a", "c", "d"]
                .iter()
                .all(|sql| found(&mut statements, "anon", sql))
        );
        assert_eq!(statements.closing(), ["s2".into()]);
        assert!(statements.closing().is_empty());
    }

    #[test]
    fn each_role_has_its_own() {
        let mut statements = Statements::new();
        keep(&mut statements, "anon", "a");
        assert!(!found(&mut statements, "authenticated", "a"));
        statements.forget("authenticated", "a");
        assert!(found(&mut statements, "anon", "a"));
    }

    #[test]
    fn a_statement_that_came_to_nothing_is_closed_if_the_server_has_it() {
        let mut statements = Statements::new();
        let mut new = statements.name("", "a");
        new.parsed = true;
        statements.abandon(new);
        let unheard = statements.name("", "b");
        statements.abandon(unheard);
        assert_eq!(statements.closing(), ["s1".into()]);
    }
}
