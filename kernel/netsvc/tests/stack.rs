//! The stack against a client over a faulty wire, and against frames nobody would send.

#![expect(clippy::unwrap_used, reason = "a test panics when its harness fails")]

mod link;

use link::{CLIENT, CLIENT_MAC, Faults, Random, SERVER, SERVER_MAC, Server, World};
use machine::{Duration, Instant};
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
        "echo hangs: {} sent, {} back, {}",
        sent,
        back.len(),
        world.socket(h).state()
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

#[test]
fn one_mebibyte_comes_back_over_a_clean_wire() {
    let mut world = World::new(1, 4, Faults::default());
    let bytes = random_bytes(1 << 20);
    assert!(echo(&mut world, &bytes, 5000) == bytes);
    world.until(MINUTE, |w| w.server.stack.connections() == 0);
    assert_empty(&world.server);
    assert_eq!(world.server.stack.stats().tcp_established, 1);
}

#[test]
fn bytes_come_back_whole_over_faulty_wires() {
    for seed in 1..9 {
        let faults = Faults {
            lose: 5,
            repeat: 5,
            delay: 10,
            damage: 3,
        };
        let mut world = World::new(seed, 4, faults);
        let bytes = random_bytes(64 << 10);
        assert!(echo(&mut world, &bytes, 5000) == bytes, "seed {seed}");
    }
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    let mut world = World::new(3, 16, Faults::default());
    for i in 0..1000 {
        assert_eq!(echo(&mut world, b"hello", 2000 + i), b"hello");
        assert!(world.until(MINUTE, |w| w.server.stack.connections() == 0));
        let handle = world.sockets.iter().next().unwrap().0;
        world.sockets.remove(handle);
    }
    world.until(MINUTE, |w| w.server.stack.connections() == 0);
    assert_empty(&world.server);
    assert!(
        world.server.made <= 2,
        "{} endpoints for sequential churn",
        world.server.made
    );
}

#[test]
fn time_wait_holds_a_record_and_nothing_else() {
    let mut world = World::new(4, 4, Faults::default());
    let h = world.connect(6000);
    assert!(world.until(MINUTE, |w| w.server.stack.stats().tcp_established == 1));
    // The server closes first.
    let slot = world.server.endpoints.iter_mut().flatten().next().unwrap();
    slot.close(Instant::from_nanos(world.now));
    let at = world.at();
    world.server.flush(at);
    assert!(world.until(MINUTE, |w| w.socket(h).state() == State::CloseWait));
    world.socket(h).close();
    assert!(world.until(Duration::from_secs(5), |w| w.socket(h).state()
        == State::Closed));
    assert_empty(&world.server);
    assert_eq!(world.server.stack.time_waits(), 1);
    assert_eq!(world.server.stack.stats().time_wait_entered, 1);
}

#[test]
fn connections_beyond_the_limit_are_reset_and_the_others_live() {
    let mut world = World::new(5, 8, Faults::default());
    let good: Vec<_> = (0..8).map(|i| world.connect(7000 + i)).collect();
    let all_open = |w: &mut World| {
        good.iter()
            .all(|&h| w.socket(h).state() == State::Established)
    };
    assert!(world.until(MINUTE, all_open));
    let bad = world.connect(7100);
    assert!(
        world.until(Duration::from_secs(2), |w| w.socket(bad).state()
            == State::Closed)
    );
    assert_eq!(world.server.stack.stats().tcp_refused, 1);
    for &h in &good {
        world.socket(h).send_slice(b"x").unwrap();
        assert!(world.until(MINUTE, |w| w.socket(h).can_recv()));
    }
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
        payload: &[],
    };
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
    let mut server = Server::new(connections, handshakes);
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

