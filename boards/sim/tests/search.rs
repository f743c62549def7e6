//! Searching for failures: strategies, exhaustive search, recordings, minimising, faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kernel::cpu::CpuMask;
use kernel::thread::{Builder, ThreadCx, ThreadRef, sleep, yield_now};
use machine::{CpuId, Duration};
use sim::{
    Choice, Faults, Injected, Kinds, Options, Outcome, Recording, Scenario, Strategy, explore,
    minimise, record, run,
};

/// A thread that stays on core `cpu`.
fn pinned(cpu: usize, body: impl FnOnce(&ThreadCx<'_>) + Send + 'static) -> ThreadRef {
    let builder = Builder::new("pinned").affinity(CpuMask::single(CpuId::new(cpu)));
    builder.spawn(body).expect("memory for a thread")
}

/// One core adds in two steps; the other does too. Wrong when one is held up between the steps:
/// one preemption at the right moment.
fn torn(cx: &ThreadCx<'_>) {
    let count = Arc::new(AtomicU32::new(0));
    let add = |count: &AtomicU32| {
        let seen = count.load(Ordering::Relaxed);
        machine::sync_point();
        count.store(seen + 1, Ordering::Relaxed);
    };
    let theirs = Arc::clone(&count);
    let other = pinned(1, move |_| {
        (0..40).for_each(|_| machine::sync_point());
        add(&theirs);
    });
    (0..40).for_each(|_| machine::sync_point());
    add(&count);
    other.join(cx);
    assert_eq!(count.load(Ordering::Relaxed), 2, "an addition was lost");
}

const TORN: Scenario = Scenario::new("torn", 2, torn).about("an addition in two steps");

/// Fails only if the other core goes far ahead at one exact point of a long walk, and is itself held
/// up in the middle of what it does then: depth two, hopeless for a walk that switches often.
fn far_ahead(cx: &ThreadCx<'_>) {
    let state = Arc::new([const { AtomicU32::new(0) }; 2]);
    let theirs = Arc::clone(&state);
    let other = pinned(1, move |_| {
        let before = theirs[0].load(Ordering::Relaxed);
        (0..400).for_each(|_| machine::sync_point());
        let after = theirs[0].load(Ordering::Relaxed);
        // Nothing of the first core's happened in 400 points, in the middle of its walk.
        if before == after && (3..60).contains(&before) {
            theirs[1].store(1, Ordering::Relaxed);
        }
    });
    for _ in 0..400 {
        state[0].fetch_add(1, Ordering::Relaxed);
        machine::sync_point();
    }
    other.join(cx);
    assert_eq!(state[1].load(Ordering::Relaxed), 0, "overtaken");
}

const FAR_AHEAD: Scenario = Scenario::new("far ahead", 2, far_ahead);

/// Seeds until the first failure, at most `most`.
fn seeds_needed(scenario: &Scenario, strategy: Strategy, most: u64) -> u64 {
    let options = Options {
        strategy,
        ..Options::default()
    };
    let fails = |&seed: &u64| run(scenario, seed, options).result.is_err();
    (0..most).find(fails).unwrap_or(most)
}

#[test]
fn pct_finds_a_bug_of_depth_two_sooner_than_the_walk() {
    let pct = seeds_needed(&FAR_AHEAD, Strategy::Pct { depth: 2 }, 3_000);
    let walk = seeds_needed(&FAR_AHEAD, Strategy::RandomWalk, 3_000);
    println!("pct {pct}, walk {walk}");
    assert!(pct < 500, "PCT needs {pct} seeds");
    assert!(pct * 2 < walk, "PCT needs {pct} seeds, the walk {walk}");
}

#[test]
fn strategies_have_names_that_lead_back() {
    for strategy in [
        Strategy::RandomWalk,
        Strategy::RoundRobin,
        Strategy::Pct { depth: 4 },
        Strategy::Mixed,
    ] {
        assert_eq!(strategy.to_string().parse(), Ok(strategy));
    }
    let error = "pct:x".parse::<Strategy>().unwrap_err();
    assert!(error.contains("between 1 and 100"), "{error}");
    let error = "bfs".parse::<Strategy>().unwrap_err();
    assert!(error.contains("walk, turns, pct"), "{error}");
    for kinds in [
        Kinds::NONE,
        Kinds::ALL,
        Kinds::EVERY,
        Kinds::IPI.or(Kinds::STALL),
    ] {
        assert_eq!(kinds.to_string().parse(), Ok(kinds));
    }
    assert!("ipi,quakes".parse::<Kinds>().unwrap_err().contains("storm"));
}

/// Two threads of a few steps.
fn toy(cx: &ThreadCx<'_>) {
    let other = pinned(1, |_| machine::sync_point());
    machine::sync_point();
    other.join(cx);
}

#[test]
fn an_exhaustive_search_comes_to_its_end() {
    let scenario = Scenario::new("toy", 2, toy);
    let none = explore(&scenario, 0, 10_000);
    assert!(none.complete && none.failure.is_none());
    let one = explore(&scenario, 1, 20_000);
    assert!(one.complete && one.failure.is_none());
    println!(
        "{} schedules without, {} with one preemption",
        none.schedules, one.schedules
    );
    assert!(one.schedules > 10 * none.schedules, "{one:?}");
    let cut = explore(&scenario, 1, 5);
    assert!(!cut.complete);
    assert_eq!(cut.schedules, 5);
}

#[test]
fn an_exhaustive_search_finds_what_needs_one_preemption() {
    let without = explore(&TORN, 0, 10_000);
    assert!(without.complete && without.failure.is_none());
    let failure = explore(&TORN, 1, 20_000).failure.expect("a torn addition");
    let preemptions = |d: &&sim::Decision| d.what == Choice::Preempt;
    assert_eq!(failure.decisions.iter().filter(preemptions).count(), 1);
}

fn first_failure(scenario: &Scenario, options: Options) -> Outcome {
    let mut runs = (0..2_000).map(|seed| record(scenario, seed, options));
    runs.find(|o| o.result.is_err()).expect("a failing seed")
}

#[test]
fn a_replay_is_the_same_run() {
    let all = Options {
        faults: Faults::of(Kinds::DELAYS),
        strategy: Strategy::Mixed,
        ..Options::default()
    };
    for seed in 0..40 {
        let outcome = record(&TORN, seed, all);
        let text = Recording::of(&outcome).to_string();
        let recording: Recording = text.parse().expect("what was just written");
        assert_eq!(recording, Recording::of(&outcome));
        let again = recording.replay(&TORN);
        assert_eq!(again.outcome.trace.hash, outcome.trace.hash, "seed {seed}");
        assert!(again.faithful);
        assert_eq!(again.outcome.decisions, outcome.decisions);
    }
}

#[test]
fn a_settled_recording_keeps_the_seed_alone() {
    let failing = first_failure(&TORN, Options::default());
    let recording = Recording::of(&failing);
    assert!(!recording.is_settled());
    let text = recording.settled().to_string();
    let settled: Recording = text.parse().expect("what was just written");
    assert!(settled.is_settled());
    assert_eq!(
        (settled.seed, settled.cpus),
        (recording.seed, recording.cpus)
    );
    assert!(
        !text.contains("trace") && !text.contains("preempt"),
        "{text}"
    );
}

#[test]
fn a_replay_in_another_build_says_so() {
    let failing = first_failure(&TORN, Options::default());
    let mut recording = Recording::of(&failing);
    recording.trace ^= 1;
    let replayed = recording.replay(&TORN);
    assert!(!replayed.faithful);
    let why = recording.unfaithful(&replayed).expect("a reason");
    assert!(why.contains("another build"), "{why}");
    // The same decisions in another program.
    let other = Recording::of(&failing).replay(&FAR_AHEAD);
    assert!(!other.faithful);
}

#[test]
fn broken_recordings_are_refused_by_line() {
    let failing = first_failure(&TORN, Options::default());
    let text = Recording::of(&failing).to_string();
    let refused = |text: &str| text.parse::<Recording>().expect_err("a broken file");
    assert!(refused("hello").contains("not a recording"));
    assert!(refused(&text.replace("cpus 2", "cpus two")).contains("line 3"));
    assert!(refused(&text.replace("cpus 2", "cpus 65")).contains("number of cores"));
    assert!(refused(&format!("{text}0:5 dance 3\n")).contains("no decision"));
    assert!(refused(&text.replace("ticks", "tocks")).contains("tocks"));
}

#[test]
fn the_minimiser_leaves_the_one_preemption_that_matters() {
    let options = Options {
        faults: Faults::of(Kinds::DELAYS),
        ..Options::default()
    };
    let mut runs = (0..2_000).map(|seed| record(&TORN, seed, options));
    let failing = runs
        .find(|o| o.result.is_err() && o.decisions.len() > 50)
        .expect("a failing seed with many switches");
    let small = minimise(&TORN, &failing, 100_000_000).expect("it repeats");
    assert_eq!(small.result, failing.result);
    let heavy: Vec<_> = small
        .decisions
        .iter()
        .filter(|d| d.what != Choice::Next)
        .collect();
    println!("{} -> {:?}", failing.decisions.len(), small.decisions);
    assert!(heavy.len() <= 3, "{heavy:?}");
    // The small run repeats from its file.
    let text = Recording::of(&small).to_string();
    let again = text.parse::<Recording>().expect("a file").replay(&TORN);
    assert!(again.faithful);
    assert_eq!(again.outcome.result, failing.result);
    let report = small.report(Some("x.replay")).to_string();
    for word in [
        "an addition was lost",
        "--replay x.replay",
        "cpu1",
        "runqueue",
        "pools",
    ] {
        assert!(report.contains(word), "no `{word}` in:\n{report}");
    }
}

/// Makes threads, allocates, sleeps, sends IPIs; takes what it gets.
fn takes_anything(cx: &ThreadCx<'_>) {
    for round in 0..20 {
        let made: Vec<_> = (0..4)
            .filter_map(|n| {
                let body = move |cx: &ThreadCx<'_>| {
                    for _ in 0..3 {
                        sleep(cx, Duration::from_micros(5 + n));
                        yield_now(cx);
                    }
                };
                Builder::new("any").spawn(body).ok()
            })
            .collect();
        made.iter().for_each(|t| t.join(cx));
        let _ = kernel::mem::try_box([round; 16]);
    }
}

