//! Who waits for whom, and whether anybody can still help (D11, I4).
//!
//! The nodes are parties that wait. One waits for *all* it names (a flush, for every item it must see
//! the end of) or for *any* (a waiting item, for whoever gives a slot back first). A party that does
//! not wait itself is no node: it goes on, and so helps whoever waits for it alone or for any. What
//! remains when everybody who can be helped is taken out is a knot: none of them ever goes on.
//!
//! The executive fills the graph from what it finds under its locks, breadth first from the party that
//! is about to wait. The graph has fixed room; one that does not fit is said to be no knot, since a
//! deadlock that is missed is a hang as before, and one that is wrongly reported breaks a sound program.

/// Most parties that a search looks at.
pub const MOST_WAITERS: usize = 64;
/// Most waits between them.
pub const MOST_WAITS: usize = 256;

/// What lets a party go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// All whom it waits for.
    All,
    /// Any of them.
    Any,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    key: usize,
    needs: Needs,
    /// Somebody who does not wait is among those it waits for.
    open: bool,
    stuck: bool,
    /// On the way that is being told.
    seen: bool,
}

const NOBODY: Node = Node {
    key: 0,
    needs: Needs::All,
    open: false,
    stuck: false,
    seen: false,
};

/// A party that a search knows; the first has number 0.
pub type Party = usize;

/// A graph of waits, for one search at a time.
#[derive(Debug)]
pub struct Knot {
    nodes: [Node; MOST_WAITERS],
    used: usize,
    edges: [(u8, u8); MOST_WAITS],
    waits: usize,
    /// Not everything had room.
    cut: bool,
}

impl Default for Knot {
    fn default() -> Self {
        Self::new()
    }
}

