//! The few header fields that decide where a frame goes, read in place.
//!
//! Only lengths that later reads rely on are checked here; checksums are next ([`crate::checksum`]).

use crate::flow::Flow;

pub(crate) const ETHERNET: usize = 14;
/// Of IPv4 and TCP, without options.
pub(crate) const IP_HEADER: usize = 20;
pub(crate) const TCP_HEADER: usize = 20;

/// What a frame is, as far as routing it to its room goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// ARP: for the interface.
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
    /// Acknowledgment number, which counts if the flag says so.
    pub(crate) number: u32,
    /// Bytes of payload.
    pub payload: u32,
    /// As they are in the header.
    pub(crate) flags: u8,
}

impl Segment {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;

    /// Whether one of these flags is set.
    #[inline]
    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Acknowledgment number, if the flag is set.
    #[inline]
    #[must_use]
    pub fn ack(&self) -> Option<u32> {
        self.has(Self::ACK).then_some(self.number)
    }

    /// The sequence number that follows this segment.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.seq
            .wrapping_add(self.payload)
            .wrapping_add(u32::from(self.has(Self::SYN)))
            .wrapping_add(u32::from(self.has(Self::FIN)))
    }
}

#[inline]
pub(crate) fn be16(b: &[u8], at: usize) -> u16 {
    b.get(at..at + 2)
        .map_or(0, |s| u16::from_be_bytes([s[0], s[1]]))
}

/// The fields of a header of which `N` bytes are there for sure, so that no field is looked for.
struct Fields<'a, const N: usize>(&'a [u8; N]);

impl<const N: usize> Fields<'_, N> {
    #[inline]
    fn word(&self, at: usize) -> u32 {
        let [.., a, b, c, d] = self.0[..at + 4] else {
            unreachable!("four bytes")
        };
        u32::from_be_bytes([a, b, c, d])
    }

    #[inline]
    fn half(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }
}

impl Frame {
    /// Reads an Ethernet frame.
    #[inline(always)]
    #[must_use]
    pub fn parse(frame: &[u8]) -> Self {
        let Some((link, packet)) = frame.split_first_chunk::<ETHERNET>() else {
            return Self::Foreign;
        };
        match Fields(link).half(12) {
            0x0806 => return Self::Arp,
            0x0800 => {}
            _ => return Self::Foreign,
        }
        let Some(head) = packet.first_chunk::<IP_HEADER>() else {
            return Self::Foreign;
        };
        let ip = Fields(head);
        let (header, total) = (usize::from(head[0] & 15) * 4, usize::from(ip.half(2)));
        if head[0] >> 4 != 4 || header < IP_HEADER {
            return Self::Foreign;
        }
        let Some(body) = packet.get(header..total) else {
            return Self::Foreign;
        };
        // More-fragments flag or a fragment offset (RFC 791 3.1).
        if ip.half(6) & 0x3fff != 0 {
            return Self::Fragment;
        }
        match head[9] {
            6 => Self::tcp(&ip, body),
            17 if body.len() >= 8 => Self::Udp(be16(body, 2)),
            17 => Self::Foreign,
            _ => Self::Ipv4,
        }
    }

    #[inline(always)]
    fn tcp(ip: &Fields<'_, IP_HEADER>, body: &[u8]) -> Self {
        let Some(head) = body.first_chunk::<TCP_HEADER>() else {
            return Self::Foreign;
        };
        let header = usize::from(head[12] >> 4) * 4;
        if header < TCP_HEADER || header > body.len() {
            return Self::Foreign;
        }
        let tcp = Fields(head);
        Self::Tcp(Segment {
            flow: Flow {
                local: ip.word(16),
                remote: ip.word(12),
                local_port: tcp.half(2),
                remote_port: tcp.half(0),
            },
            seq: tcp.word(4),
            number: tcp.word(8),
            payload: (body.len() - header) as u32,
            flags: head[13],
        })
    }
}

/// The destination address of an IPv4 frame that [`Frame::parse`] accepted.
#[inline]
pub(crate) fn destination(frame: &[u8]) -> u32 {
    let ip = frame
        .get(ETHERNET..)
        .and_then(<[u8]>::first_chunk::<IP_HEADER>);
    ip.map_or(0, |head| Fields(head).word(16))
}
