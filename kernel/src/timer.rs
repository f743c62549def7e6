//! Timers, and the one hardware timer per core they share with the scheduler's slice.
//!
//! Every core has one one-shot comparator. Four things want it: the end of the running thread's
//! slice, the end of the CPU budget of the work item it executes (E14), the end of a worker's patience
//! with the core, and the core's first armed timer. It is set to the earliest, and left alone when what it is set for moves back: it then
//! fires once for nothing and is set anew. So a core that switches often touches its timer about
//! once per slice, not at every switch; one that falls idle gets at most one interrupt more.
//!
//! A due timer raises the TIMER softirq; callbacks run there, in BH context, on the core whose base
//! holds the timer, without the base's lock, so a callback may arm and cancel timers (also itself).
//! A timer that is armed on another core while its callback runs stays with the core of the callback:
//! so [`Timer::cancel_sync`] has one core to look at, the one that the timer names.
//!
//! Arm, re-arm and cancel are O(log n) and never allocate: the node is inside the timer.
#![expect(unsafe_code, reason = "timers are intrusive nodes owned by others")]

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use links::{Direct, Handle};
use machine::{CpuId, Duration, Instant};
use sync::SpinGuard;
use sync::handshake::{Owner, Running};
use timer::{TimerNode, TimerQueue};

use crate::audit::Locked;
use crate::cpu::{CpuLocal, cpu, this_cpu};
use crate::softirq::{self, Vector};
use crate::thread;
use crate::trace::{Head, Kind, emit, emit_unmasked, name};

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

/// [`CoreClock::went_on`] of a core that rests.
const AT_REST: u64 = u64::MAX;

/// What a core's hardware timer is set to and why. `[C]` but `running`.
pub(crate) struct CoreClock {
    slice_end: Cell<Instant>,
    /// When the budget of the item that the running worker executes ends, if it keeps the core.
    budget_end: Cell<Instant>,
    /// When a worker may have waited for the core for long: a time that [`Self::program`], which every
    /// switch calls, has no eye on; it is set when it comes up, and again when the timer has fired.
    watch_due: Cell<Instant>,
    timer_due: Cell<Instant>,
    programmed: Cell<Instant>,
    /// When the core last went on after [`Self::hold`], in nanoseconds; [`AT_REST`] until it does.
    went_on: AtomicU64,
    /// Address of the timer whose callback runs on this core, for `cancel_sync`.
    running: Running,
}

impl CoreClock {
    pub(crate) const fn new() -> Self {
        Self {
            slice_end: Cell::new(Instant::FOREVER),
            budget_end: Cell::new(Instant::FOREVER),
            watch_due: Cell::new(Instant::FOREVER),
            timer_due: Cell::new(Instant::FOREVER),
            programmed: Cell::new(Instant::FOREVER),
            went_on: AtomicU64::new(0),
            running: Running::new(),
        }
    }

    /// The core starts: nothing is programmed. Interrupts are masked.
    pub(crate) fn reset(&self) {
        for at in [
            &self.slice_end,
            &self.budget_end,
            &self.watch_due,
            &self.timer_due,
            &self.programmed,
        ] {
            at.set(Instant::FOREVER);
        }
    }

    /// Notes when the running thread's slice ends; interrupts are masked.
    #[inline]
    pub(crate) fn set_slice_end(&self, at: Option<Instant>) {
        self.slice_end.set(at.unwrap_or(Instant::FOREVER));
    }

    /// The running worker may use the core for `budget`, from now on; interrupts are masked.
    #[inline(always)]
    pub(crate) fn start_budget(&self, budget: Duration) {
        let end = machine::now() + budget;
        self.budget_end.set(end);
        if end < self.programmed.get() {
            self.set_hardware(end);
        }
    }

    /// The running worker's budget counts no more; interrupts are masked.
    #[inline(always)]
    pub(crate) fn end_budget(&self) {
        self.budget_end.set(Instant::FOREVER);
    }

