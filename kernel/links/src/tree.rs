//! An intrusive balanced search tree whose nodes also know a summary of their subtree.
//!
//! The EEVDF runqueue asks for the earliest deadline among the entities whose virtual runtime is
//! small enough: a tree ordered by deadline answers that in O(log n) if every node knows the least
//! virtual runtime below it. `BTreeMap` allocates and has no summaries; a heap cannot remove from
//! its middle without an index; a sorted list is linear.
//!
//! AVL: heights of siblings differ by at most one, so the depth is below 1.45 log2(n + 2). The
//! alternative, a red-black tree, saves the height but rebalances by more cases; since a summary
//! has to be recomputed from both children on the way up anyway, the heights are at hand for
//! nothing, and one loop ([`Tree`]'s `retrace`) does both and stops as soon as nothing changes.
//! No recursion, no allocation; removal relinks nodes instead of moving their contents, because a
//! handle may be an address.
//!
//! Invariants (checked by [`Tree::assert_valid`]): in-order traversal is sorted, equal nodes stay
//! in order of insertion; height = 1 + max of the children's; summaries are exact; `first` is the
//! leftmost node; a node outside every tree has height 0. Debug builds catch a second insertion
//! and the removal of a node of another tree.
//!
//! Reference: Adelson-Velsky and Landis 1962; Knuth TAOCP 3, 6.2.3.

use core::fmt;
use core::marker::PhantomData;

use crate::tree_node::TreeNode;
use crate::{Arena, Handle};

/// A tree of `T`s linked through their links of kind `K`.
pub struct Tree<T, K = ()> {
    root: Option<Handle<T>>,
    first: Option<Handle<T>>,
    kind: PhantomData<fn() -> K>,
}

