//! Knots: who waits for whom in a circle, and mutexes that have one owner.

use super::{ACTIVE, BARRIER, Head, ITEM, Kind, MUTEX, MUTEX_2, OTHER, POOL, QUEUE, Stage};

#[test]
fn a_knot_of_mutexes_is_named() {
    let s = Stage::new().wake(2, 1).switch(1, 0, 2, 0);
    let s = s.acquire(0, MUTEX).acquire(1, MUTEX_2);
    let s = s.contend(0, MUTEX_2).switch(0, 1, 0, 1).holds();
    assert_eq!(s.quiescent(), None, "one of them still runs");
    let s = s.contend(1, MUTEX).switch(1, 2, 0, 1).holds();
    let v = s.oracles.quiescent(s.now).expect_err("a knot");
    assert_eq!(v.rule, "deadlock");
    assert!(v.text.contains("a mutex that thread 1 has"), "{}", v.text);
    assert!(v.text.contains("a mutex that thread 2 has"), "{}", v.text);
}

#[test]
fn a_mutex_has_one_owner() {
    let two = || Stage::new().wake(2, 1).switch(1, 0, 2, 0);
    let release = |s: Stage, cpu| s.head(cpu, Kind::LockRelease, Head::of(0), MUTEX, 0);
    two().acquire(0, MUTEX).acquire(1, MUTEX).breaks("mutex");
    release(two().acquire(0, MUTEX), 1).breaks("mutex");
    release(two(), 1).breaks("mutex");
    release(release(two().acquire(0, MUTEX), 0).acquire(1, MUTEX), 1).holds();
    // Who ends has it no more.
    let ends = two()
        .acquire(0, MUTEX)
        .head(0, Kind::LockAbandon, Head::of(1), 0, 0);
    ends.acquire(1, MUTEX).holds();
}

#[test]
fn items_that_flush_each_other_s_queue() {
    let flush = |s: Stage, cpu, queue| {
        let s = s.head(cpu, Kind::FlushStart, Head::of(0), 0, queue);
        s.contend(cpu, MUTEX + queue + cpu as u64)
    };
    let both = |other| {
        let mut s = Stage::new().queue(ITEM, ACTIVE);
        s.alloc(other, 0).see(1, Kind::SchedWakeupNew, 2, 1, 0b11);
        let head = Head::with(POOL + 4, 1).flags(ACTIVE);
        let s = s.head(0, Kind::QueueWork, head, OTHER, other);
        let s = s.switch(1, 0, 2, 0).start(ITEM);
        s.head(1, Kind::ExecuteStart, Head::of(POOL + 4), OTHER, other)
    };
    const SECOND: u64 = 0x8000;
    let s = flush(both(SECOND), 0, SECOND).switch(0, 1, 0, 1);
    assert_eq!(s.quiescent(), None, "the other one may end");
    let s = flush(s, 1, QUEUE).switch(1, 2, 0, 1);
    assert_eq!(s.quiescent(), Some("deadlock"));
    let text = s.oracles.deadlock().expect("a knot").text;
    assert!(text.contains("all earlier items of queue #"), "{text}");
    // A later item is none of a flush's business.
    let s = flush(Stage::new(), 0, QUEUE).queue(ITEM, ACTIVE);
    assert_eq!(s.oracles.waits.flush_of(1), Some((QUEUE, 0)));
    assert_eq!(s.oracles.items.earlier(QUEUE, 0).count(), 0);
}

#[test]
fn a_thread_that_flushes_what_waits_for_its_mutex() {
    let flusher = |s: Stage| {
        let s = s.wake(2, 1).switch(1, 0, 2, 0).acquire(1, MUTEX);
        let s = s.head(1, Kind::InsertBarrier, Head::of(POOL), ITEM, BARRIER);
        s.contend(1, BARRIER).switch(1, 2, 0, 1)
    };
    let s = flusher(Stage::new().queue(ITEM, ACTIVE).start(ITEM));
    assert_eq!(s.quiescent(), None, "the item may end by itself");
    let s = s.contend(0, MUTEX).switch(0, 1, 0, 1);
    assert_eq!(s.quiescent(), Some("deadlock"));
    assert!(s.oracles.deadlock().is_some());
}
