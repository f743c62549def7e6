//! Timers, and the one hardware timer per core they share with the scheduler's slice.
//!
//! What the hardware timer is set to is told in `timer/clock.rs`.
//!
//! A due timer raises the TIMER softirq; callbacks run there, in BH context, on the core whose base
//! holds the timer, without the base's lock, so a callback may arm and cancel timers (also itself).
//! A timer that is armed on another core while its callback runs stays with the core of the callback:
//! so [`Timer::cancel_sync`] has one core to look at, the one that the timer names.
//!
//! Arm, re-arm and cancel are O(log n) and never allocate: the node is inside the timer.
#![expect(unsafe_code, reason = "timers are intrusive nodes owned by others")]

use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::Ordering;

use links::{Direct, Handle};
use machine::{CpuId, Duration, Instant};
use sync::SpinGuard;
use sync::handshake::Owner;
use timer::{TimerNode, TimerQueue};

use crate::audit::Locked;
use crate::cpu::{CpuLocal, cpu, this_cpu};
use crate::softirq::{self, Vector};
use crate::soon::Patience;
use crate::trace::{Head, Kind, emit, emit_unmasked, name, with_function};

mod clock;

pub(crate) use self::clock::{CoreClock, NO_BUDGET, interrupt};

/// Most callbacks in one run of the TIMER softirq.
const BATCH: usize = 32;

/// A core's armed timers.
#[derive(Debug)]
pub(crate) struct TimerBase {
    queue: TimerQueue<Direct<TimerNode>>,
}

impl TimerBase {
    pub(crate) const fn new() -> Self {
        // SAFETY: a node is reached only through the base named by its timer's `cpu`, under that
        // base's lock; `Timer::arm`'s contract keeps it alive while armed.
        let arena = unsafe { Direct::new() };
        Self {
            queue: TimerQueue::new(arena),
        }
    }
}

impl TimerBase {
    /// When the first timer is due.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.queue.next()
    }
}

fn lock_base(n: u32) -> (&'static CpuLocal, SpinGuard<'static, TimerBase>) {
    let c = cpu(CpuId::new(n as usize));
    (c, c.timers.lock())
}

/// A one-shot timer, embedded in what it belongs to.
#[repr(C)]
pub struct Timer {
    node: UnsafeCell<TimerNode>,
    callback: fn(&Timer),
    /// The callback runs with interrupts masked, from the moment the timer leaves its base.
    masked: bool,
    /// Core whose base holds the node while armed; afterwards where it was last armed, which is where
    /// its callback runs if that is still going on.
    base: Owner,
}

// SAFETY: the node is touched only under the lock of the base named by `base`.
unsafe impl Sync for Timer {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Timer {}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Timer {
    /// A timer that is not armed. `callback` runs in BH context; it may arm and cancel any timer,
    /// this one included, and may free what the timer is part of.
    #[must_use]
    pub const fn new(callback: fn(&Self)) -> Self {
        Self {
            node: UnsafeCell::new(TimerNode::new()),
            callback,
            masked: false,
            base: Owner::new(Owner::NONE),
        }
    }

    /// As [`Self::new`], with interrupts masked while `callback` runs and since the timer was taken
    /// off its base: on this core nobody finds it neither armed nor over. For short callbacks.
    #[must_use]
    pub(crate) const fn masked(callback: fn(&Self)) -> Self {
        Self {
            masked: true,
            ..Self::new(callback)
        }
    }

