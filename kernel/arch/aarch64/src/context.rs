//! Saving one flow of control and continuing another.
//!
//! A switch is a function call that returns on another stack. The compiler has already saved what
//! a call may change, so only the registers a callee must preserve go on the stack: x19-x30 and the
//! low halves of v8-v15 (AAPCS64 6.1). The stack pointer is the whole context.
//!
//! Context: interrupts masked, as the seam demands.
#![expect(unsafe_code, reason = "the switch itself")]

use core::arch::naked_asm;
use core::mem::offset_of;

use machine::Context;

/// What a suspended flow has on its stack.
#[repr(C, align(16))]
struct SwitchFrame {
    fp: u64,
    lr: u64,
    /// x19 to x28.
    x: [u64; 10],
    /// d8 to d15.
    d: [u64; 8],
}

const BYTES: usize = size_of::<SwitchFrame>();
const _: () = assert!(
    BYTES == 160,
    "the largest step a pre-indexed pair store can take is 512"
);

// Which makes it a frame record, where `backtrace_of` begins.
const _: () = assert!(offset_of!(SwitchFrame, fp) == 0 && offset_of!(SwitchFrame, lr) == 8);

/// Definition of the seam's `switch`.
///
/// # Safety
///
/// As `machine::switch`.
#[unsafe(no_mangle)]
pub(crate) unsafe fn rt_switch(prev: *mut Context, next: Context) {
    // SAFETY: the caller's promise; `Context` is one machine word.
    unsafe { switch(prev.cast(), next.0) }
}

/// Saves into `*prev` (x0), continues `next` (x1).
///
/// # Safety
///
/// As `machine::switch`.
#[unsafe(naked)]
unsafe extern "C" fn switch(prev: *mut usize, next: usize) {
    naked_asm!(
        "stp x29, x30, [sp, #-{bytes}]!",
        "stp x19, x20, [sp, #{x}]",
        "stp x21, x22, [sp, #{x} + 16]",
        "stp x23, x24, [sp, #{x} + 32]",
        "stp x25, x26, [sp, #{x} + 48]",
        "stp x27, x28, [sp, #{x} + 64]",
        "stp d8, d9, [sp, #{d}]",
        "stp d10, d11, [sp, #{d} + 16]",
        "stp d12, d13, [sp, #{d} + 32]",
        "stp d14, d15, [sp, #{d} + 48]",
        "mov x9, sp",
        "str x9, [x0]",
        "mov sp, x1",
        "ldp d14, d15, [sp, #{d} + 48]",
        "ldp d12, d13, [sp, #{d} + 32]",
        "ldp d10, d11, [sp, #{d} + 16]",
        "ldp d8, d9, [sp, #{d}]",
        "ldp x27, x28, [sp, #{x} + 64]",
        "ldp x25, x26, [sp, #{x} + 48]",
        "ldp x23, x24, [sp, #{x} + 32]",
        "ldp x21, x22, [sp, #{x} + 16]",
        "ldp x19, x20, [sp, #{x}]",
        "ldp x29, x30, [sp], #{bytes}",
        "ret",
        bytes = const BYTES,
        x = const offset_of!(SwitchFrame, x),
        d = const offset_of!(SwitchFrame, d),
    )
}

/// First instructions of a new flow: `entry` in x19, its argument in x20, no caller.
///
/// # Safety
///
/// Reached by a switch to a frame that [`rt_context_init`] wrote, never called.
#[unsafe(naked)]
unsafe extern "C" fn trampoline() {
    naked_asm!("mov x0, x20", "mov x29, xzr", "mov x30, xzr", "br x19")
}

/// Definition of the seam's `context_init`.
///
/// # Safety
///
/// As `machine::context_init`.
#[unsafe(no_mangle)]
pub(crate) unsafe fn rt_context_init(
    low: usize,
    high: usize,
    entry: extern "C" fn(usize) -> !,
    arg: usize,
) -> Context {
    let at = (high & !15) - BYTES;
    debug_assert!(at >= low, "stack smaller than a switch frame");
    let mut x = [0; 10];
    x[0] = entry as usize as u64;
    x[1] = arg as u64;
    let lr = trampoline as *const () as usize as u64;
    let frame = SwitchFrame {
        fp: 0,
        lr,
        x,
        d: [0; 8],
    };
    let p = core::ptr::with_exposed_provenance_mut::<SwitchFrame>(at);
    // SAFETY: inside the stack the caller gave, aligned to 16.
    unsafe { p.write(frame) };
    Context(at)
}
