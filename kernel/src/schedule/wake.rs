//! Who becomes runnable, where, and who is told: starts, wake-ups, changes of weight.
//!
//! Each takes the lock of the runqueue that owns the thread, puts the thread there or on a better
//! core's, and delivers the policy's decision to the core it concerns: a flag to its own core, an
//! interrupt to another. Any context; a pool's or a wait queue's lock may be held.
#![expect(unsafe_code, reason = "the scheduler's own reference to a new thread")]

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use machine::Instant;
use sched::{Decision, Dequeue, Enqueue, Loan, Nice};
use sync::handshake::resched as resched_flag;

use super::{Rq, balance, lock_rq_of, migrate};
use crate::cpu::{CpuLocal, CpuMask, cpu, this_cpu};
use crate::thread::{State, Thread, ThreadRef};
use crate::trace::{Head, Kind, emit, pack_name, record, shown};
use crate::wq;

/// Starts a new thread on one of `usable` (not empty).
pub(crate) fn start(t: &ThreadRef, usable: CpuMask) {
    // The scheduler's reference: taken back when the thread has ended.
    let raw = Arc::into_raw(Arc::clone(t));
    let irq = sync::IrqGuard::new();
    let target = balance::place(usable, this_cpu().id());
    let target = cpu(target);
    t.set_core(target);
    if shown(Kind::TaskNewtask) {
        let priority = (i16::from(t.nice().get()) + 120) as u16;
        let (a, b) = pack_name(t.name());
        emit(Kind::TaskNewtask, Head::with(t.id(), priority), a, b);
    }
    // SAFETY: just made from the Arc; the scheduler's reference keeps it alive.
    enqueue_on(target, unsafe { &*raw }, Enqueue::New);
    drop(irq);
}

/// Wakes `t` if it sleeps; true if it did. Any context, also under a pool's or a wait queue's lock.
#[inline]
pub(crate) fn wake(t: &Thread) -> bool {
    wake_near(t, CpuMask::ALL)
}

/// As [`wake`], and starts it on one of the cores `near`, if it may run there; it may be moved later.
pub(crate) fn wake_near(t: &Thread, near: CpuMask) -> bool {
    // Pairs with `prepare_to_sleep`: the caller made its condition true before.
    if !t.state.may_sleep() {
        return false;
    }
    // Dropped last: with the runqueue lock still held, unmasking would let a due reschedule in.
    let _irq = sync::IrqGuard::new();
    let (owner, mut rq) = lock_rq_of(t);
    if t.state() != State::Sleeping {
        return false;
    }
    t.state.set(State::Running);
    let e = rq.queue.entity(t.handle());
    let (queued, in_debt) = (e.is_queued(), e.is_delayed());
    if queued && !in_debt {
        // It has not given up its core yet: `reschedule` finds it running.
        tell(Kind::SchedWakeup, owner, t);
        return true;
    }
    let usable = t.allowed();
    let nearby = usable.and(near);
    // In debt it is still queued, paying off its lag, and goes on where it is.
    let target = if in_debt && nearby.contains(owner.id()) {
        owner
    } else {
        if in_debt {
            // It pays where it may or shall run: what it owes goes with it.
            rq.take_off(t, Dequeue::Sleep, machine::now());
        }
        let allowed = if nearby.is_empty() { usable } else { nearby };
        balance::place_woken(allowed, owner)
    };
    if core::ptr::eq(target, owner) {
        wq::anatomy::woken(t);
        tell(Kind::SchedWakeup, owner, t);
        let now = machine::now();
        let decision = rq.queue.enqueue(t.handle(), Enqueue::Wakeup, now);
        settle(owner, &mut rq, decision, now);
    } else {
        // State is Running and the thread is on no runqueue: no other waker touches it.
        let (from, on) = (owner.id().index() as u64, target.id().index() as u64);
        wq::anatomy::woken(t);
        emit(Kind::SchedMigrateTask, Head::of(t.id()), from, on);
        t.set_core(target);
        drop(rq);
        enqueue_on(target, t, Enqueue::Wakeup);
    }
    true
}

/// Says that `t` was woken, on core `c`.
#[inline(always)]
fn tell(kind: Kind, c: &CpuLocal, t: &Thread) {
    if shown(kind) {
        let on = c.id().index() as u64;
        record(this_cpu(), kind, Head::of(t.id()), on, t.affinity().0);
    }
}