#[test]
fn arp_and_ping_are_answered() {
    let mut server = acquainted(1, 1);
    let echo = Icmpv4Repr::EchoRequest {
        ident: 1,
        seq_no: 2,
        data: b"abcdefgh",
    };
    let ping = frame(ip(CLIENT, IpProtocol::Icmp, echo.buffer_len()), |b| {
        echo.emit(
            &mut Icmpv4Packet::new_unchecked(b),
            &ChecksumCapabilities::default(),
        );
    });
    server.receive(Instant::ZERO, &ping);
    assert_eq!(server.sent.frames.len(), 1);
    assert_eq!(server.sent.frames[0][34], 0, "not an echo reply");
    assert_eq!(&server.sent.frames[0][42..], b"abcdefgh");
}

fn datagram(port: u16) -> Vec<u8> {
    let udp = UdpRepr {
        src_port: port,
        dst_port: 7,
    };
    frame(ip(CLIENT, IpProtocol::Udp, udp.header_len() + 5), |b| {
        let (src, dst) = (
            IpAddress::Ipv4(CLIENT.into()),
            IpAddress::Ipv4(SERVER.into()),
        );
        udp.emit(
            &mut UdpPacket::new_unchecked(b),
            &src,
            &dst,
            5,
            |p| p.copy_from_slice(b"hello"),
            &ChecksumCapabilities::default(),
        );
    })
}

#[test]
fn udp_echo_replies_to_the_sender_and_never_to_an_echo_port() {
    let mut server = Server::new(1, 1);
    server.receive(Instant::ZERO, &datagram(4000));
    let reply = server.sent.frames.pop().unwrap();
    let ip = Ipv4Packet::new_checked(&reply[14..]).unwrap();
    let udp = UdpPacket::new_checked(ip.payload()).unwrap();
    assert_eq!(
        EthernetFrame::new_checked(&reply[..]).unwrap().dst_addr().0,
        CLIENT_MAC
    );
    assert!(ip.verify_checksum());
    assert!(udp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()));
    assert_eq!(
        (udp.src_port(), udp.dst_port(), udp.payload()),
        (7, 4000, &b"hello"[..])
    );
    server.receive(Instant::ZERO, &datagram(7));
    assert!(
        server.sent.frames.is_empty(),
        "two echo servers would never stop"
    );
}

#[test]
fn damaged_and_fragmented_frames_are_dropped() {
    let mut server = acquainted(4, 4);
    let good = segment(CLIENT, 9000, TcpControl::Syn, 1, None);
    for bytes in [&good, &datagram(4000)] {
        // Every byte behind the Ethernet header is under a checksum.
        for i in 14..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 0x10;
            server.receive(Instant::ZERO, &bad);
            assert!(
                server.sent.frames.is_empty(),
                "byte {i}: {:?}",
                server.sent.frames
            );
        }
    }
    let mut fragment = good.clone();
    fragment[20] |= 0x20;
    Ipv4Packet::new_unchecked(&mut fragment[14..]).fill_checksum();
    server.receive(Instant::ZERO, &fragment);
    assert!(server.sent.frames.is_empty());
    assert_empty(&server);
    server.receive(Instant::ZERO, &good);
    assert_eq!(sent_segment(&mut server).0, TcpControl::Syn);
}

#[test]
fn strays_are_reset() {
    let mut server = acquainted(4, 4);
    server.receive(
        Instant::ZERO,
        &segment(CLIENT, 9000, TcpControl::None, 5, Some(77)),
    );
    assert_eq!(sent_segment(&mut server), (TcpControl::Rst, 77, None));
    server.receive(
        Instant::ZERO,
        &segment(CLIENT, 9000, TcpControl::Rst, 5, None),
    );
    assert!(server.sent.frames.is_empty(), "a reset was answered");
}

