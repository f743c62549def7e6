//! 97: how the cores lie to each other, and where unbound items run because of that (G rows).

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::cpu::{online, topology};
use kernel::thread::{self, ThreadCx};
use kernel::wq::{self, Attrs, Ordered, Run, Scope, Submitted, Unbound, Work, Workqueue};
use machine::{CpuId, CpuMask, Level};
use sync::{Rank, SpinLock};

use super::work_kit::{cores, eventually, here, ms, on_every_core, us};
use crate::ktest;
use crate::registry::Needs;

ktest!("97_g2_topology_without_parts_is_flat", flat_topology);
ktest!(
    "97_g2_topology_is_the_device_trees",
    topology_of_the_tree,
    Needs::new().parted()
);

ktest!(
    "97_a1_g2_pools_follow_the_scope",
    pools_follow_the_scope,
    Needs::new().parted()
);
ktest!(
    "97_g4_strict_items_stay_in_their_pod",
    strict_items_stay,
    Needs::new().parted()
);
ktest!(
    "97_g3_items_start_in_their_pod",
    items_start_in_their_pod,
    Needs::new().parted()
);
ktest!(
    "97_c2_g7_unbound_cpus_of_the_boot_arguments",
    unbound_cpus,
    Needs::new().cpus(4).bootargs("workqueue.unbound_cpus=1-2")
);
ktest!("97_d8_d9_ordered_work_keeps_its_order", ordered_work);

/// G2: QEMU's usual machine: one cluster, one thread for each core, one node.
fn flat_topology(_: &ThreadCx<'_>) {
    let t = topology();
    assert_eq!(t.len(), cores());
    assert_eq!(t.nodes(), 1);
    for c in online().iter() {
        assert_eq!(t.siblings(Level::Core, c), CpuMask::single(c));
        assert_eq!(t.siblings(Level::Cache, c), online());
        assert_eq!(t.siblings(Level::Node, c), online());
    }
}

/// G2: `-smp 8,sockets=1,clusters=2,cores=2,threads=2`, and a memory node for each cluster.
fn topology_of_the_tree(_: &ThreadCx<'_>) {
    let t = topology();
    assert_eq!((t.len(), t.nodes()), (8, 2));
    for n in 0..8 {
        let (c, place) = (CpuId::new(n), t.place(CpuId::new(n)));
        assert_eq!(place.package, 0);
        assert_eq!(usize::from(place.node), n / 4, "node of core {n}");
        assert_eq!(t.siblings(Level::Core, c), CpuMask(0b11 << (n / 2 * 2)));
        assert_eq!(t.siblings(Level::Cache, c), CpuMask(0xf << (n / 4 * 4)));
        assert_eq!(t.siblings(Level::Node, c), CpuMask(0xf << (n / 4 * 4)));
    }
}

fn queue_of(attrs: Attrs) -> Workqueue<Unbound> {
    let builder = Workqueue::<Unbound>::builder("pods").attrs(attrs);
    builder.build().expect("memory for a queue and its pools")
}

/// The pods of the pools that only `queue` uses, which has nice level 7.
fn pods_of_nice_7() -> Vec<u64> {
    let mut pods = Vec::new();
    wq::for_each_pool(|p| {
        if p.cpu.is_none() && p.nice == 7 {
            pods.push(p.pod.0);
        }
    });
    pods.sort_unstable();
    pods
}

/// A1, G2: one pool for each pod of the scope, which the queue changes while it exists; two queues
/// share them; none are left afterwards.
fn pools_follow_the_scope(cx: &ThreadCx<'_>) {
    let attrs = |scope| Attrs {
        nice: 7,
        scope,
        ..Attrs::new()
    };
    let wanted: [(Scope, &[u64]); 6] = [
        (Scope::Cpu, &[1, 2, 4, 8, 16, 32, 64, 128]),
        (Scope::Smt, &[0x3, 0xc, 0x30, 0xc0]),
        (Scope::Cache, &[0x0f, 0xf0]),
        (Scope::CacheShard, &[0x0f, 0xf0]),
        (Scope::Numa, &[0x0f, 0xf0]),
        (Scope::System, &[0xff]),
    ];
    let queue = queue_of(attrs(Scope::System));
    let other = queue_of(attrs(Scope::System));
    for (scope, pods) in wanted {
        for q in [&queue, &other] {
            q.apply_attrs(cx, attrs(scope)).expect("memory for pools");
        }
        assert_eq!(pods_of_nice_7(), pods, "{}", scope.name());
    }
    other.destroy(cx).expect("not one of its items");
    assert_eq!(pods_of_nice_7(), [0xff]);
    queue.destroy(cx).expect("not one of its items");
    assert!(pods_of_nice_7().is_empty(), "a pool that nobody uses");
}

