//! The watchdog: says on the console what has not moved on for too long (N7, N8).
//!
//! Linux looks at pools that start no item although some wait, and is blind to four other things.
//! Here they are seen too:
//!
//! * (a) all slots of a queue are taken by items that do not end, and the rest waits for a slot;
//! * (b) an item is stuck with nothing behind it: its thread sleeps for no set time and has not run
//!   since the last look, or has had its core all the time. One that sleeps until a set time, or
//!   wakes up now and then, is not stuck;
//! * (c) a submission that is lost for ever: there is none, a queue that drains refuses it and the
//!   item stays idle (C10);
//! * (d) a core's timers are late, so what they were to queue is not: the core is dead or stands
//!   with interrupts masked.
//!
//! Behind a stuck item, and behind items that wait for a slot, stands who waits for whom, as far as that is
//! known ([`Stall::chain`]).
//!
//! Four times in the limit it looks, so a stall is told between one limit and a quarter more. Two
//! cores look, so that a dead core does not take the watchdog with it; whoever comes first does it. When
//! cores go offline and come back, the second timer goes where the first is not ([`spread`]).
//! A look costs one short time under each pool's lock and nothing in between. It waits for no lock for long
//! ([`Patience`]), since its holder may be what must be told.
#![expect(unsafe_code, reason = "the watchdog's timers are the kernel's")]

mod busy;
mod chains;
mod look;
mod stall;

use core::sync::atomic::{AtomicU64, Ordering};

use machine::{CpuId, Duration, Instant};
use sync::{Rank, SpinLock};

use self::chains::Chains;
use self::look::look;
pub use self::stall::{Frames, MOST_FRAMES, Stall, StallKind};
use super::each_pool;
use super::item::{Softirq, Work};
use super::pool::Inner;
use crate::cpu::{CpuMask, online, this_cpu};
use crate::kernel;
use crate::soon::Patience;
use crate::timer::Timer;

/// How long nothing may happen unless somebody says otherwise (N2).
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(30);
/// Looks within the limit.
const LOOKS: u64 = 4;
/// When the second timer came to the core of the first, it is sent on after so long.
const AGAIN: Duration = Duration::from_millis(1);
/// Most stalls that one look finds, and that are remembered.
pub const MOST_STALLS: usize = 8;

/// Stalls, those of the last look first.
pub type Stalls = heapless::Vec<Stall, MOST_STALLS>;

/// The watchdog of a kernel.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// One on the boot core, one on another.
    timers: [Timer; 2],
    /// Sets the other timer, on its core.
    elsewhere: Work<(), Softirq>,
    /// In nanoseconds; 0 is off.
    limit: AtomicU64,
    /// Who looks at this time or later does the work, and says when the next look is due.
    due: AtomicU64,
    count: AtomicU64,
    /// `[A]` the number of stalls, and the time in nanoseconds, at which the machine stops; 0 is
    /// never.
    panic_at: AtomicU64,
    panic_after: AtomicU64,
    last: SpinLock<Stalls>,
    chains: Chains,
    busy: busy::Awaited,
}

impl Watchdog {
    pub(super) const fn new() -> Self {
        Self {
            timers: [Timer::new(tick), Timer::new(tick)],
            elsewhere: <Work<(), Softirq>>::new((), |_, _| second_arrives()),
            limit: AtomicU64::new(0),
            due: AtomicU64::new(0),
            count: AtomicU64::new(0),
            panic_at: AtomicU64::new(0),
            panic_after: AtomicU64::new(0),
            last: SpinLock::new(Rank::Leaf, "stalls", heapless::Vec::new()),
            chains: Chains::new(),
            busy: busy::Awaited::new(),
        }
    }

    /// N2: the machine stops when a pool has started nothing for as long as `panic_on_stall_time`.
    fn stop_if_hung(&self, now: Instant) {
        let most = self.panic_after.load(Ordering::Relaxed);
        if most == 0 {
            return;
        }
        let patience = Patience::new();
        each_pool(|p| {
            let Some(g) = p.lock_soon(&patience) else {
                return;
            };
            let hung = g.policy.hung(now);
            drop(g);
            assert!(
                hung.as_nanos() < most,
                "workqueue: pool {} has started nothing for {} ms, panic_on_stall_time={} s",
                p.place().index(),
                hung.as_millis(),
                most / 1_000_000_000
            );
        });
    }

    fn limit(&self) -> Duration {
        Duration::from_nanos(self.limit.load(Ordering::Relaxed))
    }
}

/// Sets for how long nothing may happen before it is told; zero turns the watchdog off. Takes effect
/// at once.
pub fn set_watchdog(limit: Duration) {
    let dog = &kernel().wq.watchdog;
    for timer in &dog.timers {
        timer.cancel();
    }
    dog.limit.store(limit.as_nanos(), Ordering::Relaxed);
    dog.due.store(0, Ordering::Relaxed);
    crate::lockup::restart();
    if limit > Duration::ZERO {
        arm(0);
        spread();
    }
}

/// The cores whose timers have the watchdog look: two different ones, while two are online. `None`
/// for a timer that is not set, which it is not for a moment while it looks, nor while nobody watches.
#[must_use]
pub fn watchdog_cores() -> [Option<CpuId>; 2] {
    cores(Timer::is_armed)
}

