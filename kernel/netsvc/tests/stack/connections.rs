//! Whole connections: transfers, churn, limits, peers that vanish.

use super::*;

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

/// Who has nothing to say for hours has done no wrong: the end of the stream is no reset.
#[test]
fn a_silent_peer_owes_nothing_before_it_is_sent_something() {
    let mut world = World::new(11, 4, Faults::default());
    let h = world.connect(6000);
    assert!(world.until(MINUTE, |w| w.server.stack.stats().tcp_established == 1));
    world.until(Duration::from_secs(7_200), |_| false);
    let endpoint = world.server.endpoints.iter_mut().flatten().next().unwrap();
    assert_eq!(endpoint.send(b"late"), Ok(4));
    endpoint.close(Instant::from_nanos(world.now));
    let at = world.at();
    world.server.flush(at);
    assert!(world.until(MINUTE, |w| w.socket(h).state() == State::CloseWait));
    let mut bytes = [0; 8];
    assert_eq!(world.socket(h).recv_slice(&mut bytes), Ok(4));
    assert_eq!(world.server.stack.stats().tcp_timed_out, 0);
}

/// `frame` as another station would send it.
fn from_station(station: [u8; 6], mut frame: Vec<u8>) -> Vec<u8> {
    frame[6..12].copy_from_slice(&station);
    frame
}

/// The station that the only frame sent goes to.
fn sent_to(server: &mut Server) -> [u8; 6] {
    let frames = std::mem::take(&mut server.sent.frames);
    assert_eq!(frames.len(), 1, "{frames:?}");
    assert_eq!(frames[0][6..14], [2, 0, 0, 0, 0, 1, 8, 0], "from us, IPv4");
    frames[0][..6].try_into().unwrap()
}

#[test]
fn an_answer_goes_to_where_the_segment_came_from() {
    // Nobody was asked who has the client's address.
    let mut server = Server::new(4, 4);
    let syn = segment(CLIENT, 9000, TcpControl::Syn, 1, None);
    let group = [1, 0, 0x5e, 0, 0, 1];
    server.receive(Instant::ZERO, &from_station(group, syn.clone()));
    assert!(server.sent.frames.is_empty(), "no station has that address");
    server.receive(Instant::ZERO, &syn);
    let next = sent_segment(&mut server).1.wrapping_add(1);
    let opening = segment(CLIENT, 9000, TcpControl::None, 2, Some(next));
    server.receive(Instant::ZERO, &opening);
    let data = |seq| data_segment(CLIENT, 9000, TcpControl::Psh, seq, Some(next), b"x");
    server.receive(Instant::ZERO, &data(2));
    assert_eq!(sent_to(&mut server), CLIENT_MAC);
    // Another router took over.
    let other = [2, 0, 0, 0, 0, 9];
    server.receive(Instant::ZERO, &from_station(other, data(3)));
    assert_eq!(sent_to(&mut server), other);
    // A segment that is not accepted moves nothing.
    let forged = from_station([2, 0, 0, 0, 0, 0x66], data(90_000));
    server.receive(Instant::ZERO, &forged);
    server.sent.frames.clear();
    let again = Instant::ZERO + Duration::from_secs(3);
    server.due(again);
    assert_eq!(sent_to(&mut server), other, "the echo, repeated");
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

/// The last segment came before the one in front of it, whose repetition filled the hole without the
/// end of the stream; then the last comes again.
#[test]
fn an_end_that_comes_with_known_data_is_taken() {
    let mut server = acquainted(4, 4);
    let t = Instant::ZERO;
    server.receive(t, &segment(CLIENT, 9000, TcpControl::Syn, 100, None));
    let (_, isn, _) = sent_segment(&mut server);
    let mut send = |control, seq, data: &[u8]| {
        let frame = data_segment(CLIENT, 9000, control, seq, Some(isn + 1), data);
        // Damage that no checksum lets through must end nothing.
        let mut bad = frame.clone();
        *bad.last_mut().unwrap() ^= 1;
        server.receive(t, &bad);
        server.receive(t, &frame);
        let ends = server
            .endpoints
            .iter()
            .flatten()
            .map(netsvc::Endpoint::is_orphan);
        (
            ends.collect::<Vec<_>>(),
            core::mem::take(&mut server.sent.frames),
        )
    };
    let open = vec![false];
    assert_eq!(send(TcpControl::None, 101, &[]).0, open);
    assert_eq!(
        send(TcpControl::Fin, 106, b"world").0,
        open,
        "data are missing"
    );
    assert_eq!(send(TcpControl::None, 101, b"hello").0, open);
    let (ended, sent) = send(TcpControl::Fin, 106, b"world");
    assert_eq!(ended, [true], "the end of the stream was dropped");
    let ip = Ipv4Packet::new_checked(&sent.last().unwrap()[14..]).unwrap();
    let tcp = TcpPacket::new_checked(ip.payload()).unwrap();
    assert_eq!((tcp.ack_number().0, tcp.fin()), (112, true));
}

/// Three acknowledgments of one number would make the sender repeat what is under way: one to a segment.
#[test]
fn an_end_behind_missing_data_is_acknowledged_once() {
    let mut server = acquainted(4, 4);
    let t = Instant::ZERO;
    server.receive(t, &segment(CLIENT, 9000, TcpControl::Syn, 100, None));
    let (_, isn, _) = sent_segment(&mut server);
    let mut send = |control, seq, data: &[u8]| {
        let frame = data_segment(CLIENT, 9000, control, seq, Some(isn + 1), data);
        server.receive(t, &frame);
        core::mem::take(&mut server.sent.frames).len()
    };
    assert_eq!(send(TcpControl::None, 101, b""), 0);
    // It fills the window of 4,096 bytes to its end, and all in front of it is missing.
    assert_eq!(send(TcpControl::Fin, 101 + 4096 - 5, b"there"), 1);
}