    fn handle(&self) -> Handle<TimerNode> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.node.get())
    }

    /// Runs `f` with the base that holds (or last held) the node locked; `None` if never armed.
    fn with_base<R>(&self, f: impl FnOnce(&'static CpuLocal, &mut TimerBase) -> R) -> Option<R> {
        let (_, (c, mut base)) = self.base.lock(lock_base)?;
        Some(f(c, &mut base))
    }

    /// Arms the timer on the running core, or moves it there if it is armed. While its callback runs
    /// on another core it stays there. Any context.
    ///
    /// Arming one timer from two cores at once is the caller's mistake to avoid (one of the two
    /// deadlines wins).
    ///
    /// # Safety
    ///
    /// The timer stays where it is, alive, until its callback has started or [`Self::cancel`] said
    /// true, or [`Self::cancel_sync`] returned.
    pub unsafe fn arm(&self, at: Instant) {
        let irq = sync::IrqGuard::new();
        let here = this_cpu();
        let (c, mut base) = self.lock_for(here);
        let head = head_of(self.callback);
        emit(Kind::TimerStart, head, name(self), at.as_nanos());
        let first = base.queue.arm(self.handle(), at);
        // Another core runs its callback, and looks at its base again when that is over.
        if core::ptr::eq(c, here) {
            here.clock.timer_due.set(if first {
                at
            } else {
                base.queue.next().unwrap_or(Instant::FOREVER)
            });
            here.clock.program();
        }
        drop(base);
        drop(irq);
    }

    /// Locks the base that the timer shall be armed in and gives the timer to it, disarmed if it comes
    /// from another: that of core `here`, unless the callback runs on the core it comes from. `base`
    /// changes only under the lock of the base it names, so whoever holds that lock and reads it can
    /// rely on it.
    fn lock_for(
        &self,
        here: &'static CpuLocal,
    ) -> (&'static CpuLocal, SpinGuard<'static, TimerBase>) {
        let n = here.id().index() as u32;
        if self.base.get() != n
            && !self.base.claim(n)
            && let Some((_, (c, mut old))) = self.base.lock(lock_base)
        {
            // `begin` was under this lock. After `end` the callback's core takes it once more.
            if c.clock.running.is(core::ptr::from_ref(self).addr()) {
                return (c, old);
            }
            old.queue.cancel(self.handle());
            self.base.give(n);
        }
        (here, here.timers.lock())
    }

    /// Disarms the timer. True if it was armed, in which case the callback will not run. Any
    /// context.
    pub fn cancel(&self) -> bool {
        self.take_off().is_some_and(|(_, was)| was)
    }

    /// Disarms the timer: the core whose base held it last, and whether it was armed; `None` if it
    /// never was.
    fn take_off(&self) -> Option<(&'static CpuLocal, bool)> {
        // The hardware timer stays programmed: an early interrupt finds nothing due and reprograms.
        self.with_base(|c, base| {
            let was = base.queue.cancel(self.handle());
            if was {
                emit(Kind::TimerCancel, Head::of(0), name(self), 0);
            }
            (c, was)
        })
    }

    /// Disarms the timer and waits until a callback running on another core is over. Spins; from
    /// BH context only if the callback does not wait for the caller. True if it was armed.
    ///
    /// A callback that re-arms the timer must be stopped by its own means first.
    pub fn cancel_sync(&self) -> bool {
        let Some((c, was)) = self.take_off() else {
            return false;
        };
        // Found off its base under the base's lock, under which a callback would have begun: pairs
        // with `begin` by that lock, and with `end` by release and acquire.
        c.clock.running.wait(core::ptr::from_ref(self).addr());
        was
    }

    /// The core where it is armed, or was armed last; `None` if never. Stale at once.
    pub(crate) fn core(&self) -> Option<CpuId> {
        let n = self.base.get();
        (n != Owner::NONE).then(|| CpuId::new(n as usize))
    }

    /// True while armed; stale at once unless the caller owns the timer.
    pub fn is_armed(&self) -> bool {
        self.with_base(|_, base| base.queue.is_armed(self.handle()))
            .unwrap_or(false)
    }

    /// As [`Self::is_armed`]; `None` if its base is locked for long, as by a core that does not go on.
    pub(crate) fn is_armed_soon(&self, patience: &Patience) -> Option<bool> {
        let try_base = |n: u32| {
            let c = cpu(CpuId::new(n as usize));
            patience.lock(|| c.timers.try_lock())
        };
        match self.base.try_lock(try_base) {
            None => Some(false),
            Some(base) => base.map(|(_, base)| base.queue.is_armed(self.handle())),
        }
    }
}

