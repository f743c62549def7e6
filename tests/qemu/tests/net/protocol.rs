//! HTTP/1.1 as the RFCs 9110 and 9112 and the service's own limits want it.

use std::thread::sleep;
use std::time::Duration;

use qemu_tests::http::{Client, get};
use qemu_tests::service::Address;

use crate::Body;
use crate::Where::{self, Everywhere, Once};

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    ("hello", Everywhere, hello),
    ("page_links_the_rest", Once, page_links_the_rest),
    ("system_is_json", Everywhere, system_is_json),
    ("pools_and_queues_are_json", Once, pools_and_queues_are_json),
    ("head_has_no_body", Everywhere, head_has_no_body),
    (
        "error_after_head_has_its_body",
        Everywhere,
        error_after_head_has_its_body,
    ),
    ("keep_alive", Everywhere, keep_alive),
    (
        "pipelining_keeps_the_order",
        Everywhere,
        pipelining_keeps_the_order,
    ),
    ("request_byte_by_byte", Everywhere, request_byte_by_byte),
    ("close_is_honoured", Everywhere, close_is_honoured),
    ("http_1_0_closes", Once, http_1_0_closes),
    ("bodies_are_discarded", Everywhere, bodies_are_discarded),
    ("expect_100_continue", Once, expect_100_continue),
    ("status_400", Everywhere, status_400),
    ("status_404", Everywhere, status_404),
    ("status_405_names_what_is_allowed", Everywhere, status_405),
    ("status_413", Everywhere, status_413),
    ("status_414", Everywhere, status_414),
    ("status_431", Everywhere, status_431),
    ("status_501", Everywhere, status_501),
    ("status_505", Everywhere, status_505),
    (
        "request_smuggling_is_refused",
        Everywhere,
        request_smuggling_is_refused,
    ),
    (
        "half_close_still_gets_the_answer",
        Everywhere,
        half_close_still_gets_the_answer,
    ),
];

fn hello(at: Address) -> Result<(), String> {
    let answer = Client::connect(at.http)?.ask(get("/hello"))?.expect(200)?;
    check(answer.body == b"Hello World!", "the body")?;
    check(
        answer.header("content-length") == Some("12"),
        "Content-Length",
    )?;
    let kind = answer.header("content-type").unwrap_or_default();
    check(kind.starts_with("text/plain"), "Content-Type")
}

fn page_links_the_rest(at: Address) -> Result<(), String> {
    let answer = Client::connect(at.http)?.ask(get("/"))?.expect(200)?;
    let page = String::from_utf8(answer.body).map_err(|e| e.to_string())?;
    check(
        page.contains("/api/v1/system") && page.contains("/hello"),
        "links on the page",
    )
}

pub(crate) fn json(at: Address, target: &str) -> Result<serde_json::Value, String> {
    let answer = Client::connect(at.http)?.ask(get(target))?.expect(200)?;
    let kind = answer.header("content-type").unwrap_or_default();
    check(kind.starts_with("application/json"), "Content-Type of JSON")?;
    serde_json::from_slice(&answer.body).map_err(|e| format!("{target}: {e}"))
}

fn system_is_json(at: Address) -> Result<(), String> {
    let system = json(at, "/api/v1/system")?;
    for key in ["version", "board"] {
        check(system[key].is_string(), key)?;
    }
    for key in ["uptime_ns", "mem_total_bytes", "mem_used_bytes"] {
        check(system[key].as_u64().is_some_and(|n| n > 0), key)?;
    }
    let cores = system["cores"].as_array().cloned().unwrap_or_default();
    check(cores.len() == 4, "four cores")?;
    for core in cores {
        check(
            core["id"].is_u64() && core["state"].is_string(),
            "id and state of a core",
        )?;
        for key in ["nr_running", "switches", "idle_ns"] {
            check(core[key].is_u64(), key)?;
        }
        for (of, key) in [
            ("irqs", "ipi"),
            ("irqs", "timer"),
            ("irqs", "device"),
            ("softirqs", "TIMER"),
            ("softirqs", "TASKLET"),
        ] {
            check(core[of][key].is_u64(), key)?;
        }
        check(
            core.get("mpidr").is_some() && core.get("current").is_some(),
            "mpidr, current",
        )?;
    }
    pools_are_whole(&system["pools"])?;
    queues_are_whole(&system["queues"])
}

