//! Weights and slices that change: a thread's own nice value, and what others lend it.

use links::{Arena, Handle};
use machine::Instant;

use crate::average::mul_div;
use crate::decision::Decision;
use crate::entity::Entity;
use crate::loan::Loan;
use crate::run_queue::RunQueue;
use crate::weight::Nice;

impl<A: Arena<Entity>> RunQueue<A> {
    /// Changes the nice value of an entity in any state, as [`RunQueue::lend`] does; one that is lent
    /// a lower one keeps that.
    pub fn set_nice(&mut self, h: Handle<Entity>, nice: Nice, now: Instant) -> Decision {
        self.arena.get_mut(h).set_own_nice(nice);
        self.reweight(h, now)
    }

    /// Lends an entity in any state all of `loan`, instead of what it was lent before. What counts
    /// is the stronger of that and its own. A queued one keeps its lag (its virtual distance to the
    /// average scales inversely to its weight), so the average does not move; a shorter slice cuts
    /// the request that it has (V9).
    pub fn lend(&mut self, h: Handle<Entity>, loan: Loan, now: Instant) -> Decision {
        self.arena.get_mut(h).set_lent(loan);
        self.reweight(h, now)
    }

    /// Weight and slice become those that count.
    fn reweight(&mut self, h: Handle<Entity>, now: Instant) -> Decision {
        self.charge_current(now);
        let average = self.total().average();
        let base = self.base_slice_ns;
        let se = self.arena.get(h);
        let (queued, delayed, from) = (se.queued, se.delayed, u64::from(se.weight()));
        let claim = se.claim(base);
        let to = u64::from(claim.nice().weight());
        let shorter = claim.slice_ns() < se.slice_ns;
        let in_tree = queued && self.current != Some(h);
        if in_tree {
            self.unlink(h);
        }
        let se = self.arena.get_mut(h);
        if queued {
            let rescale = |v: u64| {
                let distance = mul_div(v.wrapping_sub(average) as i64, from, to);
                average.wrapping_add(distance as u64)
            };
            se.vruntime = rescale(se.vruntime);
            se.deadline = rescale(se.deadline);
            se.protected_until = rescale(se.protected_until);
        } else {
            se.vlag = mul_div(se.vlag, from, to);
            if se.relative_deadline {
                se.deadline = mul_div(se.deadline as i64, from, to) as u64;
            }
        }
        se.set_claim(claim, base);
        if shorter {
            se.cut_request(claim.slice_ns());
        }
        if in_tree {
            self.link(h);
        }
        debug_assert!(!queued || self.is_reweighted(h, average, from), "V9");
        self.upset();
        match self.current {
            _ if !queued || self.waiting.is_empty() => Decision::Keep,
            None if delayed => Decision::Keep,
            None => Decision::Resched,
            current if self.pick_eevdf() == current => Decision::Keep,
            _ => Decision::Resched,
        }
    }
}
