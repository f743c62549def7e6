//! What the end of an item leaves to do elsewhere: a slot to bring to another pool, a share to move.
//!
//! Never two pools' locks at once: what concerns the pool at hand is done under its lock, the rest
//! when that is free. Meanwhile a slot is granted, which keeps the share it is for in its place, and
//! a share that moves takes new items but lets none start; drains wait for both.
//!
//! References: rows D5, D9.

use links::{Arena, Handle};
use workqueue::Pwq;

use super::handles::share_of;
use super::header::Hold;
use super::pool::{Inner, Pool};
use super::{unbound, urge};

/// What is left to be done for other pools when an item is over. The slot of an item may be another
/// pool's to take, a share may have to move: neither with a pool's lock held.
#[derive(Clone, Copy, Default)]
#[must_use = "the slot would be lost"]
pub(super) struct Rest {
    hand: Option<Handle<Pwq>>,
    moves: Option<Handle<Pwq>>,
}

impl Rest {
    /// Nothing.
    pub(super) const NONE: Self = Self {
        hand: None,
        moves: None,
    };

    /// As `self`, and the share of `freed` can move, if that is one.
    #[inline(always)]
    pub(super) fn and(self, freed: Option<Handle<Pwq>>) -> Self {
        match freed {
            None => self,
            Some(p) => self.and_moves(p),
        }
    }

    #[cold]
    fn and_moves(self, p: Handle<Pwq>) -> Self {
        share_of(p).also.set(self.moves);
        Self {
            moves: Some(p),
            ..self
        }
    }

    /// Nothing is left.
    #[inline(always)]
    pub(super) const fn is_none(self) -> bool {
        self.hand.is_none() && self.moves.is_none()
    }

    /// A slot that was kept for the share of this pwq.
    pub(super) const fn slot_for(p: Handle<Pwq>) -> Self {
        Self {
            hand: Some(p),
            ..Self::NONE
        }
    }

    /// Does it. No pool's lock is held.
    #[cold]
    pub(super) fn carry_out(self) {
        let mut rest = self;
        while !rest.is_none() {
            while let Some(p) = rest.moves {
                let share = share_of(p);
                rest.moves = share.also.take();
                share.carry_over();
            }
            let Some(p) = rest.hand.take() else { continue };
            // The grant keeps the share where it is.
            let (pool, mut g) = share_of(p).lock();
            let Inner { policy, store, .. } = &mut *g;
            let a = policy.accept(store, p);
            urge::look_again(pool, &mut g);
            pool.wake(a.wake);
            rest = pool.conclude(&mut g, a.hand, a.gone);
        }
    }
}

/// What a worker does as soon as it has let its pool's lock go. It decides on its next step first:
/// what waits for this very worker would be overtaken otherwise.
#[must_use = "the slot would be lost, and the count be given up under the lock"]
pub(super) struct After {
    /// The count on the item before, whose destructor may run.
    pub(super) hold: Hold,
    pub(super) rest: Rest,
}

impl After {
    /// Nothing.
    pub(super) const NONE: Self = Self {
        hold: Hold::NONE,
        rest: Rest::NONE,
    };

    /// No more than `hold`.
    #[inline(always)]
    pub(super) const fn of(hold: Hold) -> Self {
        let rest = Rest::NONE;
        Self { hold, rest }
    }

    /// Whether there is anything.
    #[inline(always)]
    pub(super) const fn is_some(&self) -> bool {
        self.hold.is_some() || !self.rest.is_none()
    }

    /// Does it. No pool's lock is held.
    #[inline(always)]
    pub(super) fn settle(self) {
        drop(self.hold);
        if !self.rest.is_none() {
            self.rest.carry_out();
        }
    }
}

impl Pool {
    /// Carries out what the end of an item decided, as far as it concerns this pool; under its lock.
    #[inline(always)]
    pub(super) fn conclude(
        &'static self,
        g: &mut Inner,
        hand: Option<Handle<Pwq>>,
        gone: Option<Handle<Pwq>>,
    ) -> Rest {
        if hand.is_none() && gone.is_none() {
            Rest::default()
        } else {
            self.conclude_more(g, hand, gone)
        }
    }

    #[cold]
    fn conclude_more(
        &'static self,
        g: &mut Inner,
        mut hand: Option<Handle<Pwq>>,
        mut gone: Option<Handle<Pwq>>,
    ) -> Rest {
        let mut rest = Rest::default();
        loop {
            if let Some(p) = gone.take() {
                let pwq: &Pwq = Arena::get(&g.store, p);
                if pwq.is_gone() {
                    unbound::put(self, g);
                } else {
                    rest.moves = Some(p);
                }
            }
            let here = |p: &Handle<Pwq>| core::ptr::eq(share_of(*p).pool(), self);
            let Some(p) = hand.filter(here) else {
                rest.hand = hand;
                return rest;
            };
            let Inner { policy, store, .. } = g;
            let a = policy.accept(store, p);
            urge::look_again(self, g);
            self.wake(a.wake);
            (hand, gone) = (a.hand, a.gone);
        }
    }
}
