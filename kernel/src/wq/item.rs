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
//! count belongs to one submission: whoever ends the pending state (the worker that takes it, the
//! thief that cancels it) inherits it together with [`Header::owned`].
//!
//! B8: a handler may drop every other reference to its item; the worker's own count keeps the
//! memory until the pool's books are closed, and is dropped outside every lock.
//!
//! # Who may touch what
//!
//! `word`: anybody, atomically. `node`: under the lock of the pool that the word names, or nobody's
//! while the item is owned and unqueued. `owned`: the owner of `PENDING`, or the worker that takes
//! the item, under the pool's lock.
#![expect(unsafe_code, reason = "type-erased items and their reference counts")]

use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ops::Deref;

use links::Handle;
use workqueue::Item;
use workword::WorkWord;

use super::alarm::Alarm;
use crate::completion::Completion;
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

/// The functions of one type of item.
pub(super) struct Vtable {
    run: unsafe fn(*const Header, *const (), u32, bool),
    function: unsafe fn(*const Header) -> usize,
    retain: unsafe fn(*const Header),
    release: unsafe fn(*const Header),
    pub(super) name: fn() -> &'static str,
    /// Where the alarm is, from the header on; `None` for items without delay.
    alarm: Option<usize>,
}

/// What every item starts with.
#[repr(C)]
pub(super) struct Header {
    pub(super) word: WorkWord,
    node: UnsafeCell<Item>,
    owned: Cell<bool>,
    pub(super) vtable: &'static Vtable,
}

