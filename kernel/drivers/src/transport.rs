//! Finding virtio-mmio devices (virtio 1.2 4.2).
#![expect(unsafe_code, reason = "claims a device's registers")]

use core::ptr::NonNull;

use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};

/// The transport of the device at `base`, or `None` for an empty slot.
///
/// # Safety
///
/// `base..base + bytes` is a virtio-mmio register block mapped as device memory for ever, used
/// by nothing else.
#[must_use]
pub unsafe fn probe(base: usize, bytes: usize) -> Option<MmioTransport<'static>> {
    let header = NonNull::new(core::ptr::with_exposed_provenance_mut::<VirtIOHeader>(base))?;
    // SAFETY: the caller's promise.
    unsafe { MmioTransport::new(header, bytes) }.ok()
}