#[test]
fn a_flood_of_handshakes_is_bounded_and_passes() {
    let mut server = acquainted(64, 16);
    let mut now = Instant::ZERO;
    for i in 0..10_000u32 {
        let [_, _, a, b] = i.to_be_bytes();
        now += Duration::from_micros(50);
        server.receive(
            now,
            &segment(
                [10, 0, 0, 200],
                1024 + u16::from_be_bytes([a, b]),
                TcpControl::Syn,
                1,
                None,
            ),
        );
        assert!(server.stack.handshakes() <= 16);
        server.sent.frames.clear();
    }
    assert_eq!(server.stack.stats().tcp_syn_dropped, 10_000 - 16);
    assert!(server.made <= 16);
    // The forged handshakes time out, and an honest client gets in.
    let end = now + Duration::from_secs(10);
    while server.stack.next_timer() < end {
        now = now.max(server.stack.next_timer());
        server.due(now);
    }
    assert_eq!(server.stack.stats().tcp_syn_expired, 16);
    assert_empty(&server);
    server.sent.frames.clear();
    server.receive(now, &segment(CLIENT, 9000, TcpControl::Syn, 1, None));
    assert_eq!(sent_segment(&mut server).0, TcpControl::Syn);
}

/// A connection the server closed first, in TIME-WAIT: its next sequence number, the client's.
fn time_wait(server: &mut Server) -> (u32, u32) {
    let t = Instant::ZERO;
    server.receive(t, &segment(CLIENT, 9000, TcpControl::Syn, 100, None));
    let (_, isn, _) = sent_segment(server);
    server.receive(
        t,
        &segment(CLIENT, 9000, TcpControl::None, 101, Some(isn + 1)),
    );
    server
        .endpoints
        .iter_mut()
        .flatten()
        .next()
        .unwrap()
        .close(t);
    server.flush(t);
    assert_eq!(sent_segment(server), (TcpControl::Fin, isn + 1, Some(101)));
    server.receive(
        t,
        &segment(CLIENT, 9000, TcpControl::Fin, 101, Some(isn + 2)),
    );
    assert_eq!(sent_segment(server), (TcpControl::None, isn + 2, Some(102)));
    assert_empty(server);
    (isn + 2, 102)
}

#[test]
fn a_repeated_fin_meets_the_record() {
    let mut server = acquainted(4, 4);
    let (seq, ack) = time_wait(&mut server);
    server.receive(
        Instant::ZERO,
        &segment(CLIENT, 9000, TcpControl::Fin, ack - 1, Some(seq)),
    );
    assert_eq!(
        sent_segment(&mut server),
        (TcpControl::None, seq, Some(ack))
    );
    assert_eq!(server.stack.stats().time_wait_reacked, 1);
}

#[test]
fn a_later_syn_opens_the_tuple_again_and_an_older_does_not() {
    let mut server = acquainted(4, 4);
    let (seq, ack) = time_wait(&mut server);
    server.receive(
        Instant::ZERO,
        &segment(CLIENT, 9000, TcpControl::Syn, ack - 50, None),
    );
    assert_eq!(
        sent_segment(&mut server),
        (TcpControl::None, seq, Some(ack))
    );
    server.receive(
        Instant::ZERO,
        &segment(CLIENT, 9000, TcpControl::Syn, ack + 50, None),
    );
    let (control, _, acknowledged) = sent_segment(&mut server);
    assert_eq!((control, acknowledged), (TcpControl::Syn, Some(ack + 51)));
    assert_eq!(server.stack.time_waits(), 0);
}

#[test]
fn an_expired_record_is_a_stranger() {
    let mut server = acquainted(4, 4);
    let (seq, ack) = time_wait(&mut server);
    let later = Instant::ZERO + Duration::from_secs(11);
    server.receive(
        later,
        &segment(CLIENT, 9000, TcpControl::Fin, ack - 1, Some(seq)),
    );
    assert_eq!(sent_segment(&mut server).0, TcpControl::Rst);
}

#[test]
fn a_vanished_peer_is_given_up() {
    let mut world = World::new(6, 4, Faults::default());
    let h = world.connect(6000);
    assert!(world.until(MINUTE, |w| w.socket(h).state() == State::Established));
    world.socket(h).send_slice(b"echo me").unwrap();
    world.step(Duration::from_millis(1));
    world.faults.lose = 100;
    world.until(Duration::from_secs(200), |w| {
        w.server.stack.connections() == 0
    });
    assert_empty(&world.server);
    assert_eq!(world.server.stack.stats().tcp_timed_out, 1);
}