/// Where an item may be, and how often it was elsewhere.
struct Place {
    pod: CpuMask,
    outside: Arc<AtomicUsize>,
}

impl Place {
    fn look(&self) {
        if !self.pod.contains(here()) {
            self.outside.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// G4: more items than cores, all computing and sleeping, and none ever leaves its pod.
fn strict_items_stay(cx: &ThreadCx<'_>) {
    for level in [Level::Core, Level::Cache] {
        let scope = match level {
            Level::Core => Scope::Smt,
            _ => Scope::Cache,
        };
        let queue = queue_of(Attrs {
            scope,
            strict: true,
            ..Attrs::new()
        });
        let outside = Arc::new(AtomicUsize::new(0));
        let items: Vec<_> = (0..32)
            .map(|n| {
                let cpu = CpuId::new(n % 8);
                let place = Place {
                    pod: topology().siblings(level, cpu),
                    outside: Arc::clone(&outside),
                };
                let item = Arc::new(Work::new(place, |cx, run: &Run<'_, Place>| {
                    for _ in 0..20 {
                        run.look();
                        super::compute();
                        thread::sleep(cx, us(50));
                    }
                    run.look();
                }));
                assert_eq!(queue.queue_on(cpu, &item), Submitted::Queued);
                item
            })
            .collect();
        queue.flush(cx).expect("not one of its items");
        drop(items);
        assert_eq!(outside.load(Ordering::Relaxed), 0, "{}", scope.name());
        queue.destroy(cx).expect("not one of its items");
    }
}

/// G3: whatever core the workers were on, more than 99 % of items start in the pod they are for.
fn items_start_in_their_pod(cx: &ThreadCx<'_>) {
    const ITEMS: usize = 1_000;
    let queue = queue_of(Attrs {
        scope: Scope::Cache,
        ..Attrs::new()
    });
    let outside = Arc::new(AtomicUsize::new(0));
    for n in 0..ITEMS {
        let cpu = CpuId::new(n * 5 % 8);
        let place = Place {
            pod: topology().siblings(Level::Cache, cpu),
            outside: Arc::clone(&outside),
        };
        let item = Arc::new(Work::new(place, |cx, run: &Run<'_, Place>| {
            run.look();
            // It may be taken elsewhere from here on, and its worker is to come back.
            thread::yield_now(cx);
        }));
        assert_eq!(queue.queue_on(cpu, &item), Submitted::Queued);
        item.flush(cx).expect("no panic");
    }
    let outside = outside.load(Ordering::Relaxed);
    assert!(outside * 100 < ITEMS, "{outside} of {ITEMS} outside");
    queue.destroy(cx).expect("not one of its items");
}

/// G7, C2: items keep to cores 1 and 2, and those of core 0 are spread evenly over them. A mask
/// without a core of the machine is refused.
fn unbound_cpus(cx: &ThreadCx<'_>) {
    const ITEMS: usize = 40;
    assert_eq!(wq::unbound_mask(), CpuMask(0b110));
    let queue = queue_of(Attrs {
        scope: Scope::Cpu,
        strict: true,
        ..Attrs::new()
    });
    let seen: Arc<[AtomicUsize; 64]> = Arc::new([const { AtomicUsize::new(0) }; 64]);
    thread::current().set_affinity(CpuMask::single(CpuId::BOOT));
    eventually(cx, "the way to core 0", || here() == CpuId::BOOT);
    for _ in 0..ITEMS {
        let item = Arc::new(Work::new(
            Arc::clone(&seen),
            |_, run: &Run<'_, Arc<[AtomicUsize; 64]>>| {
                run[here().index()].fetch_add(1, Ordering::Relaxed);
            },
        ));
        assert_eq!(queue.queue(&item), Submitted::Queued);
        item.flush(cx).expect("no panic");
    }
    thread::current().set_affinity(CpuMask::ALL);
    let seen: Vec<usize> = seen.iter().map(|n| n.load(Ordering::Relaxed)).collect();
    assert_eq!(seen[1] + seen[2], ITEMS, "{seen:?}");
    assert_eq!(seen[1], seen[2]);
    let none = wq::set_unbound_mask(cx, CpuMask(1 << 63));
    assert_eq!(none, Err(wq::AttrsError::NoCore));
    assert_eq!(wq::unbound_mask(), CpuMask(0b110));
    wq::set_unbound_mask(cx, CpuMask::ALL).expect("memory for pools");
    assert_eq!(wq::unbound_mask(), online());
    queue.destroy(cx).expect("not one of its items");
}

