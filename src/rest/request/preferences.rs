//! `Prefer` (RFC 7240).

use super::range::integer;

/// The preferences of a request. None means not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preferences {
    /// `resolution=`
    pub resolution: Option<Resolution>,
    /// `return=`
    pub representation: Option<Representation>,
    /// `count=`
    pub count: Option<Count>,
    /// `tx=`; only where the settings allow the request to choose.
    pub transaction: Option<TransactionEnd>,
    /// `missing=`
    pub missing: Option<Missing>,
    /// `handling=`
    pub handling: Option<Handling>,
    /// `timezone=`
    pub timezone: Option<String>,
    /// `max-affected=`
    pub max_affected: Option<i64>,
    /// What is no preference of ours, as sent.
    pub invalid: Vec<String>,
}

impl Preferences {
    /// Whether `handling=strict` was asked for.
    pub fn is_strict(&self) -> bool {
        self.handling == Some(Handling::Strict)
    }

    /// Reads the values of all `Prefer` headers. Of preferences of one name the first that is known counts.
    ///
    /// `tx=` counts only where the request may choose how its transaction ends; elsewhere it is neither obeyed nor
    /// invalid.
    pub fn parse<'h>(headers: impl IntoIterator<Item = &'h str>, transaction_allowed: bool) -> Self {
        let mut preferences = Self::default();
        let mut max_affected_given = false;
        for preference in headers.into_iter().flat_map(split) {
            match preference {
                "resolution=merge-duplicates" => {
                    set(&mut preferences.resolution, Resolution::MergeDuplicates);
                }
                "resolution=ignore-duplicates" => {
                    set(&mut preferences.resolution, Resolution::IgnoreDuplicates);
                }
                "return=representation" => set(&mut preferences.representation, Representation::Full),
                "return=minimal" => set(&mut preferences.representation, Representation::Minimal),
                "return=headers-only" => set(&mut preferences.representation, Representation::HeadersOnly),
                "count=exact" => set(&mut preferences.count, Count::Exact),
                "count=planned" => set(&mut preferences.count, Count::Planned),
                "count=estimated" => set(&mut preferences.count, Count::Estimated),
                "tx=commit" => set(&mut preferences.transaction, TransactionEnd::Commit),
                "tx=rollback" => set(&mut preferences.transaction, TransactionEnd::Rollback),
                "missing=default" => set(&mut preferences.missing, Missing::ApplyDefaults),
                "missing=null" => set(&mut preferences.missing, Missing::ApplyNulls),
                "handling=strict" => set(&mut preferences.handling, Handling::Strict),
                "handling=lenient" => set(&mut preferences.handling, Handling::Lenient),
                other => {
                    if let Some(timezone) = other.strip_prefix("timezone=") {
                        set(&mut preferences.timezone, timezone.to_owned());
                    } else if let Some(max_affected) = other.strip_prefix("max-affected=") {
                        if !max_affected_given {
                            preferences.max_affected = integer(max_affected);
                        }
                        max_affected_given = true;
                    } else {
                        preferences.invalid.push(other.to_owned());
                    }
                }
            }
        }
        if !transaction_allowed {
            preferences.transaction = None;
        }
        preferences
    }

    /// The value of `Preference-Applied`, if any of these preferences is set. The caller clears before those that
    /// had no effect on the request.
    pub fn applied(&self) -> Option<String> {
        let timezone = self
            .timezone
            .as_ref()
            .map(|timezone| format!("timezone={timezone}"));
        let max_affected = self
            .max_affected
            .filter(|_| self.is_strict())
            .map(|rows| format!("max-affected={rows}"));
        let applied: Vec<&str> = [
            self.resolution.map(Resolution::preference),
            self.missing.map(Missing::preference),
            self.representation.map(Representation::preference),
            self.count.map(Count::preference),
            self.transaction.map(TransactionEnd::preference),
            self.handling.map(Handling::preference),
            timezone.as_deref(),
            max_affected.as_deref(),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!applied.is_empty()).then(|| applied.join(", "))
    }
}

/// The preferences of one header. An empty header has none, but nothing between two commas is one.
fn split(header: &str) -> impl Iterator<Item = &str> {
    let header = (!header.is_empty()).then_some(header);
    header
        .into_iter()
        .flat_map(|header| header.split(',').map(str::trim))
}

fn set<T>(preference: &mut Option<T>, value: T) {
    preference.get_or_insert(value);
}

/// What an insert does with a row that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// `merge-duplicates`
    MergeDuplicates,
    /// `ignore-duplicates`
    IgnoreDuplicates,
}

impl Resolution {
    /// As `Prefer` and `Preference-Applied` have it.
    fn preference(self) -> &'static str {
        match self {
            Self::MergeDuplicates => "resolution=merge-duplicates",
            Self::IgnoreDuplicates => "resolution=ignore-duplicates",
        }
    }
}

