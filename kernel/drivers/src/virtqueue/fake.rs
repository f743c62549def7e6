//! The device's side of a queue, for tests: it takes what it was given, in order, and returns it in any.
#![expect(unsafe_code, reason = "a device reads and writes memory by address")]

use std::boxed::Box;
use std::vec::Vec;

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{AVAILABLE, DESCRIPTOR, NO_INTERRUPT, NO_NOTIFY, SIZE, USED, Virtqueue, Words};
use crate::dma::install_for_tests;
use crate::mmio::Registers;

/// Bytes of registers that a queue may write.
const REGISTERS: usize = 0x100;

/// A buffer that the device has been given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) descriptor: u16,
    address: u64,
    pub(crate) len: usize,
}

/// The device.
pub(crate) struct Device {
    rings: Words,
    registers: Registers,
    taken: u16,
    returned: u16,
}

/// A queue and its device.
pub(crate) fn pair(number: u16) -> (Virtqueue, Device) {
    install_for_tests();
    let rings = Words::new().expect("memory");
    let block = Box::leak(Box::new([u32::MAX; REGISTERS / 4]));
    let base = block.as_mut_ptr().expose_provenance();
    // SAFETY: words of memory that nothing else refers to, for ever.
    let registers = unsafe { Registers::new(base, REGISTERS) };
    let device = Device {
        rings,
        registers,
        taken: 0,
        returned: 0,
    };
    (Virtqueue::with_rings(rings, registers, number), device)
}

impl Device {
    /// The next buffer given to the device.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let given = self.rings.u16(AVAILABLE + 2).load(Acquire);
        if given == self.taken {
            return None;
        }
        let slot = AVAILABLE + 4 + 2 * usize::from(self.taken % SIZE);
        self.taken = self.taken.wrapping_add(1);
        let descriptor = self.rings.u16(slot).load(Relaxed);
        let at = DESCRIPTOR * usize::from(descriptor);
        Some(Taken {
            descriptor,
            address: self.rings.u64(at).load(Relaxed),
            len: self.rings.u32(at + 8).load(Relaxed) as usize,
        })
    }

    /// What a buffer holds.
    pub(crate) fn read(&self, buffer: Taken) -> Vec<u8> {
        let p = core::ptr::with_exposed_provenance::<u8>(buffer.address as usize);
        // SAFETY: the driver gave this memory to the device.
        unsafe { core::slice::from_raw_parts(p, buffer.len) }.to_vec()
    }

    /// Fills the begin of a buffer.
    pub(crate) fn write(&self, buffer: Taken, bytes: &[u8]) {
        assert!(bytes.len() <= buffer.len, "a device keeps to the buffer");
        let p = core::ptr::with_exposed_provenance_mut::<u8>(buffer.address as usize);
        // SAFETY: the driver gave this memory to the device.
        unsafe { p.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Returns a buffer with `len` bytes written; the driver sees it with the next [`Self::publish`].
    pub(crate) fn give_back(&mut self, buffer: Taken, len: usize) {
        let at = USED + 4 + 8 * usize::from(self.returned % SIZE);
        let descriptor = u32::from(buffer.descriptor);
        self.rings.u32(at).store(descriptor, Relaxed);
        self.rings.u32(at + 4).store(len as u32, Relaxed);
        self.returned = self.returned.wrapping_add(1);
    }

    /// As [`Self::give_back`], of a number that may be none.
    pub(crate) fn return_number(&mut self, number: u32) {
        let at = USED + 4 + 8 * usize::from(self.returned % SIZE);
        self.rings.u32(at).store(number, Relaxed);
        self.returned = self.returned.wrapping_add(1);
    }

    pub(crate) fn publish(&self) {
        self.rings.u16(USED + 2).store(self.returned, Release);
    }

    /// Asks for no notifications, or for them.
    pub(crate) fn sleep(&self, wants_notification: bool) {
        let flags = if wants_notification { 0 } else { NO_NOTIFY };
        self.rings.u16(USED).store(flags, Relaxed);
    }

    /// The number of the queue that was notified since the last call.
    pub(crate) fn notified(&self) -> Option<u32> {
        let queue = self.registers.read(super::QUEUE_NOTIFY);
        self.registers.write(super::QUEUE_NOTIFY, u32::MAX);
        (queue != u32::MAX).then_some(queue)
    }

    /// True when the driver wants an interrupt.
    pub(crate) fn may_interrupt(&self) -> bool {
        self.rings.u16(AVAILABLE).load(Relaxed) & NO_INTERRUPT == 0
    }
}
