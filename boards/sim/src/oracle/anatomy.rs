//! Latency anatomy: what the executive says of each item's time is what the events say.
//!
//! Everything is measured here once more, from when events happened: an item is queued, activated,
//! started and ended; the thread that executes it leaves its core, is woken, and is back. The parts
//! told for an item must be those, and add up to the time from its queueing to its end. Whoever looks
//! at the clock elsewhere than where the event is, or counts a wait twice, is found out to the
//! nanosecond.

use trace::Kind;

use super::names::Map;
use super::{Seen, Verdict, ensure};

/// A thread's time off its cores.
#[derive(Clone, Copy, Default, Debug)]
struct Away {
    left: u64,
    /// When it was woken; `None` while it sleeps.
    woken: Option<u64>,
    blocked: u64,
    preempted: u64,
}

/// What is known of an item that is pending.
#[derive(Clone, Copy, Default, Debug)]
struct Wait {
    queued: u64,
    active: u64,
}

/// An item that runs.
#[derive(Clone, Copy, Debug)]
struct Run {
    wait: Wait,
    started: u64,
    /// The thread, if it is one's, and what it had been off its core before.
    thread: Option<(u32, u64, u64)>,
}

/// An item's parts, in the order in which they are told.
type Parts = [u64; 5];

/// All items, and the threads that execute them.
#[derive(Default, Debug)]
pub(crate) struct Anatomy {
    threads: Map<u32, Away>,
    waits: Map<u64, Wait>,
    runs: Map<u64, Run>,
    /// BH queues.
    bh: Map<u64, ()>,
    /// Of the item that ended last on each core, until it is told.
    over: Map<usize, (Parts, u64)>,
}

impl Anatomy {
    pub(crate) fn see(&mut self, s: &Seen, thread: u32) -> Verdict {
        let (e, now) = (&s.event, s.event.stamp);
        match e.kind {
            Kind::SchedSwitch => self.switch(e.a as u32, e.b == 1, e.head.arg, now),
            Kind::SchedWakeup | Kind::SchedMigrateTask => {
                // Only what sleeps is woken; a thread that was moved first is on its way since then.
                if let Some(t) = self.threads.get_mut(&e.head.arg) {
                    t.woken.get_or_insert(now);
                }
            }
            Kind::AllocWorkqueue if e.head.flags & Kind::BH != 0 => {
                self.bh.insert(e.b, ());
            }
            Kind::DestroyWorkqueue => {
                self.bh.remove(&e.b);
            }
            Kind::QueueWork => {
                let wait = Wait {
                    queued: now,
                    active: now,
                };
                self.waits.insert(e.a, wait);
            }
            Kind::ActivateWork => {
                if let Some(wait) = self.waits.get_mut(&e.a) {
                    wait.active = now;
                }
            }
            Kind::CancelWork => {
                self.waits.remove(&e.a);
            }
            Kind::ExecuteStart => self.start(e.a, e.b, thread, now),
            Kind::ExecuteEnd => self.end(s.cpu, e.a, now),
            Kind::LatencyWait => return self.told(s.cpu, [0, 1], [e.a, e.b]),
            Kind::LatencyRun => return self.told(s.cpu, [2, 3], [e.a, e.b]),
            Kind::LatencyTotal => {
                self.told(s.cpu, [4, 4], [e.a, e.a])?;
                let whole = self.over.remove(&s.cpu).map_or(0, |over| over.1);
                ensure!(
                    e.b == whole,
                    "anatomy",
                    "an item that took {whole} ns is told to have taken {} ns",
                    e.b
                );
            }
            _ => {}
        }
        Ok(())
    }

    fn switch(&mut self, from: u32, asleep: bool, to: u32, now: u64) {
        // 0 is each core's own idle thread, which executes nothing.
        if from != 0 {
            let t = self.threads.entry(from).or_default();
            t.left = now;
            t.woken = (!asleep).then_some(now);
        }
        if to != 0 {
            let t = self.threads.entry(to).or_insert(Away {
                left: now,
                ..Away::default()
            });
            let woken = t.woken.unwrap_or(now);
            t.blocked += woken - t.left;
            t.preempted += now - woken;
            (t.left, t.woken) = (now, Some(now));
        }
    }

    fn start(&mut self, item: u64, queue: u64, thread: u32, now: u64) {
        let Some(wait) = self.waits.remove(&item) else {
            return;
        };
        let of = |t: &Away| (thread, t.blocked, t.preempted);
        let thread = self.threads.get(&thread).map(of);
        let run = Run {
            wait,
            started: now,
            thread: thread.filter(|_| !self.bh.contains_key(&queue)),
        };
        self.runs.insert(item, run);
    }

    fn end(&mut self, cpu: usize, item: u64, now: u64) {
        let Some(run) = self.runs.remove(&item) else {
            return;
        };
        let (mut blocked, mut preempted) = (0, 0);
        if let Some((id, b, p)) = run.thread
            && let Some(t) = self.threads.get(&id)
        {
            (blocked, preempted) = (t.blocked - b, t.preempted - p);
        }
        let Wait { queued, active } = run.wait;
        let parts = [
            active - queued,
            run.started - active,
            now - run.started - blocked - preempted,
            blocked,
            preempted,
        ];
        self.over.insert(cpu, (parts, now - queued));
    }

    fn told(&self, cpu: usize, which: [usize; 2], said: [u64; 2]) -> Verdict {
        const NAMES: [&str; 5] = ["inactive", "pool", "run", "blocked", "preempted"];
        let Some((parts, _)) = self.over.get(&cpu) else {
            ensure!(
                false,
                "anatomy",
                "core {cpu} tells of an item that did not end there"
            );
            return Ok(());
        };
        for (n, said) in which.into_iter().zip(said) {
            ensure!(
                said == parts[n],
                "anatomy",
                "the {} part of an item was {} ns and is told as {said} ns; inactive, pool, run, blocked, preempted: {parts:?}",
                NAMES[n],
                parts[n]
            );
        }
        Ok(())
    }
}
