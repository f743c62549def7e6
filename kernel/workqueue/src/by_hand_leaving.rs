//! By hand: pools that close, pwqs that retire or move, and the small numbers of limits.

use links::Arena;

use crate::by_hand::{bound, queue, start};
use crate::sim::Sim;
use crate::{Item, Kind, NodeLimit, Pool, Step, Tuning, split};

#[test]
fn closed_pool_is_vacant_when_its_last_worker_is_gone() {
    let fresh = Pool::new(Kind::Unbound, Tuning::LINUX);
    assert!(fresh.is_vacant(), "nobody has come");
    let mut sim = bound(1);
    queue(&mut sim, 1);
    let busy = start(&mut sim, 0);
    let busy = sim.workers[busy].h;
    assert_eq!((sim.pool.nr_workers(), sim.pool.nr_idle()), (2, 1));
    assert!(!sim.pool.is_vacant());
    sim.pool.close();
    assert!(!sim.pool.is_vacant(), "two workers are left");
    let idle = sim.pool.dismiss(&mut sim.s).expect("one is idle");
    assert_ne!(idle, busy);
    assert_eq!((sim.pool.nr_workers(), sim.pool.nr_idle()), (1, 0));
    assert_eq!(sim.pool.next(&mut sim.s, idle, || sim.now), Step::Exit);
    assert_eq!(sim.pool.dismiss(&mut sim.s), None);
    assert!(!sim.pool.is_vacant(), "one is left");
    let _ = sim.finish(busy);
    assert_eq!(sim.pool.next(&mut sim.s, busy, || sim.now), Step::Exit);
    assert_eq!(sim.pool.nr_workers(), 0);
    assert!(sim.pool.is_vacant());
}

#[test]
fn retired_pwq_is_opened_again_until_it_is_gone() {
    let mut sim = bound(1);
    queue(&mut sim, 1);
    start(&mut sim, 0);
    let p = sim.pwqs[0];
    assert!(!sim.pool.retire(&mut sim.s, p), "an item is in flight");
    assert!(sim.s.pwqs.get_mut(p).reopen());
    assert!(!sim.s.pwqs.get(p).is_retired());
    sim.drain();
    assert!(sim.pool.retire(&mut sim.s, p), "nothing keeps it");
    assert!(!sim.s.pwqs.get_mut(p).reopen(), "it is gone");
    assert!(sim.s.pwqs.get(p).is_gone());
}

#[test]
fn plugged_pwq_is_moving_until_it_is_unplugged() {
    let mut sim = bound(1);
    queue(&mut sim, 1);
    start(&mut sim, 0);
    let p = sim.pwqs[0];
    assert!(!sim.s.pwqs.get(p).is_moving());
    assert!(!sim.pool.plug(&mut sim.s, p), "an item is active");
    assert!(sim.s.pwqs.get(p).is_moving());
    assert_eq!(sim.pool.unplug(&mut sim.s, p), None);
    assert!(!sim.s.pwqs.get(p).is_moving());
    assert!(!sim.s.pwqs.get(p).is_retired());
    sim.drain();
    assert!(sim.pool.plug(&mut sim.s, p), "nothing is active");
    assert!(sim.s.pwqs.get(p).is_moving());
}

/// An item that runs for one pwq and waits in another one of the same pool would run beside itself elsewhere
/// (C5).
#[test]
fn d9_pwq_moves_when_what_waits_in_it_runs_no_more() {
    let mut sim = Sim::new(Kind::Unbound, &[(1, false), (1, false)], 3);
    let (one, other) = (sim.pwqs[0], sim.pwqs[1]);
    assert!(sim.queue(0, 0));
    let runs = start(&mut sim, 0);
    sim.block(runs);
    assert!(sim.queue(1, 1));
    let before = start(&mut sim, 1);
    assert!(sim.queue(1, 0));
    assert!(!sim.pool.plug(&mut sim.s, other), "item 1 is active");
    assert!(!sim.pool.plug(&mut sim.s, one), "and item 0");
    let (runs, before) = (sim.workers[runs].h, sim.workers[before].h);
    let f = sim.finish(before);
    assert_eq!((f.gone, f.freed), (None, None), "item 0 is there and runs");
    let f = sim.finish(runs);
    assert_eq!((f.gone, f.freed), (Some(one), Some(other)));
    assert!(sim.pool.still_moves(&mut sim.s, other));
}

#[test]
fn d9_pwq_stays_when_its_barriers_were_let_go_before_it_moved() {
    let mut sim = bound(1);
    queue(&mut sim, 2);
    let first = start(&mut sim, 0);
    let (p, first) = (sim.pwqs[0], sim.workers[first].h);
    let barrier = sim.s.items.insert(Item::barrier());
    let waits = sim.items[1];
    assert!(sim.pool.insert_barrier(&mut sim.s, waits, barrier));
    assert!(!sim.pool.plug(&mut sim.s, p));
    assert_eq!(sim.finish(first).gone, Some(p));
    let _ = sim.pool.remove(&mut sim.s, waits);
    assert!(!sim.pool.still_moves(&mut sim.s, p), "the barrier is here");
    let run = sim.pool.next(&mut sim.s, first, || sim.now);
    assert!(matches!(run, Step::Run(b) if b.item == barrier));
    assert_eq!(sim.finish(first).gone, Some(p));
    assert!(sim.pool.still_moves(&mut sim.s, p));
}

#[test]
fn node_offers_its_limit_and_no_more_than_the_whole() {
    let mut node = NodeLimit::new(3);
    assert_eq!(node.max(), 3);
    node.set_max(7);
    assert_eq!(node.max(), 7);
    assert_eq!(split(4, 1, 3, 2), 4, "cores that the queue may not use");
    assert_eq!(split(4, 1, 2, 2), 4);
    assert_eq!(split(4, 1, 1, 3), 2, "rounded up");
}
