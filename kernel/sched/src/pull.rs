//! What another core may take away.

use links::{Arena, Handle};

use crate::entity::Entity;
use crate::run_queue::RunQueue;

/// How many entities [`RunQueue::pull_candidate`] looks at.
pub const PULL_SCAN: usize = 32;

impl<A: Arena<Entity>> RunQueue<A> {
    /// Whether any entity waits or is delayed that may run on more than one core: without one
    /// [`RunQueue::pull_candidate`] need not look.
    #[inline(always)]
    #[must_use]
    pub const fn any_movable(&self) -> bool {
        self.nr_movable > 0
    }

    /// Says whether an entity in any state may run on one core only.
    pub fn set_pinned(&mut self, h: Handle<Entity>, pinned: bool) {
        let se = self.arena.get_mut(h);
        let was = core::mem::replace(&mut se.pinned, pinned);
        if se.queued && self.current != Some(h) {
            self.nr_movable = self.nr_movable + u32::from(was) - u32::from(pinned);
        }
    }

    /// A waiting entity that `allowed` lets go elsewhere, earliest deadline first. Looks at no more
    /// than [`PULL_SCAN`] entities, so it may miss one behind many pinned ones.
    pub fn pull_candidate(
        &self,
        mut allowed: impl FnMut(Handle<Entity>) -> bool,
    ) -> Option<Handle<Entity>> {
        let mut at = self.tree.first();
        for _ in 0..PULL_SCAN {
            let h = at?;
            if !self.arena.get(h).delayed && allowed(h) {
                return at;
            }
            at = self.tree.next(&self.arena, h);
        }
        None
    }

    /// Any entity that waits or is delayed.
    #[must_use]
    pub const fn any_waiting(&self) -> Option<Handle<Entity>> {
        self.tree.first()
    }
}
