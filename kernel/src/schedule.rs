//! The scheduler's mechanism: switching, sleeping, preemption. `wake`, `balance` and `audit` are its
//! rooms.
//!
//! The policy ([`sched::RunQueue`], EEVDF) decides who runs; this file takes the locks, performs
//! the switch and delivers the decision to the core it concerns. A wrong policy could starve a
//! thread, never run one twice: a thread's context is continued only by the core that took it from
//! the runqueue that owns it.
//!
//! # The switch protocol
//!
//! The runqueue lock is held across the switch, with interrupts masked; whoever runs next on the
//! core releases it (`finish_switch`). So a waker that holds the lock of a thread's runqueue knows
//! that the thread is either on its core, or completely saved. The waker of a thread that has just
//! gone to sleep waits a few instructions at that lock and needs no extra flag.
//!
//! # Which runqueue owns a thread
//!
//! `thread.home`, changed only under the lock of the runqueue it names. Lockers read it, lock, and
//! check that it still holds (`lock_rq_of`).
//!
//! # Contract with the workqueues (docs/rules.md 8)
//!
//! The block hook runs before the runqueue lock is taken, so it may take its pool's lock and wake
//! another worker (E2); the resume hook runs when the thread has the core again (E3). Preemption
//! calls neither before nor after, but the pool of a worker that waits for its core for long is told, and
//! told again before that worker goes on, if its queue asked for that ([`wq::preempted`]). The budget hook runs from the core's timer, at the nanosecond at
//! which the worker has had the core for its budget (E14): the rest of a budget is kept in the
//! thread while it does not run.
#![expect(unsafe_code, reason = "the context switch and the entities of threads")]

use core::sync::atomic::Ordering;

use machine::Instant;
use sched::{Decision, Dequeue, Turn};
use sync::handshake::resched as resched_flag;

use crate::cpu::{CpuLocal, CpuMask, this_cpu};
use crate::thread::{State, Thread, ThreadRef, current};
use crate::trace::{Head, Kind, Told};
use crate::{kernel, wq};

pub(crate) mod audit;
mod balance;
mod leave;
mod migrate;
mod others;
mod rq;
mod view;
mod wake;

pub(crate) use self::balance::expect_moves;
pub(crate) use self::leave::{
    cancel_sleep, exit_current, is_beside_one, might_sleep, prepare_to_sleep,
    prepare_to_sleep_locked, schedule_blocked, schedule_masked, schedule_uncounted, schedule_until,
    waive_turn, yield_current,
};
pub(crate) use self::migrate::{
    bring_home, close, evacuate, look_again, pick_again, reopen, run_on,
};
pub(crate) use self::others::Others;
pub(crate) use self::rq::Rq;
use self::rq::RqGuard;
pub(crate) use self::wake::{
    lend, set_affinity, set_nice, start, wake, wake_masked, wake_sleeping, wake_successor,
};

/// Virtual runtime of `t`, and its lag in nanoseconds if it is on a runqueue: of who sleeps there, what it owes still.
pub(crate) fn account_of(t: &Thread) -> (u64, i64) {
    let _irq = sync::IrqGuard::new();
    let (_, rq) = lock_rq_of(t);
    let h = t.handle();
    let entity = rq.queue.entity(h);
    let lag = match (entity.is_queued(), entity.is_delayed()) {
        (true, false) => rq.queue.lag_ns(h),
        (true, true) => rq.queue.lag_ns(h).min(0),
        (false, _) => 0,
    };
    (entity.vruntime(), lag)
}

/// Why the scheduler was entered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The thread goes on wanting the core.
    Preempt,
    /// The thread sleeps, unless it was woken meanwhile.
    Block,
    /// The thread gives up its turn.
    Yield,
    /// The thread ends.
    Exit,
}

/// How a thread leaves its core, as the trace tells it.
const RUNNABLE: u64 = 0;
const ASLEEP: u64 = 1;
const DEAD: u64 = 2;

