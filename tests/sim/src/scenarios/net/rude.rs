//! Clients that break the rules: resets, forged segments, garbage.

use core::net::Ipv4Addr;

use machine::Duration;
use sim::Scenario;
use sim::net::{Client, Flag, Forged, MAC, PEER_MAC, STATIC};

use super::browser::{Browser, greet};
use super::{serve, sound};

/// Resets at a random moment of a conversation with either service.
fn resetting(client: &Client<'_>) {
    let rng = client.rng();
    for _ in 0..6 {
        let port = if rng.one_in(2) { 7 } else { 80 };
        let stream = client.connect(port);
        let request = b"GET /demo/sleep?ms=1 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4);
        let n = rng.below(request.len() as u32) as usize;
        let _ = stream.send_some(&request[..n]);
        client.sleep(Duration::from_micros(rng.below(5_000).into()));
        if rng.one_in(3) {
            stream.finish();
            client.sleep(Duration::from_micros(rng.below(1_000).into()));
        }
        stream.reset();
    }
}

/// Resets while others talk.
pub(super) const RESETS: Scenario = sound(
    "net-resets",
    |cx| {
        serve(cx);
    },
    |peer| {
        peer.clients(4, "resetting", resetting);
        peer.clients(2, "honest", |client| greet(client, 10));
    },
)
.about("a reset at any moment ends one connection and disturbs no other")
.bootargs(STATIC);

/// Opens handshakes from addresses where nobody is, and from its own, and completes none.
fn flooding(client: &Client<'_>) {
    let rng = client.rng();
    for n in 0..60 {
        let mut segment = Forged::syn(2_000 + n, 80);
        if rng.one_in(2) {
            segment.from = Ipv4Addr::new(10, 0, 2, 100 + rng.below(100) as u8);
        }
        segment.seq = rng.next() as u32;
        client.inject(segment.frame(&[]));
        client.sleep(Duration::from_micros(rng.below(500).into()));
    }
    // Longer than a handshake may take.
    client.sleep(Duration::from_secs(8));
}

/// Sends segments that belong to nothing, with random flags and data.
fn forging(client: &Client<'_>) {
    let rng = client.rng();
    for _ in 0..60 {
        let segment = Forged {
            from: Ipv4Addr::new(10, 0, 2, 2),
            from_port: 30_000 + rng.below(4) as u16,
            port: [7, 80, 81][rng.below(3) as usize],
            flag: [Flag::None, Flag::Syn, Flag::Fin, Flag::Rst][rng.below(4) as usize],
            seq: rng.next() as u32,
            ack: rng.one_in(2).then(|| rng.next() as u32),
        };
        let mut frame = segment.frame(&client.random_bytes(rng.below(100) as usize));
        match rng.below(4) {
            // A wrong sum, a wrong length, a short frame.
            0 => frame[40] ^= 0x10,
            1 => frame[17] ^= 0x7f,
            2 => frame.truncate(rng.below(54) as usize),
            _ => {}
        }
        client.inject(frame);
        client.sleep(Duration::from_micros(rng.below(500).into()));
    }
}

/// Frames of noise, some behind a sound Ethernet header.
fn noise(client: &Client<'_>) {
    let rng = client.rng();
    for _ in 0..100 {
        let mut frame = client.random_bytes(1 + rng.below(1_513) as usize);
        if frame.len() > 34 && !rng.one_in(4) {
            frame[..6].copy_from_slice(&MAC);
            frame[6..12].copy_from_slice(&PEER_MAC);
            let kind: [u8; 2] = [[8, 0], [8, 6], [0x86, 0xdd]][rng.below(3) as usize];
            frame[12..14].copy_from_slice(&kind);
            if rng.one_in(2) {
                frame[14] = 0x45;
            }
        }
        client.inject(frame);
        client.sleep(Duration::from_micros(rng.below(300).into()));
    }
}

/// Speaks something that is not HTTP.
fn mumbling(client: &Client<'_>) {
    let stream = client.connect(80);
    let mut noise = client.random_bytes(12_000);
    // No line ends, so that one answer is right: the head never ends.
    noise.retain(|b| !b"\r\n".contains(b));
    let _ = stream.send(&noise);
    let mut browser = Browser::new(&stream);
    match browser.reply(false) {
        Ok(reply) => assert!([400, 414, 431].contains(&reply.status), "{reply:?}"),
        // What was sent after the answer earns a reset, which may overtake the answer.
        Err(_) => assert_eq!(stream.recv(1), Err(sim::net::Gone)),
    }
}

/// Lies of all kinds.
pub(super) const LIES: Scenario = sound(
    "net-lies",
    |cx| {
        let stats = serve(cx).stack;
        assert!(stats.tcp_syn_expired > 0, "forged handshakes expire");
        assert!(stats.rx_dropped > 0 && stats.tcp_stray > 0, "{stats:?}");
    },
    |peer| {
        peer.client("flooding", flooding);
        peer.client("forging", forging);
        peer.client("noise", noise);
        peer.clients(2, "mumbling", mumbling);
        peer.clients(2, "honest", |client| {
            for _ in 0..5 {
                greet(client, 3);
            }
        });
    },
)
.about("forged segments, floods and noise cost time, and no honest client an answer")
.bootargs(STATIC);
