//! A network peer that speaks Ethernet: sends any frame, valid or not, and reads what comes back.
//!
//! QEMU's `-netdev dgram` carries one frame per UDP datagram over the loopback, so a test sees and
//! sends exactly what is on the wire, without privileges. Layouts: RFC 826 (ARP), 791 (IPv4), 792
//! (ICMP), 768 (UDP), 9293 (TCP).

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use crate::http::said;

/// Our hardware address.
pub const OUR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
/// Our address.
pub const OUR_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The guest's address; its boot arguments say so.
pub const GUEST_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

const BROADCAST: [u8; 6] = [0xff; 6];
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
/// Protocol numbers.
pub const ICMP: u8 = 1;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;

/// Our end of the wire.
#[derive(Debug)]
pub struct Peer {
    socket: UdpSocket,
    /// Hardware address of the guest, once it answered an ARP request.
    guest_mac: Option<[u8; 6]>,
}

impl Peer {
    /// Listens on `own` and talks to QEMU on `qemu`, both on the loopback.
    pub fn new(own: u16, qemu: u16) -> Result<Self, String> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, own)).map_err(said("bind"))?;
        socket
            .connect((Ipv4Addr::LOCALHOST, qemu))
            .map_err(said("connect"))?;
        Ok(Self {
            socket,
            guest_mac: None,
        })
    }

    /// Puts a frame on the wire.
    pub fn send(&self, frame: &[u8]) -> Result<(), String> {
        self.socket
            .send(frame)
            .map(drop)
            .map_err(said("send a frame"))
    }

    /// Waits until `pick` accepts a frame; answers ARP requests for our address meanwhile.
    pub fn wait<T>(
        &self,
        patience: Duration,
        mut pick: impl FnMut(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut buffer = [0; 2048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.socket.set_read_timeout(Some(left)).is_err() {
                return None;
            }
            // Refused: QEMU does not listen yet, or no more; the deadline decides.
            let Ok(n) = self.socket.recv(&mut buffer) else {
                std::thread::sleep(Duration::from_millis(5).min(left));
                continue;
            };
            let frame = &buffer[..n];
            if let Some(found) = pick(frame) {
                return Some(found);
            }
            self.answer_arp(frame);
        }
    }

    fn answer_arp(&self, frame: &[u8]) {
        let asks_us = ether_type(frame) == Some(ARP)
            && frame.get(20..22) == Some(&[0, 1])
            && frame.get(38..42) == Some(&OUR_IP.octets());
        if let (true, Some(mac)) = (asks_us, frame.get(22..28)) {
            let ip = frame.get(28..32).unwrap_or(&[0; 4]).to_owned();
            let _ = self.send(&arp(2, mac, mac, &ip));
        }
    }

    /// Asks who has the guest's address; remembers the answer.
    pub fn resolve(&mut self, patience: Duration) -> Option<[u8; 6]> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let _ = self.send(&arp(1, &BROADCAST, &[0; 6], &GUEST_IP.octets()));
            let found = self.wait(Duration::from_millis(300), |frame| {
                let reply = ether_type(frame) == Some(ARP)
                    && frame.get(20..22) == Some(&[0, 2])
                    && frame.get(28..32) == Some(&GUEST_IP.octets());
                reply.then(|| frame.get(22..28)?.try_into().ok()).flatten()
            });
            if found.is_some() {
                self.guest_mac = found;
                return found;
            }
        }
        None
    }

    /// An IPv4 frame to the guest.
    pub fn ipv4(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        self.ipv4_with(protocol, payload, 7, 0)
    }

    /// An IPv4 frame with this identification and this flags-and-offset word.
    pub fn ipv4_with(&self, protocol: u8, payload: &[u8], id: u16, fragment: u16) -> Vec<u8> {
        let mut frame = ethernet(&self.guest_mac.unwrap_or(BROADCAST), IPV4);
        let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
        let mut header = vec![0x45, 0];
        header.extend(length.to_be_bytes());
        header.extend(id.to_be_bytes());
        header.extend(fragment.to_be_bytes());
        header.extend([64, protocol, 0, 0]);
        header.extend(OUR_IP.octets());
        header.extend(GUEST_IP.octets());
        let sum = checksum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
        frame.extend(header);
        frame.extend(payload);
        frame
    }

    /// Pings; `true` when the payload came back.
    pub fn ping(&self, sequence: u16, payload: &[u8], patience: Duration) -> bool {
        let request = echo_request(sequence, payload);
        if self.send(&self.ipv4(ICMP, &request)).is_err() {
            return false;
        }
        self.wait(patience, |frame| {
            let icmp = payload_of(frame, ICMP)?;
            let same = icmp.first() == Some(&0) && icmp.get(4..) == request.get(4..);
            (same && checksum(icmp) == 0).then_some(())
        })
        .is_some()
    }
}

