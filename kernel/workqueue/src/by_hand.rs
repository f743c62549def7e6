//! Situations of the simulated pool worked out by hand: who runs, and what the views say.

use std::vec::Vec;

use links::Arena;

use crate::sim::{Act, Sim};
use crate::{DEFAULT_ACTIVE, Eyes, Item, Kind, MAX_ACTIVE, Pool, Pwq, clamp_max_active};

/// A bound pool, one queue with this limit, eight items.
pub(crate) fn bound(max_active: u32) -> Sim {
    Sim::new(Kind::Bound, &[(max_active, false)], 8)
}

/// Items `0..n` are queued.
pub(crate) fn queue(sim: &mut Sim, n: usize) {
    for i in 0..n {
        assert!(sim.queue(0, i));
    }
}

/// The worker that executes item `i`.
fn runner(sim: &Sim, i: usize) -> Option<usize> {
    sim.workers.iter().position(|w| w.act == Act::Running(i))
}

/// Lets the first worker that can advance do so until item `i` is executed; by whom.
pub(crate) fn start(sim: &mut Sim, i: usize) -> usize {
    while runner(sim, i).is_none() {
        let advanced = (0..sim.workers.len()).any(|w| sim.step(w));
        assert!(advanced, "item {i} does not start");
    }
    runner(sim, i).expect("it runs")
}

/// Items `0..n` block, each on a worker of its own.
pub(crate) fn blocked(sim: &mut Sim, n: usize) {
    for i in 0..n {
        sim.queue(0, i);
        let w = start(sim, i);
        assert!(sim.block(w));
    }
}

/// (pending, workers, idle, running, a manager)
pub(crate) fn numbers(pool: &Pool) -> (u32, u32, u32, u32, bool) {
    (
        pool.pending(),
        pool.nr_workers(),
        pool.nr_idle(),
        pool.nr_running(),
        pool.has_manager(),
    )
}

#[test]
fn pool_shows_its_numbers() {
    let mut sim = bound(2);
    assert_eq!(sim.pool.kind(), Kind::Bound);
    assert_eq!(numbers(&sim.pool), (0, 1, 1, 0, false));
    queue(&mut sim, 3);
    assert_eq!(
        numbers(&sim.pool),
        (2, 1, 1, 0, false),
        "the third waits for a slot"
    );
    sim.step(0);
    assert_eq!(
        numbers(&sim.pool),
        (2, 1, 0, 0, true),
        "the last idle one creates"
    );
    sim.step(0);
    assert_eq!(numbers(&sim.pool), (2, 2, 1, 0, false));
    sim.step(0);
    assert_eq!(numbers(&sim.pool), (1, 2, 1, 1, false));
    sim.block(0);
    assert_eq!(numbers(&sim.pool), (1, 2, 1, 0, false));
    assert_eq!(start(&mut sim, 1), 1);
    assert_eq!(numbers(&sim.pool), (0, 3, 1, 1, false));
    sim.resume(0);
    assert_eq!(
        numbers(&sim.pool),
        (0, 3, 1, 2, false),
        "both have the core in turn"
    );
    sim.drain();
    assert_eq!(numbers(&sim.pool), (0, 3, 3, 0, false));
}

#[test]
fn item_shows_where_it_is() {
    let mut sim = bound(1);
    let views = |sim: &Sim, i: usize| {
        let it = sim.item(sim.items[i]);
        (it.is_queued(), it.is_inactive(), it.runner())
    };
    assert_eq!(views(&sim, 0), (false, false, None));
    sim.queue(0, 0);
    sim.queue(0, 1);
    assert_eq!(views(&sim, 0), (true, false, None));
    assert_eq!(views(&sim, 1), (true, true, None));
    let w = start(&mut sim, 0);
    assert_eq!(views(&sim, 0), (false, false, Some(sim.workers[w].h)));
    let node = sim.worker(sim.workers[w].h);
    assert_eq!(node.current(), Some(sim.items[0]));
    assert_eq!(node.current_pwq(), Some(sim.pwqs[0]));
    sim.drain();
    assert_eq!(views(&sim, 0), (false, false, None));
    let node = sim.worker(sim.workers[w].h);
    assert_eq!((node.current(), node.current_pwq()), (None, None));
    assert!(Item::barrier().is_barrier() && !Item::new().is_barrier());
}

