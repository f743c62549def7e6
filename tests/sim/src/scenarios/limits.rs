//! Limits and priorities: max_active, highpri, CPU-intensive queues (C9, D, E13 and F rows).

use std::sync::Arc;

use kernel::completion::Completion;
use kernel::thread::{Nice, ThreadCx, current, sleep};
use kernel::wq::{self, PerCpu, Run, Submitted, Unbound, Work, Workqueue};
use sim::Scenario;

use crate::kit::{
    Count, HARDY, burn, core, cpus, crowd, dawdle, here, insist, join, linger, new_item, pick,
    some_core, until, us,
};

/// Scenarios of limits.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("limit-per-core", 3, limit_per_core)
        .about("a per-CPU queue has at most max_active items under way on each core (D2, C9)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("limit-of-the-system", 4, limit_of_the_system)
        .about("an unbound queue has at most max_active items under way, all of them run (D3, F1)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("start-order", 3, start_order)
        .about("items start in the order they were queued, past the limit too (C9, D2)")
        .cpus_range(1, 4)
        .endures(HARDY),
    Scenario::new("dependent-items", 2, dependent_items)
        .about("as many items as max_active may wait for each other (D2, D3, E2)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("highpri-beside-a-hog", 2, highpri_beside_a_hog)
        .about("a computing item does not hold back highpri items of its core (F3)")
        .cpus_range(1, 4),
    Scenario::new("cpu-intensive-beside-short", 2, cpu_intensive)
        .about("items of a CPU-intensive queue do not hold back others of their core (E13, F7)")
        .cpus_range(1, 4),
    Scenario::new("unbound-spread", 4, unbound_spread)
        .about("unbound items all start although each waits for all others (F1)")
        .cpus_range(1, 8)
        .endures(HARDY),
];

/// Counts who is inside, in groups that may have `limit` at once.
struct Hall {
    limit: usize,
    inside: Vec<Count>,
    runs: Count,
}

impl Hall {
    fn new(limit: usize) -> Arc<Self> {
        let inside = (0..cpus()).map(|_| Count::default()).collect();
        let runs = Count::default();
        Arc::new(Self {
            limit,
            inside,
            runs,
        })
    }

    fn pass(&self, cx: &ThreadCx<'_>, group: usize) {
        let inside = self.inside[group].up();
        assert!(
            inside < self.limit,
            "{inside} inside, {} allowed",
            self.limit
        );
        dawdle(cx);
        self.inside[group].down();
        self.runs.up();
    }
}

fn limit_per_core(cx: &ThreadCx<'_>) {
    fn visit(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Hall>>) {
        // A worker of a core does not leave it.
        run.pass(cx, here().index());
    }
    let limit = 1 + pick(4);
    let wq = insist(|| {
        Workqueue::<PerCpu>::builder("few")
            .max_active(limit as u32)
            .build()
    });
    let hall = Hall::new(limit);
    let queued = Arc::new(Count::default());
    let users = {
        let (wq, hall, queued) = (wq.clone(), Arc::clone(&hall), Arc::clone(&queued));
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..10 {
                let item = new_item(Arc::clone(&hall), visit);
                assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
                queued.up();
                if pick(4) == 0 && item.cancel() {
                    queued.down();
                }
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    wq.flush(cx).expect("not one of its items");
    assert_eq!(hall.runs.get(), queued.get());
    wq.destroy(cx).expect("not one of its items");
}

fn limit_of_the_system(cx: &ThreadCx<'_>) {
    fn visit(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Hall>>) {
        run.pass(cx, 0);
    }
    let limit = 1 + pick(5);
    let wq = insist(|| {
        Workqueue::<Unbound>::builder("few")
            .max_active(limit as u32)
            .build()
    });
    let hall = Hall::new(limit);
    let users = {
        let (wq, hall) = (wq.clone(), Arc::clone(&hall));
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..8 {
                let item = new_item(Arc::clone(&hall), visit);
                assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    wq.flush(cx).expect("not one of its items");
    assert_eq!(hall.runs.get(), 8 * users.len());
    wq.destroy(cx).expect("not one of its items");
}

fn start_order(cx: &ThreadCx<'_>) {
    struct Place {
        nth: usize,
        next: Arc<Count>,
    }
    fn start(cx: &ThreadCx<'_>, run: &Run<'_, Place>) {
        assert_eq!(run.next.up(), run.nth, "an item overtook another");
        dawdle(cx);
    }
    let limit = 1 + pick(3) as u32;
    let wq = insist(|| {
        Workqueue::<PerCpu>::builder("order")
            .max_active(limit)
            .build()
    });
    let next = Arc::new(Count::default());
    for nth in 0..40 {
        let next = Arc::clone(&next);
        let item = new_item(Place { nth, next }, start);
        assert_eq!(wq.queue_on(core(1), &item), Submitted::Queued);
        if pick(3) == 0 {
            dawdle(cx);
        }
    }
    wq.flush(cx).expect("not one of its items");
    assert_eq!(next.get(), 40);
    wq.destroy(cx).expect("not one of its items");
}

/// Item `nth` waits for item `nth + 1`; the last one waits for nobody.
struct Link {
    nth: usize,
    gates: Arc<Vec<Completion>>,
}

fn wait_for_next(cx: &ThreadCx<'_>, run: &Run<'_, Link>) {
    if let Some(next) = run.gates.get(run.nth + 1) {
        next.wait(cx);
    }
    dawdle(cx);
    run.gates[run.nth].complete_all();
}

fn links(n: usize) -> Vec<Arc<Work<Link>>> {
    let gates: Arc<Vec<_>> = Arc::new((0..n).map(|_| Completion::new()).collect());
    (0..n)
        .map(|nth| {
            let gates = Arc::clone(&gates);
            new_item(Link { nth, gates }, wait_for_next)
        })
        .collect()
}

fn dependent_items(cx: &ThreadCx<'_>) {
    const LIMIT: u32 = 6;
    let bound = insist(|| {
        Workqueue::<PerCpu>::builder("bound")
            .max_active(LIMIT)
            .build()
    });
    let free = insist(|| {
        Workqueue::<Unbound>::builder("free")
            .max_active(LIMIT)
            .build()
    });
    for _ in 0..3 {
        let (on_core, anywhere) = (links(LIMIT as usize), links(LIMIT as usize));
        let cpu = some_core();
        for (a, b) in on_core.iter().zip(&anywhere) {
            assert_eq!(bound.queue_on(cpu, a), Submitted::Queued);
            assert_eq!(free.queue(b), Submitted::Queued);
        }
        bound.flush(cx).expect("not one of its items");
        free.flush(cx).expect("not one of its items");
    }
    bound.destroy(cx).expect("not one of its items");
    free.destroy(cx).expect("not one of its items");
}

/// Computes until told to stop.
fn hog(_: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>) {
    while run.get() == 0 {
        burn(us(20));
    }
}

fn highpri_beside_a_hog(cx: &ThreadCx<'_>) {
    let stop = Arc::new(Count::default());
    let hogs: Vec<_> = (0..cpus())
        .map(|_| new_item(Arc::clone(&stop), hog))
        .collect();
    for (i, item) in hogs.iter().enumerate() {
        assert_eq!(wq::percpu().queue_on(core(i), item), Submitted::Queued);
    }
    sleep(cx, us(100));
    for round in 0..10 {
        let urgent = new_item((), |cx: &ThreadCx<'_>, _| {
            assert_eq!(current().nice(), Nice::MIN, "no worker of a highpri pool");
            dawdle(cx);
        });
        let done = wq::highpri().queue_on(core(round), &urgent);
        assert_eq!(done, Submitted::Queued);
        // The hogs never end by themselves.
        urgent.flush(cx).expect("no panic");
    }
    stop.up();
    wq::percpu().flush(cx).expect("not one of its items");
}

fn cpu_intensive(cx: &ThreadCx<'_>) {
    let heavy = insist(|| {
        Workqueue::<PerCpu>::builder("heavy")
            .cpu_intensive()
            .build()
    });
    let stop = Arc::new(Count::default());
    let hogs: Vec<_> = (0..cpus())
        .map(|_| new_item(Arc::clone(&stop), hog))
        .collect();
    for (i, item) in hogs.iter().enumerate() {
        assert_eq!(heavy.queue_on(core(i), item), Submitted::Queued);
    }
    sleep(cx, us(100));
    let shorts = Arc::new(Count::default());
    for i in 0..4 * cpus() {
        let short = new_item(
            Arc::clone(&shorts),
            |_: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>| {
                linger();
                run.up();
            },
        );
        assert_eq!(wq::percpu().queue_on(core(i), &short), Submitted::Queued);
    }
    // The hogs never end by themselves.
    until(cx, || shorts.get() == 4 * cpus());
    stop.up();
    heavy.destroy(cx).expect("not one of its items");
}

fn unbound_spread(cx: &ThreadCx<'_>) {
    struct Meeting {
        here: Count,
        wanted: usize,
        all: Completion,
    }
    fn meet(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Meeting>>) {
        linger();
        if run.here.up() + 1 == run.wanted {
            run.all.complete_all();
        }
        run.all.wait(cx);
    }
    for _ in 0..3 {
        let wanted = 2 * cpus() + 2;
        let meeting = Arc::new(Meeting {
            here: Count::default(),
            wanted,
            all: Completion::new(),
        });
        let items: Vec<_> = (0..wanted)
            .map(|_| new_item(Arc::clone(&meeting), meet))
            .collect();
        for item in &items {
            assert_eq!(wq::unbound().queue_on(some_core(), item), Submitted::Queued);
        }
        wq::unbound().flush(cx).expect("not one of its items");
        assert_eq!(meeting.here.get(), wanted);
    }
}
