//! Who wants to know of what items do: what waits already is told of it, too.

use links::{Handle, List};

use crate::item::{item, item_mut, pwq, pwq_mut, worker};
use crate::{Eyes, Item, Pool, Pwq, Store};

impl Pool {
    /// Somebody wants to know of what the items of `p` do from now on, or nobody does. In O(what waits in the pool), the first time.
    pub fn observe<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>, on: bool) {
        let was = pwq(s, p).is_observed();
        pwq_mut(s, p).set_observed(on);
        if !on || was {
            // Those that wait know it, or are asked once more for nothing.
            return;
        }
        Self::asks(s, p, self.worklist.front());
        let first = pwq(s, p).inactive.front();
        Self::asks(s, p, first);
        let mut next = self.workers.front();
        while let Some(w) = next {
            let first = worker(s, w).scheduled.front();
            Self::asks(s, p, first);
            next = self.workers.next(s, w);
        }
    }

    /// The items of `p` from `first` on, to the end of its list, know it.
    fn asks<S: Store>(s: &mut S, p: Handle<Pwq>, first: Option<Handle<Item>>) {
        // Every list links its nodes alike.
        let list = List::<Item>::new();
        let mut next = first;
        while let Some(h) = next {
            let it = item(s, h);
            if it.pwq == Some(p) && it.is_work() {
                item_mut(s, h).add_eyes(Eyes::EVENTS);
            }
            next = list.next(s, h);
        }
    }
}
