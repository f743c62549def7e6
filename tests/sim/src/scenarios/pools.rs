//! Worker pools: who runs, who is woken, who is made and who ends (E rows, A2).

use std::sync::Arc;
use std::sync::Mutex as HostMutex;

use kernel::completion::Completion;
use kernel::mutex::Mutex;
use kernel::thread::{ThreadCx, current, sleep};
use kernel::wq::{self, PerCpu, Run, Submitted, WorkerCounts, Workqueue};
use machine::{CpuId, now};
use sim::{Kinds, Scenario};

use crate::kit::{
    Count, HARDY, burn, core, cpus, crowd, dawdle, here, insist, join, linger, ms, new_item,
    one_in, pick, some_core, until, us,
};

/// Scenarios of worker pools.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("sleeping-items", 2, sleeping_items)
        .about("as many items as you like sleep on one core, or on none, each starting while others sleep, and are counted (E2, E3, E9, F1)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("sleepers-and-wakers", 3, sleepers_and_wakers)
        .about("items put each other to sleep and wake each other across cores (E2, E3, E4)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("golden-timeline", 1, golden)
        .about("the classic three items take 50, 35 or 25 ms for max_active 1, 2 or 3 (E8)")
        .endures(Kinds::SPURIOUS),
    Scenario::new("one-worker-per-burst", 2, one_worker)
        .about("a burst of items that do not block is served by one worker (E6, E7)")
        .cpus_range(1, 4),
    Scenario::new("reaper-against-bursts", 2, reaper)
        .about("the idle reaper and the manager work against each other; two workers remain (E9, E11, E12)")
        .cpus_range(1, 4)
        .endures(HARDY),
    Scenario::new("one-computing-item", 3, one_computing_item)
        .about("items that only compute never run beside each other on one core (E1, E6)")
        .cpus_range(1, 8)
        .endures(Kinds::DELAYS.without(Kinds::STALL.or(Kinds::STORM))),
    Scenario::new("two-priorities", 2, two_priorities)
        .about("normal and highpri pools of all cores under mixed load lose nothing (A1, F3)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("counted-workers", 2, counted_workers)
        .about("at rest every worker is idle, none is counted as running, nothing pends (E1, N4)")
        .cpus_range(1, 8)
        .endures(HARDY),
];

/// Workers of core `cpu`'s normal pool.
fn workers(cpu: CpuId) -> WorkerCounts {
    let mut found = WorkerCounts::default();
    wq::for_each_pool(|p| {
        if p.cpu == Some(cpu) && p.kind == "thread" && p.nice == 0 {
            found = p.workers;
        }
    });
    found
}

/// Workers of all unbound pools that sleep, and that run.
fn of_no_core() -> (usize, usize) {
    let mut found = (0, 0);
    wq::for_each_pool(|p| {
        if p.cpu.is_none() {
            found.0 += p.workers.blocked as usize;
            found.1 += p.workers.running as usize;
        }
    });
    found
}

fn sleeping_items(cx: &ThreadCx<'_>) {
    struct Dormitory {
        gate: Completion,
        started: Count,
    }
    fn lie_down(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Dormitory>>) {
        linger();
        run.started.up();
        run.gate.wait(cx);
        linger();
    }
    for round in 0..3 {
        let beds = 4 + pick(6);
        let room = Arc::new(Dormitory {
            gate: Completion::new(),
            started: Count::default(),
        });
        let items: Vec<_> = (0..beds)
            .map(|_| new_item(Arc::clone(&room), lie_down))
            .collect();
        for item in &items {
            assert_eq!(wq::percpu().queue_on(core(round), item), Submitted::Queued);
        }
        // Nobody gets up before all have lain down.
        until(cx, || room.started.get() == beds);
        until(cx, || workers(core(round)).blocked as usize == beds);
        assert!(workers(core(round)).total as usize > beds, "E9");
        for _ in 0..beds {
            let item = new_item(Arc::clone(&room), lie_down);
            assert_eq!(wq::unbound().queue(&item), Submitted::Queued);
        }
        until(cx, || room.started.get() == 2 * beds);
        until(cx, || of_no_core() == (beds, 0));
        room.gate.complete_all();
        wq::percpu().flush(cx).expect("not one of its items");
        wq::unbound().flush(cx).expect("not one of its items");
        until(cx, || of_no_core() == (0, 0));
    }
}

fn sleepers_and_wakers(cx: &ThreadCx<'_>) {
    struct Bench {
        places: Vec<Completion>,
        woken: Count,
    }
    type Seat = (Arc<Bench>, usize);
    fn sit(cx: &ThreadCx<'_>, run: &Run<'_, Seat>) {
        let (bench, n) = &**run;
        // Waking one's neighbour first, so that all get up in the end.
        bench.places[(n + 1) % bench.places.len()].complete();
        dawdle(cx);
        bench.places[*n].wait(cx);
        bench.woken.up();
    }
    let n = 3 * cpus() + 2;
    let bench = Arc::new(Bench {
        places: (0..n).map(|_| Completion::new()).collect(),
        woken: Count::default(),
    });
    let items: Vec<_> = (0..n)
        .map(|i| new_item((Arc::clone(&bench), i), sit))
        .collect();
    for round in 1..5 {
        for item in &items {
            assert_eq!(wq::percpu().queue_on(some_core(), item), Submitted::Queued);
        }
        wq::percpu().flush(cx).expect("not one of its items");
        assert_eq!(bench.woken.get(), round * n);
    }
}

fn golden(cx: &ThreadCx<'_>) {
    fn play(cx: &ThreadCx<'_>, run: &Run<'_, bool>) {
        burn(ms(5));
        sleep(cx, ms(10));
        if **run {
            burn(ms(5));
        }
    }
    for (limit, wanted) in [(1, 50_000), (2, 35_000), (3, 25_000)] {
        let wq = insist(|| {
            Workqueue::<PerCpu>::builder("golden")
                .max_active(limit)
                .build()
        });
        let begin = now();
        for again in [true, false, false] {
            let item = new_item(again, play);
            assert_eq!(wq.queue(&item), Submitted::Queued);
        }
        wq.flush(cx).expect("not one of its items");
        let took = now().since(begin).as_micros();
        // Item 0 wakes up when item 2 has microseconds left to burn, and takes the core for a slice
        // (700 us) if it is owed time.
        assert!(
            took.abs_diff(wanted) <= 900,
            "{took} us instead of {wanted}"
        );
        wq.destroy(cx).expect("not one of its items");
    }
}

fn one_worker(cx: &ThreadCx<'_>) {
    type Names = Arc<HostMutex<Vec<u32>>>;
    fn sign(_: &ThreadCx<'_>, run: &Run<'_, Names>) {
        run.lock().expect("no panic").push(current().id());
        linger();
    }
    for _ in 0..12 {
        let names = Names::default();
        // No worker starts before the whole burst is queued.
        let stay = sync::preempt_disable();
        for _ in 0..10 {
            let item = new_item(Arc::clone(&names), sign);
            assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
        }
        drop(stay);
        wq::percpu().flush(cx).expect("not one of its items");
        let mut names = names.lock().expect("no panic").clone();
        assert_eq!(names.len(), 10);
        names.dedup();
        assert_eq!(names.len(), 1, "several workers served the burst");
        dawdle(cx);
    }
}

fn reaper(cx: &ThreadCx<'_>) {
    wq::set_idle_timeout(us(200));
    let bursts = crowd(cpus(), |cx, _| {
        for _ in 0..5 {
            let items: Vec<_> = (0..2 + pick(8))
                .map(|_| new_item((), |cx: &ThreadCx<'_>, _| dawdle(cx)))
                .collect();
            let cpu = some_core();
            for item in &items {
                assert_eq!(wq::percpu().queue_on(cpu, item), Submitted::Queued);
            }
            for item in &items {
                item.flush(cx).expect("no panic");
            }
            // Around the time at which the reaper comes.
            sleep(cx, us(100 + pick(200) as u64));
        }
    });
    join(cx, &bursts);
    for n in 0..cpus() {
        until(cx, || workers(core(n)).total <= 2);
        // A core that was never given an item has its first worker only.
        assert!(workers(core(n)).total >= 1, "the last workers ended");
    }
}

fn one_computing_item(cx: &ThreadCx<'_>) {
    struct Core {
        inside: Vec<Count>,
        runs: Count,
    }
    fn compute(_: &ThreadCx<'_>, run: &Run<'_, Arc<Core>>) {
        let inside = &run.inside[here().index()];
        assert_eq!(inside.up(), 0, "two counted items compute on one core");
        burn(us(pick(30) as u64));
        inside.down();
        run.runs.up();
    }
    let cores = Arc::new(Core {
        inside: (0..cpus()).map(|_| Count::default()).collect(),
        runs: Count::default(),
    });
    let users = {
        let cores = Arc::clone(&cores);
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..10 {
                let item = new_item(Arc::clone(&cores), compute);
                assert_eq!(wq::percpu().queue_on(some_core(), &item), Submitted::Queued);
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    wq::percpu().flush(cx).expect("not one of its items");
    assert_eq!(cores.runs.get(), 10 * users.len());
}

fn two_priorities(cx: &ThreadCx<'_>) {
    struct Shared {
        lock: Mutex<usize>,
        runs: Count,
    }
    fn work(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Shared>>) {
        // Items of both priorities block each other, across pools and cores.
        let mut guard = run.lock.lock(cx).expect("no panic");
        *guard += 1;
        linger();
        drop(guard);
        run.runs.up();
    }
    let shared = Arc::new(Shared {
        lock: Mutex::new(0),
        runs: Count::default(),
    });
    let users = {
        let shared = Arc::clone(&shared);
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..12 {
                let item = new_item(Arc::clone(&shared), work);
                let wq = if one_in(2) {
                    wq::percpu()
                } else {
                    wq::highpri()
                };
                assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    wq::percpu().flush(cx).expect("not one of its items");
    wq::highpri().flush(cx).expect("not one of its items");
    assert_eq!(shared.runs.get(), 12 * users.len());
    assert_eq!(*shared.lock.lock(cx).expect("no panic"), 12 * users.len());
}

fn counted_workers(cx: &ThreadCx<'_>) {
    let wq = insist(|| {
        Workqueue::<PerCpu>::builder("counted")
            .max_active(3)
            .build()
    });
    let mut queued = 0;
    for _ in 0..4 {
        for _ in 0..4 * cpus() {
            let item = new_item((), |cx: &ThreadCx<'_>, _| dawdle(cx));
            assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
            queued += 1;
        }
        wq.flush(cx).expect("not one of its items");
        // The last worker of each pool goes idle after it has ended the flush.
        until(cx, || {
            let mut at_rest = true;
            wq::for_each_pool(|p| {
                let w = p.workers;
                at_rest &= p.pending == 0 && p.nr_running == 0 && w.idle == w.total;
            });
            at_rest
        });
        wq::for_each_queue(|q| {
            if q.name == "counted" {
                assert_eq!((q.active, q.inactive, q.pending), (0, 0, 0));
                assert_eq!((q.stats.started, q.stats.completed), (queued, queued));
            }
        });
    }
    wq.destroy(cx).expect("not one of its items");
}
