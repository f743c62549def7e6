//! Slots shared by node, and pwqs that leave, in the simulated pool; and the rows about them.

use std::collections::VecDeque;
use std::vec::Vec;

use links::{Arena, Handle, Slab};
use machine::CpuMask;
use proptest::prelude::*;

use crate::sim::Sim;
use crate::sim_store::Slabs;
use crate::{Item, Kind, NodeLimit, Pwq, Store, Turn, split};

/// One memory node, and the turns of the pwqs that share its slots.
pub(crate) struct Node {
    limit: NodeLimit,
    turns: Slab<Turn>,
    of: Vec<(Handle<Pwq>, Handle<Turn>)>,
}

impl Node {
    fn turn(&self, p: Handle<Pwq>) -> Handle<Turn> {
        self.of.iter().find(|x| x.0 == p).expect("a pwq's turn").1
    }
    fn pwq(&self, t: Handle<Turn>) -> Handle<Pwq> {
        self.of.iter().find(|x| x.1 == t).expect("a turn's pwq").0
    }
}

impl Slabs {
    fn node(&mut self) -> &mut Node {
        self.node.as_mut().expect("a node limits it")
    }
}

impl Slabs {
    /// Whether `p`'s turn waits for a slot of the node.
    pub(crate) fn in_line(&self, p: Handle<Pwq>) -> bool {
        let waits = |n: &Node| n.turns.get(n.turn(p)).waits();
        self.node.as_ref().is_some_and(waits)
    }
}

impl Store for Slabs {
    fn activated(&mut self, _: Handle<Item>, _: Handle<Pwq>) {}
    fn take_slot(&mut self, p: Handle<Pwq>) -> bool {
        let n = self.node();
        let t = n.turn(p);
        n.limit.take(&mut n.turns, t)
    }
    fn free_slot(&mut self, p: Handle<Pwq>) -> Option<Handle<Pwq>> {
        let n = self.node();
        let _known = n.turn(p);
        n.limit.free(&mut n.turns).map(|t| n.pwq(t))
    }
    fn put_back_slot(&mut self, p: Handle<Pwq>) -> bool {
        let n = self.node();
        let _known = n.turn(p);
        n.limit.put_back()
    }
    fn renew_slot(&mut self, p: Handle<Pwq>, more: bool) -> bool {
        let n = self.node();
        let t = n.turn(p);
        n.limit.renew(&mut n.turns, t, more)
    }
    fn accept_slot(&mut self, p: Handle<Pwq>) -> bool {
        let n = self.node();
        let t = n.turn(p);
        n.limit.accept(&mut n.turns, t)
    }
    fn leave_line(&mut self, p: Handle<Pwq>) -> bool {
        let Some(n) = &mut self.node else { return true };
        let t = n.turn(p);
        if n.turns.get(t).is_granted() {
            return false;
        }
        n.limit.leave(&mut n.turns, t);
        true
    }
}

impl Sim {
    /// All pwqs share `max` slots from now on; nothing is queued yet.
    pub(crate) fn limit_by_node(&mut self, max: u32) {
        let mut turns = Slab::default();
        let of: Vec<_> = self
            .pwqs
            .iter()
            .map(|&p| (p, turns.insert(Turn::new())))
            .collect();
        for &p in &self.pwqs {
            *self.s.pwqs.get_mut(p) = Pwq::of_node(0);
        }
        let limit = NodeLimit::new(max);
        self.s.node = Some(Node { limit, turns, of });
    }

    pub(crate) fn is_node_full(&self) -> bool {
        let full = |n: &Node| n.limit.taken() >= n.limit.max();
        self.s.node.as_ref().is_some_and(full)
    }

    /// D3: the node's count is the number of active items, whatever pwq they are of.
    pub(crate) fn check_node(&self, active: u32) {
        if let Some(n) = &self.s.node {
            assert_eq!(n.limit.check(active, 0), Ok(()));
        }
    }

    /// What the executive does after the lock: brings a slot to whom it was granted, moves a pwq.
    pub(crate) fn conclude(&mut self, hand: Option<Handle<Pwq>>, gone: Option<Handle<Pwq>>) {
        self.left(gone);
        let mut hand = hand;
        while let Some(p) = hand {
            let a = self.pool.accept(&mut self.s, p);
            self.wake(a.wake);
            self.left(a.gone);
            hand = a.hand;
        }
    }

