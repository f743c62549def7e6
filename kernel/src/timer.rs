//! Timers, and the one hardware timer per core they share with the scheduler's slice.
//!
//! What the hardware timer is set to is told in `timer/clock.rs`; `timer/look.rs` is for who looks at timers.
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

use links::{Direct, Handle};
use machine::{CpuId, Instant};
use sync::handshake::Home;
use sync::{IrqGuard, SpinGuard, SpinLock};
use timer::{TimerNode, TimerQueue};

use crate::cpu::{CpuLocal, this_cpu};
use crate::softirq::{self, Vector};
use crate::soon::Patience;
use crate::trace::{
    Head, Kind, emit, emit_unmasked, name, record_shown, shown, shown_on, with_function,
};

mod clock;
mod look;

pub(crate) use self::clock::{CoreClock, Kept as KeptBudget, NO_BUDGET, interrupt};
pub(crate) use self::look::check;
pub use self::look::{armed, lateness};

/// Most callbacks in one run of the TIMER softirq.
const BATCH: usize = 32;

/// A core's armed timers.
#[derive(Debug)]
pub(crate) struct TimerBase {
    queue: TimerQueue<Direct<TimerNode>>,
}

impl TimerBase {
    pub(crate) const fn new() -> Self {
        // SAFETY: a node is reached only through the base named by its timer's `home`, under that
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

/// A one-shot timer, embedded in what it belongs to.
#[repr(C)]
pub struct Timer {
    node: UnsafeCell<TimerNode>,
    callback: fn(&Timer),
    /// The core whose base holds the node while armed; afterwards where it was last armed, which is where
    /// its callback runs if that is still going on.
    home: Home<CpuLocal>,
    /// The callback runs with interrupts masked, from the moment the timer leaves its base.
    masked: bool,
}

// SAFETY: the node is touched only under the lock of the base of the core that is `home`.
unsafe impl Sync for Timer {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Timer {}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer")
            .field("core", &self.core())
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
            home: Home::new(core::ptr::null_mut()),
            masked: false,
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

    /// Locks the base that holds the node, or held it last; `None` if it was never armed. Interrupts are
    /// masked. The home changes only under the lock of the base it names, so whoever holds that lock and
    /// finds it unchanged can rely on it.
    #[inline(always)]
    fn lock_base(&self) -> Option<(&'static CpuLocal, SpinGuard<'static, TimerBase>)> {
        let (c, base) = self
            .home
            .try_lock(|c| Some(core_at(c)?.timers.lock_masked()))?;
        Some((core_at(c)?, base))
    }

    /// As [`Self::lock_base`], if that is the base of core `here`, the running one, and `lock` gets its lock.
    #[inline(always)]
    fn lock_here(
        &self,
        here: &'static CpuLocal,
        lock: impl FnOnce(&'static SpinLock<TimerBase>) -> Option<SpinGuard<'static, TimerBase>>,
    ) -> Option<SpinGuard<'static, TimerBase>> {
        let base = lock(&here.timers)?;
        if self.home.is(here) { Some(base) } else { None }
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
        let irq = IrqGuard::new();
        // SAFETY: promised by the caller.
        unsafe { self.arm_masked(at) };
        drop(irq);
    }

    /// As [`Self::arm`], with interrupts masked.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(crate) unsafe fn arm_masked(&self, at: Instant) {
        let here = this_cpu();
        if !self.arm_quickly(here, at) {
            self.arm_in_any_case(here, at);
        }
    }

    /// As [`Self::arm_masked`], in the usual case: `here`, the running core, is its home, the hardware timer fires
    /// early enough, and there is nothing to wait for. False: nothing happened.
    #[inline(always)]
    fn arm_quickly(&self, here: &'static CpuLocal, at: Instant) -> bool {
        if here.clock.must_know(at) {
            return false;
        }
        match self.lock_here(here, SpinLock::try_lock_masked) {
            Some(mut base) => {
                let armed = base.queue.arm_quickly(self.handle(), at);
                if armed {
                    self.tell_start(here, at);
                }
                armed
            }
            None => false,
        }
    }

    /// As [`Self::arm_masked`]. A timer that has another home comes from there, disarmed; where another core fetches it
    /// meanwhile it comes from there.
    #[inline(never)]
    fn arm_in_any_case(&self, here: &'static CpuLocal, at: Instant) {
        let to = core::ptr::from_ref(here).cast_mut();
        loop {
            if let Some(mut base) = self.lock_here(here, |base| Some(base.lock_masked())) {
                return self.arm_in(&mut base, here, at);
            }
            let Some((c, mut base)) = self.lock_base() else {
                let _ = self.home.claim(to);
                continue;
            };
            // `begin` was under this lock. After `end` the callback's core takes it once more, and looks at
            // its base.
            if c.clock.running.is(core::ptr::from_ref(self).addr()) {
                self.tell_start(here, at);
                base.queue.arm(self.handle(), at);
                return;
            }
            base.queue.cancel(self.handle());
            self.home.move_to(to);
        }
    }

    /// Puts the timer in `base`, that of core `here`, the running one, which is its home.
    #[inline(always)]
    fn arm_in(&self, base: &mut TimerBase, here: &CpuLocal, at: Instant) {
        self.tell_start(here, at);
        base.queue.arm(self.handle(), at);
        here.clock.set_timer_due(at);
    }

    #[inline(always)]
    fn tell_start(&self, here: &CpuLocal, at: Instant) {
        if shown_on(here, Kind::TimerStart) {
            record_shown(
                Kind::TimerStart,
                head_of(self.callback),
                name(self),
                at.as_nanos(),
            );
        }
    }

    /// Puts the timer off to `at` if it is armed on the running core and `agreed` says so, under the lock of the base:
    /// nobody disarms it meanwhile, and it does not fire. False: nothing happened. Interrupts are masked.
    #[inline(always)]
    pub(crate) fn put_off(&self, at: Instant, agreed: impl FnOnce() -> bool) -> bool {
        let here = this_cpu();
        let Some(mut base) = self.lock_here(here, |base| Some(base.lock_masked())) else {
            return false;
        };
        let agreed = base.queue.is_armed(self.handle()) && agreed();
        if agreed {
            self.arm_in(&mut base, here, at);
        }
        agreed
    }

    /// Disarms the timer. True if it was armed, in which case the callback will not run. Any
    /// context.
    pub fn cancel(&self) -> bool {
        let _irq = IrqGuard::new();
        self.cancel_masked()
    }

    /// As [`Self::cancel`], with interrupts masked.
    #[inline(always)]
    pub(crate) fn cancel_masked(&self) -> bool {
        self.take_off().is_some_and(|(_, was)| was)
    }

    /// Disarms the timer: the core whose base held it last, and whether it was armed; `None` if it
    /// never was. Interrupts are masked.
    #[inline(always)]
    fn take_off(&self) -> Option<(&'static CpuLocal, bool)> {
        // The hardware timer stays programmed: an early interrupt finds nothing due and reprograms.
        let (c, mut base) = self.lock_base()?;
        let was = base.queue.cancel(self.handle());
        if was && shown(Kind::TimerCancel) {
            record_shown(Kind::TimerCancel, Head::of(0), name(self), 0);
        }
        Some((c, was))
    }

    /// Disarms the timer and waits until a callback running on another core is over. Spins; from
    /// BH context only if the callback does not wait for the caller. True if it was armed.
    ///
    /// A callback that re-arms the timer must be stopped by its own means first.
    pub fn cancel_sync(&self) -> bool {
        let irq = IrqGuard::new();
        let found = self.take_off();
        drop(irq);
        let Some((c, was)) = found else {
            return false;
        };
        // Found off its base under the base's lock, under which a callback would have begun: pairs
        // with `begin` by that lock, and with `end` by release and acquire.
        c.clock.running.wait(core::ptr::from_ref(self).addr());
        was
    }

    /// The core where it is armed, or was armed last; `None` if never. Stale at once.
    pub(crate) fn core(&self) -> Option<CpuId> {
        core_at(self.home.get()).map(CpuLocal::id)
    }

    /// True while armed; stale at once unless the caller owns the timer.
    pub fn is_armed(&self) -> bool {
        let _irq = IrqGuard::new();
        self.lock_base()
            .is_some_and(|(_, base)| base.queue.is_armed(self.handle()))
    }

    /// As [`Self::is_armed`]; `None` if its base is locked for long, as by a core that does not go on.
    pub(crate) fn is_armed_soon(&self, patience: &Patience) -> Option<bool> {
        if self.home.get().is_null() {
            return Some(false);
        }
        let try_base = |c| patience.lock(|| core_at(c)?.timers.try_lock());
        let (_, base) = self.home.try_lock(try_base)?;
        Some(base.queue.is_armed(self.handle()))
    }
}

/// The core at an address that is a timer's home; `None` for no home.
#[inline(always)]
fn core_at(home: *mut CpuLocal) -> Option<&'static CpuLocal> {
    // SAFETY: a home is given by reference to a core, which lives for ever.
    unsafe { home.as_ref() }
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
        unsafe { (*timer).home.move_to(core::ptr::from_ref(to).cast_mut()) };
        other.queue.arm(h, at);
    }
    drop(other);
    drop(base);
    // The other core looks at its base and programs its own hardware.
    softirq::raise_on(to.id(), Vector::Timer);
}

/// TIMER softirq: runs the callbacks that are due on this core.
#[inline(never)]
pub(crate) fn run_due() {
    let c = this_cpu();
    for _ in 0..BATCH {
        let irq = IrqGuard::new();
        let mut base = c.timers.lock_masked();
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
