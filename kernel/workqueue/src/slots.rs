//! Slots of max_active: how a waiting item becomes active (C9, D2-D6).
//!
//! A pwq whose queue is per-CPU or ordered has slots of its own. One of an unbound queue takes them
//! from its node ([`crate::NodeLimit`]), which the [`Store`] reaches; a slot that becomes free there
//! may be for a pwq of another pool. Its handle is handed up, and the executive brings it to that
//! pool, holding no other pool's lock, and calls [`Pool::accept`].

use links::{Handle, List};

use crate::item::{On, item, item_mut, pwq, pwq_mut};
use crate::ways::{Leaving, Ways};
use crate::{Colour, Eyes, Item, Over, Pool, Pwq, Store, Worker};

/// What accepting a slot decided.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[must_use = "the worker must be woken, the slot passed on"]
pub struct Accepted {
    /// Wake this worker.
    pub wake: Option<Handle<Worker>>,
    /// The slot was not needed, and is for this pwq.
    pub hand: Option<Handle<Pwq>>,
    /// This pwq has left the pool.
    pub gone: Option<Handle<Pwq>>,
}

/// Of what an item's end was the end.
enum End {
    Flush,
    /// It was the last one in flight.
    Last,
    None,
}

impl Pool {
    /// Changes `p`'s own limit; raising it activates waiting items (D6). The worker to wake.
    #[must_use = "the worker must be woken"]
    pub fn set_max_active<S: Store>(
        &mut self,
        s: &mut S,
        p: Handle<Pwq>,
        max_active: u32,
    ) -> Option<Handle<Worker>> {
        pwq_mut(s, p).limit(max_active);
        self.activate(s, p);
        self.kick(s)
    }

