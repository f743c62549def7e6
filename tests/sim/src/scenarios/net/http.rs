//! HTTP on a sound wire: any cutting of the stream gives the same answers.

use machine::Duration;
use sim::Scenario;
use sim::net::{Client, STATIC};

use super::browser::Browser;
use super::{serve, sound};

/// A request and the reply it must get.
struct Case {
    request: &'static str,
    status: u16,
    /// The body, where it does not change.
    body: Option<&'static str>,
    /// A header that must be there.
    header: Option<(&'static str, &'static str)>,
}

const fn case(request: &'static str, status: u16, body: Option<&'static str>) -> Case {
    Case {
        request,
        status,
        body,
        header: None,
    }
}

/// After these the connection goes on.
const KEEPING: &[Case] = &[
    case(
        "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
        200,
        Some("Hello World!"),
    ),
    case("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200, Some("")),
    case(
        "GET /hello?x=1 HTTP/1.1\r\nhost:a\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n",
        200,
        Some("Hello World!"),
    ),
    case("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 404, None),
    case("GET /api/v1/net HTTP/1.1\r\nHost: a\r\n\r\n", 200, None),
    case("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, None),
    Case {
        request: "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nGET /x HTTP",
        status: 405,
        body: None,
        header: Some(("allow", "GET, HEAD")),
    },
    case(
        "GET /demo/sleep?ms=3 HTTP/1.1\r\nHost: a\r\n\r\n",
        200,
        Some("done\n"),
    ),
];

/// After these the service closes.
const CLOSING: &[Case] = &[
    Case {
        request: "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        status: 200,
        body: Some("Hello World!"),
        header: Some(("connection", "close")),
    },
    case("GET /hello HTTP/1.1\r\n\r\n", 400, None),
    case("GET /hello HTTP/3.0\r\nHost: a\r\n\r\n", 505, None),
    case("no request at all\r\n\r\n", 400, None),
];

/// Sends a dozen requests in pieces cut anywhere, reads the replies in order.
fn pipeline(client: &Client<'_>) {
    let rng = client.rng();
    let pick = |from: &'static [Case]| &from[rng.below(from.len() as u32) as usize];
    let mut cases: Vec<&Case> = (0..1 + rng.below(12)).map(|_| pick(KEEPING)).collect();
    cases.push(pick(CLOSING));
    let bytes: Vec<u8> = cases.iter().flat_map(|c| c.request.bytes()).collect();
    // A piece may be a byte or everything.
    let longest = [1, 7, 80, 2_000][rng.below(4) as usize];
    let stream = client.connect(80);
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min(at + 1 + rng.below(longest) as usize);
        stream.send(&bytes[at..end]).expect("a live connection");
        at = end;
        if rng.one_in(4) {
            client.sleep(Duration::from_micros(rng.below(3_000).into()));
        }
    }
    let mut browser = Browser::new(&stream);
    for case in &cases {
        let reply = browser.reply(case.request.starts_with("HEAD"));
        let Ok(reply) = reply else {
            panic!("{reply:?} to {:?}", case.request);
        };
        assert_eq!(reply.status, case.status, "{:?}", case.request);
        if let Some(body) = case.body {
            assert_eq!(reply.body, body.as_bytes(), "{:?}", case.request);
        }
        if let Some((name, value)) = case.header {
            assert_eq!(reply.header(name), Some(value), "{:?}", case.request);
        }
    }
    browser.expect_end();
}

/// Pipelines of requests cut at any byte.
pub(super) const PIPELINE: Scenario = sound(
    "net-pipeline",
    |cx| {
        serve(cx);
    },
    |peer| peer.clients(4, "browser", pipeline),
)
.about("requests in one stream are answered in order, wherever the stream is cut")
.bootargs(STATIC);
