//! Cores go offline and come back (M1-M5, K5, S14).
//!
//! A core that leaves must leave nothing behind that anybody waits for: threads, timers, softirqs, work
//! items, calls, interrupts. Stopping the whole machine for that moment, the naive way, would make it
//! simple and stop the machine. Here each kind of thing is shut behind its own lock, so others go on.
//!
//! A core climbs or descends a ladder of steps. Going down, each step takes away what the one above
//! needs; where one fails, the core climbs back. The other way round it is the same. Climbing back stops at
//! nothing: a step that has no memory to undo itself leaves out what it could not do, and the ones above it
//! are undone all the same, so that a core that stays takes part in everything.
//!
//! ```text
//!   interrupts   devices may interrupt the core
//!   workqueues   its pools manage concurrency (M2, M3); without it they are like unbound ones
//!   helpers      it has ksoftirqd, a worker in each pool (M1), and a place in unbound queues' pods (M4)
//!   placement    threads are put on it: it is in `cpu::online`
//!   power        it runs its idle thread; on the way down that is where all else is handed over
//! ```
//!
//! The last step is the core's own (`leave`), in its idle thread with interrupts masked, when no
//! thread is left on it. It makes the calls that wait in its mailbox and refuses more; closes its
//! runqueue; gives its timers to another core, and its BH pools, whose items that core runs from then
//! on, in the same order (K5); gives back its free memory; and asks the firmware to switch it off (M5).
//!
//! What the others may do meanwhile, and afterwards, with a core that is offline:
//!
//! * items queued there run elsewhere, per-CPU ones outside concurrency management (C3). So do those of a
//!   core that never came up.
//! * threads that may run only there run anywhere, and go back when it returns.
//! * calls are refused ([`crate::ipi::CallError::Offline`]), softirqs raised there are dropped.
//!
//! Context: threads; changes are made one at a time. Each waits until the core is off, or up.
#![expect(unsafe_code, reason = "makes the context of an idle thread anew")]

mod leaving;

use core::fmt;
use core::sync::atomic::Ordering;

use machine::{CpuId, Duration, StartError, now};

pub(crate) use self::leaving::Leaving;
use crate::cpu::{self, CpuLocal, CpuMask};
use crate::thread::{ThreadCx, sleep};
use crate::trace::{Head, Kind, emit};
use crate::{ipi, irq, kernel, mem, schedule, softirq, timer, wq};

/// How long a core may take to come up, or to get rid of what runs on it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to sleep before the next look at a core that is on its way.
const PAUSE: Duration = Duration::from_micros(50);

/// Why a core did not change its state; it is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HotplugError {
    /// The machine has no such core.
    NoSuchCore,
    /// It is online, or offline, already.
    Already,
    /// It is the last one.
    LastCore,
    /// No memory for the threads it needs; try again later.
    NoMemory,
    /// The firmware refused.
    Refused,
    /// It did not come up, or did not get rid of what runs on it, within ten seconds.
    Stuck,
}

impl fmt::Display for HotplugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchCore => "no such core",
            Self::Already => "the core is in that state already",
            Self::LastCore => "the last core cannot go offline",
            Self::NoMemory => "no memory for the core's threads",
            Self::Refused => "the firmware refused",
            Self::Stuck => "the core did not change its state in time",
        })
    }
}

impl core::error::Error for HotplugError {}

type Change = fn(&ThreadCx<'_>, &'static CpuLocal) -> Result<(), HotplugError>;

/// One rung of the ladder.
struct Step {
    up: Change,
    down: Change,
}

/// From the lowest to the highest.
const LADDER: [Step; 5] = [
    Step {
        up: power_up,
        down: power_down,
    },
    Step {
        up: placement_up,
        down: placement_down,
    },
    Step {
        up: helpers_up,
        down: |_, _| Ok(()),
    },
    Step {
        up: workqueues_up,
        down: workqueues_down,
    },
    Step {
        up: interrupts_up,
        down: interrupts_down,
    },
];

