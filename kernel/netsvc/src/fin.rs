//! The end of a stream that comes again together with data that is already there.
//!
//! A sender whose FIN was lost repeats its last segment as it was. When the receiver has put the data
//! together from other segments meanwhile, only the FIN is news. smoltcp 0.14 does not count it in the
//! segment's length (RFC 9293 3.4 does), finds nothing in the window and drops the segment, FIN and
//! all; a peer that then repeats nothing more leaves the stream without its end. So such a FIN is
//! given to smoltcp a second time, alone. Only when nothing before it is missing: otherwise smoltcp would
//! acknowledge this one, too, and three acknowledgments of one number tell the sender of a loss.

use smoltcp::wire::{EthernetFrame, IpAddress, Ipv4Packet, TcpPacket, TcpSeqNumber};

use crate::frame::Segment;

/// Longest headers: Ethernet, IPv4 and TCP with all options.
pub(crate) const HEADERS: usize = 14 + 60 + 60;

/// Writes the frame's headers with its FIN and without its payload to `out`. `None` when the frame
/// has no FIN or has nothing else, and when the FIN is not at `expected`, the next
/// number to arrive.
pub(crate) fn alone<'a>(
    segment: &Segment,
    expected: u32,
    frame: &[u8],
    out: &'a mut [u8; HEADERS],
) -> Option<&'a [u8]> {
    let end = segment.seq.wrapping_add(segment.payload);
    let next = segment.has(Segment::FIN) && segment.payload > 0 && end == expected;
    if !next {
        return None;
    }
    let packet = EthernetFrame::new_unchecked(frame).payload();
    let total = usize::from(Ipv4Packet::new_unchecked(packet).total_len());
    // What is behind the packet is the link's padding.
    let ip_len = total.checked_sub(segment.payload as usize)?;
    let len = EthernetFrame::<&[u8]>::header_len() + ip_len;
    let out = out.get_mut(..len)?;
    out.copy_from_slice(frame.get(..len)?);
    let mut ethernet = EthernetFrame::new_unchecked(&mut *out);
    let mut ip = Ipv4Packet::new_unchecked(ethernet.payload_mut());
    ip.set_total_len(ip_len as u16);
    ip.fill_checksum();
    let (src, dst) = (ip.src_addr(), ip.dst_addr());
    let mut tcp = TcpPacket::new_unchecked(ip.payload_mut());
    tcp.set_seq_number(TcpSeqNumber(end.cast_signed()));
    tcp.fill_checksum(&IpAddress::Ipv4(src), &IpAddress::Ipv4(dst));
    Some(out)
}
