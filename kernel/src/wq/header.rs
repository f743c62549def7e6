//! What every work item starts with, whatever its type: the part that queues know.
//!
//! The data word says who owns the item, the node which list it is on, and the table what its type
//! does. Why items have no box and who may touch which field is told in [`super::item`].
#![expect(unsafe_code, reason = "type-erased items and their reference counts")]

use core::cell::{Cell, UnsafeCell};
use core::mem::offset_of;

use links::Handle;
use sync::handshake::InRun;
use workqueue::Item;
use workqueue::anatomy::Stamps;
use workword::{Place, State, Taken, WorkWord};

use super::alarm::Alarm;

/// The functions of one type of item.
pub(super) struct Vtable {
    pub(super) retain: unsafe fn(*const Header),
    pub(super) release: unsafe fn(*const Header),
    /// What may be done with a weak count on the item's `Arc`.
    pub(super) weak: unsafe fn(*const Header, WeakOp) -> bool,
    /// Called instead of `release`, when the handler panicked and the pool has forgotten the run; `None`
    /// to leak the count.
    pub(super) panicked: Option<unsafe fn(*const Header)>,
    pub(super) name: fn() -> &'static str,
    /// Where the alarm is, from the header on; `None` for items without delay.
    pub(super) alarm: Option<usize>,
}

/// A [`super::item::Run`] of an item of any type.
#[repr(C)]
pub(super) struct ErasedRun {
    pub(super) item: *const Header,
    pub(super) taken: Taken,
}

/// What is done with a weak count on an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WeakOp {
    /// Takes one; whoever does has a strong count.
    Take,
    /// Adds a strong count, unless there is none any more: false then.
    Upgrade,
    /// Whether there is a strong count.
    IsAlive,
    /// Gives the weak count up.
    Drop,
}

/// [`Vtable::weak`] of items that nobody else has.
///
/// # Safety
///
/// None is needed.
pub(super) unsafe fn never_shared(_: *const Header, _: WeakOp) -> bool {
    unreachable!("it is in no group");
}

/// What every item starts with.
#[repr(C)]
pub(super) struct Header {
    pub(super) word: WorkWord,
    node: UnsafeCell<Item>,
    /// `[A]` changed under the lock of the pool whose worker executes it.
    pub(super) in_run: InRun,
    /// When it was queued and activated; like `node`.
    pub(super) stamps: Cell<Stamps>,
    pub(super) vtable: &'static Vtable,
    /// Code address of the handler, which is given the context and an [`ErasedRun`].
    function: *const (),
}

// SAFETY: the module documentation says who may touch `node` and `stamps`.
unsafe impl Sync for Header {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Header {}

impl Header {
    pub(super) const fn new(vtable: &'static Vtable, function: *const ()) -> Self {
        Self {
            word: WorkWord::new(),
            node: UnsafeCell::new(Item::new()),
            in_run: InRun::new(),
            stamps: Cell::new(Stamps::new()),
            vtable,
            function,
        }
    }

