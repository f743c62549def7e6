//! A work item owns a value and a function; a queue runs it later, in a worker thread.
//!
//! You need no thread of your own, and nothing is allocated when you queue: the queue borrows the
//! item's `Arc`. Queueing an item that waits already changes nothing, and the answer says so; so
//! "queue it whenever there may be something to do" is the usual style.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{PerCpu, Run, Submitted, Work, Workqueue};
use machine::Duration;

/// Counts its runs in a queue of its own.
pub fn main(cx: &ThreadCx<'_>) {
    // Per-CPU: items run on the core that queues them. At most one of this queue at a time.
    let queue = Workqueue::<PerCpu>::builder("example").max_active(1);
    let queue = queue.build().expect("memory for a queue");

    // The handler gets a token that says "you may sleep", and the run: the item's value and more.
    let item = Arc::new(Work::new(
        AtomicU32::new(0),
        |cx: &ThreadCx<'_>, run: &Run<'_, AtomicU32>| {
            sleep(cx, Duration::from_millis(1));
            run.fetch_add(1, Ordering::Relaxed);
        },
    ));

    assert_eq!(queue.queue(&item), Submitted::Queued);
    // Wait for this item; the value is readable from everywhere.
    item.flush(cx).expect("the handler did not panic");
    assert_eq!(item.load(Ordering::Relaxed), 1);

    // Queued again before it has run: one run serves both.
    assert_eq!(queue.queue(&item), Submitted::Queued);
    let again = queue.queue(&item);
    assert!(again.is_pending(), "{again:?}");

    // Waits for what is queued, then ends the queue.
    queue.destroy(cx).expect("not called from one of its items");
    assert!(item.load(Ordering::Relaxed) >= 2);
}
