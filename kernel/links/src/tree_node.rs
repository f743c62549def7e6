//! What an object brings along to be in a tree: links, an order and a summary.
//!
//! The fields are the tree's alone; everybody else sees them through accessors that cannot break
//! an invariant. Recursion over children is the user's business (EEVDF descends by summary), so
//! the accessors for reading are public.

use core::fmt;
use core::marker::PhantomData;

use crate::Handle;

/// What a node carries to be in a [`Tree`](crate::Tree): `S` is its summary, `K` tells several link fields of
/// one object apart.
pub struct TreeLinks<T, S = (), K = ()> {
    pub(crate) parent: Option<Handle<T>>,
    pub(crate) left: Option<Handle<T>>,
    pub(crate) right: Option<Handle<T>>,
    /// Height of the subtree below and including this node, 0 when in no tree.
    pub(crate) height: u8,
    pub(crate) summary: S,
    pub(crate) kind: PhantomData<fn() -> K>,
}

/// An object that can be in a [`Tree<Self, K>`](crate::Tree).
pub trait TreeNode<K = ()>: Sized {
    /// What a node knows about its subtree; `()` when nothing.
    type Summary: Copy + PartialEq;

    /// The links for trees of kind `K`.
    fn tree_links(&self) -> &TreeLinks<Self, Self::Summary, K>;
    /// The links for trees of kind `K`, to change.
    fn tree_links_mut(&mut self) -> &mut TreeLinks<Self, Self::Summary, K>;
    /// Whether this node must come before `other` (a strict order, constant while linked).
    fn before(&self, other: &Self) -> bool;
    /// The summary of this node and its subtrees.
    fn summarize(&self, left: Option<Self::Summary>, right: Option<Self::Summary>)
    -> Self::Summary;
}

impl<T, S, K> TreeLinks<T, S, K> {
    /// Links of a node that is in no tree.
    #[must_use]
    pub const fn new(summary: S) -> Self {
        Self {
            parent: None,
            left: None,
            right: None,
            height: 0,
            summary,
            kind: PhantomData,
        }
    }

    /// Whether the node is in a tree.
    #[inline(always)]
    #[must_use]
    pub const fn is_linked(&self) -> bool {
        self.height != 0
    }

    /// The summary of the node's subtree, meaningful while linked.
    #[inline(always)]
    #[must_use]
    pub const fn summary(&self) -> &S {
        &self.summary
    }

    /// The left child: everything that comes before this node in its subtree.
    #[inline(always)]
    #[must_use]
    pub const fn left(&self) -> Option<Handle<T>> {
        self.left
    }

    /// The right child.
    #[inline(always)]
    #[must_use]
    pub const fn right(&self) -> Option<Handle<T>> {
        self.right
    }
}

impl<T, S: fmt::Debug, K> fmt::Debug for TreeLinks<T, S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "^{:?} <{:?} >{:?} height={} {:?}",
            self.parent, self.left, self.right, self.height, self.summary
        )
    }
}
