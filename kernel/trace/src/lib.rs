//! Tracing: typed events of fixed size in one ring per core.
//!
//! Printing from a scheduler changes what it schedules. An event here is four words stored into the
//! core's own ring: no lock, no formatting, no allocation, about a dozen instructions. Who wants to
//! know reads the rings later ([`Reader`]) or is told at once (the simulator's observer, through
//! the machine seam) and puts words to the numbers.
//!
//! * [`Kind`]: what can happen, named after Linux's tracepoints where Linux has one (row N3), each
//!   in one [`Categories`] bit that can be switched at run time.
//! * [`Event`]: one kind with its numbers; 32 bytes.
//! * [`Ring`]: where one core keeps its last events.
//! * [`Field`]: the numbers of an event under their names, for whoever writes text.
//!
//! # Rules
//!
//! A core writes into its own ring only, with interrupts masked, so writers never meet. Anybody may
//! read any ring at any time; a reader notices what was overwritten under its eyes and counts it as
//! lost.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod asked;
mod event;
mod field;
mod kind;
mod ring;

pub use asked::Asked;
pub use event::{Event, Head};
pub use field::{Field, Name, Value, pack_name};
pub use kind::{Categories, Kind};
pub use ring::{NoMemory, Reader, Ring, Slot, Word};
