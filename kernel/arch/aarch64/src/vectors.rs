//! The sixteen exception entries, the interrupt path and the way into the fault report.
//!
//! **Interrupts** (`irq_entry`). The interrupted context goes on the running stack: the registers
//! a Rust function may change (x0-x18, x29, x30; it preserves x19-x28), the four vector registers that
//! copies use and nothing else does ([`crate::memory`]), return address and state. Then the core's interrupt stack, unless already on it
//! (softirqs run there with interrupts enabled), and `hooks.irq`. Back on the thread's stack,
//! `hooks.preempt` runs when the preempt word is zero and a reschedule is due. The frame begins with
//! a frame record, so backtraces walk through it into the interrupted function.
//!
//! **Faults** (`sync_entry` and friends). A thread that ran over its stack faults with a stack
//! pointer in the guard page; pushing a frame there would fault again, for ever. So the entry asks
//! the translation hardware (`AT S1E1W`) whether the frame's memory is writable before touching it,
//! and takes the core's overflow stack if not. That covers thread, boot and interrupt stacks alike
//! and needs no stack bounds. Comparing the stack pointer with the thread's bounds would have to
//! know which stack is in use.
//! `TPIDR_EL0` is the scratch register while no general one is free; `TPIDRRO_EL0` keeps the
//! interrupted address while the interrupt entry pushes its frame, so an overflow found there is
//! reported at the interrupted function.
//!
//! Everything else (FIQ, SError, any exception from EL0 or with `SP_EL0`) is a fault. The interrupt
//! entry unmasks SError as soon as the return state is saved: a switch does not carry the mask bit,
//! so leaving it set would leak it into whichever thread runs next.
//! References: Arm ARM D1.3 (exception entry), AAPCS64 6.1.
#![expect(unsafe_code, reason = "exception entry code")]

use core::arch::naked_asm;
use core::mem::offset_of;

use machine::{CpuHeader, Hooks, ThreadHeader};

/// Registers of an interrupted context, as `irq_entry` lays them on the stack.
#[repr(C, align(16))]
struct IrqFrame {
    /// x0 to x18.
    x: [u64; 19],
    _pad: u64,
    /// Frame record: frame pointer and return address of the interrupted code.
    fp: u64,
    elr: u64,
    lr: u64,
    spsr: u64,
    /// What copies use.
    q: [u128; COPY_REGISTERS],
}

/// How many vector registers there are to save; see [`crate::memory`].
const COPY_REGISTERS: usize = 4;

/// All general registers of a faulting context, as the fault entries lay them on the stack.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct FaultFrame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Stack pointer at the fault.
    pub sp: u64,
    /// Frame record: frame pointer and address of the faulting code.
    pub record: [u64; 2],
    /// `ELR_EL1`.
    pub elr: u64,
    /// `SPSR_EL1`.
    pub spsr: u64,
    /// `ESR_EL1`.
    pub esr: u64,
    /// `FAR_EL1`.
    pub far: u64,
}

const IRQ_BYTES: usize = size_of::<IrqFrame>();
const FAULT_BYTES: usize = size_of::<FaultFrame>();
const _: () = {
    assert!(IRQ_BYTES.is_multiple_of(16) && FAULT_BYTES.is_multiple_of(16));
    assert!(offset_of!(IrqFrame, q).is_multiple_of(16));
    // One probe at each end of the frame finds an unmapped page.
    assert!(FAULT_BYTES < 4096);
};

/// Last-resort stack for faults before a core has its own overflow stack.
#[repr(C, align(16))]
struct EmergencyStack(core::cell::UnsafeCell<[u8; 16384]>);
// SAFETY: used by the fault path only, as raw stack memory.
unsafe impl Sync for EmergencyStack {}
static EMERGENCY: EmergencyStack = EmergencyStack(core::cell::UnsafeCell::new([0; 16384]));

/// Which entry took the exception; the low byte of the fault entry's second argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// Synchronous, from EL1.
    Sync = 0,
    /// Fast interrupt: nothing in this system raises one.
    Fiq = 1,
    /// Asynchronous abort.
    SError = 2,
    /// Any exception taken from EL0 or while using `SP_EL0`.
    Foreign = 3,
}
/// Set in the fault entry's second argument when the stack had no room.
pub(crate) const NO_STACK: u64 = 1 << 8;