// SAFETY: the module documentation says who may touch `node` and `owned`.
unsafe impl Sync for Header {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Header {}

impl Header {
    const fn new(vtable: &'static Vtable) -> Self {
        Self {
            word: WorkWord::new(),
            node: UnsafeCell::new(Item::new()),
            owned: Cell::new(false),
            vtable,
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

    /// Notes whether the queue holds a count; by the owner of `PENDING`.
    #[inline(always)]
    pub(super) fn set_owned(&self, owned: bool) {
        self.owned.set(owned);
    }

    /// Takes over the submission's count, if it has one; by whoever ended the pending state.
    #[inline(always)]
    pub(super) fn take_hold(&self) -> Hold {
        Hold(self.owned.get().then_some(core::ptr::from_ref(self)))
    }

    /// The item's alarm, if it is a delayed item.
    pub(super) fn alarm(&self) -> Option<&Alarm> {
        let p = core::ptr::from_ref(self)
            .cast::<u8>()
            .wrapping_add(self.vtable.alarm?);
        // SAFETY: `Inside` promises that the alarm is there, in the structure this header begins.
        Some(unsafe { &*p.cast::<Alarm>() })
    }

    /// Its owner is about to queue it, to arm its timer or to give it up, soon: interrupts are masked
    /// there. Stale at once, but false says that no submission before the call is on its way.
    pub(super) fn is_changing_hands(&self) -> bool {
        let s = self.word.state();
        s.pending && !s.queued && !self.alarm().is_some_and(Alarm::is_set)
    }

    /// Address of the handler.
    pub(super) fn function(&self) -> usize {
        // SAFETY: the table fits the item.
        unsafe { (self.vtable.function)(self) }
    }

    /// Calls the handler.
    ///
    /// # Safety
    ///
    /// `cx` points to the context that the item's type asks for, and the caller holds the
    /// submission's count.
    #[inline(always)]
    pub(super) unsafe fn run(&self, cx: *const (), submissions: u32, owned: bool) {
        // SAFETY: promised by the caller; the table fits the item.
        unsafe { (self.vtable.run)(self, cx, submissions, owned) }
    }
}

/// One count on an item; dropping it may free the item, so do that outside locks.
#[must_use = "dropping it under a lock may run the item's destructor there"]
pub(super) struct Hold(Option<*const Header>);

impl Hold {
    /// No count.
    pub(super) const NONE: Self = Self(None);

    /// Takes over a count that was forgotten.
    ///
    /// # Safety
    ///
    /// There is one on the item of `h` that nobody else gives up.
    pub(super) const unsafe fn adopt(h: *const Header) -> Self {
        Self(Some(h))
    }

    /// Whether there is a count to give up.
    #[inline(always)]
    pub(super) const fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Hold {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(h) = self.0.take() {
            // SAFETY: the count keeps the item alive until here.
            let vtable = unsafe { (*h).vtable };
            // SAFETY: gives up the one count that this value stands for.
            unsafe { (vtable.release)(h) }
        }
    }
}

/// A work item: a value and the function that works on it.
#[repr(C)]
pub struct Work<T, C: Context = Threaded> {
    header: Header,
    handler: Handler<T, C>,
    data: T,
}

impl<T: Send + Sync + 'static, C: Context> Work<T, C> {
    const VTABLE: Vtable = Vtable {
        run: run::<T, C>,
        function: function::<T, C>,
        retain: retain::<Self>,
        release: release::<Self>,
        name: core::any::type_name::<T>,
        alarm: None,
    };

    /// An idle item.
    #[must_use]
    pub const fn new(data: T, handler: Handler<T, C>) -> Self {
        Self {
            header: Header::new(&Self::VTABLE),
            handler,
            data,
        }
    }

    /// As [`Self::new`], for an item that is the first field of `Outer` (`repr(C)`), of which the
    /// `Arc`s are.
    pub(super) const fn inside<Outer: Inside<Self>>(data: T, handler: Handler<T, C>) -> Self {
        Self {
            header: Header::new(&Outer::VTABLE),
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
pub(super) const fn vtable_of<T: Send + Sync + 'static, C: Context, Outer>(alarm: usize) -> Vtable {
    Vtable {
        run: run::<T, C>,
        function: function::<T, C>,
        retain: retain::<Outer>,
        release: release::<Outer>,
        name: core::any::type_name::<T>,
        alarm: Some(alarm),
    }
}

/// [`Vtable::run`] of items of this type.
///
/// # Safety
///
/// As [`Header::run`]; `h` is the header of a `Work<T, C>`.
unsafe fn run<T: Send + Sync + 'static, C: Context>(
    h: *const Header,
    cx: *const (),
    submissions: u32,
    owned: bool,
) {
    // SAFETY: the header is the first field of a live `Work<T, C>`, whose table this is in.
    let work = unsafe { &*h.cast::<Work<T, C>>() };
    // SAFETY: the caller of `Header::run` passed the context that `C` asks for.
    let cx = unsafe { &*cx.cast::<C::Cx<'_>>() };
    let run = Run {
        work,
        submissions,
        owned,
        not_send: PhantomData,
    };
    (work.handler)(cx, &run);
}

/// [`Vtable::function`] of items of this type.
///
/// # Safety
///
/// `h` is the header of a live `Work<T, C>`.
unsafe fn function<T: Send + Sync + 'static, C: Context>(h: *const Header) -> usize {
    // SAFETY: the header is the first field of a live `Work<T, C>`, whose table this is in.
    let work = unsafe { &*h.cast::<Work<T, C>>() };
    (work.handler as *const ()).addr()
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
pub struct Run<'a, T, C: Context = Threaded> {
    work: &'a Work<T, C>,
    submissions: u32,
    owned: bool,
    not_send: PhantomData<*const ()>,
}

impl<T, C: Context> Run<'_, T, C> {
    /// How many submissions this run serves: 1, and one more for each that found it pending.
    pub fn submissions(&self) -> u32 {
        self.submissions.max(1)
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
            .field("submissions", &self.submissions)
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
    /// The header stays alive for as long as the value, and, after `retain`, until the count is
    /// given up (true) or for ever (false).
    pub unsafe trait Submit: Copy {
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed: nobody outside can name it")]
        fn header(&self) -> &Header;
        #[doc(hidden)]
        fn retain(&self) -> bool;
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
    fn retain(&self) -> bool {
        core::mem::forget(Arc::clone(self));
        true
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
    fn retain(&self) -> bool {
        false
    }
}

// SAFETY: the running submission's count keeps the item alive, or it lives for ever.
unsafe impl<T, C: Context> sealed::Submit for &Run<'_, T, C> {
    #[inline(always)]
    #[expect(private_interfaces, reason = "sealed: nobody outside can name it")]
    fn header(&self) -> &Header {
        &self.work.header
    }
    #[inline(always)]
    fn retain(&self) -> bool {
        if self.owned {
            let h = &self.work.header;
            // SAFETY: the run holds a count, so the item is inside an `Arc` of its table's type.
            unsafe { (h.vtable.retain)(h) };
        }
        self.owned
    }
}

impl<T: Send + Sync + 'static, C: Context> Submit<C> for &Arc<Work<T, C>> {}
impl<T: Send + Sync + 'static, C: Context> Submit<C> for &'static Work<T, C> {}
impl<T: Send + Sync + 'static, C: Context> Submit<C> for &Run<'_, T, C> {}

/// A flush barrier: lives in the waiting thread, queued behind what it waits for (I6).
#[repr(C)]
pub(super) struct Barrier {
    node: UnsafeCell<Item>,
    pub(super) done: Completion,
}

// SAFETY: the node is touched only under the lock of the pool it is queued on.
unsafe impl Sync for Barrier {}

impl Barrier {
    pub(super) const fn new() -> Self {
        Self {
            node: UnsafeCell::new(Item::barrier()),
            done: Completion::new(),
        }
    }

    pub(super) fn handle(&self) -> Handle<Item> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.node.get())
    }

    /// Lets the waiter go; the barrier may be gone when this returns. Under the pool's lock.
    ///
    /// # Safety
    ///
    /// The handle was made by [`Self::handle`] of a barrier that has not been completed.
    pub(super) unsafe fn complete(h: Handle<Item>) {
        let p = core::ptr::with_exposed_provenance::<Self>(h.raw());
        // SAFETY: promised by the caller; the waiter waits until `complete` is over.
        unsafe { &*p }.done.complete();
    }
}