/// Timers that are armed at this moment, on all cores.
#[must_use]
pub fn armed() -> usize {
    crate::kernel()
        .cpus()
        .iter()
        .map(|c| c.timers.lock().queue.len())
        .sum()
}

/// By how much the latest of all timers that are due is late at time `now`. Cores that rest while the
/// machine is suspended serve none, and what came due meanwhile is late from the end of the rest on.
#[must_use]
pub fn lateness(now: Instant) -> Duration {
    let late = |c: &CpuLocal| {
        let awake = c.clock.awake_since()?;
        let due = c.timers.lock().queue.next()?;
        Some(now.since(due.max(awake).min(now)))
    };
    let each = crate::kernel().cpus().iter().filter_map(late);
    each.max().unwrap_or(Duration::ZERO)
}

/// What is wrong with core `c`'s timers, if anything.
pub(crate) fn check(c: &CpuLocal, locked: Locked) -> Result<(), &'static str> {
    let Some(base) = locked.take(&c.timers) else {
        return Ok(());
    };
    if base.queue.next().is_some() && !c.online.load(Ordering::Relaxed) {
        return Err("a core that is offline has armed timers");
    }
    base.queue.check()
}

/// Gives the timers of `from`, the running core, which goes offline, to core `to`. Interrupts are
/// masked and no callback runs, so nobody arms a timer here; others may cancel, and find each timer
/// armed either here or there.
pub(crate) fn move_all(from: &CpuLocal, to: &CpuLocal) {
    let (mut base, mut other) = loop {
        let base = from.timers.lock();
        // A base of the same rank: only tried, never waited for.
        if let Some(other) = to.timers.try_lock() {
            break (base, other);
        }
        drop(base);
        machine::relax();
    };
    while let Some(h) = base.queue.pop_expired(Instant::FOREVER) {
        let timer = core::ptr::with_exposed_provenance::<Timer>(h.raw());
        // SAFETY: an armed timer is alive, and the lock of the base that holds it is still held.
        let node = unsafe { (*timer).node.get() };
        // SAFETY: as above.
        let at = unsafe { (*node).deadline() };
        // SAFETY: as above.
        unsafe { (*timer).base.give(to.id().index() as u32) };
        other.queue.arm(h, at);
    }
    drop(other);
    drop(base);
    // The other core looks at its base and programs its own hardware.
    softirq::raise_on(to.id(), Vector::Timer);
}

/// TIMER softirq: runs the callbacks that are due on this core.
pub(crate) fn run_due() {
    let c = this_cpu();
    for _ in 0..BATCH {
        let irq = sync::IrqGuard::new();
        let mut base = c.timers.lock();
        let now = machine::now();
        let Some(h) = base.queue.pop_expired(now) else {
            c.clock
                .timer_due
                .set(base.queue.next().unwrap_or(Instant::FOREVER));
            c.clock.program();
            return;
        };
        let timer = core::ptr::with_exposed_provenance::<Timer>(h.raw());
        c.clock.running.begin(timer.addr());
        // SAFETY: an armed timer is alive, and the base lock is still held; `repr(C)` puts the node
        // first, so its handle is the timer's address.
        let callback = unsafe { (*timer).callback };
        // SAFETY: as above.
        let masked = unsafe { (*timer).masked };
        emit(
            Kind::TimerExpireEntry,
            head_of(callback),
            timer.addr() as u64,
            now.as_nanos(),
        );
        drop(base);
        let irq = masked.then_some(irq);
        // SAFETY: `arm`'s contract keeps the timer alive until its callback has started;
        // `cancel_sync` waits for `running`.
        callback(unsafe { &*timer });
        drop(irq);
        emit_unmasked(Kind::TimerExpireExit, Head::of(0), timer.addr() as u64, 0);
        c.clock.running.end();
    }
    // More may be due, or a callback arms itself for now: the softirq loop decides when to go on.
    softirq::raise(Vector::Timer);
}

/// What an event of a timer says of its callback.
#[inline(always)]
fn head_of(callback: fn(&Timer)) -> Head {
    with_function(Head::of(0), (callback as *const ()).addr())
}