    /// A pwq has left the pool, or moves.
    pub(crate) fn left(&mut self, gone: Option<Handle<Pwq>>) {
        let Some(p) = gone else { return };
        if self.s.pwqs.get(p).is_gone() {
            assert_eq!(self.s.pwqs.get(p).references(), 0, "a pwq goes in use");
        } else {
            if !self.pool.still_moves(&mut self.s, p) {
                return;
            }
            let (mut waiting, share) = (0, self.s.pwqs.get(p));
            self.pool.each_waiting(&self.s, p, |h| {
                assert_eq!(self.s.items.get(h).runner(), None, "C5: it runs here");
                waiting += 1;
            });
            assert_eq!(
                (share.active(), waiting),
                (0, share.inactive()),
                "D9: it moves while an item is active"
            );
            let wake = self.pool.unplug(&mut self.s, p);
            self.wake(wake);
        }
    }

    pub(crate) fn set_node_max(&mut self, max: u32) {
        if self.s.node.is_none() {
            return;
        }
        self.s.node().limit.set_max(max);
        loop {
            let n = self.s.node();
            let Some(t) = n.limit.grant(&mut n.turns) else {
                break;
            };
            let p = n.pwq(t);
            self.conclude(Some(p), None);
        }
        self.check();
    }

    pub(crate) fn retire(&mut self, p: usize) {
        let h = self.pwqs[p];
        if !self.pwq(p).is_retired() && !self.pwq(p).is_moving() {
            let gone = self.pool.retire(&mut self.s, h);
            let kept = self.pwq(p).references() > 0;
            assert_eq!(gone, !kept, "gone, or something keeps it");
        }
        self.check();
    }

    pub(crate) fn reopen(&mut self, p: usize) {
        let share = self.s.pwqs.get_mut(self.pwqs[p]);
        if !share.reopen() {
            // It comes back as the share of a new pwq.
            *share = Pwq::new(2, false);
            if self.s.node.is_some() {
                let colour = self.flushes[p].work_colour();
                *self.s.pwqs.get_mut(self.pwqs[p]) = Pwq::of_node(colour);
            } else {
                let colour = self.flushes[p].work_colour();
                self.s.pwqs.get_mut(self.pwqs[p]).set_colour(colour);
            }
            let rescued = self.rescuers.iter().any(|r| r.p == p);
            self.s.pwqs.get_mut(self.pwqs[p]).set_rescuer(rescued);
        }
        self.check();
    }

    /// Changes the limit of pwq `p`, if that has one of its own and is in the pool.
    pub(crate) fn limit(&mut self, p: usize, max: u32) {
        if !self.pwq(p).is_limited_by_node() && !self.pwq(p).is_gone() {
            let wake = self.pool.set_max_active(&mut self.s, self.pwqs[p], max);
            self.wake(wake);
        }
        self.check();
    }

    pub(crate) fn plug(&mut self, p: usize) {
        let h = self.pwqs[p];
        if !self.pwq(p).is_retired() && !self.pwq(p).is_limited_by_node() {
            let now = self.pool.plug(&mut self.s, h);
            self.conclude(None, now.then_some(h));
        }
        self.check();
    }
}

#[test]
fn d5_slots_go_round() {
    let mut sim = Sim::new(Kind::Unbound, &[(1, false); 2], 8);
    sim.limit_by_node(1);
    for i in 0..8 {
        // Three of the first, then alternating: pwq 0 has waited for longer.
        assert!(sim.queue(if i < 3 { 0 } else { i % 2 }, i));
    }
    sim.drain();
    let pwq_of = |&(i, _): &(usize, _)| if i < 3 { 0 } else { i % 2 };
    let order: Vec<usize> = sim.starts.iter().map(pwq_of).collect();
    assert_eq!(order, [0, 0, 1, 0, 1, 0, 1, 0]);
}

