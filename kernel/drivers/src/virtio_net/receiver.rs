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

    /// Takes a frame of `count` buffers, of which `first` is the next one returned: in place if they lie one behind
    /// the other. Where the device returned something else among them, there is no frame.
    #[inline(never)]
    fn receive_merged(&mut self, first: Used, count: u16, f: &mut dyn FnMut(&[u8])) {
        let (start, mut len) = (offset(first), 0);
        let mut there = 0;
        while there < count {
            match self.queue.peek() {
                Some(part) if offset(part) == start + len => {
                    self.queue.take(part);
                    len += length(part);
                    there += 1;
                }
                Some(_) => {
                    let whole = self.join(first, there, len, count);
                    return whole.and_then(|w| w.get(header::BYTES..)).map_or((), f);
                }
                None => break,
            }
        }
        // SAFETY: the device has finished with these buffers, and gets them back below.
        let whole = unsafe { self.buffers.slice(start, len) };
        if let Some(bytes) = whole.get(header::BYTES..).filter(|_| there == count) {
            f(bytes);
        }
        for n in 0..there {
            self.queue.give(first.descriptor + n);
        }
    }

    /// Puts a frame of `count` buffers together, and gives them back. The first `there` are taken: `len` bytes from
    /// `first` on. `None` when it is larger than a frame, or incomplete.
    fn join(&mut self, first: Used, there: u16, len: usize, count: u16) -> Option<&[u8]> {
        // SAFETY: the device never has these pages.
        let all = unsafe { self.joined.as_mut()?.slice(0, header::BYTES + JOINED) };
        // SAFETY: the device has finished with these buffers, and gets them back below.
        let bytes = unsafe { self.buffers.slice(offset(first), len) };
        let mut at = copy(bytes, all, Some(0));
        for n in 0..there {
            self.queue.give(first.descriptor + n);
        }
        for _ in there..count {
            let part = self.queue.peek()?;
            self.queue.take(part);
            // SAFETY: as above.
            let bytes = unsafe { self.buffers.slice(offset(part), length(part)) };
            at = copy(bytes, all, at);
            self.queue.give(part.descriptor);
        }
        all.get(..at?)
    }
}

/// Copies to where the last copy ended; where this one does, if there is room.
fn copy(bytes: &[u8], to: &mut [u8], at: Option<usize>) -> Option<usize> {
    let end = at? + bytes.len();
    to.get_mut(at?..end)?.copy_from_slice(bytes);
    Some(end)
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
        let Some(first) = self.queue.peek() else {
            return false;
        };
        // SAFETY: the device has finished with the buffer, and gets it back below.
        let bytes = unsafe { self.buffers.slice(offset(first), length(first)) };
        let vouched = |head: &[u8; header::BYTES]| self.vouches && header::is_vouched(head);
        let merges = self.joined.is_some();
        match bytes.split_first_chunk() {
            Some((head, frame)) if !merges || header::buffers(head) <= 1 => {
                f(Received {
                    bytes: frame,
                    vouched: vouched(head),
                });
            }
            Some((head, _)) => {
                let count = header::buffers(head).min(BUFFERS);
                if count > self.queue.ready() {
                    // The frame's end is on its way.
                    return false;
                }
                let vouched = vouched(head);
                self.receive_merged(first, count, &mut |bytes| f(Received { bytes, vouched }));
                return true;
            }
            // Shorter than its header.
            None => {}
        }
        self.queue.take(first);
        self.queue.give(first.descriptor);
        true
    }

    fn is_waiting(&mut self) -> bool {
        self.queue.ready() > 0
    }

    fn refill(&mut self) {
        self.queue.kick();
    }

    fn faults(&self) -> u64 {
        self.queue.wrong()
    }
}

#[cfg(test)]
mod tests;
