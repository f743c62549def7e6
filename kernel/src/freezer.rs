//! The freezer: queues that a sleeping machine has no use for start nothing until it wakes up (F5).
//!
//! A queue made `freezable` has no slots while the freezer is on: new items wait, running ones
//! finish, and so do those that have a slot. [`busy`] tells when the last of those has ended. Thawing gives the slots back; what waits
//! then starts as after any raised limit, pwq by pwq in turn. Other queues never notice.
//!
//! A flush or drain of a frozen queue with waiting items lasts until it thaws.
//!
//! Suspending the machine freezes for itself: neither does its end thaw what somebody else froze
//! meanwhile, nor does somebody's [`thaw`] start items on a machine that falls asleep.

use core::sync::atomic::Ordering;

use crate::{kernel, wq};

/// Somebody called [`freeze`].
const ASKED: u8 = 1;
/// The machine is being suspended.
const SUSPENDED: u8 = 2;

/// No item of a freezable queue gets a slot from here on, until [`thaw`]. Does not wait for those that
/// have one. Any number of calls count as one.
pub fn freeze() {
    set(ASKED, true);
}

/// Ends [`freeze`]: what waits may start, when the machine is not being suspended.
pub fn thaw() {
    set(ASKED, false);
}

/// As [`freeze`] and [`thaw`], for one who suspends the machine.
pub(crate) fn suspended(begins: bool) {
    set(SUSPENDED, begins);
}

fn set(why: u8, on: bool) {
    let frozen = &kernel().wq.frozen;
    if on {
        frozen.fetch_or(why, Ordering::Relaxed);
    } else {
        frozen.fetch_and(!why, Ordering::Relaxed);
    }
    // Each queue looks under its lock, so the last to come sees what all before have said.
    wq::apply_freezer();
}

/// The freezer is on.
#[must_use]
pub fn is_on() -> bool {
    kernel().wq.frozen.load(Ordering::Relaxed) != 0
}

/// Items of freezable queues that got their slot before run, or are about to.
#[must_use]
pub fn busy() -> bool {
    wq::freezable_active() > 0
}
