//! The request machine: statuses, framing, and that splits do not matter.

#![expect(clippy::unwrap_used, reason = "a test panics when its harness fails")]

use netsvc::http::{Awaits, BODY_LIMIT, Event, HEAD_LIMIT, Machine, Status, TARGET_LIMIT};
use proptest::prelude::*;

/// An event that owns its text.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Continue,
    Request {
        method: String,
        path: String,
        query: String,
        keep_alive: bool,
    },
    Error(Status),
}

/// Feeds `bytes` in pieces of the given sizes (repeated) and collects the events.
fn run(bytes: &[u8], sizes: &[usize]) -> Vec<Seen> {
    let mut machine = Machine::new().unwrap();
    let mut seen = Vec::new();
    let mut at = 0;
    let mut sizes = sizes.iter().copied().cycle();
    loop {
        let event = match machine.poll() {
            Event::NeedMore(_) => {
                if at == bytes.len() {
                    return seen;
                }
                let space = machine.space();
                assert!(!space.is_empty(), "no space after NeedMore");
                let n = sizes
                    .next()
                    .unwrap_or(1)
                    .max(1)
                    .min(bytes.len() - at)
                    .min(space.len());
                space[..n].copy_from_slice(&bytes[at..at + n]);
                at += n;
                machine.filled(n);
                continue;
            }
            Event::Continue => Seen::Continue,
            Event::Request(head, path, query) => Seen::Request {
                method: format!("{:?}", head.method),
                path: String::from_utf8(path.to_owned()).unwrap(),
                query: query.to_owned(),
                keep_alive: head.keep_alive,
            },
            Event::Error(status) => {
                seen.push(Seen::Error(status));
                return seen;
            }
        };
        seen.push(event);
    }
}

fn all(bytes: &[u8]) -> Vec<Seen> {
    run(bytes, &[usize::MAX])
}

fn get(path: &str, query: &str) -> Seen {
    Seen::Request {
        method: "Get".into(),
        path: path.into(),
        query: query.into(),
        keep_alive: true,
    }
}

fn error(text: &str) -> Status {
    match all(text.as_bytes()).pop() {
        Some(Seen::Error(status)) => status,
        other => panic!("{text:?} gave {other:?}"),
    }
}

#[test]
fn pipelined_requests_come_out_one_by_one() {
    let text = b"GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\nGET http://h/b HTTP/1.1\r\nHost: h\r\n\r\n\r\nHEAD / HTTP/1.0\r\n\r\n";
    let head = Seen::Request {
        method: "Head".into(),
        path: "/".into(),
        query: String::new(),
        keep_alive: false,
    };
    assert_eq!(all(text), [get("/a", "x=1"), get("/b", ""), head]);
}

#[test]
fn bodies_are_skipped_to_the_byte() {
    let text = b"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /GET /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nGET /\r\n0\r\nT: v\r\n\r\nGET /c HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(all(text), [get("/a", ""), get("/b", ""), get("/c", "")]);
}

#[test]
fn connection_persistence_follows_version_and_field() {
    let keeps = |text: &str| match all(text.as_bytes()).pop() {
        Some(Seen::Request { keep_alive, .. }) => keep_alive,
        other => panic!("{other:?}"),
    };
    assert!(keeps("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert!(!keeps(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n"
    ));
    assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
    assert!(keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
}

#[test]
fn a_client_that_waits_is_told_to_continue() {
    let head = "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(all(head.as_bytes()), [Seen::Continue]);
    assert!(matches!(
        all(format!("{head}x").as_bytes())[..],
        [Seen::Request { .. }]
    ));
}

#[test]
fn each_error_has_its_status() {
    let host = "Host: h\r\n\r\n";
    for (text, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), Status::BadRequest),
        (
            format!("GET / HTTP/1.1\r\nHost: h\r\n{host}"),
            Status::BadRequest,
        ),
        ("GET / HTTP/1.1\nHost: h\n\n".to_owned(), Status::BadRequest),
        (
            format!("GET / HTTP/1.1\r\nA: b\r\n c\r\n{host}"),
            Status::BadRequest,
        ),
        (
            format!("GET / HTTP/1.1\r\nA : b\r\n{host}"),
            Status::BadRequest,
        ),
        (format!("GET /\r\n{host}"), Status::BadRequest),
        (format!("\u{1}GET / HTTP/1.1\r\n{host}"), Status::BadRequest),
        (
            format!("GET relative HTTP/1.1\r\n{host}"),
            Status::BadRequest,
        ),
        (
            format!("GET / HTTP/2.0\r\n{host}"),
            Status::VersionNotSupported,
        ),
        (format!("BREW / HTTP/1.1\r\n{host}"), Status::NotImplemented),
        (
            format!("GET /{} HTTP/1.1\r\n{host}", "a".repeat(TARGET_LIMIT)),
            Status::UriTooLong,
        ),
        (
            format!("GET /{}", "a".repeat(TARGET_LIMIT + 100)),
            Status::UriTooLong,
        ),
        (
            format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(HEAD_LIMIT)),
            Status::HeaderFieldsTooLarge,
        ),
        (
            format!("GET / HTTP/1.1\r\n{}{host}", "A: b\r\n".repeat(70)),
            Status::HeaderFieldsTooLarge,
        ),
        (
            format!(
                "PUT / HTTP/1.1\r\nContent-Length: {}\r\n{host}",
                BODY_LIMIT + 1
            ),
            Status::ContentTooLarge,
        ),
        (
            format!("PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n{host}"),
            Status::ContentTooLarge,
        ),
        (
            format!("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{host}100001\r\n"),
            Status::ContentTooLarge,
        ),
        (
            format!("PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n{host}"),
            Status::NotImplemented,
        ),
    ] {
        assert_eq!(error(&text), status, "{text:?}");
    }
}