/// The vector table (`VBAR_EL1`).
///
/// # Safety
///
/// Data for the core, not a function to call.
#[unsafe(naked)]
#[unsafe(link_section = ".vectors")]
pub(crate) unsafe extern "C" fn vector_table() {
    naked_asm!(
        ".balign 2048",
        // Current level, SP_EL0: sync, irq, fiq, serror.
        "b {foreign}", ".balign 128", "b {foreign}", ".balign 128",
        "b {foreign}", ".balign 128", "b {foreign}", ".balign 128",
        // Current level, SP_EL1.
        "b {sync}", ".balign 128", "b {irq}", ".balign 128",
        "b {fiq}", ".balign 128", "b {serror}", ".balign 128",
        // Lower level, AArch64.
        "b {foreign}", ".balign 128", "b {foreign}", ".balign 128",
        "b {foreign}", ".balign 128", "b {foreign}", ".balign 128",
        // Lower level, AArch32.
        "b {foreign}", ".balign 128", "b {foreign}", ".balign 128",
        "b {foreign}", ".balign 128", "b {foreign}", ".balign 128",
        foreign = sym foreign_entry,
        sync = sym sync_entry,
        irq = sym irq_entry,
        fiq = sym fiq_entry,
        serror = sym serror_entry,
    )
}

/// Interrupt from EL1. See the module documentation.
///
/// # Safety
///
/// Entered by the core only, through the vector table.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn irq_entry() {
    naked_asm!(
        ".arch_extension simd",
        "msr tpidr_el0, x0",
        "mrs x0, elr_el1",
        "msr tpidrro_el0, x0",
        "sub sp, sp, #{bytes}",
        "stp x2, x3, [sp, #{x} + 16]",
        "mrs x2, tpidr_el0",
        "stp x2, x1, [sp, #{x}]",
        "stp x4, x5, [sp, #{x} + 32]",
        "stp x6, x7, [sp, #{x} + 48]",
        "stp x8, x9, [sp, #{x} + 64]",
        "stp x10, x11, [sp, #{x} + 80]",
        "stp x12, x13, [sp, #{x} + 96]",
        "stp x14, x15, [sp, #{x} + 112]",
        "stp x16, x17, [sp, #{x} + 128]",
        "str x18, [sp, #{x} + 144]",
        "mrs x1, spsr_el1",
        "stp x29, x0, [sp, #{fp}]",
        "stp x30, x1, [sp, #{lr}]",
        "stp q0, q1, [sp, #{q}]",
        "stp q2, q3, [sp, #{q} + 32]",
        "add x29, sp, #{fp}",
        // The return state is saved, so an asynchronous abort may be reported again.
        "msr daifclr, #4",
        // Which stack?
        "mrs x0, tpidr_el1",
        "ldr x3, [x0, #{hooks}]",
        "ldr x3, [x3, #{hook_irq}]",
        "ldr w1, [x0, #{on_irq}]",
        "cbnz w1, 4f",
        "mov w1, #1",
        "str w1, [x0, #{on_irq}]",
        "ldr x2, [x0, #{irq_stack}]",
        "mov sp, x2",
        "blr x3",
        "sub sp, x29, #{fp}",
        "mrs x0, tpidr_el1",
        "str wzr, [x0, #{on_irq}]",
        // Preempt?
        "mrs x1, sp_el0",
        "ldr w1, [x1, #{preempt}]",
        "cbnz w1, 5f",
        "ldrb w1, [x0, #{resched}]",
        "cbz w1, 5f",
        "ldr x3, [x0, #{hooks}]",
        "ldr x3, [x3, #{hook_preempt}]",
        "blr x3",
        "b 5f",
        // Already on the interrupt stack.
        "4: blr x3",
        "5: ldp x30, x1, [sp, #{lr}]",
        "ldp x29, x0, [sp, #{fp}]",
        "msr spsr_el1, x1",
        "msr elr_el1, x0",
        "ldp q0, q1, [sp, #{q}]",
        "ldp q2, q3, [sp, #{q} + 32]",
        "ldr x18, [sp, #{x} + 144]",
        "ldp x16, x17, [sp, #{x} + 128]",
        "ldp x14, x15, [sp, #{x} + 112]",
        "ldp x12, x13, [sp, #{x} + 96]",
        "ldp x10, x11, [sp, #{x} + 80]",
        "ldp x8, x9, [sp, #{x} + 64]",
        "ldp x6, x7, [sp, #{x} + 48]",
        "ldp x4, x5, [sp, #{x} + 32]",
        "ldp x2, x3, [sp, #{x} + 16]",
        "ldp x0, x1, [sp, #{x}]",
        "add sp, sp, #{bytes}",
        "eret",
        bytes = const IRQ_BYTES,
        x = const offset_of!(IrqFrame, x),
        fp = const offset_of!(IrqFrame, fp),
        lr = const offset_of!(IrqFrame, lr),
        q = const offset_of!(IrqFrame, q),
        hooks = const offset_of!(CpuHeader, hooks),
        hook_irq = const offset_of!(Hooks, irq),
        hook_preempt = const offset_of!(Hooks, preempt),
        on_irq = const offset_of!(CpuHeader, on_irq_stack),
        irq_stack = const offset_of!(CpuHeader, irq_stack_top),
        resched = const offset_of!(CpuHeader, need_resched),
        preempt = const offset_of!(ThreadHeader, preempt),
    )
}

