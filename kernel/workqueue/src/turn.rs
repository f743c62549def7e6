//! The turns of a BH pool's pseudo worker (K2, K4).
//!
//! The softirq of a core comes whenever it was called since the end of its last turn, takes a few items one by one, and goes.
//! It is the pool's only worker, it waits for nobody, and nobody counts it. So it needs less than threads do: it is
//! on the idle list for ever, where whoever queues finds it as in other pools, and is *woken* from the call
//! to the end of the turn that leaves nothing. While it is, nobody calls it again.
//!
//! Invariant: the list is non-empty only while it is woken, or in a turn.

use links::Handle;

use crate::item::{On, item, item_mut, pwq, pwq_mut, worker, worker_mut};
use crate::ways::Ways;
use crate::{Begun, Item, Kind, Over, Phase, Pool, Pwq, Store, Worker};

impl Pool {
    /// (4) The next item of `w`, a BH pool's pseudo worker, in its turn, if that is like most: the front of the list, with nothing
    /// linked to it, and nobody wants to know of it. `None`: [`Self::turn_aside`].
    #[inline(always)]
    pub fn turn_to<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
    ) -> Option<(Handle<Item>, Handle<Pwq>)> {
        debug_assert!(self.kind == Kind::Bh, "a thread has no turns");
        if !worker(s, w).scheduled.is_empty() {
            return None;
        }
        let h = self.worklist.front()?;
        let it = item(s, h);
        let p = it.pwq.filter(|_| it.is_plain())?;
        if pwq(s, p).ways.any(Ways::OBSERVED) {
            return None;
        }
        self.entry_went();
        self.take_front(s, w, (h, p));
        Some((h, p))
    }

    /// (4) As [`Self::turn_to`], whatever comes next: an item or a barrier. `None`: there is nothing left.
    #[inline(never)]
    pub fn turn_aside<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Option<Begun> {
        let mut own = core::mem::take(&mut worker_mut(s, w).scheduled);
        let h = if let Some(h) = own.front() {
            // What was linked to the last item comes first.
            own.remove(s, h);
            worker_mut(s, w).scheduled = own;
            h
        } else {
            let h = self.worklist.front()?;
            self.take(s, w, h);
            h
        };
        let it = item_mut(s, h);
        debug_assert!(
            it.runner.is_none(),
            "nobody else executes items of this pool"
        );
        it.on = On::Nothing;
        it.set_linked(false);
        let (p, colour, barrier) = (it.pwq.take(), it.colour, it.is_barrier());
        if !barrier {
            it.runner = Some(w);
        }
        let node = worker_mut(s, w);
        (node.current, node.current_pwq) = (Some(h), p);
        node.current_colour = colour;
        node.current_active = !barrier;
        Some(Begun {
            item: h,
            pwq: p.filter(|_| !barrier),
            counted: false,
            wake: None,
        })
    }

    /// (6) As [`Pool::finish`], of item `h`, which `w` executed for `p` in its turn; nothing else follows than that a flush is over.
    /// Under the same lock `w` takes the next item or ends its turn.
    #[inline(always)]
    pub fn turn_over<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        (h, p): (Handle<Item>, Handle<Pwq>),
    ) -> Over {
        let node = worker(s, w);
        debug_assert!(
            node.current == Some(h) && node.current_pwq == Some(p) && node.current_active,
            "it executes another item"
        );
        let colour = node.current_colour;
        item_mut(s, h).runner = None;
        let share = pwq_mut(s, p);
        // There is no limit, so nothing waits for a slot.
        debug_assert!(share.inactive.is_empty() && !share.ways.any(Ways::BY_NODE | Ways::LEAVES));
        let faded = share.leaves(colour);
        share.nr_active -= 1;
        if faded {
            Over::flushed(p)
        } else if share.nr_active > 0 {
            Over::Goes
        } else if share.has_turned() {
            Over::flushed(p)
        } else {
            Over::Last
        }
    }

    /// `w` ends its turn, in which it started so many `items`. True: some are left, the softirq comes again.
    #[inline(always)]
    #[must_use = "the softirq must be raised again"]
    pub fn end_turn<S: Store>(&mut self, s: &mut S, w: Handle<Worker>, items: u32) -> bool {
        // They were noted to leave the list.
        self.starts += u64::from(items);
        self.listed = self.listed.wrapping_add(items);
        let starts = self.starts;
        let node = worker_mut(s, w);
        node.run = starts;
        (node.current, node.current_pwq) = (None, None);
        if !node.scheduled.is_empty() {
            // Barriers of the last item must not wait on an idle worker's own list.
            self.requeue(s, w);
        }
        let more = !self.worklist.is_empty();
        worker_mut(s, w).woken = more;
        more
    }

    /// Workers that have nothing to do, as people see it: the pseudo worker of a BH pool, too, outside of its items.
    #[must_use]
    pub fn nr_resting<S: Store>(&self, s: &S) -> u32 {
        if self.kind != Kind::Bh {
            return self.nr_idle();
        }
        let rests = |&w: &_| worker(s, w).is_resting();
        self.workers.iter(s).filter(rests).count() as u32
    }
}

impl Worker {
    /// It waits to be woken, or is no worker of a pool.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        let idle = matches!(self.phase, Phase::New | Phase::Idle | Phase::Dying);
        // The pseudo worker of a BH pool has no phases.
        idle && self.current.is_none()
    }
}
