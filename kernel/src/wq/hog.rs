//! Work items that hog their core: counted by function, named on the console (E14-E16).
//!
//! An item that uses its budget of CPU time in one go leaves concurrency management, so that its
//! pool goes on without it. Somebody should know which function it was: it belongs on an unbound
//! or CPU-intensive queue. The console hears of a function at its 4th, 5th, 7th, 11th, 19th, ...
//! time: early, and ever more seldom.
//!
//! The times are exact: the core's one-shot timer is set for the end of the budget, which stands
//! still while the worker is preempted or sleeps (`crate::timer::CoreClock`).

use core::sync::atomic::{AtomicU64, Ordering};

use sync::{Rank, SpinLock};

use super::header::Header;
use crate::kernel;
use machine::Duration;

/// Most functions that are counted by name (E16).
const FUNCTIONS: usize = 128;
/// The first count that is worth a line, unless somebody says otherwise (N2).
const FIRST_REPORT: u64 = 4;

/// A function whose items used up their budget.
#[derive(Clone, Copy, Debug)]
pub struct Hog {
    /// Address of the handler.
    pub function: usize,
    /// Type of its items' values.
    pub name: &'static str,
    /// Executions that used up their budget.
    pub count: u64,
}

/// Hogs by function, and how often it happened in all.
#[derive(Debug)]
pub(super) struct Hogs {
    table: SpinLock<heapless::Vec<Hog, FUNCTIONS>>,
    total: AtomicU64,
    /// `[A]` the first count that is worth a line; 0 is none.
    first_report: AtomicU64,
}

impl Hogs {
    pub(super) const fn new() -> Self {
        Self {
            table: SpinLock::new(Rank::Leaf, "work hogs", heapless::Vec::new()),
            total: AtomicU64::new(0),
            first_report: AtomicU64::new(FIRST_REPORT),
        }
    }

    /// Counts one more time for the function of item `h`; what to report, if it is time to.
    pub(super) fn count(&self, h: &Header) -> Option<Hog> {
        self.total.fetch_add(1, Ordering::Relaxed);
        let function = h.function();
        let mut table = self.table.lock();
        let hog = match table.iter().position(|hog| hog.function == function) {
            Some(i) => &mut table[i],
            None => {
                let new = Hog {
                    function,
                    name: (h.vtable.name)(),
                    count: 0,
                };
                // With a full table the rest is counted in the total only.
                table.push(new).ok()?;
                table.last_mut()?
            }
        };
        hog.count += 1;
        let first = self.first_report.load(Ordering::Relaxed);
        let due = first > 0 && hog.count >= first && (hog.count + 1 - first).is_power_of_two();
        due.then_some(*hog)
    }
}

/// Prints what [`Hogs::count`] found worth it.
pub(super) fn report(hog: &Hog, budget: Duration) {
    let (function, offset) = (kernel().info().symbolize)(hog.function).unwrap_or(("?", 0));
    crate::log!(
        "workqueue: {function}+{offset:#x} (item of {}) hogged CPU for >{}us {} times, consider an unbound queue",
        hog.name,
        budget.as_micros(),
        hog.count
    );
}

/// Executions so far that used up their budget of CPU time.
#[must_use]
pub fn hog_count() -> u64 {
    kernel().wq.hogs.total.load(Ordering::Relaxed)
}

/// Every function whose items used up their budget, through `f`, called under a lock.
pub fn for_each_hog(f: impl FnMut(&Hog)) {
    kernel().wq.hogs.table.lock().iter().for_each(f);
}

/// The count of a function's hogging executions that is told first; 0 is none.
#[must_use]
pub fn warning_threshold() -> u64 {
    kernel().wq.hogs.first_report.load(Ordering::Relaxed)
}

/// Sets which count of a function's hogging executions is told first, and with it which ones after
/// that (E16, N2); 0 for none.
pub fn set_warning_threshold(count: u64) {
    let first = &kernel().wq.hogs.first_report;
    first.store(count, Ordering::Relaxed);
}
