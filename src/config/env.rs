//! Reading one setting: look up, parse, and say clearly what is wrong.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::Secret;

/// A setting that is wrong. The program ends with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It has a value that is not allowed.
    #[error("{name}: `{value}` is not allowed; allowed is {allowed}")]
    NotAllowed {
        /// The flag or variable.
        name: String,
        /// The value as given, `***` for secrets.
        value: String,
        /// What a right one looks like.
        allowed: String,
    },
    /// It is needed, but absent.
    #[error("{name} is not set; needed is {needed}")]
    Missing {
        /// The variable.
        name: String,
        /// What it has to hold.
        needed: String,
    },
}

impl ConfigError {
    /// A value that is not allowed.
    pub fn new(name: impl Into<String>, value: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self::NotAllowed {
            name: name.into(),
            value: value.into(),
            allowed: allowed.into(),
        }
    }

    /// A variable that has to be set.
    pub fn missing(name: impl Into<String>, needed: impl Into<String>) -> Self {
        Self::Missing {
            name: name.into(),
            needed: needed.into(),
        }
    }
}

/// The environment, read once.
#[derive(Clone, Default)]
pub struct Env(HashMap<String, String>);

impl Env {
    /// The process's environment; values that are no UTF-8 are read with replacement characters.
    pub fn from_process() -> Self {
        Self(
            std::env::vars_os()
                .map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()))
                .collect(),
        )
    }

    /// An environment of the given pairs.
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        Self(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    /// The value of `name`, unless it is absent or blank.
    pub fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|v| !v.trim().is_empty()).cloned()
    }

    /// Every variable whose name begins with `prefix`, by the rest of its name; empty ones too.
    pub(super) fn with_prefix(&self, prefix: &str) -> BTreeMap<String, String> {
        self.0
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), value.clone())))
            .collect()
    }

    /// The first of `names` that is set, parsed; `allowed` describes a right value.
    pub fn parse<T>(
        &self,
        names: &[&str],
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.lookup(names)
            .map(|(name, value)| parse(&value).ok_or_else(|| ConfigError::new(name, value, allowed)))
            .transpose()
    }

    /// As [`Env::parse`], for a value that no error may show.
    pub(super) fn secret(
        &self,
        names: &[&str],
        allowed: &str,
        check: impl Fn(&str) -> Option<()>,
    ) -> Result<Option<Secret>, ConfigError> {
        self.lookup(names)
            .map(|(name, value)| match check(&value) {
                Some(()) => Ok(Secret::new(value)),
                None => Err(ConfigError::new(name, "***", allowed)),
            })
            .transpose()
    }

    /// A switch: true or false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ConfigError> {
        let flag = self.parse(&[name], "true or false", |v| {
            match v.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Some(true),
                "false" | "0" | "no" | "off" => Some(false),
                _ => None,
            }
        })?;
        Ok(flag.unwrap_or(false))
    }

    /// A whole number within `range`.
    pub(super) fn count(
        &self,
        name: &str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize, ConfigError> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let count = self.parse(&[name], &allowed, |v| {
            v.trim().parse().ok().filter(|n| range.contains(n))
        })?;
        Ok(count.unwrap_or(default))
    }

    /// A duration in whole milliseconds within `range`.
    pub(super) fn millis(
        &self,
        name: &str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<Duration, ConfigError> {
        let allowed = format!("milliseconds from {} to {}", range.start(), range.end());
        let millis = self.parse(&[name], &allowed, |v| {
            v.trim().parse().ok().filter(|n| range.contains(n))
        })?;
        Ok(Duration::from_millis(millis.unwrap_or(default)))
    }

    /// The keys in a JSON object `{"name":"key"}`, the form of `SUPABASE_SECRET_KEYS`.
    pub(super) fn key_list(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        let Some(value) = self.text(name) else {
            return Ok(Vec::new());
        };
        serde_json::from_str::<HashMap<String, String>>(&value)
            .map(|keys| keys.into_values().collect())
            .map_err(|_not_shown| {
                ConfigError::new(name, "***", r#"a JSON object such as {"default":"sb_…"}"#)
            })
    }

    /// Where the embedded database lives unless told otherwise: a place that the server's user can reach.
    pub(super) fn default_data_dir(&self) -> PathBuf {
        if nix::unistd::geteuid().is_root() {
            return PathBuf::from("/var/lib/dropwire");
        }
        let share = self.text("XDG_DATA_HOME").map(PathBuf::from);
        let home = self
            .text("HOME")
            .map(|home| PathBuf::from(home).join(".local/share"));
        share.or(home).unwrap_or_else(std::env::temp_dir).join("dropwire")
    }

    fn lookup<'n>(&self, names: &[&'n str]) -> Option<(&'n str, String)> {
        names
            .iter()
            .find_map(|name| self.text(name).map(|value| (*name, value)))
    }
}