fn pools_and_queues_are_json(at: Address) -> Result<(), String> {
    pools_are_whole(&json(at, "/api/v1/pools")?)?;
    queues_are_whole(&json(at, "/api/v1/queues")?)
}

fn pools_are_whole(pools: &serde_json::Value) -> Result<(), String> {
    let pools = pools.as_array().ok_or("pools are an array")?;
    check(!pools.is_empty(), "there are pools")?;
    for pool in pools {
        for key in ["total", "idle", "running", "blocked"] {
            check(pool["workers"][key].is_u64(), key)?;
        }
        check(pool["pending"].is_u64(), "a pool's figures")?;
        check(
            pool["cpu"].is_u64() || pool["cpus"].is_string(),
            "where it is",
        )?;
        check(
            matches!(pool["kind"].as_str(), Some("thread" | "bh")),
            "a pool's kind",
        )?;
    }
    Ok(())
}

fn queues_are_whole(queues: &serde_json::Value) -> Result<(), String> {
    let queues = queues.as_array().ok_or("queues are an array")?;
    check(!queues.is_empty(), "there are queues")?;
    for queue in queues {
        check(queue["name"].is_string(), "a queue's name")?;
        for key in [
            "pending",
            "active",
            "started",
            "completed",
            "cpu_time_ns",
            "cpu_intensive",
            "preempted",
            "cm_wakeup",
            "repatriated",
            "mayday",
            "rescued",
        ] {
            check(queue[key].is_u64(), key)?;
        }
        // BH queues have no limit.
        let limited = queue["kind"] != "bh";
        check(queue["max_active"].is_u64() == limited, "max_active")?;
    }
    Ok(())
}

fn head_has_no_body(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    client.send("HEAD /hello HTTP/1.1\r\nHost: test\r\n\r\n")?;
    let answer = client.answer_to(false)?.expect(200)?;
    check(
        answer.header("content-length") == Some("12"),
        "Content-Length of HEAD",
    )?;
    // A body would be taken for the next answer's status line.
    client.ask(get("/hello"))?.expect(200).map(drop)
}

fn error_after_head_has_its_body(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    client.send("HEAD /hello HTTP/1.1\r\nHost: test\r\n\r\n")?;
    client.answer_to(false)?.expect(200)?;
    let answer = client.ask("BAD\r\n\r\n")?.expect(400)?;
    check(!answer.body.is_empty(), "the error's body")?;
    check(client.is_closed(), "the connection is closed")
}

fn keep_alive(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    for _ in 0..100 {
        client.ask(get("/hello"))?.expect(200)?;
    }
    client.ask(get("/nowhere"))?.expect(404)?;
    client.ask(get("/hello"))?.expect(200).map(drop)
}

fn pipelining_keeps_the_order(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    let targets = ["/hello", "/nowhere", "/hello", "/hello", "/nowhere"].repeat(8);
    client.send(targets.iter().map(|t| get(t)).collect::<String>())?;
    for target in targets {
        client
            .answer()?
            .expect(if target == "/hello" { 200 } else { 404 })?;
    }
    Ok(())
}

fn request_byte_by_byte(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    for _ in 0..2 {
        for byte in get("/hello").bytes() {
            client.send([byte])?;
            sleep(Duration::from_millis(2));
        }
        client.answer()?.expect(200)?;
    }
    Ok(())
}

fn close_is_honoured(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    let request = "GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let answer = client.ask(request)?.expect(200)?;
    check(
        answer.header("connection") == Some("close"),
        "Connection: close in the answer",
    )?;
    check(client.is_closed(), "the connection is closed")
}

fn http_1_0_closes(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    let answer = client.ask("GET /hello HTTP/1.0\r\n\r\n")?.expect(200)?;
    check(answer.body == b"Hello World!", "the body")?;
    check(client.is_closed(), "the connection is closed")
}

