//! A smoltcp device that holds one received frame and sends through a [`NetTx`].
//!
//! smoltcp pulls frames out of its device; here a frame is pushed, already routed. A connection's
//! segment is made only when the device has room ([`NetTx::has_room`]); otherwise it stays due. A
//! reply without a connection (ARP, ping, reset) that finds no room is written to a scratch buffer
//! and lost, as if by the wire.

use machine::{Finish, NetTx, Offers};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::checksum;
use crate::mss;
use crate::stats::Stats;

/// Largest Ethernet frame on the wire: 1,500 bytes of IP and the header.
pub(crate) const MAX_FRAME: usize = 1514;

/// How a poll sends.
#[derive(Clone, Copy)]
pub(crate) struct Sending {
    pub(crate) offers: Offers,
    /// Most bytes of payload that the peer takes in a segment.
    pub(crate) mss: u16,
}

impl Sending {
    /// Through a device that `offers` this, to a peer that takes what the wire carries.
    pub(crate) fn of(offers: Offers) -> Self {
        let mss = (MAX_FRAME - mss::PLAIN_HEADERS) as u16;
        Self { offers, mss }
    }

    /// Largest frame that smoltcp may make.
    pub(crate) fn most(self) -> usize {
        self.offers.cuts.max(MAX_FRAME)
    }
}

/// One poll's view of the device.
pub(crate) struct OneFrame<'a> {
    frame: Option<&'a [u8]>,
    out: Out<'a>,
}

/// The sending half, with what the poll wants to know afterwards.
pub(crate) struct Out<'a> {
    tx: &'a mut dyn NetTx,
    scratch: &'a mut [u8],
    how: Sending,
    pub(crate) frames: u32,
    pub(crate) bytes: u32,
    pub(crate) lost: u32,
    /// Frames that were not ARP.
    pub(crate) packets: u32,
    /// Bytes of TCP's payload.
    pub(crate) payload: u32,
}

impl<'a> OneFrame<'a> {
    pub(crate) fn new(
        frame: Option<&'a [u8]>,
        tx: &'a mut dyn NetTx,
        scratch: &'a mut [u8],
        how: Sending,
    ) -> Self {
        let out = Out {
            tx,
            scratch,
            how,
            frames: 0,
            bytes: 0,
            lost: 0,
            packets: 0,
            payload: 0,
        };
        Self { frame, out }
    }

    pub(crate) fn out(&self) -> &Out<'a> {
        &self.out
    }
}

impl Out<'_> {
    /// Adds what was sent to the counters.
    pub(crate) fn add_to(&self, stats: &mut Stats) {
        stats.tx_frames += u64::from(self.frames);
        stats.tx_bytes += u64::from(self.bytes);
        stats.tx_dropped += u64::from(self.lost);
    }

    /// Sends one frame, or loses it.
    fn send<R>(&mut self, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        let how = self.how;
        let mut once = Some(f);
        let mut result = None;
        let mut packet = true;
        let mut payload = 0;
        let sent = len <= how.most()
            && self
                .tx
                .transmit(len, &mut |buffer| {
                    let Some(f) = once.take() else {
                        return Finish::Nothing;
                    };
                    result = Some(f(buffer));
                    packet = buffer.get(12..14) != Some(&[0x08, 0x06]);
                    let (finish, bytes) = checksum::finish(buffer, how.offers, how.mss);
                    payload = bytes;
                    finish
                })
                .is_ok();
        if sent {
            self.frames += 1;
            self.bytes += len as u32;
            self.packets += u32::from(packet);
            self.payload += payload;
        } else {
            self.lost += 1;
            if let (Some(f), Some(buffer)) = (once.take(), self.scratch.get_mut(..len)) {
                result = Some(f(buffer));
            }
        }
        result
    }
}

impl<'a> Device for OneFrame<'a> {
    type RxToken<'b>
        = Rx<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Tx<'b, 'a>
    where
        Self: 'b;

    fn receive(&mut self, _now: Instant) -> Option<(Rx<'_>, Tx<'_, 'a>)> {
        let frame = self.frame.take()?;
        Some((Rx(frame), Tx(&mut self.out)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Tx<'_, 'a>> {
        (self.out.lost == 0 && self.out.tx.has_room()).then_some(Tx(&mut self.out))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut c = DeviceCapabilities::default();
        c.medium = Medium::Ethernet;
        c.max_transmission_unit = self.out.how.most();
        // What arrives was verified before it was routed; what TCP sends is completed in `send`.
        c.checksum.ipv4 = Checksum::Tx;
        c.checksum.udp = Checksum::Tx;
        c.checksum.tcp = Checksum::None;
        c
    }
}

pub(crate) struct Rx<'b>(&'b [u8]);

impl RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub(crate) struct Tx<'b, 'a>(&'b mut Out<'a>);

impl TxToken for Tx<'_, '_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        match self.0.send(len, f) {
            Some(r) => r,
            // smoltcp never asks for more than the MTU it was told.
            None => unreachable!("frame of {len} bytes exceeds the MTU"),
        }
    }
}