impl<T: TreeNode<K>, K> Tree<T, K> {
    /// An empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            root: None,
            first: None,
            kind: PhantomData,
        }
    }

    /// Whether nothing is in the tree.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The root, where a guided descent starts.
    #[inline(always)]
    #[must_use]
    pub const fn root(&self) -> Option<Handle<T>> {
        self.root
    }

    /// The first node in order, in constant time.
    #[inline(always)]
    #[must_use]
    pub const fn first(&self) -> Option<Handle<T>> {
        self.first
    }

    /// The last node in order, in O(log n).
    #[must_use]
    pub fn last<A: Arena<T>>(&self, arena: &A) -> Option<Handle<T>> {
        let mut at = self.root?;
        while let Some(right) = arena.get(at).tree_links().right {
            at = right;
        }
        Some(at)
    }

    /// The summary of the whole tree.
    #[inline]
    #[must_use]
    pub fn summary<A: Arena<T>>(&self, arena: &A) -> Option<T::Summary> {
        self.root.map(|root| arena.get(root).tree_links().summary)
    }

    /// The node that follows `h`, which is in this tree, in order.
    #[must_use]
    pub fn next<A: Arena<T>>(&self, arena: &A, h: Handle<T>) -> Option<Handle<T>> {
        let links = arena.get(h).tree_links();
        debug_assert!(links.is_linked(), "next of a node that is in no tree");
        if let Some(mut at) = links.right {
            while let Some(left) = arena.get(at).tree_links().left {
                at = left;
            }
            return Some(at);
        }
        let (mut child, mut up) = (h, links.parent);
        while let Some(parent) = up {
            let links = arena.get(parent).tree_links();
            if links.left == Some(child) {
                break;
            }
            (child, up) = (parent, links.parent);
        }
        up
    }

    /// The node that precedes `h`, which is in this tree, in order.
    #[must_use]
    pub fn prev<A: Arena<T>>(&self, arena: &A, h: Handle<T>) -> Option<Handle<T>> {
        let links = arena.get(h).tree_links();
        debug_assert!(links.is_linked(), "prev of a node that is in no tree");
        if let Some(mut at) = links.left {
            while let Some(right) = arena.get(at).tree_links().right {
                at = right;
            }
            return Some(at);
        }
        let (mut child, mut up) = (h, links.parent);
        while let Some(parent) = up {
            let links = arena.get(parent).tree_links();
            if links.right == Some(child) {
                break;
            }
            (child, up) = (parent, links.parent);
        }
        up
    }

    /// Inserts `h`, which is in no tree of this kind, behind all nodes equal to it.
    #[inline(always)]
    pub fn insert<A: Arena<T>>(&mut self, arena: &mut A, h: Handle<T>) {
        debug_assert!(
            !arena.get(h).tree_links().is_linked(),
            "insertion of a node that is in a tree"
        );
        let summary = arena.get(h).summarize(None, None);
        // Whoever is in no tree has neither parent nor children.
        let links = arena.get_mut(h).tree_links_mut();
        links.height = 1;
        links.summary = summary;
        match self.root {
            None => (self.root, self.first) = (Some(h), Some(h)),
            Some(root) => self.insert_below(arena, root, h),
        }
    }

    /// Hangs `h` where it belongs in the tree with this root.
    #[inline(never)]
    fn insert_below<A: Arena<T>>(&mut self, arena: &mut A, root: Handle<T>, h: Handle<T>) {
        let (mut parent, mut is_first) = (root, true);
        let to_left = loop {
            let other = arena.get(parent);
            let to_left = arena.get(h).before(other);
            is_first &= to_left;
            let links = other.tree_links();
            let below = if to_left { links.left } else { links.right };
            match below {
                Some(below) => parent = below,
                None => break to_left,
            }
        };
        if is_first {
            self.first = Some(h);
        }
        arena.get_mut(h).tree_links_mut().parent = Some(parent);
        let links = arena.get_mut(parent).tree_links_mut();
        if to_left {
            links.left = Some(h);
        } else {
            links.right = Some(h);
        }
        self.retrace(arena, Some(parent), None);
    }

    /// Whether `h` is all that is in the tree.
    #[inline(always)]
    #[must_use]
    pub fn is_only<A: Arena<T>>(&self, arena: &A, h: Handle<T>) -> bool {
        self.root == Some(h) && arena.get(h).tree_links().height == 1
    }

    /// Takes `h`, which is in this tree, out.
    #[inline(always)]
    pub fn remove<A: Arena<T>>(&mut self, arena: &mut A, h: Handle<T>) {
        debug_assert!(
            self.contains(arena, h),
            "removal of a node that is not in this tree"
        );
        if self.is_only(arena, h) {
            arena.get_mut(h).tree_links_mut().height = 0;
            (self.root, self.first) = (None, None);
        } else {
            self.remove_of_many(arena, h);
        }
    }

    #[inline(never)]
    fn remove_of_many<A: Arena<T>>(&mut self, arena: &mut A, h: Handle<T>) {
        let links = arena.get_mut(h).tree_links_mut();
        let (parent, left, right, height) = (links.parent, links.left, links.right, links.height);
        if self.first == Some(h) {
            // Without a left child, balance allows a single node on the right.
            self.first = right.or(parent);
        }
        links.height = 0;
        links.parent = None;
        links.left = None;
        links.right = None;
        let (Some(left), Some(right)) = (left, right) else {
            let child = left.or(right);
            self.replace_child(arena, parent, h, child);
            self.retrace(arena, parent, None);
            return;
        };
        // Two children: the successor, leftmost on the right side, takes the place of `h`.
        let mut successor = right;
        while let Some(at) = arena.get(successor).tree_links().left {
            successor = at;
        }
        let start = if successor == right {
            successor
        } else {
            let links = arena.get(successor).tree_links();
            let (hole, orphan) = (links.parent, links.right);
            self.replace_child(arena, hole, successor, orphan);
            arena.get_mut(successor).tree_links_mut().right = Some(right);
            arena.get_mut(right).tree_links_mut().parent = Some(successor);
            hole.unwrap_or(successor)
        };
        let links = arena.get_mut(successor).tree_links_mut();
        links.left = Some(left);
        links.height = height;
        arena.get_mut(left).tree_links_mut().parent = Some(successor);
        self.replace_child(arena, parent, h, Some(successor));
        self.retrace(arena, Some(start), Some(successor));
    }

    /// Recomputes the summaries after something `h` contributes to them has changed. What decides
    /// the order must not change while a node is linked.
    pub fn refresh<A: Arena<T>>(&mut self, arena: &mut A, h: Handle<T>) {
        debug_assert!(
            self.contains(arena, h),
            "refresh of a node that is not in this tree"
        );
        self.retrace(arena, Some(h), None);
    }

    /// Whether `h` is in this tree, in O(log n).
    #[must_use]
    pub fn contains<A: Arena<T>>(&self, arena: &A, h: Handle<T>) -> bool {
        let mut at = h;
        while let Some(parent) = arena.get(at).tree_links().parent {
            at = parent;
        }
        arena.get(h).tree_links().is_linked() && self.root == Some(at)
    }

    /// Restores heights, balance and summaries from `at` upwards; stops where nothing changes, but
    /// not below the parent of `through` (whose summary was still computed from another node).
    fn retrace<A: Arena<T>>(
        &mut self,
        arena: &mut A,
        mut at: Option<Handle<T>>,
        through: Option<Handle<T>>,
    ) {
        let mut forced = through.is_some();
        while let Some(h) = at {
            let was_through = through == Some(h);
            let node = arena.get(h);
            let links = node.tree_links();
            let (height, parent) = (links.height, links.parent);
            let (left, left_summary) = side(arena, links.left);
            let (right, right_summary) = side(arena, links.right);
            let changed = if left > right + 1 {
                self.rotate_from_left(arena, h);
                true
            } else if right > left + 1 {
                self.rotate_from_right(arena, h);
                true
            } else {
                let summary = node.summarize(left_summary, right_summary);
                let now = 1 + left.max(right);
                let changed = height != now || links.summary != summary;
                let links = arena.get_mut(h).tree_links_mut();
                links.height = now;
                links.summary = summary;
                changed
            };
            if was_through {
                forced = false;
            } else if !changed && !forced {
                return;
            }
            at = parent;
        }
    }

    /// Makes the left child of `h`, which is two higher than the right one, the local root.
    #[inline(never)]
    fn rotate_from_left<A: Arena<T>>(&mut self, arena: &mut A, h: Handle<T>) {
        let Some(l) = arena.get(h).tree_links().left else {
            return;
        };
        let links = arena.get(l).tree_links();
        if side(arena, links.right).0 > side(arena, links.left).0 {
            self.rotate_left(arena, l);
        }
        self.rotate_right(arena, h);
    }

    /// Makes the right child of `h`, which is two higher than the left one, the local root.
    #[inline(never)]
    fn rotate_from_right<A: Arena<T>>(&mut self, arena: &mut A, h: Handle<T>) {
        let Some(r) = arena.get(h).tree_links().right else {
            return;
        };
        let links = arena.get(r).tree_links();
        if side(arena, links.left).0 > side(arena, links.right).0 {
            self.rotate_right(arena, r);
        }
        self.rotate_left(arena, h);
    }

    fn rotate_left<A: Arena<T>>(&mut self, arena: &mut A, h: Handle<T>) {
        let links = arena.get(h).tree_links();
        let (parent, Some(up)) = (links.parent, links.right) else {
            return;
        };
        let inner = arena.get(up).tree_links().left;
        self.replace_child(arena, parent, h, Some(up));
        arena.get_mut(up).tree_links_mut().left = Some(h);
        let links = arena.get_mut(h).tree_links_mut();
        links.parent = Some(up);
        links.right = inner;
        if let Some(inner) = inner {
            arena.get_mut(inner).tree_links_mut().parent = Some(h);
        }
        pull_up(arena, h);
        pull_up(arena, up);
    }

    fn rotate_right<A: Arena<T>>(&mut self, arena: &mut A, h: Handle<T>) {
        let links = arena.get(h).tree_links();
        let (parent, Some(up)) = (links.parent, links.left) else {
            return;
        };
        let inner = arena.get(up).tree_links().right;
        self.replace_child(arena, parent, h, Some(up));
        arena.get_mut(up).tree_links_mut().right = Some(h);
        let links = arena.get_mut(h).tree_links_mut();
        links.parent = Some(up);
        links.left = inner;
        if let Some(inner) = inner {
            arena.get_mut(inner).tree_links_mut().parent = Some(h);
        }
        pull_up(arena, h);
        pull_up(arena, up);
    }

    /// Puts `new` where `old` hangs below `parent` (or at the root).
    fn replace_child<A: Arena<T>>(
        &mut self,
        arena: &mut A,
        parent: Option<Handle<T>>,
        old: Handle<T>,
        new: Option<Handle<T>>,
    ) {
        match parent {
            None => self.root = new,
            Some(p) => {
                let links = arena.get_mut(p).tree_links_mut();
                if links.left == Some(old) {
                    links.left = new;
                } else {
                    links.right = new;
                }
            }
        }
        if let Some(new) = new {
            arena.get_mut(new).tree_links_mut().parent = parent;
        }
    }

    /// Checks every invariant in O(n) and returns the number of nodes: for tests and models.
    ///
    /// # Panics
    ///
    /// If an invariant is broken.
    pub fn assert_valid<A: Arena<T>>(&self, arena: &A) -> usize {
        let mut at = self.root;
        while let Some(left) = at.and_then(|h| arena.get(h).tree_links().left) {
            at = Some(left);
        }
        assert!(
            self.first == at,
            "the cached first node is not the leftmost one"
        );
        let mut count = 0;
        let mut last: Option<Handle<T>> = None;
        while let Some(h) = at {
            count += 1;
            let node = arena.get(h);
            let links = node.tree_links();
            let (left, left_summary) = side(arena, links.left);
            let (right, right_summary) = side(arena, links.right);
            assert!(left.abs_diff(right) <= 1, "unbalanced node");
            assert!(links.height == 1 + left.max(right), "wrong height");
            assert!(
                links.summary == node.summarize(left_summary, right_summary),
                "wrong summary"
            );
            for child in [links.left, links.right].into_iter().flatten() {
                assert!(
                    arena.get(child).tree_links().parent == Some(h),
                    "wrong parent"
                );
            }
            assert!(
                last.is_none_or(|last| !node.before(arena.get(last))),
                "wrong order"
            );
            last = at;
            at = self.next(arena, h);
        }
        count
    }
}

/// Height and summary of a subtree.
#[inline(always)]
fn side<T: TreeNode<K>, A: Arena<T>, K>(
    arena: &A,
    h: Option<Handle<T>>,
) -> (u8, Option<T::Summary>) {
    match h {
        None => (0, None),
        Some(h) => {
            let links = arena.get(h).tree_links();
            (links.height, Some(links.summary))
        }
    }
}

/// Recomputes height and summary of `h` from its children.
#[inline(always)]
fn pull_up<T: TreeNode<K>, A: Arena<T>, K>(arena: &mut A, h: Handle<T>) {
    let node = arena.get(h);
    let links = node.tree_links();
    let (left, left_summary) = side(arena, links.left);
    let (right, right_summary) = side(arena, links.right);
    let summary = node.summarize(left_summary, right_summary);
    let links = arena.get_mut(h).tree_links_mut();
    links.height = 1 + left.max(right);
    links.summary = summary;
}

impl<T: TreeNode<K>, K> Default for Tree<T, K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, K> fmt::Debug for Tree<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "root {:?} first {:?}", self.root, self.first)
    }
}
