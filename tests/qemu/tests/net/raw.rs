//! Frames on the wire: what a client's own network stack would never send.

use std::time::{Duration, Instant};

use qemu_tests::frames::{self, ICMP, Peer, TCP, UDP};
use qemu_tests::service;
use xtask::guest::{self, Guest, Terminal};
use xtask::options::{Net, Options};

use crate::protocol::check;

/// A test with a guest of its own.
pub(crate) type Raw = fn() -> Result<(), String>;

pub(crate) const TESTS: &[(&str, Raw)] = &[
    ("arp_and_ping", arp_and_ping),
    ("wrong_checksums_are_dropped", wrong_checksums_are_dropped),
    ("malformed_frames_do_no_harm", malformed_frames_do_no_harm),
    ("fragments_do_no_harm", fragments_do_no_harm),
    ("closed_port_resets", closed_port_resets),
    (
        "sequence_numbers_are_unpredictable",
        sequence_numbers_are_unpredictable,
    ),
    ("shut_window_is_reset", shut_window_is_reset),
];

const PATIENCE: Duration = Duration::from_secs(10);
/// How long a frame that must not come is waited for.
const SILENCE: Duration = Duration::from_millis(700);
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Boots a guest with a wire to us, and runs `body`.
fn on_the_wire(body: impl FnOnce(&mut Peer) -> Result<(), String>) -> Result<(), String> {
    on_the_wire_with("", body)
}

/// As [`on_the_wire`], with more boot arguments.
fn on_the_wire_with(
    arguments: &str,
    body: impl FnOnce(&mut Peer) -> Result<(), String>,
) -> Result<(), String> {
    let image = service::image()?;
    let ports = guest::free_port(true).zip(guest::free_port(true));
    let (own, qemu) = ports.ok_or("no free UDP ports")?;
    let mut peer = Peer::new(own, qemu)?;
    let options = Options {
        smp: 2,
        net: Net::Dgram {
            local: qemu,
            peer: own,
        },
        append: format!("ip={}/24,{} {arguments}", frames::GUEST_IP, frames::OUR_IP),
        yes: true,
        ..Options::default()
    };
    let mut guest = Guest::start(&options, &image, Terminal::Captured).map_err(|f| f.message)?;
    let result = match peer.resolve(Duration::from_secs(40)) {
        Some(_) => body(&mut peer),
        None => Err("the guest answers no ARP request".to_owned()),
    };
    let ended = guest.ended().is_some();
    match result {
        Ok(()) if !ended => Ok(()),
        Ok(()) => Err(format!("the guest ended\n{}", guest.console().tail(40))),
        Err(why) => Err(format!(
            "{why}\nthe console's end:\n{}",
            guest.console().tail(40)
        )),
    }
}

fn alive(peer: &Peer) -> Result<(), String> {
    let alive = (0..3).any(|n| peer.ping(9_000 + n, b"still there?", PATIENCE / 3));
    check(alive, "the guest still answers ping")
}

fn arp_and_ping() -> Result<(), String> {
    on_the_wire(|peer| {
        for (n, length) in [0, 1, 56, 1_400].into_iter().enumerate() {
            let payload = crate::echo::noise(n as u64 + 1, length);
            let sequence = u16::try_from(n).unwrap_or(0);
            let answered = peer.ping(sequence, &payload, PATIENCE);
            check(answered, &format!("a ping of {length} bytes"))?;
        }
        Ok(())
    })
}

/// Sends a UDP datagram to the echo port; `true` when it came back.
fn udp_echoes(peer: &Peer, frame: &[u8], patience: Duration) -> bool {
    let sent = peer.send(frame).is_ok();
    let back = |frame: &[u8]| {
        frames::payload_of(frame, UDP)?
            .ends_with(b"over udp")
            .then_some(())
    };
    sent && peer.wait(patience, back).is_some()
}

fn wrong_checksums_are_dropped() -> Result<(), String> {
    on_the_wire(|peer| {
        let good = peer.ipv4(UDP, &frames::udp(5_000, 7, b"over udp"));
        check(
            udp_echoes(peer, &good, PATIENCE),
            "a right datagram is echoed",
        )?;
        for (what, at) in [("IPv4", 14 + 10), ("UDP", 14 + 20 + 6)] {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            check(
                !udp_echoes(peer, &bad, SILENCE),
                &format!("a wrong {what} checksum is dropped"),
            )?;
        }
        let mut request = frames::echo_request(77, b"bad sum");
        request[2] ^= 0x55;
        peer.send(&peer.ipv4(ICMP, &request))?;
        let answered = peer.wait(SILENCE, |f| frames::payload_of(f, ICMP).map(drop));
        check(answered.is_none(), "a wrong ICMP checksum is dropped")?;
        wrong_tcp_checksums(peer)?;
        alive(peer)
    })
}

