//! Pools: somebody in reserve whenever an item starts (7.7), nobody asleep on work (7.5), as many
//! workers running as the pool counts (7.6), and rescuers, who execute their own queue's items where
//! they were called (H2), and do so in time while no worker can be made (7.12). A pool of one worker,
//! of a queue without concurrency management, executes one item at a time and keeps the others
//! waiting (X3).
//!
//! A worker of a core's pool counts as running while it executes an item, unless it has told that it
//! sleeps (E2, E3), has used up its budget (E14), its queue is CPU-intensive (E13), or it waits for its core
//! for long and its queue asked that it should not count then. Between two
//! items it holds the pool's lock, so whenever the lock is free the number is exact.

use trace::Kind;

use super::item::Items;
use super::names::Map;
use super::{Seen, Verdict, ensure};

/// A worker, by its thread.
#[derive(Clone, Copy, Default, Debug)]
struct Worker {
    thread: u32,
    /// Executes an item.
    busy: bool,
    /// Blocks in it.
    sleeps: bool,
    /// This item is outside concurrency management.
    apart: bool,
    /// Its queue asked that it should not count while it waits for its core for long.
    aware: bool,
    /// It does not count since then, until it says that it has its core back.
    waits: bool,
}

#[derive(Default, Debug)]
struct Pool {
    workers: Vec<Worker>,
    /// Somebody tries in vain to make a worker.
    creating: Option<Creating>,
    /// Its core is offline: nobody counts (M2).
    unbound: bool,
}

/// A manager that cannot make a worker.
#[derive(Clone, Copy, Debug)]
struct Creating {
    manager: u32,
    /// When it failed for the first time.
    since: u64,
    /// It has not woken up since it failed the last time.
    pauses: bool,
}

/// Until an item that a rescuer may execute is listed and the pool calls for that rescuer, in ns: the
/// mayday timer fires 10 ms after the creation began, then each 100 ms (H1).
const FIRST_CALL: u64 = 10_000_000;
const NEXT_CALL: u64 = 100_000_000;
/// What late timers, cores that stall and the rescuer's own way may add.
const SLACK: u64 = 100_000_000;

/// A rescuer at work.
#[derive(Default, Debug)]
struct Rescue {
    pool: u32,
    queue: u64,
    /// It executes an item.
    busy: bool,
    /// What it has executed: one that is queued meanwhile is its own too, on any queue (C6).
    ran: Vec<u64>,
}

/// The pools of threads.
#[derive(Default, Debug)]
pub(crate) struct Pools {
    pools: Map<u32, Pool>,
    /// In how many of them no worker can be made.
    creating: u32,
    /// By thread.
    rescues: Map<u32, Rescue>,
    /// Queues whose rescuer has panicked and has no successor yet that was called.
    lost: Vec<u64>,
}

