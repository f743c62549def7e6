//! TIME-WAIT without a socket: what remains of a connection this host closed first.
//!
//! A socket in TIME-WAIT would hold two buffers and a connection slot for ten seconds, so a client
//! that opens a connection per request would exhaust a server at a few hundred requests a second.
//! All TIME-WAIT does is acknowledge a repeated FIN and keep old segments from a new connection on
//! the same 4-tuple; 40 bytes are enough for that. Records live in a ring: all live equally long, so
//! the oldest expires first, and when the ring is full the oldest is given up.
//!
//! References: RFC 9293 3.10.7.4, RFC 1337 (a reset does not end TIME-WAIT), RFC 6191 (a SYN with a
//! greater sequence number does).

use alloc::vec::Vec;

use machine::{Duration, Finish, Instant, NetTx};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Address,
    Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use crate::buffer::try_with_capacity;
use crate::flow::Flow;
use crate::frame::Segment;

/// How long a record lives.
pub(crate) const LIFETIME: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
struct Record {
    flow: Flow,
    /// Our next sequence number.
    send_next: u32,
    /// The peer's next sequence number.
    receive_next: u32,
    expires: Instant,
    live: bool,
}

/// What to do with a segment that meets a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Meeting {
    /// The record has expired: treat the tuple as unknown.
    Expired,
    /// A new connection may take the tuple; the record is gone.
    Reopen,
    /// Repeat the last acknowledgment: sequence number, acknowledgment number.
    Acknowledge(u32, u32),
    /// Say nothing.
    Ignore,
}

/// The records.
#[derive(Debug)]
pub struct TimeWait {
    ring: Vec<Record>,
    capacity: usize,
    head: usize,
    live: usize,
}

impl TimeWait {
    /// Room for `capacity` records (at least one), or `None` when memory is out.
    #[must_use]
    pub fn new(capacity: usize) -> Option<Self> {
        let capacity = capacity.max(1);
        Some(Self {
            ring: try_with_capacity(capacity)?,
            capacity,
            head: 0,
            live: 0,
        })
    }

    /// Number of live records, including expired ones nobody met yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// True without live records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Makes a record from the segment that completed the close. Returns its index and the flow
    /// whose record had to go, if any.
    pub fn insert(&mut self, last: &Segment, now: Instant) -> (u32, Option<Flow>) {
        let record = Record {
            flow: last.flow,
            // The segment acknowledged our FIN, so its acknowledgment is our next number.
            send_next: last.ack().unwrap_or(0),
            receive_next: last.end(),
            expires: now + LIFETIME,
            live: true,
        };
        self.live += 1;
        if self.ring.len() < self.capacity {
            self.ring.push(record);
            return ((self.ring.len() - 1) as u32, None);
        }
        let index = self.head;
        self.head = (self.head + 1) % self.capacity;
        let old = core::mem::replace(&mut self.ring[index], record);
        self.live -= usize::from(old.live);
        (index as u32, old.live.then_some(old.flow))
    }

    /// Decides about a segment for the record at `index`.
    pub fn meet(&mut self, index: u32, segment: &Segment, now: Instant) -> Meeting {
        let r = &mut self.ring[index as usize];
        let verdict = if now >= r.expires {
            Meeting::Expired
        } else if segment.has(Segment::SYN)
            && !segment.has(Segment::RST | Segment::ACK)
            && (segment.seq.wrapping_sub(r.receive_next).cast_signed()) > 0
        {
            Meeting::Reopen
        } else if segment.has(Segment::RST)
            || (segment.payload == 0 && !segment.has(Segment::SYN | Segment::FIN))
        {
            return Meeting::Ignore;
        } else {
            return Meeting::Acknowledge(r.send_next, r.receive_next);
        };
        if core::mem::replace(&mut r.live, false) {
            self.live -= 1;
        }
        verdict
    }
}

/// Sends a bare acknowledgment of `flow` to the station `to`.
pub(crate) fn acknowledge(
    tx: &mut dyn NetTx,
    from: EthernetAddress,
    to: EthernetAddress,
    flow: &Flow,
    seq: u32,
    ack: u32,
) -> bool {
    let tcp = TcpRepr {
        src_port: flow.local_port,
        dst_port: flow.remote_port,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(seq.cast_signed()),
        ack_number: Some(TcpSeqNumber(ack.cast_signed())),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (src, dst) = (
        Ipv4Address::from_bits(flow.local),
        Ipv4Address::from_bits(flow.remote),
    );
    let ip = Ipv4Repr {
        src_addr: src,
        dst_addr: dst,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let caps = ChecksumCapabilities::default();
    let len = EthernetFrame::<&[u8]>::buffer_len(ip.buffer_len() + tcp.buffer_len());
    tx.transmit(len, &mut |buffer| {
        let mut frame = EthernetFrame::new_unchecked(buffer);
        frame.set_src_addr(from);
        frame.set_dst_addr(to);
        frame.set_ethertype(EthernetProtocol::Ipv4);
        let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet, &caps);
        tcp.emit(
            &mut TcpPacket::new_unchecked(packet.payload_mut()),
            &IpAddress::Ipv4(src),
            &IpAddress::Ipv4(dst),
            &caps,
        );
        Finish::Nothing
    })
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(port: u16, seq: u32) -> Segment {
        Segment {
            flow: Flow {
                local: 1,
                remote: 2,
                local_port: 80,
                remote_port: port,
            },
            seq,
            number: 500,
            payload: 0,
            flags: Segment::ACK | Segment::FIN,
        }
    }

    #[test]
    fn repeated_fin_is_acknowledged_until_the_record_expires() {
        let mut t = TimeWait::new(2).unwrap();
        let fin = segment(1, 100);
        let (i, _) = t.insert(&fin, Instant::ZERO);
        assert_eq!(
            t.meet(i, &fin, Instant::ZERO),
            Meeting::Acknowledge(500, 101)
        );
        let rst = Segment {
            flags: fin.flags | Segment::RST,
            ..fin
        };
        assert_eq!(t.meet(i, &rst, Instant::ZERO), Meeting::Ignore);
        assert_eq!(t.meet(i, &fin, Instant::ZERO + LIFETIME), Meeting::Expired);
        assert!(t.is_empty());
    }

    #[test]
    fn only_a_later_syn_reopens() {
        let mut t = TimeWait::new(2).unwrap();
        let (i, _) = t.insert(&segment(1, u32::MAX - 5), Instant::ZERO);
        let syn = |seq| Segment {
            flags: Segment::SYN,
            ..segment(1, seq)
        };
        assert_eq!(
            t.meet(i, &syn(u32::MAX - 9), Instant::ZERO),
            Meeting::Acknowledge(500, u32::MAX - 4)
        );
        // Later, across the wrap of sequence numbers.
        assert_eq!(t.meet(i, &syn(7), Instant::ZERO), Meeting::Reopen);
        assert!(t.is_empty());
    }

    #[test]
    fn a_full_ring_gives_up_the_oldest() {
        let mut t = TimeWait::new(2).unwrap();
        assert_eq!(t.insert(&segment(1, 1), Instant::ZERO), (0, None));
        assert_eq!(t.insert(&segment(2, 1), Instant::ZERO), (1, None));
        assert_eq!(
            t.insert(&segment(3, 1), Instant::ZERO),
            (0, Some(segment(1, 1).flow))
        );
        assert_eq!(t.len(), 2);
    }
}
