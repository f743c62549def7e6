//! Each oracle against a little stream of events that breaks its rule, and one that keeps all.

use trace::{Event, Head, Kind};

use super::{Oracles, Seen};

mod anatomy;
mod bh;
mod dedicated;
mod disable;
mod knot;
mod running;
mod scope;
mod threads;

const QUEUE: u64 = 0x1000;
const BH_QUEUE: u64 = 0x2000;
const ITEM: u64 = 0x3000;
const OTHER: u64 = 0x4000;
const BARRIER: u64 = 0x5000;
const MUTEX: u64 = 0x6000;
const MUTEX_2: u64 = 0x7000;
/// Pool of core 0's threads, and of its BH items.
const POOL: u32 = 0;
const BH_POOL: u32 = 2;

/// A world in which the test says what happens.
#[derive(Default)]
struct Stage {
    oracles: Oracles,
    asleep: u64,
    /// Virtual time.
    now: u64,
    /// What the first broken rule was.
    broken: Option<&'static str>,
}

impl Stage {
    /// Two cores with workers 1 and 2 of pool 0, thread 1 on core 0.
    fn new() -> Self {
        let mut s = Self::default();
        s.alloc(QUEUE, 0).alloc(BH_QUEUE, Kind::BH);
        s.see(0, Kind::WorkerCreate, POOL, 1, 0);
        s.see(0, Kind::WorkerCreate, POOL, 2, 0);
        s.see(1, Kind::SchedWakeupNew, 1, 0, 0b11);
        s.switch(0, 0, 1, 0)
    }

    fn head(mut self, cpu: usize, kind: Kind, head: Head, a: u64, b: u64) -> Self {
        self.push(cpu, kind, head, a, b);
        self
    }

    fn push(&mut self, cpu: usize, kind: Kind, head: Head, a: u64, b: u64) {
        let event = Event {
            stamp: self.now,
            kind,
            head,
            a,
            b,
        };
        let verdict = self.oracles.see(&Seen {
            event,
            cpu,
            asleep: self.asleep,
            lived: self.now,
        });
        if let Err(v) = verdict {
            assert!(!v.text.is_empty());
            self.broken.get_or_insert(v.rule);
        }
    }

    fn see(&mut self, cpu: usize, kind: Kind, arg: u32, a: u64, b: u64) {
        self.push(cpu, kind, Head::of(arg), a, b);
    }

    fn alloc(&mut self, queue: u64, flags: u8) -> &mut Self {
        let head = Head::of(1).flags(flags);
        self.push(0, Kind::AllocWorkqueue, head, 0, queue);
        self
    }

    /// Thread `to` replaces `from` on `cpu`, which leaves because of `why`.
    fn switch(self, cpu: usize, from: u64, to: u32, why: u64) -> Self {
        self.head(cpu, Kind::SchedSwitch, Head::of(to), from, why)
    }

    fn wake(self, id: u32, cpu: u64) -> Self {
        self.head(0, Kind::SchedWakeupNew, Head::of(id), cpu, 0b11)
    }

    /// Queues on pool 0, which may have one active item.
    fn queue(self, item: u64, flags: u8) -> Self {
        let head = Head::with(POOL, 1).flags(flags);
        self.head(0, Kind::QueueWork, head, item, QUEUE)
    }

    fn start(self, item: u64) -> Self {
        self.head(0, Kind::ExecuteStart, Head::of(POOL), item, QUEUE)
    }

    fn end(self, item: u64) -> Self {
        self.head(0, Kind::ExecuteEnd, Head::of(POOL), item, QUEUE)
    }

    fn activate(self, item: u64) -> Self {
        self.head(0, Kind::ActivateWork, Head::with(POOL, 1), item, QUEUE)
    }

    fn cancel(self, item: u64) -> Self {
        self.head(0, Kind::CancelWork, Head::of(POOL), item, 0)
    }

