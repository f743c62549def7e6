//! Containers for things that live elsewhere: no operation allocates.
//!
//! A runqueue holds threads, a timer queue timers, a worker pool work items; all of these exist
//! before they are queued and are owned by somebody else. So the containers store [`Handle`]s and
//! reach the nodes through an [`Arena`]. Policy crates stay free of pointers and `unsafe`: in
//! their tests the arena is a [`Slab`] (a vector), in the executive it is [`Direct`], where a
//! handle is the node's address and a look-up costs no instruction.
#![no_std]

extern crate alloc;

mod arena;
mod list;
mod tree;
mod tree_node;

pub use arena::{Arena, Direct, Handle, Slab};
pub use list::{FOREIGN_SCAN, Iter, Linked, List, ListLinks};
pub use tree::Tree;
pub use tree_node::{TreeLinks, TreeNode};
