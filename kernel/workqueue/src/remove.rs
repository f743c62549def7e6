//! Taking a pending item out: what cancelling leaves on the lists.

use links::Handle;

use crate::item::{On, item, item_mut, pwq, pwq_mut, worker_mut};
use crate::ways::Ways;
use crate::{Eyes, Item, Over, Pool, Pwq, Store, Worker};

/// What removing a pending item decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the worker must be woken, the flush told"]
pub struct Removed {
    /// Wake this worker.
    pub wake: Option<Handle<Worker>>,
    /// This pwq finished the colour that a flush waits for.
    pub flushed: Option<Handle<Pwq>>,
    /// The slot is kept for this pwq: see [`Pool::accept`].
    pub hand: Option<Handle<Pwq>>,
    /// This pwq has left the pool, or can move.
    pub gone: Option<Handle<Pwq>>,
}

impl Pool {
    /// (7) Takes a queued item out (cancel). Barriers behind it stay and release their waiters
    /// (I7); a slot it had goes to the next inactive item, one it had not stays uncounted (J7). `None`: the usual
    /// case, nothing follows from it.
    #[inline(always)]
    pub fn remove<S: Store>(&mut self, s: &mut S, h: Handle<Item>) -> Option<Removed> {
        let it = item(s, h);
        let Some(p) = it.pwq.filter(|_| it.on() == On::Worklist && it.is_single()) else {
            return Some(self.remove_otherwise(s, h));
        };
        if pwq(s, p)
            .ways
            .any(Ways::UNLIMITED | Ways::BY_NODE | Ways::LEAVES | Ways::OVER)
        {
            return Some(self.remove_otherwise(s, h));
        }
        self.worklist.remove(s, h);
        self.entry_went();
        let it = item_mut(s, h);
        it.set_on(On::Nothing);
        it.pwq = None;
        it.shut_eyes();
        let colour = it.colour;
        pwq_mut(s, p).cancelled += 1;
        match self.free_slot(s, p, (|_: &S| colour, pwq(s, p).ways), Eyes::ALL) {
            Over::Goes | Over::Last => None,
            Over::Follows(f) => Some(Removed {
                wake: None,
                flushed: f.flushed,
                hand: None,
                gone: None,
            }),
        }
    }

    /// As [`Self::remove`], of an item like most: on the pool's list, with nothing linked to it and a slot of its pwq's own, and
    /// no flush waits for it. False: it is another one, and nothing happened. `at_rest`:
    /// it must not be executed either. `EYES`: who will have seen it start, of [`Eyes::NONE`] and [`Eyes::EVENTS`]; of the latter no other
    /// item waits for its slot.
    #[inline(always)]
    #[must_use = "an item that was removed must be given up"]
    pub fn remove_plain<S: Store, const EYES: u8>(
        &mut self,
        s: &mut S,
        h: Handle<Item>,
        at_rest: bool,
    ) -> bool {
        let it = item(s, h);
        let Some(p) = it.pwq.filter(|_| it.is_listed_by(EYES)) else {
            return false;
        };
        let share = pwq(s, p);
        if share.ways.any(Ways::NOT_PLAINLY_OUT) {
            return false;
        }
        if at_rest && it.runner.is_some() {
            return false;
        }
        // Of that one's activation an event would be told before that of this one's end.
        if EYES != Eyes::NONE && !share.inactive.is_empty() {
            return false;
        }
        self.worklist.remove(s, h);
        self.entry_went();
        let it = item_mut(s, h);
        it.unlist();
        it.pwq = None;
        let share = pwq_mut(s, p);
        share.cancelled += 1;
        share.passed += 1;
        if EYES == Eyes::NONE {
            let _last = self.pass_on(s, p, EYES, false);
        }
        true
    }

    /// As [`Self::remove`]: it is not on the list, something is linked to it, or its slot is the node's.
    fn remove_otherwise<S: Store>(&mut self, s: &mut S, h: Handle<Item>) -> Removed {
        let it = item_mut(s, h);
        let (on, colour, linked, beside) = (it.on(), it.colour, it.is_linked(), it.is_beside());
        let Some(p) = it.pwq.take() else {
            return Removed {
                wake: None,
                flushed: None,
                hand: None,
                gone: None,
            };
        };
        it.set_on(On::Nothing);
        it.set_linked(false);
        it.set_beside(false);
        it.shut_eyes();
        match on {
            On::Nothing => {}
            On::Worklist => {
                self.worklist.remove(s, h);
                self.entry_went();
            }
            On::Scheduled(w) => {
                let mut list = core::mem::take(&mut worker_mut(s, w).scheduled);
                list.remove(s, h);
                worker_mut(s, w).scheduled = list;
            }
            On::Inactive => {
                let mut list = core::mem::take(&mut pwq_mut(s, p).inactive);
                let behind = if linked { list.next(s, h) } else { None };
                list.remove(s, h);
                let released = self.release_chain(s, &mut list, behind);
                let share = pwq_mut(s, p);
                share.inactive = list;
                share.nr_waiting_barriers -= released;
                share.nr_beside -= u32::from(beside);
            }
        }
        let share = pwq_mut(s, p);
        share.cancelled += 1;
        let flushed = share.leave(colour).then_some(p);
        let hand = match on {
            On::Inactive => None,
            _ => self.give_back(s, p),
        };
        Removed {
            wake: self.kick(s),
            flushed,
            hand,
            gone: Self::left(s, p),
        }
    }
}
