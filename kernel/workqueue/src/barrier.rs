//! Barriers: where a waiter stands for the end of an item (I5, I6).

use links::Handle;

use crate::item::{On, Store, item, item_mut, pwq_mut, worker, worker_mut};
use crate::{Item, Kind, Pool};

impl Pool {
    /// Puts barrier `b` behind the last queued submission of `target`, or, when that is executing,
    /// in front of everything else its worker will do (I5, I6). False: nothing to wait for.
    #[must_use = "false means that the barrier will not be executed"]
    pub fn insert_barrier<S: Store>(
        &mut self,
        s: &mut S,
        target: Handle<Item>,
        b: Handle<Item>,
    ) -> bool {
        let it = item(s, target);
        let (on, runner) = (it.on(), it.runner);
        let (p, colour, linked) = match (on, runner) {
            (On::Nothing, None) => return false,
            (On::Nothing, Some(w)) => {
                let w = worker(s, w);
                (w.current_pwq, w.current_colour, false)
            }
            _ => (it.pwq, it.colour, it.is_linked()),
        };
        let Some(p) = p else { return false };
        pwq_mut(s, p).enter_barrier(colour);
        let place = match (on, runner) {
            // The only worker there is comes to it first.
            (On::Nothing, Some(_)) if self.kind == Kind::Bh => On::Worklist,
            (On::Nothing, Some(w)) => On::Scheduled(w),
            _ => on,
        };
        let node = item_mut(s, b);
        node.pwq = Some(p);
        node.colour = colour;
        node.set_linked(linked);
        node.set_on(place);
        if on != On::Nothing {
            item_mut(s, target).set_linked(true);
        }
        match place {
            On::Nothing => {}
            On::Worklist => {
                if on == On::Nothing {
                    self.worklist.push_front(s, b);
                } else {
                    self.worklist.insert_after(s, target, b);
                }
                self.entry_came();
            }
            On::Inactive => {
                let mut list = core::mem::take(&mut pwq_mut(s, p).inactive);
                list.insert_after(s, target, b);
                let share = pwq_mut(s, p);
                share.inactive = list;
                share.nr_waiting_barriers += 1;
            }
            On::Scheduled(w) => {
                let mut list = core::mem::take(&mut worker_mut(s, w).scheduled);
                if on == On::Nothing {
                    list.push_front(s, b);
                } else {
                    list.insert_after(s, target, b);
                }
                worker_mut(s, w).schedule(list);
            }
        }
        true
    }
}
