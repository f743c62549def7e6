//! Segments larger than the peer takes, for a device that cuts them.
//!
//! smoltcp sends segments up to what the peer's SYN allows and the device's MTU holds. Where the device
//! cuts segments ([`machine::Offers::cuts`]) smoltcp is told of an MTU as large as the device takes, and
//! of a peer that takes as much ([`raise`]); how large the pieces are is the device's to know
//! ([`allowed`]). Our own SYN keeps saying what the wire carries ([`lower`]). (smoltcp can be told of
//! a cutting device, too, but 0.14 compiles that with IPv6 only, which made an echo of 64 bytes 5 %
//! dearer.)
//!
//! The option is of RFC 9293 3.2 and 3.7.1.

use crate::fin::HEADERS;
use crate::frame::{ETHERNET, be16};
use crate::phy::MAX_FRAME;

/// Ethernet, IPv4 and TCP headers without options.
pub(crate) const PLAIN_HEADERS: usize = ETHERNET + 20 + 20;
/// What one frame carries.
const WIRE: u16 = (MAX_FRAME - PLAIN_HEADERS) as u16;
/// What a peer takes that does not say (3.7.1, MUST-15).
const UNSAID: u16 = 536;
/// Less would make more headers than payload; smoltcp has such a limit as well.
const LEAST: u16 = 48;

const END: u8 = 0;
const NOTHING: u8 = 1;
const MSS: u8 = 2;

/// Where the TCP header of a sound TCP frame begins.
fn tcp(frame: &[u8]) -> Option<usize> {
    Some(ETHERNET + usize::from(frame.get(ETHERNET)? & 15) * 4)
}

/// Where the TCP header that begins at `tcp` ends.
fn end(bytes: &[u8], tcp: usize) -> Option<usize> {
    let end = tcp + usize::from(bytes.get(tcp + 12)? >> 4) * 4;
    (end <= bytes.len()).then_some(end)
}

/// Where the value of the option lies in the TCP header that begins at `tcp`.
fn find(bytes: &[u8], tcp: usize) -> Option<usize> {
    let end = end(bytes, tcp)?;
    let mut at = tcp + 20;
    while at + 4 <= end {
        match (bytes[at], bytes[at + 1]) {
            (END, _) => return None,
            (NOTHING, _) => at += 1,
            (MSS, 4) => return Some(at + 2),
            (_, 0 | 1) => return None,
            (_, len) => at += usize::from(len),
        }
    }
    None
}

/// The most payload in a segment to the peer whose SYN this is.
pub(crate) fn allowed(syn: &[u8]) -> u16 {
    let at = tcp(syn).and_then(|tcp| find(syn, tcp));
    at.map_or(UNSAID, |at| be16(syn, at).clamp(LEAST, WIRE))
}

/// Writes the headers of a SYN to `out` with an option that allows segments of `mss` bytes; `None` when
/// it has no such option. Checksums were verified before and are not kept.
pub(crate) fn raise<'a>(syn: &[u8], mss: u16, out: &'a mut [u8; HEADERS]) -> Option<&'a [u8]> {
    let tcp = tcp(syn)?;
    let (at, end) = (find(syn, tcp)?, end(syn, tcp)?);
    let out = out.get_mut(..end)?;
    out.copy_from_slice(syn.get(..end)?);
    out[at..at + 2].copy_from_slice(&mss.to_be_bytes());
    // A SYN's payload, if any, is sent again once we are connected.
    let total = (end - ETHERNET) as u16;
    out[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&total.to_be_bytes());
    Some(out)
}

/// Makes a SYN of ours, without what stands before its TCP header, say what the wire carries.
#[cold]
pub(crate) fn lower(syn: &mut [u8]) {
    if let Some(at) = find(syn, 0) {
        let mss = be16(syn, at).min(WIRE);
        syn[at..at + 2].copy_from_slice(&mss.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// A frame with these TCP options, padded to words.
    fn syn(options: &[u8]) -> Vec<u8> {
        let words = options.len().div_ceil(4);
        let mut frame = std::vec![0; PLAIN_HEADERS];
        frame[ETHERNET] = 0x45;
        frame[ETHERNET + 20 + 12] = ((5 + words) << 4) as u8;
        frame.extend_from_slice(options);
        frame.resize(PLAIN_HEADERS + words * 4, 0);
        frame
    }

    #[test]
    fn the_option_is_found_among_others() {
        assert_eq!(allowed(&syn(&[])), 536);
        assert_eq!(allowed(&syn(&[2, 4, 5, 0xb4])), 1460);
        let linux = [
            2, 4, 5, 0xa0, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7,
        ];
        assert_eq!(allowed(&syn(&linux)), 1440);
        let last = [1, 3, 3, 7, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 2, 0];
        assert_eq!(allowed(&syn(&last)), 512);
    }

    #[test]
    fn what_it_says_is_kept_within_reason() {
        assert_eq!(allowed(&syn(&[2, 4, 0xff, 0xff])), WIRE);
        assert_eq!(allowed(&syn(&[2, 4, 0, 0])), LEAST);
        // Behind the end of options, of a wrong length, behind one that does not advance.
        assert_eq!(allowed(&syn(&[0, 0, 0, 0, 2, 4, 1, 0])), UNSAID);
        assert_eq!(allowed(&syn(&[2, 3, 1, 0])), UNSAID);
        assert_eq!(allowed(&syn(&[9, 0, 2, 4, 1, 0])), UNSAID);
    }

    #[test]
    fn a_raised_syn_loses_its_payload_and_nothing_else() {
        let mut frame = syn(&[1, 2, 4, 5, 0xb4, 0, 0, 0]);
        let headers = frame.len();
        frame.extend_from_slice(b"early");
        let mut out = [0; HEADERS];
        let raised = raise(&frame, 20_000, &mut out).unwrap();
        let at = tcp(raised).and_then(|tcp| find(raised, tcp));
        assert_eq!(at.map(|at| be16(raised, at)), Some(20_000));
        assert_eq!(usize::from(be16(raised, 16)), headers - ETHERNET);
        assert_eq!(raised[headers - 1], frame[headers - 1]);
        assert_eq!(raised.len(), headers);
        assert_eq!(raise(&syn(&[]), 20_000, &mut out), None);
    }

    #[test]
    fn our_own_says_what_the_wire_carries() {
        let mut ours = syn(&[2, 4, 0x40, 0]);
        lower(&mut ours[ETHERNET + 20..]);
        assert_eq!(allowed(&ours), WIRE);
        let mut small = syn(&[2, 4, 1, 0]);
        lower(&mut small[ETHERNET + 20..]);
        assert_eq!(allowed(&small), 256);
    }

    proptest! {
        /// Whatever the options are, nothing outside the header is read or written.
        #[test]
        fn any_options_are_survived(options in proptest::collection::vec(0u8..12, 0..40)) {
            let mut frame = syn(&options);
            let mss = allowed(&frame);
            prop_assert!((LEAST..=WIRE).contains(&mss));
            let mut out = [0; HEADERS];
            if let Some(raised) = raise(&frame, 9_000, &mut out) {
                prop_assert_eq!(allowed(raised), WIRE);
            }
            lower(&mut frame[ETHERNET + 20..]);
        }
    }
}
