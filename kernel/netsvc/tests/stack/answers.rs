//! When what arrived is acknowledged: with the application's answer, or without it after a while.

use super::*;

/// A connection whose application reads nothing; the number after its SYN's, and the server.
fn silent() -> (u32, Server) {
    let mut server = acquainted(1, 1);
    server.silent = true;
    let syn = segment(CLIENT, 9000, TcpControl::Syn, 100, None);
    server.receive(Instant::ZERO, &syn);
    let ack = sent_segment(&mut server).1.wrapping_add(1);
    let opening = segment(CLIENT, 9000, TcpControl::None, 101, Some(ack));
    server.receive(Instant::ZERO, &opening);
    assert!(server.sent.frames.is_empty());
    (ack, server)
}

fn at_ms(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn data(seq: u32, ack: u32, len: usize) -> Vec<u8> {
    let bytes = vec![b'x'; len];
    data_segment(CLIENT, 9000, TcpControl::None, seq, Some(ack), &bytes)
}

#[test]
fn an_answer_carries_the_acknowledgment() {
    let (ack, mut server) = silent();
    server.silent = false;
    server.receive(at_ms(1), &data(101, ack, 64));
    assert_eq!(
        sent_segment(&mut server),
        (TcpControl::Psh, ack, Some(165)),
        "more than the answer, or less"
    );
}

#[test]
fn without_an_answer_it_comes_after_a_while_however_much_trickles_in() {
    let (ack, mut server) = silent();
    let mut acknowledged = Vec::new();
    for ms in 1..=60 {
        server.due(at_ms(ms));
        for _ in server.sent.frames.drain(..) {
            acknowledged.push(ms);
        }
        if ms <= 40 && ms % 4 == 1 {
            server.receive(at_ms(ms), &data(101 + ms as u32 / 4 * 8, ack, 8));
        }
    }
    assert!(
        (3..=5).contains(&acknowledged.len()) && (11..=16).contains(&acknowledged[0]),
        "{acknowledged:?}"
    );
}

#[test]
fn out_of_order_it_comes_at_once() {
    let (ack, mut server) = silent();
    server.receive(at_ms(1), &data(201, ack, 100));
    assert_eq!(sent_segment(&mut server).2, Some(101));
}

/// A lost answer is sent again, though smoltcp was not asked when.
#[test]
fn an_answer_that_was_lost_is_repeated() {
    let (ack, mut server) = silent();
    server.silent = false;
    server.receive(at_ms(1), &data(101, ack, 64));
    let first = std::mem::take(&mut server.sent.frames);
    assert_eq!(first.len(), 1);
    let mut repeated = None;
    for ms in 2..5_000 {
        server.due(at_ms(ms));
        if repeated.is_none() && !server.sent.frames.is_empty() {
            repeated = Some(ms);
            assert_eq!(server.sent.frames[0][34..], first[0][34..]);
        }
    }
    assert!(repeated.is_some_and(|ms| ms < 2_000), "{repeated:?}");
}
