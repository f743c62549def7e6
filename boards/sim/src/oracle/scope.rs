//! Scopes (structured concurrency): when one ends, nothing that was spawned in it is pending or runs.

use trace::Kind;

use super::item::Items;
use super::names::Map;
use super::{Seen, Verdict, ensure};

/// What was spawned in each open scope, by the scope's address.
#[derive(Default, Debug)]
pub(crate) struct Scopes {
    spawned: Map<u64, Vec<u64>>,
}

impl Scopes {
    pub(crate) fn see(&mut self, s: &Seen, items: &Items) -> Verdict {
        let e = &s.event;
        match e.kind {
            Kind::ScopeSpawn => self.spawned.entry(e.b).or_default().push(e.a),
            Kind::ScopeEnd => {
                let spawned = self.spawned.remove(&e.b).unwrap_or_default();
                let left = spawned.iter().filter_map(|a| items.get(*a));
                // Not the first by address: the same run is to say the same in every process.
                if let Some(i) = left.min_by_key(|i| i.name) {
                    ensure!(
                        false,
                        "scope",
                        "a scope ends, and item #{}, which was spawned in it, is {i}",
                        i.name
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `bytes` at `address` are free: an item that is there later is another one.
    pub(crate) fn freed(&mut self, address: u64, bytes: u64) {
        for items in self.spawned.values_mut() {
            items.retain(|a| !(address..address + bytes).contains(a));
        }
    }
}
