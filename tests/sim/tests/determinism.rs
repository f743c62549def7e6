//! A seed is a run: the promise everything else in this folder stands on.

use std::process::{Command, Stdio};

use sim::{Options, Strategy, run};
use sim_tests::campaign;
use sim_tests::scenarios::{ALL, MIXTURE};

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

/// Seeds of each scenario that two processes compare; one of them has faults.
const COMPARED: u64 = 2;
/// What a line of the child begins with.
const MARK: &str = "trace of ";

/// Not a test of its own: what each child process of the next one runs.
#[test]
#[ignore = "run in child processes by the_whole_catalogue_is_the_same_in_every_process"]
fn the_whole_catalogue_in_this_process() {
    let campaign = campaign(ALL);
    for n in 0..COMPARED * ALL.len() as u64 {
        let (scenario, seed, options) = campaign.world(n);
        let outcome = run(&scenario, seed, options);
        // Names differ, so a line says what a difference is about.
        println!(
            "{MARK}{} seed {seed} on {}: {:016x}, {} points, {}",
            scenario.name(),
            scenario.cpus(),
            outcome.trace.hash,
            outcome.steps,
            outcome.verdict()
        );
    }
}

/// Addresses and hash seeds differ from process to process; traces must not.
#[test]
fn the_whole_catalogue_is_the_same_in_every_process() {
    let child = || {
        Command::new(std::env::current_exe().expect("this test"))
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("the_whole_catalogue_in_this_process")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child process")
    };
    let children = [child(), child()];
    let [one, other] = children.map(|child| {
        let output = child.wait_with_output().expect("the child's words");
        assert!(output.status.success(), "the child failed");
        let text = String::from_utf8(output.stdout).expect("text");
        // The harness prints before the first line without an end of line.
        let lines = text.lines().filter_map(|l| l.split_once(MARK));
        lines.map(|(_, line)| line.to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(one.len() as u64, COMPARED * ALL.len() as u64);
    for (a, b) in one.iter().zip(&other) {
        assert_eq!(a, b);
    }
}
