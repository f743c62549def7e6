//! Unbound queues: attributes that change under load, limits by node, masks, pods (A1, C2, D, G rows).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kernel::cpu::topology;
use kernel::hotplug;
use kernel::thread::{ThreadCx, yield_now};
use kernel::wq::{self, Attrs, Ordered, Run, Scope, Submitted, Unbound, Workqueue};
use machine::{CpuId, CpuMask, CpuPlace, Topology};
use sim::Held;
use sim::Scenario;
use sync::{Rank, SpinLock};

use crate::kit::{
    Count, HARDY, core, cpus, crowd, dawdle, here, insist, join, new_item, one_in, pick, some_core,
    until,
};

/// Scenarios of unbound queues and where they are.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("attributes-storm", 4, attributes_storm)
        .about("attributes change under load, also without memory: no item is lost, doubled or run twice at once, and the pools go (G1, A1, C5)")
        .topology(parted)
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("attributes-of-ordered", 4, attributes_of_ordered)
        .about("an ordered queue keeps its order while its attributes change (D9, D8)")
        .topology(parted)
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("queue-dies-while-it-changes", 4, dies_while_it_changes)
        .about("a queue is destroyed while its attributes change, and its pools go all the same (I10, A1)")
        .topology(parted)
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("unbound-mask-moves", 4, mask_moves)
        .about("no unbound item starts outside the mask once it was set, and cores outside it take turns (G7, C2)")
        .topology(parted)
        .cpus_range(2, 8)
        .leaves(&[Held::Blocks], "the system's unbound queue keeps every share it once needed")
        .endures(HARDY),
    Scenario::new("pod-without-a-core", 4, pod_without_a_core)
        .about("what is queued for a pod whose cores are offline runs on the others, and in the pod again when they are back (G6, G4)")
        .cpus_range(2, 8),
    Scenario::new("strict-pods", 8, strict_pods)
        .about("items of a strict queue never leave their pod; others start in it (G3, G4)")
        .topology(parted)
        .cpus_range(2, 8),
];

/// Cores of two threads, caches of two cores, a node for each cache.
pub(super) fn parted(n: usize) -> Topology {
    Topology::new((0..n).map(|i| CpuPlace {
        core: (i / 2) as u8,
        cluster: (i / 4) as u8,
        cache: (i / 4) as u8,
        package: 0,
        node: (i / 4) as u8,
    }))
}

const SCOPES: [Scope; 7] = [
    Scope::Default,
    Scope::Cpu,
    Scope::Smt,
    Scope::Cache,
    Scope::CacheShard,
    Scope::Numa,
    Scope::System,
];

pub(super) fn some_attrs() -> Attrs {
    let all = CpuMask::first_n(cpus());
    let cpus = match pick(3) {
        0 => CpuMask::single(some_core()),
        1 => all,
        _ => CpuMask(machine::entropy() & all.0 | 1),
    };
    Attrs {
        nice: [-20, 0, 0, 5][pick(4)],
        cpus,
        scope: SCOPES[pick(SCOPES.len())],
        strict: one_in(2),
    }
}

fn unbound(name: &str) -> Workqueue<Unbound> {
    insist(|| Workqueue::<Unbound>::builder(name).build())
}

pub(super) fn unbound_pools() -> usize {
    let mut n = 0;
    wq::for_each_pool(|p| n += usize::from(p.cpu.is_none()));
    n
}

/// Changes the attributes `times` times, as the only one; without memory nothing changes.
fn change(cx: &ThreadCx<'_>, queue: &Workqueue<Unbound>, times: usize) {
    for _ in 0..times {
        let (before, wanted) = (queue.attrs(), some_attrs());
        match queue.apply_attrs(cx, wanted) {
            Ok(()) => assert_eq!(queue.attrs(), wanted),
            Err(_) => assert_eq!(queue.attrs(), before, "half a change"),
        }
        if one_in(3) {
            dawdle(cx);
        }
    }
}

