//! Items that borrow, and items that end together.
//!
//! What a queue has may outlive whoever queued it, so it owns its value. A scope waits for what was spawned in
//! it, so that may borrow: here each part of a table is filled in place, by whichever worker is free. A
//! group ends a set of items that go on by themselves: none is left when it was cancelled, in whatever
//! order they queue each other.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{self, DelayedWork, Group, Run, Submitted, Task};
use machine::Duration;

/// Fills a table in four parts, then lets two items tick and ends both.
pub fn main(cx: &ThreadCx<'_>) {
    squares(cx);
    tickers(cx);
}

fn squares(cx: &ThreadCx<'_>) {
    let mut table = [0_u64; 64];
    let mut parts = table.chunks_mut(16).enumerate().map(|(n, part)| {
        Task::new(move |_: &ThreadCx<'_>| {
            for (i, cell) in part.iter_mut().enumerate() {
                *cell = (16 * n + i).pow(2) as u64;
            }
            part.len()
        })
    });
    // On this stack, like the table: nothing is allocated.
    let mut parts: [_; 4] = core::array::from_fn(|_| parts.next().expect("four parts"));
    let spawned = wq::unbound().scope(cx, |s| {
        for part in &mut parts {
            s.spawn(part).expect("the system's queues never drain");
        }
    });
    spawned.expect("no part panicked");
    let filled: usize = parts.iter_mut().filter_map(Task::take).sum();
    assert_eq!(filled, 64);
    assert_eq!(table[63], 63 * 63);
}

fn tickers(cx: &ThreadCx<'_>) {
    let tick = |_: &ThreadCx<'_>, run: &Run<'_, AtomicU32>| {
        run.fetch_add(1, Ordering::Relaxed);
        if let Some(item) = run.delayed() {
            // Refused while the group is being cancelled; then it ends.
            let _ = wq::percpu().queue_delayed(item, Duration::from_millis(1));
        }
    };
    let group = Group::with_capacity(2).expect("memory for a group");
    let items = [(); 2].map(|()| Arc::new(<DelayedWork<AtomicU32>>::new(0.into(), tick)));
    for item in &items {
        assert_eq!(group.join(item), Ok(()));
        let at_once = wq::percpu().queue_delayed(item, Duration::ZERO);
        assert_eq!(at_once, Submitted::Queued);
    }
    sleep(cx, Duration::from_millis(5));
    let found = group.cancel_all_sync(cx).expect("not one of its items");
    assert_eq!(found.poisoned, 0);
    assert!(items.iter().all(|i| i.busy() == (false, false)));
}
