//! Pools and queues, and where the time of their items goes.

use alloc::vec::Vec;
use core::fmt::{self, Display};

use kernel::mem::try_push;
use kernel::wq::{self, PoolInfo, QueueInfo, QueueName, Spread};

use super::text::{Label, Page, Seconds};

/// Names of the parts of an item's time, in the order of [`wq::QueueLatency::spreads`].
const PARTS: [&str; 6] = ["inactive", "pool", "run", "blocked", "preempted", "total"];

pub(super) fn pools(p: &mut Page<'_>) -> fmt::Result {
    let mut all: Vec<PoolInfo> = Vec::new();
    let mut done = Ok(());
    wq::for_each_pool(|pool| done = done.and(try_push(&mut all, pool)));
    done.map_err(|_| fmt::Error)?;
    let name = "workqueue_pool_workers";
    p.head(name, "gauge", "Workers of each pool by state.")?;
    for pool in &all {
        let w = &pool.workers;
        for (state, n) in [
            ("idle", w.idle),
            ("running", w.running),
            ("blocked", w.blocked),
        ] {
            p.sample(name, format_args!("{},state=\"{state}\"", Pool(pool)), n)?;
        }
    }
    let name = "workqueue_pool_pending";
    p.head(name, "gauge", "Items that wait for a worker of the pool.")?;
    for pool in &all {
        p.sample(name, format_args!("{}", Pool(pool)), pool.pending)?;
    }
    let name = "workqueue_pool_nr_running";
    p.head(name, "gauge", "Workers that concurrency management counts.")?;
    for pool in &all {
        p.sample(name, format_args!("{}", Pool(pool)), pool.nr_running)?;
    }
    Ok(())
}

/// Labels of a pool.
struct Pool<'a>(&'a PoolInfo);

impl Display for Pool<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = self.0;
        write!(f, "pool=\"{}\",cpu=\"", p.id)?;
        match p.cpu {
            Some(cpu) => write!(f, "{}", cpu.index())?,
            None => f.write_str("unbound")?,
        }
        write!(f, "\",nice=\"{}\",kind=\"{}\"", p.nice, p.kind)
    }
}

/// What there is to say about a queue in one number.
type Figure = (
    &'static str,
    &'static str,
    &'static str,
    fn(&QueueInfo) -> u64,
);

const FIGURES: [Figure; 14] = [
    (
        "gauge",
        "workqueue_max_active",
        "Limit of active items, per core or for the system; 0 for none.",
        |q| {
            if q.kind == "bh" {
                0
            } else {
                u64::from(q.max_active)
            }
        },
    ),
    (
        "gauge",
        "workqueue_pending",
        "Items that wait, for a slot or for a worker.",
        |q| q.pending,
    ),
    (
        "gauge",
        "workqueue_active",
        "Items with a max_active slot.",
        |q| u64::from(q.active),
    ),
    (
        "gauge",
        "workqueue_inactive",
        "Items waiting for one.",
        |q| u64::from(q.inactive),
    ),
    (
        "counter",
        "workqueue_started_total",
        "Items started.",
        |q| q.stats.started,
    ),
    (
        "counter",
        "workqueue_completed_total",
        "Items that are over.",
        |q| q.stats.completed,
    ),
    (
        "counter",
        "workqueue_cancelled_total",
        "Items cancelled.",
        |q| q.stats.cancelled,
    ),
    (
        "counter",
        "workqueue_panicked_total",
        "Items whose handler panicked.",
        |q| q.stats.panicked,
    ),
    (
        "counter",
        "workqueue_cm_wakeup_total",
        "Workers woken because another one blocked.",
        |q| q.stats.cm_wakeup,
    ),
    (
        "counter",
        "workqueue_cpu_intensive_total",
        "Items that left concurrency management for their use of the core.",
        |q| q.stats.cpu_intensive,
    ),
    (
        "counter",
        "workqueue_preempted_total",
        "Items that did not count while they waited for their core.",
        |q| q.stats.preempted,
    ),
    (
        "counter",
        "workqueue_repatriated_total",
        "Workers brought back to their pod.",
        |q| q.repatriated,
    ),
    (
        "counter",
        "workqueue_mayday_total",
        "Calls for the rescuer.",
        |q| q.stats.mayday,
    ),
    (
        "counter",
        "workqueue_rescued_total",
        "Items that the rescuer executed.",
        |q| q.stats.rescued,
    ),
];

pub(super) fn queues(p: &mut Page<'_>) -> fmt::Result {
    let mut all: Vec<QueueInfo> = Vec::new();
    let mut done = Ok(());
    wq::for_each_queue(|q| done = done.and(try_push(&mut all, q)));
    done.map_err(|_| fmt::Error)?;
    for (kind, name, help, figure) in FIGURES {
        p.head(name, kind, help)?;
        for (i, q) in all.iter().enumerate() {
            if let Some(sum) = sum(&all, i, figure) {
                p.sample(name, format_args!("queue=\"{}\"", Label(&q.name)), sum)?;
            }
        }
    }
    let name = "workqueue_cpu_seconds_total";
    p.head(name, "counter", "CPU time of items that are over.")?;
    for (i, q) in all.iter().enumerate() {
        if let Some(sum) = sum(&all, i, |q| q.cpu_time_ns) {
            let labels = format_args!("queue=\"{}\"", Label(&q.name));
            p.sample(name, labels, Seconds(sum))?;
        }
    }
    Ok(())
}

/// The figure of all queues of the name of number `i`, if that is the first of them.
fn sum(all: &[QueueInfo], i: usize, figure: fn(&QueueInfo) -> u64) -> Option<u64> {
    let (before, rest) = all.split_at(i);
    let name = &rest.first()?.name;
    let same = |q: &&QueueInfo| q.name == *name;
    if before.iter().any(|q| same(&q)) {
        return None;
    }
    Some(rest.iter().filter(same).map(figure).sum())
}

pub(super) fn latency(p: &mut Page<'_>) -> fmt::Result {
    let mut all: Vec<(QueueName, [Spread; PARTS.len()])> = Vec::new();
    let mut done = Ok(());
    let told = wq::for_each_latency(|q| {
        if q.items == 0 {
            return;
        }
        match all.iter_mut().find(|(name, _)| *name == q.name) {
            Some((_, sums)) => sums.iter_mut().zip(&q.spreads).for_each(|(a, b)| add(a, b)),
            None => done = done.and(try_push(&mut all, (q.name, q.spreads))),
        }
    });
    told.and(done).map_err(|_| fmt::Error)?;
    let name = "workqueue_latency_seconds";
    let help = "Parts of the time from an item's queueing to its end, and all of it.";
    p.head(name, "histogram", help)?;
    for (queue, spreads) in &all {
        for (part, s) in PARTS.iter().zip(spreads) {
            let labels = format_args!("queue=\"{}\",part=\"{part}\",", Label(queue));
            let up_to = wq::latency_bounds().into_iter().zip(s.up_to);
            p.histogram((name, labels), up_to, (s.count, s.sum))?;
        }
    }
    Ok(())
}

fn add(a: &mut Spread, b: &Spread) {
    for (n, more) in a.up_to.iter_mut().zip(b.up_to) {
        *n += more;
    }
    a.count += b.count;
    a.sum += b.sum;
}
