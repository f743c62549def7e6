//! Clients that take their time: hours of virtual time cost what happens in them.

use machine::{Duration, Instant};
use sim::Scenario;
use sim::net::{Client, STATIC};

use super::browser::{Browser, greet};
use super::{serve, sound};

const SECOND: Duration = Duration::from_secs(1);

/// What a reply may be on its way for, past a core that may stand still.
const LATE: Duration = Duration::from_millis(100);

/// Checks that `limit` seconds have passed since `start`, and less than five more: a client that looks
/// once a second, over a wire, at a core that may stand still, sees the end that late. The service
/// counts from the moment it replied, which a client learns of some time after.
fn expect_passed(client: &Client<'_>, start: Instant, limit: u64) {
    let took = client.now().since(start);
    let least = limit * SECOND.as_nanos() - LATE.as_nanos();
    let most = (limit + 5) * SECOND.as_nanos();
    assert!(
        (least..most).contains(&took.as_nanos()),
        "closed after {took:?} instead of {limit} s"
    );
}

/// Never says a word.
fn silent(client: &Client<'_>) {
    let start = client.now();
    let stream = client.connect(80);
    Browser::new(&stream).expect_end();
    expect_passed(client, start, 60);
}

/// Asks once, and never again.
fn idle(client: &Client<'_>) {
    let stream = client.connect(80);
    let mut browser = Browser::new(&stream);
    let reply = browser.get("/hello").expect("a reply");
    reply.expect_hello();
    let start = client.now();
    browser.expect_end();
    expect_passed(client, start, 60);
}

/// Sends a head a byte a second, as if it had all day.
fn dripping_head(client: &Client<'_>) {
    let stream = client.connect(80);
    let start = client.now();
    for byte in b"GET /hello HTTP/1.1\r\nHost" {
        if stream.send(&[*byte]).is_err() || stream.waiting() > 0 {
            break;
        }
        client.sleep(SECOND);
    }
    let mut browser = Browser::new(&stream);
    let reply = browser.reply(false).expect("a reply");
    assert_eq!(reply.status, 408);
    assert_eq!(reply.header("connection"), Some("close"));
    expect_passed(client, start, 10);
}

/// Sends a body in pieces, and its last one just in time.
fn slow_body(client: &Client<'_>) {
    let stream = client.connect(80);
    let head = b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n";
    stream.send(head).expect("a live connection");
    for byte in b"patience" {
        client.sleep(Duration::from_secs(7));
        stream.send(&[*byte]).expect("a live connection");
    }
    let mut browser = Browser::new(&stream);
    assert_eq!(browser.reply(false).expect("a reply").status, 405);
    browser.get("/hello").expect("a reply").expect_hello();
}

/// Sends a body a byte every two seconds, as if it had all day.
fn dripping_body(client: &Client<'_>) {
    let stream = client.connect(80);
    let head = b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
    stream.send(head).expect("a live connection");
    let start = client.now();
    while stream.waiting() == 0 && stream.send(b"x").is_ok() {
        client.sleep(Duration::from_secs(2));
    }
    let mut browser = Browser::new(&stream);
    assert_eq!(browser.reply(false).expect("a reply").status, 408);
    expect_passed(client, start, 60);
}

/// Sends half an empty line, and later the other half, and never a request.
fn empty_lines(client: &Client<'_>) {
    let stream = client.connect(80);
    let start = client.now();
    for byte in b"\r\n".iter().cycle() {
        if stream.send(&[*byte]).is_err() || stream.waiting() > 0 {
            break;
        }
        client.sleep(Duration::from_secs(3));
        // A minute, and what the end of the stream may take to be taken notice of.
        assert!(client.now().since(start) < Duration::from_secs(90));
    }
}

/// Stops in the middle of a body.
fn unfinished_body(client: &Client<'_>) {
    let stream = client.connect(80);
    let head = b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf";
    stream.send(head).expect("a live connection");
    let start = client.now();
    let mut browser = Browser::new(&stream);
    // The reply may stand before or after the rest of the body; the connection ends with the body.
    while browser.reply(false).is_ok() {}
    expect_passed(client, start, 60);
}

/// Reads a long reply a few bytes at a time through a narrow window.
fn slow_reader(client: &Client<'_>) {
    let stream = client.connect_with(80, 128).expect("accepted");
    let requests = b"GET /api/v1/params HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    stream.send(&requests).expect("a live connection");
    stream.finish();
    let mut all = Vec::new();
    loop {
        let piece = stream.recv(100).expect("a live connection");
        if piece.is_empty() {
            break;
        }
        all.extend(piece);
        client.sleep(Duration::from_millis(5));
    }
    let text = String::from_utf8(all).expect("text");
    let pages: Vec<&str> = text.split("HTTP/1.1 200 OK\r\n").collect();
    assert_eq!((pages.len(), pages[0]), (4, ""));
    assert!(
        pages[1] == pages[2] && pages[2] == pages[3],
        "three equal replies"
    );
}

/// Asks, and never reads, and answers every question whether it is there.
fn deaf(client: &Client<'_>) {
    let stream = client.connect_with(80, 64).expect("accepted");
    let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20);
    let start = client.now();
    // The service stops reading when it cannot write.
    let _ = stream.send_some(&requests);
    while stream.send_some(&[]).is_ok() {
        client.sleep(SECOND);
    }
    // It need not believe the first reset while its window is shut.
    let took = client.now().since(start);
    let right = (60..75).contains(&(took.as_millis() / 1_000));
    assert!(right, "reset after {took:?} instead of 60 s");
}

/// Pulls the plug in the middle of a reply.
fn vanishing(client: &Client<'_>) {
    let stream = client.connect(80);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.send(request).expect("a live connection");
    client.sleep(Duration::from_micros(client.rng().below(300).into()));
    stream.vanish();
}

/// All of them at once, and one who is in no trouble.
pub(super) const SLOW: Scenario = sound(
    "net-slow",
    |cx| {
        let stats = serve(cx).stack;
        // A small ring may have dropped the vanished clients' last words, the handshake's end.
        let given_up = stats.tcp_timed_out + stats.tcp_syn_expired;
        assert!(given_up >= 3, "{given_up} of three were given up");
    },
    |peer| {
        peer.client("silent", silent);
        peer.client("idle", idle);
        peer.client("dripping head", dripping_head);
        peer.client("slow body", slow_body);
        peer.client("dripping body", dripping_body);
        peer.client("empty lines", empty_lines);
        peer.client("unfinished body", unfinished_body);
        peer.client("slow reader", slow_reader);
        peer.client("deaf", deaf);
        peer.clients(2, "vanishing", vanishing);
        peer.client("steady", |client| {
            for _ in 0..20 {
                greet(client, 1);
                client.sleep(Duration::from_secs(3));
            }
        });
    },
)
.about("who stalls is told 408, closed or given up in time, and nobody else notices")
.bootargs(STATIC);
