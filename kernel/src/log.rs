//! The console, for people: boot, warnings, panics. Nothing hot prints.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

use sync::{Rank, SpinLock};

use crate::kernel;

/// Serialises lines of different cores.
#[derive(Debug)]
pub(crate) struct Console {
    lock: SpinLock<()>,
    lines: AtomicU64,
}

impl Console {
    pub(crate) const fn new() -> Self {
        Self {
            lock: SpinLock::new(Rank::Console, "console", ()),
            lines: AtomicU64::new(0),
        }
    }
}

struct Raw;

impl Write for Raw {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        machine::console_write(s.as_bytes());
        Ok(())
    }
}

/// Prints one line. Any context; waits for the device with interrupts masked.
pub fn print_line(args: fmt::Arguments<'_>) {
    let console = &kernel().console;
    let guard = console.lock.lock();
    console.lines.fetch_add(1, Ordering::Relaxed);
    // The device cannot fail.
    let _ = writeln!(Raw, "{args}");
    drop(guard);
}

/// Prints one line with the time in front. Any context.
pub fn log_line(args: fmt::Arguments<'_>) {
    let ns = machine::now().as_nanos();
    let (s, us) = (ns / 1_000_000_000, ns / 1_000 % 1_000_000);
    print_line(format_args!("[{s:5}.{us:06}] {args}"));
}

/// Prints a line although the lock may be held by a core that will never release it: waits for it
/// for a bounded number of turns, then prints all the same.
pub(crate) fn print_line_unlocked(args: fmt::Arguments<'_>) {
    let mut guard = None;
    for _ in 0..100_000 {
        guard = kernel().console.lock.try_lock();
        if guard.is_some() {
            break;
        }
        machine::relax();
    }
    let _ = writeln!(Raw, "{args}");
    drop(guard);
}

/// Prints a line on the console.
#[macro_export]
macro_rules! println {
    ($($arg:tt)*) => { $crate::log::print_line(format_args!($($arg)*)) };
}

/// Prints a line with the time on the console.
#[macro_export]
macro_rules! log {
    ($($arg:tt)*) => { $crate::log::log_line(format_args!($($arg)*)) };
}
