//! The simulator's workers without their core.

use links::Arena;

use crate::sim::Sim;

impl Sim {
    /// The queue of pwq `p` asks for [`crate::Pool::preempted`].
    pub(crate) fn preemption_aware(&mut self, p: usize) {
        let h = self.pwqs[p];
        self.s.pwqs.get_mut(h).set_preemption_aware(true);
    }

    /// Another thread gets the core of worker `w`, which executes an item.
    pub(crate) fn preempt(&mut self, w: usize) -> bool {
        let was = self.workers[w].computes();
        self.workers[w].off |= was;
        was
    }

    /// Worker `w` has waited for its core for long, and the pool is told. True: it counts no more.
    pub(crate) fn waits_for_long(&mut self, w: usize) -> bool {
        if !self.workers[w].off || self.workers[w].for_long {
            return false;
        }
        let h = self.workers[w].h;
        let asked = self
            .worker(h)
            .current_pwq
            .is_some_and(|p| self.s.pwqs.get(p).is_preemption_aware());
        let counted = self.pool.counts(self.worker(h));
        let before = self.pool.nr_running();
        let over = self.pool.preempted(&mut self.s, h);
        assert_eq!(over.is_some(), asked && counted);
        assert_eq!(before - self.pool.nr_running(), u32::from(over.is_some()));
        self.workers[w].for_long = over.is_some();
        self.wake(over.and_then(|o| o.wake));
        self.check();
        over.is_some()
    }

    /// Worker `w` has its core again.
    pub(crate) fn back(&mut self, w: usize) -> bool {
        if !core::mem::take(&mut self.workers[w].off) {
            return false;
        }
        let before = self.pool.nr_running();
        let again = self.pool.back(&mut self.s, self.workers[w].h);
        let was = core::mem::take(&mut self.workers[w].for_long);
        assert!(was || !again, "it had never been taken off");
        assert_eq!(self.pool.nr_running(), before + u32::from(again));
        self.check();
        true
    }
}
