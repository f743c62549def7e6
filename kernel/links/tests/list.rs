//! The list against a `VecDeque`, with two lists and two kinds of links over one arena.

use std::collections::VecDeque;

use links::{Arena, Handle, Linked, List, ListLinks, Slab};
use proptest::prelude::*;

struct Primary;
struct Second;

struct Node {
    primary: ListLinks<Node, Primary>,
    second: ListLinks<Node, Second>,
}

impl Node {
    fn new() -> Self {
        Self {
            primary: ListLinks::new(),
            second: ListLinks::new(),
        }
    }
}

impl Linked<Primary> for Node {
    fn list_links(&self) -> &ListLinks<Self, Primary> {
        &self.primary
    }
    fn list_links_mut(&mut self) -> &mut ListLinks<Self, Primary> {
        &mut self.primary
    }
}

impl Linked<Second> for Node {
    fn list_links(&self) -> &ListLinks<Self, Second> {
        &self.second
    }
    fn list_links_mut(&mut self) -> &mut ListLinks<Self, Second> {
        &mut self.second
    }
}

fn nodes(n: usize) -> (Slab<Node>, Vec<Handle<Node>>) {
    let mut slab = Slab::new();
    let handles = (0..n).map(|_| slab.insert(Node::new())).collect();
    (slab, handles)
}

fn assert_same(
    slab: &Slab<Node>,
    list: &List<Node, Primary>,
    oracle: &VecDeque<usize>,
    all: &[Handle<Node>],
) {
    let handles: Vec<_> = oracle.iter().map(|&n| all[n]).collect();
    assert_eq!(list.iter(slab).collect::<Vec<_>>(), handles);
    assert_eq!(list.is_empty(), handles.is_empty());
    assert_eq!(list.front(), handles.first().copied());
    assert_eq!(list.back(), handles.last().copied());
    let mut at = list.back();
    for &h in handles.iter().rev() {
        assert_eq!(at, Some(h));
        at = list.prev(slab, h);
    }
    assert_eq!(at, None);
    let mut at = list.front();
    for &h in &handles {
        assert_eq!(at, Some(h));
        at = list.next(slab, h);
    }
    assert_eq!(at, None);
}

proptest! {
    #[test]
    fn list_behaves_like_a_deque(ops in prop::collection::vec((0..6u8, 0..12usize, any::<usize>()), 1..200)) {
        let (mut slab, all) = nodes(12);
        let mut lists = [List::<Node, Primary>::new(), List::new()];
        let mut oracles = [VecDeque::<usize>::new(), VecDeque::new()];
        for (op, node, pick) in ops {
            let which = pick % 2;
            let home = oracles.iter().position(|o| o.contains(&node));
            let h = all[node];
            prop_assert!(Linked::<Primary>::list_links(slab.get(h)).may_be(home.is_some()));
            match (op, home) {
                (0, None) => {
                    lists[which].push_back(&mut slab, h);
                    oracles[which].push_back(node);
                }
                (1, None) => {
                    lists[which].push_front(&mut slab, h);
                    oracles[which].push_front(node);
                }
                (2, None) if !oracles[which].is_empty() => {
                    let pos = pick / 2 % oracles[which].len();
                    lists[which].insert_after(&mut slab, all[oracles[which][pos]], h);
                    oracles[which].insert(pos + 1, node);
                }
                (3, _) => {
                    let got = lists[which].pop_front(&mut slab);
                    prop_assert_eq!(got, oracles[which].pop_front().map(|n| all[n]));
                }
                (_, Some(home)) => {
                    lists[home].remove(&mut slab, h);
                    oracles[home].retain(|&n| n != node);
                }
                _ => {}
            }
            for i in 0..2 {
                assert_same(&slab, &lists[i], &oracles[i], &all);
            }
        }
    }
}

#[test]
fn kinds_of_links_are_independent() {
    let (mut slab, all) = nodes(3);
    let mut primary = List::<Node, Primary>::new();
    let mut second = List::<Node, Second>::new();
    for &h in &all {
        primary.push_back(&mut slab, h);
        second.push_front(&mut slab, h);
    }
    primary.remove(&mut slab, all[1]);
    assert_eq!(primary.iter(&slab).collect::<Vec<_>>(), [all[0], all[2]]);
    assert_eq!(
        second.iter(&slab).collect::<Vec<_>>(),
        [all[2], all[1], all[0]]
    );
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "insertion of a node that is in a list")]
fn second_insertion_is_caught() {
    let (mut slab, all) = nodes(1);
    let mut list = List::<Node, Primary>::new();
    let mut other = List::<Node, Primary>::new();
    list.push_back(&mut slab, all[0]);
    other.push_back(&mut slab, all[0]);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "not in this list")]
fn removal_from_a_foreign_list_is_caught() {
    let (mut slab, all) = nodes(3);
    let mut list = List::<Node, Primary>::new();
    let mut other = List::<Node, Primary>::new();
    for &h in &all {
        list.push_back(&mut slab, h);
    }
    other.remove(&mut slab, all[1]);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "not in this list")]
fn second_removal_is_caught() {
    let (mut slab, all) = nodes(2);
    let mut list = List::<Node, Primary>::new();
    list.push_back(&mut slab, all[0]);
    list.push_back(&mut slab, all[1]);
    list.remove(&mut slab, all[0]);
    list.remove(&mut slab, all[0]);
}

/// An arena in which a list is, too.
struct Home {
    slab: Slab<Node>,
    list: List<Node, Primary>,
}

impl Arena<Node> for Home {
    fn get(&self, h: Handle<Node>) -> &Node {
        self.slab.get(h)
    }
    fn get_mut(&mut self, h: Handle<Node>) -> &mut Node {
        self.slab.get_mut(h)
    }
}

#[test]
fn a_list_in_the_arena_takes_nodes_behind_others() {
    let (slab, all) = nodes(3);
    let list = List::new();
    let mut home = Home { slab, list };
    assert!(!List::push_behind_of(&mut home, |h| &mut h.list, all[0]));
    assert!(Linked::<Primary>::list_links(home.get(all[0])).may_be(false));
    List::push_back_of(&mut home, |h| &mut h.list, all[0]);
    assert!(List::push_behind_of(&mut home, |h| &mut h.list, all[1]));
    assert!(List::push_behind_of(&mut home, |h| &mut h.list, all[2]));
    let Home { slab, list } = &home;
    assert_same(slab, list, &VecDeque::from([0, 1, 2]), &all);
}