/// Locks the runqueue that owns `t`; interrupts are masked.
#[inline(always)]
fn lock_rq_of(t: &Thread) -> (&'static CpuLocal, RqGuard) {
    t.lock_core(|c| c.rq.lock_masked())
}

/// The running thread sleeps, unless it was woken meanwhile. As [`reschedule`].
#[inline(never)]
fn reschedule_blocked() {
    reschedule(Why::Block);
}

/// The running thread gives up its turn. As [`reschedule`].
#[inline(never)]
fn reschedule_yielding() {
    reschedule(Why::Yield);
}

/// Picks and switches. Interrupts are masked on entry and on return; the thread may return on
/// another core. One copy for each reason: what the others want is not asked there.
#[inline(always)]
fn reschedule(why: Why) {
    let c = this_cpu();
    let rq = c.rq.lock_masked();
    let prev = current();
    if resched_flag::answer(&c.header.need_resched) && is_wanted_elsewhere(c) {
        reschedule_wanted(c, rq, why);
    } else if why == Why::Block && prev.state() != State::Sleeping {
        reschedule_wanted(c, rq, Why::Preempt);
    } else {
        turn((c, prev), rq, why, false);
    }
}

/// Whether core `c`, this one, was poked to look for a thread elsewhere, or the running thread may not run
/// here any more. Who wants that asks the core to pick again afterwards.
#[inline(always)]
fn is_wanted_elsewhere(c: &CpuLocal) -> bool {
    balance::is_poked(c) || !current().allowed_of(c.kernel()).contains(c.id())
}

/// As [`reschedule`], where [`is_wanted_elsewhere`] may say yes.
#[inline(never)]
fn reschedule_wanted(c: &'static CpuLocal, rq: RqGuard, why: Why) {
    let prev = current();
    let woken = why == Why::Block && prev.state() != State::Sleeping;
    turn((c, prev), rq, if woken { Why::Preempt } else { why }, true);
}

/// The next turn on core `c`, this one, after `prev`. Who blocks is asleep: nobody has woken it meanwhile.
#[inline(always)]
fn turn((c, prev): (&'static CpuLocal, &'static Thread), mut rq: RqGuard, why: Why, wanted: bool) {
    let now = clock();
    // All threads but the idle one are their runqueue's current entity while they run. That one neither sleeps nor yields.
    let prev_idle = why == Why::Preempt && rq.queue.current().is_none();
    debug_assert_eq!(
        [prev_idle, rq.queue.current().is_none()],
        [core::ptr::eq(prev, &raw const **c.idle_thread()); 2]
    );
    let asleep = why == Why::Block;
    let ends = why == Why::Exit;
    let poked = wanted && balance::take_poke(c);
    let astray =
        wanted && !asleep && !ends && !prev_idle && !prev.allowed_of(c.kernel()).contains(c.id());
    if astray || ends {
        // Not to be picked; whoever runs next moves it, or frees it.
        let how = if ends {
            Dequeue::Exit
        } else {
            Dequeue::Migrate
        };
        rq.take_off(prev, how, now);
    }
    let turn = match why {
        Why::Block => Turn::Sleep,
        Why::Yield => Turn::Yield,
        Why::Preempt | Why::Exit => Turn::Keep,
    };
    let next = rq.queue.next_turn(turn, now);
    let next = match next.entity {
        Some(h) => {
            c.clock.set_slice_end(next.slice_end);
            if prev_idle {
                c.kernel().idle_mask.leave(CpuMask::single(c.id()).0);
            }
            if poked {
                balance::pass_on(c);
            }
            // SAFETY: a queued entity belongs to a live thread.
            unsafe { Thread::of_entity(h) }
        }
        None => find_work(c, &mut rq, prev_idle, now),
    };
    if astray {
        let _ = rq.take_over(prev, now);
        c.clock.set_slice_end(rq.slice_end(now));
    }
    debug_assert_eq!(rq.queue.check(), Ok(()), "runqueue of {:?}", c.id());
    if asleep || ends {
        c.publish_load(rq.queue.nr_runnable());
    }
    if core::ptr::eq(prev, next) {
        return;
    }
    rq.switches += 1;
    if prev_idle {
        rq.idle_ended(c, now);
    } else {
        let ran = rq.queue.entity(prev.handle()).sum_exec();
        prev.cpu_ns.store(ran.as_nanos(), Ordering::Relaxed);
    }
    balance::offer(c, &mut rq);
    let mut leaves = if asleep { ASLEEP } else { RUNNABLE };
    if astray || ends {
        leaves = part_with(c, prev, astray);
    }
    c.current
        .store(core::ptr::from_ref(next).cast_mut(), Ordering::Relaxed);
    if !asleep && !ends && !astray {
        wq::preempted::switched_out(c, prev, now);
    }
    let told = Told::by(c, Kind::SchedSwitch);
    if told.any() {
        let now = told.now();
        if told.anatomy() {
            wq::anatomy::switched(now, prev, leaves == ASLEEP, next);
        }
        told.emit(now, || {
            (Head::of(next.told_id), u64::from(prev.told_id), leaves)
        });
    }
    c.clock.switch_budget(&prev.budget, asleep, &next.budget);
    core::mem::forget(rq); // released by `finish_switch` of the thread that runs next
    // SAFETY: interrupts are masked and the switch to `next` follows.
    unsafe { machine::set_current(&raw const next.header) };
    // SAFETY: reading `next`'s saved context under the lock of the runqueue that owns it.
    let to = unsafe { *next.header.context.get() };
    // SAFETY: interrupts are masked, `next` is not running anywhere (it came from this locked
    // runqueue, or is this core's idle thread), and `prev` stays alive while it is on a runqueue or
    // referenced.
    unsafe { machine::switch(prev.header.context.get(), to) };
    finish_switch();
    // Who slept was not watched: that begins with `switched_out`.
    if !asleep {
        wq::preempted::switched_in(prev);
    }
}

