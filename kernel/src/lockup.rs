//! Lockups: cores that do not schedule, cores that take no interrupts, services that answer nobody.
//!
//! Whenever the watchdog looks (four times in its limit, from one of two cores), it asks every core for
//! a sign of life by an inter-processor interrupt:
//!
//! * **Hard lockup**: the core has not answered for as long as the limit. It stands with interrupts
//!   masked, or is dead. Another core tells it, by what can be seen from outside: its thread, when it
//!   last answered, and its last events.
//! * **Soft lockup**: the core answers, and its scheduler has not been entered for as long as the limit,
//!   although each look asked for that. Preemption or BH is off, or a softirq does not end. It tells that
//!   itself in its answer, with the frames of what keeps it.
//! * **Lockup of a service** ([`watch_service`]): somebody has waited for as long as the limit, and
//!   nobody has been served since.
//!
//! Linux finds a soft lockup by a thread that shall run on each core, which costs a thread for each and
//! finds nothing that the reschedule flag does not say. Each lockup is told once.
//!
//! The limit is the watchdog's ([`crate::wq::set_watchdog`], boot argument `watchdog=SECS`); with it off
//! nobody asks and nothing is told. A core that is offline is not asked, nor is one that is suspended.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use machine::{CpuId, Duration, Instant};
use sync::handshake::resched as resched_flag;
use sync::{Rank, SpinLock};

use crate::cpu::{CpuLocal, cpu, online, this_cpu};
use crate::panic::tell_frames;
use crate::{ipi, kernel, trace};

mod glimpse;
mod service;

use glimpse::Portrait;
pub(crate) use glimpse::{Asked, ask};
pub use glimpse::{Frames, Glimpse, MOST_FRAMES, glimpse_of};
pub(crate) use service::Services;
pub use service::{
    MOST_SERVICES, Progress, Service, service_lockup_count, unwatch_service, watch_service,
};

/// Events of a core that takes no interrupts that are told.
const EVENTS: usize = 16;

/// What kind of lockup it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockupKind {
    /// The core takes interrupts and does not schedule.
    Soft,
    /// The core takes no interrupts.
    Hard,
}

/// A core that was locked up when somebody looked.
#[derive(Clone, Debug)]
pub struct Lockup {
    /// What it does not do.
    pub kind: LockupKind,
    /// For how long, as far as looks can tell.
    pub lasted: Duration,
    /// The core, what it runs, and for [`LockupKind::Soft`] where.
    pub glimpse: Glimpse,
}

impl fmt::Display for Lockup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (g, ms) = (&self.glimpse, self.lasted.as_millis());
        let (kind, what) = match self.kind {
            LockupKind::Soft => ("soft", "has not scheduled"),
            LockupKind::Hard => ("hard", "has taken no interrupt"),
        };
        write!(
            f,
            "BUG: {kind} lockup: core {} {what} for {ms} ms, {g}",
            g.core
        )
    }
}

/// A core's signs of life. Written by itself in its answer and by whoever looks; all relaxed, since each
/// is a number of its own and late news only delay a report.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// When it was asked, in nanoseconds; 0 when it has answered.
    asked: AtomicU64,
    /// Since when a reschedule is due that does not come, in nanoseconds; 0 when it came.
    due: AtomicU64,
    /// The scheduler's count of switches at that time.
    switches: AtomicU64,
    /// Its lockup was told.
    told_soft: AtomicBool,
    told_hard: AtomicBool,
    /// The one that was told last.
    last: SpinLock<Option<Lockup>>,
    portrait: Portrait,
}

impl Pulse {
    pub(crate) const fn new() -> Self {
        Self {
            asked: AtomicU64::new(0),
            due: AtomicU64::new(0),
            switches: AtomicU64::new(0),
            told_soft: AtomicBool::new(false),
            told_hard: AtomicBool::new(false),
            last: SpinLock::new(Rank::Leaf, "a core's last lockup", None),
            portrait: Portrait::new(),
        }
    }

    /// The core comes up.
    pub(crate) fn begin(&self) {
        self.reset();
        self.has_scheduled();
    }

    /// Nothing is asked: it answers, or cannot be asked.
    fn reset(&self) {
        self.asked.store(0, Ordering::Relaxed);
        self.told_hard.store(false, Ordering::Relaxed);
    }

    /// The core has been in its scheduler.
    fn has_scheduled(&self) {
        self.due.store(0, Ordering::Relaxed);
        self.told_soft.store(false, Ordering::Relaxed);
    }
}

/// What a kernel remembers of lockups.
#[derive(Debug)]
pub(crate) struct Lockups {
    count: AtomicU64,
    services: Services,
}

