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

use links::{Direct, Handle};
use machine::Instant;
use sched::{Decision, Dequeue, Enqueue, Entity, RunQueue, Turn};
use sync::SpinGuard;
use sync::handshake::resched as resched_flag;

use crate::cpu::{CpuLocal, CpuMask, this_cpu};
use crate::thread::{State, Thread, ThreadRef, current};
use crate::trace::{Head, Kind, record, shown};
use crate::{kernel, wq};

pub(crate) mod audit;
mod balance;
mod leave;
mod migrate;
mod view;
mod wake;

pub(crate) use self::leave::{
    cancel_sleep, exit_current, might_sleep, prepare_to_sleep, schedule_blocked, schedule_until,
    yield_current,
};
pub(crate) use self::migrate::{
    Leaver, bring_home, close, evacuate, look_again, pick_again, reopen, run_on,
};
pub(crate) use self::wake::{lend, set_affinity, set_nice, start, wake, wake_near};

/// A runqueue and the mechanism's notes about it, under one lock.
#[derive(Debug)]
pub(crate) struct Rq {
    queue: RunQueue<Direct<Entity>>,
    /// When the idle thread got the core; while it runs.
    idle_since: Instant,
    /// Context switches on this core.
    pub(crate) switches: u64,
    /// The core is offline: no thread is put here.
    closed: bool,
}

impl Rq {
    /// V10: virtual time wraps this long after its beginning, so that whoever compares it wrongly
    /// does so on every machine soon, and not on one in 500 years.
    const BEFORE_THE_WRAP: u64 = 1_000_000;

    pub(crate) const fn new(cores: usize) -> Self {
        // SAFETY: entities are reached only through the runqueue that owns their thread, under its
        // lock; a thread is alive while it is on a runqueue (the scheduler's reference).
        let arena = unsafe { Direct::new() };
        Self {
            queue: RunQueue::starting_at(arena, cores, Self::BEFORE_THE_WRAP.wrapping_neg()),
            idle_since: Instant::ZERO,
            switches: 0,
            closed: false,
        }
    }

    /// Takes `t` off, for whatever reason but that it runs and blocks.
    #[inline(never)]
    fn take_off(&mut self, t: &Thread, why: Dequeue, now: Instant) {
        let _gone = self.queue.dequeue(t.handle(), why, now);
    }

    /// Takes over `t` from another core's runqueue.
    #[inline(never)]
    fn take_over(&mut self, t: &Thread, now: Instant) -> Decision {
        self.queue.enqueue(t.handle(), Enqueue::Migrate, now)
    }

    /// Core `c` has something to run again.
    #[inline(always)]
    fn idle_ended(&self, c: &CpuLocal, now: Instant) {
        let ns = now.since(self.idle_since).as_nanos();
        // Written under this lock only.
        let before = c.idle_ns.load(Ordering::Relaxed);
        c.idle_ns.store(before + ns, Ordering::Relaxed);
    }
}

type RqGuard = SpinGuard<'static, Rq>;

