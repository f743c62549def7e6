//! TIME-WAIT records.

use super::*;

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
