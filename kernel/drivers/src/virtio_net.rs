//! virtio network device (virtio 1.2 5.1).
//!
//! QEMU: `-device virtio-net-device,netdev=n0 -global virtio-mmio.force-legacy=false`.
//!
//! All buffers are allocated once and recycled: no allocation per frame, and no copy between the
//! device and the stack. The device is asked to do what costs a processor most: checksums, cutting a
//! large segment into frames, joining arrived ones (`negotiate`). Each of these is used where it
//! is offered (QEMU's tap does, its user network does not) and missed by nobody elsewhere.
//!
//! Two halves: [`Receiver`] has the receive ring, [`VirtioNet`] all else.
//!
//! Locks: none here; the owner serialises access to each half.

mod header;
mod receiver;
mod transmitter;

use machine::{Frame, NetDevice, NetTx, Offers, TxFull};
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceStatus, Transport};

pub use self::receiver::Receiver;
use self::transmitter::{CUT, Transmitter};
use crate::mmio::Registers;
use crate::virtqueue::{Interrupts, Virtqueue};

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
/// Registers `InterruptStatus` and `InterruptACK` (4.2.2).
const INTERRUPT_STATUS: usize = 0x60;
const INTERRUPT_ACK: usize = 0x64;

/// Feature bits (5.1.3, 6).
mod feature {
    /// `VIRTIO_NET_F_CSUM`: the device completes checksums.
    pub(super) const CHECKSUM: u64 = 1 << 0;
    /// `VIRTIO_NET_F_GUEST_CSUM`: it may leave them out, or say that they are right.
    pub(super) const GUEST_CHECKSUM: u64 = 1 << 1;
    /// `VIRTIO_NET_F_MAC`: it has an address.
    pub(super) const MAC: u64 = 1 << 5;
    /// `VIRTIO_NET_F_GUEST_TSO4`: it may join TCP segments.
    pub(super) const JOINS: u64 = 1 << 7;
    /// `VIRTIO_NET_F_HOST_TSO4`: it cuts them.
    pub(super) const CUTS: u64 = 1 << 11;
    /// `VIRTIO_NET_F_MRG_RXBUF`: a frame may take several buffers.
    pub(super) const MERGES: u64 = 1 << 15;
    /// `VIRTIO_F_VERSION_1`.
    pub(super) const VERSION_1: u64 = 1 << 32;
}

/// The device could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// No memory for rings or buffers.
    Memory,
    /// It is older than virtio 1.0.
    Legacy,
    /// The device refused.
    Device,
}

/// What to ask for of what is `offered`.
///
/// Cutting wants checksums (5.1.3.1). Joined segments want large buffers or several (5.1.6.3.1); only
/// the latter do not waste memory on every frame.
fn negotiate(offered: u64) -> u64 {
    use feature::{CHECKSUM, CUTS, GUEST_CHECKSUM, JOINS, MAC, MERGES, VERSION_1};
    let mut wanted = offered & (CHECKSUM | GUEST_CHECKSUM | MAC | MERGES | VERSION_1);
    if wanted & CHECKSUM != 0 {
        wanted |= offered & CUTS;
    }
    if wanted & GUEST_CHECKSUM != 0 && wanted & MERGES != 0 {
        wanted |= offered & JOINS;
    }
    wanted
}

/// A virtio network device, but for its receive ring.
pub struct VirtioNet {
    /// Dropping it resets the device.
    _transport: MmioTransport<'static>,
    registers: Registers,
    mac: [u8; 6],
    offers: Offers,
    receive_interrupts: Interrupts,
    transmitter: Transmitter,
}

impl core::fmt::Debug for VirtioNet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("VirtioNet")
            .field("mac", &self.mac)
            .field("offers", &self.offers)
            .finish_non_exhaustive()
    }
}

/// Sets the device up and gives it its receive buffers; interrupts are suppressed. `registers` are
/// the transport's.
///
/// # Errors
///
/// See [`NetError`].
pub fn start(
    mut transport: MmioTransport<'static>,
    registers: Registers,
) -> Result<(VirtioNet, Receiver), NetError> {
    use feature::{CHECKSUM, CUTS, GUEST_CHECKSUM, MAC, MERGES, VERSION_1};
    if transport.requires_legacy_layout() {
        return Err(NetError::Legacy);
    }
    // The order of 3.1.1.
    let mut status = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
    transport.set_status(DeviceStatus::empty());
    transport.set_status(status);
    let features = negotiate(transport.read_device_features());
    let has = |feature| features & feature != 0;
    if !has(VERSION_1) || !has(MAC) {
        return Err(NetError::Device);
    }
    transport.write_driver_features(features);
    status |= DeviceStatus::FEATURES_OK;
    transport.set_status(status);
    if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
        return Err(NetError::Device);
    }
    let mac = transport
        .read_config_space(0)
        .map_err(|_| NetError::Device)?;
    let mut queue = |number| Virtqueue::new(&mut transport, registers, number);
    let received = queue(RECEIVE).ok_or(NetError::Memory)?;
    let sent = queue(TRANSMIT).ok_or(NetError::Memory)?;
    let receive_interrupts = received.interrupts();
    let receiver = Receiver::new(received, has(MERGES), has(GUEST_CHECKSUM));
    let mut receiver = receiver.ok_or(NetError::Memory)?;
    let transmitter = Transmitter::new(sent, has(CUTS)).ok_or(NetError::Memory)?;
    transport.set_status(status | DeviceStatus::DRIVER_OK);
    machine::NetRx::refill(&mut receiver);
    let device = VirtioNet {
        _transport: transport,
        registers,
        mac,
        offers: Offers {
            checksums: has(CHECKSUM),
            cuts: if has(CUTS) { CUT } else { 0 },
        },
        receive_interrupts,
        transmitter,
    };
    Ok((device, receiver))
}

impl NetTx for VirtioNet {
    fn has_room(&mut self) -> bool {
        self.transmitter.has_room()
    }

    fn transmit(&mut self, len: usize, fill: Frame<'_>) -> Result<bool, TxFull> {
        self.transmitter.transmit(len, fill)
    }
}

impl NetDevice for VirtioNet {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn offers(&self) -> Offers {
        self.offers
    }

    fn acknowledge(&mut self) -> bool {
        self.transmitter.stop_waiting();
        let causes = self.registers.read(INTERRUPT_STATUS);
        if causes != 0 {
            self.registers.write(INTERRUPT_ACK, causes);
        }
        causes != 0
    }

    fn set_interrupts(&mut self, on: bool) {
        self.receive_interrupts.set(on);
    }

    fn flush(&mut self) {
        self.transmitter.flush();
    }

    fn faults(&self) -> u64 {
        self.transmitter.faults()
    }
}

#[cfg(test)]
mod tests {
    use super::feature::{CHECKSUM, CUTS, GUEST_CHECKSUM, JOINS, MAC, MERGES, VERSION_1};
    use super::*;

    #[test]
    fn what_needs_something_else_is_not_asked_for_without_it() {
        let all = CHECKSUM | GUEST_CHECKSUM | MAC | JOINS | CUTS | MERGES | VERSION_1;
        assert_eq!(negotiate(!0), all);
        assert_eq!(negotiate(all & !CHECKSUM), all & !CHECKSUM & !CUTS);
        let without = all & !GUEST_CHECKSUM & !JOINS;
        assert_eq!(negotiate(all & !GUEST_CHECKSUM), without);
        assert_eq!(negotiate(all & !MERGES), all & !MERGES & !JOINS);
        assert_eq!(negotiate(MAC | VERSION_1), MAC | VERSION_1);
    }
}
