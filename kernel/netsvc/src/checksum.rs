//! The Internet checksum (RFC 1071): of what arrives, verified once before anybody looks at it; of what
//! TCP sends, computed or left to the device.
//!
//! A sum here is folded to 16 bits and not complemented.

use machine::{Finish, Offers};

use crate::frame::{ETHERNET, IP_HEADER, TCP_HEADER, be16};
use crate::mss;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Where an IPv4 header has the protocol and its checksum.
const IP_PROTOCOL: usize = 9;
const IP_CHECKSUM: usize = 10;
/// Where a TCP header has its length in words, its flags and its checksum.
const TCP_LENGTH: usize = 12;
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;
const SYN: u8 = 2;

/// The sum of `bytes` in 16-bit words, the last one padded with zero.
fn sum(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    u16::from_be(fold(total(words) + total(&[last])))
}

/// The sum of whole words in the machine's byte order, two at a time: it does not mind (RFC 1071 2.B, 2.C).
#[inline]
fn total(words: &[[u8; 4]]) -> u64 {
    words
        .iter()
        .map(|w| u64::from(u32::from_ne_bytes(*w)))
        .sum()
}

/// The sum of an IPv4 header.
#[inline(always)]
fn header_sum(head: &[u8]) -> u16 {
    match head.first_chunk::<IP_HEADER>() {
        // Of known length, and so without a loop.
        Some(plain) if head.len() == IP_HEADER => u16::from_be(fold(total(plain.as_chunks().0))),
        _ => sum(head),
    }
}

fn fold(total: u64) -> u16 {
    let total = (total & 0xffff_ffff) + (total >> 32);
    let total = (total & 0xffff) + (total >> 16 & 0xffff) + (total >> 32);
    let total = (total & 0xffff) + (total >> 16);
    ((total & 0xffff) + (total >> 16)) as u16
}

/// The sum of the pseudo-header of the packet `ip` (RFC 9293 3.1, RFC 768).
fn pseudo_header(ip: &[u8], protocol: u8, len: usize) -> u16 {
    let addresses = ip.get(12..).and_then(<[u8]>::first_chunk::<8>);
    let addresses = addresses.map_or(0, |a| u16::from_be(fold(total(a.as_chunks().0))));
    fold(u64::from(addresses) + u64::from(protocol) + len as u64)
}

/// True when the checksums of an IPv4 frame hold whose lengths are sound: the header's, and that of TCP or
/// UDP unless the device has `vouched` for it.
#[inline(always)]
pub(crate) fn hold(frame: &[u8], vouched: bool) -> bool {
    let ip = frame.get(ETHERNET..).unwrap_or_default();
    let header = usize::from(ip.first().map_or(0, |b| b & 15)) * 4;
    let (Some(head), Some(body)) = (ip.get(..header), ip.get(header..be16(ip, 2).into())) else {
        return false;
    };
    if header_sum(head) != 0xffff {
        return false;
    }
    let protocol = head.get(9).copied().unwrap_or_default();
    match protocol {
        _ if vouched => true,
        // A sender of UDP may leave it out.
        UDP if be16(body, 6) == 0 => true,
        TCP | UDP => {
            let pseudo = pseudo_header(ip, protocol, body.len());
            fold(u64::from(pseudo) + u64::from(sum(body))) == 0xffff
        }
        _ => true,
    }
}

/// Completes a frame of smoltcp's, as [`finish_packet`] if it is one of IPv4.
pub(crate) fn finish(frame: &mut [u8], offers: Offers, mss: u16) -> (Finish, u32) {
    let is_ip = be16(frame, 12) == 0x0800;
    match frame.split_first_chunk_mut::<ETHERNET>() {
        Some((_, packet)) if is_ip => finish_packet(packet, offers, mss),
        _ => (Finish::Nothing, 0),
    }
}

