//! The arena whose handles are addresses: nodes in cells, as the executive has them. Also the case
//! to run under Miri (`cargo miri test -p links --test direct`), with permissive provenance.
#![expect(
    unsafe_code,
    reason = "promises to the arena what the executive promises"
)]

use std::cell::UnsafeCell;

use links::{Arena, Direct, Handle, Linked, List, ListLinks, Tree, TreeLinks, TreeNode};

struct Node {
    list: ListLinks<Node>,
    tree: TreeLinks<Node, u32>,
    key: u32,
}

impl Linked for Node {
    fn list_links(&self) -> &ListLinks<Self> {
        &self.list
    }
    fn list_links_mut(&mut self) -> &mut ListLinks<Self> {
        &mut self.list
    }
}

impl TreeNode for Node {
    type Summary = u32;

    fn tree_links(&self) -> &TreeLinks<Self, u32> {
        &self.tree
    }
    fn tree_links_mut(&mut self) -> &mut TreeLinks<Self, u32> {
        &mut self.tree
    }
    fn before(&self, other: &Self) -> bool {
        self.key < other.key
    }
    fn summarize(&self, left: Option<u32>, right: Option<u32>) -> u32 {
        self.key.max(left.unwrap_or(0)).max(right.unwrap_or(0))
    }
}

#[test]
fn one_object_is_in_a_list_and_in_a_tree_by_its_address() {
    let cells: Vec<_> = (0..32u32)
        .map(|i| {
            let node = Node {
                list: ListLinks::new(),
                tree: TreeLinks::new(0),
                key: i * 37 % 32,
            };
            Box::new(UnsafeCell::new(node))
        })
        .collect();
    let handles: Vec<_> = cells
        .iter()
        .map(|cell| Handle::of(cell.get().cast_const()))
        .collect();
    // SAFETY: every handle names a live cell, and this test reaches the nodes through `arena` only
    // (the read below happens between its borrows).
    let mut arena = unsafe { Direct::<Node>::new() };
    let (mut list, mut tree) = (List::<Node>::new(), Tree::<Node>::new());
    for &h in &handles {
        list.push_front(&mut arena, h);
        tree.insert(&mut arena, h);
    }
    assert_eq!(tree.assert_valid(&arena), 32);
    assert_eq!(tree.summary(&arena), Some(31));
    // The owner may look at a node while the arena is not borrowed.
    // SAFETY: no reference into the cell exists now.
    let key = unsafe { (*cells[3].get()).key };
    assert_eq!(key, arena.get(handles[3]).key);
    for &h in handles.iter().step_by(2) {
        list.remove(&mut arena, h);
        tree.remove(&mut arena, h);
        tree.assert_valid(&arena);
    }
    let left: Vec<_> = handles.iter().copied().skip(1).step_by(2).rev().collect();
    assert_eq!(list.iter(&arena).collect::<Vec<_>>(), left);
    let mut keys = Vec::new();
    while let Some(first) = tree.first() {
        keys.push(arena.get(first).key);
        tree.remove(&mut arena, first);
    }
    assert!(keys.is_sorted() && keys.len() == 16);
    while list.pop_front(&mut arena).is_some() {}
    assert!(list.is_empty() && tree.is_empty());
}
