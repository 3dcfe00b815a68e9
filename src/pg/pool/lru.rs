//! A small map that forgets what was not used for longest.

use std::collections::HashMap;

/// Values by text. Looking up costs a hash; only inserting into a full map looks at every entry, which is right for
/// the few hundred that a connection keeps.
pub(super) struct Lru<V> {
    entries: HashMap<Box<str>, Entry<V>>,
    /// Counts uses; an entry's `used` is the count at its last one.
    uses: u64,
}

struct Entry<V> {
    value: V,
    used: u64,
}

impl<V> Lru<V> {
    pub(super) fn new() -> Self {
        Self {
            entries: HashMap::new(),
            uses: 0,
        }
    }

    /// Finds a value and notes its use.
    pub(super) fn get(&mut self, key: &str) -> Option<&V> {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.uses;
        Some(&entry.value)
    }

    /// Adds a value, and drops the longest unused ones beyond `capacity`.
    pub(super) fn insert(&mut self, key: &str, value: V, capacity: usize) {
        self.remove(key);
        while self.entries.len() >= capacity {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return; // nothing is kept at all
            };
            self.entries.remove(&key);
        }
        self.uses += 1;
        let used = self.uses;
        self.entries.insert(key.into(), Entry { value, used });
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.entries.remove(key);
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_entry_goes_first() {
        let mut lru = Lru::new();
        for key in ["a", "b", "c"] {
            lru.insert(key, key, 3);
        }
        assert_eq!(lru.get("a"), Some(&"a"));
        lru.insert("d", "d", 3);
        assert_eq!(lru.get("b"), None);
        assert_eq!(["a", "c", "d"].map(|key| lru.get(key).is_some()), [true; 3]);
    }

    #[test]
    fn inserting_again_replaces_without_eviction() {
        let mut lru = Lru::new();
        lru.insert("a", 1, 2);
        lru.insert("b", 1, 2);
        lru.insert("a", 2, 2);
        assert_eq!((lru.get("a").copied(), lru.get("b").copied()), (Some(2), Some(1)));
    }

    #[test]
    fn a_capacity_of_zero_keeps_nothing() {
        let mut lru = Lru::new();
        lru.insert("a", 1, 0);
        assert_eq!(lru.get("a"), None);
    }
}
