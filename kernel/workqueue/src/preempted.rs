//! A worker that waits for its core (beyond Linux; what a queue asks for).
//!
//! A worker that is preempted counts as running: in Linux its pool waits for it, and so does everything
//! behind it, however long other threads keep the core. A queue may ask for more: once a worker that
//! executes one of its items has been runnable and without its core for [`Tuning::preempted_after`], it
//! counts no more, and the pool may wake another worker. That one is one more thread that wants the core:
//! the pool's share of it grows, and a short item is not stuck behind a long one.
//!
//! When the worker has its core back it counts again, before it does anything else. Then the pool may
//! count two that run, as after the end of a sleep: who ends its item first goes idle (E6).
//!
//! Nothing else changes. Who does not count for another reason, by its budget (E14), its queue (E13), a
//! pool without its core (M2) or as a rescuer (H4), is left as it is; a pool that lost its core meanwhile
//! forgets that it was to count it again.
//!
//! [`Tuning::preempted_after`]: crate::Tuning::preempted_after

use links::Handle;

use crate::item::{pwq_mut, worker, worker_mut};
use crate::{Pool, Store, Worker};

/// A worker counts no more while it waits for its core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the worker must be woken"]
pub struct Preempted {
    /// Wake this worker.
    pub wake: Option<Handle<Worker>>,
}

impl Pool {
    /// Hook: `w` has been runnable and without its core for long. `None` if that changes nothing: its
    /// queue did not ask, or it counts as little as before.
    pub fn preempted<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Option<Preempted> {
        let node = worker(s, w);
        if !self.counts(node) || node.sleeping {
            return None;
        }
        let share = pwq_mut(s, node.current_pwq?);
        if !share.is_preemption_aware() {
            return None;
        }
        share.stats.preempted += 1;
        worker_mut(s, w).set_apart(Worker::PREEMPTED);
        self.stand.running -= 1;
        Some(Preempted { wake: self.kick(s) })
    }

    /// Hook: `w` has its core back, and does nothing before this. True: it counts again.
    #[inline(always)]
    pub fn back<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> bool {
        let node = worker_mut(s, w);
        if node.apart & Worker::PREEMPTED == 0 {
            return false;
        }
        node.apart &= !Worker::PREEMPTED;
        let again = self.counts(node);
        self.stand.running += u32::from(again);
        again
    }
}

#[cfg(test)]
mod tests {
    use links::Arena;

    use crate::Kind;
    use crate::sim::{Act, Sim};

    /// Worker 0 executes item 0 of a queue that asked, items 1 to 3 wait, worker 1 is in reserve.
    fn busy() -> Sim {
        let mut sim = Sim::new(Kind::Bound, &[(8, false), (8, true)], 6);
        sim.preemption_aware(0);
        (0..4).for_each(|i| assert!(sim.queue(0, i)));
        while sim.workers[0].act != Act::Running(0) {
            assert!(sim.step(0));
        }
        assert_eq!(sim.pool.nr_running(), 1);
        sim
    }

    /// As [`busy`], and worker 0 waits for its core.
    fn waiting() -> Sim {
        let mut sim = busy();
        assert!(sim.preempt(0) && sim.waits_for_long(0));
        assert_eq!(sim.pool.nr_running(), 0);
        sim
    }

    fn counted(sim: &Sim) -> u32 {
        sim.pool.nr_running()
    }

    #[test]
    fn another_worker_starts_beside_one_that_waits_for_its_core() {
        let mut sim = busy();
        assert!(sim.preempt(0));
        sim.settle();
        assert_eq!(counted(&sim), 1, "as Linux: the time is not over");
        assert_eq!(sim.workers[1].act, Act::Asleep);
        assert!(sim.waits_for_long(0));
        assert_eq!(sim.workers[1].act, Act::Awake, "kicked");
        while sim.workers[1].act != Act::Running(1) {
            assert!(sim.step(1));
        }
        assert_eq!(counted(&sim), 1);
        assert!(sim.back(0));
        assert_eq!(counted(&sim), 2);
        assert!(sim.step(1), "its item is over");
        assert_eq!(sim.workers[1].act, Act::Asleep, "E6: one runs already");
        assert_eq!(counted(&sim), 1);
        assert_eq!(sim.stats(0).preempted, 1);
        sim.drain();
    }

