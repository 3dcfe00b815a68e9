//! What is under way in this process: which entries, how many per tenant, and whose turn is next.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::queue::Claim;

/// Entries that are ours right now.
#[derive(Default)]
pub(super) struct Flight(Mutex<State>);

#[derive(Default)]
struct State {
    /// Entry and claim id, with the tenant.
    entries: HashMap<(Uuid, Uuid), Uuid>,
    /// How many per tenant.
    busy: HashMap<Uuid, usize>,
    /// Tenants that may have more than they were given: looked at again when one of theirs is done.
    crowded: HashSet<Uuid>,
    /// The endpoint that was served last.
    last: Uuid,
}

impl Flight {
    /// Where the round goes on, and who has how many under way.
    pub fn situation(&self) -> (Uuid, HashMap<Uuid, usize>) {
        let state = self.lock();
        (state.last, state.busy.clone())
    }

    /// Takes claims in. `crowd` is how many under way make a tenant crowded.
    pub fn board(&self, claims: &[Claim], crowd: usize) {
        let mut state = self.lock();
        for claim in claims {
            state.enter(claim);
            if claim.rated {
                state.crowded.insert(claim.tenant_id);
            }
        }
        // Also those that got nothing this time: what is under way may have been in the way.
        let State { busy, crowded, .. } = &mut *state;
        let crowds = busy.iter().filter(|(_, busy)| **busy >= crowd);
        crowded.extend(crowds.map(|(tenant, _)| *tenant));
        // The claim went round from the last one: the furthest along is the one with the greatest distance.
        let from = state.last.as_u128();
        let furthest = claims
            .iter()
            .max_by_key(|claim| claim.tenant_id.as_u128().wrapping_sub(from).wrapping_sub(1));
        if let Some(claim) = furthest {
            state.last = claim.tenant_id;
        }
    }

    /// One entry makes place for its ticket's next, if there is one.
    pub fn advance(&self, done: &Claim, next: Option<&Claim>) {
        let mut state = self.lock();
        if let Some(tenant) = state.entries.remove(&(done.id, done.token))
            && let Some(busy) = state.busy.get_mut(&tenant)
        {
            *busy -= 1;
            if *busy == 0 {
                state.busy.remove(&tenant);
            }
        }
        if let Some(next) = next {
            state.enter(next);
        }
    }

    /// Tells whether the tenant may have more than it was given, and forgets it.
    pub fn was_crowded(&self, tenant: Uuid) -> bool {
        self.lock().crowded.remove(&tenant)
    }

    /// Forgets all entries; answers what they were: entry and claim id.
    pub fn abandon(&self) -> Vec<(Uuid, Uuid)> {
        let mut state = self.lock();
        state.busy.clear();
        state.entries.drain().map(|(entry, _)| entry).collect()
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, claim: &Claim) {
        if self
            .entries
            .insert((claim.id, claim.token), claim.tenant_id)
            .is_none()
        {
            *self.busy.entry(claim.tenant_id).or_default() += 1;
        }
    }
}