#[test]
fn every_kind_of_fault_occurs_and_is_survived() {
    let scenario = Scenario::new("takes anything", 3, takes_anything).endures(Kinds::EVERY);
    let mut sum = Injected::default();
    let options = Options {
        faults: Faults::of(Kinds::EVERY),
        ..Options::default()
    };
    for seed in 0..60 {
        let outcome = run(&scenario, seed, options).expect_ok();
        sum.add(&outcome.injected);
        let again = run(&scenario, seed, options);
        assert_eq!(
            again.trace.hash, outcome.trace.hash,
            "faults are part of the seed"
        );
    }
    println!("{sum}");
    let engine = Kinds::EVERY.without(Kinds::PACKETS);
    for kind in engine.iter() {
        assert!(sum.of(kind) > 0, "no {kind} in {sum}");
    }
    let quiet = run(&scenario, 3, Options::default()).expect_ok();
    assert_eq!(quiet.injected.total(), 0);
    // Without its consent a scenario has no fault.
    let calm = scenario.endures(Kinds::NONE);
    assert_eq!(run(&calm, 3, options).expect_ok().injected.total(), 0);
}

/// An addition in two accesses of the kernel's atomics, with nothing of the seam in between.
fn torn_without_a_call(cx: &ThreadCx<'_>) {
    let count = Arc::new(sync::atomic::AtomicU32::new(0));
    let add = |count: &sync::atomic::AtomicU32| {
        let seen = count.load(Ordering::Relaxed);
        count.store(seen + 1, Ordering::Relaxed);
    };
    let theirs = Arc::clone(&count);
    let other = pinned(1, move |_| add(&theirs));
    add(&count);
    other.join(cx);
    assert_eq!(count.load(Ordering::Relaxed), 2, "an addition was lost");
}

