//! Queueing, cancelling, disabling and enabling items of the simulator.

use links::Arena;
use workword::{Claim, Seize};

use crate::sim::{HERE, Sim};
use crate::{Eyes, Kind, Queued};

impl Sim {
    /// Queues item `i` on pwq `p`; true if it was not pending and is not disabled (B4).
    pub(crate) fn queue(&mut self, p: usize, i: usize) -> bool {
        match self.words[i].claim_at(HERE, false) {
            Claim::Claimed(_) => {}
            Claim::Pending(_) => {
                assert!(self.accounts[i].pending);
                return false;
            }
            other => {
                assert_eq!(other, Claim::Disabled);
                assert!(self.accounts[i].depth > 0);
                return false;
            }
        }
        let a = &mut self.accounts[i];
        assert!(!a.pending && a.depth == 0);
        a.pending = true;
        a.queued += 1;
        self.fifo[p].push_back(i);
        self.on_pwq[p][i].0 += 1;
        // Every other one as the executive does where it is in a hurry.
        let (h, item) = (self.pwqs[p], self.items[i]);
        let share = self.s.pwqs.get(h);
        let entered = share.entered() + 1;
        let seen = share.takes_seen() || share.takes_of_node_seen();
        let plainly = share.takes_plainly() || share.takes_seen();
        let of_node = share.takes_of_node() || share.takes_of_node_seen();
        if i % 2 == 1 && seen {
            let eyes = [Eyes::EVENTS, Eyes::ALL][i / 2 % 2];
            self.s.items.get_mut(item).set_eyes(eyes);
        }
        let q = if i % 2 == 1 && plainly && self.pool.kind == Kind::Bh {
            let called = self.pool.queue_turn(&mut self.s, h, item, entered);
            let wake = called.then_some(self.workers[0].h);
            Queued { wake, active: true }
        } else if i % 2 == 1 && plainly {
            self.pool.queue_plain(&mut self.s, h, item, entered)
        } else if i % 2 == 1 && of_node {
            self.pool.queue_of_node(&mut self.s, h, item, entered)
        } else {
            self.pool.queue(&mut self.s, h, item)
        };
        self.wake(q.wake);
        self.check();
        true
    }

    /// Cancels item `i`; true if it was pending (J1).
    pub(crate) fn cancel(&mut self, i: usize) -> bool {
        let was = self.accounts[i].pending;
        if was {
            self.accounts[i].pending = false;
            self.accounts[i].cancelled += 1;
            for (f, on) in self.fifo.iter_mut().zip(&mut self.on_pwq) {
                on[i].1 += u32::from(f.contains(&i));
                f.retain(|&x| x != i);
            }
        }
        let pending = match self.words[i].seize() {
            Seize::Idle(_) => false,
            Seize::Busy => panic!("no owner between steps"),
            Seize::Queued(_) => {
                // Every other one as the executive does where it is in a hurry.
                let hurry = i.is_multiple_of(2);
                let (pool, s, item) = (&mut self.pool, &mut self.s, self.items[i]);
                let gone = hurry
                    && (pool.remove_plain::<_, { Eyes::NONE }>(s, item, false)
                        || pool.remove_plain::<_, { Eyes::EVENTS }>(s, item, false));
                let removed = if gone {
                    None
                } else {
                    self.pool.remove(&mut self.s, self.items[i])
                };
                self.words[i].unqueue();
                if let Some(r) = removed {
                    self.wake(r.wake);
                    self.flushed(r.flushed);
                    self.conclude(r.hand, r.gone);
                }
                true
            }
        };
        assert_eq!(pending, was);
        self.words[i].release();
        self.check();
        pending
    }

    pub(crate) fn disable(&mut self, i: usize) {
        self.cancel(i);
        assert!(matches!(self.words[i].seize(), Seize::Idle(_)));
        assert!(self.words[i].release_disabled().1);
        self.accounts[i].depth += 1;
    }

    pub(crate) fn enable(&mut self, i: usize) {
        let before = self.accounts[i].depth;
        let e = self.words[i].enable();
        assert_eq!(e == workword::Enable::Enabled, before == 1);
        assert_eq!(e == workword::Enable::Underflow, before == 0);
        self.accounts[i].depth = before.saturating_sub(1);
    }
}
