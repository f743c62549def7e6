//! Rescues by hand: when they are called for, what they take, in which order, and how they leave.

use std::vec::Vec;

use links::Slab;
use machine::{Duration, Instant};

use crate::by_hand::{blocked, numbers, queue};
use crate::sim::{Act, Sim};
use crate::{Call, Kind, Maydays, RESCUER_BATCH};

const fn ms(n: u64) -> Instant {
    Instant::from_nanos(n * 1_000_000)
}

/// A bound pool without memory for workers: pwq 0 has a rescuer, pwq 1 none.
fn starved(nr_items: usize) -> Sim {
    let mut sim = Sim::new(Kind::Bound, &[(100, false), (100, true)], nr_items);
    assert_eq!(sim.add_rescuer(0), 0);
    sim.fail_creation = true;
    sim
}

/// Lets the rescuer go on until it has nothing to do; the items it executed, in order.
fn rescue_all(sim: &mut Sim) -> Vec<usize> {
    let before = sim.starts.len();
    while sim.rescue(0) {}
    sim.starts[before..].iter().map(|x| x.0).collect()
}

/// E10, H1: 10 ms after the creation starts, then each 100 ms, whatever the failures; on time again
/// after a late one.
#[test]
fn maydays_come_at_their_times() {
    let mut sim = starved(4);
    queue(&mut sim, 2);
    sim.pass(Duration::from_millis(5));
    sim.step(0);
    assert_eq!(sim.workers[0].act, Act::Creating);
    assert_eq!(sim.mayday_at, Some(ms(15)));
    sim.step(0);
    assert_eq!(sim.workers[0].act, Act::Creating, "it goes on trying");
    for (n, at) in [15, 115, 215].into_iter().enumerate() {
        assert_eq!(sim.mayday_at, Some(ms(at)));
        sim.mayday();
        assert_eq!(sim.now, ms(at));
        assert_eq!(sim.stats(0).mayday, 1, "it calls already: {n}");
    }
    sim.now = ms(1_000);
    assert_eq!(sim.fire_mayday(), Some(ms(1_100)));
    assert_eq!(sim.fire_mayday(), Some(ms(1_100)), "an early one waits");
    sim.cancel(0);
    sim.cancel(1);
    assert!(!sim.pool.keep_creating());
    assert_eq!(sim.fire_mayday(), None, "nobody creates");
}

/// H1: no call while somebody is idle or runs.
#[test]
fn nobody_calls_who_can_help_himself() {
    let mut sim = starved(4);
    blocked(&mut sim, 0);
    queue(&mut sim, 1);
    sim.step(0);
    sim.fail_creation = false;
    sim.step(0);
    assert_eq!(sim.pool.nr_idle(), 1);
    sim.pool.manager = true;
    sim.now = ms(20);
    let _ = sim.fire_mayday();
    assert!(!sim.rescuers[0].is_listed(), "a worker is idle");
    assert_eq!(sim.stats(0).mayday, 0);
    sim.pool.manager = false;
    sim.drain();
}

/// H1: each pwq calls once each time, also if the rescuer answers before the list is walked.
#[test]
fn quick_answer_is_not_called_again() {
    let mut sim = starved(4);
    queue(&mut sim, 4);
    sim.step(0);
    let mut calls = 0;
    sim.now = ms(10);
    let next = sim.pool.mayday(&mut sim.s, sim.now, |_| {
        calls += 1;
        true
    });
    assert_eq!((calls, next), (1, Some(ms(110))));
}

/// H2: only its own queue's items, in order, among others'; the rest stays.
#[test]
fn rescuer_takes_its_own_items_only() {
    let mut sim = starved(8);
    for i in 0..8 {
        sim.queue(usize::from(i % 3 == 0), i);
    }
    sim.step(0);
    sim.mayday();
    assert!(sim.pwq(0).is_pinned());
    assert_eq!(rescue_all(&mut sim), [1, 2, 4, 5, 7]);
    assert!(!sim.pwq(0).is_pinned());
    let stats = sim.stats(0);
    assert_eq!((stats.mayday, stats.rescued, stats.completed), (1, 5, 5));
    assert_eq!(sim.listed(), 3, "nothing but items without a rescuer");
    assert_eq!(numbers(&sim.pool), (3, 1, 0, 0, true), "H4");
    sim.drain();
    assert_eq!(sim.stats(1).completed, 3, "memory came back");
}

