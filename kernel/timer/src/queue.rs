//! A queue of timers ordered by deadline, first armed first among equal ones.
//!
//! A timer wheel arms in constant time, but rounds deadlines, and finding the next one on a
//! tickless machine means scanning slots. A binary heap finds it at once, but cancelling (what
//! most timeouts end with) needs an index kept inside the moved elements. The balanced tree is
//! O(log n) for everything, exact, and caches its first node: an idle core asks only for that.
//!
//! Most timers are timeouts, and most timeouts are cancelled or put off soon, before many others were
//! armed. So the last few wait in a ring, in the order of arming: going in and out is constant there, and
//! asking for the earliest is a look at each. Where there is no room the older half makes way and goes into
//! the tree, so that this is seldom. The tree puts a node behind those equal to it, and whatever is in the
//! tree was armed before all that is in the ring: that keeps the order of arming.
//!
//! Invariant: a node is armed exactly while it is in the tree or in the ring, and says where. No loop is
//! longer than O(log n).

use links::{Arena, Handle, Tree, TreeLinks, TreeNode};
use machine::Instant;

use crate::recent::{RECENT, Recent, Seat};

/// Where a timer is that has no seat in the ring.
const NOWHERE: Seat = u8::MAX;
const IN_TREE: Seat = RECENT;

/// The part of a timer that the queue needs.
#[derive(Debug)]
pub struct TimerNode {
    links: TreeLinks<Self>,
    at: Instant,
    seat: Seat,
}

/// Armed timers of one core.
#[derive(Debug)]
pub struct TimerQueue<A: Arena<TimerNode>> {
    arena: A,
    recent: Recent,
    tree: Tree<TimerNode>,
    /// Timers in the tree.
    settled: usize,
}

impl TimerNode {
    /// A timer that is not armed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            links: TreeLinks::new(()),
            at: Instant::ZERO,
            seat: NOWHERE,
        }
    }

    /// Whether the timer is armed.
    #[inline(always)]
    #[must_use]
    pub const fn is_armed(&self) -> bool {
        self.seat != NOWHERE
    }

    /// The time the timer was last armed for.
    #[inline(always)]
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.at
    }
}

impl Default for TimerNode {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeNode for TimerNode {
    type Summary = ();

    #[inline(always)]
    fn tree_links(&self) -> &TreeLinks<Self> {
        &self.links
    }

    #[inline(always)]
    fn tree_links_mut(&mut self) -> &mut TreeLinks<Self> {
        &mut self.links
    }

    #[inline(always)]
    fn before(&self, other: &Self) -> bool {
        self.at < other.at
    }

    #[inline(always)]
    fn summarize(&self, _left: Option<()>, _right: Option<()>) {}
}

impl<A: Arena<TimerNode>> TimerQueue<A> {
    /// An empty queue.
    #[must_use]
    pub const fn new(arena: A) -> Self {
        Self {
            arena,
            recent: Recent::new(),
            tree: Tree::new(),
            settled: 0,
        }
    }

    /// Arms a timer for `at`; an armed one moves there (behind others with the same deadline). If that
    /// is earlier than all others, the hardware has to be programmed.
    #[inline(always)]
    pub fn arm(&mut self, h: Handle<TimerNode>, at: Instant) {
        let node = self.arena.get_mut(h);
        if node.is_armed() {
            if self.recent.is_last(node.seat) {
                // Nobody was armed after it: it keeps its seat.
                node.at = at;
                return;
            }
            self.cancel(h);
        }
        if !self.arm_quickly(h, at) {
            self.settle();
            let now = self.arm_quickly(h, at);
            debug_assert!(now, "neither is it armed nor is there no room");
        }
    }

    /// As [`Self::arm`], in the usual case: the timer is not armed, and there is room in the ring. False:
    /// nothing happened.
    #[inline(always)]
    pub fn arm_quickly(&mut self, h: Handle<TimerNode>, at: Instant) -> bool {
        let node = self.arena.get_mut(h);
        if node.is_armed() {
            return false;
        }
        let Some(seat) = self.recent.sit(h) else {
            return false;
        };
        node.at = at;
        node.seat = seat;
        true
    }

    /// The older half of the ring goes into the tree.
    #[inline(never)]
    fn settle(&mut self) {
        for _ in 0..RECENT / 2 {
            if let Some(h) = self.recent.oldest() {
                let node = self.arena.get_mut(h);
                let seat = core::mem::replace(&mut node.seat, IN_TREE);
                self.recent.rise(seat);
                self.tree.insert(&mut self.arena, h);
                self.settled += 1;
            }
        }
    }

    /// Disarms a timer; whether it was armed.
    #[inline(always)]
    pub fn cancel(&mut self, h: Handle<TimerNode>) -> bool {
        let node = self.arena.get_mut(h);
        let seat = node.seat;
        if seat >= RECENT {
            return seat == IN_TREE && self.uproot(h);
        }
        node.seat = NOWHERE;
        self.recent.rise(seat);
        true
    }

