//! virtio-mmio with notification under the driver's control (virtio 1.2 4.2).
//!
//! `virtio-drivers` publishes a buffer and then asks the device's flag whether to notify, with no
//! full barrier between the store and the load. On weakly ordered cores, and on QEMU's
//! multi-threaded emulation, the load may see the old flag, and a device that went to sleep is never
//! woken. So this transport swallows those notifications. The driver marks the queues it touched on
//! the [`Doorbell`], which does the whole shape once per batch: fence, look at the flag, notify.
//!
//! Two features are hidden from the crate: the event index (with it, interrupts cannot be
//! suppressed by flag) and indirect descriptors (they would allocate on every transfer).
#![expect(unsafe_code, reason = "flags in the rings shared with the device")]

use alloc::sync::Arc;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::mmio::Registers;

/// `VIRTIO_F_EVENT_IDX` and `VIRTIO_F_INDIRECT_DESC`.
const HIDDEN: u64 = 1 << 29 | 1 << 28;
/// `VIRTQ_USED_F_NO_NOTIFY`.
const NO_NOTIFY: u16 = 1;
/// `VIRTQ_AVAIL_F_NO_INTERRUPT`.
const NO_INTERRUPT: u16 = 1;
const QUEUES: usize = 2;
/// `QueueNotify` register.
const QUEUE_NOTIFY: usize = 0x50;

/// One queue as the doorbell sees it.
#[derive(Debug, Default)]
struct Queue {
    /// Address of the available ring (its first field is the driver's flags), 0 before set-up.
    available: AtomicUsize,
    /// Address of the used ring (its first field is the device's flags), 0 before set-up.
    used: AtomicUsize,
    dirty: AtomicBool,
}

/// Tells the device about new buffers, and says whether it may interrupt.
#[derive(Debug)]
pub struct Doorbell {
    registers: Registers,
    queues: [Queue; QUEUES],
}

impl Doorbell {
    /// Remembers that `queue` got buffers the device was not told about.
    pub fn mark(&self, queue: u16) {
        self.queues[usize::from(queue)]
            .dirty
            .store(true, Ordering::Relaxed);
    }

    /// Notifies the device about `queue` if it got buffers and the device wants to know.
    pub fn kick(&self, queue: u16) {
        let q = &self.queues[usize::from(queue)];
        if !q.dirty.load(Ordering::Relaxed) {
            return;
        }
        q.dirty.store(false, Ordering::Relaxed);
        // Buffers were published before this; the device clears its flag before it looks for
        // buffers the last time. With the fence at least one side sees the other.
        machine::fence_full();
        let used = q.used.load(Ordering::Relaxed);
        if used == 0 || read_flags(used) & NO_NOTIFY == 0 {
            self.registers.write(QUEUE_NOTIFY, u32::from(queue));
        }
    }

    /// Allows or suppresses the interrupts of `queue`. After allowing, look for work again: the
    /// fence makes sure that either that look or the device's interrupt finds it.
    pub fn set_interrupts(&self, queue: u16, on: bool) {
        let available = self.queues[usize::from(queue)]
            .available
            .load(Ordering::Relaxed);
        if available != 0 {
            let p = core::ptr::with_exposed_provenance_mut::<u16>(available);
            // SAFETY: the flags of the available ring the driver allocated and gave to the device.
            unsafe { p.write_volatile(if on { 0 } else { NO_INTERRUPT }) };
        }
        if on {
            machine::fence_full();
        }
    }
}

fn read_flags(used: usize) -> u16 {
    let p = core::ptr::with_exposed_provenance::<u16>(used);
    // SAFETY: the flags of the used ring the driver allocated and gave to the device.
    unsafe { p.read_volatile() }
}

/// A virtio-mmio slot whose queues are notified by its doorbell only.
#[derive(Debug)]
pub struct Deferred {
    inner: MmioTransport<'static>,
    doorbell: Arc<Doorbell>,
}

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

impl Deferred {
    /// Wraps the transport of the device whose registers these are.
    #[must_use]
    pub fn new(inner: MmioTransport<'static>, registers: Registers) -> Self {
        let doorbell = Arc::new(Doorbell {
            registers,
            queues: Default::default(),
        });
        Self { inner, doorbell }
    }

    /// The doorbell of this device.
    #[must_use]
    pub fn doorbell(&self) -> Arc<Doorbell> {
        self.doorbell.clone()
    }
}

impl Transport for Deferred {
    fn device_type(&self) -> DeviceType {
        self.inner.device_type()
    }

    fn read_device_features(&mut self) -> u64 {
        self.inner.read_device_features() & !HIDDEN
    }

    fn write_driver_features(&mut self, features: u64) {
        self.inner.write_driver_features(features);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.inner.max_queue_size(queue)
    }

    fn notify(&mut self, queue: u16) {
        self.doorbell.mark(queue);
    }

    fn get_status(&self) -> DeviceStatus {
        self.inner.get_status()
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.inner.set_status(status);
    }

    fn set_guest_page_size(&mut self, size: u32) {
        self.inner.set_guest_page_size(size);
    }

    fn requires_legacy_layout(&self) -> bool {
        self.inner.requires_legacy_layout()
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        if let Some(q) = self.doorbell.queues.get(usize::from(queue)) {
            q.available.store(driver_area as usize, Ordering::Relaxed);
            q.used.store(device_area as usize, Ordering::Relaxed);
        }
        self.inner
            .queue_set(queue, size, descriptors, driver_area, device_area);
    }

    fn queue_unset(&mut self, queue: u16) {
        self.inner.queue_unset(queue);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.inner.queue_used(queue)
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        self.inner.ack_interrupt()
    }

    fn read_config_generation(&self) -> u32 {
        self.inner.read_config_generation()
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, Error> {
        self.inner.read_config_space(offset)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        offset: usize,
        value: T,
    ) -> Result<(), Error> {
        self.inner.write_config_space(offset, value)
    }
}
