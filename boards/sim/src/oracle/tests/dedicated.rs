//! Queues whose threads are their own: one item at a time, in order, and what waits may wait.

use super::{ACTIVE, BARRIER, Head, ITEM, Kind, OTHER, POOL, Stage};

const OLD: u64 = 0x8000;
/// The pool of its only thread.
const OWN: u32 = POOL + 800;

/// Thread 2 is the only worker of a pool, and two items are queued there.
fn two_items() -> Stage {
    let mut s = Stage::new();
    s.alloc(OLD, Kind::DEDICATED);
    s.see(0, Kind::WorkerCreate, OWN, 2, 0);
    [ITEM, OTHER].into_iter().fold(s.wake(2, 1), |s, item| {
        let head = Head::with(OWN, u16::MAX).flags(ACTIVE);
        s.head(0, Kind::QueueWork, head, item, OLD)
    })
}

fn start(s: Stage, cpu: usize, item: u64) -> Stage {
    s.head(cpu, Kind::ExecuteStart, Head::of(OWN), item, OLD)
}

#[test]
fn what_waits_behind_the_only_worker_may_wait() {
    let s = start(two_items().switch(1, 0, 2, 0), 1, ITEM);
    let s = s.switch(1, 2, 0, 1).switch(0, 1, 0, 1).holds();
    assert_eq!(s.quiescent(), None, "it sleeps in its item");
    let s = s
        .head(0, Kind::SchedWakeup, Head::of(2), 1, 0b11)
        .switch(1, 0, 2, 0);
    let s = s.head(1, Kind::ExecuteEnd, Head::of(OWN), ITEM, OLD);
    let s = s.switch(1, 2, 0, 1).holds();
    assert_eq!(s.quiescent(), Some("7.5"), "it sleeps and has work");
}

#[test]
fn one_item_at_a_time_and_in_order() {
    let s = start(two_items().switch(1, 0, 2, 0), 1, ITEM).holds();
    let mut s = s;
    s.see(0, Kind::WorkerCreate, OWN, 1, 0);
    start(s, 0, OTHER).breaks("X3");
    start(two_items().switch(1, 0, 2, 0), 1, OTHER).breaks("C9");
}

#[test]
fn an_item_that_waits_for_one_behind_it_is_a_knot() {
    let s = start(two_items().switch(1, 0, 2, 0), 1, ITEM);
    let s = s.head(1, Kind::InsertBarrier, Head::of(OWN), OTHER, BARRIER);
    let s = s.contend(1, BARRIER).switch(1, 2, 0, 1).switch(0, 1, 0, 1);
    assert_eq!(s.quiescent(), Some("deadlock"), "X4");
}
