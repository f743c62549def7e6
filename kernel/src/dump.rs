//! A picture of the executive for people: cores with their runqueues, threads, pools.
//!
//! For the moment when something is broken, so it waits for nobody: every lock is only tried, and
//! what is locked is called so. It changes nothing and needs no memory of its own.
//!
//! Context: any. The caller keeps its core (interrupts or preemption off) if the picture shall be of
//! one moment.

use core::fmt::{self, Write};
use core::sync::atomic::Ordering;

use machine::CpuId;

use crate::cpu::CpuLocal;
use crate::kernel;
use crate::thread::{State, Thread};
use crate::wq::{self, PoolInfo};

/// Writes the picture to `out`.
///
/// # Errors
///
/// Those of `out`.
pub fn write(out: &mut dyn Write) -> fmt::Result {
    let Some(cpus) = kernel().try_cpus() else {
        return writeln!(out, "the kernel has not made its cores yet");
    };
    cpus.iter().try_for_each(|c| core(out, c))?;
    writeln!(out, "threads that wait:")?;
    threads(out, |t| t.state() == State::Sleeping)?;
    writeln!(out, "pools that have something to do or to wait for:")?;
    let mut done = Ok(());
    wq::try_each_pool(|place, info| {
        if done.is_ok() {
            done = pool(out, place, info);
        }
    });
    done
}

fn core(out: &mut dyn Write, c: &CpuLocal) -> fmt::Result {
    let id = c.id();
    write!(out, "{id:?}: ")?;
    if !c.online.load(Ordering::Relaxed) {
        return writeln!(out, "not online");
    }
    let runnable = c.nr_runnable.load(Ordering::Relaxed);
    write!(out, "{runnable} on the runqueue")?;
    if c.rq.is_locked() {
        write!(out, ", which is locked")?;
    }
    if c.header.need_resched.load(Ordering::Relaxed) {
        write!(out, ", a reschedule is due")?;
    }
    let softirqs = c.header.softirq_pending.load(Ordering::Relaxed);
    if softirqs != 0 {
        write!(out, ", softirqs pending {softirqs:#x}")?;
    }
    writeln!(out)?;
    threads(out, |t| t.cpu() == id && t.state() == State::Running)
}

/// The threads that `wanted` accepts.
fn threads(out: &mut dyn Write, wanted: impl Fn(&Thread) -> bool) -> fmt::Result {
    let mut done = Ok(());
    let complete = kernel().threads.try_for_each(|t| {
        if done.is_ok() && wanted(t) {
            done = thread(out, t);
        }
    });
    if !complete {
        writeln!(out, "  (the list of threads is locked)")?;
    }
    done
}

fn thread(out: &mut dyn Write, t: &Thread) -> fmt::Result {
    write!(out, "  {} \"{}\" on {:?}", t.id(), t.name(), t.cpu())?;
    let cpus = kernel().cpus();
    let current = |c: &&CpuLocal| core::ptr::eq(c.current.load(Ordering::Relaxed), t);
    if let Some(c) = cpus.iter().find(current) {
        write!(out, ", running on {:?}", c.id())?;
    }
    let (own, effective) = t.nices();
    if own.get() != 0 || effective != own {
        write!(out, ", nice {}", own.get())?;
    }
    if effective != own {
        write!(out, ", lent {}", effective.get())?;
    }
    if wq::is_worker(t) {
        out.write_str(", a worker")?;
    }
    writeln!(out)
}

fn pool(
    out: &mut dyn Write,
    (id, cpu): (usize, Option<CpuId>),
    p: Option<PoolInfo>,
) -> fmt::Result {
    let Some(p) = p else {
        return writeln!(out, "  pool {id}, {cpu:?}: locked");
    };
    if p.pending == 0 && p.workers.idle == p.workers.total {
        return Ok(());
    }
    let w = p.workers;
    write!(out, "  pool {id} ({}, nice {}, ", p.kind, p.nice)?;
    match cpu {
        Some(cpu) => write!(out, "{cpu:?}")?,
        None => out.write_str("unbound")?,
    }
    writeln!(
        out,
        "): {} pending, workers: {} idle, {} running, {} blocked; nr_running {}",
        p.pending, w.idle, w.running, w.blocked, p.nr_running
    )
}
