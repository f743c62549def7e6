//! The limit of an unbound queue in one memory node: so many active items, in whatever pool.
//!
//! An unbound queue has a pwq for each pod, and its `max_active` is one number for all of them (D3).
//! Counting over the whole system would make every submission touch one far word, so the number is
//! divided among the memory nodes by their cores ([`split`]); pools that lie in no single node share
//! a limit of their own. A pwq that needs a slot and finds none waits in the node's line (D5); a
//! freed slot is *granted* to the first of the line, which takes it with its own pool's lock held
//! and goes to the end of the line if it has more items waiting: round-robin over pwqs, so no pod
//! starves, and no order between pods.
//!
//! Invariants: `nr` counts active items and grants; while pwqs stand in line, `nr >= max`, but for
//! the moment in which somebody who raised the limit hands the new slots out.
//!
//! All functions stand under the limit's own lock, which is taken inside a pool's.

use links::{Arena, Handle, Linked, List, ListLinks};

/// `min_active` of a queue that asks for none (D4).
pub const DEFAULT_MIN_ACTIVE: u32 = 8;

/// Whether a pwq waits for a slot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Wait {
    /// It does not.
    #[default]
    No,
    /// It stands in line.
    InLine,
    /// A slot is kept for it, and it has not taken it yet.
    Granted,
}

/// A pwq's turn: its place in the line of its node.
#[derive(Debug, Default)]
pub struct Turn {
    links: ListLinks<Self>,
    wait: Wait,
}

impl Turn {
    /// The turn of a pwq that waits for nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            links: ListLinks::new(),
            wait: Wait::No,
        }
    }

    /// The pwq stands in line, or a slot is on its way to it.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.wait != Wait::No
    }

    /// A slot is on its way to the pwq: it must not go away.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.wait == Wait::Granted
    }
}

impl Linked for Turn {
    fn list_links(&self) -> &ListLinks<Self> {
        &self.links
    }
    fn list_links_mut(&mut self) -> &mut ListLinks<Self> {
        &mut self.links
    }
}

/// The slots of one queue in one node.
#[derive(Debug, Default)]
pub struct NodeLimit {
    nr: u32,
    max: u32,
    line: List<Turn>,
}

impl NodeLimit {
    /// A node with `max` slots, all free.
    #[must_use]
    pub const fn new(max: u32) -> Self {
        Self {
            nr: 0,
            max,
            line: List::new(),
        }
    }

    /// The number of slots.
    #[must_use]
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// Slots taken or granted; more than [`Self::max`] after that was lowered.
    #[must_use]
    pub const fn taken(&self) -> u32 {
        self.nr
    }

    /// Takes a slot for the pwq of turn `t`. False: there is none, and it stands in line now.
    #[inline(always)]
    #[must_use = "without a slot the item waits"]
    pub fn take<A: Arena<Turn>>(&mut self, a: &mut A, t: Handle<Turn>) -> bool {
        if self.nr < self.max && self.line.is_empty() {
            self.nr += 1;
            return true;
        }
        self.stand(a, t);
        false
    }

    #[inline(never)]
    fn stand<A: Arena<Turn>>(&mut self, a: &mut A, t: Handle<Turn>) {
        let turn = a.get_mut(t);
        if turn.wait == Wait::No {
            turn.wait = Wait::InLine;
            self.line.push_back(a, t);
        }
    }

    /// A slot is free again; who has it now.
    #[must_use = "the slot is kept for that pwq until it accepts"]
    pub fn free<A: Arena<Turn>>(&mut self, a: &mut A) -> Option<Handle<Turn>> {
        debug_assert!(self.nr > 0, "a slot is given back that nobody had");
        self.nr -= 1;
        self.grant(a)
    }

    /// As [`Self::free`], where nobody waits for one. False: nothing changed.
    #[inline(always)]
    #[must_use = "the slot is to be given back otherwise"]
    pub fn put_back(&mut self) -> bool {
        let last = self.line.is_empty();
        debug_assert!(self.nr > 0, "a slot is given back that nobody had");
        self.nr -= u32::from(last);
        last
    }

    /// Changes the number of slots; [`Self::grant`] hands out what that made free.
    pub const fn set_max(&mut self, max: u32) {
        self.max = max;
    }

    /// Keeps a free slot for the first of the line.
    #[must_use = "the slot is kept for that pwq until it accepts"]
    pub fn grant<A: Arena<Turn>>(&mut self, a: &mut A) -> Option<Handle<Turn>> {
        if self.nr >= self.max {
            return None;
        }
        let t = self.line.pop_front(a)?;
        a.get_mut(t).wait = Wait::Granted;
        self.nr += 1;
        Some(t)
    }

    /// The pwq of `t` takes what was granted. False: the limit was lowered meanwhile, and it stands
    /// in line again.
    #[must_use = "without a slot the item waits"]
    pub fn accept<A: Arena<Turn>>(&mut self, a: &mut A, t: Handle<Turn>) -> bool {
        let turn = a.get_mut(t);
        debug_assert!(turn.is_granted(), "a slot is accepted that nobody granted");
        turn.wait = Wait::No;
        if self.nr > self.max {
            self.nr -= 1;
            self.stand(a, t);
            return false;
        }
        true
    }

    /// As [`Self::free`] and then [`Self::accept`], in one step, where the slot that the pwq of `t` gives back comes
    /// to itself, because it is the first of the line. With `more` that waits it stands at the end of the
    /// line then (D5). False: nothing changed.
    #[inline(always)]
    #[must_use = "the slot is to be given back otherwise"]
    pub fn renew<A: Arena<Turn>>(&mut self, a: &mut A, t: Handle<Turn>, more: bool) -> bool {
        if self.nr > self.max || self.line.front() != Some(t) {
            return false;
        }
        let lone = self.line.back() == Some(t);
        if !(lone && more) {
            self.pass_turn(a, t, more);
        }
        true
    }

    /// The first of the line, `t`, has had its turn.
    #[inline(never)]
    fn pass_turn<A: Arena<Turn>>(&mut self, a: &mut A, t: Handle<Turn>, more: bool) {
        self.line.remove_front(a, t);
        a.get_mut(t).wait = Wait::No;
        if more {
            self.stand(a, t);
        }
    }

    /// The pwq of `t` has nothing that waits any more, and will be used for something else.
    pub fn leave<A: Arena<Turn>>(&mut self, a: &mut A, t: Handle<Turn>) {
        debug_assert!(!a.get(t).is_granted(), "a pwq goes away with a grant");
        if core::mem::take(&mut a.get_mut(t).wait) == Wait::InLine {
            self.line.remove(a, t);
        }
    }

    /// Whether pwqs stand in line although a slot is free.
    #[must_use]
    pub fn forgets(&self) -> bool {
        !self.line.is_empty() && self.nr < self.max
    }
}

/// The limit of a node with `here` of the `all` cores that a queue may use (D3): its part of `max`,
/// rounded up, but not below `min`, which is what any node must offer to items that wait for each
/// other (D4), nor above `max`.
#[must_use]
pub const fn split(max: u32, min: u32, here: usize, all: usize) -> u32 {
    if all == 0 {
        return max;
    }
    let part = (max as u64 * here as u64).div_ceil(all as u64) as u32;
    let min = if min < max { min } else { max };
    if part < min {
        min
    } else if part > max {
        max
    } else {
        part
    }
}
