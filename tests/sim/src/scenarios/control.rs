//! What can be set and read by name: parameters, exported queues, the tables (F8, N1, N2, N5).

use std::sync::Arc;

use kernel::cpu::CpuMask;
use kernel::thread::ThreadCx;
use kernel::wq::{
    self, AttrsError, Bh, CreateError, Ordered, PerCpu, Run, Scope, SetError, Submitted, Unbound,
    Workqueue,
};
use sim::{Held, Kinds, Scenario};

use crate::kit::{
    Count, HARDY, core, cpus, crowd, dawdle, here, insist, join, new_item, pick, until,
};

const KEPT: &str = "the system's unbound queue keeps every share it once needed";

/// Scenarios of what has a name.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("set-by-name", 2, set_by_name)
        .about("an exported queue is changed by its name while it works, and says why it refuses what it does (F8, N1)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("one-queue-of-a-name", 2, one_of_a_name)
        .about("of many queues made under one name at once a single one is exported (F8)")
        .cpus_range(1, 8)
        .endures(Kinds::DELAYS),
    Scenario::new("parameters", 2, parameters)
        .about("each parameter takes what it says it takes, shows what it took, and refuses the rest (N2)")
        .cpus_range(1, 8)
        .leaves(&[Held::Blocks], KEPT)
        .endures(Kinds::DELAYS),
    Scenario::new("all-cores-in-turn", 4, in_turn)
        .about("with debug_force_rr_cpu items of unbound queues go to all allowed cores in turn (C2, N2)")
        .cpus_range(1, 8)
        .leaves(&[Held::Blocks], KEPT)
        .endures(Kinds::DELAYS),
    Scenario::new("three-tables", 4, tables)
        .about("the tables of pods, pools and queues say what the machine is and where its queues lead (N5)")
        .cpus_range(1, 8)
        .endures(Kinds::DELAYS),
];

fn count(_: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>) {
    run.up();
}

/// The attributes of the exported queue `name`.
fn info(name: &str) -> wq::QueueInfo {
    // The list needs memory.
    insist(|| {
        let mut found = Err(());
        wq::for_each_queue(|q| {
            if q.exported && q.name == name {
                found = Ok(q);
            }
        });
        found
    })
}

fn set_by_name(cx: &ThreadCx<'_>) {
    let queue = insist(|| Workqueue::<Unbound>::builder("free").sysfs().build());
    let bound = insist(|| Workqueue::<PerCpu>::builder("bound").sysfs().build());
    let line = insist(|| Workqueue::<Ordered>::builder("line").sysfs().build());
    let bh = insist(|| Workqueue::<Bh>::builder("soft").sysfs().build());
    let hidden = insist(|| Workqueue::<Unbound>::builder("hidden").build());
    let runs = Arc::new(Count::default());
    let changers = crowd(2, |cx, n| {
        for step in 0..8 {
            let (name, value) = match pick(5) {
                0 => ("max_active", ["1", "7", "2048"][pick(3)]),
                1 => ("nice", ["-20", "0", "19"][pick(3)]),
                2 => ("affinity_scope", ["cpu", "system", "default"][pick(3)]),
                3 => ("affinity_strict", ["0", "1"][pick(2)]),
                _ => ("cpumask", ["0", "0-63", "0-1"][pick(3)]),
            };
            match wq::set_attribute(cx, "free", name, value) {
                Ok(()) | Err(SetError::Attrs(AttrsError::NoMemory)) => {}
                Err(e) => panic!("{n}.{step}: {name}={value}: {e}"),
            }
            dawdle(cx);
        }
    });
    for _ in 0..20 {
        let item = new_item(Arc::clone(&runs), count);
        assert_eq!(queue.queue(&item), Submitted::Queued);
        dawdle(cx);
    }
    join(cx, &changers);
    queue.flush(cx).expect("not one of its items");
    assert_eq!(runs.get(), 20, "items get lost");

    insist(|| wq::set_attribute(cx, "free", "nice", "-3"));
    insist(|| wq::set_attribute(cx, "free", "affinity_scope", "numa"));
    insist(|| wq::set_attribute(cx, "free", "affinity_strict", "1"));
    insist(|| wq::set_attribute(cx, "free", "cpumask", "0"));
    assert_eq!(wq::set_attribute(cx, "free", "max_active", "5"), Ok(()));
    assert_eq!(wq::set_attribute(cx, "free", "min_active", "2"), Ok(()));
    let attrs = queue.attrs();
    assert_eq!(
        (attrs.nice, attrs.scope, attrs.strict),
        (-3, Scope::Numa, true)
    );
    assert_eq!((attrs.cpus, queue.max_active()), (CpuMask(1), 5));
    assert_eq!(queue.min_active(), 2);
    insist(|| wq::set_attribute(cx, "line", "nice", "4"));
    assert_eq!(line.attrs().nice, 4);
    assert_eq!(wq::set_attribute(cx, "bound", "max_active", "3"), Ok(()));
    assert_eq!(bound.max_active(), 3);

    let refused = |queue, name, value| wq::set_attribute(cx, queue, name, value).expect_err(name);
    for (queue, name) in [
        ("bound", "nice"),
        ("bound", "per_cpu"),
        ("line", "max_active"),
        ("line", "affinity_scope"),
        ("soft", "max_active"),
        ("soft", "cpumask"),
    ] {
        assert_eq!(
            refused(queue, name, "1"),
            SetError::ReadOnly,
            "{queue}.{name}"
        );
    }
    for (name, value) in [
        ("max_active", "0"),
        ("max_active", "2049"),
        ("nice", "20"),
        ("cpumask", ""),
        ("affinity_scope", "core"),
        ("affinity_strict", "yes"),
    ] {
        let why = refused("free", name, value);
        assert!(matches!(why, SetError::Value(_)), "{name}={value}: {why}");
    }
    assert_eq!(
        refused("free", "cpumask", "63"),
        SetError::Attrs(AttrsError::NoCore)
    );
    assert_eq!(refused("free", "colour", "1"), SetError::UnknownName);
    assert_eq!(refused("hidden", "nice", "1"), SetError::UnknownQueue);
    // Nothing of that was taken.
    assert_eq!((queue.attrs(), queue.max_active()), (attrs, 5));
    let q = info("free");
    assert_eq!((q.attrs, q.max_active, q.min_active), (Some(attrs), 5, 2));

    queue.destroy(cx).expect("not one of its items");
    assert_eq!(refused("free", "nice", "1"), SetError::UnknownQueue);
    bound.destroy(cx).expect("not one of its items");
    line.destroy(cx).expect("not one of its items");
    bh.destroy(cx).expect("not one of its items");
    hidden.destroy(cx).expect("not one of its items");
}

