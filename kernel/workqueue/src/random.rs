//! Random operations on the simulated pool, each followed by the oracle; and those that once found a mistake.

use std::vec;
use std::vec::Vec;

use machine::Duration;
use proptest::prelude::*;

use crate::Kind;
use crate::item::On;
use crate::sim::{Act, Sim};

#[derive(Clone, Debug)]
enum Op {
    Queue(usize, usize),
    Cancel(usize),
    Step(usize),
    Block(usize),
    Resume(usize),
    Budget(usize),
    Preempt(usize),
    Waits(usize),
    Back(usize),
    Panic(usize),
    FlushItem(usize),
    Flush(usize),
    Mayday,
    Rescue,
    PanicRescuer,
    Disable(usize),
    Enable(usize),
    FailCreation(bool),
    Pass(u64),
    NodeMax(u32),
    Limit(usize, u32),
    Retire(usize),
    Reopen(usize),
    Plug(usize),
    Hotplug,
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..2usize, 0..6usize).prop_map(|(p, i)| Op::Queue(p, i)),
        2 => (0..6usize).prop_map(Op::Cancel),
        16 => (0..8usize).prop_map(Op::Step),
        4 => (0..8usize).prop_map(Op::Block),
        3 => (0..8usize).prop_map(Op::Resume),
        1 => (0..8usize).prop_map(Op::Budget),
        4 => (0..8usize).prop_map(Op::Preempt),
        4 => (0..8usize).prop_map(Op::Waits),
        3 => (0..8usize).prop_map(Op::Back),
        1 => (0..8usize).prop_map(Op::Panic),
        2 => (0..6usize).prop_map(Op::FlushItem),
        2 => (0..2usize).prop_map(Op::Flush),
        3 => Just(Op::Mayday),
        4 => Just(Op::Rescue),
        1 => Just(Op::PanicRescuer),
        1 => (0..6usize).prop_map(Op::Disable),
        1 => (0..6usize).prop_map(Op::Enable),
        2 => any::<bool>().prop_map(Op::FailCreation),
        1 => (0..400u64).prop_map(Op::Pass),
        1 => (0..5u32).prop_map(Op::NodeMax),
        2 => (0..2usize, 0..5u32).prop_map(|(p, max)| Op::Limit(p, max)),
        1 => (0..2usize).prop_map(Op::Retire),
        1 => (0..2usize).prop_map(Op::Reopen),
        1 => (0..2usize).prop_map(Op::Plug),
        1 => Just(Op::Hotplug),
    ]
}

