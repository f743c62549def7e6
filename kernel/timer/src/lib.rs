//! Timer policy: which timer expires next.
//!
//! One [`TimerQueue`] per core, inside that core's timer-base lock. Pure: no clock, no locks, no
//! pointers, no allocation; the executive programs the hardware with [`TimerQueue::next`] and runs
//! the callbacks of what [`TimerQueue::pop_expired`] returns after dropping the lock.
#![no_std]
#![forbid(unsafe_code)]

mod queue;
mod recent;

pub use queue::{TimerNode, TimerQueue};