/// The time as the scheduler charges it: read without a barrier, so the core may read it a few
/// instructions early. It may then be before what another core saw when it charged here, and nothing is
/// charged.
#[inline(always)]
fn clock() -> Instant {
    machine::stamp_time(machine::stamp())
}

/// Core `c` has nothing to run: it says so, and looks for something on other cores. Its idle thread, if
/// there is nothing.
///
/// First "idle", then the look at the others' runqueues: whoever makes a second thread runnable
/// publishes its load and then looks who is idle. One of the two sees the other.
#[inline(never)]
fn find_work<'a>(c: &'static CpuLocal, rq: &mut Rq, was_idle: bool, now: Instant) -> &'a Thread {
    let me = CpuMask::single(c.id()).0;
    let kernel = c.kernel();
    kernel.idle_mask.enter(me);
    let picked = if balance::is_any_crowded(kernel) {
        pull_work(c, rq, now)
    } else {
        None
    };
    c.publish_load(rq.queue.nr_runnable());
    c.clock.set_slice_end(rq.slice_end(now));
    let Some(h) = picked else {
        if !was_idle {
            rq.idle_since = now;
        }
        return c.idle_thread();
    };
    kernel.idle_mask.leave(me);
    if balance::take_poke(c) {
        balance::pass_on(c);
    }
    // SAFETY: a queued entity belongs to a live thread.
    unsafe { Thread::of_entity(h) }
}

/// A thread that waits on another core, if this one, `c`, gets it.
#[inline(never)]
fn pull_work(
    c: &'static CpuLocal,
    rq: &mut Rq,
    now: Instant,
) -> Option<links::Handle<sched::Entity>> {
    if !balance::pull(c, rq, now) {
        return None;
    }
    // A failed try may have left it set; this core has something to do now. So may a poke
    // that came meanwhile, for a thread that still waits.
    let _asked = resched_flag::answer(&c.header.need_resched);
    rq.queue.pick_next(now)
}

