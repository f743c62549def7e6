//! Queues whose threads are their own, as before concurrency management (X2-X4).

mod waits;

use std::sync::Arc;

use kernel::hotplug;
use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{
    self, Attrs, AttrsError, Backend, Ordered, PerCpu, Run, Submitted, Unbound, WaitError, Work,
    Workqueue,
};
use machine::{CpuId, now};
use sim::{Kinds, Scenario};

use crate::kit::{
    Count, HARDY, burn, core, crowd, dawdle, here, insist, join, ms, new_delayed, new_item, one_in,
    pick, some_core, us,
};

/// Scenarios of the old back ends.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("old-queues-storm", 3, storm)
        .about("single- and multi-threaded queues lose nothing, double nothing and keep order under every call (B4, B9, C5, I1, I5, J2)")
        .cpus_range(1, 4)
        .prepare(make_pools)
        .endures(HARDY),
    Scenario::new("old-queues-come-and-go", 3, come_and_go)
        .about("queues with threads of their own end with all they accepted, and their threads with them (A1, I9, I10)")
        .cpus_range(1, 4)
        .prepare(make_pools)
        .endures(HARDY),
    Scenario::new("old-queues-panic", 2, panics)
        .about("the only thread of a queue whose item panics has a successor, which goes on with what waits (B4)")
        .cpus_range(1, 4)
        .prepare(make_pools)
        .endures(HARDY),
    Scenario::new("old-queues-hotplug", 3, cores_go)
        .about("a core's own thread goes on elsewhere while the core is offline, and home when it is back (C3, M2, M3)")
        .cpus_range(2, 4)
        .prepare(make_pools)
        .endures(HARDY),
    Scenario::new("old-queues-scopes", 2, waits::scopes)
        .about("an item of a queue with threads of its own cannot wait there for what it spawns, and is told; elsewhere it can (X4)")
        .cpus_range(1, 4)
        .prepare(make_pools)
        .endures(HARDY),
    Scenario::new("old-default-queue", 2, waits::default_queue)
        .about("with one thread a core for the default queue its items are refused calls on cores; others get them (C12, C13)")
        .cpus_range(1, 4)
        .bootargs("wq.backend=st")
        .endures(HARDY),
    Scenario::new("old-golden-timeline", 1, golden)
        .about("without concurrency management the classic three items take 50 ms whatever their limit (E8, X3)")
        .prepare(make_pools)
        .endures(Kinds::SPURIOUS),
    Scenario::new("old-throughput", 4, throughput)
        .about("sleeping items go through one at a time, one a core, or as many as the limit allows (D2, X2)")
        .prepare(make_pools)
        .endures(Kinds::SPURIOUS),
];

const OLD: [Backend; 2] = [Backend::SingleThreaded, Backend::MultiThreaded];

fn old() -> Backend {
    OLD[pick(2)]
}

/// Pools are made many at a time and never freed: the first are made before anything is counted.
fn make_pools(cx: &ThreadCx<'_>) {
    let wq = Workqueue::<PerCpu>::builder("first").backend(Backend::SingleThreaded);
    let wq = wq.build().expect("nothing fails yet");
    wq.destroy(cx).expect("not one of its items");
    // Its thread ends by itself.
    sleep(cx, ms(1));
}

/// One queue of the old kind, of any class.
enum Old {
    PerCpu(Workqueue<PerCpu>),
    Unbound(Workqueue<Unbound>),
    Ordered(Workqueue<Ordered>),
}

impl Old {
    fn any() -> Self {
        let backend = old();
        match pick(3) {
            0 => Self::PerCpu(insist(|| {
                let b = Workqueue::builder("old").backend(backend);
                b.mem_reclaim().cpu_intensive().max_active(1).build()
            })),
            1 => Self::Unbound(insist(|| {
                Workqueue::builder("old").backend(backend).highpri().build()
            })),
            _ => Self::Ordered(insist(|| {
                Workqueue::builder("old").backend(backend).build()
            })),
        }
    }

    fn queue(&self, item: &Arc<Work<Count>>) -> Submitted {
        match (self, one_in(2)) {
            (Self::PerCpu(q), true) => q.queue_on(some_core(), item),
            (Self::PerCpu(q), false) => q.queue(item),
            (Self::Unbound(q), true) => q.queue_on(some_core(), item),
            (Self::Unbound(q), false) => q.queue(item),
            (Self::Ordered(q), _) => q.queue(item),
        }
    }

    fn flush(&self, cx: &ThreadCx<'_>) -> Result<(), WaitError> {
        match self {
            Self::PerCpu(q) => q.flush(cx),
            Self::Unbound(q) => q.flush(cx),
            Self::Ordered(q) => q.flush(cx),
        }
    }