fn attributes_storm(cx: &ThreadCx<'_>) {
    struct Books {
        queue: Workqueue<Unbound>,
        accepted: Count,
        runs: Count,
    }
    struct Entry {
        books: Arc<Books>,
        busy: AtomicBool,
        again: Count,
    }
    fn run(cx: &ThreadCx<'_>, run: &Run<'_, Entry>) {
        assert!(!run.busy.swap(true, Ordering::Relaxed), "twice at once");
        run.books.runs.up();
        dawdle(cx);
        if run.again.get() > 0 {
            run.again.down();
            let again = run.books.queue.queue(run);
            run.books.accepted.up_if(again == Submitted::Queued);
        }
        run.busy.store(false, Ordering::Relaxed);
    }
    let pools = unbound_pools();
    let queue = unbound("changing");
    let books = Arc::new(Books {
        queue: queue.clone(),
        accepted: Count::default(),
        runs: Count::default(),
    });
    let users = {
        let books = Arc::clone(&books);
        crowd(cpus() + 1, move |cx, _| {
            let items: Vec<_> = (0..3)
                .map(|_| {
                    let entry = Entry {
                        books: Arc::clone(&books),
                        busy: AtomicBool::new(false),
                        again: Count::new(pick(3)),
                    };
                    new_item(entry, run)
                })
                .collect();
            for _ in 0..12 {
                let item = &items[pick(items.len())];
                let to = if one_in(2) {
                    books.queue.queue(item)
                } else {
                    books.queue.queue_on(some_core(), item)
                };
                books.accepted.up_if(to == Submitted::Queued);
                match pick(8) {
                    0 if item.cancel() => {
                        books.accepted.down();
                    }
                    1 => {
                        item.flush(cx).expect("no panic");
                    }
                    2 => books.queue.flush(cx).expect("not one of its items"),
                    _ => dawdle(cx),
                }
            }
        })
    };
    let changers = {
        let queue = queue.clone();
        crowd(1, move |cx, _| change(cx, &queue, 24))
    };
    let movers = {
        let queue = queue.clone();
        crowd(1, move |cx, _| {
            for _ in 0..6 {
                queue.set_max_active(1 + pick(6) as u32);
                queue.set_min_active(1 + pick(3) as u32);
                dawdle(cx);
            }
        })
    };
    for threads in [&users, &changers, &movers] {
        join(cx, threads);
    }
    queue.flush(cx).expect("not one of its items");
    queue.drain(cx).expect("not one of its items");
    assert_eq!(books.runs.get(), books.accepted.get());
    queue.destroy(cx).expect("not one of its items");
    assert_eq!(unbound_pools(), pools, "pools that nobody uses");
}