impl Knot {
    /// An empty graph.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            nodes: [NOBODY; MOST_WAITERS],
            used: 0,
            edges: [(0, 0); MOST_WAITS],
            waits: 0,
            cut: false,
        }
    }

    /// Begins a search for the party named `key`, which gets number 0.
    pub fn begin(&mut self, key: usize) {
        (self.used, self.waits, self.cut) = (0, 0, false);
        let _root = self.party(key);
    }

    /// The party named `key`, new or known; `None` if there is no room.
    fn party(&mut self, key: usize) -> Option<Party> {
        let used = &self.nodes[..self.used];
        if let Some(known) = used.iter().position(|n| n.key == key) {
            return Some(known);
        }
        let Some(node) = self.nodes.get_mut(self.used) else {
            self.cut = true;
            return None;
        };
        *node = Node { key, ..NOBODY };
        self.used += 1;
        Some(self.used - 1)
    }

    /// The name of party `p`; `None` when there are no more.
    #[must_use]
    pub fn key(&self, p: Party) -> Option<usize> {
        self.nodes[..self.used].get(p).map(|n| n.key)
    }

    /// What lets `p` go on.
    pub fn needs(&mut self, p: Party, needs: Needs) {
        self.nodes[p].needs = needs;
    }

    /// `p` waits for the party named `key`, which waits itself.
    pub fn waits_for(&mut self, p: Party, key: usize) {
        let Some(other) = self.party(key) else { return };
        let Some(edge) = self.edges.get_mut(self.waits) else {
            self.cut = true;
            return;
        };
        *edge = (p as u8, other as u8);
        self.waits += 1;
    }

    /// `p` waits for somebody who goes on. That helps one who needs any.
    pub fn has_help(&mut self, p: Party) {
        self.nodes[p].open = true;
    }

    fn edges(&self) -> impl Iterator<Item = (Party, Party)> + '_ {
        let used = self.edges[..self.waits].iter();
        used.map(|&(from, to)| (usize::from(from), usize::from(to)))
    }

    /// Whether `p` can be helped, if those who are not stuck go on.
    fn is_free(&self, p: Party) -> bool {
        let mut targets = self.edges().filter(|&(from, _)| from == p);
        let stuck = |(_, to): (Party, Party)| self.nodes[to].stuck;
        match self.nodes[p].needs {
            Needs::All => !targets.any(stuck),
            Needs::Any => self.nodes[p].open || self.waits_for_none(p) || !targets.all(stuck),
        }
    }

    fn waits_for_none(&self, p: Party) -> bool {
        !self.edges().any(|(from, _)| from == p)
    }

    /// Whether party 0 would wait for ever. `tell` is then given the chain from party 0 on, each
    /// waiting for the next, the last being one that was told before.
    #[must_use = "a party that waits all the same waits for ever"]
    pub fn find(&mut self, mut tell: impl FnMut(Party)) -> bool {
        if self.cut {
            return false;
        }
        for node in &mut self.nodes[..self.used] {
            node.stuck = true;
            node.seen = false;
        }
        while let Some(p) = (0..self.used).find(|&p| self.nodes[p].stuck && self.is_free(p)) {
            self.nodes[p].stuck = false;
        }
        if !self.nodes[0].stuck {
            return false;
        }
        let mut at = 0;
        loop {
            tell(at);
            if core::mem::replace(&mut self.nodes[at].seen, true) {
                return true;
            }
            let stuck = |(from, to): (Party, Party)| from == at && self.nodes[to].stuck;
            // Who is stuck has somebody stuck to wait for.
            let Some((_, next)) = self.edges().find(|&e| stuck(e)) else {
                return true;
            };
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// One party: what it needs, whom it waits for, and whether somebody at work is among them.
    type Waiter = (bool, Vec<usize>, bool);

    fn graph(waiters: &[Waiter]) -> Knot {
        let mut k = Knot::new();
        k.begin(100);
        let mut at = 0;
        while let Some(key) = k.key(at) {
            let (any, targets, open) = &waiters[key - 100];
            k.needs(at, if *any { Needs::Any } else { Needs::All });
            targets.iter().for_each(|t| k.waits_for(at, 100 + t));
            if *open {
                k.has_help(at);
            }
            at += 1;
        }
        k
    }

    fn chain(waiters: &[Waiter]) -> Option<Vec<usize>> {
        let mut k = graph(waiters);
        let mut parties = Vec::new();
        let stuck = k.find(|p| parties.push(p));
        let keys = parties.iter().map(|&p| k.key(p).expect("a party") - 100);
        stuck.then(|| keys.collect())
    }

    fn all(targets: &[usize]) -> Waiter {
        (false, targets.to_vec(), false)
    }

    fn any(targets: &[usize], open: bool) -> Waiter {
        (true, targets.to_vec(), open)
    }

    #[test]
    fn d11_a_circle_is_told_from_the_one_who_closes_it() {
        assert_eq!(
            chain(&[all(&[1]), all(&[2]), all(&[0])]),
            Some([0, 1, 2, 0].to_vec())
        );
        assert_eq!(chain(&[all(&[0])]), Some([0, 0].to_vec()));
        assert_eq!(chain(&[all(&[1]), all(&[2]), all(&[])]), None);
    }

    #[test]
    fn d11_one_free_holder_of_a_slot_is_enough() {
        assert_eq!(chain(&[any(&[1, 2], false), all(&[0]), all(&[])]), None);
        assert_eq!(chain(&[any(&[1], true), all(&[0])]), None);
        let knot = [any(&[1, 2], false), all(&[0]), all(&[0])];
        assert_eq!(chain(&knot), Some([0, 1, 0].to_vec()));
    }

    #[test]
    fn i4_one_stuck_item_is_enough_for_a_flush() {
        assert_eq!(
            chain(&[all(&[1, 2]), all(&[]), all(&[0])]),
            Some([0, 2, 0].to_vec())
        );
    }

    #[test]
    fn who_waits_for_a_knot_is_lost_too() {
        assert_eq!(
            chain(&[all(&[1]), all(&[2]), all(&[1])]),
            Some([0, 1, 2, 1].to_vec())
        );
    }

    #[test]
    fn nobody_is_called_stuck_when_there_is_no_room() {
        let ring = |n: usize| (0..n).map(|i| all(&[(i + 1) % n])).collect::<Vec<_>>();
        assert!(chain(&ring(MOST_WAITERS)).is_some());
        assert!(chain(&ring(MOST_WAITERS + 1)).is_none());
        let many = [all(&[1; MOST_WAITS]), all(&[0])];
        assert!(chain(&many).is_none());
    }

    /// Whether some set of parties with 0 in it is such that nobody in it can be helped from outside.
    fn brute_force(waiters: &[Waiter]) -> bool {
        let closed = |set: u32| {
            let inside = |&t: &usize| set >> t & 1 == 1;
            (0..waiters.len()).filter(inside).all(|p| {
                let (any, targets, open) = &waiters[p];
                if *any {
                    !open && !targets.is_empty() && targets.iter().all(inside)
                } else {
                    targets.iter().any(inside)
                }
            })
        };
        (0..1_u32 << waiters.len()).any(|set| set & 1 == 1 && closed(set))
    }

    fn some_waiters() -> impl Strategy<Value = Vec<Waiter>> {
        (1_usize..9).prop_flat_map(|n| {
            let targets = prop::collection::vec(0..n, 0..4);
            let waiter = (any_needs(), targets, prop::bool::weighted(0.1));
            prop::collection::vec(waiter, n)
        })
    }

    fn any_needs() -> impl Strategy<Value = bool> {
        prop::bool::ANY
    }

    proptest! {
        #[test]
        fn d11_the_search_finds_what_trying_every_set_finds(waiters in some_waiters()) {
            let found = chain(&waiters);
            prop_assert_eq!(found.is_some(), brute_force(&waiters));
            if let Some(told) = found {
                for pair in told.windows(2) {
                    prop_assert!(waiters[pair[0]].1.contains(&pair[1]));
                }
                let last = told[told.len() - 1];
                prop_assert!(told[..told.len() - 1].contains(&last));
            }
        }
    }
}
