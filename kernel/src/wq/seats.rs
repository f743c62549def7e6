//! Who sits at the round tables and what waits in front of them: copies, for people.
//!
//! [`Tables`] owns the room that a pool is copied into. While a pool is locked its seats and the head of
//! its line are copied, by value and to a limit; nothing is allocated, formatted or symbolised there.
//! The limit is also one of the walk, so that a pool with thousands of workers is not locked for longer.

use alloc::vec::Vec;
use core::fmt;

use links::{Arena, Handle};
use machine::{Duration, Instant};
use workqueue::{Item, Kind as PoolKind, Phase, Pwq, Worker as WorkerNode};

use super::handles::{share_of, worker_of};
use super::info::{PoolInfo, pool_info};
use super::pool::{Inner, Pool};
use super::show::{Name, name_of};
use super::{QueueName, each_pool};
use crate::kernel;
use crate::mem::{AllocError, try_vec_with_capacity};
use crate::thread::State;

/// Most seats of a pool that are told of; busy workers come first.
pub const MOST_SEATS: usize = 24;
/// Most groups of equal waiting items that are told of.
pub const MOST_WAITING: usize = 8;
/// Most workers, and most waiting items, that are looked at in one pool.
const MOST_LOOKED_AT: usize = 128;

/// What a worker does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// It waits for work.
    Idle,
    /// It has a core.
    Running,
    /// It wants a core.
    Runnable,
    /// It sleeps in its item.
    Blocked,
    /// It makes another worker (E9).
    Manager,
}

impl Doing {
    /// In lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Runnable => "runnable",
            Self::Blocked => "blocked",
            Self::Manager => "manager",
        }
    }
}

/// What an item is called. Shown, it is its function and the type of its value; that looks through the
/// image's symbols.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ItemName(Name);

impl ItemName {
    /// The handler's name, or the value's type if there are no symbols, or `BAR` for a flush's barrier.
    #[must_use]
    pub fn function(self) -> &'static str {
        match self.0 {
            Name::Barrier => "BAR",
            Name::Function(address, value) => {
                (kernel().info().symbolize)(address).map_or(value, |(name, _)| name)
            }
        }
    }
}

impl fmt::Display for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One worker of a pool.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Number of its thread; `None` for the softirq that executes BH items.
    pub thread: Option<u32>,
    /// What it does.
    pub doing: Doing,
    /// It came to help (H2).
    pub rescuer: bool,
    /// It executes outside concurrency management (E13, E14).
    pub cpu_intensive: bool,
    /// It has waited for its core for so long that it does not count.
    pub preempted: bool,
    /// What it executes.
    pub item: Option<ItemName>,
    /// The queue of that.
    pub queue: Option<QueueName>,
    /// For how long it has been idle, or has executed its item; the latter only while
    /// [`super::anatomy`] is on.
    pub lasts: Option<Duration>,
}

/// Items of one function and queue that wait one behind the other.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// What they are called.
    pub item: ItemName,
    /// Their queue.
    pub queue: Option<QueueName>,
    /// How many.
    pub count: u32,
}

/// One pool, at the moment of the call.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// Its figures.
    pub pool: &'a PoolInfo,
    /// It is that for high priority.
    pub highpri: bool,
    /// Items started so far.
    pub started: u64,
    /// At most [`MOST_SEATS`] of its workers.
    pub seats: &'a [Seat],
    /// The items in front, those that come first, in at most [`MOST_WAITING`] groups.
    pub waiting: &'a [Waiting],
}

/// Room for the copy of a pool.
#[derive(Debug)]
pub struct Tables {
    seats: Vec<Seat>,
    waiting: Vec<Waiting>,
}

impl Tables {
    /// Room for any pool.
    ///
    /// # Errors
    ///
    /// Without memory for it.
    pub fn new() -> Result<Self, AllocError> {
        Ok(Self {
            seats: try_vec_with_capacity(MOST_SEATS)?,
            waiting: try_vec_with_capacity(MOST_WAITING)?,
        })
    }

    /// Describes every pool through `f`, which is called without locks. Takes each pool's lock for the
    /// time of a copy; any context in which that may be taken.
    pub fn for_each(&mut self, mut f: impl FnMut(Table<'_>)) {
        each_pool(|p| {
            self.seats.clear();
            self.waiting.clear();
            let g = p.lock();
            let pool = pool_info(p, &g);
            let started = g.policy.starts();
            self.seat(&g, machine::now());
            self.line_up(&g);
            drop(g);
            f(Table {
                pool: &pool,
                highpri: is_highpri(p),
                started,
                seats: &self.seats,
                waiting: &self.waiting,
            });
        });
    }

    /// Copies the workers, busy ones first, without allocation.
    fn seat(&mut self, g: &Inner, now: Instant) {
        for busy in [true, false] {
            for h in g.policy.seats(&g.store).take(MOST_LOOKED_AT) {
                if self.seats.len() == MOST_SEATS {
                    return;
                }
                let node: &WorkerNode = g.store.get(h);
                if node.is_resting() != busy {
                    self.seats.push(seat(g, h, now));
                }
            }
        }
    }

    /// Copies the head of the line, without allocation.
    fn line_up(&mut self, g: &Inner) {
        for h in g.policy.line(&g.store).take(MOST_LOOKED_AT) {
            let item = ItemName(name_of(g, h));
            let queue = g.policy.pwq_of(&g.store, h).map(queue_of);
            if let Some(last) = self.waiting.last_mut()
                && last.item == item
                && last.queue == queue
            {
                last.count += 1;
                continue;
            }
            if self.waiting.len() == MOST_WAITING {
                return;
            }
            self.waiting.push(Waiting {
                item,
                queue,
                count: 1,
            });
        }
    }
}

fn is_highpri(p: &Pool) -> bool {
    p.highpri || p.nice() == sched::Nice::MIN
}

/// Under the pool's lock, and `p` has items in it.
fn queue_of(p: Handle<Pwq>) -> QueueName {
    share_of(p).queue().attributes.name.clone()
}

fn seat(g: &Inner, h: Handle<WorkerNode>, now: Instant) -> Seat {
    let node: &WorkerNode = g.store.get(h);
    let item = node
        .current()
        .map(|i: Handle<Item>| ItemName(name_of(g, i)));
    let queue = node.current_pwq().filter(|_| item.is_some()).map(queue_of);
    let mut seat = Seat {
        thread: None,
        doing: if item.is_some() {
            Doing::Running
        } else {
            Doing::Idle
        },
        rescuer: false,
        cpu_intensive: node.is_cpu_intensive() && item.is_some(),
        preempted: node.is_preempted(),
        item,
        queue,
        lasts: None,
    };
    if g.policy.kind() == PoolKind::Bh {
        return seat;
    }
    let w = worker_of(h);
    seat.rescuer = w.rescuing().is_some();
    let Some(t) = w.thread() else { return seat };
    seat.thread = Some(t.id());
    seat.doing = match node.phase() {
        Phase::New | Phase::Idle | Phase::Dying => Doing::Idle,
        Phase::Prep if g.policy.manager(&g.store) == Some(h) => Doing::Manager,
        Phase::Prep | Phase::Working | Phase::Rescuing => match t.state() {
            State::Sleeping => Doing::Blocked,
            _ if t.has_core() => Doing::Running,
            _ => Doing::Runnable,
        },
    };
    seat.lasts = if seat.doing == Doing::Idle {
        Some(now.since(node.idle_since()))
    } else {
        let started = w.began.get();
        let known = item.is_some() && super::anatomy() && started > 0;
        known.then(|| now.since(machine::stamp_time(started)))
    };
    seat
}
