//! Threads that must go: their core leaves, or they may not use it any more.
//!
//! Placement and balancing move threads that *may* go elsewhere, when they wake or wait. A thread that
//! has to go may be running, and cannot be put on another runqueue while it stands on its own stack: the
//! other core might pick it before this one has saved it. So whoever wants it gone makes its core pick
//! again; there `reschedule` picks another thread, and that one, when the switch is over, moves the first
//! (`CpuLocal::leaver`), the way it also frees a thread that has ended.
//!
//! A thread that waits is moved under both runqueues' locks, so that it is on one of them all the time:
//! it may have announced that it is going to sleep, and whoever wakes it would put one that is on none
//! on a runqueue too.
//!
//! A core that goes offline is left out of the mask of online cores first. Who looked at the mask before
//! may still put a thread there, which is then evacuated like those before it. In the end the runqueue is
//! *closed* under its lock: whoever comes later finds it closed and looks for another core, by a mask
//! that it now sees without this one.

use machine::CpuId;
use sched::Dequeue;

use super::balance::{place, thread_of};
use super::wake::{kick, settle};
use super::{Rq, RqGuard, lock_rq_of, preempt};
use crate::cpu::{CpuLocal, CpuMask, cpu, this_cpu};
use crate::kernel;
use crate::thread::{State, Thread, ThreadCx, ThreadRef, current};
use crate::trace::{Head, Kind, emit};

/// How long threads get to leave their cores before they are looked at again.
const PAUSE: machine::Duration = machine::Duration::from_micros(50);

/// Moves `t`, which waits on core `c`'s runqueue `rq`, to a core that it may use. False if that one's
/// runqueue is in use: the caller lets go of its own and tries again. It waits for the runqueue of a
/// higher core, which nobody does the other way round: of two cores that try each other's, again and
/// again at once, neither would ever get it.
fn hand_over(c: &'static CpuLocal, rq: &mut Rq, t: &Thread) -> bool {
    let target = cpu(place(t.allowed(), this_cpu().id()));
    let to = if target.id() > c.id() {
        Some(target.rq.lock_same_rank())
    } else {
        target.rq.try_lock()
    };
    let Some(mut to) = to else {
        return false;
    };
    if to.closed {
        return false;
    }
    let now = machine::now();
    rq.take_off(t, Dequeue::Migrate, now);
    c.publish_load(rq.queue.nr_runnable());
    let (from, on) = (c.id().index() as u64, target.id().index() as u64);
    emit(Kind::SchedMigrateTask, Head::of(t.id()), from, on);
    t.set_core(target);
    t.note_whether_it_stays();
    let decision = to.take_over(t, now);
    settle(target, &mut to, decision, now);
    true
}

/// Lets the running thread run on the cores of `mask` only, from now on: it returns on one of them.
/// Without an online core in `mask` it runs anywhere.
pub(crate) fn run_on(_cx: &ThreadCx<'_>, mask: CpuMask) {
    super::might_sleep("run_on");
    let me = current();
    me.set_affinity(mask);
    let irq = machine::irq_save();
    let c = this_cpu();
    if !me.allowed().contains(c.id()) {
        let _ = kick(c, true);
        preempt();
    }
    machine::irq_restore(irq);
}

/// Frees the thread that a core ran before, which has ended, or moves it: it waits where it may not run.
#[cold]
pub(super) fn see_off(leaver: Option<ThreadRef>) {
    // Of one that ended this is the scheduler's reference.
    if let Some(leaver) = leaver.filter(|t| t.state() != State::Dead) {
        rehome(&leaver);
    }
}

/// Locks core `c`'s runqueue in order to put `t` there, which it owns; if that is closed, or `t` may
/// not run there by now, another one. Interrupts are masked.
pub(super) fn lock_open(mut c: &'static CpuLocal, t: &Thread) -> (&'static CpuLocal, RqGuard) {
    loop {
        let rq = c.rq.lock_masked();
        if !rq.closed && t.allowed().contains(c.id()) {
            t.note_whether_it_stays();
            return (c, rq);
        }
        let next = cpu(place(t.allowed(), this_cpu().id()));
        t.set_core(next);
        drop(rq);
        c = next;
    }
}