fn cores(is_armed: impl Fn(&Timer) -> bool) -> [Option<CpuId>; 2] {
    let timers = &kernel().wq.watchdog.timers;
    [0, 1].map(|n| timers[n].core().filter(|_| is_armed(&timers[n])))
}

/// Sees to it that two cores look where two are online: one that goes offline takes its timer to where the
/// other may be, and one that comes may be the second. Any context.
pub(crate) fn spread() {
    let dog = &kernel().wq.watchdog;
    if dog.limit() == Duration::ZERO {
        return;
    }
    // One that is on a core which keeps its timers to itself may be armed, and is left alone.
    let patience = Patience::new();
    let [first, second] = cores(|t| t.is_armed_soon(&patience) != Some(false));
    if second.is_none() || first == second {
        let from = dog.timers[0].core();
        send_second(from.unwrap_or_else(|| this_cpu().id()));
    }
}

/// Has the second timer set on another core than `from`, if one is online: on the last one.
fn send_second(from: CpuId) {
    let others = CpuMask(online().0 & !CpuMask::single(from).0);
    if let Some(to) = others.iter().last() {
        // Pending already is as good.
        let _ = super::bh().queue_on(to, &kernel().wq.watchdog.elsewhere);
    }
}

/// BH item: sets the second timer here. The core that it was sent to may have left, and this one have the
/// first timer: then it is tried again soon. Not at once: as long as this core stands in for the other,
/// it would come back here.
fn second_arrives() {
    let here = this_cpu().id();
    let alone = online() == CpuMask::single(here);
    if !alone && kernel().wq.watchdog.timers[0].core() == Some(here) {
        arm_in(1, AGAIN);
    } else {
        arm(1);
    }
}

/// For how long nothing may happen; `None` if nobody watches.
#[must_use]
pub fn watchdog_limit() -> Option<Duration> {
    Some(kernel().wq.watchdog.limit()).filter(|&d| d > Duration::ZERO)
}

/// The last stalls that were told, those of the last look first.
#[must_use]
pub fn last_stalls() -> Stalls {
    kernel().wq.watchdog.last.lock().clone()
}

/// Stalls of one look are to be remembered, and as many of earlier ones as have room.
fn remember(found: &Stalls) {
    let mut last = kernel().wq.watchdog.last.lock();
    let mut all = found.clone();
    let room = MOST_STALLS - all.len();
    all.extend(last.iter().take(room).cloned());
    *last = all;
}

/// Stalls that were told so far.
#[must_use]
pub fn stall_count() -> u64 {
    kernel().wq.watchdog.count.load(Ordering::Relaxed)
}

/// The number of stalls at which the machine stops; 0 is never.
#[must_use]
pub fn panic_on_stall() -> u64 {
    kernel().wq.watchdog.panic_at.load(Ordering::Relaxed)
}

/// Stops the machine with a panic when so many stalls have been told since boot (N2); 0 is never.
pub fn set_panic_on_stall(count: u64) {
    let at = &kernel().wq.watchdog.panic_at;
    at.store(count, Ordering::Relaxed);
}

/// How long a pool may start nothing before the machine stops; zero is for ever.
#[must_use]
pub fn panic_on_stall_time() -> Duration {
    Duration::from_nanos(kernel().wq.watchdog.panic_after.load(Ordering::Relaxed))
}

/// Stops the machine with a panic when items wait in a pool and none has been started for so long
/// (N2); zero is never. As exact as the watchdog looks often: four times in [`watchdog_limit`]; never
/// while that is off.
pub fn set_panic_on_stall_time(time: Duration) {
    let after = &kernel().wq.watchdog.panic_after;
    after.store(time.as_nanos(), Ordering::Relaxed);
}

/// Somebody pauses for long and knows it: all times begin anew. Any context.
pub fn touch_watchdog() {
    each_pool(|p| {
        let mut g = p.lock();
        let Inner { policy, store, .. } = &mut *g;
        policy.touch(store);
    });
}

/// Sets timer `n` on this core for the next look.
fn arm(n: usize) {
    let limit = kernel().wq.watchdog.limit().as_nanos();
    arm_in(n, Duration::from_nanos(limit / LOOKS));
}

/// Sets timer `n` on this core, if somebody watches.
fn arm_in(n: usize, wait: Duration) {
    let dog = &kernel().wq.watchdog;
    if dog.limit() > Duration::ZERO {
        // SAFETY: the timer is part of the kernel.
        unsafe { dog.timers[n].arm(machine::now() + wait) };
    }
}

/// Timer callback: a look, unless the other core has just had one.
fn tick(timer: &Timer) {
    let dog = &kernel().wq.watchdog;
    let (now, limit) = (machine::now(), dog.limit());
    let me = usize::from(core::ptr::eq(timer, &raw const dog.timers[1]));
    arm(me);
    let due = dog.due.load(Ordering::Relaxed);
    // Half a period, since neither timer is exact.
    let next = now.as_nanos() + limit.as_nanos() / (2 * LOOKS);
    let mine = now.as_nanos() >= due
        && dog
            .due
            .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
    if mine && limit > Duration::ZERO {
        // First, as that waits for nobody.
        crate::lockup::look(now, limit);
        look(machine::now(), limit);
    }
    spread();
    if !chains::tell_all() | !busy::tell_all() {
        // Somebody has the wait graph, perhaps whom this interrupted.
        arm_in(me, AGAIN);
    }
}
