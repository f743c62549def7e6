//! Firmware calls: starting and stopping cores, power off (PSCI 1.1, through the `smccc` crate).
//!
//! The device tree says whether the firmware listens to `hvc` or `smc`.

use core::sync::atomic::{AtomicU8, Ordering};

use smccc::psci;
use smccc::{Hvc, Smc};

/// How the firmware is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Conduit {
    /// Hypervisor call.
    Hvc = 1,
    /// Secure monitor call.
    Smc = 2,
}

/// 0 while unknown, else a [`Conduit`].
static CONDUIT: AtomicU8 = AtomicU8::new(0);

/// Sets how the firmware is called.
pub fn init(conduit: Conduit) {
    CONDUIT.store(conduit as u8, Ordering::Relaxed);
}

fn conduit() -> Option<Conduit> {
    match CONDUIT.load(Ordering::Relaxed) {
        1 => Some(Conduit::Hvc),
        2 => Some(Conduit::Smc),
        _ => None,
    }
}

/// Starts the core `mpidr` at `entry` with `context` in its x0.
pub(crate) fn cpu_on(mpidr: u64, entry: usize, context: usize) -> Result<(), psci::Error> {
    let (entry, context) = (entry as u64, context as u64);
    match conduit() {
        Some(Conduit::Hvc) => psci::cpu_on::<Hvc>(mpidr, entry, context),
        Some(Conduit::Smc) => psci::cpu_on::<Smc>(mpidr, entry, context),
        None => Err(psci::Error::NotSupported),
    }
}

/// Switches the running core off; returns only when the firmware refuses.
pub(crate) fn cpu_off() -> psci::Error {
    let refused = match conduit() {
        Some(Conduit::Hvc) => psci::cpu_off::<Hvc>(),
        Some(Conduit::Smc) => psci::cpu_off::<Smc>(),
        None => Err(psci::Error::NotSupported),
    };
    refused.err().unwrap_or(psci::Error::InternalFailure)
}

/// Whether the core `mpidr` is off.
pub(crate) fn is_off(mpidr: u64) -> bool {
    let level = psci::LowestAffinityLevel::All;
    let state = match conduit() {
        Some(Conduit::Hvc) => psci::affinity_info::<Hvc>(mpidr, level),
        Some(Conduit::Smc) => psci::affinity_info::<Smc>(mpidr, level),
        None => Err(psci::Error::NotSupported),
    };
    state == Ok(psci::AffinityState::Off)
}

/// Switches the machine off; returns only when the firmware cannot.
pub(crate) fn system_off() {
    let _ = match conduit() {
        Some(Conduit::Hvc) => psci::system_off::<Hvc>(),
        Some(Conduit::Smc) => psci::system_off::<Smc>(),
        None => Ok(()),
    };
}

/// Starts the machine anew; returns only when the firmware cannot.
pub(crate) fn system_reset() {
    let _ = match conduit() {
        Some(Conduit::Hvc) => psci::system_reset::<Hvc>(),
        Some(Conduit::Smc) => psci::system_reset::<Smc>(),
        None => Ok(()),
    };
}
