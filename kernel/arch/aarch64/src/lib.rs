//! AArch64 architecture layer: everything below the machine seam that is not a device driver.
//!
//! The seam (`machine`) declares a dozen cold functions as link-time symbols; this crate defines
//! them. The tour, in boot order:
//!
//! 1. [`entry`](mod@entry): image header, EL2 to EL1, early identity map, first Rust function;
//! 2. [`mmu`]: the final page tables (W^X, guard pages) and `rt_protect`;
//! 3. [`vectors`]: the sixteen exception entries, interrupt path, fault path;
//! 4. [`fault`] and [`esr`]: a fault in words;
//! 5. [`gic`]: GICv2 and GICv3; [`clock`]: the virtual timer; [`psci`]: other cores;
//! 6. [`context`], [`memory`], [`backtrace`], [`console`], [`entropy`], [`power`], and [`pmu`] for benchmarks.
//!
//! A board calls the safe set-up functions here in that order and then boots the executive. Only
//! [`esr`] and [`scale`] are portable; they are unit-tested on the host. The rest exists when the
//! target is bare metal (`target_os = "none"`).
#![no_std]

#[cfg(test)]
extern crate std;

pub mod esr;
pub mod scale;

#[cfg(target_os = "none")]
pub mod backtrace;
#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub mod context;
#[cfg(target_os = "none")]
pub mod cpu;
#[cfg(target_os = "none")]
pub mod entropy;
#[cfg(target_os = "none")]
pub mod entry;
#[cfg(target_os = "none")]
pub mod fault;
#[cfg(target_os = "none")]
pub mod gic;
#[cfg(target_os = "none")]
mod gicv2;
#[cfg(target_os = "none")]
mod gicv3;
#[cfg(target_os = "none")]
pub mod image;
#[cfg(target_os = "none")]
pub mod memory;
#[cfg(target_os = "none")]
pub mod mmu;
#[cfg(target_os = "none")]
pub mod pmu;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
pub mod psci;
#[cfg(target_os = "none")]
pub mod vectors;

/// Spins through the seam, for the one-time cells of this crate.
#[cfg(target_os = "none")]
struct Relax;

#[cfg(target_os = "none")]
impl spin::RelaxStrategy for Relax {
    fn relax() {
        machine::relax();
    }
}
