//! One split virtqueue (virtio 1.2 2.7), with buffers that are single descriptors.
//!
//! The driver numbers the descriptors and says what each describes, so nothing here keeps a free
//! list. What it keeps is which of them the device has: a device that returns one that it has not is not believed,
//! whatever else it says ([`Virtqueue::take`]), so that no buffer is read while the device writes it, or twice.
//!
//! Notification is suppressed by flag in both directions ([`Virtqueue::kick`],
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

use crate::dma;
use crate::mmio::Registers;

type Words = dma::Words<PAGES>;

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
    /// Buffers that the device returned so far, and of those how many it had not.
    taken: u16,
    wrong: u64,
    /// The descriptors that the device has, by number.
    lent: [u64; SIZE as usize / 64],
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
        let rings = Words::new()?;
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
            wrong: 0,
            lent: [0; SIZE as usize / 64],
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
        let (word, bit) = place(descriptor);
        self.lent[word] |= bit;
        let slot = AVAILABLE + 4 + 2 * usize::from(self.given % SIZE);
        self.rings.u16(slot).store(descriptor.to_le(), Relaxed);
        self.given = self.given.wrapping_add(1);
        // The device that sees the index sees the buffer, its descriptor and its place in the ring.
        let index = self.rings.u16(AVAILABLE + 2);
        index.store(self.given.to_le(), Release);
    }

    /// Buffers that the device says it has finished with and nobody has taken; at most those that it was given.
    #[inline]
    pub(crate) fn ready(&self) -> u16 {
        let done = u16::from_le(self.rings.u16(USED + 2).load(Acquire));
        // What was wrong was passed over, and took no buffer.
        let outstanding = self.given.wrapping_sub(self.taken);
        let outstanding = outstanding.wrapping_add(self.wrong as u16);
        done.wrapping_sub(self.taken).min(outstanding)
    }

    /// The next buffer that the device has finished with; it stays there until [`Self::take`].
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<Used> {
        // A device that never ends with what it has not is left alone until the next time.
        for _ in 0..SIZE {
            if self.ready() == 0 {
                break;
            }
            let at = USED + 4 + 8 * usize::from(self.taken % SIZE);
            let descriptor = u32::from_le(self.rings.u32(at).load(Relaxed));
            if descriptor < u32::from(SIZE) {
                let descriptor = descriptor as u16;
                let (word, bit) = place(descriptor);
                if self.lent[word] & bit != 0 {
                    let len = u32::from_le(self.rings.u32(at + 4).load(Relaxed));
                    return Some(Used { descriptor, len });
                }
            }
            self.wrong += 1;
            self.taken = self.taken.wrapping_add(1);
        }
        None
    }

    /// Takes the buffer back that [`Self::peek`] has just shown.
    #[inline]
    pub(crate) fn take(&mut self, shown: Used) {
        let (word, bit) = place(shown.descriptor);
        self.lent[word] &= !bit;
        self.taken = self.taken.wrapping_add(1);
    }

    /// How often the device returned a buffer that it did not have.
    pub(crate) fn wrong(&self) -> u64 {
        self.wrong
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

/// Where `lent` has a descriptor's bit; there are no others than those below [`SIZE`].
#[inline]
fn place(descriptor: u16) -> (usize, u64) {
    let n = usize::from(descriptor % SIZE);
    (n / 64, 1 << (n % 64))
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
