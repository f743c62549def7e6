//! Those that wait for their turn: one or two by themselves, or several in a tree.
//!
//! Mostly a core has one thread that waits beside the one that runs, and at a switch the two change
//! places; sometimes a second one, which sleeps in debt. So few need no tree, no sum and no count: what there
//! is to know of them they know themselves, and to change places is one store. From the third one on they are
//! in a tree, ordered by deadline, beside what the tree alone could tell in O(n) only, until one alone is left.
//!
//! Invariants: the tree is empty or holds at least two; `first` is the first one in order, wherever it is;
//! `average` and `movable` cover exactly the tree, and while nobody waits the average's zero is the
//! virtual time at which the last one left.

use links::{Arena, Handle, Tree, TreeNode};

use crate::average::{Average, Total};
use crate::entity::{Entity, is_before};

#[derive(Debug)]
pub(crate) struct Waiting {
    first: Option<Handle<Entity>>,
    /// The second of two; `first` itself if they are in the tree.
    second: Option<Handle<Entity>>,
    tree: Tree<Entity>,
    average: Average,
    /// Those in the tree that are not pinned.
    movable: u32,
}

/// How many wait, and where they are.
enum Shape {
    Nobody,
    One(Handle<Entity>),
    Two(Handle<Entity>, Handle<Entity>),
    /// At least two, in the tree.
    Many,
}

impl Waiting {
    /// Nobody; virtual time is `zero`.
    pub(crate) const fn starting_at(zero: u64) -> Self {
        Self {
            first: None,
            second: None,
            tree: Tree::new(),
            average: Average::new(zero),
            movable: 0,
        }
    }

    #[inline(always)]
    fn shape(&self) -> Shape {
        match (self.first, self.second) {
            (None, _) => Shape::Nobody,
            (Some(first), None) => Shape::One(first),
            (Some(first), Some(second)) if first == second => Shape::Many,
            (Some(first), Some(second)) => Shape::Two(first, second),
        }
    }

    #[inline(always)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether exactly one waits, when it is known that somebody does.
    #[inline(always)]
    pub(crate) const fn is_alone(&self) -> bool {
        self.second.is_none()
    }

    /// Who has the earliest deadline.
    #[inline(always)]
    pub(crate) const fn first(&self) -> Option<Handle<Entity>> {
        self.first
    }

    /// Who waits, the earlier deadline first, if there are exactly two.
    #[inline(always)]
    pub(crate) fn two(&self) -> Option<(Handle<Entity>, Handle<Entity>)> {
        match self.shape() {
            Shape::Two(first, second) => Some((first, second)),
            _ => None,
        }
    }

    /// Who has the next deadline after `h`, which waits.
    pub(crate) fn next<A: Arena<Entity>>(
        &self,
        arena: &A,
        h: Handle<Entity>,
    ) -> Option<Handle<Entity>> {
        match self.shape() {
            Shape::Two(first, second) => (h == first).then_some(second),
            Shape::Many => self.tree.next(arena, h),
            Shape::Nobody | Shape::One(_) => None,
        }
    }

    /// The first one that is eligible by `total`: in the tree, subtrees without one are skipped by their
    /// least virtual runtime.
    #[inline(never)]
    pub(crate) fn first_eligible<A: Arena<Entity>>(
        &self,
        arena: &A,
        total: Total,
    ) -> Option<Handle<Entity>> {
        let eligible = |h| total.is_eligible(arena.get(h).vruntime);
        match self.shape() {
            Shape::Nobody => return None,
            Shape::One(h) => return Some(h).filter(|&h| eligible(h)),
            Shape::Two(a, b) => return [a, b].into_iter().find(|&h| eligible(h)),
            Shape::Many => {}
        }
        let mut at = self.tree.root();
        while let Some(h) = at {
            let se = arena.get(h);
            if let Some(left) = se.left()
                && total.is_eligible(arena.get(left).min_vruntime())
            {
                at = Some(left);
                continue;
            }
            if eligible(h) {
                return at;
            }
            at = se.right();
        }
        None
    }

    /// Sum and weight of all, and of `current`, if somebody runs.
    #[inline(always)]
    pub(crate) fn with<A: Arena<Entity>>(&self, arena: &A, current: Option<&Entity>) -> Total {
        self.average(arena).with(current)
    }

    #[inline(always)]
    fn average<A: Arena<Entity>>(&self, arena: &A) -> Average {
        match self.shape() {
            Shape::One(h) => Average::of(arena.get(h)),
            Shape::Two(a, b) => Average::of(arena.get(a)).and(arena.get(b)),
            Shape::Nobody | Shape::Many => self.average,
        }
    }

    /// Whether somebody at `v` that runs has no negative lag; see [`Average::is_behind`].
    #[inline(always)]
    pub(crate) fn is_behind<A: Arena<Entity>>(&self, arena: &A, v: u64) -> bool {
        match self.shape() {
            Shape::One(h) => !is_before(arena.get(h).vruntime, v),
            _ => self.average(arena).is_behind(v),
        }
    }

    /// Virtual time while nobody waits and nobody runs.
    #[inline(always)]
    pub(crate) const fn zero(&self) -> u64 {
        self.average.zero()
    }