/// Has whoever runs next on core `c` free `prev`, which ends, or move it, which is `astray`. How it leaves.
#[cold]
#[inline(never)]
fn part_with(c: &CpuLocal, prev: &'static Thread, astray: bool) -> u64 {
    if astray {
        // SAFETY: threads are `Arc`s; this one is alive while it is on a runqueue.
        unsafe { ThreadRef::increment_strong_count(prev) };
    }
    // SAFETY: the count just taken; of one that ends the scheduler's reference, leaked by `start` and taken
    // back once, here.
    c.leaver.set(Some(unsafe { ThreadRef::from_raw(prev) }));
    if astray { RUNNABLE } else { DEAD }
}

/// First thing after a switch, on the side of the thread that now runs: releases the runqueue lock
/// taken by the thread before, and frees that thread if it ended, or moves it if it wants to leave.
/// Interrupts are masked.
#[inline(always)]
fn finish_switch() {
    let c = this_cpu();
    // SAFETY: the lock is held by this core since `reschedule` forgot its guard.
    unsafe { c.rq.force_unlock() };
    // SAFETY: `[C]`, and only looked at.
    if unsafe { &*c.leaver.as_ptr() }.is_some() {
        migrate::see_off(c.leaver.take());
    }
}

/// As the end of a switch, for a thread that runs for the first time.
pub(crate) fn finish_first_switch() {
    finish_switch();
}

/// Makes core `c`, this one, ready for threads: what it was when it was last online is over. Apart
/// from [`enter_idle`], because a function that never returns counts as cold, and in a cold one the
/// compiler calls the clock instead of reading it.
#[inline(never)]
fn open(c: &'static CpuLocal) -> RqGuard {
    let mut rq = c.rq.lock();
    (rq.closed, rq.idle_since) = (false, machine::now());
    c.clock.reset();
    kernel().idle_mask.enter(CpuMask::single(c.id()).0);
    rq
}

/// Leaves the boot stack for this core's idle thread; interrupts are masked.
pub(crate) fn enter_idle() -> ! {
    let c = this_cpu();
    let idle = c.idle_thread();
    let rq = open(c);
    c.current.store(
        core::ptr::from_ref::<Thread>(idle).cast_mut(),
        Ordering::Relaxed,
    );
    core::mem::forget(rq);
    let mut boot = machine::Context::NONE;
    // SAFETY: interrupts are masked and the switch follows.
    unsafe { machine::set_current(&raw const idle.header) };
    // SAFETY: the idle thread has not run yet; nobody else touches its context.
    let to = unsafe { *idle.header.context.get() };
    // SAFETY: as above; the boot flow is never continued.
    unsafe { machine::switch(&raw mut boot, to) };
    unreachable!("the boot flow is never continued");
}

/// Hook: preemption on interrupt exit; interrupts are masked. The thread goes on wanting the core.
#[inline(never)]
pub(crate) fn preempt() {
    reschedule(Why::Preempt);
}

/// The running thread ends. As [`reschedule`].
fn reschedule_ending() {
    let c = this_cpu();
    let rq = c.rq.lock_masked();
    let _asked = resched_flag::answer(&c.header.need_resched);
    reschedule_wanted(c, rq, Why::Exit);
}

/// Hook: a section ended with a reschedule due; interrupts are on.
pub(crate) fn resched() {
    machine::irq_disable();
    preempt();
    machine::irq_enable();
}

/// This core's timer says the slice may be over; interrupts are masked.
pub(crate) fn slice_timer(now: Instant) {
    let c = this_cpu();
    let mut rq = c.rq.lock();
    if rq.queue.update(now) == Decision::Resched {
        // The end stays in the past until `reschedule` has picked: programming it again would
        // raise the same interrupt for ever.
        resched_flag::request_here(&c.header.need_resched);
        c.clock.note_slice_end(Instant::FOREVER);
    } else {
        c.clock.note_slice_end(rq.slice_end(now));
    }
}
