//! What the services do with clients that say nothing, or too little.
//!
//! The limits of ten seconds to ten minutes would cost a test that long, so the limits are boot arguments:
//! one configuration has short ones and is watched closing, and the service reports the limits in force,
//! which are the long ones unless told otherwise.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use qemu_tests::http::{Client, get, said};
use qemu_tests::service::Address;

use crate::Body;
use crate::Where::{self, Hasty, Once};
use crate::protocol::{check, json};

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    ("limits_are_as_documented", Once, long_limits),
    ("limits_follow_the_boot_arguments", Hasty, short_limits),
    ("status_408", Hasty, status_408),
    (
        "idle_connection_is_closed",
        Hasty,
        idle_connection_is_closed,
    ),
    ("slow_body_is_legal", Hasty, slow_body_is_legal),
    ("dripping_body_is_408", Hasty, dripping_body_is_408),
    ("empty_lines_are_idle", Hasty, empty_lines_are_idle),
    ("idle_echo_is_closed", Hasty, idle_echo_is_closed),
    ("deaf_client_is_reset", Hasty, deaf_client_is_reset),
];

/// `http.head_ms=`, `http.body_ms=`, `http.idle_ms=` and `echo.idle_ms=` of the configuration with little
/// patience.
const HEAD: Duration = Duration::from_millis(1_000);
const BODY: Duration = Duration::from_millis(4_000);
const IDLE: Duration = Duration::from_millis(3_000);
/// How much later than asked for a loaded host may be.
const LATE: Duration = Duration::from_secs(8);

fn limits(at: Address) -> Result<[Option<u64>; 3], String> {
    let system = json(at, "/api/v1/system")?;
    Ok(["head_ms", "body_ms", "idle_ms"].map(|key| system["http"][key].as_u64()))
}

fn long_limits(at: Address) -> Result<(), String> {
    let limits = limits(at)?;
    check(
        limits == [10_000, 60_000, 60_000].map(Some),
        &format!("the limits, {limits:?}"),
    )
}

fn short_limits(at: Address) -> Result<(), String> {
    let limits = limits(at)?;
    check(
        limits == [1_000, 4_000, 3_000].map(Some),
        &format!("the limits, {limits:?}"),
    )
}

/// Fails unless `limit` has passed since `begin`, and not much more.
fn in_time(begin: Instant, limit: Duration) -> Result<(), String> {
    let waited = begin.elapsed();
    // The guest's clock started a moment before ours.
    let right = (limit - limit / 10..limit + LATE).contains(&waited);
    check(right, &format!("{limit:?} of patience, not {waited:?}"))
}

fn status_408(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    let begin = Instant::now();
    client.send("GET /hello HTTP/1.1\r\nHos")?;
    // A byte now and then does not prolong it.
    sleep(HEAD / 2);
    client.send("t")?;
    client.answer()?.expect(408)?;
    in_time(begin, HEAD)?;
    check(client.is_closed(), "the connection is closed")
}

/// A kept connection is closed when it has been idle for so long, without a word.
fn idle_connection_is_closed(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    client.ask(get("/hello"))?.expect(200)?;
    sleep(IDLE / 2);
    client.ask(get("/hello"))?.expect(200)?;
    let begin = Instant::now();
    let rest = client.until_end()?;
    check(rest.is_empty(), "nothing is said to an idle client")?;
    in_time(begin, IDLE)
}

/// The time of a head is for heads ([`status_408`]); a body has its own.
fn slow_body_is_legal(at: Address) -> Result<(), String> {
    let head = "GET /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\n";
    // Bodies begin with the head, after it, and behind an earlier request.
    let starts = [
        format!("{head}a"),
        head.to_owned(),
        format!("{}{head}a", get("/hello")),
    ];
    let mut clients = Vec::new();
    for start in &starts {
        let mut client = Client::connect(at.http)?;
        client.send(start)?;
        clients.push(client);
    }
    clients[2].answer()?.expect(200)?;
    // The second client's first piece comes when a head's time is over.
    sleep(HEAD * 6 / 10);
    clients[0].send("bc")?;
    clients[2].send("bc")?;
    sleep(HEAD * 6 / 10);
    for (client, rest) in clients.iter_mut().zip(["def", "abcdef", "def"]) {
        client.ask(rest)?.expect(200)?;
        client.ask(get("/hello"))?.expect(200)?;
    }
    Ok(())
}

