//! What a device does that is left checksums and segmentation, in software: the stack's other side.

use machine::Finish;
use smoltcp::wire::{EthernetFrame, IpAddress, Ipv4Packet, TcpPacket, TcpSeqNumber};

const HEADERS: usize = 14 + 20;
/// Largest frame of the wire.
const WIRE: usize = 1514;
/// Largest frame that segments are joined to.
const JOINED: usize = 20_000;

fn fill(frame: &mut [u8]) {
    let mut ethernet = EthernetFrame::new_checked(frame).unwrap();
    let mut ip = Ipv4Packet::new_unchecked(ethernet.payload_mut());
    ip.fill_checksum();
    let (src, dst) = (ip.src_addr(), ip.dst_addr());
    TcpPacket::new_checked(ip.payload_mut())
        .unwrap()
        .fill_checksum(&IpAddress::Ipv4(src), &IpAddress::Ipv4(dst));
}

/// What the stack left in the checksum's field, and what should be there: the pseudo-header's sum.
fn assert_begun(frame: &[u8]) {
    let field = u16::from_be_bytes([frame[HEADERS + 16], frame[HEADERS + 17]]);
    let mut bytes = frame[26..34].to_vec();
    bytes.extend_from_slice(&[0, 6]);
    bytes.extend_from_slice(&((frame.len() - HEADERS) as u16).to_be_bytes());
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    assert_eq!(u32::from(field), sum, "not the pseudo-header's sum");
}

/// The frames that go out for one that the stack sent.
pub(crate) fn cut(frame: Vec<u8>, finish: Finish) -> Vec<Vec<u8>> {
    let Finish::Tcp { start, size } = finish else {
        assert!(frame.len() <= WIRE, "too large for the wire");
        return vec![frame];
    };
    assert_eq!(usize::from(start), HEADERS);
    assert_begun(&frame);
    let headers = HEADERS + usize::from(frame[HEADERS + 12] >> 4) * 4;
    let size = if size == 0 { WIRE } else { usize::from(size) };
    let payload = &frame[headers..];
    let pieces = payload.len().div_ceil(size).max(1);
    let mut out = Vec::new();
    for n in 0..pieces {
        let part = &payload[n * size..payload.len().min((n + 1) * size)];
        let mut piece = [&frame[..headers], part].concat();
        assert!(piece.len() <= WIRE, "a piece too large for the wire");
        let mut ip = Ipv4Packet::new_unchecked(&mut piece[14..]);
        ip.set_total_len((headers - 14 + part.len()) as u16);
        let mut tcp = TcpPacket::new_unchecked(ip.payload_mut());
        let seq = tcp.seq_number() + n * size;
        tcp.set_seq_number(seq);
        if n + 1 < pieces {
            tcp.set_fin(false);
            tcp.set_psh(false);
        }
        fill(&mut piece);
        out.push(piece);
    }
    out
}

/// Appends a frame's payload to that of the one before it, if it goes on there; the checksum of the
/// result is nonsense, as a device's may be.
pub(crate) fn join(first: &mut Vec<u8>, second: &[u8]) -> bool {
    let parse = |frame: &[u8]| -> Option<(TcpSeqNumber, usize, usize)> {
        let ip = Ipv4Packet::new_checked(frame.get(14..)?).ok()?;
        let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
        let (src, dst) = (ip.src_addr().into(), ip.dst_addr().into());
        let sound = frame[12..14] == [8, 0]
            && ip.next_header() == 6.into()
            && ip.verify_checksum()
            && frame.len() == 14 + usize::from(ip.total_len());
        let plain = tcp.ack() && !tcp.syn() && !tcp.fin() && !tcp.rst();
        let len = tcp.payload().len();
        let sound = sound && plain && len > 0;
        // The one that was joined before has no sound checksum any more.
        let sound = sound && (frame.len() > WIRE || tcp.verify_checksum(&src, &dst));
        sound.then(|| (tcp.seq_number(), len, usize::from(tcp.header_len())))
    };
    let (Some((seq, len, header)), Some((next, more, next_header))) = (parse(first), parse(second))
    else {
        return false;
    };
    let same = first[26..38] == second[26..38] && header == next_header;
    if !same || seq + len != next || first.len() + more > JOINED {
        return false;
    }
    let acknowledged = second[HEADERS + 8..HEADERS + 16].to_vec();
    first[HEADERS + 8..HEADERS + 16].copy_from_slice(&acknowledged);
    first.extend_from_slice(&second[HEADERS + next_header..]);
    let total = first.len() - 14;
    let mut ip = Ipv4Packet::new_unchecked(&mut first[14..]);
    ip.set_total_len(total as u16);
    ip.fill_checksum();
    true
}
