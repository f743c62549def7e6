//! What a waiting item waits for, and who holds the slots it waits for (D11).

use links::Handle;

use crate::item::{On, item, pwq, worker};
use crate::{Colour, Item, Kind, Pool, Pwq, Store, Worker};

/// What must happen before an item, or the barrier behind it, is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Awaited {
    /// Nothing that can be told: it is over or about to be.
    Nothing,
    /// The pool starts it as soon as it can.
    Start,
    /// This worker must end what it executes.
    Worker(Handle<Worker>),
    /// An active item of this pwq, or of its node, must end.
    Slot(Handle<Pwq>),
}

/// Something in flight that a worker has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// The worker that executes it, or executes something else first.
    pub worker: Handle<Worker>,
    /// Its flush colour.
    pub colour: Colour,
    /// It holds a slot; a barrier does not.
    pub slot: bool,
}

impl Pool {
    /// What the last submission of `target` waits for; or `barrier`, if it was put behind `target` and
    /// is there still. Under the lock of the pool in which `target` is or was last.
    #[must_use]
    pub fn awaited<S: Store>(
        &self,
        s: &S,
        target: Handle<Item>,
        barrier: Option<Handle<Item>>,
    ) -> Awaited {
        let it = item(s, target);
        let Some(barrier) = barrier else {
            return match (it.runner, it.on()) {
                (Some(w), _) | (None, On::Scheduled(w)) => Awaited::Worker(w),
                (None, On::Worklist) => Awaited::Start,
                (None, On::Inactive) => it.pwq.map_or(Awaited::Nothing, Awaited::Slot),
                (None, On::Nothing) => Awaited::Nothing,
            };
        };
        if it.on() != On::Nothing && Self::is_chained(s, target, barrier) {
            return self.awaited(s, target, None);
        }
        match it.runner {
            Some(w) if self.is_next_of(s, w, barrier) => Awaited::Worker(w),
            _ => Awaited::Nothing,
        }
    }

    /// Whether `target` is all that is on the list, and nobody executes it: who comes to the list starts it, and finds nothing
    /// more there.
    #[inline(always)]
    #[must_use]
    pub fn is_alone<S: Store>(&self, s: &S, target: Handle<Item>) -> bool {
        let ends = (self.worklist.front(), self.worklist.back());
        ends == (Some(target), Some(target)) && item(s, target).runner.is_none()
    }

    /// Whether `w` comes to `barrier` after the item that it executes.
    fn is_next_of<S: Store>(&self, s: &S, w: Handle<Worker>, barrier: Handle<Item>) -> bool {
        if self.kind == Kind::Bh {
            return item(s, barrier).on() == On::Worklist;
        }
        worker(s, w).scheduled.iter(s).any(|h| h == barrier)
    }

    /// Whether `barrier` is linked behind `target`, which is on a list.
    fn is_chained<S: Store>(s: &S, target: Handle<Item>, barrier: Handle<Item>) -> bool {
        // Every list links its nodes alike.
        let list = links::List::<Item>::new();
        let mut at = target;
        while item(s, at).is_linked() {
            match list.next(s, at) {
                Some(next) if next == barrier => return true,
                Some(next) => at = next,
                None => return false,
            }
        }
        false
    }

    /// What workers of the pool have of `p`, through `f`: what they execute, and what they will
    /// execute next, come what may.
    pub fn each_held<S: Store>(&self, s: &S, p: Handle<Pwq>, mut f: impl FnMut(Held)) {
        for w in self.workers.iter(s) {
            let node = worker(s, w);
            if node.current.is_some() && node.current_pwq == Some(p) {
                f(Held {
                    worker: w,
                    colour: node.current_colour,
                    slot: node.current_active,
                });
            }
            for h in node.scheduled.iter(s) {
                let it = item(s, h);
                if it.pwq == Some(p) {
                    f(Held {
                        worker: w,
                        colour: it.colour,
                        slot: !it.is_barrier(),
                    });
                }
            }
        }
    }

    /// Whether waiting items of `p` start when an active one of its own, or of its node, ends: not
    /// while it moves to another pool, nor while its limit is 0 (F5).
    #[must_use]
    pub fn passes_slots<S: Store>(&self, s: &S, p: Handle<Pwq>) -> bool {
        let share = pwq(s, p);
        share.leaving().activates() && (share.is_limited_by_node() || share.max_active > 0)
    }
}
