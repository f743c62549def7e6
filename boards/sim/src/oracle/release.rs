//! Looks at a runqueue or a pool where its lock is released.
//!
//! There it is sound by contract, and whoever broke it has just been at it: the report shows him. The
//! released lock is free, and what its holder masked is still masked, so nobody else has been there.
//! A short structure is looked at each time; a long one in proportion, so that recounting costs a
//! bounded part of the run.
//!
//! References: cmwq.md 7.6, 7.7 (counts of a pool), V1, V2.

use core::cell::Cell;

use kernel::audit::{self, Guarded};

use super::names::Map;
use crate::engine::Sim;
use crate::reclaim::outside;

/// A structure of up to so many elements is looked at on each release.
const SHORT: u32 = 16;

/// What the locks guard, by address, since the scenario began.
#[derive(Default, Debug)]
pub(crate) struct Locks {
    guarded: Map<u64, (Guarded, Cell<u32>)>,
}

impl Locks {
    /// What the lock at this address guards, if it is time to look at it.
    fn due(&self, lock: u64) -> Option<Guarded> {
        let (guarded, wait) = self.guarded.get(&lock)?;
        let left = wait.get();
        wait.set(left.saturating_sub(1));
        (left == 0).then_some(*guarded)
    }

    /// It had so many elements.
    fn seen(&self, lock: u64, elements: u32) {
        if let Some((_, wait)) = self.guarded.get(&lock) {
            wait.set(elements / SHORT);
        }
    }
}

impl Sim {
    /// The scenario begins, and the kernel's locks are where they will stay.
    pub(crate) fn learn_locks(&self) {
        self.at_rest(|| {
            audit::for_each_lock(|lock, guarded| {
                outside(|| {
                    let locks = &mut self.locks.borrow_mut().guarded;
                    locks.insert(lock as u64, (guarded, Cell::new(0)))
                });
            });
        });
    }

    /// The spin lock at this address was released on the running core.
    #[inline]
    pub(crate) fn released(&self, lock: usize) {
        if self.is_still() {
            return;
        }
        let due = self.locks.borrow().due(lock as u64);
        if let Some(guarded) = due {
            self.at_rest(|| self.look_at(lock as u64, guarded));
        }
    }

    #[cold]
    fn look_at(&self, lock: u64, guarded: Guarded) {
        let found = audit::check_one(guarded);
        let elements = found.as_ref().map_or(0, |f| f.elements);
        self.locks.borrow().seen(lock, elements);
        let running = found.as_ref().map_or(None, |f| f.running);
        self.report(found.map(|_| ()));
        if let (Guarded::Pool(id), Some(running)) = (guarded, running) {
            let check = || {
                self.oracles
                    .borrow()
                    .pools
                    .check_running(id as u32, running)
            };
            self.judge(outside(check));
        }
    }
}
