//! From a saved fault frame to the executive's fault hook.
//!
//! The report says in words what happened, recognises stack overflow (the stack pointer or the
//! faulting address is in the guard page), and protects itself: a fault inside the fault hook is
//! reported with the bare facts and ends the machine instead of recursing.
//!
//! "Inside" means: same core, same thread, and no interrupt taken on that core since. A thread the
//! executive killed after a fault leaves the mark behind, and the next interrupt clears it. The
//! second report trusts neither the executive nor the thread's header, the third says nothing at
//! all: each uses less than the one that failed.
//!
//! Context: any, interrupts masked.
#![expect(
    unsafe_code,
    reason = "reads registers that may be unset this early; unmasks SError"
)]

use core::arch::asm;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicUsize, Ordering};

use machine::{CpuHeader, Fault, MAX_CPUS, ThreadHeader};

use crate::vectors::{FaultFrame, NO_STACK, Source, irq_entry};
use crate::{console, esr, power};

/// Per core: address of the thread whose fault is being reported, and in the low bits how many
/// reports have begun; 0 for none.
static REPORTING: [AtomicUsize; MAX_CPUS] = [const { AtomicUsize::new(0) }; MAX_CPUS];

/// The low bits of a mark; thread headers are aligned to 8.
const DEPTH: usize = 7;
/// Exit code of a machine that died of a fault nobody took.
const FAILED: u8 = 101;
/// How far below its lowest address an access still counts as running over a stack.
const GUARD: usize = 4096;
/// More bytes than the interrupt entry has.
const IRQ_ENTRY_BYTES: usize = 512;

/// An interrupt arrived: no fault report is in progress on this core.
#[inline(always)]
pub(crate) fn interrupt_taken(cpu: usize) {
    REPORTING[cpu].store(0, Ordering::Relaxed);
}

/// Called by the fault entries with the saved registers, on a stack with room.
///
/// # Safety
///
/// `TPIDR_EL1` and `SP_EL0` are zero or the addresses of live headers, and `frame` is the one the
/// fault entry has just written.
pub(crate) unsafe extern "C" fn report(frame: &mut FaultFrame, source: u64) -> ! {
    let (cpu, thread) = (cpu_header(), thread_header());
    let no_stack = source & NO_STACK != 0;
    let index = cpu.map_or(0, |c| c.id.index());
    let depth = begin_report(index, thread);
    if depth > 2 {
        power::off(FAILED);
    }
    let nested = depth == 2;

    let mut what = Line::new();
    // A fault while the interrupt entry pushed its frame belongs to the interrupted code.
    let entry = irq_entry as *const () as usize;
    if (entry..entry + IRQ_ENTRY_BYTES).contains(&(frame.elr as usize)) {
        frame.elr = interrupted_address();
        frame.record[1] = frame.elr;
        let _ = what.write_str("interrupt entry: ");
    }
    let sync = Source::Sync as u64;
    let _ = match source & 0xff {
        s if s == sync => esr::describe(frame.esr, &mut what),
        s if s == Source::Fiq as u64 => what.write_str("unexpected FIQ"),
        s if s == Source::SError as u64 => {
            write!(
                what,
                "asynchronous abort (SError), syndrome {:#x}",
                frame.esr
            )
        }
        _ => {
            let _ = what.write_str("exception from EL0 or SP_EL0: ");
            esr::describe(frame.esr, &mut what)
        }
    };
    let address =
        (source & 0xff == sync && esr::has_address(frame.esr)).then_some(frame.far as usize);
    let trusted = thread.filter(|_| !nested);
    let below_stack = address.zip(trusted).is_some_and(|(at, t)| {
        let low = t.stack_low.get();
        esr::is_kernel_data_abort(frame.esr) && (low.saturating_sub(GUARD)..low).contains(&at)
    });
    let stack_overflow = (no_stack && frame.sp.is_multiple_of(16)) || below_stack;
    if stack_overflow {
        let _ = what.write_str("; stack overflow");
    }
    let fault = Fault {
        what: what.as_str(),
        pc: frame.elr as usize,
        sp: frame.sp as usize,
        fp: frame.x[29] as usize,
        address,
        syndrome: frame.esr,
        registers: &frame.x,
        stack_overflow,
    };
    match cpu {
        Some(c) if !nested => (c.hooks.fault)(&fault),
        _ => last_words(&fault, nested),
    }
}

/// Marks core `index` as reporting a fault of `thread`; how many such reports have begun.
fn begin_report(index: usize, thread: Option<&ThreadHeader>) -> usize {
    let mark = thread.map_or(0, |t| core::ptr::from_ref(t).addr()) & !DEPTH;
    let seen = REPORTING[index].load(Ordering::Relaxed);
    let begun = if seen & !DEPTH == mark {
        seen & DEPTH
    } else {
        0
    };
    let depth = (begun + 1).min(DEPTH);
    REPORTING[index].store(mark | depth, Ordering::Relaxed);
    depth
}

/// Lets this core report asynchronous aborts from now on, pending ones first.
///
/// Once per core, with a console to report on.
pub fn enable_serror() {
    // SAFETY: an asynchronous abort ends the machine with a report; nothing depends on its mask.
    unsafe { asm!("msr daifclr, #4", options(nostack, preserves_flags)) };
}

/// The report of last resort: no executive, or the executive's report faulted.
fn last_words(fault: &Fault<'_>, nested: bool) -> ! {
    let mut out = console::Writer;
    let kind = if nested {
        "FAULT INSIDE THE FAULT REPORT"
    } else {
        "EARLY FAULT"
    };
    let _ = writeln!(out, "\n{kind}: {}", fault.what);
    let _ = write!(
        out,
        "  pc {:#x} sp {:#x} fp {:#x}",
        fault.pc, fault.sp, fault.fp
    );
    if let Some(at) = fault.address {
        let _ = write!(out, " address {at:#x}");
    }
    let _ = writeln!(out, " syndrome {:#x}", fault.syndrome);
    let mut frames = [0; 16];
    let n = crate::backtrace::walk(fault.fp, &mut frames);
    for at in core::iter::once(&fault.pc).chain(&frames[..n]) {
        let _ = match crate::image::symbolize(*at) {
            Some((name, offset)) => writeln!(out, "  {at:#x} {name}+{offset:#x}"),
            None => writeln!(out, "  {at:#x}"),
        };
    }
    power::rt_shutdown(FAILED)
}

fn cpu_header() -> Option<&'static CpuHeader> {
    let p: *const CpuHeader;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, tpidr_el1", out(reg) p, options(nomem, nostack, preserves_flags)) };
    // SAFETY: null or the live header of this core: the entry code clears the register, and only
    // the seam's `set_percpu` and the secondary entry write it.
    unsafe { p.as_ref() }
}

fn thread_header() -> Option<&'static ThreadHeader> {
    let p: *const ThreadHeader;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, sp_el0", out(reg) p, options(nomem, nostack, preserves_flags)) };
    // SAFETY: null or the live header of the running thread, as above.
    unsafe { p.as_ref() }
}

/// The address the interrupt entry put aside before it pushed its frame.
fn interrupted_address() -> u64 {
    let at: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, tpidrro_el0", out(reg) at, options(nomem, nostack, preserves_flags)) };
    at
}

/// A line of text in place: the fault path does not allocate.
struct Line {
    bytes: [u8; 160],
    len: usize,
}

impl Line {
    const fn new() -> Self {
        Self {
            bytes: [0; 160],
            len: 0,
        }
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("(unreadable)")
    }
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let n = s.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}
