//! Memory under load: nothing is allocated in the steady state, and nothing stays behind.

use std::thread::sleep;
use std::time::{Duration, Instant};

use qemu_tests::http::{Client, get};
use qemu_tests::service::Address;

use crate::Body;
use crate::Where::{self, EverywhereAlone, OnceAlone};
use crate::load::connect_all;
use crate::protocol::{check, json};

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    (
        "load_requests_allocate_nothing",
        EverywhereAlone,
        requests_allocate_nothing,
    ),
    ("load_churn_of_10000", OnceAlone, churn),
    ("load_peak_leaves_no_memory_behind", OnceAlone, peak),
];

/// Requests asked by one client before it reads the answers.
const BATCH: usize = 25;
/// Windows of 10,000 requests in which the steady state must be reached.
const WARM_UP: usize = 12;
/// Windows in a row that then allocate nothing.
const QUIET: usize = 4;

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
    // Workers are made and caches filled while the load is new. Something that leaks has no quiet
    // windows, and something that leaks seldom has not many in a row.
    let mut windows = vec![counters()?];
    let mut quiet = 0;
    while quiet < QUIET {
        ask_all(10_000 / (16 * BATCH))?;
        windows.push(counters()?);
        let [.., before, after] = windows[..] else {
            return Err("no window".to_owned());
        };
        quiet = if before == after { quiet + 1 } else { 0 };
        check(
            windows.len() - quiet <= 1 + WARM_UP,
            &format!("(allocs, frees) of the shared heap after each 10,000 requests: {windows:?}"),
        )?;
    }
    Ok(())
}

/// A figure of the guest's memory.
fn figure(at: Address, name: &str) -> Result<u64, String> {
    let memory = json(at, "/api/v1/memory")?;
    memory[name].as_u64().ok_or_else(|| format!("no {name}"))
}

/// What is still in use when the guest has had time to tidy up: it trims what nobody needed for a
/// second, and the answer that tells has its own share.
fn settled(at: Address, name: &str) -> Result<u64, String> {
    let mut least = u64::MAX;
    for _ in 0..10 {
        sleep(Duration::from_millis(500));
        least = least.min(figure(at, name)?);
    }
    Ok(least)
}

/// Heap bytes that 10,000 connections may leave behind: those of a few more workers, and less than two
/// bytes a connection.
const LEFTOVER: u64 = 16 << 10;

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
    let pages = settled(at, "mem_used_bytes")?;
    let heap = settled(at, "heap_live_bytes")?;
    rounds(8, 1_250)?;
    let who = "10,000 connections";
    memory_returns(at, "heap_live_bytes", heap, LEFTOVER, who)?;
    memory_returns(at, "mem_used_bytes", pages, 512 << 10, who)
}

/// Waits until the figure `name` is no more than `before`, give or take `allowed` bytes.
fn memory_returns(
    at: Address,
    name: &str,
    before: u64,
    allowed: u64,
    who: &str,
) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let grown = figure(at, name)?.saturating_sub(before);
        if grown < allowed {
            return Ok(());
        }
        if Instant::now() > deadline {
            let memory = json(at, "/api/v1/memory")?;
            return Err(format!("{who} left {grown} of {name} behind: {memory}"));
        }
        sleep(Duration::from_millis(500));
    }
}

/// Connections of a crowd that comes once.
const CROWD: usize = 900;

fn peak(at: Address) -> Result<(), String> {
    // A small crowd first, so that the pools have their workers.
    drop(connect_all(at, 32)?);
    sleep(Duration::from_secs(4));
    let before = figure(at, "mem_used_bytes")?;
    let crowd = connect_all(at, CROWD)?;
    let peak = figure(at, "mem_used_bytes")?.saturating_sub(before);
    check(
        peak > CROWD as u64 * 16 * 1024,
        &format!("{CROWD} connections took {peak} bytes only"),
    )?;
    drop(crowd);
    memory_returns(at, "mem_used_bytes", before, 1 << 20, "a crowd")
}
