//! Threads that wait for each other for ever, and who waits for what when nothing happens any more.
//!
//! A sleeping thread waits for a mutex, and so for its owner; for an item, and so for the thread
//! that runs it; or for an item without a slot, and so for one of those that have the slots. Wherever
//! somebody else may help (a completion, a timeout), nothing is known. What remains when all threads
//! are taken out that somebody outside could help is a knot: none of them will ever go on, whatever
//! timers may still be armed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use trace::Kind;

use super::item::Items;
use super::names::{Map, Names};
use super::thread::{State, Threads};
use super::wait::Waits;
use super::{Seen, Verdict, ensure};

/// A wait without a time limit.
#[derive(Clone, Copy, Debug)]
struct Wait {
    lock: u64,
    name: u32,
}

/// Who owns and who waits.
#[derive(Default, Debug)]
pub(crate) struct Knots {
    owners: Map<u64, u32>,
    waits: Map<u32, Wait>,
}

impl Knots {
    pub(crate) fn see(&mut self, s: &Seen, thread: u32, names: &mut Names) {
        let e = &s.event;
        match e.kind {
            Kind::LockAcquired => {
                self.owners.insert(e.a, thread);
            }
            Kind::LockRelease => {
                self.owners.remove(&e.a);
                names.forget(e.a);
            }
            Kind::ContentionBegin if e.head.arg == 0 => {
                let name = names.of(e.a);
                self.waits.insert(thread, Wait { lock: e.a, name });
            }
            Kind::ContentionEnd => {
                self.waits.remove(&thread);
            }
            _ => {}
        }
    }

    /// The threads of which one must act before `id`, which sleeps, can go on; `None` if somebody
    /// else may help.
    fn needs(&self, id: u32, items: &Items, waits: &Waits) -> Option<Vec<u32>> {
        let wait = self.waits.get(&id)?;
        if let Some(&owner) = self.owners.get(&wait.lock) {
            return Some(vec![owner]);
        }
        let barrier = waits.barrier_of(id)?;
        let item = items.get(barrier.item)?;
        if let Some(r) = item.running {
            return Some(vec![r.thread]);
        }
        let p = item.pending.filter(|p| !p.active)?;
        let holders = items.iter().filter_map(|i| {
            let r = i.running?;
            (r.queue == p.queue && r.pool == p.pool).then_some(r.thread)
        });
        let ready = items.iter().any(|i| {
            i.pending
                .is_some_and(|q| q.active && q.queue == p.queue && q.pool == p.pool)
        });
        (!ready).then(|| holders.collect())
    }

    /// All cores wait: looks for a knot.
    pub(crate) fn quiescent(&self, threads: &Threads, items: &Items, waits: &Waits) -> Verdict {
        if self.waits.is_empty() {
            return Ok(());
        }
        let asleep = |id: &&u32| threads.state(**id) == State::Asleep;
        let mut knot: BTreeSet<u32> = self.waits.keys().filter(asleep).copied().collect();
        loop {
            let free = knot.iter().copied().find(|&id| {
                let needs = self.needs(id, items, waits);
                needs.is_none_or(|all| all.is_empty() || all.iter().any(|t| !knot.contains(t)))
            });
            let Some(id) = free else { break };
            knot.remove(&id);
        }
        ensure!(
            knot.is_empty(),
            "deadlock",
            "these threads wait for each other:\n{}",
            self.tell(knot.iter().copied(), items, waits)
        );
        Ok(())
    }

    /// Who waits for what, one line each.
    pub(crate) fn describe(&self, threads: &Threads, items: &Items, waits: &Waits) -> String {
        let mut all: Vec<u32> = self.waits.keys().copied().collect();
        all.retain(|&id| threads.state(id) == State::Asleep);
        all.sort_unstable();
        self.tell(all.into_iter(), items, waits)
    }

    fn tell(&self, ids: impl Iterator<Item = u32>, items: &Items, waits: &Waits) -> String {
        let mut text = String::new();
        for id in ids {
            let Some(wait) = self.waits.get(&id) else {
                continue;
            };
            let _ = write!(text, "thread {id} waits for #{}", wait.name);
            if let Some(owner) = self.owners.get(&wait.lock) {
                let _ = write!(text, ", a mutex that thread {owner} has");
            } else if let Some(b) = waits.barrier_of(id) {
                let item = items.get(b.item);
                let _ = match item.map(|i| (i.name, i.running, i.pending)) {
                    Some((n, Some(r), _)) => {
                        write!(
                            text,
                            ", the end of item #{n}, which thread {} runs",
                            r.thread
                        )
                    }
                    Some((n, None, Some(p))) => {
                        let what = if p.active { "a worker" } else { "a slot" };
                        write!(text, ", the end of item #{n}, which waits for {what}")
                    }
                    _ => write!(text, ", the end of an item that is over"),
                };
            }
            text.push('\n');
        }
        text
    }
}
