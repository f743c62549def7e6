//! A DHCP server (RFC 2131) of one lease, which may be slow or deaf.

use core::net::Ipv4Addr;

use machine::Duration;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, Ipv4Packet, UdpPacket,
};

use super::raw::datagram;
use super::{ADDRESS, PEER_ADDRESS};

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
const ETHERNET: usize = 14;
const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
/// Seconds a lease lasts: renewed in the middle of a long scenario.
const LEASE: u32 = 120;

/// The server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dhcp {
    /// Time from the start of the world at which it begins to answer; `None` is never.
    pub(super) answers_from: Option<Duration>,
}

impl Dhcp {
    /// The answer to a frame, if it asks this server something.
    pub(super) fn answer(&self, now: u64, frame: &[u8]) -> Option<Vec<u8>> {
        if frame.get(12..ETHERNET) != Some(&[8, 0]) {
            return None;
        }
        let ip = Ipv4Packet::new_checked(&frame[ETHERNET..]).ok()?;
        let udp = UdpPacket::new_checked(ip.payload()).ok()?;
        if u8::from(ip.next_header()) != 17 || udp.dst_port() != SERVER_PORT {
            return None;
        }
        if !ip.verify_checksum()
            || !udp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into())
        {
            return None;
        }
        if self.answers_from.is_none_or(|from| now < from.as_nanos()) {
            return None;
        }
        let packet = DhcpPacket::new_checked(udp.payload()).ok()?;
        let ask = DhcpRepr::parse(&packet).ok()?;
        let message_type = match ask.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            _ => return None,
        };
        Some(reply(&ask, message_type))
    }
}

fn reply(ask: &DhcpRepr<'_>, message_type: DhcpMessageType) -> Vec<u8> {
    let EthernetAddress(mac) = ask.client_hardware_address;
    let reply = DhcpRepr {
        message_type,
        transaction_id: ask.transaction_id,
        secs: 0,
        client_hardware_address: ask.client_hardware_address,
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: ADDRESS,
        server_ip: PEER_ADDRESS,
        router: Some(PEER_ADDRESS),
        subnet_mask: Some(MASK),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(PEER_ADDRESS),
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: Some(LEASE),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let mut payload = vec![0; reply.buffer_len()];
    // The buffer has the length the message asked for.
    let written = reply.emit(&mut DhcpPacket::new_unchecked(&mut payload[..]));
    assert!(written.is_ok(), "a DHCP reply of {} bytes", payload.len());
    let to = (Ipv4Addr::BROADCAST, CLIENT_PORT);
    datagram((PEER_ADDRESS, SERVER_PORT), to, mac, &payload)
}
