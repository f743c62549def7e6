//! Small programs on the kernel's public API, to read in this order and to copy from.
//!
//! Each is a function that a thread calls; it checks what it shows, so it is a test too: on the
//! metal (`tests/metal`) and in the simulator (`tests/sim`).
//!
//! 1. [`own_queue`]: a work item, a queue of your own, waiting for both.
//! 2. [`delayed_work`]: the same later, moved, and called off.
//! 3. [`bh_item`]: from BH context, where nothing sleeps, to a thread, where it may.
//! 4. [`fan_out_flush`]: one item per core, one flush for all.
//! 5. [`borrowing`]: items that borrow from a stack, and items that end together.
//! 6. [`tcp_service`]: a TCP service in one item per connection.
//!
//! [`api`] has an example for every call.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bh_item;
pub mod borrowing;
pub mod delayed_work;
pub mod fan_out_flush;
pub mod own_queue;
pub mod tcp_service;

#[doc = include_str!("../../docs/api.md")]
pub mod api {}