/// Two owners of one item, each of whom looks before it acts.
fn looked_at_twice(cx: &ThreadCx<'_>) {
    let word = Arc::new((workword::WorkWord::new(), AtomicU32::new(0)));
    let own = |(word, owners): &(workword::WorkWord, AtomicU32)| {
        if !word.state().pending {
            let _ = word.claim();
            owners.fetch_add(1, Ordering::Relaxed);
        }
    };
    let theirs = Arc::clone(&word);
    let other = pinned(1, move |_| own(&theirs));
    own(&word);
    other.join(cx);
    assert_eq!(word.1.load(Ordering::Relaxed), 1, "two owners");
}

#[test]
fn every_access_of_the_kernels_atomics_is_a_point() {
    for (name, body) in [
        ("accesses", torn_without_a_call as fn(&ThreadCx<'_>)),
        ("words", looked_at_twice),
    ] {
        let scenario = Scenario::new(name, 2, body);
        let needed = seeds_needed(&scenario, Strategy::RandomWalk, 2_000);
        assert!(needed < 2_000, "{name}: no core was held up in between");
    }
}

#[test]
fn a_run_names_the_strategy_it_had() {
    let pct = Options {
        strategy: Strategy::Pct { depth: 3 },
        ..Options::default()
    };
    let fair = TORN.endures(Kinds::DELAYS.without(Kinds::STALL));
    assert!(TORN.can_run_by(pct.strategy) && !fair.can_run_by(pct.strategy));
    assert_eq!(run(&TORN, 1, pct).options().strategy, pct.strategy);
    let ran = run(&fair, 1, pct);
    assert_eq!(ran.options().strategy, Strategy::RandomWalk);
    assert!(
        ran.command().contains("--strategy walk"),
        "{}",
        ran.command()
    );
    let mixed = Options {
        strategy: Strategy::Mixed,
        ..Options::default()
    };
    assert_eq!(
        run(&TORN, 7, mixed).options().strategy,
        Strategy::RoundRobin
    );
}

#[test]
fn minimising_away_a_kind_of_faults_keeps_the_seeds_own_run() {
    let wanted = Kinds::PACKETS.or(Kinds::IPI);
    let all = Options {
        faults: Faults::of(wanted),
        ..Options::default()
    };
    let failing = first_failure(&TORN, all);
    let simple = minimise(&TORN, &failing, 10_000_000).expect("the same failure");
    assert!(!simple.options().faults.kinds.has(Kinds::PACKETS));
    let command = simple.command();
    assert!(command.contains(&format!("--faults {wanted}")), "{command}");
    let recording = Recording::of(&simple);
    let text = recording.to_string();
    assert_eq!(text.parse(), Ok(recording.clone()));
    let settled: Recording = recording
        .settled()
        .to_string()
        .parse()
        .expect("a recording");
    assert_eq!((settled.faults, settled.wanted), (wanted, wanted));
    assert!(!settled.even_ticks);
    let again = Options {
        faults: Faults::of(settled.wanted),
        strategy: settled.strategy,
        ..Options::default()
    };
    let rerun = run(&TORN, settled.seed, again);
    assert_eq!(rerun.trace.hash, failing.trace.hash, "another world");
}
