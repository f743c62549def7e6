//! The wire between the network card and the peer: two lanes that may lose, repeat, overtake, delay,
//! damage and cut frames.
//!
//! What happens to a lane's n-th frame depends on the seed and n alone, so another interleaving of
//! the kernel meets the same wire.
//!
//! Damage is a burst of up to 15 wrong bits behind the Ethernet header, which the ones' complement
//! sums of IP, TCP and UDP always notice (RFC 1071). What no such sum covers (ARP) is protected by
//! the link's own, so there a damaged frame is a lost one.

use std::collections::BTreeMap;

use crate::core::NEVER;
use crate::faults::Packets;
use crate::rng::Rng;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Longest extra time of a delayed frame: beyond the first retransmission.
const LONG: u32 = 1_500_000_000;

/// What a wire did to frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WireStats {
    /// Frames put on the wire.
    pub sent: u64,
    /// Frames that something was done to.
    pub faults: u64,
}

/// One direction.
pub(super) struct Lane {
    seed: u64,
    latency: u64,
    /// Nanoseconds a byte takes.
    byte_ns: u64,
    rates: Packets,
    count: u64,
    /// When the last frame that kept its place arrives.
    last: u64,
    /// Frames on their way by arrival and number.
    frames: BTreeMap<(u64, u64), Vec<u8>>,
    pub(super) stats: WireStats,
}

impl Lane {
    pub(super) fn new(seed: u64, latency: u64, byte_ns: u64, rates: Packets) -> Self {
        Self {
            seed,
            latency,
            byte_ns,
            rates,
            count: 0,
            last: 0,
            frames: BTreeMap::new(),
            stats: WireStats::default(),
        }
    }

    /// Puts a frame on the wire at time `now`.
    pub(super) fn send(&mut self, now: u64, mut frame: Vec<u8>) {
        let n = self.stats.sent;
        self.stats.sent += 1;
        let fate = Rng::new(self.seed ^ n.wrapping_mul(0xd134_2543_de82_ef95));
        let mut hit = |rate: u32| {
            let yes = rate != 0 && fate.one_in(rate);
            self.stats.faults += u64::from(yes);
            yes
        };
        let rates = self.rates;
        let lost = hit(rates.lost);
        let (cut, corrupted) = (hit(rates.cut), hit(rates.corrupted));
        let (reordered, delayed) = (hit(rates.reordered), hit(rates.delayed));
        let duplicated = hit(rates.duplicated);
        if lost || (corrupted && !corrupt(&mut frame, &fate)) {
            return;
        }
        if cut {
            frame.truncate(1 + fate.below(frame.len() as u32) as usize);
        }
        let length = frame.len() as u64 * self.byte_ns;
        let mut at = self.last.max(now + self.latency) + length;
        if reordered {
            at += u64::from(fate.below(4 * self.latency as u32)) + 1;
        } else if delayed {
            at += u64::from(fate.below(LONG));
        } else {
            self.last = at;
        }
        if duplicated {
            let again = at + u64::from(fate.below(2 * self.latency as u32));
            self.put(again, frame.clone());
        }
        self.put(at, frame);
    }

    fn put(&mut self, at: u64, frame: Vec<u8>) {
        self.count += 1;
        self.frames.insert((at, self.count), frame);
    }

    /// Takes a frame that has arrived.
    pub(super) fn take(&mut self, now: u64) -> Option<Vec<u8>> {
        let first = self.frames.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When the next frame arrives.
    pub(super) fn next_event(&self) -> u64 {
        self.frames.keys().next().map_or(NEVER, |k| k.0)
    }
}

/// Flips a burst of bits behind the Ethernet header; false for a frame that is not IPv4.
fn corrupt(frame: &mut [u8], fate: &Rng) -> bool {
    if frame.get(12..ETHERNET) != Some(&[8, 0]) {
        return false;
    }
    let bits = (frame.len() - ETHERNET) as u32 * 8;
    let first = fate.below(bits);
    let burst = fate.below(1 << 14) << 1 | 1;
    for i in (0..15).filter(|i| burst >> i & 1 == 1 && first + i < bits) {
        let bit = first + i;
        frame[ETHERNET + bit as usize / 8] ^= 0x80 >> (bit % 8);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Flag, Forged};
    use smoltcp::wire::{Ipv4Address, Ipv4Packet, TcpPacket};

    fn frame(payload: usize) -> Vec<u8> {
        let mut segment = Forged::syn(4000, 80);
        segment.flag = Flag::None;
        segment.frame(&vec![0x5a; payload])
    }

    /// True when neither IP nor TCP would take the frame.
    fn is_caught(frame: &[u8]) -> bool {
        let Ok(ip) = Ipv4Packet::new_checked(&frame[ETHERNET..]) else {
            return true;
        };
        let (from, to): (Ipv4Address, Ipv4Address) = (ip.src_addr(), ip.dst_addr());
        if !ip.verify_checksum() || u8::from(ip.next_header()) != 6 {
            return true;
        }
        let payload = ip.payload();
        TcpPacket::new_checked(payload)
            .map_or(true, |tcp| !tcp.verify_checksum(&from.into(), &to.into()))
    }

    #[test]
    fn checksums_catch_every_damage_and_every_cut() {
        let rng = Rng::new(1);
        let whole = frame(100);
        assert!(!is_caught(&whole));
        for _ in 0..50_000 {
            let mut damaged = whole.clone();
            assert!(corrupt(&mut damaged, &rng));
            assert_ne!(damaged, whole);
            assert!(is_caught(&damaged));
        }
        assert!((0..whole.len()).all(|n| n < ETHERNET || is_caught(&whole[..n])));
    }

    #[test]
    fn frames_keep_their_order_on_a_sound_wire_and_all_arrive() {
        let mut lane = Lane::new(7, 20_000, 8, Packets::NONE);
        for i in 0..100 {
            lane.send(i * 100, vec![i as u8; 60 + i as usize]);
        }
        let mut seen = 0;
        while lane.next_event() != NEVER {
            let at = lane.next_event();
            let frame = lane.take(at).expect("it has arrived");
            assert_eq!(frame[0], seen);
            seen += 1;
        }
        assert_eq!((seen, lane.stats.faults), (100, 0));
    }

    #[test]
    fn the_nth_frames_fate_does_not_depend_on_time() {
        let run = |step: u64| {
            let mut lane = Lane::new(9, 20_000, 8, Packets::LOSSY);
            for i in 0..500u32 {
                lane.send(u64::from(i) * step, i.to_le_bytes().to_vec());
            }
            let mut all: Vec<Vec<u8>> = lane.frames.into_values().collect();
            all.sort();
            all
        };
        assert_eq!(run(100), run(90_000));
        assert_ne!(run(100).len(), 500);
    }
}