/// What a write answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Representation {
    /// `representation`: the rows.
    Full,
    /// `headers-only`: `Location`.
    HeadersOnly,
    /// `minimal`: nothing.
    Minimal,
}

impl Representation {
    /// As `Prefer` and `Preference-Applied` have it.
    fn preference(self) -> &'static str {
        match self {
            Self::Full => "return=representation",
            Self::HeadersOnly => "return=headers-only",
            Self::Minimal => "return=minimal",
        }
    }
}

/// How rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// `exact`
    Exact,
    /// `planned`: the planner's estimate.
    Planned,
    /// `estimated`: exact up to max-rows, the planner's estimate beyond.
    Estimated,
}

impl Count {
    /// As `Prefer` and `Preference-Applied` have it.
    fn preference(self) -> &'static str {
        match self {
            Self::Exact => "count=exact",
            Self::Planned => "count=planned",
            Self::Estimated => "count=estimated",
        }
    }
}

/// How the transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionEnd {
    /// `commit`
    Commit,
    /// `rollback`
    Rollback,
}

impl TransactionEnd {
    /// As `Prefer` and `Preference-Applied` have it.
    fn preference(self) -> &'static str {
        match self {
            Self::Commit => "tx=commit",
            Self::Rollback => "tx=rollback",
        }
    }
}

/// What columns get that a payload does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// `default`
    ApplyDefaults,
    /// `null`
    ApplyNulls,
}

impl Missing {
    /// As `Prefer` and `Preference-Applied` have it.
    fn preference(self) -> &'static str {
        match self {
            Self::ApplyDefaults => "missing=default",
            Self::ApplyNulls => "missing=null",
        }
    }
}

/// What invalid preferences lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// `strict`: an error.
    Strict,
    /// `lenient`: nothing.
    Lenient,
}

impl Handling {
    /// As `Prefer` and `Preference-Applied` have it.
    fn preference(self) -> &'static str {
        match self {
            Self::Strict => "handling=strict",
            Self::Lenient => "handling=lenient",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(headers: &[&str]) -> Preferences {
        Preferences::parse(headers.iter().copied(), true)
    }

    #[test]
    fn one_header_or_several_set_preferences() {
        let expected = Preferences {
            resolution: Some(Resolution::IgnoreDuplicates),
            count: Some(Count::Exact),
            missing: Some(Missing::ApplyNulls),
            handling: Some(Handling::Lenient),
            timezone: Some("America/Los_Angeles".to_owned()),
            max_affected: Some(5999),
            invalid: vec!["invalid".to_owned()],
            ..Preferences::default()
        };
        let preferences = [
            "resolution=ignore-duplicates",
            "count=exact",
            "missing=null",
            "handling=lenient",
            "timezone=America/Los_Angeles",
            "invalid",
            "max-affected=5999",
        ];
        assert_eq!(parse(&preferences), expected);
        assert_eq!(parse(&[&preferences.join(" ,   ")]), expected);
    }

    #[test]
    fn of_several_of_one_name_the_first_counts() {
        let preferences = parse(&[
            "tx=commit, tx=rollback",
            "return=minimal",
            "return=representation",
        ]);
        assert_eq!(preferences.transaction, Some(TransactionEnd::Commit));
        assert_eq!(preferences.representation, Some(Representation::Minimal));
        let preferences = parse(&["count=all, count=planned, timezone=a, timezone=b"]);
        assert_eq!(preferences.count, Some(Count::Planned));
        assert_eq!(preferences.timezone.as_deref(), Some("a"));
        assert_eq!(preferences.invalid, ["count=all"]);
        let preferences = parse(&["max-affected=x, max-affected=1"]);
        assert_eq!((preferences.max_affected, preferences.invalid.len()), (None, 0));
    }

    #[test]
    fn the_transactions_end_is_chosen_only_where_allowed() {
        let preferences = Preferences::parse(["tx=rollback"], false);
        assert_eq!(preferences, Preferences::default());
    }

    #[test]
    fn what_is_unknown_is_kept_in_order() {
        assert_eq!(
            parse(&["a, b", "c,,return=minimal", ""]).invalid,
            ["a", "b", "c", ""]
        );
        assert_eq!(parse(&["Return=minimal"]).invalid, ["Return=minimal"]);
    }

    #[test]
    fn the_echo_has_a_fixed_order() {
        let all = "max-affected=3, timezone=UTC, handling=strict, tx=rollback, count=estimated, \
                   return=headers-only, missing=default, resolution=merge-duplicates";
        assert_eq!(
            parse(&[all]).applied().as_deref(),
            Some(
                "resolution=merge-duplicates, missing=default, return=headers-only, count=estimated, \
                 tx=rollback, handling=strict, timezone=UTC, max-affected=3"
            )
        );
        assert_eq!(parse(&["max-affected=3"]).applied(), None);
        assert_eq!(
            parse(&["max-affected=3, handling=lenient"]).applied().as_deref(),
            Some("handling=lenient")
        );
        assert_eq!(parse(&[]).applied(), None);
    }
}
