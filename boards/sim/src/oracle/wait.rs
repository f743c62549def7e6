//! What flush and synchronous cancel promise when they return (7.10, 7.11, I5).

use trace::Kind;

use super::item::{Item, Items};
use super::names::Map;
use super::{Seen, Verdict, ensure};

/// A barrier that has not been reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Barrier {
    pub(crate) item: u64,
    /// The submission it waits for.
    seq: u64,
    /// Who waits.
    pub(crate) thread: u32,
}

/// Waits under way.
#[derive(Default, Debug)]
pub(crate) struct Waits {
    barriers: Map<u64, Barrier>,
    /// By thread and queue: submissions accepted when the flush began.
    flushes: Map<(u32, u64), u64>,
    /// As `flushes`, by thread and item.
    item_flushes: Map<(u32, u64), u64>,
}

impl Waits {
    /// What thread `id` waits for, if that is a barrier.
    pub(crate) fn barrier_of(&self, id: u32) -> Option<Barrier> {
        self.barriers.values().find(|b| b.thread == id).copied()
    }

    /// The queue that thread `id` flushes, if it does, and the last submission it waits for.
    pub(crate) fn flush_of(&self, id: u32) -> Option<(u64, u64)> {
        let mut all = self.flushes.iter();
        let found = all.find(|((thread, _), _)| *thread == id);
        found.map(|(&(_, queue), &until)| (queue, until))
    }

    pub(crate) fn see(&mut self, s: &Seen, thread: u32, items: &Items) -> Verdict {
        let e = &s.event;
        match e.kind {
            Kind::InsertBarrier => {
                let last = |i: &Item| {
                    let pending = i.pending.map(|p| p.seq);
                    pending.or(i.running.map(|r| r.seq))
                };
                let seq = items.get(e.a).and_then(last);
                ensure!(
                    seq.is_some(),
                    "I5",
                    "a flush waits for an item that is idle"
                );
                let barrier = Barrier {
                    item: e.a,
                    seq: seq.unwrap_or_default(),
                    thread,
                };
                self.barriers.insert(e.b, barrier);
                self.item_flushes.remove(&(thread, e.a));
            }
            Kind::BarrierDone => {
                let Some(b) = self.barriers.remove(&e.b) else {
                    ensure!(false, "I5", "a barrier is reached that nobody has put");
                    return Ok(());
                };
                if let Some(i) = items.get(b.item) {
                    let early = i.pending.is_some_and(|p| p.seq == b.seq)
                        || i.running.is_some_and(|r| r.seq == b.seq);
                    ensure!(
                        !early,
                        "I5",
                        "thread {} waits for item #{}, and is let go before that is over",
                        b.thread,
                        i.name
                    );
                }
            }
            Kind::FlushIdle => {
                let until = self.item_flushes.remove(&(thread, e.a));
                let until = until.unwrap_or(u64::MAX);
                if let Some(i) = items.get(e.a) {
                    // What was queued since the flush began is not asked for.
                    let early = i.pending.is_some_and(|p| p.seq <= until)
                        || i.running.is_some_and(|r| r.seq <= until);
                    ensure!(
                        !early,
                        "I5",
                        "a flush calls item #{} idle, which is {i}",
                        i.name
                    );
                }
            }
            Kind::CancelSync => {
                if let Some(i) = items.get(e.a) {
                    ensure!(
                        false,
                        "7.10",
                        "item #{} was cancelled and waited for, and is {i}",
                        i.name
                    );
                }
            }
            Kind::FlushStart if e.b == 0 => {
                self.item_flushes.insert((thread, e.a), items.seq);
            }
            Kind::FlushStart => {
                self.flushes.insert((thread, e.b), items.seq);
            }
            Kind::FlushEnd => {
                let Some(until) = self.flushes.remove(&(thread, e.b)) else {
                    return Ok(());
                };
                let left = items.earlier(e.b, until);
                // Not the first by address: the same run is to say the same in every process.
                if let Some(i) = left.min_by_key(|i| i.name) {
                    ensure!(
                        false,
                        "7.11",
                        "thread {thread} has flushed a queue, and its item #{} is {i}",
                        i.name
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}
