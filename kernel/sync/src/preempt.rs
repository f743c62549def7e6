//! Preemption-off, BH-off and interrupt-off sections, counted in the thread's preempt word.
//!
//! The layout of the word and why it lives in the thread: [`machine::PreemptWord`]. Every section
//! is a guard, so that it cannot be left open; guards are not `Send`.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;

use machine::{IrqState, PreemptWord};

use crate::atomic::{Ordering, PlainU32, compiler_fence};

type NotSend = PhantomData<*const ()>;

#[inline(always)]
fn word() -> &'static PlainU32 {
    &machine::current().preempt
}

// The word is the core's own, and an interrupt leaves it as it found it, so it needs no atomic
// update; but the compiler must not move what a section protects out of the section.

#[inline(always)]
fn add(units: u32) -> u32 {
    let w = word();
    let v = w.load(Ordering::Relaxed) + units;
    w.store(v, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    v
}

#[inline(always)]
fn sub(units: u32) -> u32 {
    compiler_fence(Ordering::SeqCst);
    let w = word();
    let v = w.load(Ordering::Relaxed) - units;
    w.store(v, Ordering::Relaxed);
    v
}

/// The running thread's preempt word.
#[inline(always)]
#[must_use]
pub fn preempt_word() -> u32 {
    word().load(Ordering::Relaxed)
}

/// Ends the sections that somebody opened since the preempt word was `before` and left open. For a
/// caller that repairs what others forgot: guards that still live must not be dropped afterwards.
pub fn restore_preempt_word(before: u32) {
    word().store(before, Ordering::Relaxed);
}

/// True inside a hard-interrupt handler.
#[inline(always)]
#[must_use]
pub fn in_hardirq() -> bool {
    preempt_word() & PreemptWord::HARDIRQ_MASK != 0
}

/// True while BH is off, which includes serving a softirq.
#[inline(always)]
#[must_use]
pub fn in_softirq() -> bool {
    preempt_word() & PreemptWord::SOFTIRQ_MASK != 0
}

/// True where softirqs are not run at once: inside a hard-interrupt handler, and while BH is off.
#[inline(always)]
#[must_use]
pub fn holds_softirqs_up() -> bool {
    preempt_word() & (PreemptWord::HARDIRQ_MASK | PreemptWord::SOFTIRQ_MASK) != 0
}

/// True while serving a softirq on this core (S9).
#[inline(always)]
#[must_use]
pub fn serving_softirq() -> bool {
    preempt_word() & PreemptWord::SOFTIRQ_SERVING != 0
}

/// True where sleeping is a bug: preemption, BH or interrupts are off.
#[must_use]
pub fn in_atomic() -> bool {
    preempt_word() != 0 || machine::irqs_masked()
}

/// Reschedules now if that is due and allowed here; otherwise whoever ends the section does.
#[inline(always)]
pub fn resched_if_due() {
    // First what is almost never true. Whether this is still the core it was asked of is looked at by the
    // hook; a core that is asked to reschedule is interrupted or asks itself.
    if machine::percpu().need_resched.load(Ordering::Relaxed) {
        resched_if_allowed();
    }
}

/// As [`resched_if_due`], where interrupts are on.
#[inline(always)]
fn resched_if_due_enabled() {
    if machine::percpu().need_resched.load(Ordering::Relaxed) {
        resched_if_preemptible();
    }
}

/// It is due: does it, where that is allowed; interrupts are on.
#[cold]
#[inline(never)]
fn resched_if_preemptible() {
    if preempt_word() == 0 {
        (machine::percpu().hooks.resched)();
    }
}

/// It is due: does it, where that is allowed.
#[cold]
#[inline(never)]
fn resched_if_allowed() {
    if preempt_word() == 0 && !machine::irqs_masked() {
        // If it was another core, this one picks what runs already.
        (machine::percpu().hooks.resched)();
    }
}

/// Keeps this thread on its core. Sleeping inside is a bug.
#[derive(Debug)]
#[must_use = "preemption is off only while the guard lives"]
pub struct PreemptGuard(NotSend);

/// Turns preemption off.
#[inline(always)]
pub fn preempt_disable() -> PreemptGuard {
    add(PreemptWord::PREEMPT);
    PreemptGuard(PhantomData)
}

impl Drop for PreemptGuard {
    #[inline(always)]
    fn drop(&mut self) {
        if sub(PreemptWord::PREEMPT) == 0 {
            resched_if_due();
        }
    }
}

/// Keeps softirqs (BH work, timers) from running on this core; implies preemption off (S9).
#[derive(Debug)]
#[must_use = "BH is off only while the guard lives"]
pub struct BhGuard(NotSend);

/// Turns BH off. The outermost guard's drop runs what was raised meanwhile.
#[inline(always)]
pub fn bh_disable() -> BhGuard {
    add(PreemptWord::BH_OFF);
    BhGuard(PhantomData)
}

impl Drop for BhGuard {
    #[inline]
    fn drop(&mut self) {
        let word = word();
        let w = word.load(Ordering::Relaxed);
        let outermost = w & PreemptWord::SOFTIRQ_MASK == PreemptWord::BH_OFF
            && w & PreemptWord::HARDIRQ_MASK == 0;
        if !outermost {
            sub(PreemptWord::BH_OFF);
            return;
        }
        debug_assert!(
            !machine::irqs_masked(),
            "BH enabled with interrupts masked (S13)"
        );
        // S9: pending softirqs run with preemption still off. BH is on *before* the look at the
        // pending bits: an interrupt that raises one after the look runs it itself on its way out.
        // The other way round, one that came between the look and the enabling would be lost.
        word.store(
            w - PreemptWord::BH_OFF + PreemptWord::PREEMPT,
            Ordering::Relaxed,
        );
        compiler_fence(Ordering::SeqCst);
        let cpu = machine::percpu();
        if cpu.softirq_pending.load(Ordering::Relaxed) != 0 && !machine::irqs_masked() {
            machine::irq_disable();
            (cpu.hooks.softirq)();
            machine::irq_enable();
        }
        if sub(PreemptWord::PREEMPT) == 0 {
            resched_if_due();
        }
    }
}

/// A context on top of what was interrupted: the locks held there say nothing of those taken here. Only builds
/// that check the lock order note any.
#[derive(Debug)]
struct OtherLocks(usize);

impl OtherLocks {
    #[inline(always)]
    fn enter() -> Self {
        Self(if cfg!(debug_assertions) {
            machine::percpu().held.enter()
        } else {
            0
        })
    }

    #[inline(always)]
    fn leave(&self) {
        if cfg!(debug_assertions) {
            machine::percpu().held.leave(self.0);
        }
    }
}

/// Marks a softirq being served; made by the executive's softirq loop only.
#[derive(Debug)]
#[must_use = "the mark lasts while the guard lives"]
pub struct SoftirqGuard {
    _not_send: NotSend,
    locks: OtherLocks,
    word: u32,
}

impl SoftirqGuard {
    /// Enters softirq context on this core.
    #[inline(always)]
    #[expect(
        clippy::new_without_default,
        reason = "entering a context is not a default value"
    )]
    pub fn new() -> Self {
        Self {
            _not_send: PhantomData,
            word: add(PreemptWord::SOFTIRQ_SERVING),
            locks: OtherLocks::enter(),
        }
    }

    /// The preempt word since then, where no section is open that began later.
    #[inline(always)]
    #[must_use]
    pub const fn word(&self) -> u32 {
        self.word
    }
}

