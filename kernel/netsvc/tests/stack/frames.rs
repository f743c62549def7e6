//! Single frames: ARP, ping, UDP, damage, strays, floods.

use super::*;

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
