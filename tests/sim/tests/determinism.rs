//! A seed is a run: the promise everything else in this folder stands on.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kernel::semaphore::Semaphore;
use kernel::thread::ThreadCx;
use machine::sync_point;
use sim::{Campaign, Faults, Kinds, Options, Scenario, Strategy, investigate, run};
use sim_tests::campaign;
use sim_tests::kit::{crowd, join};
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
    let [one, other] = in_two_processes("the_whole_catalogue_in_this_process");
    assert_eq!(one.len() as u64, COMPARED * ALL.len() as u64);
    for (a, b) in one.iter().zip(&other) {
        assert_eq!(a, b);
    }
}

/// What two children, each with this one test, print behind the mark.
fn in_two_processes(test: &str) -> [Vec<String>; 2] {
    let child = || {
        Command::new(std::env::current_exe().expect("this test"))
            .args(["--ignored", "--exact", "--nocapture", test])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child process")
    };
    let words = |child: Child| {
        let output = child.wait_with_output().expect("the child's words");
        assert!(output.status.success(), "the child failed");
        let text = String::from_utf8(output.stdout).expect("text");
        // The harness prints before the first line without an end of line.
        let lines = text.lines().filter_map(|l| l.split_once(MARK));
        lines.map(|(_, line)| line.to_owned()).collect::<Vec<_>>()
    };
    // Both at once.
    [child(), child()].map(words)
}

/// A lost addition: an assertion of the scenario's.
const TORN: Scenario = Scenario::new("torn", 2, torn).endures(Kinds::ALL);
/// Two mutexes in either order: an oracle names the threads and the locks.
const EMBRACE: Scenario = Scenario::new("embrace", 2, embrace).endures(Kinds::ALL);
/// What minimising may cost, in points.
const POINTS: u64 = 2_000_000;

fn torn(cx: &ThreadCx<'_>) {
    let sum = Arc::new(AtomicU32::new(0));
    let mine = Arc::clone(&sum);
    let adders = crowd(2, move |_, _| {
        let before = mine.load(Ordering::Relaxed);
        sync_point();
        mine.store(before + 1, Ordering::Relaxed);
    });
    join(cx, &adders);
    assert_eq!(sum.load(Ordering::Relaxed), 2, "an addition was lost");
}

/// Of semaphores: two mutexes taken crosswise are refused.
fn embrace(cx: &ThreadCx<'_>) {
    let both = Arc::new([Semaphore::new(1), Semaphore::new(1)]);
    let threads = crowd(2, move |cx, n| {
        both[n].down(cx);
        sync_point();
        both[1 - n].down(cx);
        both[1 - n].up();
        both[n].up();
    });
    join(cx, &threads);
}

/// The minimised report and the recording of the first failing run.
fn reported(scenario: &Scenario) -> String {
    let set = [*scenario];
    let campaign = Campaign {
        // Until one fails.
        seeds: 2_000,
        options: Options {
            strategy: Strategy::Mixed,
            faults: Faults::of(Kinds::ALL),
            ..Options::default()
        },
        ..campaign(&set)
    };
    let totals = campaign.run(|_| {});
    let failing = totals.failures.first().expect("a failing seed");
    let (outcome, recording) = investigate(scenario, failing, POINTS);
    assert!(!outcome.decisions.is_empty() || outcome.result.is_err());
    format!("{}\n{recording}", outcome.report(None))
}

/// Not a test of its own: what each child process of the next one runs.
#[test]
#[ignore = "run in child processes by a_failing_report_is_the_same_in_every_process"]
fn failing_reports_in_this_process() {
    for scenario in [TORN, EMBRACE] {
        let text = reported(&scenario);
        text.lines().for_each(|line| println!("{MARK}{line}"));
    }
}

/// The same seed and build: the same minimised decisions, the same words, to the byte.
#[test]
fn a_failing_report_is_the_same_in_every_process() {
    let [one, other] = in_two_processes("failing_reports_in_this_process");
    assert_eq!(one.join("\n"), other.join("\n"));
    let here: Vec<String> = [TORN, EMBRACE].iter().map(reported).collect();
    let here: Vec<&str> = here.iter().flat_map(|text| text.lines()).collect();
    assert_eq!(here.join("\n"), one.join("\n"), "and in this one");
    for words in [
        "an addition was lost",
        "violation of deadlock",
        "decisions:",
    ] {
        let told = one.iter().filter(|line| line.contains(words)).count();
        assert!(told > 0, "`{words}` is missing in\n{}", one.join("\n"));
    }
}
