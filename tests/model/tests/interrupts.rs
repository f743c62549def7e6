//! One core and its interrupts: the shipped sections, interrupted between any two of their accesses.
//!
//! Not a matter of weak memory, but of moments: an interrupt comes before any access to the preempt
//! word, the pending softirqs or the flag, and two interrupts before any two. This crate plays the
//! seam for the shipped file, and the executive for its hooks, and tries every pair of moments.
//!
//! What the compiler may do is in it as well: a store is delayed past later loads of other words,
//! unless a compiler fence forbids it. Without those fences the same checks must fail.

extern crate self as machine;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use atomic::{AtomicBool, AtomicU32, Ordering};

#[path = "../../../kernel/sync/src/preempt.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the shipped file has more than the models need"
)]
// An expectation cannot be expected to fail.
#[allow(
    unfulfilled_lint_expectations,
    reason = "what is public in the shipped crate is not public here"
)]
mod preempt;

use preempt::{
    HardIrqGuard, IrqGuard, SoftirqGuard, bh_disable, in_hardirq, in_softirq, preempt_disable,
};

/// Atomics whose every access may be interrupted.
mod atomic {
    pub(crate) use std::sync::atomic::Ordering;

    use super::{core, point};

    #[derive(Default)]
    pub(crate) struct AtomicU32(std::sync::atomic::AtomicU32);

    impl AtomicU32 {
        pub(crate) fn load(&'static self, order: Ordering) -> u32 {
            point();
            match *core().delayed.borrow() {
                Some((to, value)) if std::ptr::eq(to, &raw const self.0) => value,
                _ => self.0.load(order),
            }
        }

        pub(crate) fn store(&'static self, value: u32, _: Ordering) {
            point();
            flush();
            *core().delayed.borrow_mut() = Some((&self.0, value));
        }
    }

    pub(crate) type PlainU32 = AtomicU32;

    #[derive(Default)]
    pub(crate) struct AtomicBool(AtomicU32);

    impl AtomicBool {
        pub(crate) fn load(&'static self, order: Ordering) -> bool {
            self.0.load(order) != 0
        }
        pub(crate) fn store(&'static self, value: bool, order: Ordering) {
            self.0.store(u32::from(value), order);
        }
    }

    /// Makes the delayed store visible.
    pub(crate) fn flush() {
        if let Some((to, value)) = core().delayed.take() {
            to.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn compiler_fence(_: Ordering) {
        if core().fences {
            flush();
        }
    }
}

/// The seam's constants and types; the layout is `machine::PreemptWord`'s.
pub(crate) struct PreemptWord;

impl PreemptWord {
    pub(crate) const PREEMPT: u32 = 1;
    pub(crate) const SOFTIRQ_SERVING: u32 = 1 << 8;
    pub(crate) const BH_OFF: u32 = 2 << 8;
    pub(crate) const SOFTIRQ_MASK: u32 = 0xff << 8;
    pub(crate) const HARDIRQ: u32 = 1 << 16;
    pub(crate) const HARDIRQ_MASK: u32 = 0xf << 16;
}

#[derive(Debug)]
pub(crate) struct IrqState(bool);

impl IrqState {
    pub(crate) const fn new(was_enabled: bool) -> Self {
        Self(was_enabled)
    }

    pub(crate) fn was_enabled(&self) -> bool {
        self.0
    }
}

pub(crate) struct Hooks {
    resched: fn(),
    softirq: fn(),
}

#[derive(Default)]
pub(crate) struct HeldLocks;

impl HeldLocks {
    pub(crate) const fn enter(&self) -> usize {
        0
    }
    pub(crate) const fn leave(&self, _: usize) {}
}

/// The core, its running thread, and the plan of its interrupts.
pub(crate) struct Core {
    pub(crate) preempt: AtomicU32,
    pub(crate) need_resched: AtomicBool,
    pub(crate) softirq_pending: AtomicU32,
    pub(crate) hooks: Hooks,
    pub(crate) held: HeldLocks,
    masked: Cell<bool>,
    delayed: RefCell<Option<(&'static std::sync::atomic::AtomicU32, u32)>>,
    fences: bool,
    /// Moments so far, and those at which an interrupt comes.
    now: Cell<u32>,
    plan: [u32; 2],
    taken: Cell<usize>,
    /// What softirqs change together.
    pair: [AtomicU32; 2],
    switches: Cell<u32>,
}

thread_local! {
    static CORE: Cell<Option<&'static Core>> = const { Cell::new(None) };
}

fn core() -> &'static Core {
    CORE.get().expect("a model runs")
}

pub(crate) fn current() -> &'static Core {
    core()
}

pub(crate) fn percpu() -> &'static Core {
    core()
}

pub(crate) fn irqs_masked() -> bool {
    core().masked.get()
}

pub(crate) fn irq_save() -> IrqState {
    atomic::flush();
    IrqState(!core().masked.replace(true))
}

pub(crate) fn irq_disable() {
    irq_save();
}

pub(crate) fn irq_enable() {
    atomic::flush();
    core().masked.set(false);
    point();
}

