//! Items: each one's way from the queue to its end (7.14), and the order and number of active ones.
//!
//! ```text
//!            queue                activate           start            end
//!   (none) ---------> inactive ------------> active -------> running ------> (none)
//!             \                               ^  |
//!              +-- queue with a slot ---------+  +-- cancel (also when inactive) --> (none)
//! ```
//!
//! A running item may be queued again, so it can be pending and running at once. Since every arrow
//! needs the state it starts from, accepted submissions are runs plus cancellations (7.1, B4).

use core::fmt;
use std::collections::VecDeque;

use trace::Kind;

use super::limit::Limits;
use super::names::{Map, Names};
use super::{Seen, Verdict, ensure};

/// A submission that has not started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) seq: u64,
    pub(crate) queue: u64,
    pub(crate) pool: u32,
    pub(crate) active: bool,
    /// When it was queued, or got its slot.
    pub(crate) since: u64,
}

/// A submission that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) seq: u64,
    pub(crate) queue: u64,
    pub(crate) pool: u32,
    /// The thread on the core when it started (0: none, an idle core's softirq).
    pub(crate) thread: u32,
}

/// An item that is not idle.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Item {
    pub(crate) name: u32,
    pub(crate) pending: Option<Pending>,
    pub(crate) running: Option<Running>,
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.active {
            "ready"
        } else {
            "without a slot"
        };
        write!(f, "{what} in pool {} as submission {}", self.pool, self.seq)
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pool, thread, seq, ..
        } = self;
        write!(
            f,
            "run by thread {thread} in pool {pool} as submission {seq}"
        )
    }
}

/// What it does, without its number. Words never hold an address: they are the same in every run.
impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pending, self.running) {
            (None, None) => f.write_str("idle"),
            (Some(p), None) => p.fmt(f),
            (None, Some(r)) => r.fmt(f),
            (Some(p), Some(r)) => write!(f, "{r}, and {p}"),
        }
    }
}

/// What a queue has in a pool.
#[derive(Default, Debug)]
struct Share {
    /// The node whose slots it takes, as events tell it (0: it has some of its own).
    node: u8,
    /// Listed or running.
    active: u32,
    /// Submissions with a slot that have not started, in order.
    listed: VecDeque<(u64, u64)>,
    /// Submissions without a slot, in order.
    inactive: VecDeque<(u64, u64)>,
}

/// What a queue is.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Queue {
    pub(crate) name: u32,
    pub(crate) flags: u8,
}

/// All items that are not idle.
#[derive(Default, Debug)]
pub(crate) struct Items {
    items: Map<u64, Item>,
    shares: Map<(u64, u32), Share>,
    queues: Map<u64, Queue>,
    limits: Limits,
    /// Submissions so far.
    pub(crate) seq: u64,
}

impl Items {
    /// The item at `address`, if it is not idle.
    pub(crate) fn get(&self, address: u64) -> Option<&Item> {
        self.items.get(&address)
    }

    /// All items that are not idle, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }

    /// The items of `queue` of which a submission up to `until` is not over, in no order.
    pub(crate) fn earlier(&self, queue: u64, until: u64) -> impl Iterator<Item = &Item> {
        let is = move |seq: u64, of: u64| of == queue && seq <= until;
        self.items.values().filter(move |i| {
            i.pending.is_some_and(|p| is(p.seq, p.queue))
                || i.running.is_some_and(|r| is(r.seq, r.queue))
        })
    }

    /// What the queue at `address` is.
    pub(crate) fn queue(&self, address: u64) -> Queue {
        self.queues.get(&address).copied().unwrap_or_default()
    }

    pub(crate) fn see(&mut self, s: &Seen, thread: u32, names: &mut Names) -> Verdict {
        let e = &s.event;
        match e.kind {
            Kind::AllocWorkqueue => {
                let (name, flags) = (names.of(e.b), e.head.flags);
                self.queues.insert(e.b, Queue { name, flags });
            }
            Kind::DestroyWorkqueue => {
                let left = self.left_behind(e.b, names);
                self.queues.remove(&e.b);
                self.shares.retain(|(queue, _), _| *queue != e.b);
                self.limits.forget(e.b);
                names.forget(e.b);
                return left;
            }
            Kind::QueueWork => return self.queued(s, names.of(e.a)),
            Kind::MoveWorkqueue => return self.moved(s),
            Kind::ActivateWork => return self.activated(s),
            Kind::ExecuteStart => return self.started(s, thread),
            Kind::ExecuteEnd => {
                self.ended(s)?;
                self.forget_idle(e.a, names);
            }
            Kind::CancelWork => {
                self.cancelled(s)?;
                self.forget_idle(e.a, names);
            }
            _ => {}
        }
        Ok(())
    }

