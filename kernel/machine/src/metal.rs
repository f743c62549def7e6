//! Metal backend: hot calls as inline AArch64 instructions, cold calls as link-time symbols.
//!
//! Register use (Arm ARM D19.2): `TPIDR_EL1` holds this core's [`CpuHeader`], `SP_EL0` the running
//! thread's [`ThreadHeader`] (the executive runs at EL1 on `SP_EL1`, so `SP_EL0` is free), `DAIF.I`
//! masks interrupts.
#![expect(
    unsafe_code,
    reason = "system registers and symbols of the architecture crate"
)]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use crate::{
    Context, CpuHeader, CpuId, Duration, Instant, IntId, Interrupt, IrqState, Protection,
    StartError, ThreadHeader,
};

/// This core's header. The answer is stale as soon as the thread can migrate: keep preemption or
/// interrupts off while it is used.
#[inline(always)]
#[must_use]
pub fn percpu() -> &'static CpuHeader {
    let p: *const CpuHeader;
    // SAFETY: reads a register; boot code put the address of a live header there before any Rust
    // code that can reach this.
    unsafe {
        asm!("mrs {}, tpidr_el1", out(reg) p, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: see above; headers live as long as the system.
    unsafe { &*p }
}

/// Installs this core's header.
///
/// # Safety
///
/// Called once per core, with a header that lives as long as the system.
pub unsafe fn set_percpu(header: &'static CpuHeader) {
    // SAFETY: writes a register that only `percpu` reads.
    unsafe {
        asm!("msr tpidr_el1, {}", in(reg) header, options(nostack, preserves_flags));
    }
}

/// The running thread's header. Stays valid across migration.
#[inline(always)]
#[must_use]
pub fn current() -> &'static ThreadHeader {
    let p: *const ThreadHeader;
    // SAFETY: reads a register; boot code and the switch keep a live header there.
    unsafe {
        asm!("mrs {}, sp_el0", out(reg) p, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: see above; a thread's header outlives its running.
    unsafe { &*p }
}

/// Makes `header` the running thread's header.
///
/// # Safety
///
/// Only the switch protocol calls this, with interrupts masked, directly before [`switch`] to that
/// thread (or once at boot for the boot thread).
#[inline(always)]
pub unsafe fn set_current(header: *const ThreadHeader) {
    // SAFETY: writes a register that only `current` and the vectors read.
    unsafe {
        asm!("msr sp_el0, {}", in(reg) header, options(nostack, preserves_flags));
    }
}

/// Masks interrupts and says whether they were enabled.
#[inline(always)]
pub fn irq_save() -> IrqState {
    let daif: u64;
    // SAFETY: masking interrupts is always sound; without `nomem` no access moves across it.
    unsafe {
        asm!("mrs {}, daif", "msr daifset, #2", out(reg) daif, options(nostack, preserves_flags));
    }
    IrqState::of_daif(daif)
}

/// Puts interrupts back to what [`irq_save`] found.
#[inline(always)]
pub fn irq_restore(state: IrqState) {
    if state.was_enabled() {
        irq_enable();
    }
}

/// As [`irq_save`], for the few instructions up to [`irq_release`], between which nothing else changes the
/// mask: that puts all of it back, in one instruction.
#[inline(always)]
pub fn irq_hold() -> HeldIrqs {
    let daif: u64;
    // SAFETY: masking interrupts is always sound; without `nomem` no access moves across it.
    unsafe {
        asm!("mrs {}, daif", "msr daifset, #2", out(reg) daif, options(nostack, preserves_flags));
    }
    HeldIrqs(daif)
}

/// Puts the mask back to what [`irq_hold`] found.
#[inline(always)]
pub fn irq_release(held: HeldIrqs) {
    // SAFETY: the mask as it was; no access moves across it.
    unsafe { asm!("msr daif, {}", in(reg) held.0, options(nostack, preserves_flags)) }
}

/// What [`irq_hold`] found.
#[must_use = "interrupts stay masked"]
#[derive(Debug)]
pub struct HeldIrqs(u64);

/// Enables interrupts.
#[inline(always)]
pub fn irq_enable() {
    // SAFETY: the callers' critical sections end here; no access moves across it.
    unsafe { asm!("msr daifclr, #2", options(nostack, preserves_flags)) }
}

/// Masks interrupts.
#[inline(always)]
pub fn irq_disable() {
    // SAFETY: masking interrupts is always sound.
    unsafe { asm!("msr daifset, #2", options(nostack, preserves_flags)) }
}

/// True when interrupts are masked on this core.
#[inline(always)]
#[must_use]
pub fn irqs_masked() -> bool {
    let daif: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, daif", out(reg) daif, options(nomem, nostack, preserves_flags)) }
    daif & (1 << 7) != 0
}

/// One turn of a spin-wait. `yield`, not `isb`: under `-icount` with several cores only `yield`
/// hands the turn to the core one waits for.
#[inline(always)]
pub fn relax() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) }
}

