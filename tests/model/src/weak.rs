//! Running a model, as it is and with something taken away.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

/// What the atomics and fences of a model do not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weak {
    /// Nothing is missing.
    Nothing,
    /// `fence_full` does nothing.
    Fence,
    /// No operation acquires.
    Acquire,
    /// No operation releases.
    Release,
    /// A read-modify-write is a load and then a store.
    Update,
    /// An update that would change nothing does not happen: "skip it if the bit looks set".
    Skip,
    /// A spin lock that is taken is entered all the same.
    Lock,
}

thread_local! {
    // loom runs all threads of a model on the thread that started it.
    static NOW: Cell<Weak> = const { Cell::new(Weak::Nothing) };
}

pub(crate) fn is(weak: Weak) -> bool {
    NOW.get() == weak
}

/// `order` without what is missing.
pub(crate) fn weakened(order: Ordering) -> Ordering {
    match (NOW.get(), order) {
        (Weak::Acquire, Ordering::Acquire) | (Weak::Release, Ordering::Release) => {
            Ordering::Relaxed
        }
        (Weak::Acquire, Ordering::AcqRel) => Ordering::Release,
        (Weak::Release, Ordering::AcqRel) => Ordering::Acquire,
        (_, order) => order,
    }
}

/// Most preemptions in one execution of a bounded model.
///
/// Models of three threads have too many interleavings to try all; nearly every real bug needs two
/// preemptions at most. What a thread gives up by itself (a lock that is taken, a wait) is not
/// counted, and stale reads are not bounded.
const BOUND: usize = 2;

fn check(bound: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound;
    builder.check(model);
}

fn must_fail(weak: Weak, bound: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    NOW.set(weak);
    let result = catch_unwind(AssertUnwindSafe(|| check(bound, model)));
    NOW.set(Weak::Nothing);
    assert!(result.is_err(), "the model passes without {weak:?}");
}

/// Wants every execution of `model` to pass.
pub fn holds(model: impl Fn() + Sync + Send + 'static) {
    check(None, model);
}

/// As [`holds`], with at most two preemptions.
pub fn holds_bounded(model: impl Fn() + Sync + Send + 'static) {
    check(Some(BOUND), model);
}

/// Wants `model` to fail when `weak` is missing.
///
/// # Panics
///
/// When every execution passes all the same: then the model does not see what it is there for.
pub fn breaks(weak: Weak, model: impl Fn() + Sync + Send + 'static) {
    must_fail(weak, None, model);
}

/// As [`breaks`], with at most two preemptions.
///
/// # Panics
///
/// As [`breaks`].
pub fn breaks_bounded(weak: Weak, model: impl Fn() + Sync + Send + 'static) {
    must_fail(weak, Some(BOUND), model);
}
