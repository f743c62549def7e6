//! Suspend to idle: every core waits for an interrupt, and no timer but one ends that.
//!
//! The freezer stops what need not run (F5). Then a thread takes each core but the first as soon as
//! that has nothing else to do, masks interrupts, puts its timer off and waits; the first core waits
//! for a time or for any interrupt of its own, a device's for example. It wakes the others, the
//! timers are set again, what came due meanwhile is late, and the freezer thaws.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use machine::{CpuId, Duration, Instant};

use crate::cpu::{CpuMask, online, this_cpu};
use crate::thread::{self, Builder, Nice, ThreadCx, ThreadRef, current};
use crate::{freezer, kernel, mem, schedule};

/// How long items that run, a change of the cores and threads that compute may hold it up.
const PATIENCE: Duration = Duration::from_secs(20);
/// From one look whether they have to the next.
const LOOK: Duration = Duration::from_millis(1);

/// What ended a suspension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// The time had come.
    Time,
    /// An interrupt of the first core.
    Interrupt,
}

/// Why the machine was not suspended; everything goes on as before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SuspendError {
    /// Somebody else suspends the machine at this moment.
    Already,
    /// Items of freezable queues did not end in time.
    Busy,
    /// A core had something to run all the time, or did not finish going offline or coming up in time.
    Restless,
    /// No memory for the threads that keep the cores.
    NoMemory,
}

impl fmt::Display for SuspendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Already => "the machine is being suspended already",
            Self::Busy => "work items do not end",
            Self::Restless => "a core does not come to rest",
            Self::NoMemory => "no memory to suspend with",
        })
    }
}

impl core::error::Error for SuspendError {}

/// How far the cores are.
struct Parking {
    parked: AtomicUsize,
    over: AtomicBool,
}

/// Lets all cores sleep until the time `until`, or until the first core gets an interrupt. One caller at a
/// time; cores go offline and come up before or after, not meanwhile. Gives up when the machine has not
/// come to rest for twenty seconds. May sleep; takes the lock of hotplug.
///
/// # Errors
///
/// [`SuspendError`].
pub fn suspend_to_idle(cx: &ThreadCx<'_>, until: Instant) -> Result<Woken, SuspendError> {
    suspend_to_idle_within(cx, until, PATIENCE)
}

/// As [`suspend_to_idle`], giving up after `patience`.
///
/// # Errors
///
/// [`SuspendError`].
pub fn suspend_to_idle_within(
    cx: &ThreadCx<'_>,
    until: Instant,
    patience: Duration,
) -> Result<Woken, SuspendError> {
    // Nobody dies with it, and it protects no value: poison means nothing.
    let Some(_one_at_a_time) = kernel().suspend.try_lock(cx) else {
        return Err(SuspendError::Already);
    };
    freezer::suspended(true);
    let result = suspend(cx, until, machine::now() + patience);
    freezer::suspended(false);
    result
}

fn suspend(cx: &ThreadCx<'_>, until: Instant, deadline: Instant) -> Result<Woken, SuspendError> {
    while freezer::busy() {
        if machine::now() >= deadline {
            return Err(SuspendError::Busy);
        }
        thread::sleep(cx, LOOK);
    }
    // Cores neither come nor go until it is over.
    let left = deadline.since(machine::now().min(deadline));
    let Ok(_changes) = kernel().hotplug.lock_timeout(cx, left) else {
        return Err(SuspendError::Restless);
    };
    let allowed = current().affinity();
    // The one that devices interrupt.
    let first = online().lowest().unwrap_or(CpuId::BOOT);
    schedule::run_on(cx, CpuMask::single(first));
    let result = park_all(cx, first, until, deadline);
    schedule::run_on(cx, allowed);
    result
}

/// On the first core: parks the others, waits, and lets them go.
fn park_all(
    cx: &ThreadCx<'_>,
    first: CpuId,
    until: Instant,
    deadline: Instant,
) -> Result<Woken, SuspendError> {
    let parking = Parking {
        parked: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    };
    let parking = mem::try_arc(parking).map_err(|_| SuspendError::NoMemory)?;
    let others = CpuMask(online().0 & !CpuMask::single(first).0);
    let mut threads: Vec<ThreadRef> =
        mem::try_vec_with_capacity(others.count()).map_err(|_| SuspendError::NoMemory)?;
    let mut result = Ok(Woken::Interrupt);
    for cpu in others.iter() {
        let parking = Arc::clone(&parking);
        let builder = Builder::new("suspend").nice(Nice::MIN);
        let builder = builder.affinity(CpuMask::single(cpu));
        match builder.spawn(move |cx| park(cx, &parking)) {
            Ok(t) => threads.push(t),
            Err(_) => result = Err(SuspendError::NoMemory),
        }
    }
    while result.is_ok() && parking.parked.load(Ordering::Acquire) < threads.len() {
        if machine::now() >= deadline {
            result = Err(SuspendError::Restless);
        }
        thread::sleep(cx, LOOK);
    }
    if result.is_ok() {
        result = wait(cx, until, deadline);
    }
    parking.over.store(true, Ordering::Release);
    for t in &threads {
        machine::send_ipi(t.cpu());
    }
    threads.iter().for_each(|t| t.join(cx));
    result
}

/// With interrupts masked: this core has nothing to do but what it is doing.
fn is_quiet() -> bool {
    let c = this_cpu();
    let due = c.header.need_resched.load(Ordering::Relaxed);
    let softirqs = c.header.softirq_pending.load(Ordering::Relaxed);
    c.load() <= 1 && !due && softirqs == 0
}

/// The first core waits, once it has nothing else to do.
fn wait(cx: &ThreadCx<'_>, until: Instant, deadline: Instant) -> Result<Woken, SuspendError> {
    loop {
        let irq = machine::irq_save();
        let quiet = is_quiet();
        if quiet {
            rest(until);
        }
        machine::irq_restore(irq);
        if machine::now() >= until {
            return Ok(Woken::Time);
        }
        if quiet {
            return Ok(Woken::Interrupt);
        }
        if machine::now() >= deadline {
            return Err(SuspendError::Restless);
        }
        thread::sleep(cx, LOOK);
    }
}

/// Another core waits until the first one says that it is over. What its own interrupts bring it
/// does, and waits on.
fn park(cx: &ThreadCx<'_>, parking: &Parking) {
    let mut first = true;
    loop {
        let irq = machine::irq_save();
        let over = parking.over.load(Ordering::Acquire);
        let quiet = is_quiet();
        if quiet && core::mem::take(&mut first) {
            parking.parked.fetch_add(1, Ordering::AcqRel);
        }
        if quiet && !over {
            rest(Instant::FOREVER);
        }
        machine::irq_restore(irq);
        if over {
            return;
        }
        if !quiet {
            thread::sleep(cx, LOOK);
        }
    }
}

/// Waits for an interrupt, or the time `until`; with interrupts masked, so that what came is
/// handled when they are on again.
fn rest(until: Instant) {
    let clock = &this_cpu().clock;
    clock.hold(until);
    if machine::now() < until {
        machine::idle();
    }
    clock.go_on();
}
