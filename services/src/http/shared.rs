//! What the connections of one HTTP server share: figures about requests, the event streams that are
//! open, and the demonstrations.
//!
//! Every core counts in lines of memory of its own, so that counting a request is no traffic between
//! cores. Who reads adds them up, at no particular moment.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use kernel::cpu::{this_cpu, topology};
use kernel::mem::try_vec_with_capacity;
use kernel::thread::ThreadCx;
use machine::Duration;
use netsvc::http::Status;

use super::demos::Demos;
use crate::server::Common;

/// Most event streams at once: each is a snapshot of the machine several times a second.
pub(super) const MOST_STREAMS: usize = 16;

/// Bounds of the histogram of durations, in nanoseconds.
pub(super) const BOUNDS: [u64; 17] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];
/// Those, and what takes longer than the last.
const BUCKETS: usize = BOUNDS.len() + 1;
/// Classes of status codes: 1xx to 5xx.
pub(super) const CLASSES: usize = 5;

/// One core's counters.
#[repr(align(64))]
#[derive(Debug, Default)]
struct Counters {
    classes: [AtomicU64; CLASSES],
    durations: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Counters {
    fn count(&self, status: Status) {
        let class = usize::from(status.code() / 100).wrapping_sub(1);
        if let Some(n) = self.classes.get(class) {
            n.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the connections of a server share.
#[derive(Debug)]
pub struct Shared {
    cores: Vec<Counters>,
    streams: AtomicUsize,
    /// Snapshots that were not written because their client did not keep up.
    skipped: AtomicU64,
    pub(super) demos: Demos,
}

/// Figures of all cores together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Figures {
    /// Replies by class of status, 1xx first.
    pub(super) classes: [u64; CLASSES],
    /// Requests that took no longer than each of [`BOUNDS`], and those that did; not cumulative.
    pub(super) durations: [u64; BUCKETS],
    /// How long they took together.
    pub(super) sum_ns: u64,
    /// Event streams open.
    pub(super) streams: usize,
    /// Snapshots that were skipped.
    pub(super) skipped: u64,
}

impl Figures {
    /// Replies of all classes.
    pub(super) fn replies(&self) -> u64 {
        self.classes.iter().sum()
    }
}

impl Common for Shared {
    fn new() -> Option<Self> {
        let n = topology().cpus().count();
        let mut cores = try_vec_with_capacity(n).ok()?;
        cores.resize_with(n, Counters::default);
        Some(Self {
            cores,
            streams: AtomicUsize::new(0),
            skipped: AtomicU64::new(0),
            demos: Demos::new(),
        })
    }

    fn end(&self, cx: &ThreadCx<'_>) {
        self.demos.end(cx);
    }
}

impl Shared {
    /// Some core's counters, nearly always this one's.
    fn here(&self) -> Option<&Counters> {
        self.cores.get(this_cpu().id().index())
    }

    /// Counts a reply.
    pub(super) fn replied(&self, status: Status) {
        if let Some(c) = self.here() {
            c.count(status);
        }
    }

    /// Counts a request that was answered in `time`.
    pub(super) fn answered(&self, status: Status, time: Duration) {
        let Some(c) = self.here() else { return };
        c.count(status);
        let ns = time.as_nanos();
        // From the first: most are that quick, and who took long has time to be counted.
        let bucket = BOUNDS.iter().position(|&bound| ns <= bound);
        c.durations[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Ordering::Relaxed);
        c.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Takes one of the places for event streams; false when all are taken.
    pub(super) fn enter(&self) -> bool {
        let free = |n: usize| (n < MOST_STREAMS).then_some(n + 1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.streams.fetch_update(set, get, free).is_ok()
    }

    /// Gives a place back.
    pub(super) fn leave(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts snapshots that were not written.
    pub(super) fn skip(&self, n: u64) {
        self.skipped.fetch_add(n, Ordering::Relaxed);
    }

    /// All there is to say.
    pub(super) fn figures(&self) -> Figures {
        let mut sum = Figures {
            streams: self.streams.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            ..Figures::default()
        };
        for c in &self.cores {
            let add = |sum: &mut [u64], more: &[AtomicU64]| {
                for (a, b) in sum.iter_mut().zip(more) {
                    *a += b.load(Ordering::Relaxed);
                }
            };
            add(&mut sum.classes, &c.classes);
            add(&mut sum.durations, &c.durations);
            sum.sum_ns += c.sum_ns.load(Ordering::Relaxed);
        }
        sum
    }
}
