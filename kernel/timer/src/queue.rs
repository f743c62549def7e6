//! A queue of timers ordered by deadline, first armed first among equal ones.
//!
//! A timer wheel arms in constant time, but rounds deadlines, and finding the next one on a
//! tickless machine means scanning slots. A binary heap finds it at once, but cancelling (what
//! most timeouts end with) needs an index kept inside the moved elements. The balanced tree is
//! O(log n) for everything, exact, and caches its first node: an idle core asks only for that.
//!
//! The tree puts a node behind those equal to it, which is the order of arming.
//!
//! Invariant: a node is armed exactly while it is in the tree. No loop is longer than O(log n).

use links::{Arena, Handle, Tree, TreeLinks, TreeNode};
use machine::Instant;

/// The part of a timer that the queue needs.
#[derive(Debug)]
pub struct TimerNode {
    links: TreeLinks<Self>,
    at: Instant,
}

/// Armed timers of one core.
#[derive(Debug)]
pub struct TimerQueue<A: Arena<TimerNode>> {
    arena: A,
    tree: Tree<TimerNode>,
    len: usize,
}

impl TimerNode {
    /// A timer that is not armed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            links: TreeLinks::new(()),
            at: Instant::ZERO,
        }
    }

    /// Whether the timer is armed.
    #[inline(always)]
    #[must_use]
    pub const fn is_armed(&self) -> bool {
        self.links.is_linked()
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
            tree: Tree::new(),
            len: 0,
        }
    }

    /// Arms a timer for `at`; an armed one moves there (behind others with the same deadline).
    /// True when it is now the earliest, so that the hardware has to be programmed.
    ///
    /// When the moved timer was the earliest and is not any more, the hardware may be left as it
    /// is: it fires once for nothing.
    pub fn arm(&mut self, h: Handle<TimerNode>, at: Instant) -> bool {
        self.cancel(h);
        self.arena.get_mut(h).at = at;
        self.len += 1;
        self.tree.insert(&mut self.arena, h);
        self.tree.first() == Some(h)
    }

    /// Disarms a timer; whether it was armed.
    pub fn cancel(&mut self, h: Handle<TimerNode>) -> bool {
        if !self.is_armed(h) {
            return false;
        }
        self.tree.remove(&mut self.arena, h);
        self.len -= 1;
        true
    }

    /// Disarms and returns the earliest timer whose deadline is not after `now`.
    pub fn pop_expired(&mut self, now: Instant) -> Option<Handle<TimerNode>> {
        let first = self.tree.first()?;
        if self.arena.get(first).at > now {
            return None;
        }
        self.tree.remove(&mut self.arena, first);
        self.len -= 1;
        Some(first)
    }

    /// The earliest deadline.
    #[inline(always)]
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.tree.first().map(|h| self.arena.get(h).at)
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
        self.len
    }

    /// Whether no timer is armed.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
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

    /// Counts again: the armed timers come in order of their deadlines, and are as many as `len`.
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn check(&self) -> Result<(), &'static str> {
        let (mut n, mut last) = (0, Instant::ZERO);
        let mut at = self.tree.first();
        while let Some(h) = at {
            let node = self.arena.get(h);
            if node.at < last {
                return Err("a timer comes before an earlier one");
            }
            (n, last) = (n + 1, node.at);
            at = self.tree.next(&self.arena, h);
        }
        if n == self.len {
            Ok(())
        } else {
            Err("the number of armed timers is wrong")
        }
    }

    /// Checks every invariant in O(n): for tests and models.
    ///
    /// # Panics
    ///
    /// If an invariant is broken.
    pub fn assert_valid(&self) {
        assert_eq!(self.tree.assert_valid(&self.arena), self.len, "wrong count");
    }
}

#[cfg(test)]
mod tests {
    use links::Slab;

    use super::*;

    type Queue = TimerQueue<Slab<TimerNode>>;

    /// Three armed timers, and what `break_it` does to them.
    fn check(
        break_it: impl FnOnce(&mut Queue, [Handle<TimerNode>; 3]),
    ) -> Result<(), &'static str> {
        let mut slab = Slab::new();
        let all = [0; 3].map(|_| slab.insert(TimerNode::new()));
        let mut queue = TimerQueue::new(slab);
        for (n, h) in all.into_iter().enumerate() {
            let _ = queue.arm(h, Instant::from_nanos(10 * n as u64));
        }
        break_it(&mut queue, all);
        queue.check()
    }

    #[test]
    fn check_finds_what_is_broken_and_nothing_else() {
        assert_eq!(check(|_, _| ()), Ok(()));
        assert_eq!(check(|q, all| assert!(q.cancel(all[1]))), Ok(()));
        let wrong = [
            check(|q, _| q.len = 2),
            check(|q, all| q.arena.get_mut(all[1]).at = Instant::from_nanos(21)),
            check(|q, all| q.arena.get_mut(all[2]).at = Instant::ZERO),
        ];
        assert_eq!(
            wrong.map(|w| w.expect_err("a break that nobody finds")),
            [
                "the number of armed timers is wrong",
                "a timer comes before an earlier one",
                "a timer comes before an earlier one",
            ]
        );
    }
}