#[test]
fn d6_raising_starts_what_waits_in_turn() {
    let mut sim = Sim::new(Kind::Unbound, &[(1, false); 2], 8);
    sim.limit_by_node(1);
    (0..8).for_each(|i| assert!(sim.queue(i % 2, i)));
    sim.set_node_max(4);
    assert_eq!((sim.pwq(0).active(), sim.pwq(1).active()), (2, 2));
    sim.set_node_max(1);
    assert_eq!((sim.pwq(0).active(), sim.pwq(1).active()), (2, 2));
    sim.drain();
    assert_eq!(sim.starts.len(), 8);
}

#[test]
fn d3_the_limit_is_divided_by_cores() {
    // All in one node; then a node of 2 among 8; the least node of 64.
    assert_eq!(split(5, 5, 4, 4), 5);
    assert_eq!(split(16, 1, 2, 8), 4);
    assert_eq!(split(17, 1, 2, 8), 5);
    // D4: never below min_active, which is never above max_active.
    assert_eq!(split(64, 8, 1, 64), 8);
    assert_eq!(split(3, 8, 1, 64), 3);
    assert_eq!(split(7, 3, 0, 64), 3);
    // Nothing starts where nothing may (F5).
    assert_eq!(split(0, 0, 2, 4), 0);
}

/// One operation on a node's slots by a pwq.
#[derive(Clone, Copy, Debug)]
enum Op {
    Take(usize),
    Free,
    Accept(usize),
    Max(u32),
    Leave(usize),
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0..4usize).prop_map(Op::Take),
        4 => Just(Op::Free),
        4 => (0..4usize).prop_map(Op::Accept),
        1 => (0..6u32).prop_map(Op::Max),
        1 => (0..4usize).prop_map(Op::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a deque, a set and a number.
    #[test]
    fn the_line_is_a_queue(ops in prop::collection::vec(ops(), 1..120)) {
        let mut a: Slab<Turn> = Slab::default();
        let turns: Vec<_> = (0..4).map(|_| a.insert(Turn::new())).collect();
        let mut node = NodeLimit::new(2);
        let (mut line, mut granted) = (VecDeque::new(), CpuMask::NONE);
        let (mut active, mut max) = (0_u32, 2_u32);
        let bit = |t: usize| 1_u64 << t;
        for op in ops {
            let taken = active + granted.count() as u32;
            let mut grants = 0;
            match op {
                Op::Take(t) => {
                    let got = node.take(&mut a, turns[t]);
                    prop_assert_eq!(got, taken < max && line.is_empty());
                    if got {
                        active += 1;
                    } else if !line.contains(&t) && granted.0 & bit(t) == 0 {
                        line.push_back(t);
                    }
                }
                Op::Free if active > 0 => {
                    active -= 1;
                    let to = node.free(&mut a);
                    let wanted = if taken - 1 < max { line.pop_front() } else { None };
                    prop_assert_eq!(to, wanted.map(|t| turns[t]));
                    granted.0 |= wanted.map_or(0, bit);
                }
                Op::Accept(t) if granted.0 & bit(t) != 0 => {
                    granted.0 &= !bit(t);
                    let got = node.accept(&mut a, turns[t]);
                    prop_assert_eq!(got, taken <= max);
                    if got {
                        active += 1;
                    } else {
                        line.push_back(t);
                    }
                }
                Op::Leave(t) if granted.0 & bit(t) == 0 => {
                    node.leave(&mut a, turns[t]);
                    line.retain(|&x| x != t);
                }
                Op::Max(m) => {
                    max = m;
                    node.set_max(m);
                    while let Some(h) = node.grant(&mut a) {
                        let t = line.pop_front();
                        prop_assert_eq!(t.map(|t| turns[t]), Some(h));
                        granted.0 |= t.map_or(0, bit);
                        grants += 1;
                    }
                    prop_assert!(line.is_empty() || taken + grants >= max);
                }
                Op::Free | Op::Accept(_) | Op::Leave(_) => {}
            }
            prop_assert_eq!(node.taken(), active + granted.count() as u32);
            for (t, &h) in turns.iter().enumerate() {
                prop_assert_eq!(a.get(h).is_granted(), granted.0 & bit(t) != 0);
            }
            prop_assert!(!node.forgets());
        }
    }
}