/// What an ordered queue's items share: numbers in the order of the queue, and what ran last.
struct Line {
    queue: Workqueue<Ordered>,
    next: SpinLock<usize>,
    busy: AtomicBool,
    served: AtomicUsize,
}

struct Ticket {
    line: Arc<Line>,
    number: AtomicUsize,
}

fn serve(_: &ThreadCx<'_>, run: &Run<'_, Ticket>) {
    let line = &run.line;
    assert!(!line.busy.swap(true, Ordering::Relaxed), "two at once");
    let number = run.number.load(Ordering::Relaxed);
    assert_eq!(line.served.fetch_add(1, Ordering::Relaxed), number);
    if number.is_multiple_of(16) {
        super::compute();
    }
    line.busy.store(false, Ordering::Relaxed);
}

/// D8: all cores queue; items run one at a time, in the order in which they were queued. D9: also
/// while nice level and cores change.
fn ordered_work(cx: &ThreadCx<'_>) {
    const EACH: usize = 200;
    let queue = Workqueue::<Ordered>::builder("ordered").build();
    let line = Arc::new(Line {
        queue: queue.expect("memory for a queue"),
        next: SpinLock::new(Rank::Service, "numbers", 0),
        busy: AtomicBool::new(false),
        served: AtomicUsize::new(0),
    });
    let over = Arc::new(AtomicBool::new(false));
    let changer = {
        let (line, over) = (Arc::clone(&line), Arc::clone(&over));
        let body = move |cx: &ThreadCx<'_>| {
            let mut n = 0;
            while !over.load(Ordering::Relaxed) || n < 20 {
                n += 1;
                let attrs = Attrs {
                    nice: (n % 3) as i8,
                    cpus: CpuMask::single(CpuId::new(n % cores())),
                    ..Attrs::new()
                };
                line.queue.apply_attrs(cx, attrs).expect("memory for pools");
                thread::sleep(cx, ms(1));
            }
        };
        let thread = thread::Builder::new("changer").spawn(body);
        thread.expect("memory for a thread")
    };
    let users = Arc::clone(&line);
    on_every_core(cx, move |cx, _| {
        for n in 0..EACH {
            let ticket = Ticket {
                line: Arc::clone(&users),
                number: AtomicUsize::new(0),
            };
            let item = Arc::new(<Work<Ticket>>::new(ticket, serve));
            let mut next = users.next.lock();
            item.number.store(*next, Ordering::Relaxed);
            *next += 1;
            assert_eq!(users.queue.queue(&item), Submitted::Queued);
            drop(next);
            if n % 32 == 0 {
                thread::sleep(cx, us(100));
            }
        }
    });
    over.store(true, Ordering::Relaxed);
    changer.join(cx);
    line.queue.flush(cx).expect("not one of its items");
    assert_eq!(line.served.load(Ordering::Relaxed), EACH * cores());
    line.queue
        .clone()
        .destroy(cx)
        .expect("not one of its items");
}