impl Lockups {
    pub(crate) const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            services: Services::new(),
        }
    }
}

/// Lockups of cores that were told so far.
#[must_use]
pub fn lockup_count() -> u64 {
    kernel().lockups.count.load(Ordering::Acquire)
}

/// The lockup of core `core` that was told last; `None` if there was none, or is no such core. Any context.
#[must_use]
pub fn last_lockup(core: CpuId) -> Option<Lockup> {
    let c = kernel().cpus().get(core.index())?;
    c.pulse.last.lock().clone()
}

/// Asks all cores, and tells of those that have not answered for `limit`. The watchdog's look: BH context,
/// no lock held.
pub(crate) fn look(now: Instant, limit: Duration) {
    for c in kernel().cpus() {
        let pulse = &c.pulse;
        // One that is suspended answers when it goes on.
        let awake = c.clock.awake_since();
        if !online().contains(c.id()) || awake.is_none() {
            pulse.reset();
            continue;
        }
        if c.id() == this_cpu().id() {
            // It takes the interrupt of the timer that brought it here.
            pulse.reset();
            check_schedules(c, now, limit);
            continue;
        }
        let asked = pulse.asked.load(Ordering::Relaxed);
        let since = Instant::from_nanos(asked).max(awake.unwrap_or(Instant::ZERO));
        if asked == 0 {
            pulse.asked.store(now.as_nanos().max(1), Ordering::Relaxed);
            ipi::ask_for_pulse(c.id());
        } else if now.since(since) >= limit && !pulse.told_hard.swap(true, Ordering::Relaxed) {
            tell(Lockup {
                kind: LockupKind::Hard,
                lasted: now.since(since),
                glimpse: Glimpse::from_outside(c, now),
            });
        }
    }
    service::look(now, limit);
}

/// Somebody begins to watch, after a time in which nobody did.
pub(crate) fn restart() {
    for c in kernel().cpus() {
        c.pulse.begin();
    }
}

/// The running core was asked; hard-interrupt context.
pub(crate) fn answer() {
    let c = this_cpu();
    let now = machine::now();
    let told = c.pulse.told_hard.load(Ordering::Relaxed);
    c.pulse.reset();
    glimpse::pose(c, now);
    if told {
        tell_return(c, now);
    }
    if let Some(limit) = crate::wq::watchdog_limit() {
        check_schedules(c, now, limit);
    }
}

/// Whether the running core, `c`, has been in its scheduler since it was last asked to; asks again.
fn check_schedules(c: &CpuLocal, now: Instant, limit: Duration) {
    let pulse = &c.pulse;
    // Held by another core that looks for something to run: next time.
    let Some(switches) = c.rq.try_lock().map(|rq| rq.switches) else {
        return;
    };
    let due = pulse.due.load(Ordering::Relaxed);
    let pending = c.header.need_resched.load(Ordering::Relaxed);
    let same = pulse.switches.swap(switches, Ordering::Relaxed) == switches;
    // Suspended meanwhile: since then.
    let awake = c.clock.awake_since().unwrap_or(now);
    if due == 0 || !pending || !same {
        pulse.has_scheduled();
        pulse.due.store(now.as_nanos().max(1), Ordering::Relaxed);
        resched_flag::request_here(&c.header.need_resched);
        return;
    }
    let lasted = now.since(Instant::from_nanos(due).max(awake));
    if lasted >= limit && !pulse.told_soft.swap(true, Ordering::Relaxed) {
        tell(Lockup {
            kind: LockupKind::Soft,
            lasted,
            glimpse: Glimpse::here(now),
        });
    }
}

/// A core of which a hard lockup was told takes interrupts again: it says where.
fn tell_return(c: &CpuLocal, now: Instant) {
    // That it did not schedule meanwhile was told with it.
    c.pulse.has_scheduled();
    let glimpse = Glimpse::here(now);
    crate::log!("core {} takes interrupts again, {glimpse}", c.id());
    tell_frames(&glimpse.frames);
}

fn tell(lockup: Lockup) {
    crate::log!("{lockup}");
    tell_frames(&lockup.glimpse.frames);
    if lockup.kind == LockupKind::Hard {
        tell_events(lockup.glimpse.core);
    }
    let core = cpu(lockup.glimpse.core);
    *core.pulse.last.lock() = Some(lockup);
    // Whoever sees the count finds it.
    kernel().lockups.count.fetch_add(1, Ordering::Release);
}

/// The last events of a core that cannot tell anything itself.
fn tell_events(core: CpuId) {
    // As in a panic's report.
    if machine::OBSERVED {
        return;
    }
    for event in trace::newest(core, EVENTS) {
        crate::println!("    {}", trace::Line(&event));
    }
}
