//! UDP echo (RFC 862) answered in place: swap the addresses and the ports, send the payload back.
//!
//! No socket, no buffer, no neighbour look-up: the reply goes to the station that sent the request.
//! Requests from well-known small services are dropped, or two echo servers would answer each other
//! for ever.

use machine::{Finish, NetTx};
use smoltcp::wire::{EthernetAddress, EthernetFrame, IpAddress, Ipv4Packet, UdpPacket};

/// The echo port.
pub(crate) const ECHO: u16 = 7;

/// Sends a datagram back whose checksums hold. False when it is not a sound one for `local`, or the
/// device had no room.
pub(crate) fn echo(tx: &mut dyn NetTx, mac: EthernetAddress, local: u32, frame: &[u8]) -> bool {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else {
        return false;
    };
    let Ok(ip) = Ipv4Packet::new_checked(ethernet.payload()) else {
        return false;
    };
    let Ok(udp) = UdpPacket::new_checked(ip.payload()) else {
        return false;
    };
    let (src, dst) = (ip.src_addr(), ip.dst_addr());
    let (src_ip, dst_ip) = (IpAddress::Ipv4(src), IpAddress::Ipv4(dst));
    let sound = ethernet.dst_addr() == mac
        && ethernet.src_addr().is_unicast()
        && dst.to_bits() == local
        && src_ip.is_unicast()
        && src != dst
        && !src.is_loopback()
        && udp.src_port() > 19;
    if !sound {
        return false;
    }
    // The IP header is sent back without its options.
    let payload = udp.payload();
    let len = 14 + 20 + 8 + payload.len();
    tx.transmit(len, &mut |buffer| {
        let mut out = EthernetFrame::new_unchecked(buffer);
        out.set_src_addr(mac);
        out.set_dst_addr(ethernet.src_addr());
        out.set_ethertype(ethernet.ethertype());
        let mut reply = Ipv4Packet::new_unchecked(out.payload_mut());
        reply.set_version(4);
        reply.set_header_len(20);
        reply.set_dscp(0);
        reply.set_ecn(0);
        reply.set_total_len((28 + payload.len()) as u16);
        reply.set_ident(0);
        reply.clear_flags();
        reply.set_dont_frag(true);
        reply.set_frag_offset(0);
        reply.set_hop_limit(64);
        reply.set_next_header(ip.next_header());
        reply.set_src_addr(dst);
        reply.set_dst_addr(src);
        reply.fill_checksum();
        let mut datagram = UdpPacket::new_unchecked(reply.payload_mut());
        datagram.set_src_port(udp.dst_port());
        datagram.set_dst_port(udp.src_port());
        datagram.set_len((8 + payload.len()) as u16);
        datagram.payload_mut().copy_from_slice(payload);
        datagram.fill_checksum(&dst_ip, &src_ip);
        Finish::Nothing
    })
    .is_ok()
}
