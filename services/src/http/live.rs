//! What a glance at the machine shows: one snapshot of `/api/v1/events`, and its parts in the documents
//! under `/api/v1`.

use kernel::cpu::{self, CpuLocal};
use kernel::softirq::{self, VECTORS, Vector};
use kernel::{irq, kernel, net, wq};
use machine::CpuId;

use super::json::Json;
use super::shared::{Figures, Shared};
use super::workqueues;

/// One snapshot.
pub(super) fn snapshot(
    j: &mut Json<'_>,
    tables: &mut wq::Tables,
    shared: &Shared,
    (sequence, skipped): (u64, u64),
) {
    j.object("", |j| {
        j.number("sequence", sequence);
        j.number("skipped", skipped);
        j.number("uptime_ns", machine::now().as_nanos());
        cores(j);
        workqueues::pools(j, "pools", Some(tables));
        workqueues::queues_in_short(j, "queues");
        j.object("http", |j| figures(j, &shared.figures()));
        j.object("net", |j| {
            let n = net::stats();
            j.number("connections", n.connections as u64);
            j.number("rx_bytes", n.stack.rx_bytes);
            j.number("tx_bytes", n.stack.tx_bytes);
        });
        j.number("stalls", wq::stall_count());
        j.number("demo_items", shared.demos.live() as u64);
    });
}

/// Every core, with what it has done so far.
pub(super) fn cores(j: &mut Json<'_>) {
    let online = cpu::online();
    j.array("cores", |j| {
        for (i, mpidr) in kernel().info().mpidrs.iter().enumerate() {
            j.object("", |j| {
                core(j, CpuId::new(i), *mpidr, online.contains(CpuId::new(i)))
            });
        }
    });
}

fn core(j: &mut Json<'_>, id: CpuId, mpidr: u64, up: bool) {
    j.number("id", id.index() as u64);
    j.number("mpidr", mpidr);
    j.string("state", if up { "online" } else { "offline" });
    let c: &CpuLocal = cpu::cpu(id);
    if up {
        j.string("current", &c.current_name());
    } else {
        j.null("current");
    }
    // The running thread does not wait.
    j.number("nr_running", c.load() as u64);
    j.number("switches", c.switches());
    j.number("idle_ns", c.idle_ns());
    let taken = irq::counters(id);
    j.object("irqs", |j| {
        j.number("ipi", taken.ipi);
        j.number("timer", taken.timer);
        j.number("device", taken.device);
    });
    let (runs, deferred) = softirq::counters(id);
    j.object("softirqs", |j| {
        for (n, &ran) in runs.iter().enumerate() {
            // Nobody raises the vectors that are reserved.
            if is_used(n) || ran > 0 {
                j.number(Vector::name(n), ran);
            }
        }
    });
    j.number("softirqs_deferred", deferred);
}

/// Whether this version raises vector `n`.
pub(super) const fn is_used(n: usize) -> bool {
    n < VECTORS
        && (n == Vector::Hi as usize
            || n == Vector::Timer as usize
            || n == Vector::Tasklet as usize)
}

/// `/api/v1/http`
pub(super) fn http(j: &mut Json<'_>, shared: &Shared) {
    j.object("", |j| figures(j, &shared.figures()));
}

/// Figures about requests.
fn figures(j: &mut Json<'_>, f: &Figures) {
    j.number("replies", f.replies());
    j.object("replies_by_class", |j| {
        for (name, &n) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(&f.classes) {
            j.number(name, n);
        }
    });
    // In the order of the bounds that `/metrics` names, the last without one; not cumulative.
    j.array("duration_counts", |j| {
        for &n in &f.durations {
            j.number("", n);
        }
    });
    j.number("duration_sum_ns", f.sum_ns);
    j.number("event_streams", f.streams as u64);
    j.number("events_skipped", f.skipped);
}
