//! Who counts as a running worker (7.6).

use super::{ACTIVE, Head, ITEM, Kind, POOL, QUEUE, Stage};

#[test]
fn running_workers_are_counted() {
    let counts = |s: &Stage, n| s.oracles.pools.check_running(POOL, n).is_ok();
    let tell = |s: Stage, kind| s.head(0, kind, Head::of(POOL), ITEM, 0);
    let s = Stage::new().queue(ITEM, ACTIVE);
    assert!(counts(&s, 0) && !counts(&s, 1));
    let s = s.start(ITEM);
    assert!(counts(&s, 1) && !counts(&s, 0));
    let s = tell(s, Kind::WorkerSleep);
    assert!(counts(&s, 0) && !counts(&s, 1));
    let s = tell(s, Kind::WorkerResume);
    assert!(counts(&s, 1));
    let s = tell(s, Kind::WorkerHog);
    assert!(counts(&s, 0));
    let s = s.end(ITEM).queue(ITEM, ACTIVE).start(ITEM);
    assert!(counts(&s, 1), "only that run was apart");
    assert!(counts(&s.end(ITEM).holds(), 0));
    let mut s = Stage::new();
    s.alloc(QUEUE, Kind::CPU_INTENSIVE);
    assert!(counts(&s.queue(ITEM, ACTIVE).start(ITEM), 0));
}

#[test]
fn a_worker_that_waits_for_its_core_does_not_count() {
    let counts = |s: &Stage, n| s.oracles.pools.check_running(POOL, n).is_ok();
    let preempt = |s: Stage, thread: u32| {
        s.head(
            0,
            Kind::WorkerPreempted,
            Head::of(POOL),
            u64::from(thread),
            0,
        )
    };
    let tell = |s: Stage, kind| s.head(0, kind, Head::of(POOL), ITEM, 0);
    let aware = || {
        let mut s = Stage::new();
        s.alloc(QUEUE, Kind::PREEMPTION_AWARE);
        // Thread 1 executes; 2 has the core afterwards.
        s.queue(ITEM, ACTIVE)
            .start(ITEM)
            .wake(2, 0)
            .switch(0, 1, 2, 0)
    };
    let s = preempt(aware(), 1);
    assert!(counts(&s, 0) && !counts(&s, 1));
    let s = tell(s.switch(0, 2, 1, 0), Kind::WorkerBack);
    assert!(counts(&s, 1) && !counts(&s, 0));
    s.end(ITEM).holds();
    preempt(preempt(aware(), 1), 1).breaks("7.6");
    preempt(aware().switch(0, 2, 1, 0), 1).breaks("7.6");
    let forgotten = |kind| tell(preempt(aware(), 1).switch(0, 2, 1, 0), kind).breaks("7.6");
    forgotten(Kind::WorkerSleep);
    forgotten(Kind::WorkerHog);
    preempt(aware(), 1)
        .switch(0, 2, 1, 0)
        .end(ITEM)
        .breaks("7.6");
    tell(aware().switch(0, 2, 1, 0), Kind::WorkerBack).breaks("7.6");
    let s = Stage::new().queue(ITEM, ACTIVE).start(ITEM).wake(2, 0);
    preempt(s.switch(0, 1, 2, 0), 1).breaks("7.6");
}
