//! Pools of one worker, step by step: what the queues before concurrency management did (X2-X4).

use std::vec::Vec;

use crate::by_hand::start;
use crate::sim::{Act, Sim};
use crate::{Kind, Pool, Step, Tuning, Worker};

fn dedicated() -> Sim {
    Sim::new(Kind::Dedicated, &[(u32::MAX, false)], 8)
}

/// X3: what is queued behind a sleeper waits for it, whatever sleeps and however long.
#[test]
fn x3_nobody_starts_what_waits_behind_a_sleeper() {
    let mut sim = dedicated();
    (0..3).for_each(|i| assert!(sim.queue(0, i)));
    assert_eq!(start(&mut sim, 0), 0);
    assert!(sim.block(0));
    sim.settle();
    assert_eq!((sim.workers.len(), sim.pool.nr_workers()), (1, 1));
    assert_eq!((sim.pool.nr_idle(), sim.pool.has_manager()), (0, false));
    assert_eq!((sim.pool.pending(), sim.pool.nr_running()), (2, 0));
    assert!(sim.resume(0));
    sim.drain();
    let order: Vec<_> = sim.starts.iter().map(|&(i, _)| i).collect();
    assert_eq!(order, [0, 1, 2], "in the order in which they were queued");
    assert_eq!(sim.workers.len(), 1);
}

/// X4: an item that waits for one queued behind it waits for ever.
#[test]
fn x4_an_item_that_waits_for_a_later_one_is_stuck() {
    let mut sim = dedicated();
    assert!(sim.queue(0, 0));
    assert_eq!(start(&mut sim, 0), 0);
    assert!(sim.queue(0, 1));
    // What item 0 waits for: a barrier behind item 1.
    sim.flush_item(1);
    assert!(sim.block(0));
    sim.settle();
    assert_eq!(sim.pool.pending(), 2, "item 1, and the barrier behind it");
    assert!(!sim.barriers[0].1);
    // Beside it an item of a pool that grows starts.
    let mut managed = Sim::new(Kind::Bound, &[(2, false)], 2);
    assert!(managed.queue(0, 0));
    let w = start(&mut managed, 0);
    assert!(managed.queue(0, 1));
    managed.flush_item(1);
    assert!(managed.block(w));
    managed.settle();
    assert!(managed.barriers[0].1);
}

/// No item is outside concurrency management where there is none.
#[test]
fn e14_there_are_no_hogs_in_a_dedicated_pool() {
    let mut sim = Sim::new(Kind::Dedicated, &[(u32::MAX, true)], 8);
    assert!(sim.queue(0, 0) && sim.queue(0, 1));
    start(&mut sim, 0);
    let me = sim.workers[0].h;
    assert_eq!(sim.pool.budget(&mut sim.s, me), None);
    sim.drain();
    assert_eq!(sim.workers.len(), 1);
}

/// Whose item panicked makes the next worker, also when it takes several attempts.
#[test]
fn a_worker_that_panics_makes_its_successor() {
    let mut sim = dedicated();
    assert!(sim.queue(0, 0) && sim.queue(0, 1));
    start(&mut sim, 0);
    sim.fail_creation = true;
    assert!(sim.panic(0));
    assert!(sim.pool.has_manager() && !sim.pool.is_vacant());
    assert!(sim.step(0) && sim.step(0), "it tries again and again");
    assert_eq!(sim.workers.len(), 1);
    sim.fail_creation = false;
    sim.drain();
    assert_eq!(sim.workers[0].act, Act::Gone);
    assert_eq!((sim.workers.len(), sim.pool.nr_idle()), (2, 1));
    assert_eq!(sim.accounts[1].runs, 1, "what waited is executed");
}

/// Without items a successor is made all the same: whoever is queued next finds it.
#[test]
fn a_successor_is_made_although_nothing_waits() {
    let mut sim = dedicated();
    assert!(sim.queue(0, 0));
    start(&mut sim, 0);
    sim.fail_creation = true;
    assert!(sim.panic(0));
    assert!(sim.step(0) && sim.pool.has_manager());
    sim.fail_creation = false;
    sim.drain();
    assert!(sim.queue(0, 1));
    sim.drain();
    assert_eq!(sim.accounts[1].runs, 1);
}

/// A queue that ends does not wait for a successor, and its pool is not another's before that came
/// and went.
#[test]
fn a_pool_that_closes_needs_no_successor() {
    let mut sim = dedicated();
    assert!(sim.queue(0, 0));
    start(&mut sim, 0);
    sim.fail_creation = true;
    assert!(sim.panic(0));
    sim.pool.close();
    assert!(!sim.pool.is_vacant(), "somebody is being made for it");
    assert!(!sim.pool.keep_creating(), "no longer");
    assert!(sim.pool.is_vacant());
}

#[test]
fn a_successor_that_comes_too_late_leaves_at_once() {
    let mut sim = dedicated();
    assert!(sim.queue(0, 0));
    start(&mut sim, 0);
    assert!(sim.panic(0));
    sim.pool.close();
    let late = sim.s.workers.insert(Worker::new());
    let (wake, reap) = sim.pool.created(&mut sim.s, late, sim.now);
    assert_eq!((wake, reap), (Some(late), None));
    let now = sim.now;
    assert_eq!(sim.pool.next(&mut sim.s, late, || now), Step::Exit);
    assert!(sim.pool.is_vacant());
}

#[test]
fn an_idle_pool_of_one_is_never_reaped() {
    let sim = dedicated();
    assert!(!sim.pool.too_many_workers());
    assert!(!Pool::new(Kind::Dedicated, Tuning::LINUX).too_many_workers());
}
