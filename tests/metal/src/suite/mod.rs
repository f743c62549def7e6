//! The tests themselves, one file per room of the kernel.

pub(crate) mod atomic;
pub(crate) mod boot;
pub(crate) mod memory;
pub(crate) mod sched;
pub(crate) mod sleep;
pub(crate) mod time;

/// Keeps the core busy for `d`.
pub(crate) fn busy_wait(d: machine::Duration) {
    let end = machine::now() + d;
    while machine::now() < end {
        machine::relax();
    }
}
