//! Shapes whose other side is a device or no type of ours: what the code does is repeated here.

use loom::thread;
use model_tests::atomic::{AtomicBool, AtomicU32, Ordering, fence_full};
use model_tests::{Weak, breaks, holds, made};

use crate::bell::Bell;
use std::sync::Arc;

/// The bare litmus (store buffering): store, fence, load on both sides; one sees the other.
fn store_buffering() {
    let (x, y) = (made(AtomicBool::new(false)), made(AtomicBool::new(false)));
    let (x2, y2) = (x.clone(), y.clone());
    let other = thread::spawn(move || {
        x2.store(true, Ordering::Release);
        fence_full();
        y2.load(Ordering::Acquire)
    });
    y.store(true, Ordering::Release);
    fence_full();
    let seen = x.load(Ordering::Acquire);
    assert!(seen | other.join().expect("ends"), "both missed the other");
}

#[test]
fn store_fence_load_on_both_sides() {
    holds(store_buffering);
    breaks(Weak::Fence, store_buffering);
}

/// A virtio queue as far as its flags go: `filled` counts what one side put into it, `quiet` is the
/// other side's wish not to be told.
#[derive(Debug)]
struct Queue {
    filled: AtomicU32,
    quiet: AtomicBool,
    told: AtomicBool,
}

impl Queue {
    fn new() -> Arc<Self> {
        made(Self {
            filled: AtomicU32::new(0),
            quiet: AtomicBool::new(true),
            told: AtomicBool::new(false),
        })
    }

    /// `Virtqueue::kick`, and what the device does after it filled a receive buffer.
    fn put_and_tell(&self) {
        self.filled.store(1, Ordering::Release);
        fence_full();
        if !self.quiet.load(Ordering::Relaxed) {
            self.told.store(true, Ordering::Release);
        }
    }

    /// `NetDevice::set_interrupts(true)` with its last look, and what the device does before it
    /// stops looking at the transmit queue.
    fn listen_and_look(&self) -> bool {
        self.quiet.store(false, Ordering::Relaxed);
        fence_full();
        self.filled.load(Ordering::Acquire) != 0
    }
}

fn suppression() {
    let q = Queue::new();
    let q2 = q.clone();
    let other = thread::spawn(move || q2.put_and_tell());
    let seen = q.listen_and_look();
    other.join().expect("ends");
    assert!(
        seen || q.told.load(Ordering::Acquire),
        "a buffer lies there and nobody comes"
    );
}

#[test]
fn notification_suppression_loses_no_buffer() {
    holds(suppression);
    breaks(Weak::Fence, suppression);
}

/// A mutex whose holder dies (`mutex::abandon`): the waiter says that it waits and looks whether the
/// holder is gone, the dying thread does it the other way round. Nobody unlocks, so the flag alone
/// publishes what the dead one left in the mutex.
fn abandoned() {
    #[derive(Debug)]
    struct Mutex {
        value: AtomicU32,
        gone: AtomicBool,
        waits: AtomicBool,
        wake: Bell,
    }
    let m = made(Mutex {
        value: AtomicU32::new(0),
        gone: AtomicBool::new(false),
        waits: AtomicBool::new(false),
        wake: Bell::new(),
    });
    let m2 = m.clone();
    let holder = thread::spawn(move || {
        m2.value.store(1, Ordering::Relaxed);
        m2.gone.store(true, Ordering::Release);
        fence_full();
        if m2.waits.load(Ordering::Relaxed) {
            m2.wake.ring();
        }
    });
    m.waits.store(true, Ordering::Relaxed);
    fence_full();
    while !m.gone.load(Ordering::Acquire) {
        m.wake.wait();
    }
    let value = m.value.load(Ordering::Relaxed);
    assert_eq!(value, 1, "the next holder sees an older value");
    holder.join().expect("ends");
}

#[test]
fn a_dead_holders_mutex_is_passed_on() {
    holds(abandoned);
    breaks(Weak::Fence, abandoned);
    breaks(Weak::Release, abandoned);
    breaks(Weak::Acquire, abandoned);
}
