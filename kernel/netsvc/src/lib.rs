//! Network policy: which frame belongs to which connection, when a connection is due, and what an
//! HTTP request says.
//!
//! smoltcp walks its whole socket set for every packet, so one set with a thousand sockets costs a
//! thousand times one socket. Here every connection has a set of its own ([`Endpoint`]); a frame's
//! 4-tuple is looked up first ([`Stack::receive`]) and only that one set is polled. Nothing in this
//! crate walks all connections.
//!
//! Values in, decision out: frames, time and entropy are arguments, the device is a
//! [`machine::NetTx`], and whoever owns the locks (the executive, or a test) keeps the endpoints.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod address;
mod buffer;
mod checksum;
mod debt;
mod endpoint;
mod events;
mod fin;
mod flow;
mod frame;
pub mod http;
mod mss;
mod phy;
mod stack;
mod stats;
mod time_wait;
mod udp;
mod wheel;

pub use address::{AddressConfig, ParseAddressError};
pub use buffer::try_zeroed;
pub use endpoint::{Endpoint, IoError};
pub use events::Events;
pub use flow::{Flow, FlowTable};
pub use frame::{Frame, Segment};
pub use stack::{Config, Route, SlotId, Stack};
pub use stats::Stats;
pub use time_wait::TimeWait;
pub use wheel::Wheel;

use smoltcp::time::Instant as SmolInstant;

/// The machine's time in the stack's unit, rounded down to a microsecond.
#[inline]
pub(crate) fn smol(now: machine::Instant) -> SmolInstant {
    SmolInstant::from_micros((now.as_nanos() / 1_000).cast_signed())
}

/// A length of time in the stack's unit, rounded down to a microsecond.
#[inline]
pub(crate) fn smol_duration(d: machine::Duration) -> smoltcp::time::Duration {
    smoltcp::time::Duration::from_micros(d.as_micros())
}

/// The stack's time in the machine's unit.
#[inline]
pub(crate) fn unsmol(at: SmolInstant) -> machine::Instant {
    machine::Instant::from_nanos(
        at.total_micros()
            .max(0)
            .cast_unsigned()
            .saturating_mul(1_000),
    )
}