impl Drop for SoftirqGuard {
    #[inline(always)]
    fn drop(&mut self) {
        self.locks.leave();
        sub(PreemptWord::SOFTIRQ_SERVING);
    }
}

/// Marks a hard interrupt being handled; made by the executive's interrupt entry only.
#[derive(Debug)]
#[must_use = "the mark lasts while the guard lives"]
pub struct HardIrqGuard(NotSend, OtherLocks);

impl HardIrqGuard {
    /// Enters hard-interrupt context on this core, with interrupts masked.
    #[inline(always)]
    #[expect(
        clippy::new_without_default,
        reason = "entering a context is not a default value"
    )]
    pub fn new() -> Self {
        add(PreemptWord::HARDIRQ);
        Self(PhantomData, OtherLocks::enter())
    }
}

impl Drop for HardIrqGuard {
    #[inline(always)]
    fn drop(&mut self) {
        self.1.leave();
        sub(PreemptWord::HARDIRQ);
    }
}

/// Keeps interrupts masked on this core.
#[derive(Debug)]
#[must_use = "interrupts are masked only while the guard lives"]
pub struct IrqGuard {
    state: IrqState,
    _not_send: NotSend,
}

impl IrqGuard {
    /// For a section within one that masks interrupts already: nothing is saved, nothing put back.
    #[inline(always)]
    pub(crate) fn within() -> Self {
        debug_assert!(machine::irqs_masked(), "a section within none");
        Self {
            state: IrqState::new(false),
            _not_send: PhantomData,
        }
    }

    /// As [`Self::new`], where interrupts are on, which need not be saved then.
    #[inline(always)]
    pub(crate) fn of_enabled() -> Self {
        debug_assert!(!machine::irqs_masked(), "interrupts are masked");
        machine::irq_disable();
        Self::known()
    }

    /// Of a section within which interrupts are masked, and which began where they were on.
    #[inline(always)]
    pub(crate) fn known() -> Self {
        Self {
            state: IrqState::new(true),
            _not_send: PhantomData,
        }
    }

    /// Interrupts were on where it began.
    pub(crate) fn began_enabled(&self) -> bool {
        self.state.was_enabled()
    }

    /// Masks interrupts.
    #[inline(always)]
    #[expect(
        clippy::new_without_default,
        reason = "masking interrupts is not a default value"
    )]
    pub fn new() -> Self {
        Self {
            state: machine::irq_save(),
            _not_send: PhantomData,
        }
    }
}

impl IrqGuard {
    /// Ends the section, in which nobody was woken, without asking whether to reschedule: nothing in it made that due. A
    /// request of another core, or one made before the section, is answered by the interrupt that comes with it, or by
    /// whoever ends the section that held it up.
    #[inline(always)]
    pub fn end_quietly(self) {
        let guard = ManuallyDrop::new(self);
        if guard.state.was_enabled() {
            machine::irq_enable();
        }
    }
}

impl Drop for IrqGuard {
    #[inline(always)]
    fn drop(&mut self) {
        if self.state.was_enabled() {
            machine::irq_enable();
            resched_if_due_enabled();
        }
    }
}
