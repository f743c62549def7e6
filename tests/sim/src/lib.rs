//! Scenarios for the simulator: the catalogue ([`scenarios`]) and what they are written with
//! ([`kit`]). Scenarios that belong to one rule stand with it under `tests/`.
//!
//! A scenario is the body of a kernel's first thread. It must hold under every interleaving, so it
//! asserts what is always true and lets the sweep look for the interleaving in which it is not. A
//! failing seed is printed with its last events; keep it as a test of its own.

pub mod kit;
mod recordings;
pub mod scenarios;
mod sweeping;

pub use kit::{crowd, join};
pub use recordings::{keep, kept, settle};
pub use sweeping::{campaign, rows, seeds};
