//! Pools and queues as JSON: `/api/v1/pools`, `/api/v1/queues`, and in short for a snapshot.

use kernel::{kernel, wq};

use super::json::Json;

/// `/api/v1/pools`
pub(super) fn all_pools(j: &mut Json<'_>) {
    match wq::Tables::new() {
        Ok(mut tables) => pools(j, "", Some(&mut tables)),
        Err(_) => j.give_up(),
    }
}

/// Every pool; who sits at it and what waits in front of it, if there are `tables` to copy that into.
pub(super) fn pools(j: &mut Json<'_>, name: &str, tables: Option<&mut wq::Tables>) {
    j.array(name, |j| match tables {
        Some(tables) => tables.for_each(|t| {
            j.object("", |j| {
                pool(j, t.pool);
                j.boolean("highpri", t.highpri);
                j.number("started", t.started);
                j.array("seats", |j| t.seats.iter().for_each(|s| seat(j, s)));
                j.array("waiting", |j| t.waiting.iter().for_each(|w| waiting(j, w)));
            });
        }),
        None => wq::for_each_pool(|p| j.object("", |j| pool(j, &p))),
    });
}

fn pool(j: &mut Json<'_>, p: &wq::PoolInfo) {
    j.number("id", p.id as u64);
    match p.cpu {
        Some(cpu) => j.number("cpu", cpu.index() as u64),
        None => j.null("cpu"),
    }
    if p.cpu.is_none() {
        let present = kernel().present();
        j.display("cpus", p.cpus.and(present));
        j.display("pod", p.pod.and(present));
    }
    j.signed("nice", i64::from(p.nice));
    j.string("kind", p.kind);
    j.object("workers", |j| {
        j.number("total", u64::from(p.workers.total));
        j.number("idle", u64::from(p.workers.idle));
        j.number("running", u64::from(p.workers.running));
        j.number("blocked", u64::from(p.workers.blocked));
    });
    j.number("pending", u64::from(p.pending));
    j.number("nr_running", u64::from(p.nr_running));
}

fn seat(j: &mut Json<'_>, s: &wq::Seat) {
    j.object("", |j| {
        match s.thread {
            Some(id) => j.number("thread", u64::from(id)),
            None => j.null("thread"),
        }
        j.string("state", s.doing.name());
        for (set, name) in [
            (s.rescuer, "rescuer"),
            (s.cpu_intensive, "cpu_intensive"),
            (s.preempted, "preempted"),
        ] {
            // Rare, and there may be many seats.
            if set {
                j.boolean(name, true);
            }
        }
        if let Some(item) = s.item {
            j.string("item", item.function());
        }
        if let Some(queue) = &s.queue {
            j.string("queue", queue);
        }
        if let Some(lasts) = s.lasts {
            j.number("lasts_ns", lasts.as_nanos());
        }
    });
}

fn waiting(j: &mut Json<'_>, w: &wq::Waiting) {
    j.object("", |j| {
        j.string("item", w.item.function());
        match &w.queue {
            Some(queue) => j.string("queue", queue),
            None => j.null("queue"),
        }
        j.number("count", u64::from(w.count));
    });
}

/// What changes of every queue.
pub(super) fn queues_in_short(j: &mut Json<'_>, name: &str) {
    j.array(name, |j| {
        wq::for_each_queue(|ref q| {
            j.object("", |j| {
                j.string("name", &q.name);
                j.string("kind", q.kind);
                limit(j, q);
                j.number("pending", q.pending);
                j.number("active", u64::from(q.active));
                j.number("inactive", u64::from(q.inactive));
                j.number("started", q.stats.started);
                j.number("completed", q.stats.completed);
            });
        });
    });
}

fn limit(j: &mut Json<'_>, q: &wq::QueueInfo) {
    if q.kind == "bh" {
        // BH queues have no limit (K1).
        j.null("max_active");
    } else {
        j.number("max_active", u64::from(q.max_active));
    }
}

/// `/api/v1/queues`, and the same under a name.
pub(super) fn queues(j: &mut Json<'_>, name: &str) {
    j.array(name, |j| {
        wq::for_each_queue(|ref q| {
            j.object("", |j| {
                j.string("name", &q.name);
                j.string("kind", q.kind);
                j.string("backend", q.backend.name());
                j.array("flags", |j| {
                    let flags = [
                        (q.highpri, "highpri"),
                        (q.cpu_intensive, "cpu_intensive"),
                        (q.preemption_aware, "preemption_aware"),
                        (q.mem_reclaim, "mem_reclaim"),
                        (q.freezable, "freezable"),
                        (q.exported, "sysfs"),
                        (q.ordered, "ordered"),
                    ];
                    for (set, flag) in flags {
                        if set {
                            j.string("", flag);
                        }
                    }
                });
                limit(j, q);
                if q.exported {
                    j.object("attributes", |j| attributes(j, q));
                }
                j.number("pending", q.pending);
                j.number("active", u64::from(q.active));
                j.number("inactive", u64::from(q.inactive));
                j.number("started", q.stats.started);
                let s = &q.stats;
                j.number("completed", s.completed);
                j.number("panicked", s.panicked);
                j.number("cancelled", s.cancelled);
                j.number("cpu_time_ns", q.cpu_time_ns);
                j.number("cpu_intensive", s.cpu_intensive);
                j.number("preempted", s.preempted);
                j.number("cm_wakeup", s.cm_wakeup);
                j.number("repatriated", q.repatriated);
                j.number("mayday", s.mayday);
                j.number("rescued", s.rescued);
            });
        });
    });
}

/// What may be changed of an exported queue, and what it is (N1).
fn attributes(j: &mut Json<'_>, q: &wq::QueueInfo) {
    j.number("per_cpu", u64::from(q.attrs.is_none()));
    let Some(a) = q.attrs else { return };
    if !q.ordered {
        j.number("min_active", u64::from(q.min_active));
        match a.scope {
            // As Linux shows it: what was asked for, and what that means now.
            wq::Scope::Default => j.display(
                "affinity_scope",
                format_args!("default ({})", wq::default_scope().name()),
            ),
            scope => j.string("affinity_scope", scope.name()),
        }
    }
    j.signed("nice", i64::from(a.nice));
    j.display("cpumask", a.cpus.and(kernel().present()));
    j.number("affinity_strict", u64::from(a.strict));
}
