//! Scheduling policy: which thread runs on a core, for how long, and on which core.
//!
//! Pure: entities, times and facts go in, decisions come out. No clock, no locks, no pointers, no
//! allocation. The executive keeps one [`RunQueue`] per core inside that core's runqueue lock, with
//! an arena in which a handle is the address of the [`Entity`] inside its thread, and acts on the
//! decisions: IPIs, context switches, the slice timer.
//!
//! * [`Nice`]: weights; `weight.rs` also converts CPU time to virtual time.
//! * [`Loan`]: what a thread that waits lends to whoever it waits for.
//! * [`Entity`]: one thread as the scheduler sees it, and its states.
//! * [`RunQueue`] picks what runs: EEVDF.
//! * [`balance`]: placement of woken threads and idle pulling.
#![no_std]
#![forbid(unsafe_code)]

mod account;
mod average;
pub mod balance;
mod decision;
mod entity;
mod few;
mod inspect;
mod join;
mod ledger;
mod loan;
mod pick;
mod pull;
mod reweight;
mod run_queue;
mod turn;
mod waiting;
mod weight;

pub use decision::{Decision, Dequeue, Dequeued, Enqueue, Turn};
pub use entity::{Entity, MAX_SLICE, MIN_SLICE, Summary};
pub use ledger::Lag;
pub use loan::Loan;
pub use pull::PULL_SCAN;
pub use run_queue::{RunQueue, base_slice};
pub use turn::Next;
pub use weight::{NICE_0_WEIGHT, Nice};
