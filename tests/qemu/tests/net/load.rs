//! Many clients, rude clients, and what they leave behind.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use qemu_tests::http::{Client, get, said};
use qemu_tests::service::Address;

use crate::Body;
use crate::Where::{self, Everywhere, EverywhereAlone, OnceAlone, SmallAlone};
use crate::echo::noise;
use crate::protocol::check;

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    ("load_512_connections", EverywhereAlone, many_connections),
    ("load_beyond_the_limit", SmallAlone, beyond_the_limit),
    (
        "load_requests_allocate_nothing",
        EverywhereAlone,
        requests_allocate_nothing,
    ),
    (
        "load_sleepers_do_not_delay_others",
        EverywhereAlone,
        sleepers_do_not_delay_others,
    ),
    ("load_garbage", Everywhere, garbage),
    ("load_disconnects", Everywhere, disconnects),
    ("load_churn_of_10000", OnceAlone, churn),
    ("load_peak_leaves_no_memory_behind", OnceAlone, peak),
];

/// Connections the service promises to hold.
const PROMISED: usize = 512;

/// Between two connections nobody waits on, for QEMU to take the first one.
const PACE: Duration = Duration::from_millis(4);

/// Opens connections one after the other, each answered before the next is opened: QEMU's user
/// network queues a single connection, and one more costs its client a second's wait.
fn connect_all(at: Address, count: usize) -> Result<Vec<Client>, String> {
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

/// Requests asked by one client before it reads the answers.
const BATCH: usize = 25;
/// Windows of 10,000 requests in which the steady state must be reached.
const WINDOWS: usize = 12;

/// In the steady state 10,000 requests leave the shared heap's counters where they were.
fn requests_allocate_nothing(at: Address) -> Result<(), String> {
    let mut clients = connect_all(at, 16)?;
    let mut ask_all = |rounds: usize| -> Result<(), String> {
        for _ in 0..rounds {
            for client in &mut clients {
                client.send(get("/hello").repeat(BATCH))?;
            }
            for client in &mut clients {
                for _ in 0..BATCH {
                    client.answer()?.expect(200)?;
                }
            }
        }
        Ok(())
    };
    let mut watch = Client::connect(at.http)?;
    let mut counters = || -> Result<(u64, u64), String> {
        let answer = watch.ask(get("/api/v1/memory"))?.expect(200)?;
        let m: serde_json::Value =
            serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
        let of = |key: &str| m[key].as_u64().ok_or_else(|| format!("no {key}"));
        Ok((of("heap_shared_allocs")?, of("heap_shared_frees")?))
    };
    // Workers are made and caches filled while the load is new: the steady state is reached when
    // one window of 10,000 requests allocates nothing, and something that leaks never reaches it.
    let mut windows = vec![counters()?];
    for _ in 0..WINDOWS {
        ask_all(10_000 / (16 * BATCH))?;
        windows.push(counters()?);
        if windows[windows.len() - 2] == windows[windows.len() - 1] {
            return Ok(());
        }
    }
    Err(format!(
        "(allocs, frees) of the shared heap after each 10,000 requests: {windows:?}"
    ))
}

fn sleepers_do_not_delay_others(at: Address) -> Result<(), String> {
    let mut sleepers = connect_all(at, 50)?;
    let mut client = Client::connect(at.http)?;
    client.ask(get("/hello"))?.expect(200)?;
    let begin = Instant::now();
    for sleeper in &mut sleepers {
        sleeper.send(get("/demo/sleep?ms=400"))?;
    }
    let mut worst = Duration::ZERO;
    for _ in 0..10 {
        let asked = Instant::now();
        client.ask(get("/hello"))?.expect(200)?;
        worst = worst.max(asked.elapsed());
    }
    for sleeper in &mut sleepers {
        sleeper.answer()?.expect(200)?;
    }
    let all = begin.elapsed();
    check(all >= Duration::from_millis(400), "the sleepers slept")?;
    // One after the other would take 20 s.
    check(
        all < Duration::from_secs(6),
        &format!("50 sleepers of 400 ms took {all:?}"),
    )?;
    check(
        worst < Duration::from_millis(350),
        &format!("a request took {worst:?} meanwhile"),
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

fn used_bytes(at: Address) -> Result<u64, String> {
    let answer = Client::connect(at.http)?
        .ask(get("/api/v1/system"))?
        .expect(200)?;
    let system: serde_json::Value =
        serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    system["mem_used_bytes"]
        .as_u64()
        .ok_or_else(|| "no mem_used_bytes".to_owned())
}

fn churn(at: Address) -> Result<(), String> {
    let rounds = |clients: usize, each: usize| -> Result<(), String> {
        std::thread::scope(|scope| {
            let one = || -> Result<(), String> {
                for _ in 0..each {
                    Client::connect(at.http)?.ask(get("/hello"))?.expect(200)?;
                }
                Ok(())
            };
            let all: Vec<_> = (0..clients).map(|_| scope.spawn(one)).collect();
            all.into_iter()
                .try_for_each(|t| t.join().map_err(|_| "a client panicked".to_owned())?)
        })
    };
    // The first round fills caches and pools that stay.
    rounds(8, 50)?;
    let before = used_bytes(at)?;
    rounds(8, 1_250)?;
    memory_returns(at, before, 512 << 10, "10,000 connections")
}

/// Waits until no more memory is in use than `before`, give or take `allowed` bytes.
fn memory_returns(at: Address, before: u64, allowed: u64, who: &str) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let grown = used_bytes(at)?.saturating_sub(before);
        if grown < allowed {
            return Ok(());
        }
        if Instant::now() > deadline {
            let memory = Client::connect(at.http)?.ask(get("/api/v1/memory"))?;
            let memory = String::from_utf8_lossy(&memory.body).into_owned();
            return Err(format!("{who} left {grown} bytes behind: {memory}"));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Connections of a crowd that comes once.
const CROWD: usize = 900;

fn peak(at: Address) -> Result<(), String> {
    // A small crowd first, so that the pools have their workers.
    drop(connect_all(at, 32)?);
    std::thread::sleep(Duration::from_secs(4));
    let before = used_bytes(at)?;
    let crowd = connect_all(at, CROWD)?;
    let peak = used_bytes(at)?.saturating_sub(before);
    check(
        peak > CROWD as u64 * 16 * 1024,
        &format!("{CROWD} connections took {peak} bytes only"),
    )?;
    drop(crowd);
    memory_returns(at, before, 1 << 20, "a crowd")
}