/// Brings core `id` up; returns when it takes part in everything.
///
/// # Errors
///
/// [`HotplugError`]; the core is then offline.
pub fn online(cx: &ThreadCx<'_>, id: CpuId) -> Result<(), HotplugError> {
    let c = find(id)?;
    let one_at_a_time = kernel().hotplug.lock_anyway(cx);
    if cpu::online().contains(id) {
        return Err(HotplugError::Already);
    }
    let mut result = Ok(());
    for (n, step) in LADDER.iter().enumerate() {
        result = (step.up)(cx, c);
        if result.is_err() {
            for done in LADDER[..n].iter().rev() {
                // What cannot be taken back stays: the core is then up and does nothing.
                let _ = (done.down)(cx, c);
            }
            break;
        }
    }
    settle(cx);
    drop(one_at_a_time);
    result
}

/// Takes core `id` offline; returns when it is off.
///
/// # Errors
///
/// [`HotplugError`]; the core is then online.
pub fn offline(cx: &ThreadCx<'_>, id: CpuId) -> Result<(), HotplugError> {
    let c = find(id)?;
    let one_at_a_time = kernel().hotplug.lock_anyway(cx);
    let online = cpu::online();
    if !online.contains(id) {
        return Err(HotplugError::Already);
    }
    if online == CpuMask::single(id) {
        return Err(HotplugError::LastCore);
    }
    let mut result = Ok(());
    for (n, step) in LADDER.iter().enumerate().rev() {
        result = (step.down)(cx, c);
        if result.is_err() {
            for undo in &LADDER[n + 1..] {
                // A core that stays has its workers; without memory it only lacks a place in pods.
                let _left_out = (undo.up)(cx, c);
            }
            break;
        }
    }
    settle(cx);
    drop(one_at_a_time);
    result
}

/// After a change. Pods without an online core get other pools, or their own back (G6). Without memory
/// they stay as they are until the next change: the workers of such a pod then run wherever they can.
/// And the watchdog looks from two cores again.
fn settle(cx: &ThreadCx<'_>) {
    let _kept_without_memory = wq::remap_unbound(cx);
    wq::spread_watchdog();
}

fn find(id: CpuId) -> Result<&'static CpuLocal, HotplugError> {
    let cpus = kernel().cpus();
    cpus.get(id.index()).ok_or(HotplugError::NoSuchCore)
}

/// The core that takes over what a leaving one has: the lowest that stays.
fn heir() -> &'static CpuLocal {
    cpu::cpu(cpu::online().lowest().expect("the last core stays"))
}

/// Device interrupts go to the lowest core that is online.
fn interrupts_up(_: &ThreadCx<'_>, _: &'static CpuLocal) -> Result<(), HotplugError> {
    irq::route_all(heir().id());
    Ok(())
}

fn interrupts_down(_: &ThreadCx<'_>, c: &'static CpuLocal) -> Result<(), HotplugError> {
    let others = CpuMask(cpu::online().0 & !CpuMask::single(c.id()).0);
    irq::route_all(others.lowest().unwrap_or(c.id()));
    Ok(())
}

fn workqueues_up(_: &ThreadCx<'_>, c: &'static CpuLocal) -> Result<(), HotplugError> {
    wq::core_is_back(c);
    Ok(())
}

fn workqueues_down(_: &ThreadCx<'_>, c: &'static CpuLocal) -> Result<(), HotplugError> {
    wq::core_leaves(c);
    Ok(())
}

fn helpers_up(cx: &ThreadCx<'_>, c: &'static CpuLocal) -> Result<(), HotplugError> {
    let ready = softirq::start_thread(c.id()).and_then(|()| wq::prepare(c));
    ready.map_err(|_| HotplugError::NoMemory)?;
    wq::remap_unbound(cx).map_err(|_| HotplugError::NoMemory)
}

fn placement_up(cx: &ThreadCx<'_>, c: &'static CpuLocal) -> Result<(), HotplugError> {
    let masked = sync::IrqGuard::new();
    kernel().let_in(c.id());
    // It has been idle; what waits elsewhere waits for somebody to tell it.
    schedule::look_again(c);
    emit(Kind::CpuOnline, Head::of(c.id().index() as u32), 0, 0);
    drop(masked);
    schedule::bring_home(cx, c.id());
    Ok(())
}

