//! On which worker somebody depends who waits for an item: for priority inheritance (Beyond Linux 6).
//!
//! A waiter is a barrier. On a worker's own list it waits for that worker, and the pool tells the
//! [`Store`] when a barrier comes there or goes; elsewhere for whichever worker comes to it. Which one
//! that will be is not decided before it does, but on one of them it depends that anybody does.

use links::Handle;

use crate::item::{On, item, pwq, worker};
use crate::{Item, Kind, Phase, Pool, Store, Worker};

impl Pool {
    /// The worker on whose own list barrier `b` is.
    #[must_use]
    pub fn claimant<S: Store>(&self, s: &S, b: Handle<Item>) -> Option<Handle<Worker>> {
        match item(s, b).on() {
            On::Scheduled(w) => Some(w),
            _ => None,
        }
    }

    /// The worker on which it depends that the next item on the list is started, or, if there is none,
    /// that one that waits for a slot gets it: the only one that a dedicated pool has; one that is
    /// counted as running (E6); one that looks for work or creates another worker (E9); the next to be
    /// woken (E7); one that has a slot of a pwq whose items wait. In O(workers).
    #[must_use]
    pub fn ahead<S: Store>(&self, s: &S) -> Option<Handle<Worker>> {
        if self.kind == Kind::Bh {
            return None;
        }
        let find = |wanted: &dyn Fn(&Worker) -> bool| {
            let mut all = self.workers.iter(s);
            all.find(|&w| wanted(worker(s, w)))
        };
        if self.kind == Kind::Dedicated {
            return find(&|_| true);
        }
        if self.pending() == 0 {
            return find(&|w| {
                let share = w.current_pwq.filter(|_| w.current_active);
                share.is_some_and(|p| pwq(s, p).inactive() > 0)
            });
        }
        if self.nr_idle == self.nr_workers
            && let Some(w) = self.idle.front()
        {
            return Some(w);
        }
        // Without concurrency management everything is started as soon as somebody comes.
        let runs = |w: &Worker| self.counts(w) && !w.sleeping;
        find(&runs)
            .or_else(|| find(&|w| w.phase == Phase::Prep))
            .or_else(|| self.idle.front())
            .or_else(|| find(&|w| w.phase == Phase::Rescuing))
    }

    /// `h` is on the own list of `w` now.
    #[inline]
    pub(crate) fn claim<S: Store>(&self, s: &mut S, h: Handle<Item>, w: Handle<Worker>) {
        if item(s, h).is_barrier() && self.kind != Kind::Bh {
            s.claimed(h, w);
        }
    }

    /// `h` goes from a worker's own list to the pool's.
    #[inline]
    pub(crate) fn unclaim<S: Store>(&self, s: &mut S, h: Handle<Item>) {
        let it = item(s, h);
        if let Some(p) = it.pwq.filter(|_| it.is_barrier() && self.kind != Kind::Bh) {
            s.unclaimed(h, p);
        }
    }
}
