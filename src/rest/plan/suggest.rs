//! "Perhaps you meant …": the nearest name there is. Only failed requests come here.
//!
//! Scores as the fuzzy set of PostgREST does (<https://glench.github.io/fuzzyset.js/>): candidates are those that
//! share three-letter sequences (two-letter ones if there are none), the fifty nearest by cosine similarity are
//! ranked by edit distance. Clients show these hints, so the same request should get the same one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::schema_cache::{QualifiedName, Routine, SchemaCache};

/// How near a table or function must be: below that, a hint would tell names that nobody asked for.
const NEAR: f64 = 0.75;
/// How near an embed or a list of parameters must be: who asks has named its owner right.
const SIMILAR: f64 = 0.33;
/// How many candidates the edit distance is computed for.
const CANDIDATES: usize = 50;
/// Schemas with that many tables get no hint, so that a caller cannot keep us busy by misspelling.
const TOO_MANY_TABLES: usize = 500;

/// The table nearest to one that does not exist, as `schema.name`.
pub(super) fn table(cache: &SchemaCache, wanted: &QualifiedName) -> Option<String> {
    let mut names: Vec<&str> = in_schema(cache.tables.keys(), &wanted.schema);
    if names.len() >= TOO_MANY_TABLES {
        return None;
    }
    names.sort_unstable();
    let (_, name) = nearest(&names, &wanted.name, NEAR)?;
    Some(format!("{}.{name}", wanted.schema))
}

/// What a missing relationship might have been: another origin if this one has none, else another target.
pub(super) fn relationship(
    cache: &SchemaCache,
    schema: &str,
    origin: &QualifiedName,
    target: &str,
) -> Option<String> {
    let mut names: Vec<&str> = cache
        .relationships_from(origin, schema)
        .map(|relationship| relationship.target().name.as_str())
        .collect();
    let (score, found, wanted) = if !names.is_empty() {
        names.sort_unstable();
        let (score, found) = nearest(&names, target, SIMILAR)?;
        (score, found, target)
    } else if cache.table(origin).is_some() {
        // The relation is right, and nothing hangs on it.
        return None;
    } else {
        names = in_schema(cache.relationships.keys(), schema);
        names.sort_unstable();
        let (_, found) = nearest(&names, &origin.name, SIMILAR)?;
        (0.0, found, origin.name.as_str())
    };
    // The target is right, so the request's hint is wrong, and of that nothing is known.
    (score < 1.0).then(|| format!("Perhaps you meant '{found}' instead of '{wanted}'."))
}

/// What a missing function might have been: another name, or other parameters of that name.
pub(super) fn routine(
    cache: &SchemaCache,
    wanted: &QualifiedName,
    arguments: &[&str],
    overloads: &[std::sync::Arc<Routine>],
) -> Option<String> {
    let found = if overloads.is_empty() {
        let mut names = in_schema(cache.routines.keys(), &wanted.schema);
        names.sort_unstable();
        nearest(&names, &wanted.name, NEAR)?.1.to_owned()
    } else {
        let lists: Vec<String> = overloads
            .iter()
            .rev()
            .map(|overload| {
                parenthesized(
                    overload
                        .parameters
                        .iter()
                        .map(|parameter| parameter.name.as_str()),
                )
            })
            .collect();
        let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
        let asked = parenthesized(arguments.iter().copied());
        format!("{}{}", wanted.name, nearest(&lists, &asked, SIMILAR)?.1)
    };
    Some(format!(
        "Perhaps you meant to call the function {}.{found}",
        wanted.schema
    ))
}

fn in_schema<'a>(names: impl Iterator<Item = &'a QualifiedName>, schema: &str) -> Vec<&'a str> {
    names
        .filter(|name| name.schema == schema)
        .map(|name| name.name.as_str())
        .collect()
}

fn parenthesized<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    format!("({})", names.join(", "))
}

