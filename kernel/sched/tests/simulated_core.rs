//! Long runs on a simulated core: shares, lag bounds, latency, sleepers; rows V3, V4, V5, V7, V8.

#[path = "support/sim.rs"]
mod sim;

use sched::{Decision, Dequeued};
use sim::{Sim, Timer};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// The average is rounded down to a virtual nanosecond, worth 87 ns to a thread of nice -20.
const ROUNDING: i64 = 100;

fn assert_shares(nices: &[i8], expected: &[f64]) {
    let threads: Vec<_> = nices.iter().map(|&n| (n, 0)).collect();
    let mut sim = Sim::new(8, Timer::Exact, &threads);
    sim.run_until(120 * SECOND);
    for (got, want) in sim.shares().iter().zip(expected) {
        assert!(
            (got - want).abs() < 0.03,
            "{nices:?}: got {:?}, want {expected:?}",
            sim.shares()
        );
    }
    assert_eq!(
        sim.exec().iter().sum::<u64>(),
        120 * SECOND,
        "time was lost or invented"
    );
}

/// V3.
#[test]
fn shares_follow_weights() {
    assert_shares(&[-20, 0], &[98.859, 1.141]);
    assert_shares(&[0, 19], &[98.556, 1.444]);
    assert_shares(&[-20, 0, 19], &[98.843, 1.140, 0.017]);
    assert_shares(&[0, 1], &[55.53, 44.47]);
    assert_shares(&[0, 0, 0], &[100.0 / 3.0; 3]);
}

fn worst_lag(timer: Timer, threads: &[(i8, u64)]) -> Vec<i64> {
    let mut sim = Sim::new(8, timer, threads);
    sim.run_until(20 * SECOND);
    sim.worst_lag
}

/// One nice -20 thread and sixteen of nice 19.
fn heavy_and_light() -> Vec<(i8, u64)> {
    let mut threads = vec![(19, 0); 17];
    threads[0].0 = -20;
    threads
}

/// V4: with the exact end of slices nobody is ever further off than the longest slice.
#[test]
fn lag_is_bounded_by_the_longest_slice() {
    for n in 2..=17 {
        let worst = worst_lag(Timer::Exact, &vec![(0, 0); n]);
        assert!(
            worst.iter().all(|&lag| lag <= 2_800_000 + ROUNDING),
            "{n} equal: {worst:?}"
        );
    }
    let worst = worst_lag(Timer::Exact, &heavy_and_light());
    assert!(
        worst.iter().all(|&lag| lag <= 2_800_000 + ROUNDING),
        "{worst:?}"
    );
    assert!(
        worst[0] > 2_000_000,
        "the bound is nearly reached: {worst:?}"
    );
    let mixed = [
        (0, 700),
        (0, 20_000),
        (5, 2_800),
        (-5, 1_000),
        (0, 10_000),
        (10, 700),
    ];
    let worst = worst_lag(Timer::Exact, &mixed);
    assert!(
        worst.iter().all(|&lag| lag <= 20_000_000 + ROUNDING),
        "{worst:?}"
    );
}

/// V4 with threads that sleep and wake all the time.
#[test]
fn lag_stays_bounded_with_sleepers() {
    let mut sim = Sim::new(
        8,
        Timer::Exact,
        &[(0, 0), (-5, 0), (5, 0), (0, 0), (0, 0), (3, 0)],
    );
    let mut asleep: Vec<(u64, usize)> = Vec::new();
    let mut seed = 7u64;
    let mut random = |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    let mut slept = 0;
    while sim.now < 20 * SECOND {
        let next = sim.now + 1 + random(3 * MS);
        sim.run_until(next);
        if sim.running().is_some_and(|i| i > 0) && random(2) == 0 {
            let i = sim.running().unwrap();
            let _ = sim.block();
            asleep.push((sim.now + 1 + random(10 * MS), i));
            slept += 1;
        }
        while let Some(k) = asleep.iter().position(|&(at, _)| at <= sim.now) {
            let (_, i) = asleep.swap_remove(k);
            let _ = sim.wake(i);
        }
        sim.rq.assert_valid();
    }
    assert!(slept > 1000);
    // A lag that somebody brings back shifts the others: twice the slice is the bound of `vlag`.
    assert!(
        sim.worst_lag.iter().all(|&lag| lag < 2 * 2_800_000),
        "{:?}",
        sim.worst_lag
    );
}

