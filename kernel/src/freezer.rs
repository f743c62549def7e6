//! The freezer: queues that a sleeping machine has no use for start nothing until it wakes up (F5).
//!
//! A queue made `freezable` has no slots while the freezer is on: new items wait, running ones
//! finish, and so do those that have a slot. [`busy`] tells when the last of those has ended. Thawing gives the slots back; what waits
//! then starts as after any raised limit, pwq by pwq in turn. Other queues never notice.
//!
//! A flush or drain of a frozen queue with waiting items lasts until it thaws.

use core::sync::atomic::Ordering;

use crate::{kernel, wq};

/// No item of a freezable queue gets a slot from here on, until [`thaw`]. Does not wait for those that
/// have one. Any number of calls count as one.
pub fn freeze() {
    kernel().wq.frozen.store(true, Ordering::Relaxed);
    wq::apply_freezer();
}

/// Ends [`freeze`]: what waits may start.
pub fn thaw() {
    kernel().wq.frozen.store(false, Ordering::Relaxed);
    wq::apply_freezer();
}

/// The freezer is on.
#[must_use]
pub fn is_on() -> bool {
    kernel().wq.frozen.load(Ordering::Relaxed)
}

/// Items of freezable queues that got their slot before run, or are about to.
#[must_use]
pub fn busy() -> bool {
    wq::freezable_active() > 0
}
