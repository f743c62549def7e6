//! What the workqueues are doing, in words: every busy queue, every pool (N6).
//!
//! ```text
//! workqueue reclaim: flags=percpu,mem_reclaim max_active=1024
//!   pwq 0: cpu=0 nice=0 active=3 refs=5 MAYDAY
//!     in-flight: 23:disk::fetch[Request] for 12s +BAR | 31(rescuer):disk::store[Block]
//!     pending: 2*disk::fetch[Request] | BAR
//!     inactive: 40*disk::store[Block]
//! pool 0: cpu=0 nice=0 hung=12s workers=3 manager: 24 idle: 25 26
//! ```
//!
//! A queue is shown if anything is queued or executed, a pool if it is not at rest. Runs of equal
//! functions are written once, with their number; bars stand between, since names have commas. Times are as exact as the watchdog looks often.
//!
//! Locks: the list of queues, then one pool at a time, while it is written about.
#![expect(unsafe_code, reason = "items are named by their handles")]

use core::fmt::{self, Write};

use links::{Arena, Handle};
use machine::{Duration, Instant};
use workqueue::{Item, Pwq, Worker as WorkerNode};

use super::dedicated::Backend;
use super::each_pool;
use super::handles::worker_of;
use super::header::Header;
use super::pool::{Inner, Pool};
use super::queue::Queue;
use super::share::Share;
use super::shares::Shares;
use crate::kernel;
use crate::soon::Patience;

/// Writes down all queues and pools that are not at rest, but for those whose locks somebody keeps for long.
/// `out` is used under spin locks, so it must not sleep.
///
/// # Errors
///
/// Those of `out`.
pub fn show_all(out: &mut dyn Write) -> fmt::Result {
    let (now, patience) = (machine::now(), Patience::new());
    writeln!(out, "workqueues and worker pools:")?;
    let mut done = Ok(());
    let all = super::registry::each_queue_soon(&patience, |q, shares| {
        if done.is_ok() {
            done = queue(out, q, shares, now, &patience);
        }
    });
    done?;
    if !all {
        writeln!(out, "not all queues are shown: somebody keeps their locks")?;
    }
    each_pool(|p| {
        if done.is_ok() {
            done = match p.lock_soon(&patience) {
                Some(g) => pool(out, p, &g, now),
                None => locked(out, p),
            };
        }
    });
    done
}

fn queue(
    out: &mut dyn Write,
    q: &Queue,
    shares: &Shares,
    now: Instant,
    patience: &Patience,
) -> fmt::Result {
    let mut named = false;
    for share in shares.iter() {
        let Some((pool, g)) = share.lock_soon(patience) else {
            // Its pool says so.
            continue;
        };
        if share.pwq(&g).references() == 0 {
            continue;
        }
        if !core::mem::replace(&mut named, true) {
            head(out, q)?;
        }
        self::share(out, q, share, (pool, &g), now)?;
    }
    Ok(())
}

/// A pool whose lock somebody keeps, perhaps a core that does not go on.
fn locked(out: &mut dyn Write, p: &Pool) -> fmt::Result {
    writeln!(out, "pool {}: its lock is not to be had", p.place().index())
}

fn head(out: &mut dyn Write, q: &Queue) -> fmt::Result {
    let a = &q.attributes;
    let class = a.class.name();
    write!(out, "workqueue {}: flags={class}", a.name)?;
    let flags = [
        (a.backend == Backend::SingleThreaded, "single_threaded"),
        (a.backend == Backend::MultiThreaded, "multi_threaded"),
        (a.highpri, "highpri"),
        (a.cpu_intensive, "cpu_intensive"),
        (a.preemption_aware, "preemption_aware"),
        (a.mem_reclaim, "mem_reclaim"),
        (a.freezable, "freezable"),
        (a.exported, "sysfs"),
        (q.is_frozen(), "frozen"),
    ];
    for (_, name) in flags.iter().filter(|f| f.0) {
        write!(out, ",{name}")?;
    }
    writeln!(out, " max_active={}", q.max_active())
}

/// Where pool `p` is and how urgent.
fn place(out: &mut dyn Write, p: &Pool) -> fmt::Result {
    match p.cpu() {
        Some(cpu) => write!(out, "cpu={}", cpu.index())?,
        None if p.kind == workqueue::Kind::Dedicated => out.write_str("dedicated")?,
        None => out.write_str("unbound")?,
    }
    write!(out, " nice={}", p.nice().get())
}

fn share(
    out: &mut dyn Write,
    q: &Queue,
    s: &Share,
    (pool, g): (&Pool, &Inner),
    now: Instant,
) -> fmt::Result {
    let (p, pwq) = (s.handle(), s.pwq(g));
    write!(out, "  pwq {}: ", pool.place().index())?;
    place(out, pool)?;
    write!(out, " active={} refs={}", pwq.active(), pwq.references())?;
    writeln!(out, "{}", if q.seems_calling(s) { " MAYDAY" } else { "" })?;
    in_flight(out, g, p, now)?;
    let mut pending = Runs::new(out, "    pending: ");
    g.policy.each_pending(&g.store, p, |h| pending.add(g, h));
    pending.end()?;
    let mut inactive = Runs::new(out, "    inactive: ");
    g.policy.each_inactive(&g.store, p, |h| inactive.add(g, h));
    inactive.end()
}

