//! Concurrency managed workqueues, the policy: which item runs on which worker, and who is woken.
//!
//! A thread per kind of work wastes threads and still queues behind a sleeper; one thread for all
//! deadlocks. A *pool* keeps as few threads running as there is work for one core: it starts the
//! next item only when the running one blocks or ends (rows E1-E13 of docs/rules.md). This crate decides;
//! it holds no lock, reads no clock and knows no thread. The executive takes the pool's lock, calls
//! one function, and carries out the decision it returns.
//!
//! * [`Item`]: one work item or flush barrier; on the pool's list, on a queue's inactive list, or
//!   on a worker's own list.
//! * [`Worker`]: who executes. Idle workers wait last-in first-out.
//! * [`Pwq`]: the share of one workqueue in one pool: its max_active slots, colours, statistics.
//! * [`Pool`]: the list, the workers, the count of running ones.
//! * [`NodeLimit`]: the slots that the pwqs of an unbound queue share in one memory node.
//! * [`Flush`]: the colours of one workqueue's flushes.
//! * [`Pods`]: which cores share the pools of an unbound queue, and [`PoolKey`]: which pool that is.
//! * [`anatomy`]: where the time of an item goes.
//! * [`Rescue`]: a queue's own thread executes its items when no worker can be made.
//!
//! # Life of an item (functions of [`Pool`] unless said)
//!
//! ```text
//!             (1) queue, slot free               (4) next
//!    idle ──────────────────────────▶ worklist ───────────────▶ running ──(6) finish──▶ idle
//!     │  ▲ ▲                             ▲  │ (5) next: another     ▲
//!     │  │ └──(7) remove (cancel)────────┼──┤  worker runs it       │
//!     │  └────(7) remove──┐              │  └──▶ that worker's ─────┘ (4)
//!     └─(2) queue, no ─▶ inactive ──(3)──┘       scheduled list
//!          slot or others wait   slot freed by
//!                                finish/remove
//! ```
//!
//! Barriers are items linked behind the one they wait for and move with it (I6); they are never
//! counted against max_active (D7).
//!
//! # Rules
//!
//! Everything here is called under the lock of the one pool concerned; items, workers and pwqs are
//! reached through a [`Store`] that the same lock protects. [`Flush`] stands under its workqueue's
//! lock, [`NodeLimit`] and [`Maydays`] under locks of their own inside a pool's; pods and keys are
//! plain values. A decision that is dropped is a lost wake-up, so they are all `#[must_use]`.
#![no_std]
#![forbid(unsafe_code)]

pub mod anatomy;
mod awaited;
mod barrier;
mod budget;
mod check;
mod colours;
mod execution;
mod flush;
mod hotplug;
mod item;
mod kind;
mod knot;
mod limit;
mod manage;
mod observe;
mod over;
mod pods;
mod pool;
mod preempted;
mod pwq;
mod remove;
mod rescue;
mod run;
mod slots;
mod stats;
mod tuning;
mod turn;
mod urge;
mod watch;
mod ways;
mod worker;

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod by_hand_awaited;
#[cfg(test)]
mod by_hand_checks;
#[cfg(test)]
mod by_hand_dedicated;
#[cfg(test)]
mod by_hand_leaving;
#[cfg(test)]
mod by_hand_rescue;
#[cfg(test)]
mod by_hand_watch;
#[cfg(test)]
mod by_hand_workers;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod pods_oracle;
#[cfg(test)]
mod random;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod sim_control;
#[cfg(test)]
mod sim_flush;
#[cfg(test)]
mod sim_node;
#[cfg(test)]
mod sim_preempted;
#[cfg(test)]
mod sim_rescue;
#[cfg(test)]
mod sim_rest;
#[cfg(test)]
mod sim_store;
#[cfg(test)]
mod sim_turn;

pub use awaited::{Awaited, Held};
pub use budget::OverBudget;
pub use colours::{COLOURS, Colour};
pub use execution::{Begun, Finished, Passed};
pub use flush::{Cascade, Flush, FlushStart, Flusher};
pub use item::{Eyes, Item, Outcome, Store};
pub use kind::Kind;
pub use knot::{Knot, MOST_WAITERS, MOST_WAITS, Needs, Party};
pub use limit::{DEFAULT_MIN_ACTIVE, NodeLimit, Turn, split};
pub use manage::Cull;
pub use over::Over;
pub use pods::{Attrs, CPUS_PER_SHARD, Pods, PoolKey, Scope, Surroundings};
pub use pool::{Pool, Queued};
pub use preempted::Preempted;
pub use pwq::{DEFAULT_ACTIVE, MAX_ACTIVE, Pwq, clamp_max_active};
pub use remove::Removed;
pub use rescue::{Call, Maydays, RESCUER_BATCH, Rescue, RescueStep};
pub use run::Step;
pub use slots::Accepted;
pub use stats::PwqStats;
pub use tuning::Tuning;
pub use watch::{Activity, Stall};
pub use worker::{Phase, Worker};