    #[test]
    fn what_comes_later_starts_at_once_too() {
        let mut sim = waiting();
        sim.settle();
        assert!((1..4).all(|i| !sim.accounts[i].pending));
        assert_eq!(counted(&sim), 0);
        assert!(sim.queue(0, 4));
        sim.settle();
        assert!(!sim.accounts[4].pending);
        sim.drain();
    }

    #[test]
    fn only_a_queue_that_asked_and_a_worker_that_counts() {
        let mut sim = busy();
        let h = sim.pwqs[0];
        sim.s.pwqs.get_mut(h).set_preemption_aware(false);
        assert!(!sim.pwq(0).is_preemption_aware());
        assert!(sim.preempt(0) && !sim.waits_for_long(0));
        assert_eq!(counted(&sim), 1);
        assert!(sim.back(0));
        assert_eq!(counted(&sim), 1, "it was never taken off");
        // CPU-intensive items count as little as before (E13).
        let mut sim = Sim::new(Kind::Bound, &[(8, true)], 2);
        sim.preemption_aware(0);
        assert!(sim.queue(0, 0));
        while sim.workers[0].act != Act::Running(0) {
            assert!(sim.step(0));
        }
        assert!(sim.preempt(0) && !sim.waits_for_long(0));
        assert_eq!(sim.stats(0).preempted, 0);
        // So do items whose budget is used up (E14), once.
        let mut sim = busy();
        sim.budget(0);
        assert!(sim.preempt(0) && !sim.waits_for_long(0));
        assert!(sim.back(0));
        assert_eq!(counted(&sim), 0);
        sim.drain();
    }

    #[test]
    fn a_pool_without_its_core_forgets_who_waited() {
        for comes_back in [false, true] {
            let mut sim = waiting();
            sim.hotplug();
            if comes_back {
                sim.hotplug();
            }
            assert!(sim.back(0));
            assert_eq!(counted(&sim), 0, "it began in another life");
            assert!(sim.step(0));
            assert_eq!(counted(&sim), u32::from(comes_back), "M3: its next item");
            sim.drain();
        }
        let mut sim = busy();
        sim.hotplug();
        assert!(sim.preempt(0) && !sim.waits_for_long(0), "nobody counts");
        sim.drain();
    }

    #[test]
    fn whatever_it_does_next_it_counts_once() {
        // The hook is missing: the pool sees that it has its core by what it does.
        let mut sim = waiting();
        let h = sim.workers[0].h;
        let over = sim.finish(h);
        assert_eq!((over.wake, counted(&sim)), (None, 1));
        assert!(!sim.pool.back(&mut sim.s, h), "once");
        let mut sim = waiting();
        let wake = sim.pool.block(&mut sim.s, sim.workers[0].h);
        assert_eq!((wake, sim.workers[1].act), (None, Act::Awake), "it was");
        assert_eq!(counted(&sim), 0);
        sim.pool.resume(&mut sim.s, sim.workers[0].h);
        assert_eq!(counted(&sim), 1);
        let mut sim = waiting();
        assert!(sim.pool.budget(&mut sim.s, sim.workers[0].h).is_some());
        assert!(!sim.pool.back(&mut sim.s, sim.workers[0].h));
        assert_eq!(counted(&sim), 0);
        let mut sim = waiting();
        let over = sim.pool.abandon(&mut sim.s, sim.workers[0].h);
        assert_eq!((over.wake, sim.workers[1].act), (None, Act::Awake));
        assert_eq!(counted(&sim), 0);
    }

    #[test]
    fn cancel_flush_and_collision_while_it_waits() {
        let mut sim = waiting();
        assert!(!sim.cancel(0), "it executes");
        sim.flush_item(0);
        sim.flush(0);
        assert!(sim.queue(0, 0), "again, behind its own run (C6)");
        sim.settle();
        assert!(sim.accounts[0].pending, "never beside itself");
        assert!((1..4).all(|i| !sim.accounts[i].pending));
        assert!(sim.back(0));
        sim.drain();
        assert!(sim.barriers.iter().all(|b| b.1));
        assert!(sim.flushing.iter().all(|f| f.3));
    }
}
