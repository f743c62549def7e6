//! Limits that change under load, ordered queues, and items that use up their core (D6, D8, E14).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kernel::completion::Completion;
use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{
    self, Attrs, Limited, Ordered, PerCpu, Run, Submitted, Threaded, Unbound, Workqueue,
};
use sim::Scenario;
use sync::{Rank, SpinLock};

use crate::kit::{
    Count, HARDY, burn, core, cpus, crowd, dawdle, insist, join, new_item, one_in, pick, some_core,
    until, us,
};

/// Scenarios of what was changed, kept in order, or taken out.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("limit-moves-per-core", 3, limit_moves_per_core)
        .about(
            "set_max_active up and down under load: all items run, and once it rests it holds exactly (D6, D2)",
        )
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("limit-moves-unbound", 3, limit_moves_unbound)
        .about("the same on an unbound queue (D6, D3)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("ordered-storm", 4, ordered_storm)
        .about("an ordered queue runs one item at a time, in order, among flushes and cancels (D8)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("moves-beside-its-run", 2, moves_beside_its_run)
        .about("an ordered queue moves, and an item of it that runs for another one is not run beside itself (D9, C5)")
        .cpus_range(1, 4)
        .endures(HARDY),
    Scenario::new("hog-steps-aside", 2, hog_steps_aside)
        .about("an item that computes past its budget no longer holds back the next one (E14)")
        .cpus_range(1, 4),
];

/// The greatest limit a storm sets.
const MOST: usize = 6;

fn limit_moves_per_core(cx: &ThreadCx<'_>) {
    limit_moves(
        cx,
        insist(|| Workqueue::<PerCpu>::builder("moving").max_active(1).build()),
        cpus(),
    );
}

fn limit_moves_unbound(cx: &ThreadCx<'_>) {
    limit_moves(
        cx,
        insist(|| {
            Workqueue::<Unbound>::builder("moving")
                .max_active(1)
                .build()
        }),
        1,
    );
}

/// Queues items while the limit moves; the queue has `shares` of it.
fn limit_moves<K: Limited<Context = Threaded> + 'static>(
    cx: &ThreadCx<'_>,
    wq: Workqueue<K>,
    shares: usize,
) {
    struct Seen {
        inside: Count,
        runs: Count,
        most: usize,
    }
    fn visit(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Seen>>) {
        assert!(run.inside.up() < run.most, "past every limit");
        dawdle(cx);
        run.inside.down();
        run.runs.up();
    }
    let (inside, runs, most) = (Count::default(), Count::default(), MOST * shares);
    let seen = Arc::new(Seen { inside, runs, most });
    let queued = Arc::new(Count::default());
    let users = {
        let (wq, seen, queued) = (wq.clone(), Arc::clone(&seen), Arc::clone(&queued));
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..10 {
                let item = new_item(Arc::clone(&seen), visit);
                assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
                queued.up();
                if one_in(4) && item.cancel() {
                    queued.down();
                }
                dawdle(cx);
            }
        })
    };
    let movers = {
        let wq = wq.clone();
        crowd(2, move |cx, _| {
            for _ in 0..8 {
                wq.set_max_active(1 + pick(MOST) as u32);
                dawdle(cx);
            }
        })
    };
    join(cx, &movers);
    join(cx, &users);
    wq.flush(cx).expect("not one of its items");
    assert_eq!(seen.runs.get(), queued.get());
    limit_in_steps(cx, &wq);
    wq.destroy(cx).expect("not one of its items");
}

/// Items of one core that all wait: as many have started as the limit says, after each change.
fn limit_in_steps<K: Limited<Context = Threaded>>(cx: &ThreadCx<'_>, wq: &Workqueue<K>) {
    struct Room {
        started: Count,
        gate: Completion,
    }
    fn stay(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Room>>) {
        run.started.up();
        run.gate.wait(cx);
    }
    let (started, gate) = (Count::default(), Completion::new());
    let room = Arc::new(Room { started, gate });
    let low = 1 + pick(3);
    let high = low + 1 + pick(3);
    let holds = |limit: usize| {
        until(cx, || room.started.get() >= limit);
        dawdle(cx);
        assert_eq!(room.started.get(), limit, "of a limit that rests");
    };
    wq.set_max_active(low as u32);
    let cpu = some_core();
    for _ in 0..high + 3 {
        let item = new_item(Arc::clone(&room), stay);
        assert_eq!(wq.queue_on(cpu, &item), Submitted::Queued);
    }
    holds(low);
    wq.set_max_active(high as u32);
    holds(high);
    // Who has started stays, and nobody takes the place of one of them.
    wq.set_max_active(1);
    holds(high);
    room.gate.complete_all();
    wq.flush(cx).expect("not one of its items");
    assert_eq!(room.started.get(), high + 3);
}

