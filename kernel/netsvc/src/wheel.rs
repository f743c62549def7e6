//! When each connection is due: a timing wheel with lazy deadlines.
//!
//! A busy connection moves its deadline with every packet (delayed ACK, retransmission), nearly
//! always to a later time, and nearly always the deadline never fires. Moving a timer for each of
//! those costs more than the TCP work. So the wheel keeps the wish and the armed position apart: a
//! later wish changes one number, only an earlier one moves the node. A node that fires too early is
//! put where its wish says.
//!
//! One bucket is 2^22 ns (about 4 ms), which is fine for TCP's timers; there are 1,024, so a wish
//! farther than 4.3 s ahead is looked at again every 4.3 s. Every operation is O(1).

use alloc::vec::Vec;

use machine::Instant;

use crate::buffer::try_with_capacity;

const TICK_SHIFT: u32 = 22;
const BUCKETS: usize = 1024;
const NONE: u32 = u32::MAX;
const NEVER: u64 = u64::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    wish: Instant,
    /// Absolute tick of the bucket the node is in, or `NEVER`.
    tick: u64,
    next: u32,
    prev: u32,
}

/// Deadlines of a fixed number of slots.
#[derive(Debug)]
pub struct Wheel {
    nodes: Vec<Node>,
    heads: Vec<u32>,
    used: [u64; BUCKETS / 64],
    /// Every bucket before this tick is empty.
    cursor: u64,
    /// No node is armed before this tick.
    earliest: u64,
}

fn tick_of(at: Instant) -> u64 {
    (at.as_nanos() >> TICK_SHIFT) + 1
}

impl Wheel {
    /// A wheel for slots `0..slots`, or `None` when memory is out.
    #[must_use]
    pub fn new(slots: usize) -> Option<Self> {
        let mut nodes = try_with_capacity(slots)?;
        nodes.resize(
            slots,
            Node {
                wish: Instant::FOREVER,
                tick: NEVER,
                next: NONE,
                prev: NONE,
            },
        );
        // Not an array: a stack this large would pass through small thread stacks by value.
        let mut heads = try_with_capacity(BUCKETS)?;
        heads.resize(BUCKETS, NONE);
        Some(Self {
            nodes,
            heads,
            used: [0; BUCKETS / 64],
            cursor: 0,
            earliest: NEVER,
        })
    }

    /// Wishes to be told about `slot` at `at`; [`Instant::FOREVER`] for never.
    #[inline]
    pub fn set(&mut self, slot: usize, at: Instant) {
        let node = &mut self.nodes[slot];
        node.wish = at;
        if at != Instant::FOREVER && tick_of(at) < node.tick {
            self.unlink(slot);
            self.link(slot);
        }
    }

    /// The wish of `slot`.
    #[must_use]
    pub fn wish(&self, slot: usize) -> Instant {
        self.nodes[slot].wish
    }

    /// When to call [`Self::pop_due`] next; `FOREVER` when nothing is armed.
    #[inline]
    #[must_use]
    pub fn next(&self) -> Instant {
        if self.earliest == NEVER {
            Instant::FOREVER
        } else {
            Instant::from_nanos(self.earliest << TICK_SHIFT)
        }
    }