#[test]
fn an_unknown_neighbour_costs_one_round_trip() {
    let mut server = Server::new(4, 4);
    server.receive(
        Instant::ZERO,
        &segment(CLIENT, 9000, TcpControl::Syn, 1, None),
    );
    let question = server.sent.frames.pop().unwrap();
    assert_eq!(question[12..14], [8, 6], "no ARP request");
    server.receive(Instant::from_nanos(1_000_000), &arp(ArpOperation::Reply));
    assert_eq!(sent_segment(&mut server).0, TcpControl::Syn);
}

#[test]
fn a_full_device_delays_segments_and_loses_none() {
    let mut server = acquainted(4, 4);
    server.sent.full = true;
    server.receive(
        Instant::ZERO,
        &segment(CLIENT, 9000, TcpControl::Syn, 1, None),
    );
    assert!(server.sent.frames.is_empty());
    server.sent.full = false;
    // Not the second a lost segment would take.
    let soon = server.stack.next_timer();
    assert!(soon < Instant::ZERO + Duration::from_millis(10), "{soon:?}");
    server.due(soon);
    assert_eq!(sent_segment(&mut server).0, TcpControl::Syn);
    assert_eq!(server.stack.stats().tx_dropped, 0);
}

proptest! {
    /// Whatever arrives, the stack neither panics nor keeps anything.
    #[test]
    fn garbage_changes_nothing(
        frames in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..200), 0u8..4, any::<u8>()), 1..60),
    ) {
        let mut server = acquainted(4, 4);
        let mut now = Instant::ZERO;
        for (mut bytes, kind, protocol) in frames {
            // Most garbage starts with something that looks right.
            if kind > 0 && bytes.len() >= 60 {
                bytes[..6].copy_from_slice(&SERVER_MAC);
                bytes[12..14].copy_from_slice(&[8, if kind == 3 { 6 } else { 0 }]);
                if kind < 3 {
                    let len = bytes.len() as u16 - 14;
                    bytes[14] = 0x45;
                    bytes[16..18].copy_from_slice(&len.to_be_bytes());
                    bytes[20..22].copy_from_slice(&[0, 0]);
                    bytes[23] = [1, 6, 17][usize::from(protocol % 3)];
                    bytes[26..30].copy_from_slice(&CLIENT);
                    bytes[30..34].copy_from_slice(&SERVER);
                    bytes[37] = if kind == 1 { 7 } else { 68 };
                    bytes[36] = 0;
                    Ipv4Packet::new_unchecked(&mut bytes[14..]).fill_checksum();
                }
            }
            now += Duration::from_millis(u64::from(protocol));
            server.receive(now, &bytes);
        }
        server.due(now + MINUTE);
        assert_empty(&server);
    }

    /// Sound segments in any order never panic, and everything ends.
    #[test]
    fn any_order_of_segments_ends(
        steps in proptest::collection::vec((0u8..5, 0u32..6, 0u32..6, 0u16..3), 1..80),
    ) {
        let mut server = acquainted(2, 2);
        let mut now = Instant::ZERO;
        let mut isn = 0;
        for (control, seq, ack, port) in steps {
            let control = match control {
                0 => TcpControl::Syn,
                1 => TcpControl::Fin,
                2 => TcpControl::Rst,
                _ => TcpControl::None,
            };
            let ack = (control != TcpControl::Syn).then_some(isn + ack);
            now += Duration::from_millis(20);
            server.receive(now, &segment(CLIENT, 9000 + port, control, 100 + seq, ack));
            for f in std::mem::take(&mut server.sent.frames) {
                if f[12..14] == [8, 0] && f[47] & 2 != 0 {
                    isn = u32::from_be_bytes([f[38], f[39], f[40], f[41]]);
                }
            }
        }
        for e in server.endpoints.iter_mut().flatten() {
            e.close(now);
        }
        server.flush(now);
        // The applications have left: within the linger time all is gone.
        for i in 1..30 {
            server.due(now + Duration::from_secs(i));
        }
        assert_empty(&server);
    }
}