    fn drain(&self, cx: &ThreadCx<'_>) -> Result<(), WaitError> {
        match self {
            Self::PerCpu(q) => q.drain(cx),
            Self::Unbound(q) => q.drain(cx),
            Self::Ordered(q) => q.drain(cx),
        }
    }

    /// Its threads stay as they are.
    fn change(&self, cx: &ThreadCx<'_>) {
        let refused = match self {
            Self::PerCpu(_) => return,
            Self::Unbound(q) => q.apply_attrs(cx, Attrs::new()),
            Self::Ordered(q) => q.apply_attrs(cx, Attrs::new()),
        };
        assert_eq!(refused, Err(AttrsError::Dedicated));
    }

    fn destroy(self, cx: &ThreadCx<'_>) {
        let done = match self {
            Self::PerCpu(q) => q.destroy(cx),
            Self::Unbound(q) => q.destroy(cx),
            Self::Ordered(q) => q.destroy(cx),
        };
        done.expect("not one of its items");
    }
}

fn storm(cx: &ThreadCx<'_>) {
    let queue = Arc::new(Old::any());
    let items: Arc<Vec<_>> = Arc::new(
        (0..4)
            .map(|_| {
                new_item(Count::default(), |cx: &ThreadCx<'_>, run| {
                    dawdle(cx);
                    run.up();
                })
            })
            .collect(),
    );
    // Of each item: submissions that were taken, and cancelled.
    let taken: Arc<Vec<Count>> = Arc::new(items.iter().map(|_| Count::default()).collect());
    let gone: Arc<Vec<Count>> = Arc::new(items.iter().map(|_| Count::default()).collect());
    let people = {
        let (queue, items) = (Arc::clone(&queue), Arc::clone(&items));
        let (taken, gone) = (Arc::clone(&taken), Arc::clone(&gone));
        crowd(4, move |cx, who| {
            for _ in 0..12 {
                let n = pick(items.len());
                let item = &items[n];
                match pick(8) {
                    0..4 => {
                        if queue.queue(item) == Submitted::Queued {
                            taken[n].up();
                        }
                    }
                    4 => {
                        item.flush(cx).expect("no panic");
                    }
                    5 => {
                        if item.cancel_sync(cx).expect("no panic") {
                            gone[n].up();
                        }
                    }
                    6 if who == 0 => queue.drain(cx).expect("not one of its items"),
                    6 => queue.flush(cx).expect("not one of its items"),
                    _ => {
                        if item.disable_sync(cx).expect("no panic") {
                            gone[n].up();
                        }
                        item.enable();
                    }
                }
                dawdle(cx);
            }
        })
    };
    queue.change(cx);
    join(cx, &people);
    queue.flush(cx).expect("not one of its items");
    for (n, item) in items.iter().enumerate() {
        let (taken, gone) = (taken[n].get(), gone[n].get());
        assert_eq!(
            item.get(),
            taken - gone,
            "item {n}: {taken} taken, {gone} cancelled"
        );
    }
    let queue = Arc::into_inner(queue).expect("everybody else has left");
    queue.destroy(cx);
}

/// Pools in use.
fn pools() -> usize {
    let mut n = 0;
    wq::for_each_pool(|_| n += 1);
    n
}

fn come_and_go(cx: &ThreadCx<'_>) {
    let before = pools();
    let people = crowd(2, |cx, _| {
        for _ in 0..3 {
            let wq = {
                let backend = old();
                insist(|| {
                    Workqueue::<PerCpu>::builder("brief")
                        .backend(backend)
                        .build()
                })
            };
            let ran = Arc::new(Count::default());
            // Each item queues itself twice more.
            type Family = (Workqueue<PerCpu>, Arc<Count>, Count);
            fn again(cx: &ThreadCx<'_>, run: &Run<'_, Family>) {
                let (wq, ran, times) = &**run;
                dawdle(cx);
                ran.up();
                times.up();
                if times.get() < 3 {
                    assert_eq!(wq.queue(run), Submitted::Queued, "chained (C10)");
                }
            }
            for _ in 0..3 {
                let item = new_item((wq.clone(), Arc::clone(&ran), Count::default()), again);
                assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
            }
            let late = new_delayed((), |_, _| {});
            assert!(
                wq.queue_delayed(&late, us(1 + pick(300) as u64))
                    .is_pending()
            );
            let handle = wq.clone();
            wq.destroy(cx).expect("not one of its items");
            assert_eq!(ran.get(), 9, "a queue that ends runs all it has (I9)");
            let item = new_item((), |_, _| {});
            assert_eq!(handle.queue(&item), Submitted::Draining);
            late.cancel_sync(cx).expect("no panic");
        }
    });
    join(cx, &people);
    assert_eq!(pools(), before, "a queue that is gone keeps a pool");
}

