//! A small scenario of the catalogue under every schedule with few preemptions.

use sim::explore;
use sim_tests::scenarios::find;

#[test]
fn the_smallest_scenario_holds_under_every_schedule_with_few_preemptions() {
    let scenario = find("one-unit").expect("in the catalogue");
    for (bound, least) in [(0, 1), (1, 500)] {
        let explored = explore(scenario, bound, 3_000);
        assert!(explored.failure.is_none(), "{:?}", explored.failure);
        println!(
            "{} schedules with at most {bound} preemptions, {}",
            explored.schedules,
            if explored.complete { "all" } else { "not all" }
        );
        assert!(
            explored.complete && explored.schedules >= least,
            "{explored:?}"
        );
    }
}
