//! Time: sleeps are long enough and not much too long; slices end; nobody starves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kernel::thread::{ThreadCx, sleep};
use machine::{Duration, now};
use sim::{Scenario, sweep};
use sim_tests::{crowd, join};

/// More sleepers than cores, all with little to do: each wakes within 100 us of its time.
fn sleep_accuracy(cx: &ThreadCx<'_>) {
    let threads = crowd(6, |cx, i| {
        for round in 1..6 {
            let d = Duration::from_micros(137 * round * (i as u64 + 1));
            let start = now();
            sleep(cx, d);
            let took = now().since(start);
            assert!(took >= d, "slept {took:?} instead of {d:?}");
            assert!(
                took <= d + Duration::from_micros(100),
                "slept {took:?} instead of {d:?}"
            );
        }
    });
    join(cx, &threads);
}

#[test]
fn sleeps_end_in_time() {
    let s = Scenario::new("sleep accuracy", 1, sleep_accuracy);
    sweep(s, &[1, 2, 4], 0..100);
}

/// Three threads compute on one core: each gets a third, to within a few slices.
fn shares(cx: &ThreadCx<'_>) {
    let stop = Arc::new(AtomicBool::new(false));
    let counts: Arc<[AtomicU64; 3]> = Arc::default();
    let threads = {
        let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
        crowd(3, move |_, i| {
            while !stop.load(Ordering::Relaxed) {
                machine::sync_point();
                counts[i].fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    sleep(cx, Duration::from_millis(60));
    stop.store(true, Ordering::Relaxed);
    join(cx, &threads);
    let ns: Vec<u64> = threads.iter().map(|t| t.cpu_time_ns()).collect();
    let (min, max) = (ns.iter().min().copied(), ns.iter().max().copied());
    let spread = max.unwrap_or(0) - min.unwrap_or(0);
    assert!(
        spread <= 9_000_000,
        "one core, three equal threads: {ns:?} ns"
    );
}

#[test]
fn equal_threads_get_equal_shares() {
    sweep(Scenario::new("shares", 1, shares), &[1], 0..4);
}