fn run(kind: Kind, node: Option<u32>, ops: &[Op]) {
    let mut sim = Sim::new(kind, &[(2, false), (3, true)], 6);
    sim.s.passes = ops.len().is_multiple_of(2);
    if let Some(max) = node {
        sim.limit_by_node(max);
    }
    if kind == Kind::Bound {
        sim.preemption_aware(0);
    }
    // A dedicated worker is the rescuer.
    if kind.grows() {
        sim.add_rescuer(0);
    }
    for op in ops {
        let nr = sim.workers.len();
        match *op {
            Op::Queue(p, _) if sim.pwq(p).is_retired() => {}
            Op::Queue(p, i) => {
                sim.queue(p, i);
            }
            Op::Cancel(i) => {
                sim.cancel(i);
            }
            Op::Step(w) => {
                sim.step(w % nr);
            }
            Op::Block(w) => {
                sim.block(w % nr);
            }
            Op::Resume(w) => {
                sim.resume(w % nr);
            }
            Op::Budget(w) if sim.workers[w % nr].blocked || sim.workers[w % nr].off => {}
            Op::Budget(w) => sim.budget(w % nr),
            Op::Preempt(w) => {
                sim.preempt(w % nr);
            }
            Op::Waits(w) => {
                sim.waits_for_long(w % nr);
            }
            Op::Back(w) => {
                sim.back(w % nr);
            }
            Op::Panic(w) => {
                sim.panic(w % nr);
            }
            Op::FlushItem(i) => {
                sim.flush_item(i);
            }
            Op::Flush(p) => {
                sim.flush(p);
            }
            Op::Rescue | Op::PanicRescuer if sim.rescuers.is_empty() => {}
            Op::Mayday => {
                sim.mayday();
            }
            Op::Rescue => {
                sim.rescue(0);
            }
            Op::PanicRescuer => {
                sim.panic_rescuer(0);
            }
            Op::Disable(i) => sim.disable(i),
            Op::Enable(i) => sim.enable(i),
            Op::FailCreation(on) => sim.fail_creation = on,
            Op::Hotplug => sim.hotplug(),
            Op::NodeMax(max) => sim.set_node_max(max),
            Op::Limit(p, max) => sim.limit(p, max),
            Op::Retire(p) => sim.retire(p),
            Op::Reopen(p) => sim.reopen(p),
            Op::Plug(p) => sim.plug(p),
            Op::Pass(secs) => sim.pass(Duration::from_secs(secs)),
        }
    }
    sim.set_node_max(3);
    (0..2).for_each(|p| sim.limit(p, 3));
    // Who counts gets its core some time; who waits for it and does not may wait on.
    for w in 0..sim.workers.len() {
        if !sim.workers[w].for_long {
            sim.back(w);
        }
    }
    // 12: with a rescuer everything that has a slot starts, or waits for its own earlier run.
    sim.starve();
    let waits = |&i: &usize| sim.on(sim.items[i]) == On::Worklist;
    let rescued = sim.fifo.iter().take(sim.rescuers.len()).flatten();
    let stuck: Vec<_> = rescued.copied().filter(waits).collect();
    assert_eq!(stuck, [], "12: items with a rescuer do not start");
    sim.drain();
    assert!(sim.rescuers.iter().all(|r| r.act == Act::Asleep));
    assert!((0..2).all(|p| !sim.pwq(p).is_pinned()));
    for (i, a) in sim.accounts.iter().enumerate() {
        assert_eq!(a.queued, a.runs + a.cancelled, "item {i} is lost: {a:?}");
    }
    assert!(
        sim.barriers.iter().all(|b| b.1),
        "a flush_work never returned"
    );
    assert!(sim.flushing.iter().all(|f| f.3), "a flush never returned");
    assert!(sim.flushes.iter().all(crate::Flush::is_idle));
    // 8: after the idle timeout only the reserve is left.
    sim.pass(Duration::from_secs(1_000));
    assert!(
        sim.pool.nr_idle() <= 2,
        "8: {} idle workers",
        sim.pool.nr_idle()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bound_pool_keeps_the_invariants(ops in prop::collection::vec(ops(), 1..200)) {
        run(Kind::Bound, None, &ops);
    }

    #[test]
    fn an_unbound_pool_keeps_the_invariants(ops in prop::collection::vec(ops(), 1..200)) {
        run(Kind::Unbound, None, &ops);
    }

    #[test]
    fn a_dedicated_pool_keeps_the_invariants(ops in prop::collection::vec(ops(), 1..200)) {
        run(Kind::Dedicated, None, &ops);
    }

    #[test]
    fn pwqs_that_share_a_nodes_slots_keep_the_invariants(
        max in 0..4u32, ops in prop::collection::vec(ops(), 1..200),
    ) {
        run(Kind::Unbound, Some(max), &ops);
    }
}

/// An item of the other pwq had waited for its run on the rescuer to end (C5), and panicked there: that
/// pwq, which was to move, was forgotten for the one that the rescuer had come to help.
#[test]
fn both_pwqs_are_told_of_when_a_rescuer_panics() {
    let ops = [
        Op::Queue(0, 5),
        Op::Step(0),
        Op::Mayday,
        Op::Rescue,
        Op::Queue(1, 5),
        Op::Queue(0, 0),
        Op::Step(0),
        Op::Step(2),
        Op::Rescue,
        Op::Plug(1),
        Op::PanicRescuer,
        Op::Queue(1, 0),
    ];
    run(Kind::Bound, None, &ops);
}

/// A worker died by its item, and what had waited for that went back to the front of the list, before
/// the place that a rescuer kept there: it was passed over for later items.
#[test]
fn a_rescuer_does_not_pass_what_goes_back_to_the_front() {
    let ops = [
        Op::Queue(0, 0),
        Op::Flush(0),
        Op::Enable(0),
        Op::Step(0),
        Op::Cancel(0),
        Op::Step(0),
        Op::Cancel(0),
        Op::Queue(1, 1),
        Op::Step(2),
        Op::Queue(0, 1),
        Op::Block(0),
        Op::Queue(0, 0),
        Op::Step(1),
        Op::Mayday,
        Op::Queue(0, 2),
        Op::Resume(0),
        Op::Rescue,
        Op::Panic(2),
        Op::Block(0),
    ];
    run(Kind::Bound, None, &ops);
}

/// As above, and workers had consumed what went back by the time the rescuer looked: its own place was
/// the front.
#[test]
fn a_rescuer_whose_place_is_the_front_does_not_begin_with_it() {
    let ops = [
        Op::Cancel(0),
        Op::Queue(0, 1),
        Op::Queue(0, 0),
        Op::Block(0),
        Op::FlushItem(0),
        Op::Hotplug,
        Op::Queue(1, 3),
        Op::Step(0),
        Op::FlushItem(3),
        Op::Mayday,
        Op::Rescue,
        Op::Enable(0),
        Op::Step(0),
        Op::Step(1),
        Op::Queue(1, 1),
        Op::Step(0),
        Op::Queue(0, 2),
        Op::Block(5),
        Op::Step(1),
        Op::Queue(0, 0),
        Op::Step(3),
        Op::Step(2),
        Op::Step(4),
        Op::Rescue,
        Op::Panic(1),
        Op::Enable(0),
        Op::Step(0),
        Op::Step(3),
        Op::Rescue,
    ];
    run(Kind::Bound, None, &ops);
}