/// A body that never stands still and never ends.
fn dripping_body_is_408(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    client.send("GET /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n")?;
    let begin = Instant::now();
    while begin.elapsed() < BODY - HEAD / 2 {
        client.send("x")?;
        sleep(HEAD / 4);
    }
    client.answer()?.expect(408)?;
    in_time(begin, BODY)?;
    check(client.is_closed(), "the connection is closed")
}

/// Half an empty line begins a head, and its other half ends it: neither is a request.
fn empty_lines_are_idle(at: Address) -> Result<(), String> {
    let mut client = TcpStream::connect(at.http).map_err(said("connect"))?;
    // Each half stands for less than the time of a head.
    let pause = client.set_read_timeout(Some(HEAD / 4));
    pause.map_err(said("set a timeout"))?;
    let begin = Instant::now();
    for half in b"\r\n".iter().cycle() {
        client.write_all(&[*half]).map_err(said("send"))?;
        match client.read(&mut [0]) {
            Ok(0) => break,
            Ok(_) => return Err("something is said to an idle client".to_owned()),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(said("read the end")(e)),
        }
        let waited = begin.elapsed();
        check(waited < IDLE + LATE, &format!("open after {waited:?}"))?;
    }
    in_time(begin, IDLE)
}

/// Both ways of having nothing more to say.
fn idle_echo_is_closed(at: Address) -> Result<(), String> {
    let connect = || -> Result<TcpStream, String> {
        let stream = TcpStream::connect(at.echo).map_err(said("connect"))?;
        let timeout = stream.set_read_timeout(Some(IDLE + LATE));
        timeout.map_err(said("set a timeout"))?;
        Ok(stream)
    };
    let (mut silent, mut talker) = (connect()?, connect()?);
    let begin = Instant::now();
    sleep(IDLE / 2);
    talker.write_all(b"x").map_err(said("send"))?;
    talker.read_exact(&mut [0]).map_err(said("hear it"))?;
    let talked = Instant::now();
    let end = silent.read(&mut [0]).map_err(said("read the end"))?;
    check(end == 0, "nothing is echoed to a silent peer")?;
    in_time(begin, IDLE)?;
    let end = talker.read(&mut [0]).map_err(said("read the end"))?;
    check(end == 0, "nothing is echoed twice")?;
    in_time(talked, IDLE)
}

/// Asks for more than all buffers on the way hold, and never reads. Others are served meanwhile.
fn deaf_client_is_reset(at: Address) -> Result<(), String> {
    let timed_out = || -> Result<u64, String> {
        let net = json(at, "/api/v1/net")?;
        net["tcp_timed_out"].as_u64().ok_or("no such figure".into())
    };
    let before = timed_out()?;
    let deaf = TcpStream::connect(at.http).map_err(said("connect"))?;
    deaf.set_nonblocking(true)
        .map_err(said("set nonblocking"))?;
    let begin = Instant::now();
    let requests = get("/api/v1/threads").repeat(100);
    while begin.elapsed() < IDLE + LATE {
        // When nothing fits any more, the service has stopped reading: it cannot write.
        let wrote = (&deaf).write(requests.as_bytes());
        let given_up = timed_out()? > before;
        match wrote {
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {
                return check(given_up, "who was reset was given up");
            }
            _ if given_up => return ends_in_reset(&deaf),
            _ => sleep(Duration::from_millis(20)),
        }
    }
    Err(format!("not given up after {:?}", begin.elapsed()))
}

/// Reads what is left in the buffers on the way: a reset is behind it.
fn ends_in_reset(mut deaf: &TcpStream) -> Result<(), String> {
    let begin = Instant::now();
    while begin.elapsed() < LATE {
        match deaf.read(&mut [0; 4096]) {
            Ok(0) => return Err("an orderly end, no reset".to_owned()),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(e) if e.kind() == ErrorKind::WouldBlock => sleep(Duration::from_millis(20)),
            Err(e) => return Err(said("read the end")(e)),
        }
    }
    Err("given up, and not told so".to_owned())
}
