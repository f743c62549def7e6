//! One split virtqueue (virtio 1.2 2.7), with buffers that are single descriptors.
//!
//! The driver numbers the descriptors and says what each describes, so nothing here keeps a free
//! list. Notification is suppressed by flag in both directions ([`Virtqueue::kick`],
//! [`Interrupts::set`]); the event index (2.7.7.1) would take another shape and bring nothing where one
//! side is polled.
//!
//! | At | What (little-endian) | Written by |
//! | ---: | --- | --- |
//! | 0 | [`SIZE`] descriptors: address, length, flags, next (2.7.5) | driver |
//! | [`AVAILABLE`] | flags, index, [`SIZE`] descriptor numbers (2.7.6) | driver |
//! | [`USED`] | flags, index, [`SIZE`] pairs: descriptor number, length (2.7.8) | device |

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use virtio_drivers::transport::Transport;

use crate::dma::Words;
use crate::mmio::Registers;

/// Descriptors of a queue; a power of two.
pub(crate) const SIZE: u16 = 128;
const DESCRIPTOR: usize = 16;
const AVAILABLE: usize = DESCRIPTOR * SIZE as usize;
/// The available ring takes 4 + 2 * [`SIZE`] bytes.
const USED: usize = AVAILABLE + 512;
const PAGES: usize = 1;
/// `VIRTQ_DESC_F_WRITE`.
const WRITE: u16 = 2;
/// `VIRTQ_AVAIL_F_NO_INTERRUPT`.
const NO_INTERRUPT: u16 = 1;
/// `VIRTQ_USED_F_NO_NOTIFY`.
const NO_NOTIFY: u16 = 1;
/// `QueueNotify` register (virtio 1.2 4.2.2).
const QUEUE_NOTIFY: usize = 0x50;

const _: () = assert!(
    SIZE.is_power_of_two()
        && AVAILABLE + 4 + 2 * SIZE as usize <= USED
        && USED + 4 + 8 * SIZE as usize <= PAGES * 4096
);

/// Who writes to a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    ToDevice,
    FromDevice,
}

/// A buffer that the device has finished with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Used {
    pub(crate) descriptor: u16,
    /// Bytes the device wrote.
    pub(crate) len: u32,
}

/// A queue of the device.
#[derive(Debug)]
pub(crate) struct Virtqueue {
    rings: Words,
    registers: Registers,
    number: u16,
    /// Buffers made available so far, and of those how many the device was told of.
    given: u16,
    told: u16,
    /// Buffers taken back so far.
    taken: u16,
}

/// Switches the interrupts of a queue, also for who does not own it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupts(Words);

impl Interrupts {
    /// Allows or suppresses interrupts. After allowing, look for work again: the fence makes sure
    /// that either that look or the device's interrupt finds it (2.7.10).
    pub(crate) fn set(self, on: bool) {
        let flags = if on { 0 } else { NO_INTERRUPT };
        self.0.u16(AVAILABLE).store(flags.to_le(), Relaxed);
        if on {
            machine::fence_full();
        }
    }
}

impl Virtqueue {
    /// Makes queue `number` of the device behind `transport`; `None` when memory is out or the
    /// device's queue is smaller. Interrupts are suppressed.
    pub(crate) fn new(
        transport: &mut impl Transport,
        registers: Registers,
        number: u16,
    ) -> Option<Self> {
        if transport.max_queue_size(number) < u32::from(SIZE) {
            return None;
        }
        let rings = Words::new(PAGES)?;
        let (size, at) = (u32::from(SIZE), |at| rings.address(at));
        transport.queue_set(number, size, at(0), at(AVAILABLE), at(USED));
        Some(Self::with_rings(rings, registers, number))
    }

    fn with_rings(rings: Words, registers: Registers, number: u16) -> Self {
        Interrupts(rings).set(false);
        Self {
            rings,
            registers,
            number,
            given: 0,
            told: 0,
            taken: 0,
        }
    }

    /// The switch of this queue's interrupts.
    pub(crate) fn interrupts(&self) -> Interrupts {
        Interrupts(self.rings)
    }

    /// Says what `descriptor` describes. It must not be with the device.
    #[inline]
    pub(crate) fn describe(&self, descriptor: u16, address: u64, len: u32, direction: Direction) {
        let at = DESCRIPTOR * usize::from(descriptor);
        let flags = match direction {
            Direction::ToDevice => 0,
            Direction::FromDevice => WRITE,
        };
        self.rings.u64(at).store(address.to_le(), Relaxed);
        self.rings.u32(at + 8).store(len.to_le(), Relaxed);
        self.rings.u16(at + 12).store(u16::to_le(flags), Relaxed);
    }

    /// Gives `descriptor`'s buffer to the device, which may not know yet ([`Self::kick`]).
    #[inline]
    pub(crate) fn give(&mut self, descriptor: u16) {
        let slot = AVAILABLE + 4 + 2 * usize::from(self.given % SIZE);
        self.rings.u16(slot).store(descriptor.to_le(), Relaxed);
        self.given = self.given.wrapping_add(1);
        // The device that sees the index sees the buffer, its descriptor and its place in the ring.
        let index = self.rings.u16(AVAILABLE + 2);
        index.store(self.given.to_le(), Release);
    }

    /// Buffers that the device has finished with and [`Self::advance`] has not passed.
    #[inline]
    pub(crate) fn ready(&self) -> u16 {
        let done = u16::from_le(self.rings.u16(USED + 2).load(Acquire));
        done.wrapping_sub(self.taken)
    }

    /// The next buffer the device has finished with; it stays there until [`Self::advance`].
    #[inline]
    pub(crate) fn peek(&self) -> Option<Used> {
        (self.ready() > 0).then(|| self.used(0))
    }

    /// The buffer behind `ahead` others, of those that are [`Self::ready`].
    #[inline]
    pub(crate) fn used(&self, ahead: u16) -> Used {
        let at = USED + 4 + 8 * usize::from(self.taken.wrapping_add(ahead) % SIZE);
        let descriptor = u32::from_le(self.rings.u32(at).load(Relaxed));
        assert!(
            descriptor < u32::from(SIZE),
            "virtio: the device returned a buffer it was not given"
        );
        Used {
            descriptor: descriptor as u16,
            len: u32::from_le(self.rings.u32(at + 4).load(Relaxed)),
        }
    }

    /// Takes `n` buffers back that [`Self::peek`] has shown.
    #[inline]
    pub(crate) fn advance(&mut self, n: u16) {
        self.taken = self.taken.wrapping_add(n);
    }

    /// Notifies the device of what it was given since the last time, if it wants to know.
    pub(crate) fn kick(&mut self) {
        if core::mem::replace(&mut self.told, self.given) == self.given {
            return;
        }
        // The buffers were published before this; the device clears its flag before it looks for
        // buffers the last time. With the fence at least one side sees the other (2.7.13).
        machine::fence_full();
        if u16::from_le(self.rings.u16(USED).load(Relaxed)) & NO_NOTIFY == 0 {
            self.registers.write(QUEUE_NOTIFY, self.number.into());
        }
    }
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
