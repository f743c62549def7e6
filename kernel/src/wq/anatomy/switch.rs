//! Whether items are followed, and which.

use core::sync::atomic::{AtomicU64, Ordering};

use machine::Duration;

use crate::wq::observed;
use crate::{kernel, trace};

/// Whether the anatomy is on, and how often it follows an item.
#[derive(Debug)]
pub(in crate::wq) struct Switch {
    since: AtomicU64,
    /// In nanoseconds, what [`set_anatomy_gap`] was told.
    asked: AtomicU64,
    /// The same in ticks; none, while each item is to be told of.
    gap: AtomicU64,
}

/// What [`anatomy_gap`] says unless somebody changes it: following an item costs about 100 instructions, so at most a few per cent
/// of a core's time.
const GAP: Duration = Duration::from_micros(64);
/// The longest gap.
const LONGEST_GAP: Duration = Duration::from_secs(1);

impl Switch {
    /// On from the beginning.
    pub(in crate::wq) const fn new() -> Self {
        Self {
            since: AtomicU64::new(1),
            asked: AtomicU64::new(GAP.as_nanos()),
            gap: AtomicU64::new(0),
        }
    }

    /// Reading of the counter at which it was turned on, at least 1; `u64::MAX` while it is off.
    #[inline(always)]
    pub(super) fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    /// Ticks from an item of a share that is followed to the next one.
    #[inline(always)]
    pub(super) fn gap(&self) -> u64 {
        self.gap.load(Ordering::Relaxed)
    }

    /// Notes the gap: none, where `all` items are to be told of.
    pub(in crate::wq) fn note_gap(&self, all: bool) {
        let asked = Duration::from_nanos(self.asked.load(Ordering::Relaxed));
        let gap = if all { 0 } else { machine::stamp_span(asked) };
        self.gap.store(gap, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn is_on(&self) -> bool {
        self.since() != u64::MAX
    }
}

/// How far apart two items of a queue on one core (or in one pod) are queued at least, if both are followed: zero, if all are.
#[must_use]
pub fn anatomy_gap() -> Duration {
    Duration::from_nanos(kernel().wq.anatomy.asked.load(Ordering::Relaxed))
}

/// Sets what [`anatomy_gap`] says, at most a second. With a gap that is not zero items that come apart are all followed, and of
/// a burst some, closer to each other at its beginning: the figures of [`super::QueueLatency`] are those of the followed
/// ones. CPU time ([`crate::wq::QueueInfo::cpu_time_ns`]) is that of all. While somebody records the trace's category `latency`
/// all are followed. Context as [`set_anatomy`].
pub fn set_anatomy_gap(gap: Duration) {
    let asked = &kernel().wq.anatomy.asked;
    asked.store(gap.min(LONGEST_GAP).as_nanos(), Ordering::Relaxed);
    observed::changed();
}

/// Turns the latency anatomy on or off, at once, for all queues. What ran or waited at that moment is
/// left out. The books stay. With no spin lock held; in O(shares of all queues), with interrupts masked, so not where time
/// is short.
pub fn set_anatomy(on: bool) {
    let switch = &kernel().wq.anatomy.since;
    if !on {
        switch.store(u64::MAX, Ordering::Relaxed);
    } else if switch.load(Ordering::Relaxed) == u64::MAX {
        switch.store(machine::stamp().max(1), Ordering::Relaxed);
    }
    // Until both say the same: somebody else may change it meanwhile.
    while {
        let on = kernel().wq.anatomy.is_on();
        trace::set_anatomy(on);
        on != kernel().wq.anatomy.is_on()
    } {}
    observed::changed();
    // Meanwhile some shares had been told and some not: stamps from before now are no use.
    if on {
        let later = |since| (since != u64::MAX).then(|| machine::stamp().max(1));
        let order = Ordering::Relaxed;
        let _before = switch.fetch_update(order, order, later);
    }
}

/// Whether the latency anatomy is on. It is, unless somebody turned it off.
#[must_use]
pub fn anatomy() -> bool {
    kernel().wq.anatomy.is_on()
}
