//! The turns of a BH pool's pseudo worker (K2, K4).
//!
//! The softirq of a core comes whenever it was called since the end of its last turn, takes a few items one by one, and goes.
//! It is the pool's only worker, it waits for nobody, and nobody counts it. So it needs less than threads do: it is
//! on the idle list for ever, where whoever queues finds it as in other pools, and is *woken* from the call
//! to the end of the turn that leaves nothing. While it is, nobody calls it again. And it has no list of its own: what waits
//! for its item is the first on the pool's.
//!
//! Invariant: the list is non-empty only while it is woken, or in a turn.

use links::Handle;

use crate::item::{On, item, item_mut, pwq, pwq_mut, worker, worker_mut};
use crate::run::is_of;
use crate::ways::Ways;
use crate::{Begun, Eyes, Item, Kind, Over, Phase, Pool, Pwq, Store, Worker};

impl Pool {
    /// (1), (2) As [`Pool::queue_plain`], on a BH pool. True: its softirq must be called.
    #[inline(always)]
    #[must_use = "the softirq must be called"]
    pub fn queue_turn<S: Store>(
        &mut self,
        s: &mut S,
        p: Handle<Pwq>,
        h: Handle<Item>,
        entered: u64,
    ) -> bool {
        debug_assert!(self.kind == Kind::Bh, "a thread has no turns");
        let share = pwq_mut(s, p);
        debug_assert!(share.ways.any(Ways::UNLIMITED) && share.entered + 1 == entered);
        share.entered = entered;
        let colour = share.work_colour;
        let it = item_mut(s, h);
        debug_assert!(it.on() == On::Nothing, "queueing an item that is queued");
        debug_assert!(it.is_single(), "marks of when it was queued last");
        it.pwq = Some(p);
        it.colour = colour;
        it.set_on(On::Worklist);
        let first = self.worklist.back().is_none();
        self.push(s, h);
        // By the invariant nobody needs to look at the worker else.
        first && self.wake_idle(s).is_some()
    }

    /// (4) The next item of `w`, a BH pool's pseudo worker, in its turn, if that is one that so many [`Eyes`] see, of
    /// [`Eyes::NONE`] and [`Eyes::EVENTS`]: the front of the list, with nothing linked to it; of [`Eyes::EVENTS`] `only` one of this pwq. `None`: [`Self::turn_aside`].
    #[inline(always)]
    pub fn turn_to<S: Store, const EYES: u8>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        only: Handle<Pwq>,
    ) -> Option<(Handle<Item>, Handle<Pwq>)> {
        debug_assert!(self.kind == Kind::Bh, "a thread has no turns");
        let h = self.worklist.front()?;
        let it = item(s, h);
        let p = if EYES != Eyes::EVENTS {
            it.pwq.filter(|_| it.starts_by(EYES))?
        } else if is_of(it, only) && it.starts_by(EYES) {
            only
        } else {
            return None;
        };
        debug_assert!(
            !pwq(s, p).ways.any(Ways::ASIDE),
            "its item does not know it"
        );
        if EYES != Eyes::NONE {
            item_mut(s, h).shut_eyes();
        }
        self.starts += 1;
        self.take_front(s, w, (h, p));
        Some((h, p))
    }

    /// The pwq of the next item.
    #[inline(always)]
    #[must_use]
    pub fn pwq_of_next<S: Store>(&self, s: &S) -> Option<Handle<Pwq>> {
        item(s, self.worklist.front()?).pwq
    }

    /// (4) As [`Self::turn_to`], whatever comes next: an item or a barrier. `None`: there is nothing left.
    #[inline(never)]
    pub fn turn_aside<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Option<Begun> {
        let h = self.worklist.front()?;
        self.worklist.remove_front(s, h);
        let it = item_mut(s, h);
        debug_assert!(
            it.runner.is_none(),
            "nobody else executes items of this pool"
        );
        it.set_on(On::Nothing);
        it.set_linked(false);
        it.shut_eyes();
        let (p, colour, barrier) = (it.pwq.take(), it.colour, it.is_barrier());
        if barrier {
            self.entry_went();
        } else {
            it.runner = Some(w);
            self.starts += 1;
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
        item_mut(s, h).runner = None;
        let share = pwq_mut(s, p);
        // There is no limit, so nothing waits for a slot.
        debug_assert!(share.inactive.is_empty() && !share.ways.any(Ways::BY_NODE | Ways::LEAVES));
        share.passed += 1;
        if share.ways.any(Ways::COLOURED) && Self::fades_in_turn(s, w, p) {
            return Over::flushed(p);
        }
        let share = pwq_mut(s, p);
        if share.entered != share.passed {
            Over::Goes
        } else if share.has_turned() {
            Over::flushed(p)
        } else {
            Over::Last
        }
    }

    /// What `w` executed for `p` is over, and things of an earlier colour are in flight. True: a flush pass is over.
    #[cold]
    #[inline(never)]
    fn fades_in_turn<S: Store>(s: &mut S, w: Handle<Worker>, p: Handle<Pwq>) -> bool {
        let colour = worker(s, w).current_colour;
        pwq_mut(s, p).fades(colour)
    }

    /// `w` ends its turn. True: some are left, the softirq comes again.
    #[inline(always)]
    #[must_use = "the softirq must be raised again"]
    pub fn end_turn<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> bool {
        let starts = self.starts;
        let node = worker_mut(s, w);
        node.run = starts;
        (node.current, node.current_pwq) = (None, None);
        debug_assert!(node.scheduled.is_empty(), "it has a list of its own");
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