/// H2: the cursor keeps the place, also when a worker consumes it, and items that are queued
/// meanwhile are found.
#[test]
fn cursor_keeps_the_place() {
    let mut sim = starved(8);
    for i in 0..4 {
        sim.queue(usize::from(i % 2 == 0), i);
    }
    sim.step(0);
    sim.mayday();
    assert!(sim.rescue(0));
    assert_eq!(sim.rescuers[0].act, Act::Running(1));
    assert_eq!(numbers(&sim.pool).0, 3, "a cursor is no item");
    sim.queue(0, 4);
    sim.fail_creation = false;
    for _ in 0..4 {
        sim.step(0);
        if matches!(sim.workers[0].act, Act::Running(_)) {
            sim.block(0);
        }
    }
    assert_eq!(sim.workers[0].act, Act::Running(0));
    sim.fail_creation = true;
    sim.step(1);
    assert_eq!(sim.workers[1].act, Act::Creating);
    sim.rescue(0);
    assert_eq!(sim.rescuers[0].act, Act::Running(3));
    sim.rescue(0);
    assert_eq!(sim.rescuers[0].act, Act::Running(4));
    assert_eq!(rescue_all(&mut sim), []);
    sim.drain();
}

/// The worker that comes to a cursor at the front of the list takes it away; the rescuer begins at
/// the front again.
#[test]
fn worker_consumes_a_cursor() {
    let mut sim = starved(8);
    sim.queue(0, 0);
    sim.step(0);
    sim.mayday();
    sim.rescue(0);
    assert_eq!(sim.rescuers[0].act, Act::Running(0));
    let entries = |sim: &Sim| (sim.pool.worklist.iter(&sim.s).count(), sim.pool.pending());
    assert_eq!(entries(&sim), (1, 0));
    sim.step(0);
    assert_eq!(sim.workers[0].act, Act::Asleep, "a cursor is no work");
    sim.fail_creation = false;
    sim.queue(1, 1);
    sim.settle();
    assert_eq!(entries(&sim), (0, 0));
    assert_eq!(sim.stats(1).completed, 1);
    assert_eq!(rescue_all(&mut sim), []);
}

/// H2: sixteen items, then the others that call.
#[test]
fn rescuer_gives_way_after_its_batch() {
    let mut sim = starved(40);
    for i in 0..40 {
        sim.queue(0, i);
    }
    sim.step(0);
    sim.mayday();
    sim.rescuers[0].others = true;
    let turn = |sim: &mut Sim| {
        let before = sim.starts.len();
        assert!(sim.rescue(0));
        while sim.rescuers[0].act != Act::Asleep {
            sim.rescue(0);
        }
        sim.starts.len() - before
    };
    assert_eq!(turn(&mut sim), RESCUER_BATCH as usize);
    assert!(sim.rescuers[0].is_listed() && sim.pwq(0).is_pinned());
    assert_eq!(
        sim.pool.worklist.iter(&sim.s).count(),
        24,
        "no cursor stays"
    );
    assert_eq!(turn(&mut sim), 16);
    sim.mayday();
    assert_eq!(turn(&mut sim), 8);
    assert!(!sim.rescuers[0].is_listed() && !sim.pwq(0).is_pinned());
    let stats = sim.stats(0);
    assert_eq!((stats.mayday, stats.rescued), (1, 40), "it called once");
    sim.drain();
}

