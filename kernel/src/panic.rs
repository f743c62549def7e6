//! When something is broken: report it, and stop as little as is safe.
//!
//! A panic in a work item, in thread context and without a spin lock held, kills its worker only
//! (Linux has nothing like it): the mutexes it holds become poisoned and are released,
//! the pool replaces the worker and frees its slot, and the stack is kept out of circulation. No
//! unwinding: destructors of the dead frames never run, which leaks but corrupts nothing. So does a
//! panic of any thread that named a [survivor](crate::thread::Survivor), who is told.
//!
//! Any other panic, and every fault the machine layer cannot mend, is fatal: it stops the other
//! cores, prints one block and ends the machine with code 101. The block holds the reason, core, thread
//! and item, registers of a fault, the backtrace with names, the last events of each core, and what
//! cores, waiting threads and pools were doing. `cargo xtask decode` adds source lines to its addresses.

use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::Ordering;

use machine::Fault;

use crate::cpu::try_this_cpu;
use crate::kernel::PanicPolicy;
use crate::log::{Lines, print_line_unlocked};
use crate::thread::{self, Thread};
use crate::{dump, ipi, kernel, mutex, trace, wq};

/// Exit code of a panic.
pub const EXIT_CODE: u8 = 101;

const MAX_FRAMES: usize = 32;
/// Events of each core in the report.
const EVENTS: usize = 32;

/// The board's panic handler calls this.
pub fn on_panic(info: &PanicInfo<'_>) -> ! {
    let (file, line) = info.location().map_or(("?", 0), |l| (l.file(), l.line()));
    panicked(format_args!("{}", info.message()), file, line)
}

/// As [`on_panic`], for a board whose language runtime has taken the panic apart already.
pub fn panicked(message: fmt::Arguments<'_>, file: &str, line: u32) -> ! {
    match why_fatal() {
        None => kill_thread(message, (file, line)),
        Some(why) => fatal(why, format_args!("{message}, at {file}:{line}"), None, 0),
    }
}

/// Hook: a fault the machine layer cannot mend.
pub(crate) fn on_fault(f: &Fault<'_>) -> ! {
    if f.stack_overflow {
        let name = try_this_cpu().map_or("early boot", |_| thread::current().name());
        fatal(
            "",
            format_args!("stack overflow in thread {name}"),
            Some(f),
            f.fp,
        )
    }
    fatal("", format_args!("{}", f.what), Some(f), f.fp)
}

/// `None` when only the running thread has to die, else what makes the panic fatal.
fn why_fatal() -> Option<&'static str> {
    if try_this_cpu().is_none() {
        return Some("in early boot");
    }
    if sync::in_hardirq() {
        return Some("in an interrupt handler");
    }
    if sync::serving_softirq() {
        return Some("in BH context");
    }
    if !machine::percpu().held.is_empty() || sync::in_atomic() {
        return Some("while holding a spin lock or with preemption off");
    }
    let me = thread::current();
    if me.survivors.is_told() {
        return Some("while its thread was dying");
    }
    if !me.survivors.is_named() && wq::current_item(me).is_none() {
        return Some("outside any work item");
    }
    if kernel().panic_policy() == PanicPolicy::Halt {
        return Some("with panic=halt");
    }
    None
}

fn kill_thread(message: fmt::Arguments<'_>, (file, line): (&str, u32)) -> ! {
    let me = thread::current();
    let (what, who) = match wq::current_item(me) {
        Some(_) => ("work item", "worker"),
        None => ("thread", "thread"),
    };
    crate::println!("{what} panicked: {message}, at {file}:{line}");
    report_place(me);
    report_backtrace(0);
    // What it spawned may borrow from whoever waits for its item, and from what its mutexes protect.
    wq::wait_for_open_scopes(me);
    let poisoned = mutex::abandon(me);
    crate::println!(
        "  {who} \"{}\" dies, {poisoned} mutex(es) poisoned",
        me.name()
    );
    me.quarantine();
    me.survivors.tell();
    wq::worker_panicked(me);
    thread::exit()
}

