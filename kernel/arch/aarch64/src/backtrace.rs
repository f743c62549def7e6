//! The chain of frame pointers, walked without trust.
//!
//! Every image is built with frame pointers, so `x29` points at a record of the caller's frame
//! pointer and the return address (AAPCS64 6.4.6). A corrupted stack is exactly when a backtrace is
//! wanted, so each record is checked before it is read: aligned, in RAM, mapped (the translation
//! hardware is asked), and above the previous one. The chain may step down only where a stack ends
//! and another begins (interrupt or overflow stack to thread stack).
#![expect(unsafe_code, reason = "reads frame records at checked addresses")]

use core::arch::asm;
use core::ops::Range;

use machine::Context;

use crate::{image, mmu};

/// Stacks one chain can visit: overflow, interrupt, thread.
const STACK_CHANGES: usize = 3;

/// Definition of the seam's `backtrace`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) fn rt_backtrace(fp: usize, out: &mut [usize]) -> usize {
    let mut fp = fp;
    if fp == 0 {
        // SAFETY: reads a register.
        unsafe { asm!("mov {}, x29", out(reg) fp, options(nomem, nostack, preserves_flags)) };
    }
    walk(fp, out)
}

/// Writes the return addresses above `fp`, innermost first; returns how many.
pub(crate) fn walk(fp: usize, out: &mut [usize]) -> usize {
    let (mut at, mut n, mut changes) = (fp, 0, 0);
    while n < out.len() && mmu::is_readable(at) && mmu::is_readable(at + 8) {
        let (next, lr) = (read(at), read(at + 8));
        if !(image::text_start()..image::text_end()).contains(&lr) {
            break;
        }
        out[n] = lr;
        n += 1;
        if next <= at {
            changes += 1;
            if next == 0 || changes > STACK_CHANGES {
                break;
            }
        }
        at = next;
    }
    n
}

/// Definition of the seam's `backtrace_of`. What a switch saves first is a frame record: frame pointer,
/// return address.
#[unsafe(no_mangle)]
pub(crate) fn rt_backtrace_of(context: Context, stack: Range<usize>, out: &mut [usize]) -> usize {
    let (mut at, mut n) = (context.0, 0);
    // One stack, so each record lies above the one before.
    while n < out.len() && stack.contains(&at) && stack.contains(&at.saturating_add(15)) {
        if !mmu::is_readable(at) || !mmu::is_readable(at + 8) {
            break;
        }
        let (next, lr) = (read(at), read(at + 8));
        if !(image::text_start()..image::text_end()).contains(&lr) {
            break;
        }
        out[n] = lr;
        n += 1;
        if next <= at {
            break;
        }
        at = next;
    }
    n
}

fn read(at: usize) -> usize {
    // SAFETY: `is_readable` said that these aligned eight bytes are mapped RAM.
    unsafe { core::ptr::with_exposed_provenance::<usize>(at).read_volatile() }
}
