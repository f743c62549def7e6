//! Checks: what must hold of a pool and its pwqs whenever the pool's lock is free.
//!
//! Recounted from the lists, in O(n), for audits (docs/rules.md 7, numbers in brackets). Nothing
//! here decides anything.

use crate::item::{On, Store, item, worker};
use crate::{Phase, Pool, Pwq};

/// `Err` with what is wrong, unless a condition holds.
fn ensure(holds: bool, wrong: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(wrong) }
}

impl Pool {
    /// What is wrong with the pool, if anything.
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn check<S: Store>(&self, s: &S) -> Result<(), &'static str> {
        let mut idle = 0;
        for w in self.idle.iter(s) {
            idle += 1;
            let phase = worker(s, w).phase;
            ensure(
                phase == Phase::Idle,
                "a worker on the idle list is not idle",
            )?;
        }
        ensure(idle == self.nr_idle, "the number of idle workers is wrong")?;
        ensure(idle <= self.nr_workers, "more idle workers than workers")?;
        let own = |&w: &_| worker(s, w).phase != Phase::Rescuing;
        let all = self.workers.iter(s).filter(own).count();
        ensure(
            all == self.nr_workers as usize,
            "the number of workers is wrong",
        )?;
        let mut pending = 0;
        for h in self.worklist.iter(s) {
            let it = item(s, h);
            pending += u32::from(!it.cursor);
            let listed = it.on == On::Worklist && it.pwq.is_some() != it.cursor;
            ensure(listed, "an item on the list does not know it")?;
        }
        ensure(
            pending == self.pending,
            "the number of pending items is wrong",
        )?;
        // (6) as far as it can be seen from here.
        let busy = self.nr_workers - idle;
        let most = if self.has_core() { busy } else { 0 };
        ensure(self.nr_running <= most, "6: more workers run than work")
    }
}

impl Pwq {
    /// What is wrong with the pwq, if anything.
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn check<S: Store>(&self, s: &S) -> Result<(), &'static str> {
        let (mut inactive, mut waiting) = (0, 0);
        for h in self.inactive.iter(s) {
            waiting += 1;
            let it = item(s, h);
            ensure(it.on == On::Inactive, "a waiting item does not know it")?;
            inactive += u32::from(!it.barrier);
        }
        ensure(
            (inactive, waiting) == (self.nr_inactive, self.nr_waiting),
            "the number of waiting items is wrong",
        )?;
        let full = self.nr_active >= self.max_active;
        ensure(
            inactive == 0 || full || self.by_node || !self.leaving.activates(),
            "3: an item waits for a slot and one is free",
        )?;
        let coloured: u32 = self.in_flight.iter().sum();
        ensure(
            coloured == self.nr_in_flight,
            "4: the colours do not add up",
        )?;
        let known = self.nr_active + inactive;
        ensure(known <= coloured, "4: more items are active than in flight")
    }
}
