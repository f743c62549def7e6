//! smoltcp devices that hold one received frame and send through a [`NetTx`].
//!
//! smoltcp pulls frames out of its device; here a frame is pushed, already routed. [`OneFrame`] is an Ethernet
//! device, for what belongs to no connection. [`OnePacket`] is a connection's: IP packets, which all go to the
//! station that the connection's segments come from, so that smoltcp neither reads nor writes the link's
//! header and looks no neighbour up.
//!
//! A connection's segment is made only when the device has room ([`NetTx::has_room`]); otherwise it stays due. A
//! reply without a connection (ARP, ping, reset) that finds no room is written to a scratch buffer
//! and lost, as if by the wire.

use alloc::vec::Vec;

use machine::{Finish, NetTx, Offers, TxFull};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::buffer::try_zeroed;
use crate::checksum;
use crate::frame::ETHERNET;
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

/// The header of the frames from us to a station.
pub(crate) type Link = [u8; ETHERNET];

/// The header for an answer to `frame`, which is for us: to where it comes from.
pub(crate) fn answer_to(frame: &[u8]) -> Link {
    let mut link = [0; ETHERNET];
    if let Some([to @ .., _, _]) = frame.first_chunk::<ETHERNET>() {
        let (ours, theirs) = to.split_at(6);
        link[..6].copy_from_slice(theirs);
        link[6..12].copy_from_slice(ours);
        link[12] = 8;
    }
    link
}

/// What sending keeps from one poll to the next.
pub(crate) struct Sender {
    /// Where a frame is written that finds no room.
    scratch: Vec<u8>,
    /// The device has said that the next frame finds room. Nobody else sends, so there can only be more.
    room: bool,
}

impl Sender {
    /// For a device that `offers` this; `None` when memory is out.
    pub(crate) fn new(offers: Offers) -> Option<Self> {
        Some(Self {
            scratch: try_zeroed(MAX_FRAME.max(offers.cuts))?,
            room: false,
        })
    }

    /// Somebody sends by another way.
    pub(crate) fn forget_room(&mut self) {
        self.room = false;
    }
}

/// The sending half, with what the poll wants to know afterwards.
pub(crate) struct Out<'a> {
    tx: &'a mut dyn NetTx,
    sender: &'a mut Sender,
    how: Sending,
    pub(crate) frames: u32,
    pub(crate) bytes: u32,
    pub(crate) lost: u32,
    /// Bytes of TCP's payload.
    pub(crate) payload: u32,
}

impl<'a> Out<'a> {
    fn new(tx: &'a mut dyn NetTx, sender: &'a mut Sender, how: Sending) -> Self {
        Self {
            tx,
            sender,
            how,
            frames: 0,
            bytes: 0,
            lost: 0,
            payload: 0,
        }
    }

    /// Adds what was sent to the counters.
    pub(crate) fn add_to(&self, stats: &mut Stats) {
        stats.tx_frames += u64::from(self.frames);
        stats.tx_bytes += u64::from(self.bytes);
        stats.tx_dropped += u64::from(self.lost);
    }

    /// Sends one frame of `len` bytes, of which `f` writes those behind `link`, or loses it. `f` also says what is
    /// left to the device, and how many bytes of payload there are.
    #[inline]
    fn send<R, const LINK: usize>(
        &mut self,
        len: usize,
        link: &[u8; LINK],
        f: impl FnOnce(&mut [u8], Sending) -> (R, (Finish, u32)),
    ) -> Option<R> {
        let how = self.how;
        let mut once = Some(f);
        let mut result = None;
        let mut payload = 0;
        let fill = &mut |buffer: &mut [u8]| {
            let (Some(f), Some((head, rest))) = (once.take(), buffer.split_first_chunk_mut())
            else {
                return Finish::Nothing;
            };
            *head = *link;
            let (value, (left, bytes)) = f(rest, how);
            result = Some(value);
            payload = bytes;
            left
        };
        let sent = match len <= how.most() {
            true => self.tx.transmit(len, fill),
            false => Err(TxFull),
        };
        self.sender.room = sent == Ok(true);
        if sent.is_ok() {
            self.frames += 1;
            self.bytes += len as u32;
            self.payload += payload;
        } else {
            self.lost += 1;
            if let (Some(f), Some(buffer)) = (once.take(), self.sender.scratch.get_mut(LINK..len)) {
                result = Some(f(buffer, how).0);
            }
        }
        result
    }

