//! Model-checked concurrency: exhaustive runs of the small lock-free protocols under loom.
//!
//! The protocols' own source files are compiled here a second time ([`shipped`]), over atomics that
//! the model checker controls. For those files this crate plays the crates they import: `machine`
//! (the seam), `spin` (the lock word, here a compare-and-swap loop) and `crate::atomic`. So what is
//! checked is what is shipped, not a copy of it.
//!
//! Every model runs twice: [`holds`] wants all interleavings to pass, [`breaks`] runs the same
//! model over atomics with one property taken away ([`Weak`]) and wants a failure. A checker that
//! cannot see the bug proves nothing.
//!
//! What loom does not show is in `docs/testing.md`.

use std::sync::Arc;

extern crate self as machine;
extern crate self as spin;

pub mod atomic;
mod loom_word;
pub mod shipped;
mod weak;

/// Stands in for `spin::mutex`.
#[path = "spin_stand_in.rs"]
pub mod mutex;
#[path = "machine_stand_in.rs"]
mod seam;

#[path = "../../../kernel/sync/src/rank.rs"]
mod rank;

pub use loom_word::{LoomWord, fresh_word};
pub use mutex::RelaxStrategy;
pub use rank::Rank;
pub use seam::{
    HeldLock, fence_full, irqs_masked, lock_released, percpu, preempt, relax, sync_point,
};
pub use weak::{Weak, breaks, breaks_bounded, holds, holds_bounded};

/// `x`, whose atomics the running thread has now created: loom wants every later access to happen
/// after that, and an atomic made by a `const fn` is created when it is first used.
///
/// The standard library's `Arc`: loom's own cannot be dropped after a deadlock, and many wrong
/// variants end in one.
pub fn made<T: std::fmt::Debug>(x: T) -> Arc<T> {
    let _ = format!("{x:?}");
    Arc::new(x)
}
