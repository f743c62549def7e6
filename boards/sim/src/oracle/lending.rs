//! Loans of priority: never without a waiter (Beyond Linux 6).
//!
//! A thread whose priority is above its own has it from a thread that waits. Which one that is no event
//! tells, and the executive's own books are audited elsewhere; but when every core waits, there must be
//! one: asleep in a wait, and of a priority no lower than what it lends. Its own priority is known when
//! it ever changed; before, it may have any. Priorities are as in the event: lower is stronger.

use trace::Kind;

use super::names::Map;
use super::{Seen, Verdict, ensure};

/// A thread's own priority and the one that counts.
#[derive(Clone, Copy, Debug)]
struct Priority {
    own: u64,
    counts: u64,
}

/// Who counts for more than himself, and who waits.
#[derive(Default, Debug)]
pub(crate) struct Lending {
    changed: Map<u32, Priority>,
    waiting: Map<u32, ()>,
}

impl Lending {
    pub(crate) fn see(&mut self, s: &Seen, thread: u32) -> Verdict {
        let e = &s.event;
        match e.kind {
            Kind::SchedPiSetprio => {
                let (id, own) = (e.head.arg, u64::from(e.head.small));
                let before = self.changed.get(&id).map_or(e.a, |p| p.counts);
                ensure!(
                    before == e.a && e.b != e.a && e.b <= own,
                    "lending",
                    "thread {id} of priority {own} goes from {} to {}, and it had {before}",
                    e.a,
                    e.b
                );
                self.changed.insert(id, Priority { own, counts: e.b });
            }
            Kind::ContentionBegin => {
                self.waiting.insert(thread, ());
            }
            Kind::ContentionEnd => {
                self.waiting.remove(&thread);
            }
            Kind::SchedProcessExit => {
                let left = self.changed.remove(&e.head.arg);
                self.waiting.remove(&e.head.arg);
                ensure!(
                    left.is_none_or(|p| p.counts == p.own),
                    "lending",
                    "thread {} ends with a loan",
                    e.head.arg
                );
            }
            _ => {}
        }
        Ok(())
    }

    /// All cores wait.
    pub(crate) fn quiescent(&self) -> Verdict {
        for (&id, p) in self.changed.iter().filter(|(_, p)| p.counts < p.own) {
            let lends = |w: &&u32| {
                let other = self.changed.get(w);
                **w != id && other.is_none_or(|o| o.counts <= p.counts)
            };
            ensure!(
                self.waiting.keys().any(|w| lends(&w)),
                "lending",
                "thread {id} of priority {} has {}, and nobody waits who could have lent that",
                p.own,
                p.counts
            );
        }
        Ok(())
    }
}
