//! What can be observed of an item and its queue: events and counters (J13, N3, N4).

use std::sync::Arc;

use kernel::completion::Completion;
use kernel::thread::{ThreadCx, sleep};
use kernel::trace::Kind;
use kernel::wq::{self, PerCpu, QueueInfo, Run, Submitted, Workqueue};
use sim::{Kinds, Scenario};

use super::events;
use crate::kit::{Count, core, insist, ms, new_delayed, new_item, until};

/// Scenarios of what can be observed.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("events-of-an-item", 1, events_of_an_item)
        .about("an item is queued, activated, started and ended, in this order; a delayed one when it expires (N3)")
        .endures(Kinds::NONE),
    Scenario::new("counters-of-a-queue", 2, counters_of_a_queue)
        .about("started less completed are the items under way, and none at rest (N4)")
        .cpus_range(1, 8),
    Scenario::new("pending-or-running", 2, pending_or_running)
        .about("an item says whether it is pending, running, both or neither (J13)")
        .cpus_range(1, 8),
];

const LIFE: [Kind; 4] = [
    Kind::QueueWork,
    Kind::ActivateWork,
    Kind::ExecuteStart,
    Kind::ExecuteEnd,
];

fn events_of_an_item(cx: &ThreadCx<'_>) {
    let wq = insist(|| Workqueue::<PerCpu>::builder("one").max_active(1).build());
    let seen = || events(core(0), &LIFE);
    let gate = |cx: &ThreadCx<'_>, run: &Run<'_, Completion>| run.wait(cx);
    let before = seen().len();
    let blocker = new_item(Completion::new(), gate);
    let item = new_item((), |_: &ThreadCx<'_>, _| {});
    assert_eq!(wq.queue(&blocker), Submitted::Queued);
    assert_eq!(wq.queue(&item), Submitted::Queued);
    sleep(cx, ms(1));
    blocker.complete();
    wq.flush(cx).expect("not its item");
    let events = seen().split_off(before);
    let queued: Vec<u64> = events
        .iter()
        .filter(|e| e.kind == Kind::QueueWork)
        .map(|e| e.a)
        .collect();
    let [first, second] = queued[..] else {
        panic!("two items were queued: {events:?}")
    };
    let life = |item: u64| -> Vec<Kind> {
        let own = events.iter().filter(|e| e.a == item);
        own.map(|e| e.kind).collect()
    };
    assert_eq!(
        life(first),
        [Kind::QueueWork, Kind::ExecuteStart, Kind::ExecuteEnd]
    );
    assert_eq!(
        events.iter().find(|e| e.a == first).map(|e| e.head.flags),
        Some(Kind::ACTIVE)
    );
    assert_eq!(life(second), LIFE);
    let names: Vec<u64> = events.iter().map(|e| e.b).collect();
    assert!(
        names.iter().all(|b| *b == names[0]),
        "one queue: {events:?}"
    );

    let before = seen().len();
    let late = new_delayed((), |_: &ThreadCx<'_>, _| {});
    assert_eq!(wq.queue_delayed(&late, ms(20)), Submitted::Queued);
    sleep(cx, ms(15));
    assert_eq!(seen().len(), before, "queued before its time");
    sleep(cx, ms(10));
    let kinds: Vec<Kind> = seen().split_off(before).iter().map(|e| e.kind).collect();
    assert_eq!(
        kinds,
        [Kind::QueueWork, Kind::ExecuteStart, Kind::ExecuteEnd]
    );
    wq.destroy(cx).expect("not its item");
}

fn counters_of_a_queue(cx: &ThreadCx<'_>) {
    let wq = insist(|| Workqueue::<PerCpu>::builder("counted").build());
    let info = || -> QueueInfo {
        let mut found = None;
        wq::for_each_queue(|q| found = found.take().or((q.name == "counted").then_some(q)));
        found.expect("it is listed")
    };
    for round in 1..4_u64 {
        const N: u64 = 5;
        let room = Arc::new((Completion::new(), Count::default()));
        let wait = |cx: &ThreadCx<'_>, run: &Run<'_, Arc<(Completion, Count)>>| {
            run.1.up();
            run.0.wait(cx);
        };
        for n in 0..N {
            let item = new_item(Arc::clone(&room), wait);
            assert_eq!(wq.queue_on(core(n as usize), &item), Submitted::Queued);
        }
        until(cx, || room.1.get() == N as usize);
        let busy = info();
        assert_eq!(busy.stats.started - busy.stats.completed, N, "{busy:?}");
        assert_eq!(u64::from(busy.active), N);
        room.0.complete_all();
        wq.flush(cx).expect("not its item");
        let rest = info();
        assert_eq!(rest.stats.started, round * N);
        assert_eq!(rest.stats.started, rest.stats.completed, "{rest:?}");
        assert_eq!((rest.active, rest.pending), (0, 0));
    }
    wq.destroy(cx).expect("not its item");
}

fn pending_or_running(cx: &ThreadCx<'_>) {
    struct Stops {
        inside: Count,
        gate: Completion,
    }
    let item = new_item(
        Stops {
            inside: Count::default(),
            gate: Completion::new(),
        },
        |cx: &ThreadCx<'_>, run: &Run<'_, Stops>| {
            assert!(run.work().busy().1);
            run.inside.up();
            run.gate.wait(cx);
        },
    );
    let state = || item.busy();
    assert_eq!(state(), (false, false));
    for round in 1..4 {
        assert_eq!(wq::percpu().queue_on(core(round), &item), Submitted::Queued);
        until(cx, || item.inside.get() == 2 * round - 1);
        assert_eq!(state(), (false, true));
        assert_eq!(wq::percpu().queue_on(core(round), &item), Submitted::Queued);
        assert_eq!(state(), (true, true));
        item.gate.complete();
        until(cx, || item.inside.get() == 2 * round);
        assert_eq!(state(), (false, true));
        item.gate.complete();
        item.flush(cx).expect("no panic");
        assert_eq!(state(), (false, false));
    }
    let late = new_delayed((), |_: &ThreadCx<'_>, _| {});
    assert_eq!(wq::percpu().queue_delayed(&late, ms(20)), Submitted::Queued);
    assert_eq!(late.busy(), (true, false));
    assert!(late.cancel());
    assert_eq!(late.busy(), (false, false));
}