fn bodies_are_discarded(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    let head = "GET /hello HTTP/1.1\r\nHost: test\r\n";
    let body = "x".repeat(5_000);
    client
        .ask(format!("{head}Content-Length: 5000\r\n\r\n{body}"))?
        .expect(200)?;
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let chunks = "4\r\nGET \r\nf;a=b\r\n/x HTTP/1.1\r\n\r\n\r\n0\r\nTrailer: 1\r\n\r\n";
    client
        .ask(format!("{head}{chunked}{chunks}"))?
        .expect(200)?;
    client.ask(get("/hello"))?.expect(200).map(drop)
}

fn expect_100_continue(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    client.send(
        "GET /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
    )?;
    let first = client.answer()?;
    if first.status == 100 {
        client.send("abc")?;
        client.answer()?.expect(200)?;
        return client.ask(get("/hello"))?.expect(200).map(drop);
    }
    // A final answer at once is allowed as well.
    first.expect(200).map(drop)
}

/// Each of these gets `status`, and the connection is closed.
fn refused(at: Address, status: u16, requests: &[String]) -> Result<(), String> {
    for request in requests {
        let start: String = request.chars().take(80).collect();
        let mut client = Client::connect(at.http)?;
        let answer = client.ask(request).map_err(|e| format!("{start:?}: {e}"))?;
        answer
            .expect(status)
            .map_err(|e| format!("{start:?}: {e}"))?;
        check(
            client.is_closed(),
            &format!("the connection is closed after {start:?}"),
        )?;
    }
    Ok(())
}

fn status_400(at: Address) -> Result<(), String> {
    let bad = [
        "GET /hello HTTP/1.1\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost test\r\n\r\n",
        "GET  HTTP/1.1\r\nHost: test\r\n\r\n",
        "\u{1}\u{2}\u{3} / HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 1x\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: test\r\nContent-Length: -1\r\n\r\n",
    ];
    refused(at, 400, &bad.map(str::to_owned))
}

fn status_404(at: Address) -> Result<(), String> {
    Client::connect(at.http)?
        .ask(get("/no/such/thing"))?
        .expect(404)
        .map(drop)
}

fn status_405(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    let request = "POST /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    let answer = client.ask(request)?.expect(405)?;
    let allow = answer.header("allow").unwrap_or_default();
    check(allow.contains("GET") && allow.contains("HEAD"), "Allow")
}

fn status_413(at: Address) -> Result<(), String> {
    let length = (1 << 20) + 1;
    refused(
        at,
        413,
        &[format!(
            "GET /hello HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"
        )],
    )
}

fn status_414(at: Address) -> Result<(), String> {
    refused(at, 414, &[get(&format!("/{}", "a".repeat(2_100)))])
}

fn status_431(at: Address) -> Result<(), String> {
    let field = format!("X-Long: {}\r\n", "b".repeat(9_000));
    refused(
        at,
        431,
        &[format!("GET /hello HTTP/1.1\r\nHost: test\r\n{field}\r\n")],
    )
}

fn status_501(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    client
        .ask("BREW /hello HTTP/1.1\r\nHost: test\r\n\r\n")?
        .expect(501)
        .map(drop)
}

fn status_505(at: Address) -> Result<(), String> {
    refused(
        at,
        505,
        &["GET /hello HTTP/2.0\r\nHost: test\r\n\r\n".to_owned()],
    )
}

fn request_smuggling_is_refused(at: Address) -> Result<(), String> {
    let head = "GET /hello HTTP/1.1\r\nHost: test\r\n";
    refused(
        at,
        400,
        &[
            format!("{head}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
            format!("{head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ],
    )
}

fn half_close_still_gets_the_answer(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    client.send(get("/hello"))?;
    client.finish()?;
    client.answer()?.expect(200)?;
    check(client.is_closed(), "the connection is closed")
}

/// `Err` unless `right`.
pub(crate) fn check(right: bool, what: &str) -> Result<(), String> {
    if right {
        Ok(())
    } else {
        Err(format!("wrong: {what}"))
    }
}
