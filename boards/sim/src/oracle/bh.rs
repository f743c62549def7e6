//! BH items (7.13): in softirq context, on their pool's core, in order, one at a time; the urgent
//! vector first; at most ten items or 2 ms in one go.
//!
//! # Which vector is due
//!
//! A pass of the softirq loop takes the raised vectors and runs them by number (S1); what is raised
//! meanwhile waits for the next pass. Events do not say where a pass begins, but a vector whose
//! number is not greater than the one before begins one. Whatever was raised before that one ended
//! belongs to the new pass, so no higher number may come before it.

use std::collections::VecDeque;

use kernel::softirq::Vector;
use trace::Kind;

use super::item::Items;
use super::names::Map;
use super::{Seen, Verdict, ensure};

/// Most items in one go (K4).
const BATCH: u32 = 10;
/// Longest one goes on starting items, in nanoseconds (K4).
const BUDGET: u64 = 2_000_000;

#[derive(Clone, Copy, Default, Debug)]
struct Core {
    /// The softirq that runs.
    vector: Option<u32>,
    /// The softirq that ran last, or runs.
    last: u32,
    /// Raised and not begun since, one bit for each.
    raised: u32,
    /// Of those, the ones that were raised when the last softirq ended.
    waiting: u32,
    /// Those that must run before any higher number.
    due: u32,
    /// BH items started by it.
    started: u32,
    /// When the first of them started, in time that the core has lived.
    since: u64,
    /// A BH item runs.
    busy: bool,
}

/// The softirqs of all cores.
#[derive(Default, Debug)]
pub(crate) struct Softirqs {
    cores: Vec<Core>,
    /// Items of each BH pool that have not started, in order.
    pools: Map<u32, VecDeque<u64>>,
    /// Core that runs a pool's items, if that changed (K5).
    servers: Map<u32, usize>,
}

impl Softirqs {
    pub(crate) fn see(&mut self, s: &Seen, items: &Items) -> Verdict {
        let (e, cpu) = (&s.event, s.cpu);
        if self.cores.len() <= cpu {
            self.cores.resize_with(cpu + 1, Core::default);
        }
        let core = &mut self.cores[cpu];
        let is_bh = || items.queue(e.b).flags & Kind::BH != 0;
        match e.kind {
            Kind::PoolServe => {
                self.servers.insert(e.head.arg, e.a as usize);
            }
            // What was raised concerns others by now.
            Kind::CpuDead => *core = Core::default(),
            Kind::SoftirqRaise => core.raised |= 1 << e.head.arg,
            Kind::SoftirqEntry => return core.enter(e.head.arg, cpu),
            Kind::SoftirqExit => {
                core.vector = None;
                core.waiting = core.raised;
            }
            Kind::QueueWork if is_bh() => {
                self.pools.entry(e.head.arg).or_default().push_back(e.a);
            }
            Kind::CancelWork => {
                if let Some(line) = self.pools.get_mut(&e.head.arg) {
                    line.retain(|&item| item != e.a);
                }
            }
            Kind::ExecuteStart if is_bh() => {
                let pool = e.head.arg;
                let own = || kernel::wq::core_of_pool(pool as usize).map(|c| c.index());
                core.start(s, self.servers.get(&pool).copied().or_else(own))?;
                let line = self.pools.entry(e.head.arg).or_default();
                let next = line.pop_front();
                ensure!(
                    next == Some(e.a),
                    "7.13",
                    "a BH item of pool {} starts before one that was queued earlier",
                    e.head.arg
                );
            }
            Kind::ExecuteEnd if is_bh() => core.busy = false,
            _ => {}
        }
        Ok(())
    }
}

impl Core {
    fn enter(&mut self, n: u32, cpu: usize) -> Verdict {
        let other = self.vector;
        ensure!(
            other.is_none(),
            "S7",
            "softirq {n} starts on core {cpu} inside softirq {other:?}"
        );
        if n <= self.last {
            ensure!(
                self.due == 0,
                "S4",
                "a pass begins on core {cpu} before softirqs {:#x} of the one before",
                self.due
            );
            self.due = self.waiting;
        }
        let first = self.due.trailing_zeros();
        ensure!(
            n <= first,
            "7.13",
            "softirq {n} starts on core {cpu} although softirq {first} was raised before"
        );
        let rest = !(1 << n);
        self.due &= rest;
        self.raised &= rest;
        self.waiting &= rest;
        (self.vector, self.last) = (Some(n), n);
        self.started = 0;
        Ok(())
    }

    /// A BH item starts.
    fn start(&mut self, s: &Seen, server: Option<usize>) -> Verdict {
        let (cpu, pool, now) = (s.cpu, s.event.head.arg, s.lived);
        let highpri = kernel::wq::is_highpri_pool(pool as usize);
        let vector = if highpri { Vector::Hi } else { Vector::Tasklet };
        ensure!(
            self.vector == Some(vector as u32),
            "7.13",
            "a BH item of pool {pool} starts on core {cpu} in {:?} instead of {vector:?}",
            self.vector
        );
        ensure!(!self.busy, "7.13", "two BH items run at once on core {cpu}");
        ensure!(
            server.is_none_or(|c| c == cpu),
            "7.13",
            "a BH item of pool {pool} starts on core {cpu}"
        );
        self.busy = true;
        if self.started == 0 {
            self.since = now;
        }
        self.started += 1;
        ensure!(
            self.started <= BATCH,
            "7.13",
            "one softirq on core {cpu} starts {} BH items",
            self.started
        );
        let after = now.saturating_sub(self.since);
        ensure!(
            after < BUDGET,
            "7.13",
            "one softirq on core {cpu} starts a BH item {after} ns after its first one"
        );
        Ok(())
    }
}
