//! What is typed at the console.
//!
//! The device's interrupt takes the bytes into a ring and wakes whoever reads; what nobody reads in time
//! is dropped and counted, so typing never blocks anything. The board registers [`interrupt`] for its
//! console and allows the device to raise it.

use core::sync::atomic::{AtomicU64, Ordering};

use machine::{Duration, Instant};
use sync::{Rank, SpinLock};

use crate::kernel;
use crate::thread::ThreadCx;
use crate::wait::WaitQueue;

/// Bytes that are kept for a reader.
pub const BYTES: usize = 512;

/// A kernel's typed bytes.
#[derive(Debug)]
pub(crate) struct Input {
    ring: SpinLock<heapless::Deque<u8, BYTES>>,
    lost: AtomicU64,
    readers: WaitQueue,
}

impl Input {
    pub(crate) const fn new() -> Self {
        Self {
            ring: SpinLock::new(Rank::Leaf, "typed bytes", heapless::Deque::new()),
            lost: AtomicU64::new(0),
            readers: WaitQueue::new(),
        }
    }
}

/// Takes what was typed; the console's interrupt handler. Hard-interrupt context, or with interrupts
/// masked.
pub fn interrupt(_: usize) {
    let input = &kernel().input;
    let mut any = false;
    let mut ring = input.ring.lock();
    // A device that never runs dry raises it again.
    for byte in core::iter::from_fn(machine::console_read).take(BYTES) {
        any = true;
        if ring.push_back(byte).is_err() {
            input.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
    drop(ring);
    if any {
        input.readers.wake_all();
    }
}

/// Bytes that were typed and dropped, since nobody read.
#[must_use]
pub fn lost() -> u64 {
    kernel().input.lost.load(Ordering::Relaxed)
}

/// Reads what was typed, sleeping until something is or the time is `at` (never, if that is
/// [`Instant::FOREVER`]). The number of bytes; 0 when the time is over.
pub fn read(cx: &ThreadCx<'_>, buffer: &mut [u8], at: Instant) -> usize {
    let input = &kernel().input;
    let there = || !input.ring.lock().is_empty();
    if at == Instant::FOREVER {
        input.readers.wait_until(cx, there);
    } else {
        let left = at.since(machine::now().min(at));
        // Nothing typed is no error.
        let _ = input
            .readers
            .wait_timeout(cx, left.max(Duration::ZERO), there);
    }
    let mut ring = input.ring.lock();
    let mut n = 0;
    while n < buffer.len()
        && let Some(byte) = ring.pop_front()
    {
        buffer[n] = byte;
        n += 1;
    }
    n
}
