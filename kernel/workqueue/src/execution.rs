//! An execution's beginning and end: which item is taken, what is linked to it, what follows when it is over.

use links::Handle;

use crate::item::{On, item, item_mut, pwq, pwq_mut, worker, worker_mut};
use crate::run::Step;
use crate::ways::Ways;
use crate::{Item, Kind, Outcome, Pool, Pwq, Store, Worker};

/// What the end of an execution decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the worker must be woken, the flush told"]
pub struct Finished {
    /// Wake this worker.
    pub wake: Option<Handle<Worker>>,
    /// This pwq finished the colour that a flush waits for.
    pub flushed: Option<Handle<Pwq>>,
    /// The slot is kept for this pwq: see [`Pool::accept`].
    pub hand: Option<Handle<Pwq>>,
    /// This pwq has left the pool, or can move.
    pub gone: Option<Handle<Pwq>>,
    /// As `gone`: the item waits in it, and it waited for the item's run to end.
    pub freed: Option<Handle<Pwq>>,
}

impl Finished {
    /// Nothing follows.
    pub(crate) const NOTHING: Self = Self {
        wake: None,
        flushed: None,
        hand: None,
        gone: None,
        freed: None,
    };
}

/// An execution that begins: what [`Step::Run`] says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Begun {
    /// The item or barrier.
    pub item: Handle<Item>,
    /// For whom, if it is an item.
    pub pwq: Option<Handle<Pwq>>,
    /// Concurrency management counts the worker (E1).
    pub counted: bool,
    /// A worker to wake first (F1, E13).
    pub wake: Option<Handle<Worker>>,
}

impl From<Begun> for Step {
    #[inline(always)]
    fn from(begun: Begun) -> Self {
        Self::Run(begun)
    }
}

impl Pool {
    /// (6) The barrier that `w` executes is over; `w` calls [`Pool::next`] afterwards, without releasing
    /// the lock in between or later.
    pub fn finish_barrier<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Finished {
        debug_assert!(!worker(s, w).current_active, "an item is no barrier");
        self.end(s, w, Outcome::Returned)
    }