impl Pools {
    pub(crate) fn see(&mut self, s: &Seen, thread: u32, items: &Items) -> Verdict {
        // Of a wake-up it is the thread.
        let (e, pool) = (&s.event, s.event.head.arg);
        match e.kind {
            Kind::WorkerCreate => {
                self.settle(|p, _| p == pool);
                let p = self.pools.entry(pool).or_default();
                let thread = e.a as u32;
                p.workers.push(Worker {
                    thread,
                    ..Worker::default()
                });
            }
            Kind::PoolUnbind => self.pools.entry(pool).or_default().unbound = true,
            Kind::PoolBind => {
                let p = self.pools.entry(pool).or_default();
                p.unbound = false;
                // Who is busy counts again from its next item on (M3).
                p.workers.iter_mut().for_each(|w| w.apart |= w.busy);
            }
            Kind::WorkerCreateFail => {
                let p = self.pools.entry(pool).or_default();
                let before = p.creating.filter(|c| c.manager == thread);
                let new = p.creating.replace(Creating {
                    manager: thread,
                    since: before.map_or(e.stamp, |c| c.since),
                    pauses: true,
                });
                self.creating += u32::from(new.is_none());
            }
            // From here on the pool is on its way again, or tells of the next failure.
            Kind::SchedWakeup if self.creating > 0 => self.woken(pool),
            // A manager that sleeps without having failed needs no worker any more.
            Kind::SchedSwitch if self.creating > 0 && e.b != 0 => {
                let id = e.a as u32;
                self.settle(|_, c| c.manager == id && !c.pauses);
            }
            Kind::RescuerAttach => {
                let rescue = Rescue {
                    pool,
                    queue: e.b,
                    busy: false,
                    ran: Vec::new(),
                };
                self.lost.retain(|&queue| queue != e.b);
                self.rescues.insert(thread, rescue);
            }
            Kind::RescuerDetach => {
                self.rescues.remove(&thread);
            }
            Kind::WorkerDie => {
                if let Some(p) = self.pools.get_mut(&pool) {
                    p.workers.retain(|w| w.thread != thread);
                }
            }
            Kind::ExecuteStart => {
                let Some(w) = self.member(pool, thread) else {
                    return self.helped(pool, thread, e);
                };
                let flags = items.queue(e.b).flags;
                let apart = flags & Kind::CPU_INTENSIVE != 0;
                (w.busy, w.sleeps, w.apart) = (true, false, apart);
                w.aware = flags & Kind::PREEMPTION_AWARE != 0;
                let all = &self.pools[&pool].workers;
                if flags & Kind::DEDICATED != 0 {
                    ensure!(
                        all.iter().filter(|w| w.busy).count() == 1,
                        "X3",
                        "two items at a time in pool {pool}, which has one worker"
                    );
                    return Ok(());
                }
                ensure!(
                    all.iter().any(|w| !w.busy),
                    "7.7",
                    "all {} workers of pool {pool} execute items: none is in reserve",
                    all.len()
                );
            }
            Kind::ExecuteEnd => {
                self.has_its_core(pool, thread)?;
                self.change(pool, thread, |w| w.busy = false);
                if let Some(r) = self.rescues.get_mut(&thread) {
                    r.busy = false;
                    if e.head.flags & Kind::PANICKED != 0 {
                        self.lost.push(r.queue);
                    }
                }
            }
            Kind::DestroyWorkqueue => self.lost.retain(|&queue| queue != e.b),
            Kind::WorkerPreempted => return self.preempted(pool, e, thread),
            Kind::WorkerBack => {
                let w = self.member(pool, thread);
                ensure!(
                    w.is_some_and(|w| core::mem::take(&mut w.waits)),
                    "7.6",
                    "worker {thread} of pool {pool} is back, and was never away"
                );
            }
            Kind::WorkerSleep => {
                self.has_its_core(pool, thread)?;
                self.change(pool, thread, |w| w.sleeps = true);
            }
            Kind::WorkerResume => self.change(pool, thread, |w| w.sleeps = false),
            Kind::WorkerHog => {
                self.has_its_core(pool, thread)?;
                self.change(pool, thread, |w| w.apart = true);
            }
            _ => {}
        }
        Ok(())
    }

    /// A thread that is no worker of the pool executes an item there: it is a rescuer (H2).
    fn helped(&mut self, pool: u32, thread: u32, e: &trace::Event) -> Verdict {
        if !self.pools.contains_key(&pool) {
            return Ok(());
        }
        let rescue = self.rescues.get_mut(&thread).filter(|r| r.pool == pool);
        let own = rescue.is_some_and(|r| {
            let own = r.queue == e.b || r.ran.contains(&e.a);
            r.ran.push(e.a);
            r.busy = true;
            own
        });
        ensure!(
            own,
            "H2",
            "thread {thread} executes an item in pool {pool}, and is neither its worker nor the \
             rescuer that was called for it"
        );
        Ok(())
    }

    /// A worker waits for its core for long: not the running one, not one that sleeps or counts as little
    /// as before, and only for an item of a queue that asked for it.
    fn preempted(&mut self, pool: u32, e: &trace::Event, running: u32) -> Verdict {
        let id = e.a as u32;
        let unbound = self.pools.get(&pool).is_none_or(|p| p.unbound);
        let w = self.member(pool, id).filter(|_| id != running && !unbound);
        let right = |w: &&mut Worker| w.busy && w.aware && !w.sleeps && !w.apart && !w.waits;
        let w = w.filter(right);
        ensure!(
            w.is_some(),
            "7.6",
            "thread {id} is told to be preempted for long in pool {pool}, which cannot be"
        );
        if let Some(w) = w {
            w.waits = true;
        }
        Ok(())
    }