#[test]
fn share_counts_what_happened() {
    let mut sim = bound(3);
    assert!(sim.pwq(0).is_empty());
    queue(&mut sim, 6);
    let pwq = sim.pwq(0);
    assert_eq!((pwq.active(), pwq.inactive(), pwq.max_active()), (3, 3, 3));
    assert!(!pwq.is_empty());
    sim.cancel(1);
    sim.cancel(5);
    for i in [0, 2] {
        let w = start(&mut sim, i);
        sim.block(w);
    }
    let last = start(&mut sim, 3);
    sim.block(last);
    for w in 0..3 {
        sim.resume(w);
        sim.budget(w);
    }
    sim.panic(0);
    sim.drain();
    let stats = sim.stats(0);
    assert_eq!((stats.started, stats.completed, stats.panicked), (4, 4, 1));
    assert_eq!(
        (stats.cm_wakeup, stats.cpu_intensive),
        (2, 3),
        "the last one left no work"
    );
    assert_eq!(stats.cancelled, 2);
    assert!(sim.pwq(0).is_empty());
}

/// E2, E7: who blocks wakes the idle worker, and it has the next item.
#[test]
fn next_worker_is_woken_when_the_last_running_one_blocks() {
    let mut sim = bound(4);
    queue(&mut sim, 3);
    let first = start(&mut sim, 0);
    sim.step(1);
    assert_eq!(
        sim.workers[1].act,
        Act::Asleep,
        "one running worker is enough"
    );
    assert!(!sim.worker(sim.workers[first].h).is_sleeping());
    sim.block(first);
    assert_eq!(sim.workers[1].act, Act::Awake);
    assert_eq!(start(&mut sim, 1), 1);
    assert!(sim.worker(sim.workers[first].h).is_sleeping());
}

/// E14: a hog does not hold back the others.
#[test]
fn next_worker_is_woken_when_the_running_one_used_its_budget() {
    let mut sim = bound(4);
    queue(&mut sim, 2);
    let first = start(&mut sim, 0);
    sim.step(1);
    assert_eq!(sim.workers[1].act, Act::Asleep);
    sim.budget(first);
    assert_eq!(sim.workers[1].act, Act::Awake);
    sim.budget(first);
    assert_eq!(sim.stats(0).cpu_intensive, 1, "it is out already");
}

#[test]
fn share_refuses_when_told() {
    let mut pwq = Pwq::new(1, false);
    pwq.set_refuse(true);
    assert!(pwq.refuses());
    pwq.set_refuse(false);
    assert!(!pwq.refuses());
}

/// D1.
#[test]
fn limits_are_clamped() {
    assert_eq!(
        [0, 1, 2047, 2048, 2049].map(clamp_max_active),
        [DEFAULT_ACTIVE, 1, 2047, MAX_ACTIVE, MAX_ACTIVE]
    );
}

#[test]
fn flush_is_under_way_until_everything_before_is_over() {
    let mut sim = bound(1);
    assert!(sim.flushes[0].is_idle());
    sim.queue(0, 0);
    sim.flush(0);
    assert!(!sim.flushes[0].is_idle());
    sim.queue(0, 1);
    sim.flush(0);
    let w = start(&mut sim, 0);
    sim.step(w);
    assert!(!sim.flushes[0].is_idle(), "the second one is first now");
    sim.drain();
    assert!(sim.flushes[0].is_idle());
}

