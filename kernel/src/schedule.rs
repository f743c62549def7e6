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
//! `thread.owner`, changed only under the lock of the runqueue it names. Lockers read it, lock, and
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

use links::Direct;
use machine::Instant;
use sched::{Decision, Dequeue, Enqueue, Entity, RunQueue};
use sync::SpinGuard;
use sync::handshake::resched as resched_flag;

use crate::cpu::{CpuLocal, CpuMask, cpu, this_cpu};
use crate::thread::{self, Name, State, Thread, ThreadRef, current};
use crate::trace::{Head, Kind, emit};
use crate::{kernel, wq};

pub(crate) mod audit;
mod balance;
mod leave;
mod migrate;
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
    /// When the running thread (idle included) got the core.
    since: Instant,
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
            since: Instant::ZERO,
            switches: 0,
            closed: false,
        }
    }
}

type RqGuard = SpinGuard<'static, Rq>;

/// Virtual runtime of `t`, and its lag in nanoseconds if it is on a runqueue.
pub(crate) fn account_of(t: &Thread) -> (u64, i64) {
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

/// In what state a thread leaves its core.
#[derive(Clone, Copy)]
enum Leaves {
    Runnable = 0,
    Asleep = 1,
    Dead = 2,
}

/// Locks the runqueue that owns `t`.
fn lock_rq_of(t: &Thread) -> (&'static CpuLocal, RqGuard) {
    let lock = |n| {
        let c = cpu(machine::CpuId::new(n as usize));
        (c, c.rq.lock())
    };
    t.owner
        .lock(lock)
        .expect("a thread is some runqueue's from its making on")
        .1
}

/// Picks and switches. Interrupts are masked on entry and on return; the thread may return on
/// another core.
fn reschedule(why: Why) {
    let c = this_cpu();
    let mut rq = c.rq.lock();
    // A swap: what other cores did before they set the flag is visible to the look below.
    resched_flag::answer(&c.header.need_resched);
    let mut poked = balance::take_poke(c);
    let now = machine::now();
    let prev = current();
    let prev_idle = core::ptr::eq(prev, &raw const **c.idle_thread());
    let mut leaves = Leaves::Runnable;
    if !prev_idle {
        match why {
            Why::Block if prev.state() == State::Sleeping => {
                let _ = rq.queue.dequeue(prev.handle(), Dequeue::Sleep, now);
                leaves = Leaves::Asleep;
            }
            Why::Exit => {
                let _ = rq.queue.dequeue(prev.handle(), Dequeue::Exit, now);
                leaves = Leaves::Dead;
            }
            Why::Yield => rq.queue.yield_current(now),
            Why::Block | Why::Preempt => {}
        }
    }
    let stays = prev_idle || !matches!(leaves, Leaves::Runnable);
    let astray = !stays && !prev.allowed().contains(c.id());
    if astray {
        // Not to be picked; whoever runs next moves it.
        let _ = rq.queue.dequeue(prev.handle(), Dequeue::Migrate, now);
    }
    let me = CpuMask::single(c.id()).0;
    let mut picked = rq.queue.pick_next(now);
    let mut announced = prev_idle;
    if picked.is_none() {
        // First say "idle", then look at the others' runqueues: whoever makes a second thread
        // runnable publishes its load and then looks who is idle. One of the two sees the other.
        kernel().idle_mask.enter(me);
        announced = true;
        if balance::pull(c, &mut rq, now) {
            picked = rq.queue.pick_next(now);
            // A failed try may have left it set; this core has something to do now. So may a poke
            // that came meanwhile, for a thread that still waits.
            resched_flag::answer(&c.header.need_resched);
            poked = balance::take_poke(c);
        }
    }
    if astray {
        let _ = rq.queue.enqueue(prev.handle(), Enqueue::Migrate, now);
    }
    debug_assert_eq!(rq.queue.check(), Ok(()), "runqueue of {:?}", c.id());
    let next = match picked {
        // SAFETY: a queued entity belongs to a live thread.
        Some(h) => unsafe { Thread::of_entity(h) },
        None => c.idle_thread(),
    };
    if announced && picked.is_some() {
        kernel().idle_mask.leave(me);
    }
    if poked && picked.is_some() {
        balance::pass_on(c);
    }
    c.publish_load(rq.queue.nr_runnable());
    c.clock.set_slice_end(rq.queue.slice_end(now));
    if core::ptr::eq(prev, next) {
        drop(rq);
        c.clock.program();
        return;
    }
    if rq.queue.nr_runnable() > 1 {
        // The thread that was put back may be one that an idle core can take.
        balance::kick_idle_for(CpuMask::single(c.id()), &rq);
    }
    let ran = now.since(rq.since).as_nanos();
    rq.since = now;
    rq.switches += 1;
    if prev_idle {
        c.idle_ns.fetch_add(ran, Ordering::Relaxed);
    } else {
        prev.cpu_ns.fetch_add(ran, Ordering::Relaxed);
    }
    if why == Why::Exit {
        // SAFETY: the scheduler's reference, leaked by `start`; taken back once, here.
        let prev = unsafe { ThreadRef::from_raw(prev) };
        c.leaver.set(Some(Leaver::Ended(prev)));
    } else if astray {
        // SAFETY: threads are `Arc`s; this one is alive while it is on a runqueue.
        unsafe { ThreadRef::increment_strong_count(prev) };
        // SAFETY: the count just taken.
        let prev = unsafe { ThreadRef::from_raw(prev) };
        c.leaver.set(Some(Leaver::Astray(prev)));
    }
    c.current
        .store(core::ptr::from_ref(next).cast_mut(), Ordering::Relaxed);
    let (from, to) = (
        if prev_idle { 0 } else { prev.id() },
        if picked.is_some() { next.id() } else { 0 },
    );
    let waits = matches!(leaves, Leaves::Runnable) && !astray;
    wq::preempted::switched_out(c, prev, waits, now);
    wq::anatomy::switched(prev, matches!(leaves, Leaves::Asleep), next);
    emit(
        Kind::SchedSwitch,
        Head::of(to),
        u64::from(from),
        leaves as u64,
    );
    c.clock.switch_budget(&prev.budget, &next.budget, now);
    c.clock.program();
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

/// First thing after a switch, on the side of the thread that now runs: releases the runqueue lock
/// taken by the thread before, and frees that thread if it ended, or moves it if it wants to leave.
/// Interrupts are masked.
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
    (rq.closed, rq.since) = (false, machine::now());
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

/// Hook: preemption on interrupt exit; interrupts are masked.
pub(crate) fn preempt() {
    reschedule(Why::Preempt);
}

/// Hook: a section ended with a reschedule due; interrupts are on.
pub(crate) fn resched() {
    let irq = machine::irq_save();
    reschedule(Why::Preempt);
    machine::irq_restore(irq);
}

/// This core's timer says the slice may be over; interrupts are masked.
pub(crate) fn slice_timer(now: Instant) {
    let c = this_cpu();
    let mut rq = c.rq.lock();
    if rq.queue.update(now) == Decision::Resched {
        // The end stays in the past until `reschedule` has picked: programming it again would
        // raise the same interrupt for ever.
        resched_flag::request_here(&c.header.need_resched);
        c.clock.set_slice_end(None);
    } else {
        c.clock.set_slice_end(rq.queue.slice_end(now));
    }
}

impl CpuLocal {
    fn publish_load(&self, n: usize) {
        self.nr_runnable.store(n as u64, Ordering::Relaxed);
    }

    /// Runnable threads on this core, the running one included; a hint.
    pub fn load(&self) -> usize {
        self.nr_runnable.load(Ordering::Relaxed) as usize
    }

    /// Name of the thread that runs on this core; stale at once.
    pub fn current_name(&self) -> Name {
        let rq = self.rq.lock();
        let t = self.current.load(Ordering::Relaxed);
        // SAFETY: a core's running thread changes, and the one before is freed, only after this
        // lock was taken for the switch, so while it is held the pointer is good.
        let name = unsafe { t.as_ref() }.map_or_else(Name::new, |t| thread::cut(t.name()));
        drop(rq);
        name
    }

    /// Number of the thread that runs on this core; 0 for its idle thread. Stale at once.
    pub fn current_id(&self) -> u32 {
        let _rq = self.rq.lock();
        let t = self.current.load(Ordering::Relaxed);
        if self
            .idle
            .get()
            .is_some_and(|idle| core::ptr::eq(&raw const **idle, t))
        {
            return 0;
        }
        // SAFETY: as for `current_name`.
        unsafe { t.as_ref() }.map_or(0, Thread::id)
    }

    /// Context switches of this core so far.
    pub fn switches(&self) -> u64 {
        self.rq.lock().switches
    }

    /// Nanoseconds this core has been idle, the running idle period included.
    pub fn idle_ns(&self) -> u64 {
        let rq = self.rq.lock();
        let base = self.idle_ns.load(Ordering::Relaxed);
        let idle = rq.queue.current().is_none();
        base + if idle {
            machine::now().since(rq.since).as_nanos()
        } else {
            0
        }
    }
}
