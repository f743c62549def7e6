//! Figures about the network, for people and tests.

use core::net::Ipv4Addr;

use super::interface;

/// A snapshot of the interface.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetStats {
    /// Station address.
    pub mac: [u8; 6],
    /// Own address and prefix length, once known.
    pub address: Option<(Ipv4Addr, u8)>,
    /// Connections, handshakes included.
    pub connections: usize,
    /// Most connections served at once.
    pub connection_limit: usize,
    /// Connections beyond the limit that were told so.
    pub turned_away: u64,
    /// Unfinished handshakes.
    pub handshakes: usize,
    /// TIME-WAIT records.
    pub time_waits: usize,
    /// Device interrupts taken.
    pub interrupts: u64,
    /// Times the BH work item polled the device.
    pub polls: u64,
    /// Polls that used their whole budget.
    pub full_polls: u64,
    /// Buffers that the device returned without having them.
    pub device_faults: u64,
    /// The stack's counters.
    pub stack: netsvc::Stats,
}

/// Figures of the interface; all zero without one.
#[must_use]
pub fn stats() -> NetStats {
    interface().map(super::Interface::stats).unwrap_or_default()
}