#[test]
fn nothing_to_wait_for_takes_no_barrier() {
    let mut sim = bound(1);
    assert_eq!(sim.flush_item(0), None);
    sim.queue(0, 0);
    assert!(sim.flush_item(0).is_some());
    sim.drain();
    assert_eq!(sim.flush_item(0), None);
}

/// D6: waiting items move up when the limit is raised, in order.
#[test]
fn raised_limit_activates() {
    let mut sim = bound(1);
    queue(&mut sim, 4);
    let w = start(&mut sim, 0);
    assert!(sim.step(1), "it came for nothing");
    sim.block(w);
    let p = sim.pwqs[0];
    let wake = sim.pool.set_max_active(&mut sim.s, p, 3);
    assert!(wake.is_some(), "nobody runs, and there is work now");
    let pwq = sim.pwq(0);
    assert_eq!((pwq.active(), pwq.inactive(), pwq.max_active()), (3, 1, 3));
    let waiting: Vec<_> = (0..4)
        .filter(|&i| sim.item(sim.items[i]).is_inactive())
        .collect();
    assert_eq!(waiting, [3]);
}

/// D6: what a limit allowed before it was lowered is no slot any more; it is again when it is raised.
#[test]
fn d6_a_lowered_limit_is_asked_at_once() {
    let mut sim = bound(3);
    // An odd one is queued as the executive does it in a hurry.
    assert!(sim.queue(0, 1));
    sim.limit(0, 1);
    assert!(sim.queue(0, 3) && sim.queue(0, 5));
    let pwq = sim.pwq(0);
    assert_eq!((pwq.active(), pwq.inactive()), (1, 2));
    sim.limit(0, 0);
    start(&mut sim, 1);
    assert_eq!((sim.pwq(0).active(), sim.pwq(0).inactive()), (1, 2));
    sim.limit(0, 2);
    assert_eq!((sim.pwq(0).active(), sim.pwq(0).inactive()), (2, 1));
}

/// I6: a barrier is over at once when its worker passes it, and the worker goes on as it did.
#[test]
fn a_barrier_is_passed_between_two_items() {
    let mut sim = bound(4);
    sim.s.passes = true;
    queue(&mut sim, 2);
    let b = sim.flush_item(0).expect("it is queued");
    let last = sim.flush_item(1).expect("so is this one");
    let w = start(&mut sim, 0);
    assert!(!sim.barriers[b].1, "its item runs");
    assert!(sim.step(w));
    assert!(sim.barriers[b].1 && !sim.barriers[last].1);
    assert_eq!(sim.workers[w].act, Act::Running(1));
    assert!(sim.step(w));
    assert!(sim.barriers[last].1);
    assert_eq!(sim.workers[w].act, Act::Asleep, "nothing is left");
}

/// N3: the cancel of an active item is told before the activation of the one that gets its slot, so where events are told the quick way
/// leaves both to the other one.
#[test]
fn an_item_that_is_seen_goes_quickly_only_if_none_waits() {
    for eyes in [Eyes::NONE, Eyes::EVENTS] {
        let mut sim = bound(1);
        queue(&mut sim, 2);
        let Sim { pool, s, items, .. } = &mut sim;
        let mut gone = |i: usize| match eyes {
            Eyes::NONE => pool.remove_plain::<_, { Eyes::NONE }>(s, items[i], false),
            _ => {
                s.items.get_mut(items[i]).add_eyes(eyes);
                pool.remove_plain::<_, { Eyes::EVENTS }>(s, items[i], false)
            }
        };
        assert_eq!(gone(0), eyes == Eyes::NONE);
        if eyes == Eyes::NONE {
            assert!(gone(1), "it got the slot");
        }
        let mut alone = bound(1);
        queue(&mut alone, 1);
        let Sim { pool, s, items, .. } = &mut alone;
        if eyes == Eyes::EVENTS {
            s.items.get_mut(items[0]).add_eyes(eyes);
            assert!(pool.remove_plain::<_, { Eyes::EVENTS }>(s, items[0], false));
        }
    }
}
