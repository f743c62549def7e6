//! Work items: a value, its handler, and the header that queues know.
//!
//! A queue holds items of many types, so each starts with a [`Header`]: the data word (who owns
//! the item), the node (which list it is on) and a table of functions for its type. The naive
//! alternative, a boxed closure for each submission, allocates on every queueing and cannot answer
//! "is it already queued?".
//!
//! # Ownership
//!
//! A queued item must stay alive. It is submitted as `&Arc<Work<T>>` (the queue takes one count,
//! and gives it up after the run or the cancel), or as `&'static Work<T>` (it always lives). The
//! count belongs to one submission, whose word says that there is one: whoever ends the pending state (the worker that
//! takes it, the thief that cancels it) inherits it.
//!
//! B8: a handler may drop every other reference to its item; the worker's own count keeps the
//! memory until the pool's books are closed, and is dropped outside every lock.
//!
//! # Who may touch what
//!
//! `word`: anybody, atomically. `node` and `stamps`: under the lock of the pool that the word names, or nobody's
//! while the item is owned and unqueued.
#![expect(unsafe_code, reason = "type-erased items and their reference counts")]

use alloc::sync::{Arc, Weak};
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, offset_of};
use core::ops::Deref;

use workword::Taken;

use super::header::{ErasedRun, Header, Vtable, WeakOp};
use crate::softirq::BhCx;
use crate::thread::ThreadCx;

/// Where handlers of an item run: [`Threaded`] or [`Softirq`].
pub trait Context: Sized + 'static + private::Sealed {
    /// What the handler is given: proof of what it may do.
    type Cx<'a>;
    /// Runs in BH context.
    const BH: bool;
}

/// Items run by worker threads; their handlers may sleep.
#[derive(Debug)]
pub enum Threaded {}

/// Items run in BH context; their handlers may not sleep.
#[derive(Debug)]
pub enum Softirq {}

impl Context for Threaded {
    type Cx<'a> = ThreadCx<'a>;
    const BH: bool = false;
}

impl Context for Softirq {
    type Cx<'a> = BhCx<'a>;
    const BH: bool = true;
}

mod private {
    pub trait Sealed {}
    impl Sealed for super::Threaded {}
    impl Sealed for super::Softirq {}
}

/// The function of an item. The second argument leads to the item's value, says how many
/// submissions this run serves, and can be queued again.
pub type Handler<T, C> = for<'a, 'b, 'c> fn(&'b <C as Context>::Cx<'a>, &'b Run<'c, T, C>);

/// A work item: a value and the function that works on it.
#[repr(C)]
pub struct Work<T, C: Context = Threaded> {
    header: Header,
    handler: Handler<T, C>,
    data: T,
}

impl<T: Send + Sync + 'static, C: Context> Work<T, C> {
    const VTABLE: Vtable = Vtable {
        retain: retain::<Self>,
        release: release::<Self>,
        weak: weak::<Self>,
        panicked: None,
        name: core::any::type_name::<T>,
        alarm: None,
    };

    /// An idle item.
    #[must_use]
    pub const fn new(data: T, handler: Handler<T, C>) -> Self {
        Self {
            header: Header::new(&Self::VTABLE, handler as *const ()),
            handler,
            data,
        }
    }

    /// As [`Self::new`], for an item that is the first field of `Outer` (`repr(C)`), of which the
    /// `Arc`s are.
    pub(super) const fn inside<Outer: Inside<Self>>(data: T, handler: Handler<T, C>) -> Self {
        Self {
            header: Header::new(&Outer::VTABLE, handler as *const ()),
            handler,
            data,
        }
    }
}

/// A type whose first field is the item `W`.
///
/// # Safety
///
/// `repr(C)`, first field `W`, and [`vtable_of`] made the table with the offset of its [`Alarm`].
pub(super) unsafe trait Inside<W> {
    /// The table of items inside this type.
    const VTABLE: Vtable;
}

/// The table of an item that is the first field of `Outer`.
/// `alarm` is the offset of its [`Alarm`].
pub(super) const fn vtable_of<T: Send + Sync + 'static, Outer>(alarm: usize) -> Vtable {
    Vtable {
        retain: retain::<Outer>,
        release: release::<Outer>,
        weak: weak::<Outer>,
        panicked: None,
        name: core::any::type_name::<T>,
        alarm: Some(alarm),
    }
}

/// Takes one more count.
///
/// # Safety
///
/// `h` is at the start of an `Outer` inside an `Arc` that somebody holds a count on.
unsafe fn retain<Outer>(h: *const Header) {
    // SAFETY: the header is the first field of an `Outer` inside an `Arc` with a live count.
    unsafe { Arc::increment_strong_count(h.cast::<Outer>()) }
}

/// Gives one count up.
///
/// # Safety
///
/// As [`retain`]; the count is the caller's.
unsafe fn release<Outer>(h: *const Header) {
    // SAFETY: as in `retain`; the caller gives up a count it owns.
    unsafe { Arc::decrement_strong_count(h.cast::<Outer>()) }
}

