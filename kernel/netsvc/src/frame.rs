//! The few header fields that decide where a frame goes, read in place.
//!
//! Only lengths that later reads rely on are checked here; checksums are next ([`crate::checksum`]).

use crate::flow::Flow;

pub(crate) const ETHERNET: usize = 14;

/// What a frame is, as far as routing it to its room goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// ARP: for the interface; may have resolved a neighbour.
    Arp,
    /// A TCP segment.
    Tcp(Segment),
    /// A UDP datagram: destination port.
    Udp(u16),
    /// Other IPv4 (ICMP and unknown protocols): for the interface.
    Ipv4,
    /// A piece of an IPv4 packet; not reassembled.
    Fragment,
    /// Nothing this host speaks.
    Foreign,
}

impl Frame {
    /// True for a whole IPv4 packet.
    pub(crate) fn is_ipv4(self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Udp(_) | Self::Ipv4)
    }
}

/// The fields of a TCP segment that this crate needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The connection, seen from this host.
    pub flow: Flow,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number, if the flag is set.
    pub ack: Option<u32>,
    /// SYN flag.
    pub syn: bool,
    /// FIN flag.
    pub fin: bool,
    /// RST flag.
    pub rst: bool,
    /// Bytes of payload.
    pub payload: u32,
}

impl Segment {
    /// The sequence number that follows this segment.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.seq
            .wrapping_add(self.payload)
            .wrapping_add(u32::from(self.syn))
            .wrapping_add(u32::from(self.fin))
    }
}

#[inline]
pub(crate) fn be16(b: &[u8], at: usize) -> u16 {
    b.get(at..at + 2)
        .map_or(0, |s| u16::from_be_bytes([s[0], s[1]]))
}

#[inline]
fn be32(b: &[u8], at: usize) -> u32 {
    b.get(at..at + 4)
        .map_or(0, |s| u32::from_be_bytes([s[0], s[1], s[2], s[3]]))
}

impl Frame {
    /// Reads an Ethernet frame.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Self {
        let Some(ip) = frame.get(ETHERNET..) else {
            return Self::Foreign;
        };
        match be16(frame, 12) {
            0x0806 => return Self::Arp,
            0x0800 => {}
            _ => return Self::Foreign,
        }
        if ip.len() < 20 || ip[0] >> 4 != 4 {
            return Self::Foreign;
        }
        let header = usize::from(ip[0] & 15) * 4;
        let total = usize::from(be16(ip, 2));
        if header < 20 || total < header || total > ip.len() {
            return Self::Foreign;
        }
        // More-fragments flag or a fragment offset (RFC 791 3.1).
        if be16(ip, 6) & 0x3fff != 0 {
            return Self::Fragment;
        }
        let body = &ip[header..total];
        match ip[9] {
            6 => Self::tcp(ip, body),
            17 if body.len() >= 8 => Self::Udp(be16(body, 2)),
            17 => Self::Foreign,
            _ => Self::Ipv4,
        }
    }

    #[inline]
    fn tcp(ip: &[u8], tcp: &[u8]) -> Self {
        if tcp.len() < 20 {
            return Self::Foreign;
        }
        let header = usize::from(tcp[12] >> 4) * 4;
        if header < 20 || header > tcp.len() {
            return Self::Foreign;
        }
        let flags = tcp[13];
        Self::Tcp(Segment {
            flow: Flow {
                local: be32(ip, 16),
                remote: be32(ip, 12),
                local_port: be16(tcp, 2),
                remote_port: be16(tcp, 0),
            },
            seq: be32(tcp, 4),
            ack: (flags & 0x10 != 0).then(|| be32(tcp, 8)),
            syn: flags & 0x02 != 0,
            fin: flags & 0x01 != 0,
            rst: flags & 0x04 != 0,
            payload: (tcp.len() - header) as u32,
        })
    }
}

/// The destination address of an IPv4 frame that [`Frame::parse`] accepted.
#[inline]
pub(crate) fn destination(frame: &[u8]) -> u32 {
    be32(frame, ETHERNET + 16)
}
