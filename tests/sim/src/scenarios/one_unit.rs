//! The scenario that `docs/testing.md` shows, word for word: a test compares the two.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kernel::semaphore::Semaphore;
use kernel::thread::{ThreadCx, sleep};
use sim::Scenario;

use crate::kit::{crowd, join, us};

/// The one scenario.
pub(super) const ALL: &[Scenario] = &[Scenario::new("one-unit", 2, one_unit)
    .about("a semaphore of one unit admits one thread at a time")
    .cpus_range(1, 8)];

fn one_unit(cx: &ThreadCx<'_>) {
    let (unit, inside) = (Arc::new(Semaphore::new(1)), Arc::new(AtomicU32::new(0)));
    let threads = crowd(4, move |cx, _| {
        unit.down(cx);
        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "two holders");
        sleep(cx, us(10));
        inside.fetch_sub(1, Ordering::Relaxed);
        unit.up();
    });
    join(cx, &threads);
}
