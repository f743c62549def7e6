//! Threads that wait for each other for ever, and who waits for what when nothing happens any more.
//!
//! A sleeping thread waits for a mutex, and so for its owner; for an item, and so for the thread
//! that runs it; for an item without a slot, and so for one of those that have the slots; or for all
//! earlier items of a queue that it flushes, drains or destroys. Wherever anybody may help (a
//! semaphore, a completion, a timeout), nothing is known. What remains when all threads are taken out
//! that somebody outside could help is a knot: none of them will ever go on, whatever timers may
//! still be armed.
//!
//! A mutex is taken only from nobody, which a thread that ends with it makes it too, and given back
//! only by its owner (`mutex`).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use trace::Kind;

use super::item::{Item, Items};
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
    pub(crate) fn see(&mut self, s: &Seen, thread: u32, names: &mut Names) -> Verdict {
        let e = &s.event;
        match e.kind {
            Kind::LockAcquired => {
                let owner = self.owners.insert(e.a, thread);
                ensure!(
                    owner.is_none(),
                    "mutex",
                    "thread {thread} gets mutex #{}, which thread {} has",
                    names.of(e.a),
                    owner.unwrap_or_default()
                );
            }
            Kind::LockRelease => {
                let owner = self.owners.remove(&e.a);
                ensure!(
                    owner == Some(thread),
                    "mutex",
                    "thread {thread} gives mutex #{} back, which {} has",
                    names.of(e.a),
                    owner.map_or("nobody".to_owned(), |o| format!("thread {o}"))
                );
                names.forget(e.a);
            }
            Kind::LockAbandon => self.owners.retain(|_, owner| *owner != thread),
            Kind::ContentionBegin if e.head.arg == 0 => {
                let name = names.of(e.a);
                self.waits.insert(thread, Wait { lock: e.a, name });
            }
            Kind::ContentionEnd => {
                self.waits.remove(&thread);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether thread `id`, which sleeps, may go on although none of `knot` ever does; so it is where
    /// anybody may help.
    fn is_free(&self, id: u32, knot: &BTreeSet<u32>, items: &Items, waits: &Waits) -> bool {
        let Some(wait) = self.waits.get(&id) else {
            return true;
        };
        if let Some(owner) = self.owners.get(&wait.lock) {
            return !knot.contains(owner);
        }
        if let Some(barrier) = waits.barrier_of(id) {
            let item = items.get(barrier.item);
            return item.is_none_or(|i| ends(i, knot, items));
        }
        let Some((queue, until)) = waits.flush_of(id) else {
            return true;
        };
        items.earlier(queue, until).all(|i| ends(i, knot, items))
    }

    /// All cores wait: looks for a knot.
    pub(crate) fn quiescent(&self, threads: &Threads, items: &Items, waits: &Waits) -> Verdict {
        if self.waits.is_empty() {
            return Ok(());
        }
        let asleep = |id: &&u32| threads.state(**id) == State::Asleep;
        let mut knot: BTreeSet<u32> = self.waits.keys().filter(asleep).copied().collect();
        loop {
            let mut each = knot.iter().copied();
            let free = each.find(|&id| self.is_free(id, &knot, items, waits));
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
            } else if let Some((queue, until)) = waits.flush_of(id) {
                let _ = write!(
                    text,
                    ", all earlier items of queue #{}:",
                    items.queue(queue).name
                );
                let mut left: Vec<_> = items.earlier(queue, until).collect();
                left.sort_unstable_by_key(|i| i.name);
                for i in left {
                    let _ = write!(text, " #{} ({i})", i.name);
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Whether `item` may come to its end although no thread of `knot` goes on.
fn ends(item: &Item, knot: &BTreeSet<u32>, items: &Items) -> bool {
    if let Some(r) = item.running {
        return !knot.contains(&r.thread);
    }
    let Some(p) = item.pending else { return true };
    if items.queue(p.queue).flags & Kind::DEDICATED != 0 {
        // Its pool has one worker, which may be of the knot (X4).
        let mut running = items.iter().filter_map(|i| i.running);
        return !running.any(|r| r.pool == p.pool && knot.contains(&r.thread));
    }
    if p.active {
        return true;
    }
    // The pools of an unbound queue may share their slots.
    let shares = items.queue(p.queue).flags & Kind::UNBOUND != 0;
    let same = |queue: u64, pool: u32| queue == p.queue && (shares || pool == p.pool);
    let (mut held, mut stuck) = (false, true);
    for i in items.iter() {
        if let Some(r) = i.running.filter(|r| same(r.queue, r.pool)) {
            held = true;
            stuck &= knot.contains(&r.thread);
        }
        let ready = i.pending.is_some_and(|q| q.active && same(q.queue, q.pool));
        // One that runs is started again by whoever runs it.
        stuck &= !ready || i.running.is_some();
    }
    !(held && stuck)
}
