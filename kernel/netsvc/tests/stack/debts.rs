//! Peers that hold on: a shut window, a trickle, a pulled plug.

use smoltcp::iface::SocketHandle;

use super::*;

/// Opens a connection whose client sends until nothing fits any more and reads nothing.
fn stuffed(world: &mut World, port: u16) -> SocketHandle {
    let h = world.connect(port);
    let stuck = world.until(MINUTE, |w| {
        let s = w.socket(h);
        while s.can_send() {
            s.send_slice(&[7; 512]).unwrap();
        }
        // The client's two buffers and the server's two.
        s.recv_queue() == 8192 && s.send_queue() == 8192
    });
    assert!(stuck, "the window never shut");
    h
}

#[test]
fn who_answers_probes_and_reads_nothing_is_given_up() {
    let mut world = World::new(21, 4, Faults::default());
    let h = stuffed(&mut world, 5000);
    let begin = world.now;
    // Others are served meanwhile.
    assert_eq!(echo(&mut world, b"hello", 5001), b"hello");
    assert!(world.until(Duration::from_secs(200), |w| !w.socket(h).is_active()));
    let seconds = (world.now - begin) / 1_000_000_000;
    assert!((50..70).contains(&seconds), "given up after {seconds} s");
    world.until(MINUTE, |w| w.server.stack.connections() == 0);
    assert_empty(&world.server);
    assert_eq!(world.server.stack.stats().tcp_timed_out, 1);
}

#[test]
fn patience_is_the_applications_choice() {
    let mut world = World::new(22, 4, Faults::default());
    let h = stuffed(&mut world, 5000);
    let endpoint = world.server.endpoints.iter_mut().flatten().next().unwrap();
    endpoint.set_patience(Duration::from_secs(3));
    let at = world.at();
    world.server.flush(at);
    assert!(world.until(Duration::from_secs(4), |w| !w.socket(h).is_active()));
}

/// Reads `bytes` of what came every ten seconds; how long the connection lived, at most ten minutes.
fn trickle(seed: u64, bytes: usize) -> u64 {
    let mut world = World::new(seed, 4, Faults::default());
    let h = stuffed(&mut world, 5000);
    let begin = world.now;
    for _ in 0..60 {
        let s = world.socket(h);
        let _ = s.recv(|b| (bytes.min(b.len()), ()));
        while s.can_send() {
            s.send_slice(&[7; 512]).unwrap();
        }
        if world.until(Duration::from_secs(10), |w| !w.socket(h).is_active()) {
            break;
        }
    }
    (world.now - begin) / 1_000_000_000
}

#[test]
fn a_trickle_of_bytes_is_no_progress_and_a_slow_reader_is_served() {
    let lived = trickle(23, 16);
    assert!((50..200).contains(&lived), "given up after {lived} s");
    assert!(trickle(24, 1024) >= 600);
}

/// Nothing is under way, so nothing but a question finds out.
#[test]
fn an_idle_peer_that_vanished_is_noticed() {
    let mut world = World::new(25, 4, Faults::default());
    let h = world.connect(6000);
    assert!(world.until(MINUTE, |w| w.server.stack.stats().tcp_established == 1));
    // Questions are asked, and answered for as long as somebody is there.
    assert!(!world.until(Duration::from_secs(3_600), |w| !w.socket(h).is_active()));
    assert_eq!(world.server.stack.connections(), 1);
    world.faults.lose = 100;
    assert!(world.until(Duration::from_secs(130), |w| {
        w.server.stack.connections() == 0
    }));
    assert_empty(&world.server);
    assert_eq!(world.server.stack.stats().tcp_timed_out, 1);
}

/// How many seconds a connection lives whose client sends nothing but `frame`, of a sequence and an
/// acknowledgment number, every twenty seconds; at most ten minutes.
fn lifetime(frame: impl Fn(u32, u32) -> Vec<u8>) -> u64 {
    let mut server = acquainted(1, 1);
    server.receive(
        Instant::ZERO,
        &segment(CLIENT, 9000, TcpControl::Syn, 100, None),
    );
    let ack = sent_segment(&mut server).1.wrapping_add(1);
    let opening = segment(CLIENT, 9000, TcpControl::None, 101, Some(ack));
    server.receive(Instant::ZERO, &opening);
    assert_eq!(server.stack.stats().tcp_established, 1);
    for second in 1..=600 {
        let now = Instant::ZERO + Duration::from_secs(second);
        server.due(now);
        if second % 20 == 0 && server.stack.connections() > 0 {
            server.receive(now, &frame(101, ack));
        }
        if server.stack.connections() == 0 {
            return second;
        }
    }
    600
}

#[test]
fn only_segments_that_are_accepted_are_signs_of_life() {
    // The timer notices, which may be late by a tick of its wheel.
    let given_up = |seconds| (120..=121).contains(&seconds);
    let plain = |seq, ack| segment(CLIENT, 9000, TcpControl::None, seq, Some(ack));
    assert_eq!(lifetime(plain), 600, "acknowledgments");
    // RFC 9293 3.8.4: a question is one byte before the window.
    assert_eq!(lifetime(|seq, ack| plain(seq - 1, ack)), 600, "questions");
    for (what, at) in [("IPv4", 14 + 10), ("TCP", 34 + 16)] {
        let damaged = |seq, ack| {
            let mut frame = plain(seq, ack);
            frame[at] ^= 0x55;
            frame
        };
        assert!(given_up(lifetime(damaged)), "a wrong {what} checksum");
    }
    assert!(given_up(lifetime(|seq, ack| plain(seq - 2, ack))), "old");
    assert!(
        given_up(lifetime(|seq, ack| plain(seq + 4096, ack))),
        "beyond"
    );
    let alone = |seq, _| segment(CLIENT, 9000, TcpControl::None, seq, None);
    assert!(given_up(lifetime(alone)), "no acknowledgment");
    let syn = |seq, _| segment(CLIENT, 9000, TcpControl::Syn, seq, None);
    assert!(given_up(lifetime(syn)), "the opening again");
}