/// The timer called anew during the rescue that gives way: one call, one pin.
#[test]
fn giving_way_to_ones_own_call_pins_once() {
    let mut sim = starved(40);
    for i in 0..40 {
        sim.queue(0, i);
    }
    sim.step(0);
    sim.mayday();
    sim.rescue(0);
    sim.mayday();
    assert_eq!(sim.stats(0).mayday, 2);
    assert_eq!(sim.pwq(0).references(), 42);
    rescue_all(&mut sim);
    assert!(!sim.pwq(0).is_pinned());
    sim.drain();
}

/// The rescuer that leaves wakes a worker for what is left.
#[test]
fn h3_leaving_rescuer_kicks_the_pool() {
    let mut sim = Sim::new(Kind::Bound, &[(1, false), (100, false)], 4);
    sim.add_rescuer(0);
    sim.fail_creation = true;
    sim.queue(0, 0);
    sim.queue(0, 1);
    sim.step(0);
    sim.mayday();
    sim.rescue(0);
    sim.step(0);
    assert_eq!(sim.workers[0].act, Act::Asleep, "nothing is listed");
    assert_eq!(sim.pool.nr_idle(), 1);
    // The end of the first item activates the second, and nobody but the rescuer knows.
    sim.rescue(0);
    assert_eq!(sim.rescuers[0].act, Act::Asleep);
    assert_eq!(sim.workers[0].act, Act::Awake);
    sim.drain();
    assert_eq!(sim.stats(0).rescued, 1);
}

/// I6: barriers go with their items; what collides with the rescuer's run is executed by it (C6).
#[test]
fn rescuer_takes_what_is_linked() {
    let mut sim = starved(4);
    sim.queue(0, 0);
    sim.queue(0, 1);
    let first = sim.flush_item(0).expect("it is queued");
    sim.step(0);
    sim.mayday();
    sim.rescue(0);
    assert_eq!(sim.rescuers[0].act, Act::Running(0));
    sim.queue(0, 0);
    sim.rescue(0);
    assert_eq!(sim.rescuers[0].act, Act::Barrier(first));
    assert_eq!(rescue_all(&mut sim), [1, 0]);
    assert!(sim.barriers[first].1);
    sim.drain();
}

/// A panic ends the rescuer's thread: slot, barriers and pin are given back, the next one goes on.
#[test]
fn panicking_rescuer_gives_all_back() {
    let mut sim = starved(4);
    queue(&mut sim, 2);
    let b = sim.flush_item(0).expect("it is queued");
    sim.step(0);
    sim.mayday();
    sim.rescue(0);
    assert!(sim.panic_rescuer(0));
    let stats = sim.stats(0);
    assert_eq!((stats.panicked, stats.completed), (1, 1));
    assert_eq!(numbers(&sim.pool), (2, 1, 0, 0, true));
    assert!(!sim.pwq(0).is_pinned());
    sim.mayday();
    assert_eq!(rescue_all(&mut sim), [1]);
    assert!(sim.barriers[b].1);
}

/// A rescuer is never counted, also for items outside concurrency management (H4, E13).
#[test]
fn rescued_hog_counts_for_nobody() {
    let mut sim = Sim::new(Kind::Bound, &[(4, true)], 4);
    sim.add_rescuer(0);
    sim.fail_creation = true;
    queue(&mut sim, 2);
    sim.step(0);
    sim.mayday();
    assert_eq!(rescue_all(&mut sim), [0, 1]);
    assert_eq!(sim.pool.nr_running(), 0);
    sim.drain();
}

#[test]
fn calls_are_answered_in_order() {
    let mut calls = Slab::default();
    let (a, b) = (calls.insert(Call::new()), calls.insert(Call::default()));
    let mut list = Maydays::default();
    assert!(list.is_empty());
    assert!(list.call(&mut calls, b) && list.call(&mut calls, a));
    assert!(!list.call(&mut calls, b), "it calls already");
    assert_eq!(list.answer(&mut calls), Some(b));
    assert!(list.call(&mut calls, b), "it was answered");
    assert_eq!(
        [list.answer(&mut calls), list.answer(&mut calls)],
        [Some(a), Some(b)]
    );
    assert_eq!(list.answer(&mut calls), None);
}