/// An ICMP echo request.
pub fn echo_request(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 0x52, 0x54];
    icmp.extend(sequence.to_be_bytes());
    icmp.extend(payload);
    let sum = checksum(&icmp).to_be_bytes();
    icmp[2..4].copy_from_slice(&sum);
    icmp
}

/// A UDP datagram from us to the guest.
pub fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let mut datagram = Vec::new();
    for word in [from, to, length, 0] {
        datagram.extend(word.to_be_bytes());
    }
    datagram.extend(payload);
    let sum = match transport_sum(UDP, &datagram) {
        // Zero means "no checksum"; RFC 768 sends its complement instead.
        0 => 0xffff,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&u16::to_be_bytes(sum));
    datagram
}

/// A TCP segment from us to the guest, without options and data.
pub fn tcp(from: u16, to: u16, sequence: u32, acknowledge: u32, flags: u8) -> Vec<u8> {
    tcp_with((from, to), (sequence, acknowledge), flags, 0x2000, &[])
}

/// A TCP segment from us to the guest, without options: ports, sequence and acknowledgment number,
/// flags, window, data.
pub fn tcp_with(
    (from, to): (u16, u16),
    (sequence, acknowledge): (u32, u32),
    flags: u8,
    window: u16,
    data: &[u8],
) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(from.to_be_bytes());
    segment.extend(to.to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    segment.extend(acknowledge.to_be_bytes());
    segment.extend([0x50, flags]);
    segment.extend(window.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend(data);
    let sum = transport_sum(TCP, &segment).to_be_bytes();
    segment[16..18].copy_from_slice(&sum);
    segment
}

fn transport_sum(protocol: u8, data: &[u8]) -> u16 {
    let mut pseudo = Vec::new();
    pseudo.extend(OUR_IP.octets());
    pseudo.extend(GUEST_IP.octets());
    pseudo.extend([0, protocol]);
    pseudo.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    pseudo.extend(data);
    checksum(&pseudo)
}

/// Payload of an IPv4 frame of this protocol from the guest.
pub fn payload_of(frame: &[u8], protocol: u8) -> Option<&[u8]> {
    let ip = frame.get(14..)?;
    let right = ether_type(frame) == Some(IPV4)
        && ip.get(9) == Some(&protocol)
        && ip.get(12..16) == Some(&GUEST_IP.octets());
    if !right {
        return None;
    }
    let header = usize::from(ip[0] & 15) * 4;
    let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    ip.get(header..length)
}

fn ether_type(frame: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?))
}

fn ethernet(to: &[u8], kind: u16) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend(OUR_MAC);
    frame.extend(kind.to_be_bytes());
    frame
}

fn arp(operation: u16, to: &[u8], target_mac: &[u8], target_ip: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(to, ARP);
    frame.extend([0, 1, 8, 0, 6, 4]);
    frame.extend(operation.to_be_bytes());
    frame.extend(OUR_MAC);
    frame.extend(OUR_IP.octets());
    frame.extend(target_mac);
    frame.extend(target_ip);
    frame
}

/// The Internet checksum (RFC 1071); over data that carries a right one it is zero.
pub fn checksum(data: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in data.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&b| u32::from(b));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_the_rfc_example() {
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2
        );
        assert_eq!(checksum(&echo_request(1, b"odd")), 0);
    }

    #[test]
    fn own_frames_parse() {
        let (a, b) = (xtask::guest::free_port(true), xtask::guest::free_port(true));
        let peer = Peer::new(a.unwrap(), b.unwrap()).unwrap();
        let mut frame = peer.ipv4(UDP, &udp(9, 7, b"hello"));
        assert_eq!(payload_of(&frame, UDP), None, "it is ours, not the guest's");
        frame[26..30].copy_from_slice(&GUEST_IP.octets());
        assert_eq!(
            payload_of(&frame, UDP).map(|p| &p[8..]),
            Some(&b"hello"[..])
        );
    }
}