    /// Takes one slot whose wish has come; its wish becomes "never". Call until `None`.
    pub fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let today = now.as_nanos() >> TICK_SHIFT;
        loop {
            let tick = self.first_used()?;
            if tick > today {
                self.earliest = tick;
                return None;
            }
            self.cursor = tick;
            let slot = self.heads[tick as usize % BUCKETS] as usize;
            self.unlink(slot);
            if self.nodes[slot].wish <= now {
                self.nodes[slot].wish = Instant::FOREVER;
                return Some(slot);
            }
            if self.nodes[slot].wish != Instant::FOREVER {
                // Its bucket is after today, or a full turn ahead, so this loop ends.
                self.link(slot);
            }
        }
    }

    fn link(&mut self, slot: usize) {
        // All armed ticks stay within one turn of the wheel.
        let last = self.cursor + BUCKETS as u64 - 1;
        let tick = tick_of(self.nodes[slot].wish).clamp(self.cursor, last);
        let b = tick as usize % BUCKETS;
        let head = self.heads[b];
        let node = &mut self.nodes[slot];
        node.tick = tick;
        node.prev = NONE;
        node.next = head;
        if head != NONE {
            self.nodes[head as usize].prev = slot as u32;
        }
        self.heads[b] = slot as u32;
        self.used[b / 64] |= 1 << (b % 64);
        self.earliest = self.earliest.min(tick);
    }

    fn unlink(&mut self, slot: usize) {
        let Node {
            tick, next, prev, ..
        } = self.nodes[slot];
        if tick == NEVER {
            return;
        }
        let b = tick as usize % BUCKETS;
        if prev == NONE {
            self.heads[b] = next;
            if next == NONE {
                self.used[b / 64] &= !(1 << (b % 64));
            }
        } else {
            self.nodes[prev as usize].next = next;
        }
        if next != NONE {
            self.nodes[next as usize].prev = prev;
        }
        let node = &mut self.nodes[slot];
        node.tick = NEVER;
        node.next = NONE;
        node.prev = NONE;
    }

    /// The first tick at or after the cursor whose bucket is in use.
    fn first_used(&mut self) -> Option<u64> {
        let start = self.cursor as usize % BUCKETS;
        let words = BUCKETS / 64;
        for i in 0..=words {
            let w = (start / 64 + i) % words;
            let mut bits = self.used[w];
            if i == 0 {
                bits &= !0 << (start % 64);
            } else if i == words {
                bits &= !(!0 << (start % 64));
            }
            if bits != 0 {
                let b = w * 64 + bits.trailing_zeros() as usize;
                return Some(self.cursor + ((b + BUCKETS - start) % BUCKETS) as u64);
            }
        }
        self.earliest = NEVER;
        None
    }

    /// Moves an idle wheel's cursor up to `now`, so that the next deadline is not clamped to a turn
    /// that began long ago.
    pub fn advance(&mut self, now: Instant) {
        let today = now.as_nanos() >> TICK_SHIFT;
        if self.earliest > today && today > self.cursor {
            self.cursor = today;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: u64 = 1 << TICK_SHIFT;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_later_wish_does_not_move_the_node_and_fires_at_the_later_time() {
        let mut w = Wheel::new(2).unwrap();
        w.set(0, at(10));
        let armed = w.next();
        w.set(0, at(1_000));
        assert_eq!(w.next(), armed);
        assert_eq!(w.pop_due(at(20)), None);
        assert!(w.next() > at(900));
        assert_eq!(w.pop_due(at(1_010)), Some(0));
        assert_eq!(w.pop_due(at(1_010)), None);
        assert_eq!(w.next(), Instant::FOREVER);
    }

    proptest! {
        /// Every wish fires at the first visit not before its time, at most one tick late, however
        /// wishes are moved; and nothing fires early.
        #[test]
        fn fires_like_a_sorted_list(
            steps in proptest::collection::vec((0usize..8, 0u64..20_000, 0u64..1_500), 1..200),
        ) {
            let mut w = Wheel::new(8).unwrap();
            let mut oracle = [u64::MAX; 8];
            let mut now = 0u64;
            for (slot, delay, pass) in steps {
                let wish = now + delay * 1_000_000;
                w.advance(Instant::from_nanos(now));
                w.set(slot, if delay % 7 == 0 { Instant::FOREVER } else { Instant::from_nanos(wish) });
                oracle[slot] = if delay % 7 == 0 { u64::MAX } else { wish };
                let end = now + pass * 1_000_000;
                // Visit when the wheel asks for it, as the executive does.
                loop {
                    let next = w.next().as_nanos().max(now);
                    if next > end { break; }
                    now = next;
                    while let Some(s) = w.pop_due(Instant::from_nanos(now)) {
                        prop_assert!(oracle[s] <= now, "early");
                        prop_assert!(now - oracle[s] <= TICK, "late by {}", now - oracle[s]);
                        oracle[s] = u64::MAX;
                    }
                }
                now = end;
                prop_assert!(oracle.iter().all(|&o| o == u64::MAX || o + TICK >= now), "missed");
            }
        }
    }
}
