//! A work item as the pool sees it, and the store that resolves handles.

use links::{Arena, Handle, Linked, ListLinks};

use crate::{Colour, Pwq, Worker};

/// Resolves the handles of one pool's objects; whoever has it holds the pool's lock.
pub trait Store: Arena<Item> + Arena<Worker> + Arena<Pwq> {
    /// Of pwqs that nobody observes, too, it wants to be told of [`Self::activated`].
    const SEES_ALL: bool = true;

    /// Told when an item that waited for a max_active slot of `pwq` gets one, if somebody observes that.
    fn activated(&mut self, _item: Handle<Item>, _pwq: Handle<Pwq>) {}

    /// A barrier, not one of a BH pool, came to the own list of `worker`: its waiter waits for that one.
    fn claimed(&mut self, _barrier: Handle<Item>, _worker: Handle<Worker>) {}

    /// It went from there back to the list of the pool of `pwq`.
    fn unclaimed(&mut self, _barrier: Handle<Item>, _pwq: Handle<Pwq>) {}

    /// [`crate::NodeLimit::take`] for `pwq`, whose node limits it.
    fn take_slot(&mut self, _pwq: Handle<Pwq>) -> bool {
        true
    }
    /// [`crate::NodeLimit::free`] for `pwq`.
    fn free_slot(&mut self, _pwq: Handle<Pwq>) -> Option<Handle<Pwq>> {
        None
    }
    /// [`crate::NodeLimit::put_back`] for `pwq`.
    fn put_back_slot(&mut self, _pwq: Handle<Pwq>) -> bool {
        false
    }
    /// [`crate::NodeLimit::renew`] for `pwq`.
    fn renew_slot(&mut self, _pwq: Handle<Pwq>, _more: bool) -> bool {
        false
    }
    /// [`crate::NodeLimit::accept`] for `pwq`.
    fn accept_slot(&mut self, _pwq: Handle<Pwq>) -> bool {
        true
    }
    /// `pwq` has nothing in flight: takes it out of its node's line, unless a slot was granted to it.
    fn leave_line(&mut self, _pwq: Handle<Pwq>) -> bool {
        true
    }
}

/// On which list an item is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum On {
    /// None.
    Nothing,
    /// The pool's.
    Worklist,
    /// Its pwq's list of items without a max_active slot.
    Inactive,
    /// The own list of this worker.
    Scheduled(Handle<Worker>),
}

/// The kinds of [`On`], in one byte beside the item's marks: so one comparison asks for both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum OnList {
    Nothing,
    Worklist,
    Inactive,
    Scheduled,
}

/// Who wants to know of an item's start, and so on which way it starts: the ways of those of whom less is asked are quicker.
#[derive(Debug)]
pub struct Eyes;

impl Eyes {
    /// Nobody, and its pwq is like most.
    pub const NONE: u8 = 0;
    /// Events are told of it, no more.
    pub const EVENTS: u8 = 1;
    /// Its time is followed, or its pwq is asked.
    pub const ALL: u8 = 2;
}

/// How an execution ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The handler returned.
    Returned,
    /// The handler panicked and its worker is gone.
    Panicked,
}

/// The node of a work item or of a flush barrier.
#[derive(Debug)]
#[repr(C)] // What is written together lies together, and what is written first at the beginning.
pub struct Item {
    /// Set while queued.
    pub(crate) pwq: Option<Handle<Pwq>>,
    /// Who executes an earlier submission of this item.
    pub(crate) runner: Option<Handle<Worker>>,
    pub(crate) links: ListLinks<Self>,
    /// On whose own list it is, if it is on one.
    whose: Option<Handle<Worker>>,
    pub(crate) colour: Colour,
    on: OnList,
    /// Zero for an item like most: nothing is linked to it, it does not wait beside its own run, and its pwq is asked nothing
    /// when it starts.
    marks: u8,
}