    fn queued(&mut self, s: &Seen, name: u32) -> Verdict {
        let (e, pool) = (&s.event, s.event.head.arg);
        self.seq += 1;
        let (seq, active) = (self.seq, e.head.flags & Kind::ACTIVE != 0);
        let item = self.items.entry(e.a).or_default();
        item.name = name;
        ensure!(
            item.pending.is_none(),
            "7.14",
            "item #{name} is queued while it is pending"
        );
        item.pending = Some(Pending {
            seq,
            queue: e.b,
            pool,
            active,
            since: e.stamp,
        });
        let flags = self.queue(e.b).flags;
        let share = self.shares.entry((e.b, pool)).or_default();
        if active {
            ensure!(
                share.inactive.is_empty(),
                "C9",
                "item #{name} overtakes items of its queue that wait for a slot in pool {pool}"
            );
            share.listed.push_back((seq, e.a));
            return share.one_more(s, name, &mut self.limits);
        }
        share.inactive.push_back((seq, e.a));
        // An unbound queue may be limited by its node's number, an ordered one be about to move:
        // of those the audit knows whether a slot is free.
        let free = share.inactive.len() == 1 && share.active < u32::from(e.head.small);
        ensure!(
            !free || flags & Kind::UNBOUND != 0,
            "7.3",
            "item #{name} waits for a slot although {} of {} are taken in pool {pool}",
            share.active,
            e.head.small
        );
        Ok(())
    }

    /// What waits goes along, in order, and nothing is active on the way (D9).
    fn moved(&mut self, s: &Seen) -> Verdict {
        let (e, from, to) = (&s.event, s.event.head.arg, s.event.a as u32);
        let share = self.shares.remove(&(e.b, from)).unwrap_or_default();
        ensure!(
            share.active == 0,
            "D9",
            "a queue moves from pool {from} to pool {to} while {} of its items are active",
            share.active
        );
        for &(_, a) in &share.inactive {
            let item = self.items.get_mut(&a);
            if let Some(pending) = item.and_then(|i| i.pending.as_mut()) {
                pending.pool = to;
            }
        }
        self.shares.insert((e.b, to), share);
        Ok(())
    }

    fn activated(&mut self, s: &Seen) -> Verdict {
        let (e, pool) = (&s.event, s.event.head.arg);
        let item = self.items.entry(e.a).or_default();
        let name = item.name;
        let waits = item
            .pending
            .as_mut()
            .filter(|p| !p.active && p.pool == pool && p.queue == e.b);
        let Some(pending) = waits else {
            ensure!(
                false,
                "7.14",
                "item #{name} is activated in pool {pool} but does not wait there"
            );
            return Ok(());
        };
        (pending.active, pending.since) = (true, e.stamp);
        let seq = pending.seq;
        let share = self.shares.entry((e.b, pool)).or_default();
        ensure!(
            share.inactive.pop_front() == Some((seq, e.a)),
            "C9",
            "item #{name} is activated before one that waits for longer"
        );
        share.listed.push_back((seq, e.a));
        share.one_more(s, name, &mut self.limits)
    }

    fn started(&mut self, s: &Seen, thread: u32) -> Verdict {
        let (e, pool) = (&s.event, s.event.head.arg);
        let item = self.items.entry(e.a).or_default();
        let name = item.name;
        ensure!(
            item.running.is_none(),
            "C5",
            "item #{name} starts in pool {pool} while it is {item}"
        );
        let ready = item
            .pending
            .filter(|p| p.active && p.pool == pool && p.queue == e.b);
        let Some(pending) = ready else {
            ensure!(
                false,
                "7.14",
                "item #{name} starts in pool {pool}, but there it is not ready: it is {item}"
            );
            return Ok(());
        };
        item.pending = None;
        item.running = Some(Running {
            seq: pending.seq,
            queue: e.b,
            pool,
            thread,
        });
        let share = self.shares.entry((e.b, pool)).or_default();
        let at = share.listed.iter().position(|&(seq, _)| seq == pending.seq);
        let at = at.unwrap_or_default();
        // An earlier one may have stayed behind only because it still runs (C6).
        let items = &self.items;
        let behind = |&(_, a): &(u64, u64)| items.get(&a).is_none_or(|i| i.running.is_none());
        let overtaken = share.listed.iter().take(at).copied().find(|x| behind(x));
        share.listed.remove(at);
        if let Some((_, other)) = overtaken {
            let other = items.get(&other).map_or(0, |i| i.name);
            ensure!(
                false,
                "C9",
                "item #{name} starts before item #{other}, which was queued earlier in pool {pool}"
            );
        }
        Ok(())
    }

