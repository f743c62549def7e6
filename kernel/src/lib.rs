//! The executive: threads, interrupts, softirqs, workqueues and the network, on every core.
//!
//! This crate is one source for two machines. It reaches hardware only through [`machine`], so the
//! same code boots QEMU's `virt` board and runs in the deterministic simulator. Decisions are made
//! by the policy crates ([`sched`], [`timer`], `workqueue`, `netsvc`: values in, decision
//! out); this crate takes the locks and performs them.
//!
//! # A tour
//!
//! | Room | What happens there |
//! | --- | --- |
//! | [`Kernel`], [`boot`](Kernel::boot) | the one owner of everything; from the first instruction to `init` |
//! | [`cpu`] | per-core data, sets of cores |
//! | [`thread`], `schedule` | threads; the switch protocol, wake-ups, placement |
//! | [`wait`], [`completion`], [`mutex`], [`semaphore`] | sleeping |
//! | [`hotplug`] | cores go offline and come back |
//! | [`irq`], [`ipi`], [`softirq`], [`mod@timer`] | interrupts and what follows them |
//! | [`wq`] | workqueues: concurrency-managed pools, BH pools |
//! | [`net`] | network devices and connections |
//! | [`mem`] | pages, heap, stacks, fallible allocation |
//! | [`audit`] | the executive recounts itself |
//! | [`mod@trace`] | what happened, event by event |
//! | [`mod@log`], [`mod@panic`], [`dump`] | the console; when something is broken |
//! | [`input`] | what is typed at the console |
//! | [`lockup`] | cores that do not go on, services that answer nobody |
//!
//! # Locks
//!
//! The order is [`sync::Rank`]. Debug and test builds check it at every acquisition.
#![no_std]

extern crate alloc;

pub mod audit;
mod boot;
pub mod completion;
pub mod cpu;
pub mod dump;
pub mod freezer;
pub mod hotplug;
pub mod input;
pub mod ipi;
pub mod irq;
mod kernel;
pub mod lend;
pub mod lockup;
pub mod log;
pub mod mem;
pub mod mutex;
pub mod net;
pub mod panic;
pub mod power;
mod schedule;
pub mod semaphore;
pub mod softirq;
mod soon;
pub mod thread;
pub mod timer;
pub mod trace;
pub mod wait;
pub mod waits;
pub mod wq;

pub use kernel::{BootInfo, Kernel, MemoryRange, PanicPolicy, kernel};
