//! Devices that compute checksums, cut segments and join them.

use super::*;

const CHECKSUMS: Offers = Offers {
    checksums: true,
    cuts: 0,
};
const ALL: Offers = Offers {
    checksums: true,
    cuts: 24_000,
};

/// A segment of a client with a large window.
fn from_client(seq: i32, ack: Option<i32>, mss: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let control = match ack {
        Some(_) => TcpControl::None,
        None => TcpControl::Syn,
    };
    let tcp = TcpRepr {
        src_port: 9000,
        dst_port: 7,
        control,
        seq_number: TcpSeqNumber(seq),
        ack_number: ack.map(TcpSeqNumber),
        window_len: 60_000,
        window_scale: None,
        max_seg_size: mss,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    tcp_frame(CLIENT, &tcp)
}

#[test]
fn segments_larger_than_the_wire_are_sent_whole_and_arrive() {
    for offers in [CHECKSUMS, ALL] {
        let mut world = World::with(7, 4, Faults::default(), offers);
        let bytes = random_bytes(100_000);
        assert!(echo(&mut world, &bytes, 4000) == bytes);
        let large = world.server.sent.largest > 4000;
        assert_eq!(large, offers.cuts > 0, "{}", world.server.sent.largest);
        assert_eq!(world.joined > 0, offers.cuts > 0);
        world.until(MINUTE, |w| w.server.stack.connections() == 0);
        assert_empty(&world.server);
    }
}

#[test]
fn our_syn_says_what_the_wire_carries_and_pieces_are_what_the_peer_takes() {
    for (said, mss) in [(Some(1460), 1460), (Some(700), 700), (None, 536)] {
        let mut server = acquainted_with(1, 1, ALL);
        server.receive(Instant::ZERO, &from_client(100, None, said, &[]));
        let answer = server.sent.frames.pop().unwrap();
        let ip = Ipv4Packet::new_checked(&answer[14..]).unwrap();
        let tcp = TcpPacket::new_checked(ip.payload()).unwrap();
        assert!(tcp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()));
        let options = TcpRepr::parse(
            &tcp,
            &ip.src_addr().into(),
            &ip.dst_addr().into(),
            &ChecksumCapabilities::default(),
        )
        .unwrap();
        assert_eq!(options.max_seg_size, Some(1460));
        let ack = Some(options.seq_number.0.wrapping_add(1));
        for (seq, byte) in [(101, b'x'), (1501, b'y')] {
            let bytes = from_client(seq, ack, None, &[byte; 1400]);
            server.receive(Instant::ZERO, &bytes);
        }
        server.flush(Instant::ZERO);
        let sizes: Vec<_> = server.sent.frames.iter().map(|f| f.len() - 54).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 2800, "{sizes:?}");
        assert!(sizes.iter().all(|&s| s <= mss), "{sizes:?}");
    }
}

#[test]
fn a_stream_survives_a_bad_wire() {
    let faults = Faults {
        lose: 5,
        repeat: 5,
        delay: 20,
        damage: 3,
    };
    for seed in 1..60 {
        let mut world = World::with(seed, 4, faults, ALL);
        let bytes = random_bytes(seed as usize * 700);
        assert!(echo(&mut world, &bytes, 4000) == bytes, "seed {seed}");
    }
}