    fn contend(self, cpu: usize, lock: u64) -> Self {
        self.head(cpu, Kind::ContentionBegin, Head::of(0), lock, 0)
    }

    fn acquire(self, cpu: usize, lock: u64) -> Self {
        self.head(cpu, Kind::LockAcquired, Head::of(0), lock, 0)
    }

    fn quiescent(&self) -> Option<&'static str> {
        assert_eq!(self.broken, None, "broken before");
        self.oracles.quiescent(self.now).err().map(|v| v.rule)
    }

    #[track_caller]
    fn breaks(self, rule: &'static str) {
        assert_eq!(self.broken, Some(rule));
    }

    #[track_caller]
    fn holds(self) -> Self {
        assert_eq!(self.broken, None);
        self
    }
}

const ACTIVE: u8 = Kind::ACTIVE;

#[test]
fn an_ordinary_life_breaks_nothing() {
    let s = Stage::new()
        .queue(ITEM, ACTIVE)
        .queue(OTHER, 0)
        .start(ITEM)
        .queue(ITEM, 0)
        .end(ITEM)
        .activate(OTHER)
        .start(OTHER)
        .cancel(ITEM)
        .end(OTHER)
        .head(0, Kind::FlushIdle, Head::of(POOL), ITEM, 0)
        .head(0, Kind::DisableWork, Head::of(0), OTHER, 0)
        .head(0, Kind::CancelSync, Head::of(0), OTHER, 0);
    assert_eq!(s.holds().quiescent(), None);
}

#[test]
fn the_automaton_of_an_item() {
    Stage::new()
        .queue(ITEM, ACTIVE)
        .queue(ITEM, 0)
        .breaks("7.14");
    Stage::new().start(ITEM).breaks("7.14");
    Stage::new().end(ITEM).breaks("7.14");
    Stage::new().cancel(ITEM).breaks("7.14");
    Stage::new().activate(ITEM).breaks("7.14");
    // Without a slot it may not start.
    Stage::new()
        .queue(OTHER, ACTIVE)
        .queue(ITEM, 0)
        .start(ITEM)
        .breaks("7.14");
}

#[test]
fn an_item_runs_twice_at_once() {
    Stage::new()
        .queue(ITEM, ACTIVE)
        .start(ITEM)
        .queue(ITEM, 0)
        .start(ITEM)
        .breaks("C5");
}

#[test]
fn slots_are_counted() {
    Stage::new()
        .queue(ITEM, ACTIVE)
        .queue(OTHER, ACTIVE)
        .breaks("7.3");
    Stage::new().queue(ITEM, 0).breaks("7.3");
    // A cancelled inactive item gives no slot back.
    Stage::new()
        .queue(ITEM, ACTIVE)
        .queue(OTHER, 0)
        .cancel(OTHER)
        .queue(OTHER, ACTIVE)
        .breaks("7.3");
}

#[test]
fn items_start_and_activate_in_order() {
    Stage::new()
        .queue(ITEM, ACTIVE)
        .queue(OTHER, 0)
        .queue(BARRIER, 0)
        .start(ITEM)
        .end(ITEM)
        .activate(BARRIER)
        .breaks("C9");
    let two = |item, s: Stage| {
        let head = Head::with(POOL, 2).flags(ACTIVE);
        s.head(0, Kind::QueueWork, head, item, QUEUE)
    };
    two(OTHER, two(ITEM, Stage::new()))
        .start(OTHER)
        .breaks("C9");
}

#[test]
fn nobody_in_reserve() {
    let mut s = Stage::new();
    s.see(0, Kind::WorkerCreate, 4, 1, 0);
    let head = Head::with(4, 1).flags(ACTIVE);
    s.head(0, Kind::QueueWork, head, ITEM, QUEUE)
        .head(0, Kind::ExecuteStart, Head::of(4), ITEM, QUEUE)
        .breaks("7.7");
}