/// Sends what waits on core `c`'s runqueue elsewhere. Threads that sleep in debt leave it, too.
pub(crate) fn evacuate(c: &'static CpuLocal) {
    loop {
        let mut rq = c.rq.lock();
        let Some(h) = rq.queue.any_waiting() else {
            return;
        };
        if rq.queue.entity(h).is_delayed() {
            rq.take_off(thread_of(h), Dequeue::Sleep, machine::now());
        } else if !hand_over(c, &mut rq, thread_of(h)) {
            drop(rq);
            machine::relax();
        }
    }
}

/// Closes core `c`'s runqueue, which is the running one, in its idle thread. False while a thread is
/// on it.
pub(crate) fn close(c: &'static CpuLocal) -> bool {
    let mut rq = c.rq.lock();
    rq.closed = rq.queue.is_empty();
    if rq.closed {
        kernel().idle_mask.leave(CpuMask::single(c.id()).0);
    }
    rq.closed
}

/// The core stays after all.
pub(crate) fn reopen(c: &'static CpuLocal) {
    let mut rq = c.rq.lock();
    rq.closed = false;
    kernel().idle_mask.enter(CpuMask::single(c.id()).0);
}

/// Moves `t` if it is runnable where it may not run. One that runs moves as soon as its core picks
/// again.
pub(super) fn rehome(t: &Thread) {
    loop {
        let _irq = sync::IrqGuard::new();
        let (c, mut rq) = lock_rq_of(t);
        if t.allowed().contains(c.id()) {
            // Perhaps by now only, since the cores it asked for have gone: the core that left it out of
            // its choice has to choose again if it found nobody else.
            if rq.queue.current().is_none() && rq.queue.nr_runnable() > 0 {
                let _ = kick(c, c.id() == this_cpu().id());
            }
            return;
        }
        if rq.queue.current() == Some(t.handle()) {
            let _ = kick(c, c.id() == this_cpu().id());
            return;
        }
        let e = rq.queue.entity(t.handle());
        if !e.is_queued() || e.is_delayed() || hand_over(c, &mut rq, t) {
            return;
        }
        drop(rq);
        machine::relax();
    }
}

/// Whether `t` is runnable on a core that it may not use, or on its way from there.
fn is_astray(t: &Thread) -> bool {
    let _irq = sync::IrqGuard::new();
    let (_, rq) = lock_rq_of(t);
    let queued = rq.queue.entity(t.handle());
    queued.is_queued() && !queued.is_delayed() && !t.allowed().contains(t.cpu())
}

/// Has core `c`, which goes offline, look at its runqueue again: what runs there must not any more.
pub(crate) fn pick_again(c: &'static CpuLocal) {
    evacuate(c);
    look_again(c);
}

/// Has core `c` run its scheduler.
pub(crate) fn look_again(c: &'static CpuLocal) {
    let irq = sync::IrqGuard::new();
    let _ = kick(c, c.id() == this_cpu().id());
    drop(irq);
}

/// Core `id` is back: threads that have to run there go there. Returns when none of them runs
/// elsewhere.
pub(crate) fn bring_home(cx: &ThreadCx<'_>, id: CpuId) {
    let wanted = |t: &Thread| t.affinity().contains(id) && is_astray(t);
    loop {
        let astray = core::cell::Cell::new(false);
        kernel().threads.for_each_of(
            |t| t.affinity().contains(id),
            |t| {
                if wanted(t) {
                    astray.set(true);
                    rehome(t);
                }
            },
        );
        if !astray.get() {
            return;
        }
        crate::thread::sleep(cx, PAUSE);
    }
}
