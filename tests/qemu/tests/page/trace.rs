//! A trace in Perfetto's own interface, as a person opens it: a head-of-line blocker is seen there.

use std::time::Duration;

use qemu_tests::http::{Client, get};
use qemu_tests::service::Address;
use xtask::browser::Browser;
use xtask::perfetto_ui::{self, Site, query};

use crate::check;

/// Items behind the one that blocks, and how long it does.
const BEHIND: usize = 5;
const BLOCKS: Duration = Duration::from_millis(900);

pub(crate) fn opens(b: &mut Browser, at: Address) -> Result<(), String> {
    let files = perfetto_ui::files().map_err(|missing| missing.to_string())?;
    let site = Site::serve(files, record(at)?)?;
    site.open(b)?;
    let one = |b: &mut Browser, sql: &str| -> Result<u64, String> {
        let rows = query(b, sql)?;
        let value = rows.first().and_then(|r| r.first()).ok_or("no row")?;
        value.parse().map_err(|_| format!("{sql}: {value}"))
    };
    let wrong = query(
        b,
        "select name, value from stats where severity != 'info' and value > 0",
    )?;
    check(wrong.is_empty(), &format!("it complains: {wrong:?}"))?;
    // Cores, threads and their states, as for Linux.
    let cores = one(b, "select count(distinct cpu) from sched")?;
    check(cores >= 2, &format!("switches of {cores} cores"))?;
    let states = query(
        b,
        "select state from thread_state join thread using (utid) where name glob 'kworker/u*' group by 1",
    )?;
    for state in ["Running", "S"] {
        check(
            states.iter().any(|row| row[0] == state),
            &format!("unbound workers are never {state}: {states:?}"),
        )?;
    }
    // The blocker in its worker and in its queue, for as long as it sleeps.
    let least = BLOCKS.as_nanos();
    let blockers =
        format!("select count(*) from slice where name glob '*demos::blocker' and dur >= {least}");
    check(one(b, &blockers)? == 2, "the blocker's slices")?;
    let held = format!("select count(*) from slice where name = 'inactive' and dur >= {least}");
    let held = one(b, &held)?;
    check(
        held == BEHIND as u64,
        &format!("{held} items are held back"),
    )?;
    let queue = "select count(*) from track where name = 'workqueue demo_ordered'";
    check(one(b, queue)? >= 1, "the queue has its track")?;
    let requests = "select count(*) from slice join track on slice.track_id = track.id where track.name = 'HTTP requests'";
    check(one(b, requests)? >= 1, "the order itself is there")
}

/// The story, while it is recorded.
fn record(at: Address) -> Result<Vec<u8>, String> {
    let set = |list: &str| post(at, &format!("/api/v1/set?trace={list}"));
    set("sched,workqueue,http")?;
    let recorder = std::thread::spawn(move || {
        let mut client = Client::connect(at.http)?;
        client.ask(get("/trace?ms=2500"))?.expect(200)
    });
    // Else the order would come before the recording's request.
    std::thread::sleep(Duration::from_millis(300));
    let (n, ms) = (BEHIND, BLOCKS.as_millis());
    post(at, &format!("/api/v1/demo/blocker?n={n}&ms={ms}"))?;
    let trace = recorder.join().map_err(|_| "the recorder panicked")??;
    set("sched,workqueue")?;
    Ok(trace.body)
}

fn post(at: Address, target: &str) -> Result<(), String> {
    let request = format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    Client::connect(at.http)?
        .ask(request)?
        .expect(200)
        .map(drop)
}