#[test]
fn pending_work_and_everybody_asleep() {
    let s = Stage::new().switch(0, 1, 0, 1).queue(ITEM, ACTIVE);
    assert_eq!(s.quiescent(), Some("7.5"));
    // Not while the manager pauses for want of memory, but when it has paused.
    let fail = Head::of(POOL);
    let s = Stage::new().head(0, Kind::WorkerCreateFail, fail, 0, 0);
    let s = s.queue(ITEM, ACTIVE).switch(0, 1, 0, 1);
    assert_eq!(s.quiescent(), None);
    let s = s.head(0, Kind::SchedWakeup, Head::of(1), 0, 0b11);
    let s = s.switch(0, 0, 1, 0).switch(0, 1, 0, 1);
    assert_eq!(s.quiescent(), Some("7.5"));
}

#[test]
fn nobody_comes_for_what_a_rescuer_could_run() {
    const MS: u64 = 1_000_000;
    const RESCUER: u32 = 8;
    let stuck = |flags| {
        let mut s = Stage::new();
        s.alloc(QUEUE, flags);
        let s = s.head(0, Kind::WorkerCreateFail, Head::of(POOL), 0, 0);
        s.queue(ITEM, ACTIVE).switch(0, 1, 0, 1)
    };
    let after = |mut s: Stage, ms| {
        s.now = ms * MS;
        s.quiescent()
    };
    assert_eq!(after(stuck(0), 500), None, "it has no rescuer");
    let reclaims = || stuck(Kind::MEM_RECLAIM);
    assert_eq!(after(reclaims(), 150), None);
    assert_eq!(after(reclaims(), 500), Some("7.12"));
    // Its rescuer runs another item, which sleeps.
    let s = reclaims().wake(RESCUER, 1).switch(1, 0, RESCUER, 0);
    let s = s.head(1, Kind::RescuerAttach, Head::of(POOL), 0, QUEUE);
    let two = Head::with(POOL, 2).flags(ACTIVE);
    let s = s.head(0, Kind::QueueWork, two, OTHER, QUEUE);
    let s = s.head(1, Kind::ExecuteStart, Head::of(POOL), ITEM, QUEUE);
    let s = s.switch(1, u64::from(RESCUER), 0, 1);
    assert_eq!(after(s, 500), None);
    // The manager tries again, and what it waits for began with its first failure.
    let mut s = reclaims();
    s.now = 150 * MS;
    let s = s.head(0, Kind::SchedWakeup, Head::of(1), 0, 0b11);
    let s = s.switch(0, 0, 1, 0);
    let s = s.head(0, Kind::WorkerCreateFail, Head::of(POOL), 0, 0);
    assert_eq!(after(s.switch(0, 1, 0, 1), 250), Some("7.12"));
}

#[test]
fn rescuers_execute_their_own() {
    const RESCUER: u32 = 8;
    let stage = || {
        let s = Stage::new().queue(ITEM, ACTIVE).wake(RESCUER, 1);
        s.switch(1, 0, RESCUER, 0)
    };
    let attach = |s: Stage, pool, queue| s.head(1, Kind::RescuerAttach, Head::of(pool), 0, queue);
    let start = |s: Stage| s.head(1, Kind::ExecuteStart, Head::of(POOL), ITEM, QUEUE);
    start(attach(stage(), POOL, QUEUE)).holds();
    start(stage()).breaks("H2");
    start(attach(stage(), POOL + 1, QUEUE)).breaks("H2");
    start(attach(stage(), POOL, QUEUE + 1)).breaks("H2");
    let left = attach(stage(), POOL, QUEUE).head(1, Kind::RescuerDetach, Head::of(POOL), 0, QUEUE);
    start(left).breaks("H2");
}

