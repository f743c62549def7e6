//! An item with a timer: run this in ten milliseconds, or later than I said, or not at all.
//!
//! While the timer is armed the item counts as pending, so the first deadline stands until you move
//! it with `mod_delayed`. A watchdog is one line: move its deadline each time there is a sign of life.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use kernel::thread::ThreadCx;
use kernel::wq::{self, DelayedWork, Run, Submitted};
use machine::{Duration, now};

/// Arms, moves, flushes and cancels a delayed item.
pub fn main(cx: &ThreadCx<'_>) {
    let item = Arc::new(DelayedWork::new(
        AtomicU64::new(0),
        |_: &ThreadCx<'_>, run: &Run<'_, AtomicU64>| {
            run.store(now().as_nanos(), Ordering::Relaxed);
        },
    ));
    let queue = wq::percpu(); // the default queue of the system
    let minute = Duration::from_secs(60);

    // Armed, then moved: only the last deadline counts.
    let began = now();
    assert_eq!(queue.queue_delayed(&item, minute), Submitted::Queued);
    let soon = Duration::from_millis(10);
    assert!(queue.mod_delayed(&item, soon).is_pending());
    while item.is_pending() {
        kernel::thread::sleep(cx, Duration::from_millis(1));
    }
    item.flush(cx).expect("the handler did not panic");
    let ran = item.load(Ordering::Relaxed);
    assert!(ran >= (began + soon).as_nanos(), "it ran early");

    // Flushing does not wait for the timer: the item runs now.
    assert_eq!(queue.queue_delayed(&item, minute), Submitted::Queued);
    assert_eq!(item.flush(cx), Ok(true));
    assert!(item.load(Ordering::Relaxed) > ran);

    // Called off. True: it was pending, and will not run.
    assert_eq!(queue.queue_delayed(&item, minute), Submitted::Queued);
    assert_eq!(item.cancel_sync(cx), Ok(true));
}
