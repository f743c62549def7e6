//! The end of an item's execution: who has its slot, and whether a flush waited for it.
//!
//! Mostly nothing follows: [`Pool::finish_plain`] and its like ask as little as the way allows on which the item was
//! taken, and leave what is unusual to [`Pool::end`].

use links::Handle;

use crate::execution::Finished;
use crate::item::{On, item, item_mut, pwq, worker, worker_mut};
use crate::ways::Ways;
use crate::{Eyes, Item, Outcome, Pool, Pwq, Store, Worker};

/// What follows from the end of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a flush may wait for it"]
pub enum Over {
    /// The usual case: nothing, and something of its pwq is in flight still.
    Goes,
    /// Nothing, but nothing of its pwq is in flight.
    Last,
    /// What this says, and nothing of its pwq may be in flight.
    Follows(Finished),
}

impl Over {
    /// `p` has finished the colour that a flush waits for.
    pub(crate) const fn flushed(p: Handle<Pwq>) -> Self {
        Self::Follows(Finished {
            flushed: Some(p),
            ..Finished::NOTHING
        })
    }
}

impl Pool {
    /// (6) As [`Pool::finish_barrier`], of item `h`, which `w` executes for `p`.
    #[inline(always)]
    pub fn finish<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        ran: (Handle<Item>, Handle<Pwq>),
    ) -> Over {
        self.finish_seen(s, w, ran, (Eyes::ALL, false))
    }

    /// As [`Pool::finish`], of an item that nobody saw start ([`Pool::go_on`]).
    #[inline(always)]
    pub fn finish_plain<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        ran: (Handle<Item>, Handle<Pwq>),
    ) -> Over {
        self.finish_seen(s, w, ran, (Eyes::NONE, false))
    }

    /// As [`Pool::finish_plain`], of one that [`Pool::go_on_lone`] took.
    #[inline(always)]
    pub fn finish_lone<S: Store, const EYES: u8>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        ran: (Handle<Item>, Handle<Pwq>),
    ) -> Over {
        if !self.is_settled(s, w) {
            return Over::Follows(self.end(s, w, Outcome::Returned));
        }
        self.finish_seen(s, w, ran, (EYES, true))
    }

    /// As [`Pool::finish_plain`], of one that [`Pool::go_on_managed`] took.
    #[inline(always)]
    pub fn finish_bound<S: Store, const EYES: u8>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        (h, p): (Handle<Item>, Handle<Pwq>),
    ) -> Over {
        let seen = EYES != Eyes::NONE;
        let not_plain = if seen {
            Ways::NOT_PLAIN_UNSEEN
        } else {
            Ways::NOT_PLAIN
        };
        if !self.is_settled(s, w) || pwq(s, p).ways.any(not_plain) {
            return Over::Follows(self.finish_aside(s, w, (h, p)));
        }
        debug_assert!(worker(s, w).apart == 0, "it counts as settled");
        Self::note_over(s, w, h);
        self.free_plain_slot(s, p, EYES, false)
    }

    /// As [`Pool::finish_bound`], where something is unusual: mostly that a flush waits while items come.
    #[inline(never)]
    fn finish_aside<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        ran: (Handle<Item>, Handle<Pwq>),
    ) -> Finished {
        match self.finish_seen(s, w, ran, (Eyes::ALL, false)) {
            Over::Goes | Over::Last => Finished::NOTHING,
            Over::Follows(f) => f,
        }
    }

    /// `eyes`: who sees the item, [`Eyes::ALL`] asks; `settled`: [`Pool::is_settled`] has said so.
    #[inline(always)]
    fn finish_seen<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        (h, p): (Handle<Item>, Handle<Pwq>),
        (eyes, settled): (u8, bool),
    ) -> Over {
        let node = worker(s, w);
        debug_assert!(
            node.current == Some(h) && node.current_pwq == Some(p) && node.current_active,
            "it executes another item"
        );
        let share = pwq(s, p);
        let ways = share.ways;
        let aside = if eyes != Eyes::NONE {
            Ways::LEAVES | Ways::OVER
        } else {
            Ways::LEAVES | Ways::OVER | Ways::OBSERVED
        };
        debug_assert!(!settled || node.apart == 0, "it counts as settled");
        if !settled && node.apart != 0 || ways.any(aside) {
            return Over::Follows(self.end(s, w, Outcome::Returned));
        }
        debug_assert!(item(s, h).on() != On::Inactive, "BESIDE");
        if ways.any(Ways::BY_NODE) {
            // Nobody else gets the slot: it is the next one's here, or nobody waits.
            let stays = if share.inactive.is_empty() {
                s.put_back_slot(p)
            } else {
                let more = Self::has_second(s, share);
                s.renew_slot(p, more)
            };
            if !stays {
                return Over::Follows(self.end(s, w, Outcome::Returned));
            }
        }
        Self::note_over(s, w, h);
        let colour = |s: &S| worker(s, w).current_colour;
        self.free_slot(s, p, (colour, ways), eyes)
    }

    /// Behind the first of the waiting items of `p` there is another one.
    #[inline(always)]
    fn has_second<S: Store>(s: &S, p: &Pwq) -> bool {
        let (first, last) = (p.inactive.front(), p.inactive.back());
        // Barriers wait behind an item that knows it.
        match first {
            Some(h) if item(s, h).is_single() => first != last,
            _ => p.inactive() > 1,
        }
    }

    /// `w` executes `h` no more.
    #[inline(always)]
    fn note_over<S: Store>(s: &mut S, w: Handle<Worker>, h: Handle<Item>) {
        let node = worker_mut(s, w);
        (node.current, node.current_pwq) = (None, None);
        item_mut(s, h).runner = None;
    }
}