    /// Disarms a timer that is in the tree; true.
    #[inline(never)]
    fn uproot(&mut self, h: Handle<TimerNode>) -> bool {
        self.arena.get_mut(h).seat = NOWHERE;
        self.tree.remove(&mut self.arena, h);
        self.settled -= 1;
        true
    }

    /// Disarms and returns the earliest timer whose deadline is not after `now`.
    pub fn pop_expired(&mut self, now: Instant) -> Option<Handle<TimerNode>> {
        let first = self.first()?;
        if self.arena.get(first).at > now {
            return None;
        }
        self.cancel(first);
        Some(first)
    }

    /// The earliest timer: the one armed first of those with the earliest deadline.
    #[inline]
    fn first(&self) -> Option<Handle<TimerNode>> {
        let mut first = self.tree.first();
        for h in self.recent.iter() {
            if first.is_none_or(|first| self.arena.get(h).at < self.arena.get(first).at) {
                first = Some(h);
            }
        }
        first
    }

    /// The earliest deadline.
    #[inline]
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.first().map(|h| self.arena.get(h).at)
    }

    /// Whether a timer is armed.
    #[inline(always)]
    #[must_use]
    pub fn is_armed(&self, h: Handle<TimerNode>) -> bool {
        self.arena.get(h).is_armed()
    }

    /// Number of armed timers.
    #[inline(always)]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.settled + self.recent.len()
    }

    /// Whether no timer is armed.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The arena.
    #[inline(always)]
    pub const fn arena(&self) -> &A {
        &self.arena
    }

    /// The arena, to add timers. Armed ones must not be replaced.
    #[inline(always)]
    pub const fn arena_mut(&mut self) -> &mut A {
        &mut self.arena
    }

    /// Counts again: the armed timers of the tree come in order of their deadlines and are as many as was
    /// counted, and every timer is where it says.
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn check(&self) -> Result<(), &'static str> {
        const ELSEWHERE: &str = "a timer is not where it says";
        let (mut n, mut last) = (0, Instant::ZERO);
        let mut at = self.tree.first();
        while let Some(h) = at {
            let node = self.arena.get(h);
            if node.at < last {
                return Err("a timer comes before an earlier one");
            }
            if node.seat != IN_TREE {
                return Err(ELSEWHERE);
            }
            (n, last) = (n + 1, node.at);
            at = self.tree.next(&self.arena, h);
        }
        if n != self.settled {
            return Err("the number of armed timers is wrong");
        }
        let says = |h| {
            let seat = self.arena.get(h).seat;
            seat < RECENT && self.recent.at(seat) == Some(h)
        };
        let ring = self.recent.len();
        if self.recent.iter().count() == ring && self.recent.iter().all(says) {
            Ok(())
        } else {
            Err(ELSEWHERE)
        }
    }

    /// Checks every invariant in O(n): for tests and models.
    ///
    /// # Panics
    ///
    /// If an invariant is broken.
    pub fn assert_valid(&self) {
        let n = self.tree.assert_valid(&self.arena);
        assert_eq!(n, self.settled, "wrong count");
        assert_eq!(self.check(), Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use links::Slab;

    use super::*;

    type Queue = TimerQueue<Slab<TimerNode>>;

    /// Armed timers, of which the first four are in the tree, and what `break_it` does to them.
    fn check(
        break_it: impl FnOnce(&mut Queue, [Handle<TimerNode>; 11]),
    ) -> Result<(), &'static str> {
        let mut slab = Slab::new();
        let all = [0; 11].map(|_| slab.insert(TimerNode::new()));
        let mut queue = TimerQueue::new(slab);
        for (n, h) in all.into_iter().enumerate() {
            queue.arm(h, Instant::from_nanos(10 * n as u64));
        }
        assert_eq!((queue.settled, queue.len()), (4, 11));
        break_it(&mut queue, all);
        queue.check()
    }

    #[test]
    fn check_finds_what_is_broken_and_nothing_else() {
        assert_eq!(check(|_, _| ()), Ok(()));
        assert_eq!(check(|q, all| assert!(q.cancel(all[1]))), Ok(()));
        assert_eq!(check(|q, all| assert!(q.cancel(all[9]))), Ok(()));
        let wrong = [
            check(|q, _| q.settled = 3),
            check(|q, all| q.arena.get_mut(all[1]).at = Instant::from_nanos(21)),
            check(|q, all| q.arena.get_mut(all[2]).at = Instant::ZERO),
            check(|q, all| q.arena.get_mut(all[2]).seat = 2),
            check(|q, all| q.arena.get_mut(all[9]).seat = IN_TREE),
            check(|q, all| q.arena.get_mut(all[9]).seat = NOWHERE),
            check(|q, all| q.recent.replace(0, Some(all[0]))),
            check(|q, _| q.recent.replace(0, None)),
        ];
        const ELSEWHERE: &str = "a timer is not where it says";
        assert_eq!(
            wrong.map(|w| w.expect_err("a break that nobody finds")),
            [
                "the number of armed timers is wrong",
                "a timer comes before an earlier one",
                "a timer comes before an earlier one",
                ELSEWHERE,
                ELSEWHERE,
                ELSEWHERE,
                ELSEWHERE,
                ELSEWHERE,
            ]
        );
    }
}
