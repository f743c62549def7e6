//! virtio network device (virtio 1.2 5.1).
//!
//! QEMU: `-device virtio-net-device,netdev=n0 -global virtio-mmio.force-legacy=false`.
//!
//! All buffers are allocated once, posted in ring order and recycled: no allocation per frame. A
//! received frame is looked at in place and its buffer goes straight back. Transmit completions are
//! reaped when room is needed or at [`NetDevice::flush`], without interrupts; only a full ring turns
//! the transmit interrupt on, until the next acknowledgement, so that whoever waits is told.
//!
//! Locks: none here; the owner serialises access.
#![expect(unsafe_code, reason = "buffers lent to the device")]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr::NonNull;

use machine::{Frame, NetDevice, NetTx, TxFull};
use virtio_drivers::device::net::VirtIONetRaw;

use crate::dma::{self, Platform};
use crate::transport::{Deferred, Doorbell};

const QUEUE: usize = 128;
/// Buffers posted for receive, and kept for transmit.
const BUFFERS: usize = 64;
const BUFFER_BYTES: usize = 2048;
const PAGE: usize = 4096;
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
/// Ethernet header and 1,500 bytes.
const MAX_FRAME: usize = 1514;
const NOBODY: u8 = u8::MAX;

type Raw = VirtIONetRaw<Platform, Deferred, QUEUE>;

/// The device could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// No memory for rings or buffers.
    Memory,
    /// The device refused.
    Device,
}

/// One direction's buffers: who has which.
struct Buffers {
    memory: NonNull<u8>,
    /// Buffer behind each ring token, [`NOBODY`] when none.
    by_token: [u8; QUEUE],
}

impl Buffers {
    fn new() -> Option<Self> {
        let memory = dma::pages(BUFFERS * BUFFER_BYTES / PAGE)?;
        Some(Self {
            memory: NonNull::from(memory).cast(),
            by_token: [NOBODY; QUEUE],
        })
    }

    /// Buffer `index`.
    ///
    /// # Safety
    ///
    /// The driver owns the buffer (the device does not), and no other reference to it lives.
    unsafe fn get<'a>(&self, index: u8) -> &'a mut [u8] {
        assert!(usize::from(index) < BUFFERS, "buffer number");
        // SAFETY: inside the pages `new` got.
        let p = unsafe { self.memory.add(usize::from(index) * BUFFER_BYTES) };
        // SAFETY: the pages live for ever; the caller has the only reference.
        unsafe { NonNull::slice_from_raw_parts(p, BUFFER_BYTES).as_mut() }
    }

    fn take(&mut self, token: u16) -> Option<u8> {
        let slot = self.by_token.get_mut(usize::from(token))?;
        Some(core::mem::replace(slot, NOBODY)).filter(|&index| index != NOBODY)
    }

    fn lend(&mut self, token: u16, index: u8) {
        if let Some(slot) = self.by_token.get_mut(usize::from(token)) {
            *slot = index;
        }
    }
}

/// The sending half and the rings.
struct Sender {
    raw: Box<Raw>,
    doorbell: Arc<Doorbell>,
    buffers: Buffers,
    /// Stack of unused buffers.
    free: [u8; BUFFERS],
    free_len: usize,
    /// The transmit interrupt is on because somebody found the ring full.
    waiting: bool,
}

/// A virtio network device.
pub struct VirtioNet {
    sender: Sender,
    receive: Buffers,
}

// SAFETY: the raw pointers are to pages only this value uses; rings and registers belong to it.
unsafe impl Send for VirtioNet {}

impl core::fmt::Debug for VirtioNet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("VirtioNet")
            .field("mac", &self.sender.raw.mac_address())
            .finish_non_exhaustive()
    }
}

impl VirtioNet {
    /// Sets up the device and posts its receive buffers; interrupts are suppressed.
    ///
    /// # Errors
    ///
    /// See [`NetError`].
    pub fn new(transport: Deferred) -> Result<Self, NetError> {
        let doorbell = transport.doorbell();
        let raw = Raw::new(transport).map_err(|_| NetError::Device)?;
        let sender = Sender {
            raw: Box::new(raw),
            doorbell,
            buffers: Buffers::new().ok_or(NetError::Memory)?,
            free: core::array::from_fn(|i| i as u8),
            free_len: BUFFERS,
            waiting: false,
        };
        let receive = Buffers::new().ok_or(NetError::Memory)?;
        let mut device = Self { sender, receive };
        device.sender.doorbell.set_interrupts(RECEIVE, false);
        device.sender.doorbell.set_interrupts(TRANSMIT, false);
        for index in 0..BUFFERS as u8 {
            device.post(index);
        }
        device.sender.doorbell.kick(RECEIVE);
        Ok(device)
    }