    /// The shortest slice of anybody; the longest there is if there is nobody.
    #[inline(always)]
    pub(crate) fn min_slice_ns<A: Arena<Entity>>(&self, arena: &A) -> u32 {
        let of = |h| arena.get(h).slice_ns;
        match self.shape() {
            Shape::Nobody => u32::MAX,
            Shape::One(h) => of(h),
            Shape::Two(a, b) => of(a).min(of(b)),
            Shape::Many => {
                let all = self.tree.summary(arena);
                all.map_or(u32::MAX, |all| all.min_slice_ns)
            }
        }
    }

    /// Whether nobody may run on more than one core.
    #[inline(always)]
    pub(crate) fn all_pinned<A: Arena<Entity>>(&self, arena: &A) -> bool {
        let pinned = |h| arena.get(h).pinned;
        match self.shape() {
            Shape::Nobody => true,
            Shape::One(h) => pinned(h),
            Shape::Two(a, b) => pinned(a) && pinned(b),
            Shape::Many => self.movable == 0,
        }
    }

    /// One that waits was pinned or not, and `is` from now on.
    pub(crate) fn repinned(&mut self, was: bool, is: bool) {
        if !self.tree.is_empty() {
            self.movable = self.movable + u32::from(was) - u32::from(is);
        }
    }

    /// `h` waits from now on.
    #[inline(always)]
    pub(crate) fn insert<A: Arena<Entity>>(&mut self, arena: &mut A, h: Handle<Entity>) {
        match self.shape() {
            Shape::Nobody => self.first = Some(h),
            Shape::One(other) if arena.get(h).before(arena.get(other)) => {
                (self.first, self.second) = (Some(h), Some(other));
            }
            Shape::One(_) => self.second = Some(h),
            Shape::Two(..) | Shape::Many => self.insert_in_tree(arena, h),
        }
    }

    #[inline(never)]
    fn insert_in_tree<A: Arena<Entity>>(&mut self, arena: &mut A, h: Handle<Entity>) {
        if let Shape::Two(first, second) = self.shape() {
            (self.average, self.movable) = (Average::new(0), 0);
            self.link(arena, first);
            self.link(arena, second);
        }
        self.link(arena, h);
        self.first = self.tree.first();
        self.second = self.first;
    }

    fn link<A: Arena<Entity>>(&mut self, arena: &mut A, h: Handle<Entity>) {
        let se = arena.get(h);
        self.average.add(se);
        self.movable += u32::from(!se.pinned);
        self.tree.insert(arena, h);
    }

    /// `h` waits no more.
    #[inline(always)]
    pub(crate) fn remove<A: Arena<Entity>>(&mut self, arena: &mut A, h: Handle<Entity>) {
        debug_assert!(self.contains(arena, h), "it does not wait");
        match self.shape() {
            Shape::Two(first, second) => {
                self.first = Some(if h == first { second } else { first });
                self.second = None;
            }
            Shape::Many => self.remove_from_tree(arena, h),
            Shape::Nobody | Shape::One(_) => {
                self.average = Average::new(arena.get(h).vruntime);
                self.first = None;
            }
        }
    }

    #[inline(never)]
    fn remove_from_tree<A: Arena<Entity>>(&mut self, arena: &mut A, h: Handle<Entity>) {
        self.tree.remove(arena, h);
        self.first = self.tree.first();
        self.second = self.first;
        if let Some(last) = self.first.filter(|&last| self.tree.is_only(arena, last)) {
            self.tree.remove(arena, last);
            self.second = None;
            return;
        }
        let se = arena.get(h);
        self.average.sub(se);
        self.movable -= u32::from(!se.pinned);
    }

    /// Who waits alone waits no more, and `h` does.
    #[inline(always)]
    pub(crate) fn replace_only(&mut self, h: Handle<Entity>) {
        debug_assert!(
            !self.is_empty() && self.is_alone(),
            "it is not the only one"
        );
        self.first = Some(h);
    }

    /// Whether `h` waits.
    pub(crate) fn contains<A: Arena<Entity>>(&self, arena: &A, h: Handle<Entity>) -> bool {
        match self.shape() {
            Shape::Nobody => false,
            Shape::One(only) => h == only,
            Shape::Two(first, second) => h == first || h == second,
            Shape::Many => self.tree.contains(arena, h),
        }
    }

    /// Checks the invariants in O(n), and returns how many wait.
    ///
    /// # Panics
    ///
    /// If one is broken.
    pub(crate) fn assert_valid<A: Arena<Entity>>(&self, arena: &A) -> usize {
        let in_tree = self.tree.assert_valid(arena);
        let outside = match self.shape() {
            Shape::Nobody => Some(0),
            Shape::One(_) => Some(1),
            Shape::Two(first, second) => {
                let swapped = arena.get(second).before(arena.get(first));
                assert!(!swapped, "the second of two comes first");
                Some(2)
            }
            Shape::Many => None,
        };
        if let Some(outside) = outside {
            assert_eq!(in_tree, 0, "some are in the tree and some are not");
            return outside;
        }
        assert!(in_tree > 1, "one alone is in the tree");
        assert_eq!(self.first, self.tree.first(), "another one is first");
        let (mut recount, mut movable) = (Average::new(self.average.zero()), 0);
        let mut at = self.first;
        while let Some(h) = at {
            let se = arena.get(h);
            recount.add(se);
            movable += u32::from(!se.pinned);
            at = self.tree.next(arena, h);
        }
        assert!(self.average.is_same(&recount), "the kept sum has drifted");
        assert_eq!(movable, self.movable, "wrong number of movable entities");
        in_tree
    }
}