/// Completes a packet of smoltcp's, which leaves the checksums of IP and TCP at 0: TCP's, or for a device that
/// computes checksums the pseudo-header's part of it. A segment with more than `mss` bytes of payload the
/// device has to cut. Also says how many bytes of payload there are.
#[inline(always)]
pub(crate) fn finish_packet(packet: &mut [u8], offers: Offers, mss: u16) -> (Finish, u32) {
    // smoltcp sends no options.
    let Some((ip, tcp)) = packet.split_first_chunk_mut::<IP_HEADER>() else {
        return (Finish::Nothing, 0);
    };
    // In the machine's byte order, as `total`.
    let addresses = total(ip[12..].as_chunks().0);
    let sum = !fold(total(ip[..12].as_chunks().0) + addresses);
    ip[IP_CHECKSUM..IP_CHECKSUM + 2].copy_from_slice(&sum.to_ne_bytes());
    let len = tcp.len();
    if ip[IP_PROTOCOL] != TCP || len < TCP_HEADER {
        return (Finish::Nothing, 0);
    }
    if offers.cuts > 0 && tcp[TCP_FLAGS] & SYN != 0 {
        mss::lower(tcp);
    }
    let payload = len.saturating_sub(usize::from(tcp[TCP_LENGTH] >> 4) * 4);
    let size = if payload > mss.into() { mss } else { 0 };
    let pseudo = addresses + u64::from(u16::from(TCP).to_be()) + u64::from((len as u16).to_be());
    let start = (ETHERNET + IP_HEADER) as u16;
    let (value, left) = if offers.checksums {
        (fold(pseudo), Finish::Tcp { start, size })
    } else {
        let all = pseudo + u64::from(self::sum(tcp).to_be());
        (!fold(all), Finish::Nothing)
    };
    tcp[TCP_CHECKSUM..TCP_CHECKSUM + 2].copy_from_slice(&value.to_ne_bytes());
    (left, payload as u32)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::{IpAddress, Ipv4Packet, TcpPacket, UdpPacket};
    use std::vec::Vec;

    /// A packet of `protocol` with sound lengths and, where `fill`ed, checksums of smoltcp's.
    fn frame(protocol: u8, body: &[u8], filled: bool) -> Vec<u8> {
        let mut frame = std::vec![0; ETHERNET + IP_HEADER];
        frame[12] = 8;
        frame.extend_from_slice(body);
        let mut ip = Ipv4Packet::new_unchecked(&mut frame[ETHERNET..]);
        ip.set_version(4);
        ip.set_header_len(20);
        ip.set_total_len((IP_HEADER + body.len()) as u16);
        ip.set_next_header(protocol.into());
        ip.set_src_addr([10, 0, 0, 2].into());
        ip.set_dst_addr([172, 31, 255, 254].into());
        ip.fill_checksum();
        if filled {
            let (src, dst) = (ip.src_addr(), ip.dst_addr());
            let (src, dst) = (IpAddress::Ipv4(src), IpAddress::Ipv4(dst));
            match protocol {
                TCP => TcpPacket::new_unchecked(ip.payload_mut()).fill_checksum(&src, &dst),
                _ => {
                    let mut udp = UdpPacket::new_unchecked(ip.payload_mut());
                    udp.set_len(body.len() as u16);
                    udp.fill_checksum(&src, &dst);
                }
            }
        }
        frame
    }

    proptest! {
        /// smoltcp's checksums hold, and no changed bit goes unseen that they cover.
        #[test]
        fn one_changed_bit_is_seen(
            tcp in any::<bool>(),
            body in proptest::collection::vec(any::<u8>(), 20..300),
            at in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let mut frame = frame(if tcp { TCP } else { UDP }, &body, true);
            prop_assert!(hold(&frame, false));
            let at = ETHERNET + 12 + at.index(frame.len() - ETHERNET - 12);
            frame[at] ^= 1u8 << bit;
            prop_assert!(!hold(&frame, false));
            prop_assert_eq!(hold(&frame, true), at >= ETHERNET + IP_HEADER);
        }

        /// What is computed here holds; what is left to a device is the pseudo-header's sum, so that
        /// the device's sum over the segment, complemented, holds.
        #[test]
        fn finished_frames_hold(body in proptest::collection::vec(any::<u8>(), 20..300)) {
            let field = ETHERNET + IP_HEADER + TCP_CHECKSUM;
            let mut ours = frame(TCP, &body, false);
            ours[field..field + 2].fill(0);
            ours[ETHERNET + IP_CHECKSUM..ETHERNET + IP_CHECKSUM + 2].fill(0);
            ours[ETHERNET + IP_HEADER + TCP_LENGTH] = 0x50;
            let mut device = ours.clone();
            let none = Offers::default();
            prop_assert_eq!(finish(&mut ours, none, 1460).0, Finish::Nothing);
            prop_assert!(hold(&ours, false));
            let size = if body.len() > 120 { 100 } else { 0 };
            let left = Finish::Tcp { start: 34, size };
            let all = Offers { checksums: true, cuts: 0 };
            prop_assert_eq!(finish(&mut device, all, 100), (left, body.len() as u32 - 20));
            let value = !sum(&device[ETHERNET + IP_HEADER..]);
            device[field..field + 2].copy_from_slice(&value.to_be_bytes());
            prop_assert!(hold(&device, false));
        }
    }

    #[test]
    fn a_datagram_may_have_none() {
        let mut datagram = frame(UDP, &[0; 20], false);
        datagram[ETHERNET + IP_HEADER + 5] = 20;
        assert!(hold(&datagram, false));
        datagram[ETHERNET + 3] = 200;
        assert!(!hold(&datagram, false), "longer than the frame");
    }
}