    fn ended(&mut self, s: &Seen) -> Verdict {
        let (e, pool) = (&s.event, s.event.head.arg);
        let item = self.items.entry(e.a).or_default();
        let (name, before) = (item.name, *item);
        let running = item.running.take();
        ensure!(
            running.is_some_and(|r| r.pool == pool),
            "7.14",
            "item #{name} ends in pool {pool}, but it is {before}"
        );
        let queue = running.map_or(0, |r| r.queue);
        self.one_less(queue, pool, name)
    }

    fn cancelled(&mut self, s: &Seen) -> Verdict {
        let (e, pool) = (&s.event, s.event.head.arg);
        let item = self.items.entry(e.a).or_default();
        let (name, before) = (item.name, *item);
        let Some(p) = item.pending.take().filter(|p| p.pool == pool) else {
            ensure!(
                false,
                "7.14",
                "item #{name} is cancelled in pool {pool}, but it is {before}"
            );
            return Ok(());
        };
        let share = self.shares.entry((p.queue, pool)).or_default();
        if p.active {
            share.listed.retain(|&(seq, _)| seq != p.seq);
            return self.one_less(p.queue, pool, name);
        }
        share.inactive.retain(|&(seq, _)| seq != p.seq);
        Ok(())
    }

    fn one_less(&mut self, queue: u64, pool: u32, name: u32) -> Verdict {
        // A queue may be gone before its last item's end is told.
        if let Some(share) = self.shares.get_mut(&(queue, pool)) {
            ensure!(
                share.active > 0,
                "7.3",
                "item #{name} gives a slot back that nobody had"
            );
            share.active -= 1;
            self.limits.one_less(queue, share.node);
        }
        Ok(())
    }

    /// Queue `queue` is gone: nothing of it may be pending or running (I10).
    fn left_behind(&self, queue: u64, names: &mut Names) -> Verdict {
        let left = self.earlier(queue, u64::MAX);
        if let Some(i) = left.min_by_key(|i| i.name) {
            ensure!(
                false,
                "I10",
                "queue #{} is gone, and its item #{} is {i}",
                names.of(queue),
                i.name
            );
        }
        Ok(())
    }

    /// `bytes` at `address` are free: an item there must be idle (B8).
    pub(crate) fn freed(&self, address: u64, bytes: u64) -> Verdict {
        let block = address..address + bytes;
        let inside = |(at, _): &(&u64, &Item)| block.contains(*at);
        if let Some((_, i)) = self.items.iter().find(inside) {
            ensure!(false, "B8", "item #{} is freed while it is {i}", i.name);
        }
        Ok(())
    }

    /// The idle item at `address` may be freed, and another one be there next.
    fn forget_idle(&mut self, address: u64, names: &mut Names) {
        let idle = |i: &Item| i.pending.is_none() && i.running.is_none();
        if self.items.get(&address).is_some_and(idle) {
            self.items.remove(&address);
            names.forget(address);
        }
    }
}

impl Share {
    /// An item got a slot.
    fn one_more(&mut self, s: &Seen, name: u32, limits: &mut Limits) -> Verdict {
        self.active += 1;
        let head = s.event.head;
        self.node = head.flags >> Kind::NODE_SHIFT;
        if self.node != 0 {
            return limits.one_more(s.event.b, self.node, u32::from(head.small), name);
        }
        ensure!(
            head.small == u16::MAX || self.active <= u32::from(head.small),
            "7.3",
            "item #{name} is active number {} of {} in pool {}",
            self.active,
            head.small,
            head.arg
        );
        Ok(())
    }
}
