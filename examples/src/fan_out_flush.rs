//! Divide and wait: one item per core, one flush for all of them.
//!
//! The alternative, a thread per part, costs a stack and a wake-up each. Here every core's worker
//! takes its part as soon as it is free, and `flush` returns when all parts queued before it are
//! over. What others queue meanwhile does not delay it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use kernel::cpu::online;
use kernel::thread::ThreadCx;
use kernel::wq::{PerCpu, Run, Submitted, Work, Workqueue};

/// One part of the sum, and where it goes.
struct Part {
    range: Range<u64>,
    total: Arc<AtomicU64>,
}

/// Adds the numbers below 10,000 on all cores.
pub fn main(cx: &ThreadCx<'_>) {
    const N: u64 = 10_000;
    let queue = Workqueue::<PerCpu>::builder("sum").build();
    let queue = queue.expect("memory for a queue");
    let total = Arc::new(AtomicU64::new(0));
    let cores = online().count() as u64;
    let parts: Vec<_> = online()
        .iter()
        .zip(0..)
        .map(|(cpu, n)| {
            let range = N * n / cores..N * (n + 1) / cores;
            let total = Arc::clone(&total);
            let sum = |_: &ThreadCx<'_>, run: &Run<'_, Part>| {
                let sum = run.range.clone().sum();
                run.total.fetch_add(sum, Ordering::Relaxed);
            };
            (cpu, Arc::new(<Work<Part>>::new(Part { range, total }, sum)))
        })
        .collect();
    for (cpu, part) in &parts {
        assert_eq!(queue.queue_on(*cpu, part), Submitted::Queued);
    }
    queue.flush(cx).expect("not called from one of its items");
    assert_eq!(total.load(Ordering::Relaxed), N * (N - 1) / 2);
    queue.destroy(cx).expect("not called from one of its items");
}