/// The workers that execute items of `p`.
fn in_flight(out: &mut dyn Write, g: &Inner, p: Handle<Pwq>, now: Instant) -> fmt::Result {
    let (mut done, mut first) = (Ok(()), true);
    g.policy.each_worker(&g.store, |w| {
        let node: &WorkerNode = g.store.get(w);
        let Some(item) = node.current().filter(|_| node.current_pwq() == Some(p)) else {
            return;
        };
        if done.is_ok() {
            let between = if core::mem::take(&mut first) {
                "    in-flight: "
            } else {
                " | "
            };
            done = out
                .write_str(between)
                .and_then(|()| worker(out, g, w, item, now));
        }
    });
    done?;
    if first { Ok(()) } else { writeln!(out) }
}

fn worker(
    out: &mut dyn Write,
    g: &Inner,
    w: Handle<WorkerNode>,
    item: Handle<Item>,
    now: Instant,
) -> fmt::Result {
    match worker_of_thread(g, w) {
        Some((id, rescuer)) => write!(out, "{id}{}:", if rescuer { "(rescuer)" } else { "" })?,
        None => out.write_str("softirq:")?,
    }
    write!(out, "{}", name_of(g, item))?;
    let lasts = g.policy.executing(&g.store, w, now);
    if lasts >= Duration::from_secs(1) {
        write!(out, " for {}s", lasts.as_millis() / 1_000)?;
    }
    let node: &WorkerNode = g.store.get(w);
    let mut done = if node.is_preempted() {
        out.write_str(" (preempted)")
    } else {
        Ok(())
    };
    g.policy.each_scheduled(&g.store, w, |h| {
        if done.is_ok() {
            done = write!(out, " +{}", name_of(g, h));
        }
    });
    done
}

/// Number of `w`'s thread, and whether it is a rescuer; `None` for a softirq.
fn worker_of_thread(g: &Inner, w: Handle<WorkerNode>) -> Option<(u32, bool)> {
    if g.policy.kind() == workqueue::Kind::Bh {
        return None;
    }
    let worker = worker_of(w);
    Some((
        worker.thread().map_or(0, |t| t.id()),
        worker.rescuing().is_some(),
    ))
}

fn pool(out: &mut dyn Write, p: &Pool, g: &Inner, now: Instant) -> fmt::Result {
    let policy = &g.policy;
    if policy.pending() == 0 && policy.nr_resting(&g.store) == policy.nr_workers() {
        return Ok(());
    }
    write!(out, "pool {}: ", p.place().index())?;
    place(out, p)?;
    let hung = policy.hung(now).as_millis() / 1_000;
    write!(out, " hung={hung}s workers={}", policy.nr_workers())?;
    if g.policy.kind() == workqueue::Kind::Bh {
        return writeln!(out, " softirq");
    }
    let id = |w| worker_of_thread(g, w).map_or(0, |x| x.0);
    if let Some(w) = policy.manager(&g.store) {
        write!(out, " manager: {}", id(w))?;
    }
    let mut done = if policy.nr_idle() > 0 {
        out.write_str(" idle:")
    } else {
        Ok(())
    };
    policy.each_idle(&g.store, |w| {
        if done.is_ok() {
            done = write!(out, " {}", id(w));
        }
    });
    done?;
    writeln!(out)
}

/// What an item or barrier is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Barrier,
    /// Address of the handler, and the type of the value.
    Function(usize, &'static str),
}

/// What `h`, which is queued or executed, is called; under its pool's lock.
pub(super) fn name_of(g: &Inner, h: Handle<Item>) -> Name {
    let node: &Item = g.store.get(h);
    if node.is_barrier() {
        return Name::Barrier;
    }
    // SAFETY: its submission or its run keeps it alive until the pool's books are closed.
    let header: &Header = unsafe { Header::of(h) };
    Name::Function(header.function(), (header.vtable.name)())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Barrier => f.write_str("BAR"),
            Self::Function(address, value) => match (kernel().info().symbolize)(address) {
                // A closure's function has no name of its own, so the type is told too.
                Some((name, _)) => write!(f, "{name}[{value}]"),
                None => write!(f, "item of {value}"),
            },
        }
    }
}

/// Writes names one after the other, equal ones as a number of them.
struct Runs<'a> {
    out: &'a mut dyn Write,
    /// What is written before the next one.
    before: &'static str,
    last: Option<(Name, u32)>,
    any: bool,
    done: fmt::Result,
}

impl<'a> Runs<'a> {
    fn new(out: &'a mut dyn Write, before: &'static str) -> Self {
        Self {
            out,
            before,
            last: None,
            any: false,
            done: Ok(()),
        }
    }

    fn add(&mut self, g: &Inner, h: Handle<Item>) {
        let name = name_of(g, h);
        match &mut self.last {
            Some((last, n)) if *last == name => *n += 1,
            _ => {
                self.write();
                self.last = Some((name, 1));
            }
        }
    }

    fn write(&mut self) {
        let Some((name, n)) = self.last.take().filter(|_| self.done.is_ok()) else {
            return;
        };
        self.any = true;
        let before = core::mem::replace(&mut self.before, " | ");
        self.done = match n {
            1 => write!(self.out, "{before}{name}"),
            _ => write!(self.out, "{before}{n}*{name}"),
        };
    }

    fn end(mut self) -> fmt::Result {
        self.write();
        self.done?;
        if self.any { writeln!(self.out) } else { Ok(()) }
    }
}
