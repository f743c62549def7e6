//! virtio entropy device (virtio 1.2 5.4): one request at boot.
//!
//! QEMU: `-device virtio-rng-device -global virtio-mmio.force-legacy=false`.

use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::mmio::MmioTransport;

use crate::dma::Platform;

/// Fills `out` with random bytes; the number the device gave. Waits for the device, so call it at
/// boot with DMA pages installed.
#[must_use]
pub fn read(transport: MmioTransport<'static>, out: &mut [u8]) -> usize {
    VirtIORng::<Platform, _>::new(transport)
        .and_then(|mut device| device.request_entropy(out))
        .map_or(0, |n| n.min(out.len()))
}
