//! Worlds as a whole: what they leave behind, and that a seed is a run in every process.

use std::process::Command;

use kernel::thread::{Builder, ThreadCx, sleep};
use machine::Duration;
use sim::{Faults, Held, Kinds, Options, Scenario, Strategy, host, run};

/// Threads, memory, a panic that is caught by nobody: everything a world can leave behind.
fn messy(cx: &ThreadCx<'_>) {
    let threads: Vec<_> = (0..6)
        .filter_map(|n: u64| {
            let garbage = vec![n as u8; 5_000];
            let body = move |cx: &ThreadCx<'_>| {
                sleep(cx, Duration::from_micros(3 * n));
                std::mem::forget(garbage);
                // The last ones sleep on when the world ends.
                sleep(cx, Duration::from_micros(if n < 3 { 1 } else { 1_000_000 }));
            };
            Builder::new("messy").spawn(body).ok()
        })
        .collect();
    threads.iter().take(3).for_each(|t| t.join(cx));
}

const MESSY: Scenario = Scenario::new("messy", 3, messy)
    .leaves(Held::ALL, "the test is about what ends with the world");

#[test]
fn a_world_gives_everything_back() {
    let many = |seeds: std::ops::Range<u64>| {
        for seed in seeds {
            let _ = run(&MESSY, seed, Options::default()).expect_ok();
        }
        host::peak_bytes()
    };
    let before = many(0..100);
    let after = many(100..1_600);
    // Each of the 1,500 leaves more than 50 KiB behind.
    assert!(
        after < before + (8 << 20),
        "the peak grew from {before} to {after} bytes"
    );
}

/// Says so when it runs in the process that [`a_seed_is_a_run_in_every_process`] starts.
const CHILD: &str = "ROUNDTABLE_PRINT_HASHES";

fn hashes() -> String {
    let strategies = [
        Strategy::RandomWalk,
        Strategy::RoundRobin,
        Strategy::Pct { depth: 3 },
    ];
    let mut text = String::new();
    for (seed, strategy) in (0..12).zip(strategies.into_iter().cycle()) {
        let options = Options {
            strategy,
            faults: Faults::of(Kinds::DELAYS),
            ..Options::default()
        };
        let outcome = run(&MESSY, seed, options).expect_ok();
        text += &format!("hash {:016x} {}\n", outcome.trace.hash, outcome.steps);
    }
    text
}

#[test]
fn print_hashes() {
    if std::env::var_os(CHILD).is_some() {
        println!("\n{}", hashes());
    }
}

/// Nothing of the host gets into a trace: no address, no order of a hash map, no time.
#[test]
fn a_seed_is_a_run_in_every_process() {
    let here = hashes();
    for _ in 0..2 {
        let program = std::env::current_exe().expect("the path of this program");
        let child = Command::new(program)
            .args(["--exact", "print_hashes", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .expect("this program again");
        let said = String::from_utf8_lossy(&child.stdout);
        let there: String = said
            .lines()
            .filter(|l| l.starts_with("hash"))
            .map(|l| format!("{l}\n"))
            .collect();
        assert_eq!(here, there);
    }
}

/// What a scenario leaves behind ends its world, unless it says why it may.
#[test]
fn what_is_left_at_the_end_is_found() {
    let leaky = sim::Scenario::new("leaky", 2, |_cx| {
        std::mem::forget(std::hint::black_box(Box::new(7_u64)))
    });
    let outcome = sim::run(&leaky, 1, sim::Options::default());
    assert!(
        matches!(
            &outcome.result,
            Err(sim::Failure::Violation { rule: "base line", text }) if text.starts_with("heap blocks")
        ),
        "{outcome}"
    );
    let excused = leaky.leaves(Held::ALL, "a test of this very rule");
    let _ = sim::run(&excused, 1, sim::Options::default()).expect_ok();
}
