//! What there is: pools, workers, names, numbers, the default queue (A rows, C11, D1).

use kernel::thread::{ThreadCx, for_each_thread, thread_count};
use kernel::wq::{self, Attrs, Bh, Ordered, PerCpu, PoolInfo, Submitted, Unbound, Workqueue};
use sim::{Kinds, Scenario};

use crate::kit::{core, cpus, insist, new_item};

/// Scenarios of what there is.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("queues-share-workers", 2, queues_share_workers)
        .about("threads grow with the pools and not with the queues; equal attributes name one pool (A1)")
        .cpus_range(1, 8)
        .endures(Kinds::NONE),
    Scenario::new("one-worker-at-first", 2, one_worker_at_first)
        .about("after boot each thread pool has one worker, named after it, and each BH pool none (A2, A4)")
        .cpus_range(1, 8)
        .endures(Kinds::NONE),
    Scenario::new("fixed-numbers", 1, fixed_numbers)
        .about("limits are clamped to their range, names to theirs, high priority is nice -20 (A3, D1)")
        .cpus_range(1, 8),
    Scenario::new("default-queue", 1, default_queue)
        .about("there is one default queue, whoever asks for it and however often (C11)")
        .cpus_range(1, 8),
];

fn pools() -> Vec<PoolInfo> {
    let mut all = Vec::new();
    wq::for_each_pool(|p| all.push(p));
    all
}

fn queues_share_workers(cx: &ThreadCx<'_>) {
    let batch = || {
        for n in 0..8 {
            let bound = insist(|| Workqueue::<PerCpu>::builder("bound").build());
            let free = insist(|| Workqueue::<Unbound>::builder("free").build());
            let bh = insist(|| Workqueue::<Bh>::builder("bh").build());
            let item = new_item((), |_: &ThreadCx<'_>, _| {});
            assert_eq!(bound.queue_on(core(n), &item), Submitted::Queued);
            bound.destroy(cx).expect("not its item");
            assert_eq!(free.queue(&item), Submitted::Queued);
            free.destroy(cx).expect("not its item");
            bh.destroy(cx).expect("not its item");
        }
        thread_count()
    };
    // The first items make the second worker of each pool (E9).
    let after_first = batch();
    assert_eq!(batch(), after_first, "threads grow with the queues");

    let before = pools().len();
    let build = |nice| {
        let attrs = Attrs {
            nice,
            ..Attrs::new()
        };
        insist(|| Workqueue::<Unbound>::builder("nice").attrs(attrs).build())
    };
    let one = build(7);
    let with_one = pools().len();
    assert!(with_one > before, "no pool for new attributes");
    let two = build(7);
    assert_eq!(pools().len(), with_one, "two pools for equal attributes");
    let three = build(8);
    assert!(pools().len() > with_one, "one pool for two nice levels");
    for wq in [one, two, three] {
        wq.destroy(cx).expect("not its item");
    }
}

fn one_worker_at_first(cx: &ThreadCx<'_>) {
    let names = || {
        let mut names = Vec::new();
        for_each_thread(|t| names.push(t.name.to_string()));
        names
    };
    let all = names();
    let workers = |prefix: &str, marked: bool| {
        let fits = |n: &&String| n.starts_with(prefix) && n.ends_with('H') == marked;
        all.iter().filter(fits).count()
    };
    for n in 0..cpus() {
        for highpri in [false, true] {
            let what = format!("kworker/{n}:");
            assert_eq!(workers(&what, highpri), 1, "{what}, {highpri}: {all:?}");
        }
    }
    let (mut threads, mut free) = (0, 0);
    for p in pools() {
        if p.kind == "thread" {
            assert_eq!(p.workers.total, 1, "{p:?}");
            threads += 1;
            free += usize::from(p.cpu.is_none());
        }
    }
    assert_eq!(threads, 2 * cpus() + free);
    assert_eq!(workers("kworker/u", false), free, "{all:?}");
    assert_eq!(
        workers("kworker/", false) + workers("kworker/", true),
        threads
    );

    let rescued = insist(|| {
        Workqueue::<PerCpu>::builder("lifeline")
            .mem_reclaim()
            .build()
    });
    assert!(
        names().contains(&"kworker/R-lifeline".to_owned()),
        "{:?}",
        names()
    );
    rescued.destroy(cx).expect("not its item");
}

fn fixed_numbers(cx: &ThreadCx<'_>) {
    let reported = |n| {
        let wq = insist(|| Workqueue::<PerCpu>::builder("limit").max_active(n).build());
        let limit = wq.max_active();
        wq.set_max_active(n);
        assert_eq!(wq.max_active(), limit, "made and changed alike");
        wq.destroy(cx).expect("not its item");
        limit
    };
    for (asked, given) in [
        (0, 1024),
        (1, 1),
        (2048, 2048),
        (2049, 2048),
        (u32::MAX, 2048),
    ] {
        assert_eq!(reported(asked), given, "{asked}");
    }
    assert_eq!(wq::bh().max_active(), u32::MAX, "BH queues have no limit");
    let ordered = insist(|| Workqueue::<Ordered>::builder("ordered").build());
    assert_eq!(ordered.max_active(), 1);
    ordered.destroy(cx).expect("not its item");

    let free = insist(|| Workqueue::<Unbound>::builder(&"x".repeat(40)).build());
    assert_eq!(free.name(), "x".repeat(32));
    assert_eq!(free.min_active(), 8);
    free.destroy(cx).expect("not its item");
    for p in pools().iter().filter(|p| p.cpu.is_some()) {
        let high = wq::is_highpri_pool(p.id);
        assert_eq!(p.nice, if high { -20 } else { 0 }, "{p:?}");
    }
}

fn default_queue(_: &ThreadCx<'_>) {
    assert_eq!(wq::percpu().name(), "events");
    let mut like_it = 0;
    wq::for_each_queue(|q| like_it += usize::from(q.name == "events"));
    assert_eq!(like_it, 1);
}