    /// (6) As [`Pool::finish_barrier`], of item `h`, which `w` executes for `p`. `None`: the usual case, nothing
    /// follows from it.
    #[inline(always)]
    pub fn finish<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        (h, p): (Handle<Item>, Handle<Pwq>),
    ) -> Option<Finished> {
        let node = worker_mut(s, w);
        debug_assert!(
            node.current == Some(h) && node.current_pwq == Some(p) && node.current_active,
            "it executes another item"
        );
        let colour = node.current_colour;
        let share = pwq(s, p);
        let usual = worker(s, w).apart == 0 && !share.ways.any(Ways::LEAVES);
        if !usual || item(s, h).on == On::Inactive {
            return Some(self.end(s, w, Outcome::Returned));
        }
        let by_node = share.ways.any(Ways::BY_NODE);
        if by_node && (share.inactive.is_empty() || !s.renew_slot(p, share.nr_inactive > 1)) {
            return Some(self.end(s, w, Outcome::Returned));
        }
        let node = worker_mut(s, w);
        (node.current, node.current_pwq) = (None, None);
        item_mut(s, h).runner = None;
        pwq_mut(s, p).stats.completed += 1;
        let flushed = self.free_slot(s, p, colour);
        flushed.then_some(Finished {
            flushed: Some(p),
            ..Finished::NOTHING
        })
    }

    /// Takes the front item of the worklist and what is linked to it.
    pub(crate) fn start<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        h: Handle<Item>,
    ) -> Begun {
        if item(s, h).is_linked() {
            self.take_chain(s, h, w);
        }
        self.worklist.remove(s, h);
        self.pending -= 1;
        self.begin(s, w, h)
    }

    /// The barriers linked behind the front item `h` move to `w`'s own list, behind what is there.
    fn take_chain<S: Store>(&mut self, s: &mut S, h: Handle<Item>, w: Handle<Worker>) {
        let mut list = core::mem::take(&mut worker_mut(s, w).scheduled);
        let mut more = item(s, h).is_linked();
        while more {
            let Some(b) = self.worklist.next(s, h) else {
                break;
            };
            more = item(s, b).is_linked();
            self.worklist.remove(s, b);
            self.pending -= 1;
            item_mut(s, b).on = On::Scheduled(w);
            self.claim(s, b, w);
            list.push_back(s, b);
        }
        worker_mut(s, w).scheduled = list;
    }

    /// (5) The front item of the worklist is being executed by `other`, which will execute it
    /// again (C6). A rescuer's cursor only looks so, and has served.
    pub(crate) fn hand_over<S: Store>(
        &mut self,
        s: &mut S,
        h: Handle<Item>,
        other: Handle<Worker>,
    ) {
        if item(s, h).is_cursor() {
            self.lift(s, h);
            return;
        }
        let linked = item(s, h).is_linked();
        let behind = if linked {
            self.worklist.next(s, h)
        } else {
            None
        };
        self.worklist.remove(s, h);
        self.pending -= 1;
        item_mut(s, h).on = On::Scheduled(other);
        self.claim(s, h, other);
        let mut list = core::mem::take(&mut worker_mut(s, other).scheduled);
        list.push_back(s, h);
        let mut next = behind;
        while let Some(b) = next {
            next = if item(s, b).is_linked() {
                self.worklist.next(s, b)
            } else {
                None
            };
            self.worklist.remove(s, b);
            self.pending -= 1;
            item_mut(s, b).on = On::Scheduled(other);
            self.claim(s, b, other);
            list.push_back(s, b);
        }
        worker_mut(s, other).scheduled = list;
    }

    /// `h` is on no list any more; `w` executes it from now on.
    pub(crate) fn begin<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        h: Handle<Item>,
    ) -> Begun {
        let it = item_mut(s, h);
        it.on = On::Nothing;
        it.set_linked(false);
        let (p, colour, barrier) = (it.pwq.take(), it.colour, it.is_barrier());
        if !barrier {
            it.runner = Some(w);
        }
        let share = p.filter(|_| !barrier).map(|p| pwq(s, p));
        let heavy = share.is_some_and(|p| p.ways.any(Ways::CPU_INTENSIVE));
        let heavy = heavy && self.kind == Kind::Bound;
        self.starts += 1;
        let node = worker_mut(s, w);
        node.run = self.starts;
        if heavy && self.counts(node) {
            self.nr_running -= 1;
        }
        node.current = Some(h);
        node.current_pwq = p;
        node.current_colour = colour;
        node.current_active = !barrier;
        node.apart = if heavy { Worker::CPU_INTENSIVE } else { 0 };
        let counted = self.counts(worker(s, w));
        Begun {
            item: h,
            pwq: p.filter(|_| !barrier),
            counted,
            wake: self.kick(s),
        }
    }

    /// Ends `w`'s execution. A worker that goes on with the next item wakes nobody.
    pub(crate) fn end<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        outcome: Outcome,
    ) -> Finished {
        let mut over = Finished::NOTHING;
        let node = worker_mut(s, w);
        let (Some(h), Some(p)) = (node.current.take(), node.current_pwq.take()) else {
            return over;
        };
        let colour = node.current_colour;
        let active = core::mem::replace(&mut node.current_active, true);
        if core::mem::take(&mut node.apart) != 0 && self.counts(node) {
            self.nr_running += 1;
        }
        let share = pwq_mut(s, p);
        over.flushed = share.leave(colour).then_some(p);
        if active {
            share.stats.completed += 1;
            share.stats.panicked += u64::from(outcome == Outcome::Panicked);
            // A barrier's node is gone by now; an item's is kept alive by whoever runs it.
            let it = item_mut(s, h);
            it.runner = None;
            if it.on == On::Inactive {
                over.freed = Self::runs_no_more(s, h, p);
            }
            over.hand = self.give_back(s, p);
        }
        over.gone = Self::left(s, p);
        over
    }
}