    #[inline]
    fn has_room(&mut self) -> bool {
        self.lost == 0 && (self.sender.room || self.tx.has_room())
    }
}

/// One poll's view of the device, without a connection.
pub(crate) struct OneFrame<'a> {
    frame: Option<&'a [u8]>,
    pub(crate) out: Out<'a>,
}

impl<'a> OneFrame<'a> {
    pub(crate) fn new(
        frame: Option<&'a [u8]>,
        tx: &'a mut dyn NetTx,
        sender: &'a mut Sender,
        how: Sending,
    ) -> Self {
        let out = Out::new(tx, sender, how);
        Self { frame, out }
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
        self.out.has_room().then_some(Tx(&mut self.out))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut c = DeviceCapabilities::default();
        c.medium = Medium::Ethernet;
        c.max_transmission_unit = self.out.how.most();
        // What arrives was verified before it was routed; what TCP and IP send is completed in `send`.
        c.checksum.ipv4 = Checksum::None;
        c.checksum.udp = Checksum::Tx;
        c.checksum.tcp = Checksum::None;
        c
    }
}

/// One poll's view of the device, for a connection.
pub(crate) struct OnePacket<'a> {
    packet: Option<&'a [u8]>,
    link: Link,
    pub(crate) out: Out<'a>,
}

impl<'a> OnePacket<'a> {
    /// Holds what is behind the link's header of `frame`, if there is one; sends with `link` before it.
    #[inline]
    pub(crate) fn new(
        frame: Option<&'a [u8]>,
        link: Link,
        tx: &'a mut dyn NetTx,
        sender: &'a mut Sender,
        how: Sending,
    ) -> Self {
        let packet = frame.and_then(|f| f.get(ETHERNET..));
        let out = Out::new(tx, sender, how);
        Self { packet, link, out }
    }
}

impl<'a> Device for OnePacket<'a> {
    type RxToken<'b>
        = Rx<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = LinkTx<'b, 'a>
    where
        Self: 'b;

    #[inline]
    fn receive(&mut self, _now: Instant) -> Option<(Rx<'_>, LinkTx<'_, 'a>)> {
        let packet = self.packet.take()?;
        Some((Rx(packet), LinkTx(&mut self.out, &self.link)))
    }

    #[inline]
    fn transmit(&mut self, _now: Instant) -> Option<LinkTx<'_, 'a>> {
        let room = self.out.has_room();
        room.then_some(LinkTx(&mut self.out, &self.link))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut c = DeviceCapabilities::default();
        c.medium = Medium::Ip;
        c.max_transmission_unit = self.out.how.most() - ETHERNET;
        // As above.
        c.checksum.ipv4 = Checksum::None;
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
        let write = |frame: &mut [u8], how: Sending| {
            let value = f(frame);
            (value, checksum::finish(frame, how.offers, how.mss))
        };
        match self.0.send(len, &[], write) {
            Some(r) => r,
            // smoltcp never asks for more than the MTU it was told.
            None => unreachable!("frame of {len} bytes exceeds the MTU"),
        }
    }
}

pub(crate) struct LinkTx<'b, 'a>(&'b mut Out<'a>, &'b Link);

impl TxToken for LinkTx<'_, '_> {
    #[inline]
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let write = |packet: &mut [u8], how: Sending| {
            let value = f(packet);
            (value, checksum::finish_packet(packet, how.offers, how.mss))
        };
        match self.0.send(ETHERNET + len, self.1, write) {
            Some(r) => r,
            // As above.
            None => unreachable!("packet of {len} bytes exceeds the MTU"),
        }
    }
}
