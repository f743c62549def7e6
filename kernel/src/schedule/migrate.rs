//! A running thread goes to another core by its own wish.
//!
//! It cannot put itself on the other core's runqueue: that core could continue it before its
//! context is saved here. So it leaves its own runqueue and hands the scheduler's reference to the
//! thread that runs next on this core, which does it, when the switch is over. Between the two the
//! thread is runnable, on no runqueue, and nobody else touches it: a waker sees that it does not
//! sleep.
#![expect(unsafe_code, reason = "hands the scheduler's reference back")]

use alloc::sync::Arc;

use sched::Enqueue;

use super::{Why, balance, reschedule, wake};
use crate::cpu::{CpuMask, cpu, online, this_cpu};
use crate::thread::{State, ThreadCx, ThreadRef, current};
use crate::trace::{Head, Kind, emit};

/// Lets the running thread run on the cores of `mask` only, from now on: it returns on one of them.
/// Without an online core in `mask` it stays where it is.
pub(crate) fn run_on(_cx: &ThreadCx<'_>, mask: CpuMask) {
    super::might_sleep("run_on");
    current().set_affinity(mask);
    let irq = machine::irq_save();
    let usable = mask.and(online());
    if !usable.is_empty() && !usable.contains(this_cpu().id()) {
        reschedule(Why::Leave);
    }
    machine::irq_restore(irq);
}

/// Frees a thread that has ended, or puts one that leaves this core on another.
#[cold]
pub(super) fn see_off(t: ThreadRef) {
    if t.state() == State::Dead {
        return;
    }
    let here = this_cpu();
    let usable = t.affinity().and(online());
    let target = if usable.is_empty() {
        here.id()
    } else {
        balance::place(usable, here.id())
    };
    let from = here.id().index() as u64;
    let rq = here.rq.lock();
    emit(
        Kind::SchedMigrateTask,
        Head::of(t.id()),
        from,
        target.index() as u64,
    );
    t.set_cpu(target);
    drop(rq);
    // The reference is the scheduler's again.
    let raw = Arc::into_raw(t);
    // SAFETY: just made from the Arc, whose count keeps it alive.
    wake::enqueue_on(cpu(target), unsafe { &*raw }, Enqueue::Migrate);
}
