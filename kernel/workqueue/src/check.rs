//! Checks: what must hold of a pool and its pwqs whenever the pool's lock is free, and of a node's
//! slots.
//!
//! Recounted from the lists, in O(n), for audits (docs/rules.md 7, numbers in brackets). A pwq that
//! takes its slots from a node sees them only through its place in the node's line, and the node
//! knows its pwqs only as a number; so whoever has all of them together brings the one to the
//! other. Nothing here decides anything.

use crate::item::{On, Store, item, pwq, worker};
use crate::ways::{Leaving, Ways};
use crate::{Eyes, NodeLimit, Phase, Pool, Pwq, Worker};

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
        for w in self.workers.iter(s).map(|w| worker(s, w)) {
            let goes_on = w.goes_on.is(self.stand);
            let may = w.phase == Phase::Working && w.scheduled.is_empty();
            ensure(
                !goes_on || may && w.apart == 0 && w.epoch == self.stand.epoch,
                "a worker would go on, and has to ask",
            )?;
        }
        let all = self.workers.iter(s).filter(own).count();
        ensure(
            all == self.nr_workers as usize,
            "the number of workers is wrong",
        )?;
        let mut pending = 0;
        for h in self.worklist.iter(s) {
            let it = item(s, h);
            pending += u32::from(!it.is_cursor());
            let listed = it.on() == On::Worklist && it.pwq.is_some() != it.is_cursor();
            ensure(listed, "an item on the list does not know it")?;
            let asks = |p| pwq(s, p).eyes() != Eyes::NONE && it.is_plain();
            ensure(
                !it.pwq.is_some_and(asks),
                "an item would start like most, and may not",
            )?;
        }
        ensure(
            pending == self.pending(),
            "the number of pending items is wrong",
        )?;
        // (6) as far as it can be seen from here.
        let busy = self.nr_workers - idle;
        let most = if self.has_core() { busy } else { 0 };
        ensure(self.stand.running <= most, "6: more workers run than work")?;
        let lone = self.kind.grows() || self.nr_workers <= 1;
        ensure(lone, "a pool of one worker has more")
    }
}

impl Pwq {
    /// What is wrong with the pwq, if anything; `in_line` says whether its turn waits for a slot of
    /// its node.
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn check<S: Store>(&self, s: &S, in_line: bool) -> Result<(), &'static str> {
        ensure(
            u64::from(self.active()) <= self.entered - self.passed,
            "4: more items are active than in flight",
        )?;
        let told = |(c, &n): (usize, &u32)| (n > 0) == (self.has_older >> c & 1 != 0);
        ensure(
            self.older.iter().enumerate().all(told),
            "4: it is not known of which colours something is in flight",
        )?;
        ensure(
            self.ways.any(Ways::COLOURED) == (self.has_older != 0),
            "4: it is not known whether something of an earlier colour is in flight",
        )?;
        let turns = self.next_colour.is_some();
        ensure(
            self.ways.any(Ways::TURNS) == turns,
            "4: it is not known whether the colour is to turn",
        )?;
        let of_one = self.has_older == 0 && self.flush_colour == Some(self.work_colour);
        ensure(
            !turns || (of_one && !self.is_empty()),
            "4: the colour is to turn, and nobody waits for that",
        )?;
        let (mut inactive, mut waiting, mut beside) = (0, 0, 0);
        for h in self.inactive.iter(s) {
            waiting += 1;
            let it = item(s, h);
            ensure(it.on() == On::Inactive, "a waiting item does not know it")?;
            inactive += u32::from(!it.is_barrier());
            beside += u32::from(it.runner.is_some());
            ensure(
                it.is_barrier() || !it.is_single() || it.eyes() >= self.eyes(),
                "an item would start like most, and may not",
            )?;
            ensure(
                it.is_beside() == it.runner.is_some(),
                "an item waits and runs, and does not know it",
            )?;
            let told = it
                .runner
                .is_none_or(|w| worker(s, w).apart & Worker::BESIDE != 0);
            ensure(
                told,
                "an item waits and runs, and its worker does not know it",
            )?;
        }
        ensure(
            beside == self.nr_beside,
            "the number of items that wait and run is wrong",
        )?;
        let items = self.entered - self.passed;
        ensure(
            u64::from(inactive) <= items,
            "4: more items wait than are in flight",
        )?;
        let active = (items - u64::from(inactive)) as u32;
        let waits = if self.is_limited_by_node() {
            in_line
        } else {
            active >= self.max_active
        };
        ensure(
            inactive == 0 || waits || !self.leaving().activates(),
            "3: an item waits for a slot and one is free",
        )?;
        ensure(
            (inactive, waiting) == (self.inactive(), self.nr_waiting()),
            "the number of waiting items is wrong",
        )?;
        ensure(
            self.ways.any(Ways::LEAVES) == (self.leaving() != Leaving::No),
            "what leaves does not know it",
        )?;
        ensure(
            self.ways.any(Ways::OVER) == (active > self.max_active),
            "what is over its limit does not know it",
        )?;
        Ok(())
    }
}

impl NodeLimit {
    /// What is wrong with the node's slots, if anything, when its pwqs have `active` items and
    /// `granted` of them have been granted a slot. Not while a raised limit is handed out.
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn check(&self, active: u32, granted: u32) -> Result<(), &'static str> {
        ensure(
            self.taken() == active + granted,
            "3: the slots of a node are not its active items and grants",
        )?;
        ensure(
            !self.forgets(),
            "3: a share stands in line and a slot of its node is free",
        )
    }
}

#[cfg(test)]
mod tests {
    use links::{Arena, Slab};

    use super::*;
    use crate::Turn;

    #[test]
    fn slots_of_a_node_are_recounted() {
        let mut turns = Slab::new();
        let [one, other] = [0; 2].map(|_| turns.insert(Turn::new()));
        let mut node = NodeLimit::new(1);
        assert!(node.take(&mut turns, one) && !node.take(&mut turns, other));
        assert!(turns.get(other).waits() && !turns.get(one).waits());
        assert_eq!(node.check(1, 0), Ok(()));
        assert!(node.check(0, 0).is_err(), "a slot that nobody has");
        assert!(node.check(2, 0).is_err(), "an item without a slot");
        assert_eq!(node.free(&mut turns), Some(other));
        assert!(turns.get(other).waits());
        assert_eq!(node.check(0, 1), Ok(()));
        assert!(node.check(0, 0).is_err(), "a grant that was lost");
        assert!(node.accept(&mut turns, other) && !turns.get(other).waits());
        assert!(!node.renew(&mut turns, other, false), "nobody waits");
        assert!(!node.take(&mut turns, one));
        assert!(!node.renew(&mut turns, other, false), "one is before it");
        assert!(node.renew(&mut turns, one, true) && turns.get(one).waits());
        assert!(!node.take(&mut turns, other), "D5: behind one");
        assert!(node.renew(&mut turns, one, true), "and one goes behind it");
        assert!(!node.renew(&mut turns, one, true));
        assert!(node.renew(&mut turns, other, false) && !turns.get(other).waits());
        node.set_max(0);
        assert!(!node.renew(&mut turns, one, false), "the limit was lowered");
        node.set_max(1);
        assert_eq!(node.check(1, 0), Ok(()));
        node.set_max(2);
        assert!(node.check(1, 0).is_err(), "a free slot beside a line");
    }
}
