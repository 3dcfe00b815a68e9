//! What an adoption says it did.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Lines per object after which the rest is only counted; the database keeps all of them.
const LINES: usize = 10;

/// What became of a database of the original, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Every change, in the order in which it was made.
    pub changes: Vec<Change>,
    /// The webhook entries of which nobody can tell whether they were delivered.
    pub unknown: Unknown,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What kind of change it is.
    pub kind: Kind,
    /// What was changed, as in `public.tickets`.
    pub object: String,
    /// What was done to it.
    pub change: String,
    /// What was there before, where that would otherwise be gone: a definition, or the rows' old values.
    pub before: Option<String>,
}

/// Kinds of [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A policy was removed.
    Policy,
    /// A function was removed, or moved aside where something else uses it.
    Function,
    /// A trigger was removed.
    Trigger,
    /// A table, column, type, constraint or index was changed.
    Structure,
    /// Rights of the API roles were set anew.
    Rights,
    /// Rows were changed.
    Rows,
    /// Something that is neither the original's nor ours was left alone.
    Kept,
}

impl Kind {
    /// Its name in `dropwire.adoption_changes`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Function => "function",
            Self::Trigger => "trigger",
            Self::Structure => "structure",
            Self::Rights => "rights",
            Self::Rows => "rows",
            Self::Kept => "kept",
        }
    }
}

/// Webhook entries that the original had left in `processing` for more than ten minutes: delivered, or lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// How many.
    pub count: i64,
    /// The latest of them: entry, ticket number and when it was sent.
    pub last: Vec<String>,
}

impl fmt::Display for Adoption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "adopted the original's database; no row was removed")?;
        writeln!(f, "\nStructure")?;
        self.section(f, Kind::Structure, |_| "; ".to_owned())?;
        writeln!(
            f,
            "  {} policies, {} functions and {} triggers gave way to this version's; rights of anon, authenticated and \
             service_role on {} tables are as on a fresh database now",
            self.count(Kind::Policy),
            self.count(Kind::Function),
            self.count(Kind::Trigger),
            self.count(Kind::Rights)
        )?;
        if self.count(Kind::Rows) > 0 {
            writeln!(f, "\nRows")?;
            self.section(f, Kind::Rows, |object| format!("\n  {object}: "))?;
        }
        if self.count(Kind::Kept) > 0 {
            writeln!(f, "\nLeft as they are, being neither the original's nor ours")?;
            self.section(f, Kind::Kept, |_| "; ".to_owned())?;
        }
        self.unknown.fmt(f)?;
        writeln!(
            f,
            "\nAll of it, with what was there before: select * from dropwire.adoption_changes order by id"
        )
    }
}

impl Adoption {
    fn count(&self, kind: Kind) -> usize {
        self.changes.iter().filter(|change| change.kind == kind).count()
    }

    /// Writes the changes object by object, in the order of their first.
    fn section(
        &self,
        f: &mut fmt::Formatter<'_>,
        kind: Kind,
        separator: impl Fn(&str) -> String,
    ) -> fmt::Result {
        let mut by_object: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for change in self.changes.iter().filter(|change| change.kind == kind) {
            by_object.entry(&change.object).or_default().push(&change.change);
        }
        let mut written = BTreeSet::new();
        for change in self.changes.iter().filter(|change| change.kind == kind) {
            let object = change.object.as_str();
            if !written.insert(object) {
                continue;
            }
            let (changes, separator) = (&by_object[object], separator(object));
            let shown = &changes[..changes.len().min(LINES)];
            write!(f, "  {object}: {}", shown.join(&separator))?;
            if changes.len() > LINES {
                write!(f, "{separator}and {} more", changes.len() - LINES)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return Ok(());
        }
        writeln!(
            f,
            "\nWebhook entries with unknown outcome: {}\n  They lay in `processing` for over 10 minutes: delivered or \
             lost, the original cannot tell. They count as delivered now.",
            self.count
        )?;
        for entry in &self.last {
            writeln!(f, "  {entry}")?;
        }
        let named = i64::try_from(self.last.len()).unwrap_or(i64::MAX);
        if self.count > named {
            writeln!(f, "  and {} before them", self.count - named)?;
        }
        writeln!(
            f,
            "  see:    select * from ticket_webhook_queue where last_error = 'adopted: outcome unknown'\n  \
             resend: dropwire replay --adopted [--since 2026-01-31T00:00:00Z]"
        )
    }
}