fn attributes_of_ordered(cx: &ThreadCx<'_>) {
    struct Line {
        queue: Workqueue<Ordered>,
        tickets: SpinLock<usize>,
        busy: AtomicBool,
        /// One more than the ticket that ran last.
        served: Count,
        runs: Count,
        queued: Count,
    }
    struct Place {
        line: Arc<Line>,
        ticket: Count,
        again: Count,
    }
    /// Held while queueing, so that tickets are in the order of the queue.
    fn enter(place: &Place, queue: impl FnOnce() -> Submitted) {
        let mut next = place.line.tickets.lock();
        place.ticket.set(*next);
        *next += 1;
        assert_eq!(queue(), Submitted::Queued);
        drop(next);
        place.line.queued.up();
    }
    fn serve(cx: &ThreadCx<'_>, run: &Run<'_, Place>) {
        let line = &run.line;
        assert!(!line.busy.swap(true, Ordering::Relaxed), "two at once");
        let ticket = run.ticket.get();
        assert!(ticket >= line.served.get(), "an item overtook another");
        line.served.set(ticket + 1);
        dawdle(cx);
        if run.again.get() > 0 {
            run.again.down();
            enter(run, || line.queue.queue(run));
        }
        line.runs.up();
        line.busy.store(false, Ordering::Relaxed);
    }
    let pools = unbound_pools();
    let queue = insist(|| Workqueue::<Ordered>::builder("ordered").build());
    let line = Arc::new(Line {
        queue: queue.clone(),
        tickets: SpinLock::new(Rank::Service, "tickets", 0),
        busy: AtomicBool::new(false),
        served: Count::default(),
        runs: Count::default(),
        queued: Count::default(),
    });
    let users = {
        let line = Arc::clone(&line);
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..8 {
                let place = Place {
                    line: Arc::clone(&line),
                    ticket: Count::default(),
                    again: Count::new(usize::from(one_in(3))),
                };
                let item = new_item(place, serve);
                enter(&item, || line.queue.queue(&item));
                match pick(6) {
                    0 if item.cancel() => {
                        line.queued.down();
                    }
                    1 => {
                        item.flush(cx).expect("no panic");
                    }
                    2 => line.queue.flush(cx).expect("not one of its items"),
                    _ => dawdle(cx),
                }
            }
        })
    };
    let changers = {
        let queue = queue.clone();
        crowd(2, move |cx, _| {
            for _ in 0..12 {
                let _kept_without_memory = queue.apply_attrs(cx, some_attrs());
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    join(cx, &changers);
    queue.drain(cx).expect("not one of its items");
    assert_eq!(line.runs.get(), line.queued.get());
    queue.destroy(cx).expect("not one of its items");
    assert_eq!(unbound_pools(), pools, "pools that nobody uses");
}

fn dies_while_it_changes(cx: &ThreadCx<'_>) {
    let pools = unbound_pools();
    for _ in 0..3 {
        let queue = unbound("short-lived");
        let runs = Arc::new(Count::default());
        let changers = {
            let queue = queue.clone();
            crowd(1, move |cx, _| change(cx, &queue, 8))
        };
        let count = |_: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>| {
            run.up();
        };
        for _ in 0..4 {
            let item = new_item(Arc::clone(&runs), count);
            assert_eq!(queue.queue_on(some_core(), &item), Submitted::Queued);
            dawdle(cx);
        }
        queue.destroy(cx).expect("not one of its items");
        assert_eq!(runs.get(), 4);
        join(cx, &changers);
    }
    // The last handle may have been a changer's, which drops it when it has ended.
    until(cx, || unbound_pools() == pools);
}

fn mask_moves(cx: &ThreadCx<'_>) {
    struct Look {
        allowed: CpuMask,
        runs: Arc<Count>,
    }
    fn look(_: &ThreadCx<'_>, run: &Run<'_, Look>) {
        assert!(
            run.allowed.contains(here()),
            "it starts on {:?}, outside {:?}",
            here(),
            run.allowed
        );
        run.runs.up();
    }
    let all = CpuMask::first_n(cpus());
    let queue = unbound("masked");
    let runs = Arc::new(Count::default());
    let mut queued = 0;
    for _ in 0..6 {
        let mask = CpuMask(machine::entropy() & all.0);
        let before = wq::unbound_mask();
        let set = wq::set_unbound_mask(cx, mask);
        assert!(set.is_err() || !mask.is_empty(), "an empty mask is taken");
        let allowed = if set.is_ok() { mask } else { before };
        assert_eq!(wq::unbound_mask(), allowed);
        if one_in(3) {
            let _kept_without_memory = wq::set_default_scope(cx, SCOPES[1 + pick(6)]);
        }
        for n in 0..4 {
            let runs = Arc::clone(&runs);
            let item = new_item(Look { allowed, runs }, look);
            let to = match n {
                0 => queue.queue(&item),
                1 => queue.queue_on(some_core(), &item),
                _ => wq::unbound().queue(&item),
            };
            assert_eq!(to, Submitted::Queued);
            queued += 1;
        }
        queue.flush(cx).expect("not one of its items");
        wq::unbound().flush(cx).expect("not one of its items");
        assert_eq!(runs.get(), queued);
    }
    insist(|| wq::set_default_scope(cx, Scope::Default));
    insist(|| wq::set_unbound_mask(cx, CpuMask::ALL));
    queue.destroy(cx).expect("not one of its items");
}

fn pod_without_a_core(cx: &ThreadCx<'_>) {
    fn look(_: &ThreadCx<'_>, run: &Run<'_, CpuMask>) {
        assert!(
            run.contains(here()),
            "it starts on {:?}, not in {:?}",
            here(),
            **run
        );
    }
    let queue = insist(|| {
        let builder = Workqueue::<Unbound>::builder("pods");
        let (scope, strict) = (Scope::Cpu, true);
        let attrs = Attrs {
            scope,
            strict,
            ..Attrs::new()
        };
        builder.attrs(attrs).build()
    });
    let all = kernel::cpu::online();
    for _ in 0..3 {
        // Core 0 stays, as a scenario wants at least one.
        let cpu = CpuId::new(1 + pick(all.count() - 1));
        let home = CpuMask::single(cpu);
        for pod in [CpuMask(all.0 & !home.0), home] {
            if pod == home {
                hotplug::online(cx, cpu).expect("the core comes back");
            } else {
                hotplug::offline(cx, cpu).expect("another core is left");
            }
            for _ in 0..3 {
                let item = new_item(pod, look);
                assert_eq!(queue.queue_on(cpu, &item), Submitted::Queued);
                dawdle(cx);
            }
            queue.flush(cx).expect("not one of its items");
        }
    }
    queue.destroy(cx).expect("not one of its items");
}

fn strict_pods(cx: &ThreadCx<'_>) {
    struct Look {
        pod: CpuMask,
        strict: bool,
        inside: Arc<Count>,
    }
    fn look(cx: &ThreadCx<'_>, run: &Run<'_, Look>) {
        let inside = run.pod.contains(here());
        run.inside.up_if(inside);
        assert!(inside || !run.strict, "outside its pod at the start");
        dawdle(cx);
        yield_now(cx);
        let inside = run.pod.contains(here());
        assert!(inside || !run.strict, "it left its pod");
    }
    let scope = [Scope::Cpu, Scope::Smt, Scope::Cache][pick(3)];
    for strict in [true, false] {
        let attrs = Attrs {
            scope,
            strict,
            ..Attrs::new()
        };
        let queue = insist(|| {
            let builder = Workqueue::<Unbound>::builder("pods");
            builder.attrs(attrs).build()
        });
        let inside = Arc::new(Count::default());
        for n in 0..3 * cpus() {
            let cpu = core(n);
            let pod = match scope {
                Scope::Cpu => CpuMask::single(cpu),
                Scope::Smt => topology().siblings(machine::Level::Core, cpu),
                _ => topology().siblings(machine::Level::Cache, cpu),
            };
            let inside = Arc::clone(&inside);
            let item = new_item(
                Look {
                    pod,
                    strict,
                    inside,
                },
                look,
            );
            assert_eq!(queue.queue_on(cpu, &item), Submitted::Queued);
            dawdle(cx);
        }
        queue.flush(cx).expect("not one of its items");
        assert!(!strict || inside.get() == 3 * cpus());
        queue.destroy(cx).expect("not one of its items");
    }
}
