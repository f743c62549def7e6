//! Pools: somebody in reserve whenever an item starts (7.7), nobody asleep on work (7.5).

use trace::Kind;

use super::item::Items;
use super::names::Map;
use super::{Seen, Verdict, ensure};

#[derive(Default, Debug)]
struct Pool {
    /// Threads of its workers.
    workers: Vec<u32>,
    /// Of those, how many execute an item.
    busy: u32,
    /// Its manager, if that could not make a worker and has not woken up since.
    pausing: Option<u32>,
}

/// The pools of threads.
#[derive(Default, Debug)]
pub(crate) struct Pools {
    pools: Map<u32, Pool>,
    /// How many of them pause.
    pausing: u32,
}

impl Pools {
    pub(crate) fn see(&mut self, s: &Seen, thread: u32) -> Verdict {
        // Of a wake-up it is the thread.
        let (e, pool) = (&s.event, s.event.head.arg);
        match e.kind {
            Kind::WorkerCreate => {
                let p = self.pools.entry(pool).or_default();
                p.workers.push(e.a as u32);
            }
            Kind::WorkerCreateFail => {
                let p = self.pools.entry(pool).or_default();
                self.pausing += u32::from(p.pausing.replace(thread).is_none());
            }
            // From here on the pool is on its way again, or tells of the next failure.
            Kind::SchedWakeup if self.pausing > 0 => self.woken(pool),
            Kind::WorkerDie => {
                if let Some(p) = self.pools.get_mut(&pool) {
                    p.workers.retain(|&w| w != thread);
                }
            }
            Kind::ExecuteStart => {
                if let Some(p) = self.member(pool, thread) {
                    p.busy += 1;
                    ensure!(
                        (p.busy as usize) < p.workers.len(),
                        "7.7",
                        "all {} workers of pool {pool} execute items: none is in reserve",
                        p.workers.len()
                    );
                }
            }
            Kind::ExecuteEnd => {
                if let Some(p) = self.member(pool, thread) {
                    p.busy = p.busy.saturating_sub(1);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Pool `pool`, if `thread` is one of its own workers (a rescuer is not).
    fn member(&mut self, pool: u32, thread: u32) -> Option<&mut Pool> {
        let p = self.pools.get_mut(&pool)?;
        p.workers.contains(&thread).then_some(p)
    }

    /// Thread `id` is woken, maybe a manager that pauses.
    fn woken(&mut self, id: u32) {
        for p in self.pools.values_mut().filter(|p| p.pausing == Some(id)) {
            p.pausing = None;
            self.pausing -= 1;
        }
    }

    /// All cores wait: no item may be ready to start.
    pub(crate) fn quiescent(&self, items: &Items) -> Verdict {
        let ready = items.iter().filter_map(|i| {
            let p = i.pending?;
            // One that runs is started again by whoever runs it (C6).
            let waits = p.active && i.running.is_none();
            let pauses = self.pools.get(&p.pool).is_some_and(|p| p.pausing.is_some());
            (waits && !pauses).then_some((p.seq, i.name, p.pool))
        });
        if let Some((_, name, pool)) = ready.min() {
            ensure!(
                false,
                "7.5",
                "every core waits for an interrupt, and item #{name} is ready in pool {pool}"
            );
        }
        Ok(())
    }
}