    /// A worker that does something has its core, and its pool knows.
    fn has_its_core(&mut self, pool: u32, thread: u32) -> Verdict {
        let waits = self.member(pool, thread).is_some_and(|w| w.waits);
        ensure!(
            !waits,
            "7.6",
            "worker {thread} of pool {pool} runs, and its pool believes that it waits for its core"
        );
        Ok(())
    }

    /// The worker of pool `pool` that is `thread`, if it is one of its own (a rescuer is not).
    fn member(&mut self, pool: u32, thread: u32) -> Option<&mut Worker> {
        let p = self.pools.get_mut(&pool)?;
        p.workers.iter_mut().find(|w| w.thread == thread)
    }

    fn change(&mut self, pool: u32, thread: u32, f: impl FnOnce(&mut Worker)) {
        if let Some(w) = self.member(pool, thread) {
            f(w);
        }
    }

    /// Thread `id` is woken, maybe a manager that pauses.
    fn woken(&mut self, id: u32) {
        let all = self.pools.values_mut();
        for c in all.filter_map(|p| p.creating.as_mut()) {
            c.pauses &= c.manager != id;
        }
    }

    /// The creations that `is_over` says are over are.
    fn settle(&mut self, is_over: impl Fn(u32, &Creating) -> bool) {
        if self.creating == 0 {
            return;
        }
        for (&id, p) in &mut self.pools {
            let over = p.creating.is_some_and(|c| is_over(id, &c));
            if over {
                p.creating = None;
                self.creating -= 1;
            }
        }
    }

    /// The rescuer of `queue` executes an item, which may sleep, or there is none at the moment.
    fn is_engaged(&self, queue: u64) -> bool {
        let busy = |r: &Rescue| r.queue == queue && r.busy;
        self.rescues.values().any(busy) || self.lost.contains(&queue)
    }

    /// Holds what a pool counts, while its lock is free, against the workers that run.
    pub(crate) fn check_running(&self, pool: u32, counted: u32) -> Verdict {
        // Workers of an unbound pool may sleep without notice; none is counted.
        let bound = kernel::wq::core_of_pool(pool as usize).is_some();
        let Some(p) = self.pools.get(&pool).filter(|_| bound) else {
            return Ok(());
        };
        let runs = |w: &&Worker| w.busy && !w.sleeps && !w.apart && !w.waits;
        let running = if p.unbound {
            0
        } else {
            p.workers.iter().filter(runs).count()
        };
        ensure!(
            running == counted as usize,
            "7.6",
            "pool {pool} counts {counted} running workers, and {running} of its {} run",
            p.workers.len()
        );
        Ok(())
    }

    /// All cores wait at `now`: no item may be ready to start, but where no worker can be made; and
    /// not for long where a rescuer can.
    pub(crate) fn quiescent(&self, items: &Items, now: u64) -> Verdict {
        let ready = items.iter().filter_map(|i| {
            let p = i.pending?;
            // One that runs is started again by whoever runs it (C6).
            if !p.active || i.running.is_some() {
                return None;
            }
            let pool = self.pools.get(&p.pool);
            let alone = items.queue(p.queue).flags & Kind::DEDICATED != 0;
            if alone && pool.is_some_and(|p| p.workers.iter().any(|w| w.busy)) {
                // Its turn comes when the item of the only worker is over (X3).
                return None;
            }
            let Some(c) = pool.and_then(|p| p.creating).filter(|c| c.pauses) else {
                return Some((p.seq, i.name, p.pool, false));
            };
            let reclaims = items.queue(p.queue).flags & Kind::MEM_RECLAIM != 0;
            let due = (c.since + FIRST_CALL).max(p.since + NEXT_CALL) + SLACK;
            let late = reclaims && now > due && !self.is_engaged(p.queue);
            late.then_some((p.seq, i.name, p.pool, true))
        });
        if let Some((_, name, pool, rescuable)) = ready.min() {
            ensure!(
                rescuable,
                "7.5",
                "every core waits for an interrupt, and item #{name} is ready in pool {pool}"
            );
            ensure!(
                false,
                "7.12",
                "no worker can be made for item #{name} in pool {pool}, and no rescuer comes"
            );
        }
        Ok(())
    }
}
