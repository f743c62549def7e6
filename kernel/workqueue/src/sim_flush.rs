//! Waiting in the simulated pool: flushes of items and of pwqs, and what they must outlive.

use std::vec::Vec;

use links::{Arena, Handle};

use crate::sim::Sim;
use crate::sim_store::Slabs;
use crate::{Cascade, FlushStart, Flusher, Item, Pwq, Worker};

impl Sim {
    /// A waiter for item `i` (flush_work); its barrier's index, or `None` if it was idle (I5).
    pub(crate) fn flush_item(&mut self, i: usize) -> Option<usize> {
        let b = self.s.items.insert(Item::barrier());
        let busy = self.accounts[i].pending || self.accounts[i].executing > 0;
        let inserted = self.pool.insert_barrier(&mut self.s, self.items[i], b);
        assert_eq!(inserted, busy);
        if !inserted {
            return None;
        }
        self.barriers.push((b, false));
        self.outlives.push((i, self.accounts[i].queued));
        self.check();
        Some(self.barriers.len() - 1)
    }

    /// Worker `w` passes the barriers that come next, where workers do.
    pub(crate) fn pass_barriers(&mut self, w: Handle<Worker>) {
        while self.s.passes
            && let Some(passed) = self.pool.pass(&mut self.s, w)
        {
            let mut all = self.barriers.iter();
            let b = all.position(|x| x.0 == passed.barrier);
            self.reached(b.expect("unknown barrier"));
            self.flushed(passed.flushed);
            self.conclude(None, passed.gone);
        }
    }

    /// A waiter for everything queued on pwq `p` so far; its index in `flushing`.
    pub(crate) fn flush(&mut self, p: usize) -> usize {
        let must = self.on_pwq[p].iter().map(|on| on.0).enumerate().collect();
        let f = self.s.flushers.insert(Flusher::new());
        self.flushing.push((p, f, must, false));
        let me = self.flushing.len() - 1;
        let (pwqs, s) = (self.pwqs[p], &mut self.s);
        let Slabs {
            pwqs: shares,
            flushers,
            ..
        } = s;
        let start = self.flushes[p].start(flushers, f, |wait, work| {
            shares.get_mut(pwqs).flush(wait, work)
        });
        match start {
            FlushStart::Done => self.flush_over(me),
            FlushStart::First => self.first[p] = Some(me),
            FlushStart::Wait => {}
        }
        me
    }

    fn flush_over(&mut self, me: usize) {
        let (p, _, must, done) = &mut self.flushing[me];
        assert!(!*done, "a flush returned twice");
        *done = true;
        for &(i, queued) in must.iter() {
            assert!(
                self.on_pwq[*p][i].1 >= queued,
                "flush returned before item {i}"
            );
        }
    }

    pub(crate) fn flushed(&mut self, p: Option<Handle<Pwq>>) {
        let Some(h) = p else { return };
        let p = self.pwqs.iter().position(|&x| x == h).expect("unknown pwq");
        let me = self.first[p]
            .take()
            .expect("a flush ended that nobody began");
        self.flush_over(me);
        let mut resolved = Vec::new();
        let Slabs {
            pwqs: shares,
            flushers,
            ..
        } = &mut self.s;
        self.flushes[p].cascade(
            flushers,
            |wait, work| shares.get_mut(h).flush(wait, work),
            |f, c| resolved.push((f, c)),
        );
        for (f, c) in resolved {
            let n = self
                .flushing
                .iter()
                .position(|x| x.1 == f)
                .expect("unknown flush");
            match c {
                Cascade::First => self.first[p] = Some(n),
                Cascade::Complete => {
                    if self.first[p] == Some(n) {
                        self.first[p] = None;
                    }
                    self.flush_over(n);
                }
            }
        }
    }
}