fn one_of_a_name(cx: &ThreadCx<'_>) {
    let made = Arc::new(Count::default());
    let mine = Arc::clone(&made);
    let done = Arc::new(Count::default());
    let over = Arc::clone(&done);
    let makers = crowd(4, move |cx, _| {
        let built = Workqueue::<PerCpu>::builder("same").sysfs().build();
        let queue = match built {
            Ok(queue) => Some(queue),
            Err(why) => {
                assert_eq!(why, CreateError::NameTaken);
                None
            }
        };
        mine.up_if(queue.is_some());
        over.up();
        // It keeps the name until all have tried.
        until(cx, || over.get() == 4);
        if let Some(queue) = queue {
            queue.destroy(cx).expect("not one of its items");
        }
    });
    join(cx, &makers);
    assert_eq!(made.get(), 1, "so many queues have the name");
    // The name is free again, and one that is not exported may have it too.
    let again = Workqueue::<PerCpu>::builder("same").sysfs().build();
    let hidden = Workqueue::<PerCpu>::builder("same").build();
    for queue in [again, hidden] {
        let queue = queue.expect("the name is free");
        queue.destroy(cx).expect("not one of its items");
    }
}

/// The value of a parameter, as text.
fn value(name: &str) -> String {
    let found = wq::params().find(|p| p.name == name);
    found.expect("a parameter").to_string()
}

fn parameters(cx: &ThreadCx<'_>) {
    let whole = CpuMask::first_n(cpus()).to_string();
    let all = [
        ("unbound_cpus", "0", "0-99"),
        ("default_affinity_scope", "numa", "default"),
        ("cache_shard_size", "2", "0"),
        ("debug_force_rr_cpu", "1", "2"),
        ("cpu_intensive_thresh_us", "2500", "1000001"),
        ("cpu_intensive_warning_thresh", "9", "-1"),
        ("preempted_thresh_us", "1000", "1000001"),
        ("anatomy_gap_us", "0", "1000001"),
        ("watchdog_thresh", "90", "86401"),
        ("panic_on_stall", "1000", "never"),
        ("panic_on_stall_time", "86400", ""),
    ];
    assert!(all.iter().map(|p| p.0).eq(wq::params().map(|p| p.name)));
    assert_eq!(value("unbound_cpus"), whole);
    for (name, good, bad) in all {
        let before = value(name);
        insist(|| wq::set_param(cx, name, good));
        assert_eq!(value(name), good, "{name}");
        let why = wq::set_param(cx, name, bad).expect_err(name);
        assert!(matches!(why, SetError::Value(_)), "{name}={bad}: {why}");
        assert_eq!(value(name), good, "{name}");
        insist(|| wq::set_param(cx, name, &before));
        assert_eq!(value(name), before, "{name}");
    }
    let nowhere = wq::set_param(cx, "unbound_cpus", "63");
    assert_eq!(nowhere, Err(SetError::Attrs(AttrsError::NoCore)));
    let strange = wq::set_param(cx, "power_efficient", "1");
    assert_eq!(strange, Err(SetError::UnknownName));
    // Zero is no limit, and is shown as what it was set to.
    insist(|| wq::set_param(cx, "cpu_intensive_thresh_us", "0"));
    assert_eq!(value("cpu_intensive_thresh_us"), "0");
    insist(|| wq::set_param(cx, "cpu_intensive_thresh_us", "10000"));
}