/// Full barrier between a store and a later load (sleep/wake flags, notify suppression).
#[inline(always)]
pub fn fence_full() {
    fence(Ordering::SeqCst);
}

/// An interleaving point without effect: nothing on the metal.
#[inline(always)]
pub fn sync_point() {}

/// The spin lock at this address is free since a moment: a simulator looks at what it guards.
#[inline(always)]
pub fn lock_released(_lock: usize) {}

/// Whether an allocation of `bytes` may be tried; the simulator says no to test the error paths.
#[inline(always)]
#[must_use]
pub fn allocation_allowed(_bytes: usize) -> bool {
    true
}

/// As [`allocation_allowed`], for `pages` whole pages.
#[inline(always)]
#[must_use]
pub fn pages_allowed(_pages: usize) -> bool {
    true
}

/// As [`allocation_allowed`], asked before a thread is made.
#[inline(always)]
#[must_use]
pub fn thread_allowed() -> bool {
    true
}

/// Somebody looks at every event of the trace at once: only in the simulator.
pub const OBSERVED: bool = false;

/// The raw counter, for an event of the trace: [`stamp_time`] says when that was. Cheaper than
/// [`now`], and the core may read it a few instructions early.
#[inline(always)]
#[must_use]
pub fn stamp() -> u64 {
    let ticks: u64;
    // SAFETY: reads a counter.
    unsafe { asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) }
    ticks
}

/// Writes the four words of an event, each as a relaxed store would: in two instructions, which the
/// compiler does not make of atomic stores.
#[inline(always)]
pub fn store_event(to: &[AtomicU64; 4], words: [u64; 4]) {
    let [a, b, c, d] = words;
    // SAFETY: writes four aligned words that are valid for as long as the reference; being atomics, they may be
    // written through a shared one. `stp` writes each of its two words at once (Arm ARM B2.2.1).
    unsafe {
        asm!(
            "stp {a}, {b}, [{to}]",
            "stp {c}, {d}, [{to}, #16]",
            to = in(reg) to.as_ptr(),
            a = in(reg) a,
            b = in(reg) b,
            c = in(reg) c,
            d = in(reg) d,
            options(nostack, preserves_flags)
        );
    }
}

/// Shows an event of the trace to the simulator: nothing on the metal.
#[inline(always)]
pub fn observe(_event: &[u64; 4]) {}