impl Item {
    const LINKED: u8 = 1;
    const BARRIER: u8 = 1 << 1;
    const CURSOR: u8 = 1 << 2;
    const BESIDE: u8 = 1 << 3;
    const ASIDE: u8 = 1 << 4;
    const SEEN: u8 = 1 << 5;
    /// What says how it starts.
    const START: u8 = Self::ASIDE | Self::SEEN;

    /// The node of a fresh work item.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            links: ListLinks::new(),
            pwq: None,
            whose: None,
            colour: 0,
            on: OnList::Nothing,
            marks: 0,
            runner: None,
        }
    }

    /// The node of a barrier: it is executed like an item, but only tells a waiter.
    #[must_use]
    pub const fn barrier() -> Self {
        let mut item = Self::new();
        item.marks = Self::BARRIER;
        item
    }

    /// The node that keeps a rescuer's place on the list of a pool.
    #[must_use]
    pub const fn cursor() -> Self {
        let mut item = Self::new();
        item.marks = Self::CURSOR;
        item
    }

    /// On which list it is.
    #[inline(always)]
    pub(crate) const fn on(&self) -> On {
        match (self.on, self.whose) {
            (OnList::Worklist, _) => On::Worklist,
            (OnList::Inactive, _) => On::Inactive,
            (OnList::Scheduled, Some(w)) => On::Scheduled(w),
            (OnList::Nothing | OnList::Scheduled, _) => On::Nothing,
        }
    }

    /// It is there now.
    #[inline(always)]
    pub(crate) const fn set_on(&mut self, on: On) {
        self.on = match on {
            On::Nothing => OnList::Nothing,
            On::Worklist => OnList::Worklist,
            On::Inactive => OnList::Inactive,
            On::Scheduled(w) => {
                self.whose = Some(w);
                OnList::Scheduled
            }
        };
    }

    /// Whether it is on the pool's list, and so many [`Eyes`], of [`Eyes::NONE`] and [`Eyes::EVENTS`], will see it start:
    /// [`Self::starts_by`] there.
    #[inline(always)]
    pub(crate) const fn is_listed_by(&self, eyes: u8) -> bool {
        let marks = match eyes {
            Eyes::NONE => 0,
            _ => Self::SEEN,
        };
        let wanted = u16::from_ne_bytes([OnList::Worklist as u8, marks]);
        u16::from_ne_bytes([self.on as u8, self.marks]) == wanted
    }

    /// It is on no list any more, after [`Self::is_listed_by`].
    #[inline(always)]
    pub(crate) const fn unlist(&mut self) {
        debug_assert!(
            matches!(self.on, OnList::Worklist) && self.marks & !Self::SEEN == 0,
            "marks that mean something still"
        );
        (self.on, self.marks) = (OnList::Nothing, 0);
    }

    /// Whether this is a barrier.
    #[inline(always)]
    #[must_use]
    pub const fn is_barrier(&self) -> bool {
        self.marks & Self::BARRIER != 0
    }

    /// A rescuer's place on the list, nothing to execute.
    #[inline(always)]
    pub(crate) const fn is_cursor(&self) -> bool {
        self.marks & Self::CURSOR != 0
    }

    /// The next entry of the same list waits for this one.
    #[inline(always)]
    pub(crate) const fn is_linked(&self) -> bool {
        self.marks & Self::LINKED != 0
    }

    pub(crate) const fn set_linked(&mut self, on: bool) {
        self.marks = if on {
            self.marks | Self::LINKED
        } else {
            self.marks & !Self::LINKED
        };
    }

    /// It is a work item, whatever is linked to it.
    #[inline(always)]
    pub(crate) const fn is_work(&self) -> bool {
        self.marks & (Self::BARRIER | Self::CURSOR) == 0
    }

    /// It waits for a slot, and its pwq counts it in [`Pwq::nr_beside`].
    #[inline(always)]
    pub(crate) const fn is_beside(&self) -> bool {
        self.marks & Self::BESIDE != 0
    }

    pub(crate) const fn set_beside(&mut self, on: bool) {
        self.marks = if on {
            self.marks | Self::BESIDE
        } else {
            self.marks & !Self::BESIDE
        };
    }

    /// It is about to be queued, and so many [`Eyes`] will see it start.
    #[inline(always)]
    pub fn set_eyes(&mut self, eyes: u8) {
        debug_assert!(self.marks & !Self::START == 0, "it is queued already");
        self.marks = match eyes {
            Eyes::NONE => 0,
            Eyes::EVENTS => Self::SEEN,
            _ => Self::ASIDE,
        };
    }

    /// As [`Self::set_eyes`] of more than before, of an item that waits.
    #[inline(always)]
    pub fn add_eyes(&mut self, eyes: u8) {
        self.marks |= match eyes {
            Eyes::NONE => 0,
            Eyes::EVENTS => Self::SEEN,
            _ => Self::ASIDE,
        };
    }

    /// It starts, or was taken out.
    #[inline(always)]
    pub(crate) const fn shut_eyes(&mut self) {
        self.marks &= !Self::START;
    }

    /// Whether it starts as those do that so many see; of [`Eyes::ALL`] whatever else is.
    #[inline(always)]
    pub(crate) const fn starts_by(&self, eyes: u8) -> bool {
        match eyes {
            Eyes::NONE => self.is_plain(),
            Eyes::EVENTS => self.marks == Self::SEEN,
            _ => self.is_work() && !self.is_plain() && self.marks != Self::SEEN,
        }
    }

    /// Who sees it start; [`Eyes::ALL`] of one that is not like most.
    #[inline(always)]
    pub(crate) const fn eyes(&self) -> u8 {
        match self.marks {
            0 => Eyes::NONE,
            Self::SEEN => Eyes::EVENTS,
            _ => Eyes::ALL,
        }
    }

    /// It is a work item, nothing is linked to it, it does not wait beside its own run, and nobody sees it start.
    #[inline(always)]
    pub(crate) const fn is_plain(&self) -> bool {
        self.marks == 0
    }

    /// As [`Self::is_plain`], whoever sees it start.
    #[inline(always)]
    pub(crate) const fn is_single(&self) -> bool {
        self.marks & !Self::START == 0
    }

    /// Whether it is on a list.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        !matches!(self.on, OnList::Nothing)
    }

    /// Whether it waits for a max_active slot.
    #[must_use]
    pub fn is_inactive(&self) -> bool {
        matches!(self.on, OnList::Inactive)
    }

    /// The worker executing it now.
    #[must_use]
    pub const fn runner(&self) -> Option<Handle<Worker>> {
        self.runner
    }
}