fn panics(cx: &ThreadCx<'_>) {
    let wq = {
        let backend = old();
        insist(|| Workqueue::<PerCpu>::builder("old").backend(backend).build())
    };
    let ran = Arc::new(Count::default());
    let mut bombs = Vec::new();
    for n in 0..6 {
        let bomb = n % 3 == 1;
        let item = new_item((bomb, Arc::clone(&ran)), |cx: &ThreadCx<'_>, run| {
            dawdle(cx);
            assert!(!run.0, "this one was meant to");
            run.1.up();
        });
        assert_eq!(wq.queue_on(core(0), &item), Submitted::Queued);
        bombs.extend(bomb.then_some(item));
    }
    wq.flush(cx).expect("not one of its items");
    assert_eq!(ran.get(), 4);
    for bomb in &bombs {
        assert_eq!(bomb.flush(cx), Err(WaitError::Poisoned));
    }
    wq.destroy(cx).expect("not one of its items");
}

fn cores_go(cx: &ThreadCx<'_>) {
    let wq = insist(|| {
        let b = Workqueue::<PerCpu>::builder("old").backend(Backend::MultiThreaded);
        b.build()
    });
    let cores = kernel::kernel().present().count();
    let ran = Arc::new(Count::default());
    let load = {
        let (wq, ran) = (wq.clone(), Arc::clone(&ran));
        crowd(1, move |cx, _| {
            for _ in 0..20 {
                let item = new_item(Arc::clone(&ran), |cx: &ThreadCx<'_>, run| {
                    dawdle(cx);
                    run.up();
                });
                let cpu = CpuId::new(pick(cores));
                assert_eq!(wq.queue_on(cpu, &item), Submitted::Queued);
                if one_in(2) {
                    item.flush(cx).expect("no panic");
                }
            }
        })
    };
    for _ in 0..3 {
        let cpu = CpuId::new(1 + pick(cores - 1));
        if hotplug::offline(cx, cpu).is_ok() {
            dawdle(cx);
            insist(|| hotplug::online(cx, cpu));
        }
    }
    join(cx, &load);
    wq.flush(cx).expect("not one of its items");
    assert_eq!(ran.get(), 20);
    for n in 0..cores {
        let item = new_item(n, |_, run| assert_eq!(here().index(), **run, "not at home"));
        assert_eq!(wq.queue_on(CpuId::new(n), &item), Submitted::Queued);
        item.flush(cx).expect("it was at home");
    }
    wq.destroy(cx).expect("not one of its items");
}

fn golden(cx: &ThreadCx<'_>) {
    fn play(cx: &ThreadCx<'_>, run: &Run<'_, bool>) {
        burn(ms(5));
        sleep(cx, ms(10));
        if **run {
            burn(ms(5));
        }
    }
    for (backend, limit) in OLD.into_iter().flat_map(|b| [(b, 1), (b, 3)]) {
        let wq = insist(|| {
            let b = Workqueue::<PerCpu>::builder("golden").backend(backend);
            b.max_active(limit).build()
        });
        let begin = now();
        for again in [true, false, false] {
            assert_eq!(wq.queue(&new_item(again, play)), Submitted::Queued);
        }
        wq.flush(cx).expect("not one of its items");
        let took = now().since(begin).as_micros();
        assert!(took.abs_diff(50_000) <= 900, "{backend}: {took} us");
        wq.destroy(cx).expect("not one of its items");
    }
}

/// X2: 12 items that sleep for 100 ms each, three on each of four cores.
fn throughput(cx: &ThreadCx<'_>) {
    const ITEMS: usize = 12;
    let limit = 2;
    for (backend, wanted_ms) in [
        (Backend::SingleThreaded, 1_200),
        (Backend::MultiThreaded, 300),
        (Backend::ConcurrencyManaged, 200),
    ] {
        let wq = insist(|| {
            let b = Workqueue::<PerCpu>::builder("sleepers").backend(backend);
            b.max_active(limit).build()
        });
        let begin = now();
        for n in 0..ITEMS {
            let item = new_item((), |cx: &ThreadCx<'_>, _| sleep(cx, ms(100)));
            assert_eq!(wq.queue_on(core(n), &item), Submitted::Queued);
        }
        wq.flush(cx).expect("not one of its items");
        let took = now().since(begin);
        let late = took.as_micros().abs_diff(wanted_ms * 1_000);
        assert!(
            late <= 2_000,
            "{backend}: {took:?} instead of {wanted_ms} ms"
        );
        wq.destroy(cx).expect("not one of its items");
    }
}