/// Reports and ends the machine.
fn fatal(why: &str, what: fmt::Arguments<'_>, fault: Option<&Fault<'_>>, fp: usize) -> ! {
    machine::irq_disable();
    if kernel().panicking.swap(true, Ordering::AcqRel) {
        // Another core reports, or the report itself went wrong.
        if reporter_is_this_core() {
            machine::console_write(b"\npanic while panicking\n");
            machine::shutdown(EXIT_CODE);
        }
        loop {
            machine::relax();
        }
    }
    if let Some(c) = try_this_cpu() {
        kernel()
            .panicking_cpu
            .store(c.id().index() as u32, Ordering::Relaxed);
        ipi::stop_others();
    }
    print_line_unlocked(format_args!("\nkernel panic: {what}"));
    if !why.is_empty() {
        print_line_unlocked(format_args!("  fatal because it happened {why}"));
    }
    if try_this_cpu().is_some() {
        report_place(thread::current());
    }
    if let Some(f) = fault {
        report_fault(f);
    }
    report_backtrace(fp);
    if try_this_cpu().is_some() {
        report_machine();
    }
    print_line_unlocked(format_args!("end of panic report"));
    machine::shutdown(EXIT_CODE)
}

/// What everybody did: the last events of each core, then cores, waiting threads and pools. Waits for no
/// lock, since its holder may be dead.
fn report_machine() {
    // The simulator's report has the events, by stable names: these name things by address.
    let cores = if machine::OBSERVED {
        &[]
    } else {
        kernel().try_cpus().unwrap_or_default()
    };
    for c in cores {
        for (n, event) in trace::newest(c.id(), EVENTS).enumerate() {
            if n == 0 {
                print_line_unlocked(format_args!("last events of core {}:", c.id()));
            }
            print_line_unlocked(format_args!("  {}", trace::Line(&event)));
        }
    }
    // The console takes everything.
    let _ = dump::write(&mut Lines::unlocked());
}

fn reporter_is_this_core() -> bool {
    try_this_cpu()
        .is_none_or(|c| kernel().panicking_cpu.load(Ordering::Relaxed) == c.id().index() as u32)
}

fn report_place(t: &Thread) {
    let core = t.cpu();
    print_line_unlocked(format_args!(
        "  core {core}, thread \"{}\" (id {})",
        t.name(),
        t.id()
    ));
    let item = if sync::serving_softirq() {
        wq::bh::current_item()
    } else {
        wq::current_item(t)
    };
    if let Some(item) = item {
        print_line_unlocked(format_args!("  running work item {item}"));
    }
}

fn report_fault(f: &Fault<'_>) {
    print_line_unlocked(format_args!(
        "  pc {:#018x} sp {:#018x} syndrome {:#010x}",
        f.pc, f.sp, f.syndrome
    ));
    if let Some(a) = f.address {
        print_line_unlocked(format_args!("  address {a:#018x}"));
    }
    for (i, quad) in f.registers.chunks(4).enumerate() {
        let at = |n: usize| quad.get(n).copied().unwrap_or(0);
        print_line_unlocked(format_args!(
            "  x{:<2} {:016x} {:016x} {:016x} {:016x}",
            i * 4,
            at(0),
            at(1),
            at(2),
            at(3)
        ));
    }
    print_line_unlocked(format_args!("  at {}", Symbol(f.pc)));
}

fn report_backtrace(fp: usize) {
    let mut frames = [0; MAX_FRAMES];
    let n = machine::backtrace(fp, &mut frames);
    for (i, &pc) in frames.iter().take(n).enumerate() {
        // A return address names the instruction after the call, which may belong to the next
        // function when the call does not return.
        print_line_unlocked(format_args!("  #{i:<2} {}", Symbol(pc.saturating_sub(1))));
    }
}

/// Prints return addresses, innermost first, with the names of their functions.
pub(crate) fn tell_frames(frames: &[usize]) {
    for (i, &pc) in frames.iter().enumerate() {
        // As in `report_backtrace`.
        crate::println!("    #{i:<2} {}", Symbol(pc.saturating_sub(1)));
    }
}

/// Name and offset of the function at a code address, when the image has a symbol table.
pub(crate) fn symbol_of(pc: usize) -> Option<(&'static str, usize)> {
    kernel().try_info().and_then(|i| (i.symbolize)(pc))
}

/// A code address, shown with its function's name when the image has a symbol table.
pub(crate) struct Symbol(pub(crate) usize);

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)?;
        match symbol_of(self.0) {
            Some((name, offset)) => write!(f, " {name}+{offset:#x}"),
            None => Ok(()),
        }
    }
}
