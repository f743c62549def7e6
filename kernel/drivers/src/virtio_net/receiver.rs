//! The receiving half: a ring of buffers in one piece of memory.
//!
//! With `VIRTIO_NET_F_MRG_RXBUF` a frame may take several buffers, of which only the first has a
//! header (virtio 1.2 5.1.6.4). Buffer `n` stands right before buffer `n + 1`, and they are given to the
//! device in that order. A device that uses them in order, as QEMU does, thus leaves even a large
//! frame in one piece, which is looked at in place; only where the memory wraps, or a device uses the
//! buffers otherwise, is the frame put together in a buffer of its own.
#![expect(unsafe_code, reason = "buffers lent to the device")]

use machine::{NetRx, Received};

use super::header;
use crate::dma::Buffers;
use crate::virtqueue::{Direction, SIZE, Used, Virtqueue};

/// Bytes of one buffer: a frame that nobody joined fits into one, and one of 16 KiB takes five.
const BUFFER: usize = 4096;
const BUFFERS: u16 = SIZE / 2;
const PAGE: usize = 4096;
/// Largest frame the device may join: an IPv4 packet and the Ethernet header.
const JOINED: usize = 14 + 65_535;

/// The receive ring and its buffers.
pub struct Receiver {
    queue: Virtqueue,
    buffers: Buffers,
    /// Where frames in several pieces are put together; nothing unless frames may be merged.
    joined: Option<Buffers>,
    /// The device was told that it may leave checksums to us.
    vouches: bool,
}

impl core::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl Receiver {
    /// Gives all buffers to the device; `None` when memory is out. `merges`: a frame may take several
    /// buffers. `vouches`: what the device says of checksums counts.
    pub(super) fn new(mut queue: Virtqueue, merges: bool, vouches: bool) -> Option<Self> {
        let buffers = Buffers::new(usize::from(BUFFERS) * BUFFER / PAGE)?;
        let joined = if merges {
            Some(Buffers::new((header::BYTES + JOINED).div_ceil(PAGE))?)
        } else {
            None
        };
        for n in 0..BUFFERS {
            let address = buffers.address(usize::from(n) * BUFFER);
            queue.describe(n, address, BUFFER as u32, Direction::FromDevice);
            queue.give(n);
        }
        Some(Self {
            queue,
            buffers,
            joined,
            vouches,
        })
    }

    /// Where the `count` buffers that are next begin, and their bytes, if they lie in one piece.
    fn in_place(&self, count: u16) -> Option<(usize, usize)> {
        let start = offset(self.queue.used(0));
        let mut len = 0;
        for n in 0..count {
            let part = self.queue.used(n);
            if offset(part) != start + len {
                return None;
            }
            len += length(part);
        }
        Some((start, len))
    }

    /// Puts the next `count` buffers together; `None` when that is more than a frame.
    fn join(&mut self, count: u16) -> Option<&[u8]> {
        let joined = self.joined.as_mut()?;
        // SAFETY: the device never has these pages.
        let all = unsafe { joined.slice(0, header::BYTES + JOINED) };
        let mut at = 0;
        for n in 0..count {
            let part = self.queue.used(n);
            // SAFETY: the device has finished with the buffer, and gets it back through `give` only.
            let bytes = unsafe { self.buffers.slice(offset(part), length(part)) };
            all.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
            at += bytes.len();
        }
        all.get(..at)
    }
}

/// Where a buffer lies.
fn offset(used: Used) -> usize {
    usize::from(used.descriptor) * BUFFER
}

/// Bytes in a buffer.
fn length(used: Used) -> usize {
    (used.len as usize).min(BUFFER)
}

impl NetRx for Receiver {
    fn receive(&mut self, f: &mut dyn FnMut(Received<'_>)) -> bool {
        let ready = self.queue.ready();
        if ready == 0 {
            return false;
        }
        let first = self.queue.used(0);
        // SAFETY: the device has finished with the buffer, and gets it back below.
        let head = unsafe { self.buffers.slice(offset(first), header::BYTES) };
        let vouched = self.vouches && header::is_vouched(head);
        let count = match self.joined {
            Some(_) => header::buffers(head).clamp(1, BUFFERS),
            None => 1,
        };
        let place = if count == 1 {
            Some((offset(first), length(first)))
        } else if count <= ready {
            self.in_place(count)
        } else {
            // The frame's end is on its way.
            return false;
        };
        let whole = match place {
            // SAFETY: as above, for each of the buffers.
            Some((start, len)) => Some(unsafe { &*self.buffers.slice(start, len) }),
            None => self.join(count),
        };
        if let Some(bytes) = whole.and_then(|b| b.get(header::BYTES..)) {
            f(Received { bytes, vouched });
        }
        for n in 0..count {
            self.queue.give(self.queue.used(n).descriptor);
        }
        self.queue.advance(count);
        true
    }

    fn is_waiting(&mut self) -> bool {
        self.queue.ready() > 0
    }

    fn refill(&mut self) {
        self.queue.kick();
    }
}

#[cfg(test)]
mod tests;