    /// `p`, whose items wait, gets the slot that its node keeps for it: one item starts, and with
    /// more waiting it goes to the end of the line (D5).
    pub fn accept<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>) -> Accepted {
        let mut result = Accepted::default();
        let mut slot = s.accept_slot(p);
        while slot {
            if !self.activate_first(s, p, Eyes::ALL) {
                result.hand = s.free_slot(p);
                break;
            }
            pwq_mut(s, p).nr_active += 1;
            slot = !pwq(s, p).inactive.is_empty() && s.take_slot(p);
        }
        // It may have emptied while the slot was on its way, and waited for that with leaving.
        result.gone = Self::left(s, p);
        result.wake = self.kick(s);
        result
    }

    /// Takes a slot for an item that was just queued, if it may have one.
    #[inline(always)]
    pub(crate) fn take_slot<S: Store>(s: &mut S, p: Handle<Pwq>) -> bool {
        let share = pwq(s, p);
        if share
            .ways
            .any(Ways::UNLIMITED | Ways::BY_NODE | Ways::LEAVES)
        {
            // It goes behind those that wait (C9).
            return share.inactive.is_empty() && Self::take_slot_elsewhere(s, p);
        }
        // While items wait, all slots are taken (invariant).
        let entered = share.entered + 1;
        share.inactive.is_empty() && pwq_mut(s, p).has_slot(entered)
    }

    /// As [`Self::take_slot`], of a pwq that stays and shares the slots of its node.
    #[inline(always)]
    pub(crate) fn take_slot_of_node<S: Store>(s: &mut S, p: Handle<Pwq>) -> bool {
        let share = pwq(s, p);
        debug_assert!(
            share.takes_of_node() && share.max_active == u32::MAX,
            "its slots are elsewhere"
        );
        // It goes behind those that wait (C9).
        let active = share.inactive.is_empty() && s.take_slot(p);
        if active {
            pwq_mut(s, p).nr_active += 1;
        }
        active
    }

    /// As [`Self::take_slot`], where nothing waits: it is the node's, the pwq leaves, or it needs none.
    #[inline(never)]
    fn take_slot_elsewhere<S: Store>(s: &mut S, p: Handle<Pwq>) -> bool {
        let share = pwq(s, p);
        if share.ways.any(Ways::UNLIMITED) {
            return true;
        }
        let own = share.active() < share.max_active;
        let may = own && share.leaving().activates();
        let active = may && (!share.is_limited_by_node() || s.take_slot(p));
        pwq_mut(s, p).nr_active += u32::from(active);
        active
    }

    /// `p` is to leave, and nothing keeps it any more: told once.
    #[inline(always)]
    pub(crate) fn left<S: Store>(s: &mut S, p: Handle<Pwq>) -> Option<Handle<Pwq>> {
        if pwq(s, p).ways.any(Ways::LEAVES) {
            return Self::departs(s, p);
        }
        None
    }

    #[cold]
    fn departs<S: Store>(s: &mut S, p: Handle<Pwq>) -> Option<Handle<Pwq>> {
        let share = pwq(s, p);
        let leaving = share.leaving();
        let (free, nr) = (!share.is_pinned(), share.nr_in_flight());
        let (empty, waits) = (
            free && nr == 0,
            free && nr == share.nr_waiting() && share.nr_beside == 0,
        );
        let next = match leaving {
            Leaving::Retired if empty && s.leave_line(p) => Leaving::Gone,
            Leaving::Plugged if waits => Leaving::Moving,
            _ => return None,
        };
        pwq_mut(s, p).set_leaving(next);
        Some(p)
    }

    /// The run is over of `h`, which waits for a slot again. Another pwq than `p`, that of the run, which waited
    /// for that with moving.
    #[cold]
    pub(crate) fn runs_no_more<S: Store>(
        s: &mut S,
        h: Handle<Item>,
        p: Handle<Pwq>,
    ) -> Option<Handle<Pwq>> {
        let other = item(s, h).pwq?;
        item_mut(s, h).set_beside(false);
        pwq_mut(s, other).nr_beside -= 1;
        if other == p {
            return None;
        }
        Self::left(s, other)
    }

    /// `p`'s queue has other pwqs now: new items go there. True: it is gone already; else the end of
    /// its last item will say so.
    #[must_use = "a pwq that is gone holds its pool no longer"]
    pub fn retire<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>) -> bool {
        pwq_mut(s, p).set_leaving(Leaving::Retired);
        Self::departs(s, p).is_some()
    }

    /// `p`, of an ordered queue, shall move to another pool with all that waits in it, in order
    /// (D9): no item starts until it has. True: it can move now; else the end of the active item
    /// will say so. A pwq that retired, because its queue was destroyed, does not move.
    #[must_use = "a pwq that can move must be moved"]
    pub fn plug<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>) -> bool {
        if !matches!(pwq(s, p).leaving(), Leaving::No | Leaving::Plugged) {
            return false;
        }
        pwq_mut(s, p).set_leaving(Leaving::Plugged);
        Self::departs(s, p).is_some()
    }

    /// Whether `p`, of which [`Self::plug`] or the end of an item said that it can move, still can. Meanwhile an item of
    /// it may have been cancelled whose barriers are on their way here, or one queued that runs here: else the end
    /// of that will say so.
    #[must_use = "a pwq that can move must be moved"]
    pub fn still_moves<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>) -> bool {
        debug_assert!(pwq(s, p).leaving() == Leaving::Moving, "nobody said so");
        pwq_mut(s, p).set_leaving(Leaving::Plugged);
        Self::departs(s, p).is_some()
    }

    /// `p` has moved to this pool, and its items may start. The worker to wake.
    #[must_use = "the worker must be woken"]
    pub fn unplug<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>) -> Option<Handle<Worker>> {
        pwq_mut(s, p).set_leaving(Leaving::No);
        self.activate(s, p);
        self.kick(s)
    }

    /// The items of `p` that wait for a slot, through `f`, in order.
    pub fn each_waiting<S: Store>(&self, s: &S, p: Handle<Pwq>, mut f: impl FnMut(Handle<Item>)) {
        let list = &pwq(s, p).inactive;
        let items = list.iter(s).filter(|&h| !item(s, h).is_barrier());
        items.for_each(&mut f);
    }

    /// The barriers among them, through `f`, in order.
    pub fn each_waiting_barrier<S: Store>(
        &self,
        s: &S,
        p: Handle<Pwq>,
        f: impl FnMut(Handle<Item>),
    ) {
        let list = &pwq(s, p).inactive;
        let barriers = list.iter(s).filter(|&h| item(s, h).is_barrier());
        barriers.for_each(f);
    }

    /// An active item of `p`, which stays, is over, or out, and its slot is `p`'s: the next that waits has it.
    /// `colour` says its colour, and `p` has these `ways`. `eyes`: who sees it; [`Eyes::ALL`] asks.
    #[inline(always)]
    pub(crate) fn free_slot<S: Store>(
        &mut self,
        s: &mut S,
        p: Handle<Pwq>,
        (colour, ways): (impl FnOnce(&S) -> Colour, Ways),
        eyes: u8,
    ) -> Over {
        let by_node = ways.any(Ways::BY_NODE);
        if ways.any(Ways::COLOURED) {
            let c = colour(s);
            return match self.free_coloured_slot(s, p, c, by_node) {
                End::Flush => Over::flushed(p),
                End::Last => Over::Last,
                End::None => Over::Goes,
            };
        }
        self.free_plain_slot(s, p, eyes, by_node)
    }

    /// As [`Self::free_slot`], where nothing of an earlier colour is in flight.
    #[inline(always)]
    pub(crate) fn free_plain_slot<S: Store>(
        &mut self,
        s: &mut S,
        p: Handle<Pwq>,
        eyes: u8,
        by_node: bool,
    ) -> Over {
        pwq_mut(s, p).passed += 1;
        if !self.pass_on(s, p, eyes, by_node) {
            Over::Goes
        } else if pwq_mut(s, p).has_turned() {
            Over::flushed(p)
        } else {
            Over::Last
        }
    }

    /// As [`Self::free_slot`], where something of an earlier colour is in flight.
    #[inline(never)]
    fn free_coloured_slot<S: Store>(
        &mut self,
        s: &mut S,
        p: Handle<Pwq>,
        c: Colour,
        by_node: bool,
    ) -> End {
        let faded = pwq_mut(s, p).leaves(c);
        match (faded, self.pass_on(s, p, Eyes::ALL, by_node)) {
            (true, _) => End::Flush,
            (false, true) => End::Last,
            (false, false) => End::None,
        }
    }

    /// An active item of `p` has passed, whose slot is the node's if `by_node`. Whether nothing of `p` is in flight now.
    #[inline(always)]
    pub(crate) fn pass_on<S: Store>(
        &mut self,
        s: &mut S,
        p: Handle<Pwq>,
        eyes: u8,
        by_node: bool,
    ) -> bool {
        let share = pwq_mut(s, p);
        debug_assert!(
            !share.ways.any(Ways::UNLIMITED | Ways::LEAVES | Ways::OVER),
            "it has other slots, or none"
        );
        debug_assert!(by_node == share.ways.any(Ways::BY_NODE), "whose slot it is");
        if share.inactive.is_empty() {
            if by_node {
                share.nr_active -= 1;
            }
            return share.entered == share.passed;
        }
        self.activate_first(s, p, eyes);
        false
    }

    /// An active item of `p` has passed; who gets its slot, if that is another pwq.
    #[inline(always)]
    pub(crate) fn give_back<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>) -> Option<Handle<Pwq>> {
        let share = pwq_mut(s, p);
        if share.ways.any(Ways::UNLIMITED) {
            return None;
        }
        if !share.ways.any(Ways::COUNTED) {
            // If something waits, all slots were taken but this one.
            self.activate_first(s, p, Eyes::ALL);
            return None;
        }
        share.nr_active -= 1;
        share.note_over();
        if share.is_limited_by_node() {
            return s.free_slot(p);
        }
        if !share.inactive.is_empty() {
            self.activate(s, p);
        }
        None
    }

    /// (3) Moves inactive items of `p`, whose `nr_active` is up to date, to the list while it has slots of its own.
    fn activate<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>) {
        let share = pwq(s, p);
        let may = !share.is_limited_by_node() && share.leaving().activates();
        while may && pwq(s, p).nr_active < pwq(s, p).max_active {
            if !self.activate_first(s, p, Eyes::ALL) {
                return;
            }
            pwq_mut(s, p).nr_active += 1;
        }
    }

    /// Moves the first inactive item of `p` to the list, with a slot that `p` has for it. False: there is
    /// none. `eyes`: who sees it; [`Eyes::ALL`] asks.
    #[inline(always)]
    fn activate_first<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>, eyes: u8) -> bool {
        let Some(h) = List::pop_front_of(s, |s| &mut pwq_mut(s, p).inactive) else {
            return false;
        };
        let it = item_mut(s, h);
        it.set_on(On::Worklist);
        // Who is not seen may have been when it was queued.
        let (single, told) = match eyes {
            Eyes::NONE => (it.is_plain(), false),
            Eyes::EVENTS => (it.is_single(), true),
            _ => (it.is_single(), pwq(s, p).ways.any(Ways::OBSERVED)),
        };
        if S::SEES_ALL || told {
            s.activated(h, p);
        }
        self.push(s, h);
        if !single {
            self.activated_beside_or_linked(s, p, h);
        }
        true
    }

    /// `h`, that was the first of `p`'s waiting items, waits no more, and what is linked to it goes after it.
    #[cold]
    fn activated_beside_or_linked<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>, h: Handle<Item>) {
        let it = item_mut(s, h);
        let (linked, beside) = (it.is_linked(), it.is_beside());
        it.set_beside(false);
        pwq_mut(s, p).nr_beside -= u32::from(beside);
        if linked {
            self.release_linked(s, p);
        }
    }

    fn release_linked<S: Store>(&mut self, s: &mut S, p: Handle<Pwq>) {
        let mut list = core::mem::take(&mut pwq_mut(s, p).inactive);
        let behind = list.front();
        let released = self.release_chain(s, &mut list, behind);
        let share = pwq_mut(s, p);
        share.inactive = list;
        share.nr_waiting_barriers -= released;
    }

    /// Moves the barriers from `b` on, up to the end of their chain, from `list` to the worklist; how
    /// many.
    pub(crate) fn release_chain<S: Store>(
        &mut self,
        s: &mut S,
        list: &mut List<Item>,
        b: Option<Handle<Item>>,
    ) -> u32 {
        let (mut next, mut n) = (b, 0);
        while let Some(h) = next {
            n += 1;
            next = if item(s, h).is_linked() {
                list.next(s, h)
            } else {
                None
            };
            list.remove(s, h);
            item_mut(s, h).set_on(On::Worklist);
            self.push(s, h);
        }
        n
    }
}