fn placement_down(cx: &ThreadCx<'_>, c: &'static CpuLocal) -> Result<(), HotplugError> {
    let masked = sync::IrqGuard::new();
    emit(Kind::CpuOffline, Head::of(c.id().index() as u32), 0, 0);
    kernel().leave_out(c.id());
    drop(masked);
    schedule::evacuate(c);
    // Without memory queues stay with pods in which the core is missing, whose workers run elsewhere.
    let _ = wq::remap_unbound(cx);
    Ok(())
}

/// Starts the core and waits until its idle thread runs.
fn power_up(cx: &ThreadCx<'_>, c: &'static CpuLocal) -> Result<(), HotplugError> {
    // One that came up so late at boot that nobody waited for it is up.
    if c.online.load(Ordering::Acquire) {
        return Ok(());
    }
    // One that the firmware does not call off was started before and is late: its first steps may be on
    // that stack at this moment, so it is only waited for.
    if machine::cpu_is_off(c.id()) {
        start(c)?;
    }
    let deadline = now() + PATIENCE;
    while !c.online.load(Ordering::Acquire) {
        if now() >= deadline {
            return Err(HotplugError::Stuck);
        }
        sleep(cx, PAUSE);
    }
    Ok(())
}

/// Has the firmware start a core that is off, on its idle thread's stack.
fn start(c: &'static CpuLocal) -> Result<(), HotplugError> {
    c.leaving.done();
    let idle = c.idle_thread();
    let (low, high) = (idle.header.stack_low.get(), idle.header.stack_high.get());
    let arg = core::ptr::from_ref::<crate::thread::Thread>(idle).expose_provenance();
    // SAFETY: the core is off, so nothing stands on its idle thread's stack.
    let context = unsafe { machine::context_init(low, high, crate::boot::idle_main, arg) };
    // SAFETY: nor does anybody switch to it.
    unsafe { *idle.header.context.get() = context };
    machine::start_cpu(&c.header).map_err(|e| match e {
        StartError::Unknown => HotplugError::NoSuchCore,
        StartError::Refused => HotplugError::Refused,
    })
}

/// Has the core leave and waits until it is off.
fn power_down(cx: &ThreadCx<'_>, c: &'static CpuLocal) -> Result<(), HotplugError> {
    c.leaving.ask();
    let deadline = now() + PATIENCE;
    loop {
        schedule::pick_again(c);
        sleep(cx, PAUSE);
        if !c.online.load(Ordering::Acquire) {
            break;
        }
        if c.leaving.was_refused() {
            c.leaving.done();
            return Err(HotplugError::Refused);
        }
        if now() >= deadline && c.leaving.withdraw() {
            return Err(HotplugError::Stuck);
        }
    }
    while !machine::cpu_is_off(c.id()) {
        if c.leaving.was_refused() {
            c.leaving.done();
            return Err(HotplugError::Refused);
        }
        sleep(cx, PAUSE);
    }
    Ok(())
}

/// The last things a core does: in its idle thread, with interrupts masked, whenever it has nothing to
/// run and was asked to leave. Returns if it has something to run after all, or if it may not go.
pub(crate) fn leave(c: &'static CpuLocal) {
    schedule::evacuate(c);
    if !c.leaving.begin() {
        return;
    }
    // Calls may wake threads, which go elsewhere, and queue items, arm timers and raise softirqs here.
    ipi::close();
    if !schedule::close(c) {
        ipi::stay_open();
        c.leaving.ask();
        // What those calls raised the idle thread runs; what other cores asked for comes with its interrupt.
        return;
    }
    ipi::forget();
    let heir = heir();
    timer::move_all(c, heir);
    wq::give_bh_pools(c, heir);
    softirq::forget_pending();
    mem::give_back();
    emit(Kind::CpuDead, Head::of(c.id().index() as u32), 0, 0);
    c.online.store(false, Ordering::Release);
    // It returns only if it may not go.
    let (StartError::Refused | StartError::Unknown) = machine::leave_cpu();
    c.online.store(true, Ordering::Release);
    ipi::reopen();
    schedule::reopen(c);
    wq::take_bh_pools(c);
    c.leaving.refused();
}
