//! What stands before each frame (virtio 1.2 5.1.6).
//!
//! | At | Field | Received | Sent |
//! | ---: | --- | --- | --- |
//! | 0 | flags | [`NEEDS_CHECKSUM`], [`VOUCHED`] | [`NEEDS_CHECKSUM`] |
//! | 1 | gso_type | not looked at | [`CUT_TCP4`] or 0 |
//! | 2 | hdr_len | not looked at | bytes repeated before each segment |
//! | 4 | gso_size | not looked at | bytes of payload in each segment |
//! | 6 | csum_start | not looked at | where the TCP header begins |
//! | 8 | csum_offset | not looked at | where its checksum is, from there |
//! | 10 | num_buffers | buffers the frame takes | 0 |

use machine::Finish;

/// Bytes of the header.
pub(super) const BYTES: usize = 12;
/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the checksum covers the pseudo-header only, so far.
const NEEDS_CHECKSUM: u8 = 1;
/// `VIRTIO_NET_HDR_F_DATA_VALID`: the device has looked at the checksum.
const VOUCHED: u8 = 2;
/// `VIRTIO_NET_HDR_GSO_TCPV4`.
const CUT_TCP4: u8 = 1;
/// Where a TCP header has its length in words, and its checksum (RFC 9293 3.1).
const TCP_LENGTH: usize = 12;
const TCP_CHECKSUM: u16 = 16;

/// The device's word on a received frame: its checksum is right, or was never computed because the
/// frame has not left the host (5.1.6.4).
pub(super) fn is_vouched(header: &[u8; BYTES]) -> bool {
    header[0] & (NEEDS_CHECKSUM | VOUCHED) != 0
}

/// How many buffers a received frame takes.
#[inline]
pub(super) fn buffers(header: &[u8; BYTES]) -> u16 {
    u16::from_le_bytes([header[10], header[11]])
}

/// Writes the header of `frame`, which is complete but for what `finish` says.
pub(super) fn write(header: &mut [u8; BYTES], frame: &[u8], finish: Finish) {
    let Finish::Tcp { start, size } = finish else {
        *header = [0; BYTES];
        return;
    };
    let words = frame.get(usize::from(start) + TCP_LENGTH);
    let length = u16::from(words.map_or(5, |b| b >> 4)) * 4;
    let (kind, repeated) = if size == 0 {
        (0, 0)
    } else {
        (CUT_TCP4, start + length)
    };
    let [repeated, size, start, offset] =
        [repeated, size, start, TCP_CHECKSUM].map(u16::to_le_bytes);
    *header = [
        NEEDS_CHECKSUM,
        kind,
        repeated[0],
        repeated[1],
        size[0],
        size[1],
        start[0],
        start[1],
        offset[0],
        offset[1],
        0,
        0,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_frame_has_an_empty_header() {
        let mut header = [0xff; BYTES];
        write(&mut header, &[], Finish::Nothing);
        assert_eq!(header, [0; BYTES]);
    }

    #[test]
    fn a_checksum_is_asked_for_where_it_belongs() {
        let mut header = [0xff; BYTES];
        let finish = Finish::Tcp { start: 34, size: 0 };
        write(&mut header, &[0x50; 54], finish);
        assert_eq!(header, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]);
    }

    #[test]
    fn headers_with_options_are_repeated_whole() {
        let mut header = [0; BYTES];
        let mut frame = [0; 4000];
        frame[34 + 12] = 0x80;
        let finish = Finish::Tcp {
            start: 34,
            size: 1448,
        };
        write(&mut header, &frame, finish);
        assert_eq!(header, [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0]);
    }

    #[test]
    fn received_headers() {
        assert!(!is_vouched(&[0; BYTES]));
        assert!(is_vouched(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        let valid = [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1];
        assert!(is_vouched(&valid));
        assert_eq!(buffers(&valid), 0x103);
    }
}
