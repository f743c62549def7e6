//! The shape of the workqueues as three tables: pods, pools, and which pool each queue uses on each
//! core (N5). What they are doing right now is told by [`super::show_all`].
//!
//! ```text
//! Pods
//! scope        pods
//! smt          2: 0-1 2-3
//!
//! Pools
//! pool ref nice idle/workers where
//!    0   -    0  1/  2       cpu 0
//!  256   1    0  1/  1       cpus 0-3 pod 0-1 strict
//!
//! Workqueue x CPU -> pool
//! queue                            kind         0    1
//! events                           percpu       0    4
//! events_unbound                   unbound    256  257
//! ```
//!
//! Nothing is locked while text is written: each table is a picture of its own moment.

use alloc::sync::Arc;
use core::fmt::{self, Write};

use machine::CpuMask;
use workqueue::{Kind as PoolKind, Pods, Scope};

use super::pool::Pool;
use super::queue::Queue;
use super::{attrs, each_pool, registry};
use crate::cpu::topology;
use crate::kernel;

/// Writes the three tables. Needs memory for the list of queues; without it the last table says so. May
/// be called in any context in which `out` may be written to.
///
/// # Errors
///
/// Those of `out`.
pub fn dump(out: &mut dyn Write) -> fmt::Result {
    pods(out)?;
    pools(out)?;
    matrix(out)
}

/// The groups of cores of each affinity scope (G2).
fn pods(out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "Pods\n{:<12} pods", "scope")?;
    for scope in Scope::ALL {
        if scope == Scope::Default {
            continue;
        }
        let pods = Pods::new(topology(), scope, attrs::cache_shard_size());
        write!(out, "{:<12} {}:", scope.name(), pods.len())?;
        let mut seen = CpuMask::NONE;
        for cpu in topology().cpus().iter() {
            let mask = pods.mask_of(cpu);
            if !seen.contains(cpu) {
                write!(out, " {mask}")?;
            }
            seen = CpuMask(seen.0 | mask.0);
        }
        let default = attrs::default_scope() == scope;
        writeln!(out, "{}", if default { " (default)" } else { "" })?;
    }
    writeln!(out)
}

/// One pool as the second table shows it.
struct Row {
    references: Option<u32>,
    idle: u32,
    workers: u32,
    strict: bool,
    /// Where workers start and where they may run.
    pod: CpuMask,
    cpus: CpuMask,
}

fn pools(out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "Pools\npool ref nice idle/workers where")?;
    let mut written = Ok(());
    each_pool(|p| {
        if written.is_ok() {
            written = pool(out, p);
        }
    });
    written?;
    writeln!(out)
}

fn pool(out: &mut dyn Write, p: &Pool) -> fmt::Result {
    let g = p.lock();
    let key = g.key;
    let row = Row {
        references: p.cpu().is_none().then_some(g.references),
        idle: g.policy.nr_resting(&g.store),
        workers: g.policy.nr_workers(),
        strict: key.is_some_and(|k| k.strict),
        pod: key.map_or(p.cpus(), |k| k.pod),
        cpus: key.map_or(p.cpus(), |k| k.cpus),
    };
    drop(g);
    write!(out, "{:>4}", p.place().index())?;
    match row.references {
        Some(n) => write!(out, " {n:>3}")?,
        // A core's pools are never given back.
        None => write!(out, "   -")?,
    }
    let nice = p.nice().get();
    write!(out, " {nice:>4} {:>2}/{:>3}       ", row.idle, row.workers)?;
    match p.cpu() {
        Some(cpu) => {
            let bh = p.kind == PoolKind::Bh;
            writeln!(out, "cpu {cpu}{}", if bh { " bh" } else { "" })
        }
        None => {
            let strict = if row.strict { " strict" } else { "" };
            writeln!(out, "cpus {} pod {}{strict}", row.cpus, row.pod)
        }
    }
}

fn matrix(out: &mut dyn Write) -> fmt::Result {
    write!(
        out,
        "Workqueue x CPU -> pool\n{:<32} {:<8}",
        "queue", "kind"
    )?;
    for cpu in topology().cpus().iter() {
        write!(out, " {:>4}", cpu.index())?;
    }
    writeln!(out)?;
    match registry::all() {
        Ok(queues) => queues.iter().try_for_each(|q| row(out, q)),
        Err(_) => writeln!(out, "(no memory for the list of queues)"),
    }
}

fn row(out: &mut dyn Write, q: &Arc<Queue>) -> fmt::Result {
    let kind = q.attributes.class.name();
    write!(out, "{:<32} {kind:<8}", q.attributes.name)?;
    for n in 0..kernel().cpus().len() {
        match q.routes.on(n) {
            Some(share) => write!(out, " {:>4}", share.pool().place().index())?,
            None => write!(out, "    -")?,
        }
    }
    writeln!(out)
}
