//! Two halves: the urgent one in BH context, the leisurely one in a thread.
//!
//! BH items run right after the interrupt that queued them, before any thread of their core, and
//! must not sleep. Their handlers get a [`BhCx`], with which no function that sleeps can be called;
//! the compiler checks it. What takes long goes on to a queue whose handlers get a [`ThreadCx`].

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use kernel::completion::Completion;
use kernel::softirq::BhCx;
use kernel::thread::ThreadCx;
use kernel::wq::{self, Run, Softirq, Submitted, Work};

/// What both halves share.
#[derive(Default)]
struct Device {
    received: AtomicU32,
    handled: Completion,
}

/// The second half's item owns the device, the first half's item owns the second's.
type Slow = Arc<Work<Arc<Device>>>;

/// Passes one event through both halves.
pub fn main(cx: &ThreadCx<'_>) {
    let device = Arc::new(Device::default());
    let slow: Slow = Arc::new(Work::new(
        Arc::clone(&device),
        |cx: &ThreadCx<'_>, run: &Run<'_, Arc<Device>>| {
            kernel::thread::yield_now(cx); // may sleep here
            run.handled.complete();
        },
    ));
    let urgent = Arc::new(Work::new(
        slow,
        |_: &BhCx<'_>, run: &Run<'_, Slow, Softirq>| {
            run.received.fetch_add(1, Ordering::Relaxed);
            assert_eq!(wq::percpu().queue(&**run), Submitted::Queued);
        },
    ));
    // A driver does this in its interrupt handler.
    assert_eq!(wq::bh_highpri().queue(&urgent), Submitted::Queued);
    device.handled.wait(cx);
    assert_eq!(device.received.load(Ordering::Relaxed), 1);
}
