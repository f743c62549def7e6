//! Tasks: functions that are called once, in a scope ([`super::scope`]).
#![expect(
    unsafe_code,
    reason = "tasks are run type-erased, on what their scope keeps alive"
)]

use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::sync::atomic::Ordering;

use super::header::{ErasedRun, Header, Vtable, never_shared};
use super::joint::Joint;
use crate::thread::ThreadCx;

/// A function to be spawned in a scope, and what it returns: storage that its owner supplies, so
/// spawning allocates nothing.
#[repr(C)]
pub struct Task<F, T = ()> {
    pub(super) header: Header,
    /// The scope it is spawned in; set before it is queued.
    pub(super) joint: Cell<*const Joint>,
    /// Taken by its run.
    body: UnsafeCell<Option<F>>,
    /// Set by its run.
    result: UnsafeCell<Option<T>>,
}

// SAFETY: nothing in it is tied to a thread; who spawns it is alone with it before and after.
unsafe impl<F: Send, T: Send> Send for Task<F, T> {}

impl<F, T> fmt::Debug for Task<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task")
            .field(&self.header.word.state())
            .finish()
    }
}

impl<F, T> Task<F, T>
where
    F: FnOnce(&ThreadCx<'_>) -> T + Send,
    T: Send,
{
    const LENT: Vtable = Vtable {
        retain,
        release: release::<F, T>,
        weak: never_shared,
        panicked: Some(panicked::<F, T>),
        name: core::any::type_name::<F>,
        alarm: None,
    };
    pub(super) const SHARED: Vtable = Vtable {
        release: release_shared::<F, T>,
        panicked: Some(panicked_shared::<F, T>),
        ..Self::LENT
    };

    /// A task that was not spawned.
    #[must_use]
    pub const fn new(body: F) -> Self {
        Self::with(body, &Self::LENT)
    }

    pub(super) const fn with(body: F, vtable: &'static Vtable) -> Self {
        let run: unsafe fn(*const (), *const ErasedRun) = run::<F, T>;
        Self {
            header: Header::new(vtable, run as *const ()),
            joint: Cell::new(core::ptr::null()),
            body: UnsafeCell::new(Some(body)),
            result: UnsafeCell::new(None),
        }
    }
}

impl<F, T> Task<F, T> {
    /// It was run, or is to be no more.
    pub(super) const fn is_spent(&mut self) -> bool {
        self.body.get_mut().is_none()
    }

    /// What it returned; `None` if it did not run, panicked, or was asked before.
    pub fn take(&mut self) -> Option<T> {
        self.result.get_mut().take()
    }
}

/// The handler of tasks.
///
/// # Safety
///
/// As [`Header::run`]; the run is of the header of a `Task<F, T>`.
unsafe fn run<F: FnOnce(&ThreadCx<'_>) -> T, T>(cx: *const (), run: *const ErasedRun) {
    // SAFETY: a run lives for as long as its handler.
    let h = unsafe { (*run).item };
    // SAFETY: the header is the first field of a live task, whose table this is in.
    let task = unsafe { &*h.cast::<Task<F, T>>() };
    // SAFETY: tasks are queued on thread pools only.
    let cx = unsafe { &*cx.cast::<ThreadCx<'_>>() };
    // SAFETY: this run alone touches the cells until the scope ends.
    if let Some(body) = unsafe { (*task.body.get()).take() } {
        let result = body(cx);
        // SAFETY: as above.
        unsafe { *task.result.get() = Some(result) };
    }
}

/// [`Vtable::retain`] of tasks, whose runs cannot queue them.
///
/// # Safety
///
/// None is needed.
unsafe fn retain(_: *const Header) {
    unreachable!("a task is queued by its scope only");
}

/// The scope that the task at `h` was spawned in.
///
/// # Safety
///
/// `h` is the header of a live `Task<F, T>` that was spawned.
unsafe fn joint_of<F, T>(h: *const Header) -> *const Joint {
    // SAFETY: promised by the caller.
    unsafe { (*h.cast::<Task<F, T>>()).joint.get() }
}

/// [`Vtable::release`] of tasks whose storage was lent.
///
/// # Safety
///
/// `h` is the header of a live `Task<F, T>`, and the caller gives up its submission's count.
unsafe fn release<F, T>(h: *const Header) {
    // SAFETY: promised by the caller.
    let joint = unsafe { joint_of::<F, T>(h) };
    // SAFETY: promised by the caller; from here on the task may be gone.
    unsafe { Joint::finish(joint) }
}

/// [`Vtable::release`] of tasks in an `Arc`.
///
/// # Safety
///
/// As [`release`]; the count goes with one on the `Arc`.
unsafe fn release_shared<F, T>(h: *const Header) {
    // SAFETY: promised by the caller.
    let joint = unsafe { joint_of::<F, T>(h) };
    // SAFETY: the submission's count. What it drops may borrow what the scope waits with giving up.
    drop(unsafe { Arc::from_raw(h.cast::<Task<F, T>>()) });
    // SAFETY: promised by the caller.
    unsafe { Joint::finish(joint) }
}

/// Counts a panic in the scope of the task at `h`.
///
/// # Safety
///
/// As [`joint_of`], and the submission's count keeps the scope.
unsafe fn note_panic<F, T>(h: *const Header) {
    // SAFETY: promised by the caller.
    let joint = unsafe { joint_of::<F, T>(h) };
    // SAFETY: promised by the caller.
    let joint = unsafe { &*joint };
    joint.panicked.fetch_add(1, Ordering::Relaxed);
}

/// [`Vtable::panicked`] of tasks whose storage was lent.
///
/// # Safety
///
/// As [`release`].
unsafe fn panicked<F, T>(h: *const Header) {
    // SAFETY: promised by the caller, who gives the count up below.
    unsafe { note_panic::<F, T>(h) };
    // SAFETY: promised by the caller.
    unsafe { release::<F, T>(h) }
}

/// [`Vtable::panicked`] of tasks in an `Arc`.
///
/// # Safety
///
/// As [`release_shared`].
unsafe fn panicked_shared<F, T>(h: *const Header) {
    // SAFETY: promised by the caller, who gives the count up below.
    unsafe { note_panic::<F, T>(h) };
    // SAFETY: promised by the caller. The body was moved to the dead stack, so nothing of it is dropped.
    unsafe { release_shared::<F, T>(h) }
}