/// Virtual runtime of `t`, and its lag in nanoseconds if it is on a runqueue.
pub(crate) fn account_of(t: &Thread) -> (u64, i64) {
    let _irq = sync::IrqGuard::new();
    let (_, rq) = lock_rq_of(t);
    let h = t.handle();
    let entity = rq.queue.entity(h);
    let lag = if entity.is_queued() {
        rq.queue.lag_ns(h)
    } else {
        0
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
    let mut rq = c.rq.lock_masked();
    resched_flag::answer(&c.header.need_resched);
    let poked = balance::take_poke(c);
    let now = machine::now();
    let prev = current();
    // All threads but the idle one are their runqueue's current entity while they run.
    let prev_idle = rq.queue.current().is_none();
    debug_assert_eq!(prev_idle, core::ptr::eq(prev, &raw const **c.idle_thread()));
    let asleep = why == Why::Block && prev.state() == State::Sleeping;
    let ends = why == Why::Exit;
    let astray = !asleep && !ends && !prev_idle && !prev.allowed().contains(c.id());
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
        _ if asleep => Turn::Sleep,
        Why::Yield => Turn::Yield,
        _ => Turn::Keep,
    };
    let picked = rq.queue.pick_next_after(turn, now);
    let next = match picked {
        Some(h) => {
            if prev_idle {
                kernel().idle_mask.leave(CpuMask::single(c.id()).0);
            }
            if poked {
                balance::pass_on(c);
            }
            Some(h)
        }
        None => find_work(c, &mut rq, now),
    };
    if astray {
        let _ = rq.take_over(prev, now);
    }
    debug_assert_eq!(rq.queue.check(), Ok(()), "runqueue of {:?}", c.id());
    let next_idle = next.is_none();
    let next = match next {
        // SAFETY: a queued entity belongs to a live thread.
        Some(h) => unsafe { Thread::of_entity(h) },
        None => c.idle_thread(),
    };
    let runnable = rq.queue.nr_runnable();
    c.publish_load(runnable);
    c.clock.set_slice_end(rq.queue.slice_end(now));
    if core::ptr::eq(prev, next) {
        return;
    }
    if runnable > 1 {
        // The thread that was put back may be one that an idle core can take.
        balance::kick_idle_for(CpuMask::single(c.id()), &rq);
    }
    rq.switches += 1;
    if prev_idle {
        rq.idle_ended(c, now);
    } else {
        let ran = rq.queue.entity(prev.handle()).sum_exec();
        prev.cpu_ns.store(ran.as_nanos(), Ordering::Relaxed);
    }
    if next_idle {
        rq.idle_since = now;
    }
    // As the trace tells it: runnable, asleep or dead.
    let mut leaves = u64::from(asleep);
    if astray || ends {
        leaves = part_with(c, prev, astray);
    }
    c.current
        .store(core::ptr::from_ref(next).cast_mut(), Ordering::Relaxed);
    wq::preempted::switched_out(c, prev, !asleep && !ends && !astray, now);
    wq::anatomy::switched(prev, asleep, next);
    if shown(Kind::SchedSwitch) {
        let to = Head::of(next.told_id);
        record(c, Kind::SchedSwitch, to, u64::from(prev.told_id), leaves);
    }
    c.clock.switch_budget(&prev.budget, &next.budget);
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
    wq::preempted::switched_in(prev);
}

/// Core `c` has nothing to run: it says so, and looks for something on other cores.
///
/// First "idle", then the look at the others' runqueues: whoever makes a second thread runnable
/// publishes its load and then looks who is idle. One of the two sees the other.
#[inline(never)]
fn find_work(c: &'static CpuLocal, rq: &mut Rq, now: Instant) -> Option<Handle<Entity>> {
    let me = CpuMask::single(c.id()).0;
    kernel().idle_mask.enter(me);
    if !balance::pull(c, rq, now) {
        return None;
    }
    let picked = rq.queue.pick_next(now);
    // A failed try may have left it set; this core has something to do now. So may a poke
    // that came meanwhile, for a thread that still waits.
    resched_flag::answer(&c.header.need_resched);
    let poked = balance::take_poke(c);
    if picked.is_some() {
        kernel().idle_mask.leave(me);
        if poked {
            balance::pass_on(c);
        }
    }
    picked
}

/// Has whoever runs next on core `c` free `prev`, which ends, or move it, which is `astray`. How it leaves.
#[cold]
#[inline(never)]
fn part_with(c: &CpuLocal, prev: &'static Thread, astray: bool) -> u64 {
    let (leaver, leaves) = if astray {
        // SAFETY: threads are `Arc`s; this one is alive while it is on a runqueue.
        unsafe { ThreadRef::increment_strong_count(prev) };
        // SAFETY: the count just taken.
        (Leaver::Astray(unsafe { ThreadRef::from_raw(prev) }), 0)
    } else {
        // SAFETY: the scheduler's reference, leaked by `start`; taken back once, here.
        (Leaver::Ended(unsafe { ThreadRef::from_raw(prev) }), 2)
    };
    c.leaver.set(Some(leaver));
    leaves
}

/// First thing after a switch, on the side of the thread that now runs: releases the runqueue lock
/// taken by the thread before, and frees that thread if it ended, or moves it if it wants to leave.
/// Interrupts are masked.
#[inline(always)]
fn finish_switch() {
    let c = this_cpu();
    // SAFETY: the lock is held by this core since `reschedule` forgot its guard.
    unsafe { c.rq.force_unlock() };
    if let Some(t) = c.leaver.take() {
        migrate::see_off(t);
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
        c.clock.note_slice_end(None);
    } else {
        c.clock.note_slice_end(rq.queue.slice_end(now));
    }
}
