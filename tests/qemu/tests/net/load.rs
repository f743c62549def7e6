//! Many clients, and rude clients.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use qemu_tests::http::{Client, get, said};
use qemu_tests::service::Address;

use crate::Body;
use crate::Where::{self, Everywhere, EverywhereAlone, SmallAlone};
use crate::echo::noise;
use crate::protocol::{check, json};

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    (CROWD, EverywhereAlone, many_connections),
    ("load_beyond_the_limit", SmallAlone, beyond_the_limit),
    (
        "load_sleepers_do_not_delay_others",
        EverywhereAlone,
        sleepers_do_not_delay_others,
    ),
    ("load_garbage", Everywhere, garbage),
    ("load_disconnects", Everywhere, disconnects),
];

/// The test that holds as many connections as are promised.
pub(crate) const CROWD: &str = "load_512_connections";

/// Connections the service promises to hold.
const PROMISED: usize = 512;

/// Between two connections nobody waits on, for QEMU to take the first one.
const PACE: Duration = Duration::from_millis(4);

/// Opens connections one after the other, each answered before the next is opened: QEMU's user
/// network queues a single connection, and one more costs its client a second's wait.
pub(crate) fn connect_all(at: Address, count: usize) -> Result<Vec<Client>, String> {
    let one = |n| {
        let mut client = Client::connect(at.http).map_err(|e| format!("client {n}: {e}"))?;
        let answer = client.ask(get("/hello")).and_then(|a| a.expect(200));
        answer.map_err(|e| format!("client {n}: {e}"))?;
        Ok(client)
    };
    (0..count).map(one).collect()
}

fn many_connections(at: Address) -> Result<(), String> {
    let mut clients = connect_all(at, PROMISED)?;
    for round in 0..2 {
        for (n, client) in clients.iter_mut().enumerate() {
            let answer = client.ask(get("/hello")).and_then(|a| a.expect(200));
            answer.map_err(|e| format!("client {n}, round {round}: {e}"))?;
        }
    }
    Ok(())
}

/// `net.connections=` of the small configuration.
const LIMIT: usize = 64;

fn beyond_the_limit(at: Address) -> Result<(), String> {
    let mut inside = connect_all(at, LIMIT)?;
    for n in 0..20 {
        let visit = || -> Result<(), String> {
            let mut client = Client::connect_within(at.http, Duration::from_secs(5))?;
            let answer = client.answer()?.expect(503)?;
            check(answer.header("connection") == Some("close"), "Connection")?;
            check(answer.header("retry-after").is_some(), "Retry-After")?;
            check(client.is_closed(), "the connection is closed")
        };
        visit().map_err(|e| format!("visitor {n}: {e}"))?;
    }
    // Visitors that stay do not keep others out for good: there is a word for a few at once, and a
    // reset for the rest.
    let crowd: Vec<_> = (0..40)
        .map(|_| {
            let visitor = TcpStream::connect(at.http);
            std::thread::sleep(PACE);
            visitor
        })
        .collect();
    for (n, client) in inside.iter_mut().enumerate() {
        let answer = client.ask(get("/hello")).and_then(|a| a.expect(200));
        answer.map_err(|e| format!("client {n}, within the limit: {e}"))?;
    }
    drop(crowd);
    drop(inside);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let fresh = Client::connect_within(at.http, Duration::from_secs(2));
        match fresh.and_then(|mut c| c.ask(get("/hello"))?.expect(200)) {
            Ok(_) => return Ok(()),
            Err(why) if Instant::now() > deadline => {
                return Err(format!(
                    "no new connection is served after the crowd left: {why}"
                ));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// Clients whose handlers sleep, and for how long.
const SLEEPERS: usize = 50;
const NAP: Duration = Duration::from_millis(5_000);
/// Requests timed, alone and among sleepers.
const TIMED: usize = 11;

/// The median time of a request, over a connection that was served before.
fn median(client: &mut Client) -> Result<Duration, String> {
    let mut times = Vec::new();
    for _ in 0..TIMED {
        let asked = Instant::now();
        client.ask(get("/hello"))?.expect(200)?;
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    Ok(times[TIMED / 2])
}

/// Threads that are in a handler: busy workers of pools, and sleeping threads of connections. Pools of
/// unbound queues do not tell a worker that sleeps from one that runs (F1); 50 do not run on 4 cores.
fn asleep(at: Address) -> Result<u64, String> {
    let pools = json(at, "/api/v1/pools")?;
    let pools = pools.as_array().ok_or("no pools")?;
    let busy = |p: &serde_json::Value| {
        let workers = &p["workers"];
        Some(workers["running"].as_u64()? + workers["blocked"].as_u64()?)
    };
    let workers = pools.iter().map(busy);
    let workers = workers.sum::<Option<u64>>().ok_or("no figure")?;
    let threads = json(at, "/api/v1/threads")?;
    let threads = threads.as_array().ok_or("no threads")?.iter();
    let own = threads.filter(|t| t["name"] == "http" && t["state"] == "sleeping");
    Ok(workers + own.count() as u64)
}

/// While all sleepers sleep, answers take about as long as they did before.
fn sleepers_do_not_delay_others(at: Address) -> Result<(), String> {
    let mut sleepers = connect_all(at, SLEEPERS)?;
    let mut client = Client::connect(at.http)?;
    client.ask(get("/hello"))?.expect(200)?;
    let alone = median(&mut client)?;
    let begin = Instant::now();
    for sleeper in &mut sleepers {
        sleeper.send(get(&format!("/demo/sleep?ms={}", NAP.as_millis())))?;
    }
    // Where a connection has a thread to itself, that one slept before: then only time tells.
    std::thread::sleep(NAP / 10);
    while asleep(at)? < SLEEPERS as u64 {
        check(begin.elapsed() < NAP, "all handlers sleep at once")?;
        std::thread::sleep(PACE);
    }
    let among = median(&mut client)?;
    check(begin.elapsed() < NAP, "it was measured among sleepers")?;
    for sleeper in &mut sleepers {
        sleeper.answer()?.expect(200)?;
    }
    let all = begin.elapsed();
    // One after the other would take minutes.
    check(
        (NAP..NAP * 3).contains(&all),
        &format!("{SLEEPERS} sleepers of {NAP:?} took {all:?}"),
    )?;
    // A median below this says more of the host than of the guest.
    let usual = alone.max(Duration::from_millis(2));
    check(
        among <= usual * 10,
        &format!("a request takes {alone:?}, among sleepers {among:?}"),
    )
}

fn garbage(at: Address) -> Result<(), String> {
    for seed in 1..=40 {
        let mut stream = TcpStream::connect(at.http).map_err(said("connect"))?;
        let mut bytes = noise(seed * 7_919, 3_000);
        if seed % 2 == 0 {
            let start = b"GET /hello HTTP/1.1\r\n";
            bytes[..start.len()].copy_from_slice(start);
        }
        // The service may close while we write.
        let _ = stream.write_all(&bytes);
        std::thread::sleep(PACE);
    }
    Client::connect(at.http)?
        .ask(get("/hello"))?
        .expect(200)
        .map(drop)
}

fn disconnects(at: Address) -> Result<(), String> {
    for n in 0..60 {
        let mut stream = TcpStream::connect(at.http).map_err(said("connect"))?;
        let request = get("/api/v1/system").repeat(5);
        let _ = stream.write_all(&request.as_bytes()[..n * 3]);
        std::thread::sleep(PACE);
        // Dropped with an answer under way.
    }
    Client::connect(at.http)?
        .ask(get("/hello"))?
        .expect(200)
        .map(drop)
}