// Defined by exactly one architecture crate (`#[unsafe(no_mangle)]`), inlined by link-time
// optimisation. SAFETY of the `safe fn`s: the definitions have these signatures and are sound for
// every argument.
unsafe extern "Rust" {
    /// Time since machine start (CNTVCT scaled to nanoseconds; Arm ARM D12).
    #[link_name = "rt_now"]
    pub safe fn now() -> Instant;
    /// When [`stamp`] said `stamp`.
    #[link_name = "rt_stamp_time"]
    pub safe fn stamp_time(stamp: u64) -> Instant;
    /// How much [`stamp`] grows in `span`, at least.
    #[link_name = "rt_stamp_span"]
    pub safe fn stamp_span(span: Duration) -> u64;
    /// Programs this core's one-shot timer; a deadline in the past fires at once. What [`stamp`] says when it
    /// fires.
    #[link_name = "rt_arm_timer"]
    pub safe fn arm_timer(deadline: Instant) -> u64;
    /// Disarms this core's one-shot timer.
    #[link_name = "rt_cancel_timer"]
    pub safe fn cancel_timer();
    /// Interrupts another core. Stores before the call are visible to its handler.
    #[link_name = "rt_send_ipi"]
    pub safe fn send_ipi(cpu: CpuId);
    /// Takes the next pending interrupt of this core, or `None`. Call with interrupts masked.
    #[link_name = "rt_irq_ack"]
    pub safe fn irq_ack() -> Option<Interrupt>;
    /// Ends the interrupt [`irq_ack`] took.
    #[link_name = "rt_irq_end"]
    pub safe fn irq_end(irq: Interrupt);
    /// Waits until an interrupt is pending. Call with interrupts masked; returns with them masked
    /// and the interrupt still pending.
    #[link_name = "rt_idle"]
    pub safe fn idle();
    /// Writes to the console, waiting for the device.
    #[link_name = "rt_console_write"]
    pub safe fn console_write(bytes: &[u8]);
    /// Takes one byte typed at the console.
    #[link_name = "rt_console_read"]
    pub safe fn console_read() -> Option<u8>;
    /// Ends the machine; code 0 is an orderly power-off, anything else a failure.
    #[link_name = "rt_shutdown"]
    pub safe fn shutdown(code: u8) -> !;
    /// Starts the machine anew, as after power-on (PSCI `SYSTEM_RESET`). Ends it where the firmware cannot.
    #[link_name = "rt_reboot"]
    pub safe fn reboot() -> !;
    /// 64 bits no client can guess (device entropy when there, else mixed counters).
    #[link_name = "rt_entropy"]
    pub safe fn entropy() -> u64;
    /// Starts a secondary core, which installs `header` and calls its `secondary` hook on the
    /// stack whose top is `header.irq_stack_top`.
    ///
    /// # Errors
    ///
    /// When the firmware does not know the core or refuses.
    #[link_name = "rt_start_cpu"]
    pub safe fn start_cpu(header: &'static CpuHeader) -> Result<(), StartError>;
    /// Switches the running core off, with interrupts masked and nothing left to do on it (PSCI
    /// `CPU_OFF`). Returns only when the firmware refuses; the core's interrupts are then enabled again.
    #[link_name = "rt_leave_cpu"]
    pub safe fn leave_cpu() -> StartError;
    /// Whether the firmware has switched core `cpu` off, so that [`start_cpu`] may start it.
    #[link_name = "rt_cpu_is_off"]
    pub safe fn cpu_is_off(cpu: CpuId) -> bool;
    /// Has device interrupt `int` delivered to core `cpu`, also if it is pending.
    #[link_name = "rt_route_irq"]
    pub safe fn route_irq(int: IntId, cpu: CpuId);
    /// Changes the access rights of whole pages of normal memory, on every core.
    #[link_name = "rt_protect"]
    pub safe fn protect(address: usize, bytes: usize, rights: Protection);
    /// Return addresses of the frames above `fp` (0: the caller), innermost first; the number
    /// written. Never faults on a broken chain.
    #[link_name = "rt_backtrace"]
    pub safe fn backtrace(fp: usize, out: &mut [usize]) -> usize;
    /// As [`backtrace`], of a flow of control that [`switch`] saved as `context` on the stack `stack`;
    /// the switch's own caller comes first. Reads nothing outside that stack, and never faults while the
    /// stack is there, whatever is on it.
    #[link_name = "rt_backtrace_of"]
    pub safe fn backtrace_of(
        context: Context,
        stack: core::ops::Range<usize>,
        out: &mut [usize],
    ) -> usize;
    /// Prepares a flow of control that will call `entry(arg)` on the stack `low..high` with
    /// interrupts masked, the first time it is switched to.
    ///
    /// # Safety
    ///
    /// The stack is writable, used by nothing else, and outlives the context.
    #[link_name = "rt_context_init"]
    pub unsafe fn context_init(
        low: usize,
        high: usize,
        entry: extern "C" fn(usize) -> !,
        arg: usize,
    ) -> Context;
    /// Saves the running flow into `prev` and continues `next`. Returns when somebody switches
    /// back.
    ///
    /// # Safety
    ///
    /// Interrupts are masked; `next` was prepared by [`context_init`] or saved by `switch` and has
    /// not been continued since; `prev` stays valid until it is continued.
    #[link_name = "rt_switch"]
    pub unsafe fn switch(prev: *mut Context, next: Context);
}

/// Forgets a context that will never be continued.
///
/// # Safety
///
/// The context is not running and nothing will switch to it.
pub unsafe fn context_drop(_context: Context) {}
