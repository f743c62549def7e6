//! The console, for people: boot, warnings, panics. Nothing hot prints.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sync::{Rank, SpinLock};

use crate::kernel;

/// Serialises lines of different cores.
#[derive(Debug)]
pub(crate) struct Console {
    lock: SpinLock<()>,
    lines: AtomicU64,
    /// Whoever has the lock will never release it.
    given_up: AtomicBool,
}

impl Console {
    pub(crate) const fn new() -> Self {
        Self {
            lock: SpinLock::new(Rank::Console, "console", ()),
            lines: AtomicU64::new(0),
            given_up: AtomicBool::new(false),
        }
    }
}

/// Text to the console, line by line. What is left of a line is printed when dropped.
pub(crate) struct Lines {
    text: heapless::String<192>,
    print: fn(fmt::Arguments<'_>),
}

impl Lines {
    /// Waits for whoever prints.
    pub(crate) const fn new() -> Self {
        Self {
            text: heapless::String::new(),
            print: print_line,
        }
    }

    /// Waits for nobody for long: see [`print_line_unlocked`].
    pub(crate) const fn unlocked() -> Self {
        Self {
            text: heapless::String::new(),
            print: print_line_unlocked,
        }
    }

    fn end_line(&mut self) {
        (self.print)(format_args!("{}", self.text));
        self.text.clear();
    }
}

impl Write for Lines {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            // A line that is too long goes on in the next one.
            if c == '\n' || self.text.push(c).is_err() {
                self.end_line();
                if c != '\n' {
                    let _fits = self.text.push(c);
                }
            }
        }
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.end_line();
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

/// Lines printed so far.
#[must_use]
pub fn lines() -> u64 {
    kernel().console.lines.load(Ordering::Relaxed)
}

/// Writes a piece of text as it is, between the lines of others. It is no line of the log. Any context; waits
/// for the device with interrupts masked, so a piece is short.
pub fn write(piece: &[u8]) {
    let guard = kernel().console.lock.lock();
    machine::console_write(piece);
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
    let console = &kernel().console;
    let turns = match console.given_up.load(Ordering::Relaxed) {
        true => 1,
        false => 100_000,
    };
    for _ in 0..turns {
        guard = console.lock.try_lock();
        if guard.is_some() {
            break;
        }
        machine::relax();
    }
    if guard.is_none() {
        // A report has many lines, which do not all wait.
        console.given_up.store(true, Ordering::Relaxed);
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