/// A moment at which an interrupt may come.
fn point() {
    let c = core();
    c.now.set(c.now.get() + 1);
    let due = c
        .plan
        .get(c.taken.get())
        .is_some_and(|&at| at <= c.now.get());
    if due && !c.masked.get() {
        c.taken.set(c.taken.get() + 1);
        let delayed = c.delayed.take();
        interrupt();
        *c.delayed.borrow_mut() = delayed;
    }
}

/// What the vectors and the executive's interrupt entry and exit do: a handler that raises a
/// softirq and wakes somebody, pending softirqs, preemption.
fn interrupt() {
    let c = core();
    c.masked.set(true);
    let context = HardIrqGuard::new();
    c.softirq_pending.store(1, Ordering::Relaxed);
    c.need_resched.store(true, Ordering::Relaxed);
    drop(context);
    if !in_hardirq() && !in_softirq() {
        softirqs();
    }
    if c.preempt.load(Ordering::Relaxed) == 0 && c.need_resched.load(Ordering::Relaxed) {
        switch();
    }
    atomic::flush();
    c.masked.set(false);
}

/// The softirq loop, and the hook of the outermost BH-off section's end; masked on entry and on return.
fn softirqs() {
    let c = core();
    while c.softirq_pending.load(Ordering::Relaxed) != 0 {
        let serving = SoftirqGuard::new();
        c.softirq_pending.store(0, Ordering::Relaxed);
        irq_enable();
        for word in &c.pair {
            word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        irq_save();
        drop(serving);
    }
}

/// The scheduler; masked.
fn switch() {
    let c = core();
    assert_eq!(
        c.preempt.load(Ordering::Relaxed),
        0,
        "preempted in a section"
    );
    c.need_resched.store(false, Ordering::Relaxed);
    c.switches.set(c.switches.get() + 1);
}

/// Hook: a section ends with a reschedule due.
fn resched() {
    irq_save();
    switch();
    irq_enable();
}

/// Runs `body` with interrupts at these moments; true if the last one came before it was over.
fn run(plan: [u32; 2], fences: bool, body: fn()) -> bool {
    CORE.set(Some(Box::leak(Box::new(Core {
        preempt: AtomicU32::default(),
        need_resched: AtomicBool::default(),
        softirq_pending: AtomicU32::default(),
        hooks: Hooks {
            resched,
            softirq: softirqs,
        },
        held: HeldLocks,
        masked: Cell::new(false),
        delayed: RefCell::new(None),
        fences,
        now: Cell::new(0),
        plan,
        taken: Cell::new(0),
        pair: Default::default(),
        switches: Cell::new(0),
    }))));
    body();
    let c = core();
    let taken = c.taken.replace(2);
    atomic::flush();
    let order = Ordering::Relaxed;
    assert_eq!(c.preempt.load(order), 0, "a section stayed open");
    assert!(!c.masked.get(), "interrupts stayed masked");
    assert_eq!(
        c.softirq_pending.load(order),
        0,
        "a softirq was left behind"
    );
    assert!(!c.need_resched.load(order), "a reschedule was left behind");
    if taken > 0 {
        assert!(c.switches.get() > 0, "nobody was switched to");
    }
    taken == 2
}

/// Every pair of moments, until both lie behind the end.
fn every_moment(fences: bool, body: fn()) {
    let mut pairs = 0;
    for first in 1.. {
        let mut any = false;
        for second in first.. {
            if !run([first, second], fences, body) {
                break;
            }
            any = true;
            pairs += 1;
        }
        if !any {
            break;
        }
    }
    assert!(pairs > 10, "only {pairs} pairs of moments");
}

fn must_fail(body: fn()) {
    let result = catch_unwind(AssertUnwindSafe(|| every_moment(false, body)));
    assert!(result.is_err(), "the model passes without compiler fences");
}

/// Reads what softirqs change together.
fn look() {
    let c = core();
    let [a, b] = [0, 1].map(|i| c.pair[i].load(Ordering::Relaxed));
    assert_eq!(a, b, "a softirq ran in the middle of a BH-off section");
}

#[test]
fn bh_off_keeps_softirqs_out_and_loses_none() {
    fn body() {
        let bh = bh_disable();
        look();
        drop(bh);
    }
    every_moment(true, body);
    must_fail(body);
}

#[test]
fn only_the_outermost_bh_section_runs_them() {
    fn body() {
        let outer = bh_disable();
        drop(bh_disable());
        look();
        drop(outer);
    }
    every_moment(true, body);
    must_fail(body);
}

#[test]
fn the_end_of_the_last_section_reschedules() {
    fn body() {
        let outer = preempt_disable();
        let bh = bh_disable();
        look();
        drop(bh);
        drop(preempt_disable());
        drop(outer);
    }
    every_moment(true, body);
}

#[test]
fn masked_sections_reschedule_when_they_end() {
    fn body() {
        let irq = IrqGuard::new();
        drop(IrqGuard::new());
        look();
        drop(irq);
        let preempt = preempt_disable();
        let irq = IrqGuard::new();
        drop(irq);
        drop(preempt);
    }
    every_moment(true, body);
}
