//! Event streams: whoever reads gets whole snapshots in order, whoever does not misses some, and nobody
//! leaves a stream behind, nor work for show.

use kernel::thread::ThreadCx;
use machine::Duration;
use sim::Scenario;
use sim::net::{Client, Peer, STATIC, Stream};

use super::browser::{Browser, greet};
use super::{serve, sound};

/// A stream's reader.
struct Events<'s, 'c, 'y> {
    stream: &'s Stream<'c, 'y>,
    buffer: String,
    /// Of the last snapshot.
    sequence: u64,
    skipped: u64,
}

impl<'s, 'c, 'y> Events<'s, 'c, 'y> {
    fn open(stream: &'s Stream<'c, 'y>, hz: u32) -> Self {
        let request = format!("GET /api/v1/events?hz={hz} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.send(request.as_bytes()).expect("a live connection");
        let mut events = Self {
            stream,
            buffer: String::new(),
            sequence: 0,
            skipped: 0,
        };
        let head = events.until("\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(events.until("\n\n").starts_with("retry: "));
        events
    }

    fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.buffer.find(end) {
                let rest = self.buffer.split_off(at + end.len());
                let mut block = std::mem::replace(&mut self.buffer, rest);
                block.truncate(at);
                return block;
            }
            let bytes = self.stream.recv(4096).expect("a live stream");
            assert!(!bytes.is_empty(), "a stream has no end");
            self.buffer += &String::from_utf8(bytes).expect("text");
        }
    }

    /// The next snapshot: whole, and the one that comes next.
    fn next(&mut self) {
        let block = self.until("\n\n");
        let (id, data) = block.split_once("\ndata: ").expect("id and data");
        self.sequence += 1;
        assert_eq!(id, format!("id: {}", self.sequence));
        let begin = format!("{{\"sequence\":{},\"skipped\":", self.sequence);
        let rest = data.strip_prefix(&begin).expect("its number");
        let skipped = rest.split(',').next().and_then(|n| n.parse().ok());
        let skipped = skipped.expect("how many were left out");
        assert!(self.skipped <= skipped, "{skipped} after {}", self.skipped);
        self.skipped = skipped;
        assert!(data.ends_with('}') && !data.contains('\n'), "one document");
    }
}

/// Reads some, and leaves in one way or another.
fn reader(client: &Client<'_>) {
    let rng = client.rng();
    let stream = client.connect(80);
    let mut events = Events::open(&stream, 20);
    for _ in 0..1 + rng.below(6) {
        events.next();
    }
    match rng.below(4) {
        0 => {
            stream.finish();
            // What was on its way still comes.
            assert!(
                stream.recv_to_end().is_ok(),
                "the service ends its side too"
            );
        }
        1 => stream.reset(),
        2 => stream.vanish(),
        _ => {}
    }
}

/// Does not read for a while: what it gets then is in order all the same.
fn dreamer(client: &Client<'_>) {
    let stream = client.connect_with(80, 2048).expect("accepted");
    let mut events = Events::open(&stream, 20);
    events.next();
    client.sleep(Duration::from_secs(5));
    // A hundred were due, and the connection's buffers hold less than thirty.
    for _ in 0..30 {
        if events.skipped <= 50 {
            events.next();
        }
    }
    assert!(events.skipped > 50, "{} were left out", events.skipped);
    stream.reset();
}

/// Orders work for show and does not wait for it, so that the service stops while it is on its way.
fn showman(client: &Client<'_>) {
    let stream = client.connect(80);
    let mut browser = Browser::new(&stream);
    for (order, status) in [
        ("sleepers?n=5&ms=2000", 200),
        ("sleepers?n=65", 400),
        ("blocker?n=4&ms=8000", 200),
        ("burst?n=6&ms=1&queue=bh", 200),
    ] {
        let request =
            format!("POST /api/v1/demo/{order} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        stream.send(request.as_bytes()).expect("a live connection");
        assert_eq!(
            browser.reply(false).expect("a reply").status,
            status,
            "{order}"
        );
    }
}

/// Streams of every kind beside a client that wants something else.
fn clients(peer: &mut Peer) {
    peer.clients(3, "reader", reader);
    peer.client("dreamer", dreamer);
    peer.client("showman", showman);
    peer.client("steady", |client| {
        for _ in 0..5 {
            greet(client, 1);
            client.sleep(Duration::from_millis(500));
        }
    });
}

fn all_end(cx: &ThreadCx<'_>) {
    serve(cx);
}

/// An item per event.
pub(super) const EVENTS: Scenario = sound("net-events", all_end, clients)
    .about("event streams are whole, leave out what a client does not read, and end with it")
    .bootargs(STATIC);

/// A thread per connection.
pub(super) const THREADS: Scenario = sound("net-events-threads", all_end, clients)
    .about("event streams are the same with a thread per connection")
    .bootargs("ip=10.0.2.15/24,10.0.2.2 http.mode=thread");
