//! The trace ring: a writer and a reader elsewhere. The reader never takes a torn event for a whole
//! one.
//!
//! The writer is alone on its core: an event is written with interrupts masked.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;
use trace::{Categories, Ring, Word};

/// The smallest ring.
const N: usize = 4;

loom::lazy_static! {
    static ref STEP: AtomicU64 = AtomicU64::new(0);
}

/// A place where the other thread may go on. loom finds those by itself, but it compares an access
/// with the last one of the same word only, and the writer reads the count before it stores it; that
/// hides the reader's look. Relaxed, so it orders nothing.
fn step() {
    STEP.fetch_add(1, Ordering::Relaxed);
}

/// What becomes of the ring's fences.
const KEPT: u8 = 0;
const NONE: u8 = 1;
/// "A release store of the count will do": the fence before it becomes its ordering.
const MERGED: u8 = 2;

thread_local! {
    // Only the writer has release fences, so only its next store can be meant.
    static RELEASE_NEXT: Cell<bool> = const { Cell::new(false) };
}

/// loom's atomic.
#[derive(Debug)]
struct Loom<const FENCES: u8>(AtomicU64);

impl<const FENCES: u8> Word for Loom<FENCES> {
    fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }
    fn load(&self, order: Ordering) -> u64 {
        step();
        self.0.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        let merged = RELEASE_NEXT.replace(false);
        step();
        let order = if merged { Ordering::Release } else { order };
        self.0.store(value, order);
    }
    fn fence(order: Ordering) {
        match FENCES {
            NONE => {}
            MERGED if order == Ordering::Release => RELEASE_NEXT.set(true),
            _ => fence(order),
        }
    }
}

/// An event whose words all say the same.
fn event(n: u64) -> [u64; 4] {
    [n, !n, n, !n]
}

/// A full ring; the writer goes on over the oldest events while a reader reads them.
fn beside_the_writer<A: Word + Send + Sync + 'static>() {
    let ring: Arc<Ring<N, A>> = Arc::new(Ring::new(Categories::ALL).expect("memory"));
    for n in 0..N as u64 {
        ring.push(event(n));
    }
    let writer = {
        let ring = ring.clone();
        thread::spawn(move || (4..7).for_each(|n| ring.push(event(n))))
    };
    // The oldest event that can be read; event 6 takes its place.
    if let Some(words) = ring.get(2) {
        assert_eq!(words, event(2), "a torn event, or another one's");
    }
    writer.join().expect("ends");
    assert_eq!(ring.get(6), Some(event(6)));
    assert_eq!(ring.get(2), None, "overwritten");
}

/// An event that is not there yet.
fn ahead_of_the_writer<A: Word + Send + Sync + 'static>() {
    let ring: Arc<Ring<N, A>> = Arc::new(Ring::new(Categories::ALL).expect("memory"));
    let writer = {
        let ring = ring.clone();
        thread::spawn(move || ring.push(event(0)))
    };
    if let Some(words) = ring.get(0) {
        assert_eq!(words, event(0), "an event before it was written");
    }
    writer.join().expect("ends");
}

fn must_fail(what: &str, model: impl Fn() + Sync + Send + 'static) {
    let result = catch_unwind(AssertUnwindSafe(|| check(model)));
    assert!(result.is_err(), "the ring passes {what}");
}

/// Ten words and two fences have too many stale reads for every interleaving.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

#[test]
fn an_event_is_whole_or_not_there() {
    check(ahead_of_the_writer::<Loom<KEPT>>);
    must_fail("without fences", ahead_of_the_writer::<Loom<NONE>>);
}

#[test]
fn an_overwritten_event_is_thrown_away() {
    check(beside_the_writer::<Loom<KEPT>>);
    must_fail("without fences", beside_the_writer::<Loom<NONE>>);
}

#[test]
fn a_release_store_of_the_count_is_not_enough() {
    must_fail("with a release store", beside_the_writer::<Loom<MERGED>>);
}