/// V5: why there is a slice timer. Each light thread overruns its slice by up to a tick, and the
/// overruns add up on the heavy one.
#[test]
fn ticks_alone_exceed_the_bound() {
    let fine = worst_lag(Timer::Tick(MS), &heavy_and_light());
    assert!(fine[0] > 3_800_000, "worse than slice plus tick: {fine:?}");
    let coarse = worst_lag(Timer::Tick(4 * MS), &heavy_and_light());
    assert!(
        coarse[0] > 20_000_000,
        "far worse with a 4 ms tick: {coarse:?}"
    );
}

/// Runs a thread with this slice (us) that sleeps `nap` ns each time it has run for `run` ns against
/// one that never sleeps. Returns its share in percent and how often it was dequeued with delay.
/// With `forget` the runqueue forgets its lag, as if it ended and a new thread came instead.
fn sleeper_share(slice: u64, run: u64, nap: u64, forget: bool) -> (f64, usize) {
    let mut sim = Sim::new(8, Timer::Exact, &[(0, 0), (0, slice)]);
    let mut delayed = 0;
    let mut goal = run;
    while sim.now < 20 * SECOND {
        let left = goal - sim.exec()[1];
        if sim.running() != Some(1) {
            let step = sim.now + MS / 100;
            sim.run_until(step);
        } else if left > 0 {
            let step = sim.now + left.min(MS / 100);
            sim.run_until(step);
        } else {
            if forget {
                sim.forget();
            } else {
                delayed += usize::from(sim.block() == Dequeued::Delayed);
            }
            goal += run;
            let until = sim.now + nap;
            sim.run_until(until);
            let _ = sim.wake(1);
        }
    }
    (sim.shares()[1], delayed)
}

/// V7: sleeping, however timed, does not get a thread more than its half.
#[test]
fn sleepers_do_not_exceed_their_share() {
    let mut delayed = 0;
    let mut attack = |slice, run, nap| {
        let (share, n) = sleeper_share(slice, run, nap, false);
        assert!(
            share < 50.05,
            "slice {slice} us, run {run} ns, nap {nap} ns earned {share} %"
        );
        delayed += n;
    };
    for k in [2, 3, 5, 10, 20] {
        attack(0, (k - 1) * MS, MS);
    }
    // Run nearly a slice, then nap just long enough to be placed anew.
    for (run, nap) in [
        (2_700_000, 1_000),
        (2_700_000, 100_000),
        (1_400_000, 1_000),
        (100_000, 1),
    ] {
        attack(0, run, nap);
    }
    // With a short slice, so that each wake-up preempts.
    for (run, nap) in [(900_000, 1_000), (500_000, 10_000), (100_000, 1_000)] {
        attack(1_000, run, nap);
    }
    assert!(delayed > 1000, "the attack never met the delayed dequeue");
    // The same attack wins where lag is forgotten, so the test above tests something.
    let (share, _) = sleeper_share(1_000, 900_000, 1_000, true);
    assert!(share > 90.0, "a scheduler without lag gave {share} %");
}

/// V8: the slice sets how long a thread waits, not how much it gets.
#[test]
fn shorter_slices_wait_less_for_the_same_share() {
    let slices = [1_000, 4_000, 16_000];
    let mut threads: Vec<_> = slices.iter().map(|&us| (0, us)).collect();
    threads.extend([(0, 8_000); 3]);
    let mut sim = Sim::new(8, Timer::Exact, &threads);
    sim.run_until(60 * SECOND);
    for share in sim.shares() {
        assert!((share - 100.0 / 6.0).abs() < 0.1, "{:?}", sim.shares());
    }
    let waits: Vec<_> = (0..3).map(|i| sim.wait_p99(i)).collect();
    assert!(
        waits.is_sorted_by(|a, b| a < b),
        "p99 waits by slice: {waits:?}"
    );
    assert!(waits[0] * 2 <= waits[2], "p99 waits by slice: {waits:?}");
}

/// V8 for wake-ups: a short slice interrupts a long one, an equal one waits for it.
#[test]
fn woken_thread_with_a_shorter_slice_preempts() {
    for (slice, expected) in [(500, Decision::Resched), (10_000, Decision::Keep)] {
        let mut sim = Sim::new(8, Timer::Exact, &[(0, slice), (0, 10_000)]);
        while sim.running() != Some(0) {
            let step = sim.now + MS;
            sim.run_until(step);
        }
        assert_eq!(sim.block(), Dequeued::Gone);
        sim.run_until(sim.now + 4 * MS);
        assert_eq!(sim.running(), Some(1));
        assert_eq!(sim.wake(0), expected, "slice {slice} us");
    }
}
