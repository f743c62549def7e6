//! Choice of the entity to run: protection, preemption by a woken one, and the search.
//!
//! Among the eligible entities the earliest deadline runs. The tree is ordered by deadline, so its
//! first entity is the answer whenever it is eligible, which is the common case. Otherwise the
//! search goes left wherever the least virtual runtime below says that somebody is eligible there:
//! O(log n). Keeping the tree in order of virtual runtime instead would make eligibility easy and
//! the deadline a scan.

use links::{Arena, Handle};

use crate::decision::Decision;
use crate::entity::{Entity, is_before};
use crate::run_queue::RunQueue;

impl<A: Arena<Entity>> RunQueue<A> {
    /// Starts the protection of what has been picked.
    #[inline(always)]
    pub(crate) fn protect(&mut self, h: Handle<Entity>) {
        let min_slice_ns = self.waiting.min_slice_ns(&self.arena);
        let se = self.arena.get_mut(h);
        se.protected_until = se.protected_beside(min_slice_ns);
    }

    /// Continues with what runs: as if picked anew when its protection is over.
    #[inline(always)]
    pub(crate) fn protect_again(&mut self, current: Handle<Entity>) {
        let se = self.arena.get(current);
        if !is_before(se.vruntime, se.protected_until) {
            self.protect(current);
        }
    }

    /// Whether `h`, just enqueued, or somebody else should replace what runs.
    #[inline(always)]
    pub(crate) fn check_preempt(&mut self, h: Handle<Entity>) -> Decision {
        let Some(current) = self.current else {
            return Decision::Resched;
        };
        if self.arena.get(h).slice_ns < self.arena.get(current).slice_ns {
            self.end_protection_for(h, current);
        }
        let se = self.arena.get(current);
        if !self.is_behind(se) {
            // Of those that wait somebody is eligible then.
            return Decision::Resched;
        }
        if is_before(se.vruntime, se.protected_until) {
            return Decision::Keep;
        }
        self.check_unprotected(current)
    }

    /// As [`Self::check_preempt`], where nothing protects what runs.
    #[inline(never)]
    fn check_unprotected(&mut self, current: Handle<Entity>) -> Decision {
        if self.pick_eevdf() == Some(current) {
            // It ran alone for longer than its protection: it goes on to the end of its request,
            // or the slice timer would undo the decision at once.
            self.protect_again(current);
            Decision::Keep
        } else {
            Decision::Resched
        }
    }

    /// What runs is protected from `h`, which asks for less at a time, no longer if that is to go first.
    #[inline(never)]
    fn end_protection_for(&mut self, h: Handle<Entity>, current: Handle<Entity>) {
        let total = self.total();
        let (curr, se) = (self.arena.get(current), self.arena.get(h));
        if total.is_eligible(se.vruntime)
            && (is_before(se.deadline, curr.deadline) || !total.is_eligible(curr.vruntime))
        {
            let curr = self.arena.get_mut(current);
            curr.protected_until = curr.vruntime;
        }
    }

    /// The entity to run: the current one while protected and eligible, else the earliest deadline
    /// among the eligible ones.
    #[inline(always)]
    pub(crate) fn pick_eevdf(&self) -> Option<Handle<Entity>> {
        self.choose(self.eligible_current())
    }

    /// Whether `current`, which runs, has no negative lag.
    #[inline(always)]
    pub(crate) fn is_behind(&self, current: &Entity) -> bool {
        self.waiting.is_behind(&self.arena, current.vruntime)
    }

    /// The current entity, if it is eligible.
    #[inline(always)]
    pub(crate) fn eligible_current(&self) -> Option<Handle<Entity>> {
        self.current.filter(|&h| self.is_behind(self.arena.get(h)))
    }

    /// As [`Self::pick_eevdf`]; `rival` is the current entity, if it is eligible.
    #[inline(always)]
    pub(crate) fn choose(&self, rival: Option<Handle<Entity>>) -> Option<Handle<Entity>> {
        let Some(first) = self.waiting.first() else {
            return self.current;
        };
        let mut current = None;
        if let Some(h) = rival {
            let se = self.arena.get(h);
            if is_before(se.vruntime, se.protected_until) {
                return rival;
            }
            current = Some((h, se.deadline));
        }
        // Somebody is eligible always: who is alone with one that is not.
        let alone = current.is_none() && self.waiting.is_alone();
        let best = if alone || self.total().is_eligible(self.arena.get(first).vruntime) {
            Some(first)
        } else {
            self.waiting.first_eligible(&self.arena, self.total())
        };
        match (best, current) {
            (Some(b), Some((h, deadline))) if is_before(deadline, self.arena.get(b).deadline) => {
                Some(h)
            }
            (None, Some((h, _))) => Some(h),
            (best, _) => best,
        }
    }
}
