//! A seed is a run: the promise everything else in this folder stands on.

use kernel::thread::{ThreadCx, sleep, yield_now};
use machine::Duration;
use sim::{Options, Scenario, Strategy, run};
use sim_tests::{crowd, join};

/// A bit of everything that draws on the engine: threads, yields, sleeps, IPIs.
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

const MIXTURE: Scenario = Scenario {
    name: "mixture",
    cpus: 2,
    init: mixture,
};

#[test]
fn same_seed_same_trace_event_by_event() {
    let options = Options {
        keep_trace: true,
        ..Options::default()
    };
    for seed in 0..20 {
        let first = run(&MIXTURE, seed, options).expect_ok();
        let again = run(&MIXTURE, seed, options).expect_ok();
        assert_eq!(first.trace, again.trace);
        assert_eq!(first.trace.to_string(), again.trace.to_string());
        assert_eq!(first.console, again.console);
        assert!(
            first.choices > 100,
            "only {} points with a choice",
            first.choices
        );
    }
}

#[test]
fn other_seeds_other_traces() {
    let mut hashes: Vec<u64> = (0..50)
        .map(|s| run(&MIXTURE, s, Options::default()).expect_ok().trace.hash)
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 50);
}

#[test]
fn other_strategies_other_traces() {
    let turns = Options {
        strategy: Strategy::RoundRobin,
        ..Options::default()
    };
    let walk = run(&MIXTURE, 1, Options::default()).expect_ok();
    let turns = run(&MIXTURE, 1, turns).expect_ok();
    assert_ne!(walk.trace.hash, turns.trace.hash);
}

#[test]
fn worlds_in_parallel_do_not_disturb_each_other() {
    let alone = run(&MIXTURE, 3, Options::default()).expect_ok().trace.hash;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let outcome = run(&MIXTURE, 3, Options::default()).expect_ok();
                assert_eq!(outcome.trace.hash, alone);
            });
        }
    });
}
