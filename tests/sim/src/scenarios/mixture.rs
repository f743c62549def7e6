//! A bit of everything that draws on the engine: threads, yields, sleeps, IPIs.

use kernel::thread::{ThreadCx, sleep, yield_now};
use machine::Duration;
use sim::Scenario;

use crate::kit::{crowd, join};

/// Scenarios that belong to no subsystem.
pub(super) const ALL: &[Scenario] = &[MIXTURE];

/// Five threads yield and sleep for different times; all of them end.
pub const MIXTURE: Scenario = Scenario::new("mixture", 2, mixture)
    .about("threads that yield and sleep all come to their end")
    .cpus_range(1, 4);

fn mixture(cx: &ThreadCx<'_>) {
    let threads = crowd(5, |cx, i| {
        for round in 0..4 {
            yield_now(cx);
            sleep(cx, Duration::from_micros(10 * (i as u64 + round)));
        }
    });
    join(cx, &threads);
    kernel::println!("done at {:?}", machine::now());
}
