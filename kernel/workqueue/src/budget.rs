//! The CPU budget of an execution (E14).

use links::Handle;

use crate::item::{pwq_mut, worker_mut};
use crate::{Item, Pool, Store, Worker};

/// An execution used its budget and has left concurrency management.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the worker must be woken"]
pub struct OverBudget {
    /// What is executed.
    pub item: Handle<Item>,
    /// Wake this worker.
    pub wake: Option<Handle<Worker>>,
}

impl Pool {
    /// Hook: `w` used its budget within one execution (E14): it leaves concurrency management until
    /// the item ends. `None` when it executes nothing that is counted; the hook then came too late.
    pub fn budget<S: Store>(&mut self, s: &mut S, w: Handle<Worker>) -> Option<OverBudget> {
        self.back(s, w);
        let node = worker_mut(s, w);
        if !self.counts(node) || node.sleeping {
            return None;
        }
        let (item, p) = (node.current?, node.current_pwq?);
        node.set_apart(Worker::CPU_INTENSIVE);
        self.stand.running -= 1;
        pwq_mut(s, p).stats.cpu_intensive += 1;
        Some(OverBudget {
            item,
            wake: self.kick(s),
        })
    }
}