fn ordered_storm(cx: &ThreadCx<'_>) {
    #[derive(Default)]
    struct Line {
        busy: AtomicBool,
        /// One more than the ticket that ran last.
        served: Count,
        runs: Count,
    }
    struct Place {
        line: Arc<Line>,
        ticket: Count,
    }
    fn serve(cx: &ThreadCx<'_>, run: &Run<'_, Place>) {
        let line = &run.line;
        assert!(!line.busy.swap(true, Ordering::Relaxed), "two at once");
        let ticket = run.ticket.get();
        assert!(ticket >= line.served.get(), "an item overtook another");
        line.served.set(ticket + 1);
        dawdle(cx);
        line.busy.store(false, Ordering::Relaxed);
        line.runs.up();
    }
    let wq = insist(|| Workqueue::<Ordered>::builder("ordered").build());
    let line = Arc::new(Line::default());
    let queued = Arc::new(Count::default());
    // Held while queueing, so that tickets are in the order of the queue.
    let tickets = Arc::new(<SpinLock<usize>>::new(Rank::Service, "tickets", 0));
    let users = {
        let (wq, line, queued) = (wq.clone(), Arc::clone(&line), Arc::clone(&queued));
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..8 {
                let (line, ticket) = (Arc::clone(&line), Count::default());
                let item = new_item(Place { line, ticket }, serve);
                let mut next = tickets.lock();
                item.ticket.set(*next);
                *next += 1;
                assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
                drop(next);
                queued.up();
                match pick(6) {
                    0 if item.cancel() => {
                        queued.down();
                    }
                    1 => {
                        item.flush(cx).expect("no panic");
                    }
                    2 => wq.flush(cx).expect("not one of its items"),
                    _ => dawdle(cx),
                }
            }
        })
    };
    join(cx, &users);
    wq.flush(cx).expect("not one of its items");
    assert_eq!(line.runs.get(), queued.get());
    wq.destroy(cx).expect("not one of its items");
}

/// An item runs for one ordered queue and waits in another one of the same pool, which moves away.
fn moves_beside_its_run(cx: &ThreadCx<'_>) {
    #[derive(Default)]
    struct Gate {
        begun: Count,
        open: Completion,
        busy: AtomicBool,
    }
    fn pass(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Gate>>) {
        assert!(!run.busy.swap(true, Ordering::Relaxed), "twice at once");
        run.begun.up();
        run.open.wait(cx);
        dawdle(cx);
        run.busy.store(false, Ordering::Relaxed);
    }
    let line = |name| insist(|| Workqueue::<Ordered>::builder(name).build());
    let (one, other) = (line("one"), line("other"));
    let (both, first) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let (item, before) = (
        new_item(Arc::clone(&both), pass),
        new_item(Arc::clone(&first), pass),
    );
    assert_eq!(one.queue(&item), Submitted::Queued);
    until(cx, || both.begun.get() == 1);
    assert_eq!(other.queue(&before), Submitted::Queued);
    until(cx, || first.begun.get() == 1);
    assert_eq!(other.queue(&item), Submitted::Queued);
    let waiter = {
        let item = Arc::clone(&item);
        crowd(1, move |cx, _| {
            item.flush(cx).expect("no panic");
        })
    };
    if one_in(2) {
        sleep(cx, us(50));
    }
    // One moves with its item still waiting, the other one at the end of that very item.
    for queue in [&other, &one] {
        let mut attrs = Attrs::new();
        attrs.nice = 7;
        insist(|| queue.apply_attrs(cx, attrs));
    }
    let mut gates = [&first, &both];
    if one_in(2) {
        gates.reverse();
    }
    for gate in gates {
        gate.open.complete_all();
        dawdle(cx);
    }
    join(cx, &waiter);
    assert_eq!(both.begun.get(), 2);
    one.destroy(cx).expect("not one of its items");
    other.destroy(cx).expect("not one of its items");
}

fn hog_steps_aside(cx: &ThreadCx<'_>) {
    fn hog(_: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>) {
        while run.get() == 0 {
            burn(us(20));
        }
    }
    wq::set_cpu_intensive_threshold(us(200));
    let before = wq::hog_count();
    let (stop, shorts) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let hogs: Vec<_> = (0..cpus())
        .map(|_| new_item(Arc::clone(&stop), hog))
        .collect();
    for (i, item) in hogs.iter().enumerate() {
        assert_eq!(wq::percpu().queue_on(core(i), item), Submitted::Queued);
    }
    sleep(cx, us(pick(400) as u64));
    for i in 0..2 * cpus() {
        let short = |_: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>| {
            run.up();
        };
        let item = new_item(Arc::clone(&shorts), short);
        assert_eq!(wq::percpu().queue_on(core(i), &item), Submitted::Queued);
    }
    // The hogs never end by themselves.
    until(cx, || shorts.get() == 2 * cpus());
    stop.up();
    wq::percpu().flush(cx).expect("not one of its items");
    let hogged = wq::hog_count() - before;
    assert!(
        hogged >= cpus() as u64,
        "{hogged} of {} were noticed",
        cpus()
    );
}
