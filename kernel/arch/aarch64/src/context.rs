//! Saving one flow of control and continuing another.
//!
//! A switch is a few instructions in the middle of the function that wants it, which goes on there on
//! another stack. To the compiler they change every register, so it saves itself, once, what it needs
//! afterwards. Two it does not let go: the frame pointer and x19, which it may use to find its frame. They go
//! on the stack together with the place to go on at; the stack pointer is the whole context.
//!
//! Context: interrupts masked, as the seam demands.
#![expect(unsafe_code, reason = "the switch itself")]

use core::arch::{asm, naked_asm};
use core::mem::offset_of;

use machine::Context;

/// What a suspended flow has on its stack.
#[repr(C, align(16))]
struct SwitchFrame {
    fp: u64,
    /// Where it goes on.
    pc: u64,
    x19: u64,
    unused: u64,
}

/// What a flow that has not begun has on its stack.
#[repr(C, align(16))]
struct FirstFrame {
    switch: SwitchFrame,
    entry: u64,
    arg: u64,
}

const BYTES: usize = size_of::<SwitchFrame>();
const FIRST_BYTES: usize = size_of::<FirstFrame>();

// Which makes it a frame record, where `backtrace_of` begins.
const _: () = assert!(offset_of!(SwitchFrame, fp) == 0 && offset_of!(SwitchFrame, pc) == 8);
// As `trampoline` takes them.
const _: () = assert!(offset_of!(FirstFrame, entry) == BYTES);

/// Definition of the seam's `switch`: saves into `*prev`, continues `next`.
///
/// # Safety
///
/// As `machine::switch`.
#[unsafe(no_mangle)]
pub(crate) unsafe fn rt_switch(prev: *mut Context, next: Context) {
    // SAFETY: the caller's promise; `Context` is one machine word. All registers but those saved here are
    // clobbered, and the stack is as it was when this flow is continued.
    unsafe {
        asm!(
            "adr x2, 2f",
            "stp x29, x2, [sp, #-{bytes}]!",
            "str x19, [sp, #{x19}]",
            "mov x2, sp",
            "str x2, [x0]",
            "mov sp, x1",
            "ldr x19, [sp, #{x19}]",
            "ldp x29, x2, [sp], #{bytes}",
            "br x2",
            "2:",
            inout("x0") prev => _,
            inout("x1") next.0 => _,
            bytes = const BYTES,
            x19 = const offset_of!(SwitchFrame, x19),
            out("x20") _, out("x21") _, out("x22") _, out("x23") _, out("x24") _,
            out("x25") _, out("x26") _, out("x27") _, out("x28") _,
            clobber_abi("C"),
        );
    }
}

/// First instructions of a new flow: `entry` and its argument are on the stack, there is no caller.
///
/// # Safety
///
/// Reached by a switch to a frame that [`rt_context_init`] wrote, never called.
#[unsafe(naked)]
unsafe extern "C" fn trampoline() {
    naked_asm!(
        "ldp x1, x0, [sp], #{bytes}",
        "mov x29, xzr",
        "mov x30, xzr",
        "br x1",
        bytes = const FIRST_BYTES - BYTES,
    )
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
    let at = (high & !15) - FIRST_BYTES;
    debug_assert!(at >= low, "stack smaller than a switch frame");
    let pc = trampoline as *const () as usize as u64;
    let switch = SwitchFrame {
        fp: 0,
        pc,
        x19: 0,
        unused: 0,
    };
    let frame = FirstFrame {
        switch,
        entry: entry as usize as u64,
        arg: arg as u64,
    };
    let p = core::ptr::with_exposed_provenance_mut::<FirstFrame>(at);
    // SAFETY: inside the stack the caller gave, aligned to 16.
    unsafe { p.write(frame) };
    Context(at)
}