/// Defines a fault entry: find a usable stack, save every general register, report.
macro_rules! fault_entry {
    ($name:ident, $source:expr) => {
        /// Fault entry; never returns to the faulting code.
        ///
        /// # Safety
        ///
        /// Entered by the core only, through the vector table.
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "msr tpidr_el0, x0",
                // Is the frame's memory there, writable and aligned?
                "mov x0, sp",
                "tst x0, #15",
                "b.ne 2f",
                "sub x0, x0, #{bytes}",
                "at s1e1w, x0",
                "isb",
                "mrs x0, par_el1",
                "tbnz x0, #0, 2f",
                "mov x0, sp",
                "sub x0, x0, #16",
                "at s1e1w, x0",
                "isb",
                "mrs x0, par_el1",
                "tbnz x0, #0, 2f",
                "sub sp, sp, #{bytes}",
                "str x1, [sp, #{x} + 8]",
                "add x1, sp, #{bytes}",
                "str x1, [sp, #{sp_at}]",
                "mov x1, #{source}",
                "b 5f",
                // No: the core's overflow stack, or the last-resort one before there is a core.
                "2: mrs x0, tpidr_el1",
                "cbz x0, 3f",
                "ldr x0, [x0, #{overflow}]",
                "cbnz x0, 4f",
                "3: adrp x0, {emergency}",
                "add x0, x0, :lo12:{emergency}",
                "add x0, x0, #{emergency_bytes}",
                "4: sub x0, x0, #{bytes}",
                "str x1, [x0, #{x} + 8]",
                "mov x1, sp",
                "str x1, [x0, #{sp_at}]",
                "mov sp, x0",
                "mov x1, #({source} | {no_stack})",
                "5: mrs x0, tpidr_el0",
                "str x0, [sp, #{x}]",
                "stp x2, x3, [sp, #{x} + 16]",
                "stp x4, x5, [sp, #{x} + 32]",
                "stp x6, x7, [sp, #{x} + 48]",
                "stp x8, x9, [sp, #{x} + 64]",
                "stp x10, x11, [sp, #{x} + 80]",
                "stp x12, x13, [sp, #{x} + 96]",
                "stp x14, x15, [sp, #{x} + 112]",
                "stp x16, x17, [sp, #{x} + 128]",
                "stp x18, x19, [sp, #{x} + 144]",
                "stp x20, x21, [sp, #{x} + 160]",
                "stp x22, x23, [sp, #{x} + 176]",
                "stp x24, x25, [sp, #{x} + 192]",
                "stp x26, x27, [sp, #{x} + 208]",
                "stp x28, x29, [sp, #{x} + 224]",
                "str x30, [sp, #{x} + 240]",
                "mrs x2, elr_el1",
                "mrs x3, spsr_el1",
                "mrs x4, esr_el1",
                "mrs x5, far_el1",
                "stp x2, x3, [sp, #{elr}]",
                "stp x4, x5, [sp, #{elr} + 16]",
                "stp x29, x2, [sp, #{record}]",
                "add x29, sp, #{record}",
                "mov x0, sp",
                "bl {report}",
                "brk #1",
                bytes = const FAULT_BYTES,
                x = const offset_of!(FaultFrame, x),
                sp_at = const offset_of!(FaultFrame, sp),
                elr = const offset_of!(FaultFrame, elr),
                record = const offset_of!(FaultFrame, record),
                source = const $source as u64,
                no_stack = const NO_STACK,
                overflow = const offset_of!(CpuHeader, overflow_stack_top),
                emergency = sym EMERGENCY,
                emergency_bytes = const size_of::<EmergencyStack>(),
                report = sym crate::fault::report,
            )
        }
    };
}

fault_entry!(sync_entry, Source::Sync);
fault_entry!(fiq_entry, Source::Fiq);
fault_entry!(serror_entry, Source::SError);
fault_entry!(foreign_entry, Source::Foreign);
