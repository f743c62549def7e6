//! `wq` and `lat`: workqueues, their pools, and where their items' time goes.

use alloc::vec::Vec;
use core::fmt::{self, Write};

use kernel::wq::{self, PoolInfo, QueueInfo};

use super::super::text::Text;

/// Pools that may come while one counts.
const SPARE: usize = 16;

/// All pools; `None` without memory for the list.
fn pools() -> Option<Vec<PoolInfo>> {
    let mut n = 0;
    wq::for_each_pool(|_| n += 1);
    let mut list = Vec::new();
    list.try_reserve_exact(n + SPARE).ok()?;
    wq::for_each_pool(|p| {
        if list.len() < list.capacity() {
            list.push(p);
        }
    });
    Some(list)
}

/// All queues; what finds no memory is left out.
pub(super) fn queues() -> Vec<QueueInfo> {
    let mut list = Vec::new();
    wq::for_each_queue(|q| {
        if list.try_reserve(1).is_ok() {
            list.push(q);
        }
    });
    list
}

pub(super) fn wq(out: &mut Text) -> fmt::Result {
    wq::dump(out)?;
    let Some(pools) = pools() else {
        return super::no_memory(out);
    };
    writeln!(
        out,
        "\nWorkers\npool core kind   nice total idle running blocked nr_running pending"
    )?;
    for p in &pools {
        write!(out, "{:4} ", p.id)?;
        match p.cpu {
            Some(cpu) => write!(out, "{:4}", cpu.index())?,
            None => write!(out, " any")?,
        }
        let w = p.workers;
        writeln!(
            out,
            " {:6} {:4} {:5} {:4} {:7} {:7} {:10} {:7}",
            p.kind, p.nice, w.total, w.idle, w.running, w.blocked, p.nr_running, p.pending
        )?;
    }
    writeln!(
        out,
        "\nQueues\n{:<24} kind     max_active active inactive pending    started  completed",
        "queue"
    )?;
    for q in &queues() {
        writeln!(
            out,
            "{:<24} {:8} {:10} {:6} {:8} {:7} {:10} {:10}",
            q.name,
            q.kind,
            q.max_active,
            q.active,
            q.inactive,
            q.pending,
            q.stats.started,
            q.stats.completed
        )?;
    }
    Ok(())
}

pub(super) fn lat(out: &mut Text) -> fmt::Result {
    writeln!(
        out,
        "times in us: median/99 %/longest; run with anatomy=on (the default)\n{:<20} {:>8} {:>18} {:>18} {:>18} {:>18} {:>18}",
        "queue", "items", "for a slot", "for a worker", "running", "blocked", "total"
    )?;
    let mut written = Ok(());
    let told = wq::for_each_latency(|q| {
        if written.is_ok() && q.items > 0 {
            written = latency(&q, out);
        }
    });
    written?;
    match told {
        Ok(()) => Ok(()),
        Err(_) => super::no_memory(out),
    }
}

fn latency(q: &wq::QueueLatency, out: &mut Text) -> fmt::Result {
    write!(out, "{:<20} {:>8}", q.name, q.items)?;
    for part in [&q.inactive, &q.pool, &q.run, &q.blocked, &q.total] {
        let us = [part.p50, part.p99, part.max].map(|ns| ns / 1_000);
        let text = heapless::format!(64; "{}/{}/{}", us[0], us[1], us[2]);
        write!(out, " {:>18}", text.as_deref().unwrap_or("?"))?;
    }
    writeln!(out)?;
    if let Some(s) = &q.slowest {
        let p = &s.parts;
        writeln!(
            out,
            "    slowest: {} us, an item of {}: slot {}, worker {}, running {}, blocked {}, preempted {}",
            p.total() / 1_000,
            s.value,
            p.inactive / 1_000,
            p.pool / 1_000,
            p.run / 1_000,
            p.blocked / 1_000,
            p.preempted / 1_000
        )?;
    }
    Ok(())
}