    /// Gives receive buffer `index` to the device.
    fn post(&mut self, index: u8) {
        // SAFETY: the caller has taken the buffer back from the device or never lent it.
        let buffer = unsafe { self.receive.get(index) };
        // SAFETY: the buffer is not touched until its token comes back.
        match unsafe { self.sender.raw.receive_begin(buffer) } {
            Ok(token) => {
                self.receive.lend(token, index);
                self.sender.doorbell.mark(RECEIVE);
            }
            // There are fewer buffers than ring entries, so the ring always has room.
            Err(e) => panic!("virtio-net: cannot post a receive buffer: {e}"),
        }
    }
}

impl Sender {
    /// Takes back the buffers of completed transmissions.
    fn reap(&mut self) {
        while let Some(token) = self.raw.poll_transmit() {
            let Some(index) = self.buffers.take(token) else {
                panic!("virtio-net: the device completed a transmission nobody started")
            };
            // SAFETY: the device is done with it; nobody else has a reference.
            let buffer = unsafe { self.buffers.get(index) };
            // SAFETY: the same buffer as given to `transmit_begin` with this token.
            let _ = unsafe { self.raw.transmit_complete(token, buffer) };
            self.free[self.free_len] = index;
            self.free_len += 1;
        }
    }

    fn take_free(&mut self) -> Option<u8> {
        self.free_len = self.free_len.checked_sub(1)?;
        Some(self.free[self.free_len])
    }

    /// A buffer to fill: an unused one, else a completed one; a full ring turns the interrupt on.
    fn buffer(&mut self) -> Option<u8> {
        if self.free_len == 0 {
            self.reap();
        }
        if self.free_len == 0 {
            self.waiting = true;
            self.doorbell.set_interrupts(TRANSMIT, true);
            self.doorbell.kick(TRANSMIT);
            self.reap();
        }
        self.take_free()
    }
}

impl NetTx for Sender {
    fn has_room(&mut self) -> bool {
        let Some(index) = self.buffer() else {
            return false;
        };
        self.free[self.free_len] = index;
        self.free_len += 1;
        true
    }

    fn transmit(&mut self, len: usize, fill: Frame<'_>) -> Result<(), TxFull> {
        assert!(len <= MAX_FRAME, "virtio-net: frame of {len} bytes");
        let index = self.buffer().ok_or(TxFull)?;
        // SAFETY: an unused buffer; no other reference.
        let buffer = unsafe { self.buffers.get(index) };
        let header = self.raw.fill_buffer_header(buffer).unwrap_or(0);
        fill(&mut buffer[header..header + len]);
        // SAFETY: the buffer is not touched until its token comes back.
        match unsafe { self.raw.transmit_begin(&buffer[..header + len]) } {
            Ok(token) => {
                self.buffers.lend(token, index);
                self.doorbell.mark(TRANSMIT);
                Ok(())
            }
            Err(e) => panic!("virtio-net: fewer buffers than ring entries, yet: {e}"),
        }
    }
}

impl NetTx for VirtioNet {
    fn has_room(&mut self) -> bool {
        self.sender.has_room()
    }

    fn transmit(&mut self, len: usize, fill: Frame<'_>) -> Result<(), TxFull> {
        self.sender.transmit(len, fill)
    }
}

impl NetDevice for VirtioNet {
    fn mac(&self) -> [u8; 6] {
        self.sender.raw.mac_address()
    }

    fn max_frame(&self) -> usize {
        MAX_FRAME
    }

    fn receive(&mut self, f: &mut dyn FnMut(&[u8], &mut dyn NetTx)) -> bool {
        let Some(token) = self.sender.raw.poll_receive() else {
            return false;
        };
        let Some(index) = self.receive.take(token) else {
            panic!("virtio-net: the device filled a buffer it was not given")
        };
        // SAFETY: the device is done with it; nobody else has a reference.
        let buffer = unsafe { self.receive.get(index) };
        // SAFETY: the same buffer as given to `receive_begin` with this token.
        let done = unsafe { self.sender.raw.receive_complete(token, buffer) };
        if let Ok((header, len)) = done
            && let Some(frame) = buffer.get(header..header + len)
        {
            f(frame, &mut self.sender);
        }
        self.post(index);
        true
    }

    fn acknowledge(&mut self) -> bool {
        if core::mem::take(&mut self.sender.waiting) {
            self.sender.doorbell.set_interrupts(TRANSMIT, false);
        }
        !self.sender.raw.ack_interrupt().is_empty()
    }

    fn set_interrupts(&mut self, on: bool) -> bool {
        self.sender.doorbell.set_interrupts(RECEIVE, on);
        on && self.sender.raw.poll_receive().is_some()
    }

    fn flush(&mut self) {
        self.sender.reap();
        self.sender.doorbell.kick(TRANSMIT);
        self.sender.doorbell.kick(RECEIVE);
    }
}
