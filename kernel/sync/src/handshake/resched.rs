//! "Pick again": a core's `need_resched` flag, set by anyone, answered by its scheduler.
//!
//! The flag is a plain atomic in the core's header, because the interrupt vectors read it.

use crate::atomic::{Ordering, PlainBool, sync_point};

/// Wants another core to pick again. True when it must be interrupted; otherwise an
/// earlier request is still unanswered and serves this one too: the answer is an update that reads
/// ours, so it sees what we stored before.
#[inline]
#[must_use]
pub fn request(flag: &PlainBool) -> bool {
    sync_point();
    !flag.swap(true, Ordering::Release)
}

/// Wants the calling core to pick again. Relaxed: a core sees its own stores.
#[inline]
pub fn request_here(flag: &PlainBool) {
    sync_point();
    flag.store(true, Ordering::Relaxed);
}

/// The scheduler answers: what was stored before the requests is visible to the look that follows.
/// True if there was one.
///
/// Where it finds none there is nothing to answer: whoever asks later finds none either, and
/// interrupts this core.
#[inline(always)]
pub fn answer(flag: &PlainBool) -> bool {
    sync_point();
    flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::AcqRel)
}
