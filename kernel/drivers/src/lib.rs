//! Device drivers: console UART, virtio network, virtio entropy.
//!
//! Drivers know registers and rings; they know nothing of threads, locks or the executive. The
//! board finds the devices, claims their addresses once and hands them out as the value traits of
//! `machine`.
//!
//! * [`pl011`]: the console;
//! * [`dma`]: pages shared with devices;
//! * [`mmio`]: register access;
//! * [`transport`]: finding virtio-mmio devices;
//! * `virtqueue`: the queues shared with them;
//! * [`virtio_net`], [`virtio_rng`].
#![no_std]

#[cfg(test)]
extern crate std;

pub mod dma;
pub mod mmio;
pub mod pl011;
pub mod transport;
pub mod virtio_net;
pub mod virtio_rng;
mod virtqueue;
