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

use super::{Rq, RqGuard, balance, clock, lock_rq_of, migrate};
use crate::cpu::{CpuLocal, CpuMask, cpu, this_cpu};
use crate::thread::{State, Thread, ThreadRef};
use crate::trace::{Head, Kind, Told, emit, pack_name, shown};
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
pub(crate) fn wake(t: &Thread) -> bool {
    // Pairs with `prepare_to_sleep`: the caller made its condition true before.
    if !t.state.may_sleep() {
        return false;
    }
    // Dropped last: with the runqueue lock still held, unmasking would let a due reschedule in.
    let _irq = sync::IrqGuard::new();
    wake_masked(t, CpuMask::ALL)
}

/// As [`wake`], with interrupts masked, and if `t` announced its sleep under a lock that is held here: so its
/// state is known without a fence.
#[inline]
pub(crate) fn wake_masked(t: &Thread, near: CpuMask) -> bool {
    debug_assert!(machine::irqs_masked(), "a wake-up that may be interrupted");
    t.state() == State::Sleeping && wake_sleeping(t, near)
}

/// As [`wake_masked`], of `t`, which was asleep a moment ago: starts it, if it is asleep still, on one of the cores
/// `near`, if it may run there; it may be moved later.
#[inline(never)]
pub(crate) fn wake_sleeping(t: &Thread, near: CpuMask) -> bool {
    let (owner, mut rq) = lock_rq_of(t);
    if t.state() != State::Sleeping {
        return false;
    }
    t.state.set(State::Running);
    let me = this_cpu();
    let e = rq.queue.entity(t.handle());
    let in_debt = e.is_queued();
    if in_debt && !e.is_delayed() {
        // It has not given up its core yet: `reschedule` finds it running.
        return wake_running(me, owner, t);
    }
    if owner.others.may_take(t.stays()) {
        let usable = t.allowed_of(owner.kernel());
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
        if !core::ptr::eq(target, owner) {
            return wake_elsewhere(t, rq, target);
        }
    }
    if Told::by(me, Kind::SchedWakeup).any() {
        tell_woken(me, owner, t);
    }
    let now = clock();
    let keeps = rq.queue.join(t.handle(), Enqueue::Wakeup, now);
    deliver(owner, me, &rq, keeps);
    balance::offer(owner, &mut rq);
    true
}

/// As [`wake_sleeping`], by the running thread, which sleeps next and so asks the scheduler to pick: mostly `t`, which slept
/// on this core.
#[inline(never)]
pub(crate) fn wake_successor(t: &Thread) {
    let me = this_cpu();
    let mut rq = me.rq.lock_masked();
    let usual = core::ptr::eq(t.core(), me)
        && t.state() == State::Sleeping
        && !rq.queue.entity(t.handle()).is_queued()
        && !me.others.may_take(t.stays());
    if !usual {
        drop(rq);
        wake_sleeping(t, CpuMask::ALL);
        return;
    }
    t.state.set(State::Running);
    if Told::by(me, Kind::SchedWakeup).any() {
        tell_woken(me, me, t);
    }
    rq.queue.succeed(t.handle(), clock());
    me.publish_load(rq.queue.nr_runnable());
    balance::offer(me, &mut rq);
}

/// `t`, which has its core still, goes on there.
#[inline(never)]
fn wake_running(me: &CpuLocal, c: &CpuLocal, t: &Thread) -> bool {
    emit_of(me, Kind::SchedWakeup, c, t);
    true
}

/// Woken `t`, of locked runqueue `rq`, which it is not on, goes to core `target`.
#[inline(never)]
fn wake_elsewhere(t: &Thread, rq: RqGuard, target: &'static CpuLocal) -> bool {
    // State is Running and the thread is on no runqueue: no other waker touches it.
    let (from, on) = (t.cpu().index() as u64, target.id().index() as u64);
    let told = Told::of(Kind::SchedWakeup);
    if told.anatomy() {
        wq::anatomy::woken(told.now(), t);
    }
    emit(Kind::SchedMigrateTask, Head::of(t.id()), from, on);
    t.set_core(target);
    drop(rq);
    enqueue_on(target, t, Enqueue::Wakeup);
    true
}

/// Says that `t` was woken, on core `c`, and notes it for the latency anatomy. Apart, so that a wake-up that nobody wants to
/// know of saves fewer registers.
#[inline(never)]
fn tell_woken(me: &CpuLocal, c: &CpuLocal, t: &Thread) {
    let told = Told::by(me, Kind::SchedWakeup);
    let now = told.now();
    if told.anatomy() {
        wq::anatomy::woken(now, t);
    }
    told.emit(now, || told_of(c, t));
}

/// Says that `t`, for the reason that `kind` tells, begins to want core `c`.
#[inline(always)]
fn emit_of(me: &CpuLocal, kind: Kind, c: &CpuLocal, t: &Thread) {
    let told = Told::by(me, kind);
    if told.any() {
        told.emit(told.now(), || told_of(c, t));
    }
}

/// What is said of `t`, which begins to want core `c`.
fn told_of(c: &CpuLocal, t: &Thread) -> (Head, u64, u64) {
    (Head::of(t.id()), c.id().index() as u64, t.affinity().0)
}

/// Puts `t`, which is on no runqueue, on core `c`'s; interrupts are masked.
#[inline(never)]
fn enqueue_on(c: &'static CpuLocal, t: &Thread, why: Enqueue) {
    let (c, mut rq) = migrate::lock_open(c, t);
    let kind = match why {
        Enqueue::New => Kind::SchedWakeupNew,
        _ => Kind::SchedWakeup,
    };
    emit_of(this_cpu(), kind, c, t);
    let keeps = rq.queue.join(t.handle(), why, clock());
    deliver(c, this_cpu(), &rq, keeps);
    balance::offer(c, &mut rq);
}

/// After a change of `c`'s runqueue: tells the core what it must do about it, and other cores of what waits.
pub(super) fn settle(c: &'static CpuLocal, rq: &mut Rq, decision: Decision, now: Instant) {
    let keeps = (decision == Decision::Keep).then(|| rq.slice_end(now));
    deliver(c, this_cpu(), rq, keeps);
    balance::offer(c, rq);
}

/// After a change of `c`'s runqueue by core `me`, this one: what runs on `c` keeps running until `keeps`, or
/// not at all.
#[inline(always)]
fn deliver(c: &'static CpuLocal, me: &CpuLocal, rq: &Rq, keeps: Option<Instant>) {
    let local = core::ptr::eq(c, me);
    match keeps {
        Some(until) if local => c.clock.set_slice_end(until),
        // The core was alone with its thread and has no slice timer running: make it look.
        Some(_) if rq.queue.nr_runnable() != 2 => {}
        _ if local => resched_flag::request_here(&c.header.need_resched),
        _ => {
            let _ = kick(c, false);
        }
    }
    c.publish_load(rq.queue.nr_runnable());
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
    t.note_whether_it_stays();
    rq.queue.set_pinned(t.handle(), mask.count() == 1);
    if rq.queue.nr_runnable() > 1 {
        balance::kick_idle_for(CpuMask::single(c.id()), &rq);
    }
    drop(rq);
    migrate::rehome(t);
    drop(irq);
}
