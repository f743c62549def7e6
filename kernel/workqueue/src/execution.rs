//! An execution's beginning and end: which item is taken, what is linked to it, what follows when it is over.

use links::{Handle, List};

use crate::item::{On, item, item_mut, pwq, pwq_mut, worker, worker_mut};
use crate::run::Step;
use crate::ways::Ways;
use crate::{Item, Kind, Outcome, Phase, Pool, Pwq, Store, Worker};

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

    /// Whether nothing follows.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::NOTHING
    }
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

/// A barrier that was passed: see [`Pool::pass`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "its waiter must be let go"]
pub struct Passed {
    /// Whose waiter goes on. The pool knows it no more.
    pub barrier: Handle<Item>,
    /// As in [`Finished`].
    pub flushed: Option<Handle<Pwq>>,
    /// As in [`Finished`].
    pub gone: Option<Handle<Pwq>>,
}

impl Pool {
    /// (6) Between two items, the barrier that `w` comes to next, if it is one: it is over at once. Otherwise nothing has
    /// changed. Within the section of the lock in which the item before it ended.
    #[inline(always)]
    pub fn pass<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Option<Passed> {
        let node = worker(s, w);
        let b = node.scheduled.front()?;
        if node.phase != Phase::Working || !item(s, b).is_barrier() {
            return None;
        }
        debug_assert!(node.current.is_none(), "it is not between two items");
        let _it = List::pop_front_of(s, |s| &mut worker_mut(s, w).scheduled);
        let it = item_mut(s, b);
        it.set_on(On::Nothing);
        let (p, colour) = (it.pwq.take()?, it.colour);
        self.starts += 1;
        self.entry_came();
        self.note_stand(s, w);
        Some(Passed {
            barrier: b,
            flushed: pwq_mut(s, p).leave_barrier(colour).then_some(p),
            gone: Self::left(s, p),
        })
    }

    /// (6) The barrier that `w` executes is over; `w` calls [`Pool::next`] afterwards, without releasing
    /// the lock in between or later.
    pub fn finish_barrier<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Finished {
        debug_assert!(!worker(s, w).current_active, "an item is no barrier");
        self.end(s, w, Outcome::Returned)
    }

    /// Takes the front item of the worklist and what is linked to it.
    pub(crate) fn start<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        h: Handle<Item>,
    ) -> Begun {
        self.take(s, w, h);
        self.begin(s, w, h)
    }

    /// The front item of the worklist leaves it, what is linked to it goes to `w`.
    pub(crate) fn take<S: Store>(&mut self, s: &mut S, w: Handle<Worker>, h: Handle<Item>) {
        if item(s, h).is_linked() {
            self.take_chain(s, h, w);
        }
        self.worklist.remove(s, h);
        self.entry_went();
    }

    /// As [`Self::take_chain`], of item `h`, which was the front of the worklist and is not on it any more; nothing is on `w`'s
    /// own list.
    #[inline(never)]
    pub(crate) fn take_linked<S: Store>(&mut self, s: &mut S, h: Handle<Item>, w: Handle<Worker>) {
        let mut list = List::new();
        let mut last = h;
        while item(s, last).is_linked() {
            let Some(b) = self.worklist.front() else {
                break;
            };
            self.worklist.remove_front(s, b);
            self.entry_went();
            item_mut(s, b).set_on(On::Scheduled(w));
            self.claim(s, b, w);
            list.push_back(s, b);
            last = b;
        }
        item_mut(s, h).set_linked(false);
        worker_mut(s, w).schedule(list);
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
            self.entry_went();
            item_mut(s, b).set_on(On::Scheduled(w));
            self.claim(s, b, w);
            list.push_back(s, b);
        }
        worker_mut(s, w).schedule(list);
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
        self.entry_went();
        item_mut(s, h).set_on(On::Scheduled(other));
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
            self.entry_went();
            item_mut(s, b).set_on(On::Scheduled(other));
            self.claim(s, b, other);
            list.push_back(s, b);
        }
        worker_mut(s, other).schedule(list);
    }

    /// `h` is on no list any more; `w` executes it from now on.
    pub(crate) fn begin<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        h: Handle<Item>,
    ) -> Begun {
        let it = item_mut(s, h);
        it.set_on(On::Nothing);
        it.set_linked(false);
        it.shut_eyes();
        let (p, colour, barrier) = (it.pwq.take(), it.colour, it.is_barrier());
        if !barrier {
            it.runner = Some(w);
        }
        let share = p.filter(|_| !barrier).map(|p| pwq(s, p));
        let heavy = share.is_some_and(|p| p.ways.any(Ways::CPU_INTENSIVE));
        let heavy = heavy && self.kind == Kind::Bound;
        // Whoever takes an item off the list to start it has noted that it left.
        self.starts += 1;
        self.entry_came();
        let node = worker_mut(s, w);
        node.run = self.starts;
        if heavy && self.counts(node) {
            self.stand.running -= 1;
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
        let apart = node.is_apart();
        node.apart = 0;
        if apart && self.counts(node) {
            self.stand.running += 1;
        }
        let share = pwq_mut(s, p);
        if !active {
            over.flushed = share.leave_barrier(colour).then_some(p);
        } else {
            over.flushed = share.leave(colour).then_some(p);
            share.stats.panicked += u64::from(outcome == Outcome::Panicked);
            // A barrier's node is gone by now; an item's is kept alive by whoever runs it.
            let it = item_mut(s, h);
            it.runner = None;
            if it.on() == On::Inactive {
                over.freed = Self::runs_no_more(s, h, p);
            }
            over.hand = self.give_back(s, p);
        }
        over.gone = Self::left(s, p);
        over
    }
}