    /// The handle pools know the item by.
    #[inline(always)]
    pub(super) fn handle(&self) -> Handle<Item> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.node.get())
    }

    /// The item whose node this is.
    ///
    /// # Safety
    ///
    /// The handle was made by [`Self::handle`] of an item that lives for `'a`.
    #[inline(always)]
    pub(super) unsafe fn of<'a>(h: Handle<Item>) -> &'a Self {
        let p = core::ptr::with_exposed_provenance::<Self>(h.raw() - offset_of!(Self, node));
        // SAFETY: promised by the caller.
        unsafe { &*p }
    }

    /// Takes over the submission's count, if it has one; by the owner of `PENDING`, who gives that up next.
    #[inline(always)]
    pub(super) fn take_hold(&self) -> Hold {
        Hold {
            item: self,
            held: self.word.state().held,
        }
    }

    /// `retain` takes the count of a submission that is `held`; by its owner.
    #[inline]
    pub(super) fn hold(&self, held: bool, retain: impl FnOnce()) {
        retain();
        self.word.set_held(held);
    }

    /// Ends the pending state: [`WorkWord::take`], and the submission's count, if it has one.
    #[inline(always)]
    pub(super) fn take(&self) -> (Taken, Hold) {
        let taken = self.word.take();
        let held = taken.is_held();
        (taken, Hold { item: self, held })
    }

    /// The item's alarm, if it is a delayed item.
    pub(super) fn alarm(&self) -> Option<&Alarm> {
        let p = core::ptr::from_ref(self)
            .cast::<u8>()
            .wrapping_add(self.vtable.alarm?);
        // SAFETY: `Inside` promises that the alarm is there, in the structure this header begins.
        Some(unsafe { &*p.cast::<Alarm>() })
    }

    /// By what its word said: its owner is about to queue it, to arm its timer or to give it up, soon: interrupts are masked
    /// there. Stale at once, but false says that no submission before the look is on its way.
    #[inline(always)]
    pub(super) fn changes_hands(&self, s: State) -> bool {
        s.pending && !s.queued && !self.alarm().is_some_and(Alarm::is_set)
    }

    /// Whether the lock of the pool at `place`, which the caller holds, is that of the list on which the item is, if it
    /// is on any, and of its run. Not if it is on its way elsewhere: both from one look at the word.
    pub(super) fn belongs_to(&self, place: Place) -> bool {
        let s = self.word.state();
        s.place == place && !self.changes_hands(s)
    }

    /// Address of the handler.
    #[inline(always)]
    pub(super) fn function(&self) -> usize {
        self.function.addr()
    }

    /// Calls the handler.
    ///
    /// # Safety
    ///
    /// `cx` points to the context that the item's type asks for, and the caller holds the
    /// submission's count.
    #[inline(always)]
    pub(super) unsafe fn run(&self, cx: *const (), taken: Taken) {
        let run = ErasedRun { item: self, taken };
        // SAFETY: `new` was given such a function. One that takes references to these two, of sized types, is called
        // alike: they are passed like pointers.
        let handler: unsafe fn(*const (), *const ErasedRun) =
            unsafe { core::mem::transmute(self.function) };
        // SAFETY: promised by the caller.
        unsafe { handler(cx, &raw const run) }
    }
}

impl Header {
    /// The pool has forgotten a run of this item that panicked: whoever waits for its count hears of it.
    /// Without any lock; the item may be gone when this returns. For others the count is leaked.
    ///
    /// # Safety
    ///
    /// The caller gives up that run's count, which the item is kept by.
    pub(super) unsafe fn tell_panicked(&self) {
        if let Some(panicked) = self.vtable.panicked {
            // SAFETY: the table fits the item; the count is the caller's.
            unsafe { panicked(self) }
        }
    }
}

/// One count on an item; dropping it may free the item, so do that outside locks.
#[must_use = "dropping it under a lock may run the item's destructor there"]
pub(super) struct Hold {
    item: *const Header,
    /// There is a count to give up.
    held: bool,
}

impl Hold {
    /// No count.
    pub(super) const NONE: Self = Self {
        item: core::ptr::null(),
        held: false,
    };

    /// Takes over a count that was forgotten.
    ///
    /// # Safety
    ///
    /// There is one on the item of `h` that nobody else gives up.
    pub(super) const unsafe fn adopt(h: *const Header) -> Self {
        Self {
            item: h,
            held: true,
        }
    }

    /// Whether there is a count to give up.
    #[inline(always)]
    pub(super) const fn is_some(&self) -> bool {
        self.held
    }
}

impl Drop for Hold {
    #[inline(always)]
    fn drop(&mut self) {
        if self.held {
            // SAFETY: the count keeps the item alive until here.
            let vtable = unsafe { &*self.item }.vtable;
            // SAFETY: gives up the one count that this value stands for.
            unsafe { (vtable.release)(self.item) }
        }
    }
}