fn in_turn(cx: &ThreadCx<'_>) {
    const EACH: usize = 5;
    let queue = insist(|| Workqueue::<Unbound>::builder("round").build());
    // Each core has a pool of its own and its workers stay there, so the core tells whose turn it was.
    let mut attrs = queue.attrs();
    (attrs.scope, attrs.strict) = (Scope::Cpu, true);
    queue.apply_attrs(cx, attrs).expect("memory for pools");
    wq::set_force_rr_cpu(cx, true).expect("memory for pools");
    assert!(wq::force_rr_cpu());
    let runs: Arc<Vec<Count>> = Arc::new((0..cpus()).map(|_| Count::default()).collect());
    for _ in 0..EACH * cpus() {
        let item = new_item(
            Arc::clone(&runs),
            |_: &ThreadCx<'_>, run: &Run<'_, Arc<Vec<Count>>>| {
                run[here().index()].up();
            },
        );
        assert_eq!(queue.queue(&item), Submitted::Queued);
        dawdle(cx);
    }
    queue.flush(cx).expect("not one of its items");
    for (n, runs) in runs.iter().enumerate() {
        assert_eq!(runs.get(), EACH, "turns of core {n}");
    }
    wq::set_force_rr_cpu(cx, false).expect("memory for pools");
    // Cores outside the mask have no turn.
    if cpus() > 1 {
        let outside = CpuMask(CpuMask::first_n(cpus()).0 & !1);
        wq::set_unbound_mask(cx, outside).expect("memory for pools");
        wq::set_force_rr_cpu(cx, true).expect("memory for pools");
        for _ in 0..2 * cpus() {
            let item = new_item((), |_: &ThreadCx<'_>, _: &Run<'_, ()>| {
                assert_ne!(here(), core(0), "it starts outside the mask");
            });
            assert_eq!(queue.queue(&item), Submitted::Queued);
        }
        queue.flush(cx).expect("not one of its items");
        wq::set_force_rr_cpu(cx, false).expect("memory for pools");
        wq::set_unbound_mask(cx, CpuMask::ALL).expect("memory for pools");
    }
    queue.destroy(cx).expect("not one of its items");
}

fn tables(cx: &ThreadCx<'_>) {
    let queue = insist(|| Workqueue::<Unbound>::builder("spread").build());
    let mut attrs = queue.attrs();
    (attrs.scope, attrs.strict) = (Scope::Cpu, true);
    queue.apply_attrs(cx, attrs).expect("memory for pools");
    let mut text = String::new();
    wq::dump(&mut text).expect("a string takes it");
    let [pods, pools, matrix] = text.split("\n\n").collect::<Vec<_>>()[..] else {
        panic!("not three tables:\n{text}");
    };
    // Pods: one line a scope, whose groups together are all cores, each once.
    let whole = CpuMask::first_n(cpus());
    for line in pods.lines().skip(2) {
        let (scope, groups) = line.split_once(' ').expect("a scope and its pods");
        assert!(Scope::by_name(scope).is_some(), "{line}");
        let (n, groups) = groups.trim().split_once(": ").expect("how many");
        let masks: Vec<CpuMask> = groups
            .trim_end_matches(" (default)")
            .split(' ')
            .map(|g| g.parse().expect("a list of cores"))
            .collect();
        assert_eq!(n.parse(), Ok(masks.len()), "{line}");
        let sum: usize = masks.iter().map(|m| m.count()).sum();
        let union = masks.iter().fold(0, |a, m| a | m.0);
        assert_eq!((sum, union), (cpus(), whole.0), "{line}");
        if scope == "cpu" {
            assert_eq!(masks.len(), cpus());
        }
    }
    assert_eq!(pods.lines().count(), 2 + Scope::ALL.len() - 1);
    assert_eq!(pods.matches("(default)").count(), 1);
    // Pools: as the kernel lists them.
    let mut listed = Vec::new();
    wq::for_each_pool(|p| listed.push((p.id, p.workers.total)));
    let shown: Vec<(usize, u32)> = pools
        .lines()
        .skip(2)
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (_, workers) = line.split_once('/').expect("idle/workers");
            let workers = workers.split_whitespace().next().expect("a number");
            let id = words[0].parse().expect("the pool's number");
            (id, workers.parse().expect("a number"))
        })
        .collect();
    assert_eq!(shown.len(), listed.len(), "{pools}");
    assert!(
        shown.iter().zip(&listed).all(|(a, b)| a.0 == b.0),
        "{pools}"
    );
    // The matrix: a per-CPU queue has the core's pool everywhere, one of scope "cpu" a pool a core.
    let row = |name: &str| -> Vec<usize> {
        let line = matrix
            .lines()
            .find(|l| l.split_whitespace().next() == Some(name));
        let words = line.expect("the queue's row").split_whitespace().skip(2);
        words.map(|w| w.parse().expect("a pool")).collect()
    };
    let bound = row("events");
    assert_eq!(bound.len(), cpus());
    for (n, &pool) in bound.iter().enumerate() {
        assert_eq!(wq::core_of_pool(pool), Some(core(n)));
    }
    let mut spread = row("spread");
    spread.sort_unstable();
    spread.dedup();
    assert_eq!(spread.len(), cpus(), "{matrix}");
    queue.destroy(cx).expect("not one of its items");
}
