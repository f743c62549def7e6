//! The sending half: slots in one piece of memory, of which a frame takes as many in a row as it needs.
//!
//! The slots form a ring. A frame that does not fit before the memory's end begins at its start, and
//! what is left over goes with it. Slots come back in the ring's order, whatever the order in which
//! the device finishes. Completions cause no interrupt; they are looked for when room is
//! needed. Only a full ring turns the interrupt on, until
//! the next acknowledgement, so that whoever waits is told.
#![expect(unsafe_code, reason = "buffers lent to the device")]

use machine::{Frame, NetTx, TxFull};

use super::header;
use crate::dma::Buffers;
use crate::virtqueue::{Direction, SIZE, Virtqueue};

/// Bytes of one slot: a frame that is not to be cut, and its header, fit into one.
const SLOT: usize = 2048;
/// There is a descriptor for each slot, so the queue is never full before the memory is.
const SLOTS: usize = SIZE as usize;
const PAGE: usize = 4096;
/// Ethernet header and 1,500 bytes.
const UNCUT: usize = 1514;
/// Slots of the largest frame that is to be cut.
const MOST: usize = 12;
/// Its bytes.
pub(super) const CUT: usize = MOST * SLOT - header::BYTES;

/// The transmit ring and its slots.
pub(super) struct Transmitter {
    queue: Virtqueue,
    buffers: Buffers,
    /// Slots of the frame that begins here, 0 where none does.
    spans: [u8; SLOTS],
    /// The device has finished with the frame that begins here.
    done: [bool; SLOTS],
    /// The first slot to use next, and how many from there on are unused.
    next: usize,
    free: usize,
    /// Slots that a frame may take.
    most: usize,
    /// The interrupt is on because somebody found the ring full.
    waiting: bool,
}

impl Transmitter {
    /// An empty ring; `None` when memory is out. `cuts`: frames of up to [`CUT`] bytes may come.
    pub(super) fn new(queue: Virtqueue, cuts: bool) -> Option<Self> {
        Some(Self {
            queue,
            buffers: Buffers::new(SLOTS * SLOT / PAGE)?,
            spans: [0; SLOTS],
            done: [false; SLOTS],
            next: 0,
            free: SLOTS,
            most: if cuts { MOST } else { 1 },
            waiting: false,
        })
    }

    /// Takes back the slots of completed frames.
    fn reap(&mut self) {
        while let Some(used) = self.queue.peek() {
            self.queue.take(used);
            self.done[usize::from(used.descriptor)] = true;
        }
        while self.free < SLOTS {
            let oldest = (self.next + self.free) % SLOTS;
            if !core::mem::take(&mut self.done[oldest]) {
                return;
            }
            self.free += usize::from(core::mem::take(&mut self.spans[oldest]));
        }
    }

    /// Slots to skip so that `n` in a row follow.
    #[inline]
    fn skip(&self, n: usize) -> usize {
        let left = SLOTS - self.next;
        if n <= left { 0 } else { left }
    }

    #[inline]
    fn fits(&self, n: usize) -> bool {
        self.skip(n) + n <= self.free
    }

    /// Makes room for `n` slots in a row if there is any; a full ring turns the interrupt on.
    #[inline]
    fn make_room(&mut self, n: usize) -> bool {
        self.fits(n) || self.look_for_room(n)
    }

    fn look_for_room(&mut self, n: usize) -> bool {
        self.reap();
        if self.fits(n) {
            return true;
        }
        self.waiting = true;
        self.queue.interrupts().set(true);
        self.queue.kick();
        self.reap();
        self.fits(n)
    }

    /// Takes `n` slots in a row, of which there are enough.
    fn take(&mut self, n: usize) -> usize {
        let skipped = self.skip(n);
        if skipped > 0 {
            // What is left over comes back as if it were a frame the device is done with.
            self.spans[self.next] = skipped as u8;
            self.done[self.next] = true;
        }
        let first = (self.next + skipped) % SLOTS;
        self.spans[first] = n as u8;
        self.next = (first + n) % SLOTS;
        self.free -= skipped + n;
        first
    }

    /// An interrupt was acknowledged: whoever waited for room is told by it.
    pub(super) fn stop_waiting(&mut self) {
        if core::mem::take(&mut self.waiting) {
            self.queue.interrupts().set(false);
        }
    }

    /// Tells the device of every frame since the last call.
    #[inline]
    pub(super) fn flush(&mut self) {
        self.queue.kick();
    }

    /// How often the device returned a frame that it did not have.
    pub(super) fn faults(&self) -> u64 {
        self.queue.wrong()
    }
}

impl NetTx for Transmitter {
    fn has_room(&mut self) -> bool {
        self.make_room(self.most)
    }

    fn transmit(&mut self, len: usize, fill: Frame<'_>) -> Result<bool, TxFull> {
        let most = if self.most == 1 { UNCUT } else { CUT };
        assert!(len <= most, "virtio-net: frame of {len} bytes");
        let bytes = header::BYTES + len;
        let n = bytes.div_ceil(SLOT);
        if !self.make_room(n) {
            return Err(TxFull);
        }
        let slot = self.take(n);
        let at = slot * SLOT;
        // SAFETY: `take` says that the device has none of these slots, and gets them below.
        let buffer = unsafe { self.buffers.slice(at, bytes) };
        let Some((head, frame)) = buffer.split_first_chunk_mut() else {
            unreachable!("longer than its header")
        };
        let finish = fill(frame);
        header::write(head, frame, finish);
        let address = self.buffers.address(at);
        let descriptor = slot as u16;
        self.queue
            .describe(descriptor, address, bytes as u32, Direction::ToDevice);
        self.queue.give(descriptor);
        Ok(self.fits(self.most))
    }
}

#[cfg(test)]
mod tests;