#[test]
fn flushes_and_cancels_that_return_too_early() {
    let running = || Stage::new().queue(ITEM, ACTIVE).start(ITEM);
    let barrier = |s: Stage| s.head(0, Kind::InsertBarrier, Head::of(POOL), ITEM, BARRIER);
    let done = |s: Stage| s.head(0, Kind::BarrierDone, Head::of(POOL), 0, BARRIER);
    done(barrier(running())).breaks("I5");
    done(barrier(running()).end(ITEM)).holds();
    barrier(Stage::new()).breaks("I5");
    running()
        .head(0, Kind::FlushIdle, Head::of(POOL), ITEM, 0)
        .breaks("I5");
    running()
        .head(0, Kind::FlushStart, Head::of(0), ITEM, 0)
        .head(0, Kind::FlushIdle, Head::of(0), ITEM, 0)
        .breaks("I5");
    // What an earlier flush waited for says nothing of a later one.
    let waited = || {
        let s = running().head(0, Kind::FlushStart, Head::of(0), ITEM, 0);
        done(barrier(s).end(ITEM)).queue(ITEM, ACTIVE).start(ITEM)
    };
    waited()
        .head(0, Kind::FlushIdle, Head::of(0), ITEM, 0)
        .breaks("I5");
    // Found idle, and queued before that is told.
    Stage::new()
        .head(0, Kind::FlushStart, Head::of(0), ITEM, 0)
        .queue(ITEM, ACTIVE)
        .head(0, Kind::FlushIdle, Head::of(0), ITEM, 0)
        .holds();
    running()
        .head(0, Kind::CancelSync, Head::of(0), ITEM, 0)
        .breaks("7.10");
    running()
        .head(0, Kind::FlushStart, Head::of(0), 0, QUEUE)
        .head(0, Kind::FlushEnd, Head::of(0), 0, QUEUE)
        .breaks("7.11");
    // What is queued later is not waited for.
    Stage::new()
        .head(0, Kind::FlushStart, Head::of(0), 0, QUEUE)
        .queue(ITEM, ACTIVE)
        .head(0, Kind::FlushEnd, Head::of(0), 0, QUEUE)
        .holds();
}

#[test]
fn slots_of_a_node_are_counted_over_its_pools() {
    let on = |s: Stage, pool, item, node: u8, limit| {
        let flags = ACTIVE | node << Kind::NODE_SHIFT;
        let head = Head::with(pool, limit).flags(flags);
        s.head(0, Kind::QueueWork, head, item, QUEUE)
    };
    let two = || on(on(Stage::new(), 4, ITEM, 1, 2), 5, OTHER, 1, 2);
    on(two(), 4, BARRIER, 1, 2).breaks("7.3");
    on(two(), 4, BARRIER, 2, 2).holds();
    // Who saw an older or newer limit may be the second to tell.
    on(on(two(), 4, BARRIER, 1, 4), 5, MUTEX, 1, 2).holds();
    let head = Head::of(5);
    let fewer = two().head(0, Kind::CancelWork, head, OTHER, 0);
    on(fewer, 4, BARRIER, 1, 2).holds();
}

#[test]
fn an_ordered_queue_moves_when_nothing_is_active() {
    let moved = |s: Stage| s.head(0, Kind::MoveWorkqueue, Head::of(POOL), 1, QUEUE);
    moved(Stage::new().queue(ITEM, ACTIVE)).breaks("D9");
    let waits = || Stage::new().queue(OTHER, ACTIVE).queue(ITEM, 0);
    let there = Head::with(1, 1);
    moved(waits().start(OTHER).end(OTHER))
        .head(0, Kind::ActivateWork, there, ITEM, QUEUE)
        .holds();
}

#[test]
fn a_queue_that_leaves_items_behind() {
    let gone = |s: Stage| s.head(0, Kind::DestroyWorkqueue, Head::of(0), 0, QUEUE);
    gone(Stage::new().queue(ITEM, ACTIVE)).breaks("I10");
    gone(Stage::new().queue(ITEM, ACTIVE).start(ITEM)).breaks("I10");
    gone(Stage::new().queue(ITEM, ACTIVE).cancel(ITEM)).holds();
}
