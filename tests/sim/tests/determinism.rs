//! A seed is a run: the promise everything else in this folder stands on.

use sim::{Options, Strategy, run};
use sim_tests::scenarios::MIXTURE;

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
