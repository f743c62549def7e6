//! Waiting for items and queues: barriers in their place, and what a flush costs (I3, I6).

use std::sync::Arc;

use kernel::completion::Completion;
use kernel::thread::{State, ThreadCx};
use kernel::trace::Kind;
use kernel::wq::{PerCpu, Run, Submitted, Workqueue};
use machine::now;
use sim::{Kinds, Scenario};

use super::events;
use crate::kit::{Count, core, cpus, crowd, insist, join, new_item, until};

/// Scenarios of waiting.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("fifty-waiters", 2, fifty_waiters)
        .about("fifty waiters for a running item are let go after it and before the next item (I6)")
        .cpus_range(1, 8),
    Scenario::new("flush-leaves-later-ones", 2, leaves_later_ones)
        .about("a flush returns while what was queued after it began still runs (I1)")
        .cpus_range(1, 8),
    Scenario::new("price-of-a-flush", 1, price_of_a_flush)
        .about("a flush takes a time per core, whatever the queue has done before (I3)")
        .cpus_range(1, 8)
        .endures(Kinds::NONE),
];

const WAITERS: usize = 50;

/// Barriers that core 0 has reached.
fn barriers(kind: Kind) -> usize {
    events(core(0), &[kind]).len()
}

fn fifty_waiters(cx: &ThreadCx<'_>) {
    struct First {
        gate: Completion,
        reached: Count,
    }
    let wq = insist(|| Workqueue::<PerCpu>::builder("one").max_active(1).build());
    let first = new_item(
        First {
            gate: Completion::new(),
            reached: Count::default(),
        },
        |cx: &ThreadCx<'_>, run: &Run<'_, First>| {
            run.gate.wait(cx);
            run.reached.set(barriers(Kind::BarrierDone));
        },
    );
    let next = new_item(
        Count::default(),
        |_: &ThreadCx<'_>, run: &Run<'_, Count>| {
            run.set(barriers(Kind::BarrierDone));
        },
    );
    assert_eq!(wq.queue_on(core(0), &first), Submitted::Queued);
    assert_eq!(wq.queue_on(core(0), &next), Submitted::Queued);
    let waiters = {
        let first = Arc::clone(&first);
        crowd(WAITERS, move |cx, _| {
            assert_eq!(first.flush(cx), Ok(true));
        })
    };
    let inserted = || -> usize {
        let on = |n| events(core(n), &[Kind::InsertBarrier]).len();
        (0..cpus()).map(on).sum()
    };
    until(cx, || inserted() == WAITERS);
    first.gate.complete();
    join(cx, &waiters);
    next.flush(cx).expect("no panic");
    assert_eq!(first.reached.get(), 0, "waiters left before the item's end");
    assert_eq!(next.get(), WAITERS, "the next item overtook waiters");
    wq.destroy(cx).expect("not its item");
}

fn leaves_later_ones(cx: &ThreadCx<'_>) {
    type Gate = Arc<Completion>;
    let wq = insist(|| Workqueue::<PerCpu>::builder("later").build());
    let queue = |gate: &Gate| {
        for n in 0..cpus() {
            let item = new_item(
                Arc::clone(gate),
                |cx: &ThreadCx<'_>, run: &Run<'_, Gate>| {
                    run.wait(cx);
                },
            );
            assert_eq!(wq.queue_on(core(n), &item), Submitted::Queued);
        }
    };
    let mut earlier = Gate::default();
    queue(&earlier);
    for _ in 0..3 {
        let flusher = {
            let wq = wq.clone();
            crowd(1, move |cx, _| wq.flush(cx).expect("not its item"))
        };
        // It sleeps when each share has been given the next colour.
        until(cx, || flusher[0].state() == State::Sleeping);
        let later = Gate::default();
        queue(&later);
        earlier.complete_all();
        // What came later still runs: a flush that waits for it waits for ever.
        join(cx, &flusher);
        earlier = later;
    }
    earlier.complete_all();
    wq.destroy(cx).expect("not its item");
}

fn price_of_a_flush(cx: &ThreadCx<'_>) {
    let wq = insist(|| Workqueue::<PerCpu>::builder("priced").build());
    let price = || {
        let begin = now();
        wq.flush(cx).expect("not its item");
        now().since(begin).as_nanos()
    };
    let fresh = price();
    for n in 0..100 * cpus() {
        let item = new_item((), |_: &ThreadCx<'_>, _| {});
        assert_eq!(wq.queue_on(core(n), &item), Submitted::Queued);
    }
    wq.flush(cx).expect("not its item");
    kernel::thread::sleep(cx, crate::kit::ms(10));
    let used = price();
    // For each core somebody may hold its pool's lock just then.
    let most = 2 * fresh + 4_000 + 2_000 * cpus() as u64;
    assert!(used < most, "{used} ns after {fresh} ns");
    let each = used / cpus() as u64;
    assert!(each < 20_000, "{each} ns per core on {} cores", cpus());
    wq.destroy(cx).expect("not its item");
}
