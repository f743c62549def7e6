//! Frames made by hand: what no honest TCP would send.

use core::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet,
    Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};

use super::{ADDRESS, MAC, PEER_ADDRESS, PEER_MAC};

const ETHERNET: usize = 14;
const IPV4: usize = 20;

/// What a forged segment says beside its data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flag {
    /// Nothing.
    None,
    /// SYN.
    Syn,
    /// FIN.
    Fin,
    /// RST.
    Rst,
}

/// A TCP segment to the kernel, written field by field; its checksums are right.
#[derive(Clone, Copy, Debug)]
pub struct Forged {
    /// Sender's address, which need not exist.
    pub from: Ipv4Addr,
    /// Sender's port.
    pub from_port: u16,
    /// Destination port.
    pub port: u16,
    /// Flag.
    pub flag: Flag,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number, if the segment has one.
    pub ack: Option<u32>,
}

impl Forged {
    /// A SYN from the peer's own address.
    #[must_use]
    pub const fn syn(from_port: u16, port: u16) -> Self {
        Self {
            from: PEER_ADDRESS,
            from_port,
            port,
            flag: Flag::Syn,
            seq: 1,
            ack: None,
        }
    }

    /// The Ethernet frame with `payload`.
    #[must_use]
    pub fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let control = match self.flag {
            Flag::None => TcpControl::None,
            Flag::Syn => TcpControl::Syn,
            Flag::Fin => TcpControl::Fin,
            Flag::Rst => TcpControl::Rst,
        };
        let tcp = TcpRepr {
            src_port: self.from_port,
            dst_port: self.port,
            control,
            seq_number: TcpSeqNumber(self.seq.cast_signed()),
            ack_number: self.ack.map(|n| TcpSeqNumber(n.cast_signed())),
            window_len: 4096,
            window_scale: None,
            max_seg_size: (self.flag == Flag::Syn).then_some(1460),
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let (from, to) = (self.from, ADDRESS);
        packet(from, to, MAC, IpProtocol::Tcp, tcp.buffer_len(), |body| {
            let sums = ChecksumCapabilities::default();
            let mut packet = TcpPacket::new_unchecked(body);
            tcp.emit(&mut packet, &from.into(), &to.into(), &sums);
        })
    }
}

/// A UDP datagram.
pub(super) fn datagram(
    (from, from_port): (Ipv4Addr, u16),
    (to, to_port): (Ipv4Addr, u16),
    to_mac: [u8; 6],
    payload: &[u8],
) -> Vec<u8> {
    let udp = UdpRepr {
        src_port: from_port,
        dst_port: to_port,
    };
    let len = udp.header_len() + payload.len();
    packet(from, to, to_mac, IpProtocol::Udp, len, |body| {
        let sums = ChecksumCapabilities::default();
        let mut packet = UdpPacket::new_unchecked(body);
        let fill = |to: &mut [u8]| to.copy_from_slice(payload);
        let ends = (from.into(), to.into());
        udp.emit(&mut packet, &ends.0, &ends.1, payload.len(), fill, &sums);
    })
}

/// An Ethernet frame with an IPv4 packet whose body of `len` bytes `fill` writes.
fn packet(
    from: Ipv4Addr,
    to: Ipv4Addr,
    to_mac: [u8; 6],
    protocol: IpProtocol,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET + IPV4 + len];
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(PEER_MAC),
        dst_addr: EthernetAddress(to_mac),
        ethertype: EthernetProtocol::Ipv4,
    };
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
    let ip = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: protocol,
        payload_len: len,
        hop_limit: 64,
    };
    let sums = ChecksumCapabilities::default();
    ip.emit(
        &mut Ipv4Packet::new_unchecked(&mut frame[ETHERNET..]),
        &sums,
    );
    fill(&mut frame[ETHERNET + IPV4..]);
    frame
}
