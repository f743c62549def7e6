//! A bound pool whose core goes offline and comes back (M2, M3).
//!
//! A per-CPU queue promises that its items run on the core they were queued on; when that core is gone
//! they must run all the same. So the pool loses its core, not its work: from then on nobody counts as
//! running, and it behaves like an unbound one, in which each queued item wakes a worker and each
//! worker the next. Its workers go wherever there is room.
//!
//! Who counted before must not be subtracted later, and who began without a core must not count in the
//! middle of an item when the core is back. Both follow from one number: the pool's *epoch* grows by
//! one whenever it loses or gets its core, a worker remembers the epoch in which it began to count, and
//! it counts only while the two are equal. Nothing has to visit the workers. One that began in another
//! epoch counts again from its next item on ([`Pool::next`]).

use links::Handle;

use crate::item::worker_mut;
use crate::{Kind, Phase, Pool, Store, Worker};

impl Pool {
    /// It is a core's, and the core is there.
    #[inline(always)]
    #[must_use]
    pub const fn has_core(&self) -> bool {
        self.core
    }

    /// Whether concurrency management counts `w` while it is on the core (E1).
    #[inline(always)]
    #[must_use]
    pub fn counts(&self, w: &Worker) -> bool {
        // Who has the pool's epoch executes items.
        !w.is_apart() && w.epoch == self.stand.epoch && self.core
    }

    /// The pool's core goes offline: pending and running items go on anywhere, without concurrency
    /// management. The worker to wake. Nothing happens to a pool without a core.
    #[must_use = "the worker must be woken"]
    pub fn disassociate<S: Store>(&mut self, s: &mut S) -> Option<Handle<Worker>> {
        if !self.has_core() {
            return None;
        }
        self.next_epoch();
        self.stand.running = 0;
        self.kick(s)
    }

    /// The pool's core is back, and its workers are there. The worker to wake. Nothing happens to a pool
    /// that has it.
    #[must_use = "the worker must be woken"]
    pub fn associate<S: Store>(&mut self, s: &mut S) -> Option<Handle<Worker>> {
        if self.has_core() || self.kind != Kind::Bound {
            return None;
        }
        self.next_epoch();
        self.kick(s)
    }

    fn next_epoch(&mut self) {
        self.core = !self.core && self.kind == Kind::Bound;
        // Past the one that no pool has.
        let next = self.stand.epoch.wrapping_add(1);
        self.stand.epoch = if next == Worker::NO_EPOCH { 1 } else { next };
    }

    /// Between two items: a worker that began before the core came back counts from now on.
    #[inline(always)]
    pub(crate) fn count_again<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) {
        let node = worker_mut(s, w);
        if node.epoch != self.stand.epoch && node.phase == Phase::Working {
            node.epoch = self.stand.epoch;
            if self.has_core() {
                self.stand.running += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Act, Sim};

    /// Items 0 and 1 wait; the pool has one running worker and one in reserve.
    fn busy() -> Sim {
        let mut sim = Sim::new(Kind::Bound, &[(8, false)], 6);
        (0..3).for_each(|i| assert!(sim.queue(0, i)));
        // The first worker makes the second, and starts item 0.
        while !matches!(sim.workers[0].act, Act::Running(0)) {
            assert!(sim.step(0));
        }
        assert_eq!(sim.pool.nr_running(), 1);
        sim
    }

    #[test]
    fn m2_without_its_core_a_pool_starts_everything_and_counts_nobody() {
        let mut sim = busy();
        sim.hotplug();
        assert_eq!(sim.pool.nr_running(), 0);
        assert_eq!(sim.workers[1].act, Act::Awake, "kicked");
        while !matches!(sim.workers[1].act, Act::Running(1)) {
            assert!(sim.step(1));
        }
        assert!(matches!(sim.workers[0].act, Act::Running(0)), "beside it");
        sim.block(0);
        assert_eq!(sim.pool.nr_running(), 0);
    }

    #[test]
    fn m3_a_worker_counts_again_from_its_next_item_on() {
        let mut sim = busy();
        sim.hotplug();
        sim.hotplug();
        assert_eq!(sim.pool.nr_running(), 0, "it began in another life");
        sim.block(0);
        sim.resume(0);
        assert_eq!(sim.pool.nr_running(), 0, "nor does waking up change that");
        assert!(sim.step(0));
        assert!(matches!(sim.workers[0].act, Act::Running(1)));
        assert_eq!(sim.pool.nr_running(), 1);
    }

    #[test]
    fn m3_who_slept_through_both_is_not_counted_twice() {
        let mut sim = busy();
        sim.block(0);
        assert_eq!(sim.pool.nr_running(), 0);
        sim.hotplug();
        sim.resume(0);
        assert_eq!(sim.pool.nr_running(), 0);
        sim.hotplug();
        assert!(sim.step(0));
        assert_eq!(sim.pool.nr_running(), 1);
    }

    #[test]
    fn m2_m3_losing_or_getting_a_core_twice_changes_nothing() {
        let mut sim = busy();
        assert_eq!(sim.pool.associate(&mut sim.s), None, "it has its core");
        assert!(sim.pool.has_core());
        assert_eq!(sim.pool.nr_running(), 1, "and its worker counts as before");
        sim.hotplug();
        assert_eq!(sim.pool.disassociate(&mut sim.s), None, "it has none");
        assert!(!sim.pool.has_core());
        sim.hotplug();
        assert!(sim.pool.has_core());
    }
}
