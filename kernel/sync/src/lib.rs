//! Spin locks, and the preemption and BH sections they are made of.
//!
//! A lock's type says what it disables while held ([`IrqOff`], [`BhOff`], [`PreemptOff`]); its
//! [`Rank`] says where it stands in the lock order. Debug and test builds record the held locks of
//! each core and panic with both names on an inversion.
//!
//! Where a lock would be too much, two sides meet in one word: the protocols for that are in
//! [`handshake`], written once and model-checked.
//!
//! Sleeping locks live in the executive: they need a scheduler. Nothing here sleeps.
#![no_std]

pub mod atomic;
pub mod handshake;
mod preempt;
mod rank;
mod spin_lock;

pub use preempt::{
    BhGuard, HardIrqGuard, IrqGuard, PreemptGuard, SoftirqGuard, bh_disable, holds_softirqs_up,
    in_atomic, in_hardirq, in_softirq, preempt_disable, preempt_word, resched_if_due,
    restore_preempt_word, serving_softirq,
};
pub use rank::Rank;
pub use spin_lock::{BhOff, IrqOff, Mode, PreemptOff, SpinGuard, SpinLock};