/// Requests on whose end two servers might disagree.
#[test]
fn smuggling_is_refused() {
    let both = "POST / HTTP/1.1\r\nHost: h\r\n";
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        "Content-Length: 4, 4\r\n\r\nabcd",
        "Content-Length: +4\r\n\r\nabcd",
        "Content-Length: 0x4\r\n\r\nabcd",
        "Content-Length:\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\r\nab0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n000000001\r\na\r\n0\r\n\r\n",
    ] {
        assert_eq!(
            error(&format!("{both}{fields}")),
            Status::BadRequest,
            "{fields:?}"
        );
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(error(old), Status::BadRequest);
}

#[test]
fn says_what_it_awaits_at_every_byte() {
    let head = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
    let text = format!("{head}abc");
    let mut m = Machine::new().unwrap();
    for (n, byte) in text.bytes().enumerate() {
        let expected = match n {
            0 => Awaits::Request,
            n if n < head.len() => Awaits::Head,
            _ => Awaits::Body,
        };
        assert_eq!(m.poll(), Event::NeedMore(expected), "before byte {n}");
        assert_eq!(m.awaits(), expected, "before byte {n}");
        m.space()[0] = byte;
        m.filled(1);
    }
    assert!(matches!(m.poll(), Event::Request(..)));
    assert_eq!(m.awaits(), Awaits::Request);
    m.space()[0] = b'G';
    m.filled(1);
    assert_eq!(m.awaits(), Awaits::Head, "a pipelined request has begun");
}

/// One well-formed request.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        Just((String::new(), String::new())),
        "[a-z]{0,600}".prop_map(|b| (format!("Content-Length: {}\r\n", b.len()), b)),
        proptest::collection::vec("[a-z\r\n]{1,40}", 0..6).prop_map(|chunks| {
            let mut b: String = chunks
                .iter()
                .map(|c| format!("{:x}\r\n{c}\r\n", c.len()))
                .collect();
            b.push_str("0\r\n\r\n");
            ("Transfer-Encoding: chunked\r\n".to_owned(), b)
        }),
    ];
    (
        prop_oneof!["GET", "HEAD", "POST"],
        "/[a-z/]{0,40}",
        "[A-Za-z]{1,8}: [ -~]{0,300}",
        body,
    )
        .prop_filter("own fields only", |(_, _, f, _)| {
            let name = f.split(':').next().unwrap_or_default().to_ascii_lowercase();
            !["host", "expect"].contains(&name.as_str())
        })
        .prop_map(|(method, path, field, (framing, body))| {
            format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{field}\r\n{framing}\r\n{body}")
                .into_bytes()
        })
}

proptest! {
    /// Any split of any stream of requests gives the same events, one per request.
    #[test]
    fn splits_do_not_matter(
        requests in proptest::collection::vec(request(), 1..8),
        sizes in proptest::collection::vec(1usize..200, 1..10),
    ) {
        let stream = requests.concat();
        let whole = all(&stream);
        prop_assert_eq!(whole.len(), requests.len(), "{:?}", whole);
        let only_requests = whole.iter().all(|s| matches!(s, Seen::Request { .. }));
        prop_assert!(only_requests, "{:?}", whole);
        prop_assert_eq!(&whole, &run(&stream, &sizes));
        prop_assert_eq!(&whole, &run(&stream, &[1]));
    }

    /// Arbitrary bytes never panic, and are judged alike however they are split.
    #[test]
    fn garbage_is_judged_alike(
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        sizes in proptest::collection::vec(1usize..500, 1..6),
    ) {
        prop_assert_eq!(all(&bytes), run(&bytes, &sizes));
    }

    /// Damaged requests never panic, and are judged alike however they are split.
    #[test]
    fn damage_is_judged_alike(
        requests in proptest::collection::vec(request(), 1..4),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        sizes in proptest::collection::vec(1usize..500, 1..6),
    ) {
        let mut stream = requests.concat();
        for (i, b) in damage {
            let n = stream.len();
            stream[i.index(n)] = b;
        }
        let not_continue = |s: &Seen| *s != Seen::Continue;
        let whole: Vec<_> = all(&stream).into_iter().filter(not_continue).collect();
        let split: Vec<_> = run(&stream, &sizes).into_iter().filter(not_continue).collect();
        prop_assert_eq!(whole, split);
    }
}