/// A frame with a TCP segment whose checksum does not hold.
fn damaged(peer: &Peer, mut segment: Vec<u8>) -> Vec<u8> {
    segment[16] ^= 0x55;
    peer.ipv4(TCP, &segment)
}

/// Neither a SYN nor data on an open connection is answered when its checksum does not hold; the same
/// segments are when it does.
fn wrong_tcp_checksums(peer: &Peer) -> Result<(), String> {
    const PORT: u16 = 6_300;
    peer.send(&damaged(peer, frames::tcp(PORT, 80, 1_000, 0, SYN)))?;
    let answer = peer.wait(SILENCE, |frame| to_port(frame, PORT).map(drop));
    check(answer.is_none(), "a SYN with a wrong checksum is dropped")?;

    let mut talk = Talk::open(peer, PORT, 8_000)?;
    let request = qemu_tests::http::get("/hello");
    talk.be_quiet()?;
    let numbers = (talk.ours, talk.theirs);
    let segment = frames::tcp_with((PORT, 80), numbers, ACK, 8_000, request.as_bytes());
    peer.send(&damaged(peer, segment))?;
    check(
        talk.hear(SILENCE).is_none(),
        "data with a wrong checksum is dropped",
    )?;
    talk.ask(request.as_bytes())
}

fn malformed_frames_do_no_harm() -> Result<(), String> {
    on_the_wire(|peer| {
        let good = [
            peer.ipv4(UDP, &frames::udp(5_001, 7, b"over udp")),
            peer.ipv4(TCP, &frames::tcp(5_002, 80, 1, 0, SYN)),
            peer.ipv4(ICMP, &frames::echo_request(1, b"x")),
        ];
        for frame in &good {
            // Cut anywhere; QEMU takes an empty datagram for the end of the wire.
            for length in 1..frame.len() {
                peer.send(&frame[..length])?;
            }
            // Any one byte wrong, in many ways.
            for at in 12..frame.len() {
                for flip in [0x01, 0x10, 0x80, 0xff] {
                    let mut bad = frame.clone();
                    bad[at] ^= flip;
                    peer.send(&bad)?;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        for seed in 1..200 {
            let mut noise = good[0][..14].to_vec();
            noise.extend(crate::echo::noise(seed, 40));
            peer.send(&noise)?;
        }
        alive(peer)
    })
}

fn fragments_do_no_harm() -> Result<(), String> {
    on_the_wire(|peer| {
        let datagram = frames::udp(5_003, 7, &[b'f'; 1_200]);
        const MORE: u16 = 0x2000;
        // In order, out of order, doubled, overlapping, never complete, beyond 64 KiB.
        let fragment = |id, at: usize, length: usize, more| {
            let end = (at + length).min(datagram.len());
            let offset = u16::try_from(at / 8).unwrap_or(0);
            peer.ipv4_with(UDP, &datagram[at..end], id, offset | more)
        };
        for frame in [
            fragment(1, 0, 600, MORE),
            fragment(1, 600, 608, 0),
            fragment(2, 600, 608, 0),
            fragment(2, 0, 600, MORE),
            fragment(3, 0, 600, MORE),
            fragment(3, 0, 600, MORE),
            fragment(4, 0, 600, MORE),
            fragment(4, 304, 600, MORE),
            peer.ipv4_with(UDP, &datagram, 5, 0x1fff),
        ] {
            peer.send(&frame)?;
        }
        for id in 100..400 {
            peer.send(&fragment(id, 0, 600, MORE))?;
            std::thread::sleep(Duration::from_micros(200));
        }
        alive(peer)
    })
}

/// The TCP segment in a frame for this port of ours.
fn to_port(frame: &[u8], port: u16) -> Option<&[u8]> {
    let segment = frames::payload_of(frame, TCP)?;
    (segment.get(2..4)? == port.to_be_bytes()).then_some(segment)
}

/// Sends a SYN; the answer's flags and sequence number.
fn syn(peer: &Peer, from: u16, to: u16) -> Result<(u8, u32), String> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        peer.send(&peer.ipv4(TCP, &frames::tcp(from, to, 1_000, 0, SYN)))?;
        let answer = peer.wait(Duration::from_secs(1), |frame| {
            let segment = to_port(frame, from)?;
            let sequence = u32::from_be_bytes(segment.get(4..8)?.try_into().ok()?);
            Some((*segment.get(13)?, sequence))
        });
        if let Some(answer) = answer {
            return Ok(answer);
        }
    }
    Err(format!("no answer to a SYN for port {to}"))
}

fn closed_port_resets() -> Result<(), String> {
    on_the_wire(|peer| {
        let (flags, _) = syn(peer, 6_000, 4_444)?;
        check(flags & RST != 0, "a closed port answers with a reset")?;
        let (flags, _) = syn(peer, 6_001, 80)?;
        check(
            flags & (SYN | ACK) == SYN | ACK,
            "an open port answers with SYN and ACK",
        )
    })
}

/// Connections of each boot, the same ones from the guest's point of view.
const PORTS: u16 = 8;

/// The first sequence numbers of a boot.
fn initial_sequence_numbers() -> Result<Vec<u32>, String> {
    let mut seen = Vec::new();
    on_the_wire(|peer| {
        for n in 0..PORTS {
            seen.push(syn(peer, 6_100 + n, 80)?.1);
        }
        Ok(())
    })?;
    Ok(seen)
}

/// Neither a constant step from one connection to the next, nor the same numbers after another boot.
fn sequence_numbers_are_unpredictable() -> Result<(), String> {
    let (first, second) = (initial_sequence_numbers()?, initial_sequence_numbers()?);
    for seen in [&first, &second] {
        let mut steps: Vec<u32> = seen.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
        steps.sort_unstable();
        steps.dedup();
        check(
            steps.len() >= 6,
            &format!("initial sequence numbers follow a rule: {seen:?}"),
        )?;
    }
    let repeated = first.iter().filter(|n| second.contains(n)).count();
    check(
        repeated == 0,
        &format!("two boots share {repeated} numbers: {first:?}, {second:?}"),
    )
}

/// A client by hand: its port, and the next sequence numbers of both sides.
struct Talk<'a> {
    peer: &'a Peer,
    port: u16,
    ours: u32,
    theirs: u32,
}

