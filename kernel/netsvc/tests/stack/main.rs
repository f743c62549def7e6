//! The stack against a client over a faulty wire, and against frames nobody would send.

#![expect(clippy::unwrap_used, reason = "a test panics when its harness fails")]

mod answers;
mod connections;
mod debts;
mod frames;
mod link;
mod offloads;
mod time_wait;

use link::{CLIENT, CLIENT_MAC, Faults, Random, SERVER, SERVER_MAC, Server, World};
use machine::{Duration, Instant, Offers};
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv4Packet, Icmpv4Repr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr,
    TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Echoes `bytes` through one connection with half-close, and returns what came back.
fn echo(world: &mut World, bytes: &[u8], port: u16) -> Vec<u8> {
    let h = world.connect(port);
    let (mut sent, mut back) = (0, Vec::new());
    let done = world.until(Duration::from_secs(3600), |w| {
        let s = w.socket(h);
        if s.can_send() && sent < bytes.len() {
            sent += s.send_slice(&bytes[sent..]).unwrap();
        }
        if sent == bytes.len() && s.may_send() {
            s.close();
        }
        while s.can_recv() {
            s.recv(|b| (b.len(), back.extend_from_slice(b))).unwrap();
        }
        !s.may_recv() && sent == bytes.len()
    });
    assert!(
        done,
        "echo hangs: {} sent, {} back, {}; {:?}",
        sent,
        back.len(),
        world.socket(h).state(),
        world.server.stack.stats()
    );
    back
}

fn random_bytes(n: usize) -> Vec<u8> {
    let mut random = Random(99);
    (0..n).map(|_| random.next() as u8).collect()
}

fn assert_empty(server: &Server) {
    assert_eq!(server.stack.connections(), 0);
    assert_eq!(server.stack.handshakes(), 0);
    assert_eq!(server.open_endpoints(), 0);
    assert_eq!(server.pool.len(), server.made, "an endpoint was lost");
}

/// A frame from the client's station.
fn frame(ip: Ipv4Repr, emit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = vec![0; 14 + ip.buffer_len() + ip.payload_len];
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(CLIENT_MAC),
        dst_addr: EthernetAddress(SERVER_MAC),
        ethertype: EthernetProtocol::Ipv4,
    };
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
    ip.emit(
        &mut Ipv4Packet::new_unchecked(&mut bytes[14..]),
        &ChecksumCapabilities::default(),
    );
    emit(&mut bytes[34..]);
    bytes
}

fn ip(from: [u8; 4], next_header: IpProtocol, payload_len: usize) -> Ipv4Repr {
    Ipv4Repr {
        src_addr: from.into(),
        dst_addr: SERVER.into(),
        next_header,
        payload_len,
        hop_limit: 64,
    }
}

fn segment(from: [u8; 4], port: u16, control: TcpControl, seq: u32, ack: Option<u32>) -> Vec<u8> {
    data_segment(from, port, control, seq, ack, &[])
}

fn data_segment(
    from: [u8; 4],
    port: u16,
    control: TcpControl,
    seq: u32,
    ack: Option<u32>,
    payload: &[u8],
) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: port,
        dst_port: 7,
        control,
        seq_number: TcpSeqNumber(seq as i32),
        ack_number: ack.map(|a| TcpSeqNumber(a as i32)),
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    tcp_frame(from, &tcp)
}

fn tcp_frame(from: [u8; 4], tcp: &TcpRepr<'_>) -> Vec<u8> {
    frame(ip(from, IpProtocol::Tcp, tcp.buffer_len()), |b| {
        let (src, dst) = (IpAddress::Ipv4(from.into()), IpAddress::Ipv4(SERVER.into()));
        tcp.emit(
            &mut TcpPacket::new_unchecked(b),
            &src,
            &dst,
            &ChecksumCapabilities::default(),
        );
    })
}

fn arp(operation: ArpOperation) -> Vec<u8> {
    let mut bytes = vec![0; 42];
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(CLIENT_MAC),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    };
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
    let arp = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(CLIENT_MAC),
        source_protocol_addr: CLIENT.into(),
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: SERVER.into(),
    };
    arp.emit(&mut ArpPacket::new_unchecked(&mut bytes[14..]));
    bytes
}

/// A server that knows the client's station.
fn acquainted(connections: usize, handshakes: usize) -> Server {
    acquainted_with(connections, handshakes, Offers::default())
}

fn acquainted_with(connections: usize, handshakes: usize, offers: Offers) -> Server {
    let mut server = Server::with(connections, handshakes, offers);
    server.receive(Instant::ZERO, &arp(ArpOperation::Request));
    assert_eq!(server.sent.frames.len(), 1, "no ARP reply");
    server.sent.frames.clear();
    server
}

/// The only segment the server sent: control, sequence and acknowledgment number.
fn sent_segment(server: &mut Server) -> (TcpControl, u32, Option<u32>) {
    let frames = std::mem::take(&mut server.sent.frames);
    assert_eq!(frames.len(), 1, "{frames:?}");
    let ip = Ipv4Packet::new_checked(&frames[0][14..]).unwrap();
    let tcp = TcpPacket::new_checked(ip.payload()).unwrap();
    let (src, dst) = (
        IpAddress::Ipv4(ip.src_addr()),
        IpAddress::Ipv4(ip.dst_addr()),
    );
    let repr = TcpRepr::parse(&tcp, &src, &dst, &ChecksumCapabilities::default()).unwrap();
    (
        repr.control,
        repr.seq_number.0 as u32,
        repr.ack_number.map(|a| a.0 as u32),
    )
}
