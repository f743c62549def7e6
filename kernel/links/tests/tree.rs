//! The tree against a sorted vector; every invariant after every step.

use links::{Arena, Handle, Slab, Tree, TreeLinks, TreeNode};
use proptest::prelude::*;

/// Ordered by `key`; the summary is the least `value` of the subtree and its size.
struct Node {
    links: TreeLinks<Node, (u32, u32)>,
    key: u8,
    value: u32,
}

impl TreeNode for Node {
    type Summary = (u32, u32);

    fn tree_links(&self) -> &TreeLinks<Self, (u32, u32)> {
        &self.links
    }
    fn tree_links_mut(&mut self) -> &mut TreeLinks<Self, (u32, u32)> {
        &mut self.links
    }
    fn before(&self, other: &Self) -> bool {
        self.key < other.key
    }
    fn summarize(&self, left: Option<(u32, u32)>, right: Option<(u32, u32)>) -> (u32, u32) {
        [left, right]
            .into_iter()
            .flatten()
            .fold((self.value, 1), |(min, n), side| {
                (min.min(side.0), n + side.1)
            })
    }
}

fn node(key: u8, value: u32) -> Node {
    Node {
        links: TreeLinks::new((0, 0)),
        key,
        value,
    }
}

fn height(tree: &Tree<Node>, slab: &Slab<Node>) -> usize {
    let mut deepest = 0;
    let mut stack: Vec<_> = tree.root().map(|root| (root, 1)).into_iter().collect();
    while let Some((h, depth)) = stack.pop() {
        deepest = deepest.max(depth);
        let links = slab.get(h).tree_links();
        stack.extend(
            links
                .left()
                .into_iter()
                .chain(links.right())
                .map(|c| (c, depth + 1)),
        );
    }
    deepest
}

fn assert_same(tree: &Tree<Node>, slab: &Slab<Node>, oracle: &[Handle<Node>]) {
    assert_eq!(tree.assert_valid(slab), oracle.len());
    assert_eq!(tree.is_empty(), oracle.is_empty());
    assert_eq!(tree.first(), oracle.first().copied());
    assert_eq!(tree.last(slab), oracle.last().copied());
    for (i, &h) in oracle.iter().enumerate() {
        assert!(tree.contains(slab, h));
        assert_eq!(tree.next(slab, h), oracle.get(i + 1).copied());
        assert_eq!(tree.prev(slab, h), i.checked_sub(1).map(|i| oracle[i]));
    }
    let least = oracle.iter().map(|&h| slab.get(h).value).min();
    assert_eq!(
        tree.summary(slab),
        least.map(|least| (least, oracle.len() as u32))
    );
}

proptest! {
    #[test]
    fn tree_behaves_like_a_sorted_vector(
        keys in prop::collection::vec((0..16u8, 0..1000u32), 1..64),
        ops in prop::collection::vec((0..4u8, any::<prop::sample::Index>(), 0..1000u32), 1..300),
    ) {
        let mut slab = Slab::new();
        let all: Vec<_> = keys.iter().map(|&(k, v)| slab.insert(node(k, v))).collect();
        let mut tree = Tree::new();
        let mut oracle: Vec<Handle<Node>> = Vec::new();
        for (op, index, value) in ops {
            let h = all[index.index(all.len())];
            let at = oracle.iter().position(|&o| o == h);
            prop_assert_eq!(slab.get(h).tree_links().is_linked(), at.is_some());
            match (op, at) {
                (0 | 1, None) => {
                    tree.insert(&mut slab, h);
                    let key = slab.get(h).key;
                    let pos = oracle.partition_point(|&o| slab.get(o).key <= key);
                    oracle.insert(pos, h);
                }
                (2, Some(_)) => {
                    slab.get_mut(h).value = value;
                    tree.refresh(&mut slab, h);
                }
                (_, Some(at)) => {
                    tree.remove(&mut slab, h);
                    oracle.remove(at);
                }
                _ => {}
            }
            assert_same(&tree, &slab, &oracle);
        }
    }
}

#[test]
fn sorted_input_does_not_degenerate() {
    let mut slab = Slab::new();
    let mut tree = Tree::new();
    for i in 0..250 {
        let h = slab.insert(node(i, u32::from(i)));
        tree.insert(&mut slab, h);
    }
    assert_eq!(tree.assert_valid(&slab), 250);
    assert!(height(&tree, &slab) <= 11, "1.45 log2(252)");
    while let Some(first) = tree.first() {
        tree.remove(&mut slab, first);
        tree.assert_valid(&slab);
    }
}

#[test]
fn equal_keys_keep_the_order_of_insertion() {
    let mut slab = Slab::new();
    let mut tree = Tree::new();
    let all: Vec<_> = (0..40).map(|i| slab.insert(node(7, i))).collect();
    for &h in &all {
        tree.insert(&mut slab, h);
    }
    for &h in &all {
        assert_eq!(tree.first(), Some(h));
        tree.remove(&mut slab, h);
    }
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "insertion of a node that is in a tree")]
fn second_insertion_is_caught() {
    let mut slab = Slab::new();
    let h = slab.insert(node(1, 1));
    let (mut tree, mut other) = (Tree::new(), Tree::new());
    tree.insert(&mut slab, h);
    other.insert(&mut slab, h);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "not in this tree")]
fn removal_from_a_foreign_tree_is_caught() {
    let mut slab = Slab::new();
    let all: Vec<_> = (0..9).map(|i| slab.insert(node(i, 1))).collect();
    let (mut tree, mut other) = (Tree::new(), Tree::new());
    for &h in &all {
        tree.insert(&mut slab, h);
    }
    other.remove(&mut slab, all[4]);
}
