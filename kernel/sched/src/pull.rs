//! What another core may take away.

use links::{Arena, Handle};

use crate::entity::Entity;
use crate::run_queue::RunQueue;

/// How many entities [`RunQueue::pull_candidate`] looks at.
pub const PULL_SCAN: usize = 32;

impl<A: Arena<Entity>> RunQueue<A> {
    /// Whether no entity waits or is delayed that may run on more than one core: then
    /// [`RunQueue::pull_candidate`] need not look.
    #[inline(always)]
    #[must_use]
    pub fn all_pinned(&self) -> bool {
        self.waiting.all_pinned(&self.arena)
    }

    /// Whether it is worth asking what may go to another core. If there are others: true to begin with, and from when somebody
    /// comes who may run on several until [`Self::forget_movable`]: so that most switches of threads that stay ask nothing else.
    #[inline(always)]
    #[must_use]
    pub const fn may_move_some(&self) -> bool {
        self.some_movable
    }

    /// Others may take whom they might not before.
    pub const fn expect_moves(&mut self) {
        self.some_movable = self.has_others;
    }

    /// There is no need to ask again for those of which it is known that they stay.
    #[inline(never)]
    pub fn forget_movable(&mut self) {
        let current = self.current.is_some_and(|h| !self.arena.get(h).pinned);
        self.some_movable = self.has_others && (current || !self.all_pinned());
    }

    /// Says whether an entity in any state may run on one core only.
    pub fn set_pinned(&mut self, h: Handle<Entity>, pinned: bool) {
        let se = self.arena.get_mut(h);
        let was = core::mem::replace(&mut se.pinned, pinned);
        if se.queued {
            self.some_movable |= !pinned && self.has_others;
            if self.current != Some(h) {
                self.waiting.repinned(was, pinned);
            }
        }
    }

    /// A waiting entity that `allowed` lets go elsewhere, earliest deadline first. Looks at no more
    /// than [`PULL_SCAN`] entities, so it may miss one behind many pinned ones.
    pub fn pull_candidate(
        &self,
        mut allowed: impl FnMut(Handle<Entity>) -> bool,
    ) -> Option<Handle<Entity>> {
        let mut at = self.waiting.first();
        for _ in 0..PULL_SCAN {
            let h = at?;
            if !self.arena.get(h).delayed && allowed(h) {
                return at;
            }
            at = self.waiting.next(&self.arena, h);
        }
        None
    }

    /// Any entity that waits or is delayed.
    #[must_use]
    pub const fn any_waiting(&self) -> Option<Handle<Entity>> {
        self.waiting.first()
    }
}
