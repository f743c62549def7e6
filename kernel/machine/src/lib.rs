//! The machine seam: everything the executive asks of the hardware, in one small crate.
//!
//! The executive (`kernel`) is one source. It runs on the metal and in the deterministic simulator,
//! so it may not name a register, a device or a host facility. It calls the functions of this crate
//! instead. Two backends supply them:
//!
//! * on the metal (`target_os = "none"`) the hot ones are inline instructions
//!   (`metal.rs`) and the cold ones are link-time symbols that exactly one architecture crate
//!   defines, so a missing or doubled implementation fails at link time;
//! * on the host they dispatch to a thread-local [`World`], so many simulated machines run in
//!   parallel tests, and every call is a point at which another core or an interrupt may intervene.
//!
//! Traffic in the other direction (an interrupt arrived, preemption is due) goes through [`Hooks`],
//! a table of plain functions the executive puts into each core's [`CpuHeader`].
//!
//! # Context
//!
//! No function here sleeps except [`idle`]; every one may be called with interrupts masked.
#![no_std]

#[cfg(not(target_os = "none"))]
extern crate std;

mod contention;
mod device;
mod header;
mod ids;
mod irq;
mod mask;
mod time;
mod topology;

#[cfg(not(target_os = "none"))]
#[path = "host.rs"]
mod backend;
#[cfg(target_os = "none")]
#[path = "metal.rs"]
mod backend;

pub use backend::{
    HeldIrqs, OBSERVED, allocation_allowed, arm_timer, backtrace, backtrace_of, cancel_timer,
    console_read, console_write, context_drop, context_init, cpu_is_off, current, entropy,
    fence_full, idle, irq_ack, irq_disable, irq_enable, irq_end, irq_hold, irq_release,
    irq_restore, irq_save, irqs_masked, leave_cpu, lock_released, now, observe, pages_allowed,
    percpu, protect, reboot, relax, route_irq, send_ipi, set_current, set_percpu, shutdown, stamp,
    stamp_span, stamp_time, start_cpu, store_event, switch, sync_point, thread_allowed,
};
#[cfg(not(target_os = "none"))]
pub use backend::{World, with_world};

pub use contention::Contention;
pub use device::{Finish, Frame, NetDevice, NetRx, NetTx, Offers, Received, TxFull};
pub use header::{Context, CpuHeader, HeldLock, HeldLocks, Hooks, ThreadHeader};
pub use ids::{CpuId, IntId, MAX_CPUS};
pub use irq::{Fault, Interrupt, IrqState, PreemptWord, Protection, StartError};
pub use mask::{CpuMask, NotAMask};
pub use time::{Duration, Instant};
pub use topology::{CpuPlace, Level, Topology};