impl<'a> Talk<'a> {
    /// Opens a connection to port 80 with a window of `window` bytes.
    fn open(peer: &'a Peer, port: u16, window: u16) -> Result<Self, String> {
        let (flags, isn) = syn(peer, port, 80)?;
        check(flags & RST == 0, "the port is open")?;
        let talk = Self {
            peer,
            port,
            ours: 1_001,
            theirs: isn.wrapping_add(1),
        };
        talk.say(window, &[])?;
        Ok(talk)
    }

    /// Sends a segment that acknowledges what was taken.
    fn say(&self, window: u16, data: &[u8]) -> Result<(), String> {
        let numbers = (self.ours, self.theirs);
        let segment = frames::tcp_with((self.port, 80), numbers, ACK, window, data);
        self.peer.send(&self.peer.ipv4(TCP, &segment))
    }

    /// The next segment's flags and data.
    fn hear(&self, patience: Duration) -> Option<(u8, Vec<u8>)> {
        self.peer.wait(patience, |frame| {
            let segment = to_port(frame, self.port)?;
            let header = usize::from(segment.get(12)? >> 4) * 4;
            Some((*segment.get(13)?, segment.get(header..)?.to_vec()))
        })
    }

    /// Takes what comes until nothing does: a handshake's answer may have been repeated.
    fn be_quiet(&self) -> Result<(), String> {
        let begin = Instant::now();
        while self.hear(SILENCE).is_some() {
            check(begin.elapsed() < PATIENCE, "an idle connection is quiet")?;
        }
        Ok(())
    }

    /// Sends a request for `/hello` and waits for the reply.
    fn ask(&mut self, request: &[u8]) -> Result<(), String> {
        self.say(8_000, request)?;
        self.ours += request.len() as u32;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            match self.hear(PATIENCE) {
                Some((_, data)) if data.ends_with(b"Hello World!") => return Ok(()),
                // The SYN's answer again, or an acknowledgment.
                Some(_) => {}
                None => break,
            }
        }
        Err(format!("the client at port {} is served", self.port))
    }
}

/// A request, as a client that is in no trouble makes it.
fn served(peer: &Peer, port: u16) -> Result<(), String> {
    Talk::open(peer, port, 8_000)?.ask(qemu_tests::http::get("/hello").as_bytes())
}

/// Asks for more than the service can send into a window that never opens, and answers every probe.
fn shut_window_is_reset() -> Result<(), String> {
    const IDLE: Duration = Duration::from_millis(3_000);
    on_the_wire_with("http.idle_ms=3000", |peer| {
        // Replies that fit into the service's buffer, and replies that do not.
        for (port, requests) in [(6_200, 1), (6_201, 40)] {
            let mut talk = Talk::open(peer, port, 0)?;
            let requests = qemu_tests::http::get("/").repeat(requests);
            talk.say(0, requests.as_bytes())?;
            talk.ours += requests.len() as u32;
            let begin = Instant::now();
            served(peer, port + 10)?;
            loop {
                let waited = begin.elapsed();
                match talk.hear(PATIENCE) {
                    Some((flags, _)) if flags & RST != 0 => {
                        let right = waited + Duration::from_secs(1) > IDLE;
                        break check(right, &format!("reset after {waited:?}"))?;
                    }
                    Some(_) => talk.say(0, &[])?,
                    None => return Err(format!("silence after {waited:?}")),
                }
                check(
                    waited < IDLE + PATIENCE,
                    &format!("a shut window is reset in {IDLE:?}, not kept for {waited:?}"),
                )?;
            }
        }
        alive(peer)
    })
}