/// The name nearest to the wanted one with its score (1 is the same but for case), if it scores at least `minimum`.
/// Of equals the first wins.
fn nearest<'a>(names: &[&'a str], wanted: &str, minimum: f64) -> Option<(f64, &'a str)> {
    let wanted = wanted.to_lowercase();
    let length = wanted.chars().count();
    let mut candidates = Vec::new();
    for &name in names {
        let lower = name.to_lowercase();
        if lower == wanted {
            return Some((1.0, name));
        }
        if may_score(length, lower.chars().count(), minimum) {
            candidates.push((name, lower));
        }
    }
    [3, 2].iter().find_map(|&size| {
        let grams = Grams::of(&wanted, size);
        let mut similar: Vec<(f64, &(&str, String))> = candidates
            .iter()
            .map(|candidate| (grams.cosine(&Grams::of(&candidate.1, size)), candidate))
            .filter(|(cosine, _)| *cosine > 0.0)
            .collect();
        similar.sort_by(|a, b| b.0.total_cmp(&a.0));
        similar.truncate(CANDIDATES);
        let mut best: Option<(f64, &str)> = None;
        for (_, (name, lower)) in similar {
            let score = strsim::normalized_levenshtein(&wanted, lower);
            if score >= minimum && best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, *name));
            }
        }
        best
    })
}

/// Whether two texts of these lengths can be that similar at all: each character that one has more costs one edit.
fn may_score(a: usize, b: usize, minimum: f64) -> bool {
    let (short, long) = (a.min(b), a.max(b));
    let as_float = |n: usize| u32::try_from(n).map_or(f64::INFINITY, f64::from);
    long == 0 || as_float(short) / as_float(long) >= minimum
}

/// The sequences of `size` characters of a text and how often they occur.
struct Grams(HashMap<Vec<char>, u32>);

impl Grams {
    fn of(text: &str, size: usize) -> Self {
        let letters = text
            .chars()
            .filter(|c| c.is_alphanumeric() || c.is_whitespace() || *c == ',');
        let enclosed: Vec<char> = std::iter::once('-')
            .chain(letters)
            .chain(std::iter::once('-'))
            .collect();
        let mut counts = HashMap::new();
        for gram in enclosed.windows(size) {
            match counts.entry(gram.to_vec()) {
                Entry::Occupied(mut count) => *count.get_mut() += 1,
                Entry::Vacant(count) => {
                    count.insert(1);
                }
            }
        }
        Self(counts)
    }

    fn cosine(&self, other: &Self) -> f64 {
        let dot: f64 = self
            .0
            .iter()
            .filter_map(|(gram, count)| Some(f64::from(*count) * f64::from(*other.0.get(gram)?)))
            .sum();
        if dot == 0.0 {
            0.0
        } else {
            dot / (self.norm() * other.norm())
        }
    }

    fn norm(&self) -> f64 {
        self.0
            .values()
            .map(|count| f64::from(*count).powi(2))
            .sum::<f64>()
            .sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggestion<'a>(names: &[&'a str], wanted: &str, minimum: f64) -> Option<&'a str> {
        nearest(names, wanted, minimum).map(|(_, name)| name)
    }

    #[test]
    fn a_name_is_near_from_three_quarters_on() {
        let names = ["clients", "projects", "tasks"];
        assert_eq!(suggestion(&names, "projectx", NEAR), Some("projects"));
        assert_eq!(suggestion(&names, "projecxx", NEAR), Some("projects"));
        assert_eq!(suggestion(&names, "projxxxx", NEAR), None);
        assert_eq!(suggestion(&names, "", NEAR), None);
        assert_eq!(suggestion(&[], "projects", NEAR), None);
    }

    #[test]
    fn case_makes_no_difference() {
        assert_eq!(nearest(&["Projects"], "pROJECTS", NEAR), Some((1.0, "Projects")));
    }

    #[test]
    fn the_edit_distance_decides_between_candidates() {
        let names = ["unnamed_json_param", "unnamed_text_param", "unnamed_xml_param"];
        assert_eq!(
            suggestion(&names, "unnamed_int_param", NEAR),
            Some("unnamed_text_param")
        );
    }

    #[test]
    fn lists_of_parameters_need_little_in_common() {
        let lists = ["(a, b, c)", "(a, b)", "()"];
        assert_eq!(
            suggestion(&lists, "(a, b, wrong_arg)", SIMILAR),
            Some("(a, b, c)")
        );
        assert_eq!(suggestion(&lists, "(wrong_arg)", SIMILAR), None);
        assert_eq!(
            suggestion(&["(name, param, val)", "(attr, id)"], "(id)", SIMILAR),
            Some("(attr, id)")
        );
    }

    #[test]
    fn a_huge_name_is_compared_with_nothing() {
        let names: Vec<String> = (0..499).map(|n| format!("table_{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(suggestion(&names, &"table_".repeat(100_000), SIMILAR), None);
    }
}