/// Puts `t`, which is on no runqueue, on core `c`'s; interrupts are masked.
#[inline(never)]
fn enqueue_on(c: &'static CpuLocal, t: &Thread, why: Enqueue) {
    let (c, mut rq) = migrate::lock_open(c, t);
    let kind = match why {
        Enqueue::New => Kind::SchedWakeupNew,
        _ => Kind::SchedWakeup,
    };
    tell(kind, c, t);
    let now = machine::now();
    let decision = rq.queue.enqueue(t.handle(), why, now);
    settle(c, &mut rq, decision, now);
}

/// After a change of `c`'s runqueue: tells the core what it must do about it.
#[inline(always)]
pub(super) fn settle(c: &'static CpuLocal, rq: &mut Rq, decision: Decision, now: Instant) {
    let n = rq.queue.nr_runnable();
    c.publish_load(n);
    let local = core::ptr::eq(c, this_cpu());
    if decision == Decision::Resched || rq.queue.current().is_none() {
        let _ = kick(c, local);
    } else if local {
        c.clock.set_slice_end(rq.queue.slice_end(now));
    } else if n == 2 {
        // The core was alone with its thread and has no slice timer running: make it look.
        let _ = kick(c, local);
    }
    if n > 1 {
        balance::kick_idle_for(CpuMask::single(c.id()), rq);
    }
}

/// Makes core `c` run its scheduler. False when it was about to anyway.
pub(super) fn kick(c: &'static CpuLocal, local: bool) -> bool {
    let flag = &c.header.need_resched;
    if local {
        let due = flag.load(Ordering::Relaxed);
        resched_flag::request_here(flag);
        return !due;
    }
    let first = resched_flag::request(flag);
    if first {
        emit(Kind::IpiSend, Head::of(c.id().index() as u32), 0, 0);
        machine::send_ipi(c.id());
    }
    first
}

/// Changes the nice value of `t`, which is lent all of `lent`; under the lending lock.
pub(crate) fn set_nice(t: &Thread, nice: Nice, lent: Loan) {
    reweight(t, |rq, now| {
        if rq.queue.entity(t.handle()).lent() != lent {
            // The decision of the change that follows is about this one too.
            let _ = rq.queue.lend(t.handle(), lent, now);
        }
        rq.queue.set_nice(t.handle(), nice, now)
    });
}

/// `t` is lent all of `loan`, instead of what it was lent before; under the lending lock.
pub(crate) fn lend(t: &Thread, loan: Loan) {
    reweight(t, |rq, now| rq.queue.lend(t.handle(), loan, now));
}

fn reweight(t: &Thread, change: impl FnOnce(&mut Rq, Instant) -> Decision) {
    let irq = sync::IrqGuard::new();
    let (c, mut rq) = lock_rq_of(t);
    let now = machine::now();
    let before = rq.queue.entity(t.handle()).nice();
    let decision = change(&mut rq, now);
    let se = rq.queue.entity(t.handle());
    let (own, after, queued) = (se.own_nice(), se.nice(), se.is_queued());
    t.publish_nices(own, after);
    if before != after {
        // As Linux counts them: 100 to 139.
        let prio = |nice: Nice| (i16::from(nice.get()) + 120) as u16;
        let small = prio(own);
        let (from, to) = (u64::from(prio(before)), u64::from(prio(after)));
        let head = Head {
            small,
            ..Head::of(t.id())
        };
        emit(Kind::SchedPiSetprio, head, from, to);
    }
    if queued {
        settle(c, &mut rq, decision, now);
    }
    drop(rq);
    drop(irq);
}

/// Changes the cores that `t` may use. Unless it sleeps it is moved if it has to; if it waits for its
/// core, an idle core that may take it from now on is told.
pub(crate) fn set_affinity(t: &Thread, mask: CpuMask) {
    let irq = sync::IrqGuard::new();
    let (c, mut rq) = lock_rq_of(t);
    t.store_affinity(mask);
    rq.queue.set_pinned(t.handle(), mask.count() == 1);
    if rq.queue.nr_runnable() > 1 {
        balance::kick_idle_for(CpuMask::single(c.id()), &rq);
    }
    drop(rq);
    migrate::rehome(t);
    drop(irq);
}
