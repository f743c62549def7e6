//! The parts of an item's time: as the events say, and adding up.

use super::{ACTIVE, BH_POOL, BH_QUEUE, Head, ITEM, Kind, OTHER, QUEUE, Stage};

impl Stage {
    fn at(mut self, now: u64) -> Self {
        self.now = now;
        self
    }

    fn tell(self, parts: [u64; 5], total: u64) -> Self {
        let none = Head::of(0);
        self.head(0, Kind::LatencyWait, none, parts[0], parts[1])
            .head(0, Kind::LatencyRun, none, parts[2], parts[3])
            .head(0, Kind::LatencyTotal, none, parts[4], total)
    }
}

/// An item waits 10 for a slot and 20 for its worker, runs 30, sleeps 40, waits 50 for the core, is
/// preempted for 60 and runs 70 more.
fn life() -> Stage {
    let s = Stage::new()
        .wake(2, 0)
        .at(100)
        .queue(OTHER, ACTIVE)
        .queue(ITEM, 0)
        .at(110)
        .cancel(OTHER)
        .activate(ITEM);
    let s = s.at(130).start(ITEM).at(160).switch(0, 1, 2, 1);
    let s = s.at(200).head(0, Kind::SchedWakeup, Head::of(1), 0, 1);
    let s = s.at(250).switch(0, 2, 1, 0).switch(0, 1, 2, 0);
    s.at(310).switch(0, 2, 1, 0).at(380).end(ITEM)
}

#[test]
fn parts_are_what_happened() {
    let right = [10, 20, 100, 40, 110];
    life().tell(right, 280).holds();
    life().tell(right, 281).breaks("anatomy");
    for n in 0..5 {
        let mut wrong = right;
        wrong[n] += 1;
        life().tell(wrong, 280).breaks("anatomy");
    }
    Stage::new().tell(right, 280).breaks("anatomy");
    life().tell(right, 280).tell(right, 280).breaks("anatomy");
}

#[test]
fn what_a_softirq_interrupts_is_not_its_own() {
    let bh = |kind, s: Stage, flags| {
        let head = Head::with(BH_POOL, u16::MAX).flags(flags);
        s.head(0, kind, head, ITEM, BH_QUEUE)
    };
    let s = bh(Kind::QueueWork, Stage::new().at(10), ACTIVE);
    let s = s.head(0, Kind::SoftirqRaise, Head::of(6), 0, 0);
    let s = s.head(0, Kind::SoftirqEntry, Head::of(6), 0, 0);
    let s = bh(Kind::ExecuteStart, s.at(15), 0);
    let s = bh(Kind::ExecuteEnd, s.at(40), 0);
    s.tell([0, 5, 25, 0, 0], 30).holds();
}

#[test]
fn a_cancelled_submission_is_forgotten() {
    let s = Stage::new().queue(ITEM, ACTIVE).at(5).cancel(ITEM);
    let s = s.at(7).queue(ITEM, ACTIVE).at(9).start(ITEM);
    // Queued once more while it runs: that is another life.
    let s = s.head(0, Kind::QueueWork, Head::with(0, 1), ITEM, QUEUE);
    let s = s.at(20).end(ITEM).tell([0, 2, 11, 0, 0], 13);
    s.holds();
}