    /// At a switch: `prev` keeps what is left of its budget, `next` goes on with what it has left.
    /// Interrupts are masked.
    #[inline(always)]
    pub(crate) fn switch_budget(&self, prev: &Cell<Duration>, next: &Cell<Duration>, now: Instant) {
        let end = self.budget_end.get();
        prev.set(if end == Instant::FOREVER {
            Duration::MAX
        } else {
            end.since(now)
        });
        self.budget_end.set(now + next.get());
    }

    /// Sets the hardware timer if it would fire too late; interrupts are masked.
    #[inline]
    pub(crate) fn program(&self) {
        let at = self
            .slice_end
            .get()
            .min(self.timer_due.get())
            .min(self.budget_end.get());
        if at < self.programmed.get() {
            self.set_hardware(at);
        }
    }

    /// At time `due` at the latest [`wq::preempted`](crate::wq::preempted) looks who has waited for the
    /// core; interrupts are masked.
    pub(crate) fn watch(&self, due: Instant) {
        self.watch_due.set(due.min(self.watch_due.get()));
        if due < self.programmed.get() {
            self.set_hardware(due);
        }
    }

    /// As [`Self::program`], with [`Self::watch`]'s time.
    fn program_all(&self) {
        self.program();
        if self.watch_due.get() < self.programmed.get() {
            self.set_hardware(self.watch_due.get());
        }
    }

    /// The machine sleeps: the hardware timer is for `until` only, whatever is due before. Interrupts
    /// are masked.
    pub(crate) fn hold(&self, until: Instant) {
        self.went_on.store(AT_REST, Ordering::Relaxed);
        self.programmed.set(Instant::FOREVER);
        if until == Instant::FOREVER {
            machine::cancel_timer();
        } else {
            machine::arm_timer(until);
        }
    }

    /// When the core last went on after a rest, `None` between [`Self::hold`] and [`Self::go_on`]. What
    /// was due before is late since then only. Any core may ask.
    pub(crate) fn awake_since(&self) -> Option<Instant> {
        match self.went_on.load(Ordering::Relaxed) {
            AT_REST => None,
            at => Some(Instant::from_nanos(at)),
        }
    }

    /// Undoes [`Self::hold`].
    pub(crate) fn go_on(&self) {
        self.went_on
            .store(machine::now().as_nanos(), Ordering::Relaxed);
        self.programmed.set(Instant::FOREVER);
        machine::cancel_timer();
        self.program_all();
    }

    // The rare case, and the only place that sets the timer: the seam's call becomes instructions here.
    #[inline(never)]
    fn set_hardware(&self, at: Instant) {
        self.programmed.set(at);
        machine::arm_timer(at);
    }
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
        emit(Kind::TimerStart, Head::of(0), name(self), at.as_nanos());
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

/// The earliest time for which any core has a timer armed.
#[must_use]
pub fn earliest() -> Option<Instant> {
    let each = crate::kernel().cpus().iter();
    each.filter_map(|c| c.timers.lock().queue.next()).min()
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

/// The hardware timer fired; hard-interrupt context.
pub(crate) fn interrupt() {
    let c = this_cpu();
    let now = machine::now();
    c.clock.programmed.set(Instant::FOREVER);
    if c.clock.slice_end.get() <= now {
        crate::schedule::slice_timer(now);
    }
    if c.clock.budget_end.get() <= now {
        c.clock.end_budget();
        crate::wq::hooks::worker_over_budget(thread::current());
    }
    if c.clock.watch_due.get() <= now {
        c.clock.watch_due.set(Instant::FOREVER);
        crate::wq::preempted::time_is_over(now);
    }
    if c.clock.timer_due.get() <= now {
        // Off until the softirq has looked: it reprograms.
        c.clock.timer_due.set(Instant::FOREVER);
        softirq::raise(Vector::Timer);
    }
    c.clock.program_all();
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
            Head::of(0),
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
