//! The work item's data word: who owns an item, where it is queued, whether it may be queued.
//!
//! Interrupt handlers, BH and threads of every core queue and cancel the same item. The naive
//! answer, a lock in each item, costs two locks for each queueing and cannot be taken while a pool
//! is searched for the item. One 64-bit word decides instead: whoever turns `PENDING` from 0 to 1
//! owns the item until it is queued or `PENDING` is cleared (docs/rules.md B3).
//!
//! # Rules
//!
//! * **Every attempt is a read-modify-write, also one that changes nothing** (B7). A failed attempt
//!   must hand its earlier stores to the execution that is already pending; it does so because the
//!   clearing side reads from the failed attempt's write. Skipping the write because the bit looks
//!   set, or clearing or publishing with a plain store, breaks the chain. `tests/model` shows each
//!   of these variants failing.
//! * `QUEUED`, the place and the poison mark change only under the lock of the pool that the place
//!   names (the new one when publishing), so they are stable for whoever holds that lock.
//! * The owner of an unqueued item keeps interrupts masked until it publishes or releases, so that
//!   a thief waits briefly; a delayed item is the exception, there the armed timer is the owner.
//!
//! Colour, `INACTIVE` and `LINKED` of B1 change only under the pool lock and live in the item's
//! node (`workqueue::Item`): as bits of this word each change would cost an atomic operation.
#![no_std]

#[cfg(test)]
extern crate std;

mod mark;
mod state;
mod word;

pub use mark::{Mark, Seen, Taken};
pub use state::{Place, State};
pub use word::{Claim, Enable, Seize, Word, WorkWord};