/// [`Vtable::weak`] of items that are an `Outer`, or its first field, in an `Arc`.
///
/// # Safety
///
/// As [`WeakOp`] says: for `Take` the caller has a strong count, for all else a weak one.
unsafe fn weak<Outer>(h: *const Header, op: WeakOp) -> bool {
    let p = h.cast::<Outer>();
    if op == WeakOp::Take {
        // SAFETY: the caller's strong count; it stays the caller's.
        let arc = ManuallyDrop::new(unsafe { Arc::from_raw(p) });
        let _taken = ManuallyDrop::new(Arc::downgrade(&arc));
        return true;
    }
    // SAFETY: the caller's weak count, which was made from an `Arc` at this address.
    let mine = unsafe { Weak::from_raw(p) };
    if op == WeakOp::Drop {
        drop(mine);
        return true;
    }
    let mine = ManuallyDrop::new(mine);
    match op {
        WeakOp::Upgrade => mine.upgrade().map(ManuallyDrop::new).is_some(),
        _ => mine.strong_count() > 0,
    }
}

impl<T, C: Context> Work<T, C> {
    #[inline(always)]
    pub(super) const fn header(&self) -> &Header {
        &self.header
    }

    /// The value.
    pub const fn data(&self) -> &T {
        &self.data
    }

    /// Queued, or about to be; a hint.
    pub fn is_pending(&self) -> bool {
        self.header.word.state().pending
    }

    /// Its handler panicked; it refuses submissions until [`Self::clear_poison`].
    pub fn is_poisoned(&self) -> bool {
        self.header.word.state().poisoned
    }

    /// Accepts submissions again; the caller has put the value in order.
    pub fn clear_poison(&self) {
        self.header.word.clear_poison();
    }
}

impl<T, C: Context> Deref for Work<T, C> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T, C: Context> fmt::Debug for Work<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Work")
            .field(&self.header.word.state())
            .finish()
    }
}

/// One run of an item, as its handler sees it.
// An `ErasedRun` of known type.
#[repr(C)]
pub struct Run<'a, T, C: Context = Threaded> {
    work: &'a Work<T, C>,
    taken: Taken,
    not_send: PhantomData<*const ()>,
}

const _: () = {
    assert!(size_of::<Run<'_, u8>>() == size_of::<ErasedRun>());
    assert!(offset_of!(Run<'_, u8>, work) == offset_of!(ErasedRun, item));
    assert!(offset_of!(Run<'_, u8>, taken) == offset_of!(ErasedRun, taken));
};

impl<T, C: Context> Run<'_, T, C> {
    /// How many submissions this run serves: 1, and one more for each that found it pending.
    pub fn submissions(&self) -> u32 {
        self.taken.submissions().max(1)
    }

    /// The item.
    pub const fn work(&self) -> &Work<T, C> {
        self.work
    }
}

impl<T, C: Context> Deref for Run<'_, T, C> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.work.data
    }
}

impl<T, C: Context> fmt::Debug for Run<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("submissions", &self.submissions())
            .finish_non_exhaustive()
    }
}

/// A way to hand an item to a queue: `&Arc<Work>`, `&'static Work`, or the `&Run` of its handler.
pub trait Submit<C: Context>: sealed::Submit {}

/// The sealed half of [`Submit`].
pub(super) mod sealed {
    use super::Header;

    /// What queues need of a submission.
    ///
    /// # Safety
    ///
    /// The header stays alive for as long as the value; and, if the submission counts, after `retain` until that count
    /// is given up, else for ever.
    pub unsafe trait Submit: Copy {
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed: nobody outside can name it")]
        fn header(&self) -> &Header;
        #[doc(hidden)]
        fn counts(&self) -> bool;
        /// Takes the count of a submission that [`Self::counts`].
        #[doc(hidden)]
        fn retain(&self);
    }
}

// SAFETY: the borrowed `Arc` keeps the item alive, and then the added count.
unsafe impl<T, C: Context> sealed::Submit for &Arc<Work<T, C>> {
    #[inline(always)]
    #[expect(private_interfaces, reason = "sealed: nobody outside can name it")]
    fn header(&self) -> &Header {
        &self.header
    }
    #[inline(always)]
    fn counts(&self) -> bool {
        true
    }
    #[inline(always)]
    fn retain(&self) {
        core::mem::forget(Arc::clone(self));
    }
}

// SAFETY: the item lives for ever.
unsafe impl<T, C: Context> sealed::Submit for &'static Work<T, C> {
    #[inline(always)]
    #[expect(private_interfaces, reason = "sealed: nobody outside can name it")]
    fn header(&self) -> &Header {
        &self.header
    }
    #[inline(always)]
    fn counts(&self) -> bool {
        false
    }
    #[inline(always)]
    fn retain(&self) {}
}

// SAFETY: the running submission's count keeps the item alive, or it lives for ever.
unsafe impl<T, C: Context> sealed::Submit for &Run<'_, T, C> {
    #[inline(always)]
    #[expect(private_interfaces, reason = "sealed: nobody outside can name it")]
    fn header(&self) -> &Header {
        &self.work.header
    }
    #[inline(always)]
    fn counts(&self) -> bool {
        self.taken.is_held()
    }
    #[inline(always)]
    fn retain(&self) {
        let h = &self.work.header;
        if self.counts() {
            // SAFETY: the run holds a count, so the item is inside an `Arc` of its table's type.
            unsafe { (h.vtable.retain)(h) };
        }
    }
}

impl<T: Send + Sync + 'static, C: Context> Submit<C> for &Arc<Work<T, C>> {}
impl<T: Send + Sync + 'static, C: Context> Submit<C> for &'static Work<T, C> {}
impl<T: Send + Sync + 'static, C: Context> Submit<C> for &Run<'_, T, C> {}
