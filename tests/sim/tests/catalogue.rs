//! The catalogue itself: names and sentences, long enough runs, and every scenario under some seeds.

use std::collections::BTreeSet;

use sim::{Options, run, sweep};
use sim_tests::scenarios::{ALL, find};

#[test]
fn every_scenario_has_a_name_of_its_own_and_says_what_must_hold() {
    assert!(ALL.len() >= 36, "only {} scenarios", ALL.len());
    let names: BTreeSet<&str> = ALL.iter().map(|s| s.name()).collect();
    assert_eq!(names.len(), ALL.len(), "a name is given twice");
    for s in ALL {
        let (about, (fewest, most)) = (s.what(), s.bounds());
        assert!(about.len() > 30, "{} does not say what must hold", s.name());
        assert!(!about.ends_with('.'), "{}: one sentence, no stop", s.name());
        assert!(fewest <= s.cpus() && s.cpus() <= most, "{}", s.name());
        assert_eq!(find(s.name()).map(|s| s.what()), Some(about));
    }
}

/// A scenario that takes few decisions is swept quickly and finds little.
#[test]
fn the_median_run_is_long_enough() {
    let mut points: Vec<(u64, &str)> = ALL
        .iter()
        .map(|s| {
            let mut of: Vec<u64> = (0..5)
                .map(|seed| run(s, seed, Options::default()).expect_ok().steps)
                .collect();
            of.sort_unstable();
            (of[of.len() / 2], s.name())
        })
        .collect();
    points.sort_unstable();
    let (median, _) = points[points.len() / 2];
    assert!(median >= 1_000, "the median run has {median} points");
    let short: Vec<_> = points.iter().filter(|(n, _)| *n < 800).collect();
    assert!(short.is_empty(), "{short:?}");
}

/// Six seeds on every number of cores from the fewest to the most; the big sweeps are the tool's.
#[test]
fn every_scenario_holds_on_every_number_of_cores() {
    for s in ALL {
        let (fewest, most) = s.bounds();
        let cores: Vec<usize> = (fewest..=most).collect();
        sweep(*s, &cores, 0..6);
    }
}
