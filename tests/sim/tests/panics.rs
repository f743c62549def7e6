//! A panic outside any work item ends the machine with a report, under every interleaving.

use kernel::thread::ThreadCx;
use machine::Duration;
use sim::{Failure, Options, Scenario, run};
use sim_tests::{crowd, join};

fn one_panics(cx: &ThreadCx<'_>) {
    let threads = crowd(4, |cx, i| {
        for round in 0..20 {
            kernel::thread::sleep(cx, Duration::from_micros(1 + i as u64));
            assert!(i != 2 || round != 10, "thread two has had enough");
        }
    });
    join(cx, &threads);
}

#[test]
fn a_panic_is_reported_by_the_kernel_and_ends_the_world() {
    for seed in 0..50 {
        let scenario = Scenario::new("panic", 3, one_panics);
        let outcome = run(&scenario, seed, Options::default());
        assert_eq!(outcome.result, Err(Failure::Exit(101)), "{outcome}");
        let told = outcome.console.matches("thread two has had enough").count();
        assert_eq!(told, 1, "{outcome}");
        assert!(outcome.console.contains("thread \"t2\""), "{outcome}");
        let again = run(&scenario, seed, Options::default());
        assert_eq!(
            again.trace, outcome.trace,
            "the end of a failing run depends on the seed alone"
        );
    }
}