impl Default for Item {
    fn default() -> Self {
        Self::new()
    }
}

impl Linked for Item {
    #[inline(always)]
    fn list_links(&self) -> &ListLinks<Self> {
        &self.links
    }
    #[inline(always)]
    fn list_links_mut(&mut self) -> &mut ListLinks<Self> {
        &mut self.links
    }
}

#[inline(always)]
pub(crate) fn item<S: Store>(s: &S, h: Handle<Item>) -> &Item {
    s.get(h)
}
#[inline(always)]
pub(crate) fn item_mut<S: Store>(s: &mut S, h: Handle<Item>) -> &mut Item {
    s.get_mut(h)
}
#[inline(always)]
pub(crate) fn worker<S: Store>(s: &S, h: Handle<Worker>) -> &Worker {
    s.get(h)
}
#[inline(always)]
pub(crate) fn worker_mut<S: Store>(s: &mut S, h: Handle<Worker>) -> &mut Worker {
    s.get_mut(h)
}
#[inline(always)]
pub(crate) fn pwq<S: Store>(s: &S, h: Handle<Pwq>) -> &Pwq {
    s.get(h)
}
#[inline(always)]
pub(crate) fn pwq_mut<S: Store>(s: &mut S, h: Handle<Pwq>) -> &mut Pwq {
    s.get_mut(h)
}
