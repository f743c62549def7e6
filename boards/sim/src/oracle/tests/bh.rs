//! BH items: every rule of 7.13 broken once.

use super::{ACTIVE, BH_POOL, BH_QUEUE, Head, ITEM, Kind, OTHER, Stage};

const HI: u32 = 0;
const TIMER: u32 = 1;
const TASKLET: u32 = 6;
/// The highpri BH items of core 0.
const HIGH_POOL: u32 = BH_POOL + 1;

fn queue_in(s: Stage, pool: u32, item: u64) -> Stage {
    let head = Head::with(pool, u16::MAX).flags(ACTIVE);
    s.head(0, Kind::QueueWork, head, item, BH_QUEUE)
}

fn queue(s: Stage, item: u64) -> Stage {
    queue_in(s, BH_POOL, item)
}

fn start_in(s: Stage, pool: u32, item: u64) -> Stage {
    s.head(0, Kind::ExecuteStart, Head::of(pool), item, BH_QUEUE)
}

fn start(s: Stage, item: u64) -> Stage {
    start_in(s, BH_POOL, item)
}

fn end(s: Stage, item: u64) -> Stage {
    s.head(0, Kind::ExecuteEnd, Head::of(BH_POOL), item, BH_QUEUE)
}

fn raise(s: Stage, n: u32) -> Stage {
    s.head(0, Kind::SoftirqRaise, Head::of(n), 0, 0)
}

fn enter(s: Stage, n: u32) -> Stage {
    s.head(0, Kind::SoftirqEntry, Head::of(n), 0, 0)
}

fn exit(s: Stage, n: u32) -> Stage {
    s.head(0, Kind::SoftirqExit, Head::of(n), 0, 0)
}

#[test]
fn where_they_run() {
    // In thread context.
    start(queue(Stage::new(), ITEM), ITEM).breaks("7.13");
    // On another core.
    let s = queue(Stage::new(), ITEM);
    let s = s.head(1, Kind::SoftirqEntry, Head::of(TASKLET), 0, 0);
    s.head(1, Kind::ExecuteStart, Head::of(BH_POOL), ITEM, BH_QUEUE)
        .breaks("7.13");
    // In the other priority's vector.
    start(enter(queue(Stage::new(), ITEM), HI), ITEM).breaks("7.13");
    let high = || queue_in(Stage::new(), HIGH_POOL, ITEM);
    start_in(enter(high(), TASKLET), HIGH_POOL, ITEM).breaks("7.13");
    start_in(enter(high(), HI), HIGH_POOL, ITEM).holds();
    enter(enter(Stage::new(), TASKLET), TASKLET).breaks("S7");
}

#[test]
fn one_at_a_time_and_in_order() {
    let two = || enter(queue(queue(Stage::new(), ITEM), OTHER), TASKLET);
    start(end(start(two(), ITEM), ITEM), OTHER).holds();
    start(start(two(), ITEM), OTHER).breaks("7.13");
    // Also across queues, whose items the rules of one queue do not order.
    let mut s = Stage::new();
    s.alloc(0x8000, Kind::BH);
    let head = Head::with(BH_POOL, u16::MAX).flags(ACTIVE);
    let s = s.head(0, Kind::QueueWork, head, OTHER, 0x8000);
    let s = enter(queue(s, ITEM), TASKLET);
    start(s, ITEM).breaks("7.13");
    // A cancelled one holds nobody up.
    let cancel = Head::of(BH_POOL);
    let s = two().head(0, Kind::CancelWork, cancel, ITEM, 0);
    start(s, OTHER).holds();
}

#[test]
fn ten_items_or_two_milliseconds() {
    let next = |s: Stage| end(start(queue(s, ITEM), ITEM), ITEM);
    let mut s = enter(Stage::new(), TASKLET);
    for _ in 0..10 {
        s = next(s.holds());
    }
    next(s).breaks("7.13");
    let mut s = next(enter(Stage::new(), TASKLET));
    s.now = 1_999_999;
    s = next(s).holds();
    s.now = 2_000_000;
    next(s).breaks("7.13");
    // A new turn, a new budget.
    let mut s = next(enter(Stage::new(), TASKLET));
    s.now = 5_000_000;
    next(enter(exit(s, TASKLET), TASKLET)).holds();
}

#[test]
fn the_urgent_vector_first() {
    // Raised while another one ran: it is first in the next pass.
    let s = enter(raise(Stage::new(), TASKLET), TASKLET);
    let late = || {
        exit(
            raise(raise(enter(Stage::new(), TASKLET), TASKLET), HI),
            TASKLET,
        )
    };
    enter(late(), TASKLET).breaks("7.13");
    enter(exit(enter(late(), HI), HI), TASKLET).holds();
    // Raised after the pass began, maybe: it may wait.
    enter(raise(exit(s, TASKLET), HI), TASKLET).holds();
    // Two were raised, and both must come first.
    let both = raise(raise(enter(Stage::new(), TASKLET), TIMER), HI);
    let s = exit(enter(exit(both, TASKLET), HI), HI);
    enter(s, TASKLET).breaks("7.13");
}
