//! What the service lets a client see and change of the workqueues (F8, N1, N2, N5).

use qemu_tests::http::{Answer, Client, get};
use qemu_tests::service::Address;
use serde_json::Value;

use crate::Body;
use crate::Where::{self, Hasty, Once, OnceAlone};
use crate::protocol::{check, json};

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    ("n1_attributes_are_set_by_name", OnceAlone, attributes),
    ("n2_parameters_are_set_by_name", OnceAlone, parameters),
    ("n1_what_is_wrong_is_named", Once, refusals),
    ("n1_pages_of_other_origins_change_nothing", Once, origins),
    ("n5_dump_is_three_tables", Once, dump),
    ("control_can_be_turned_off", Hasty, off),
];

/// Asks for a change; the service speaks of nothing else.
fn set(at: Address, query: &str, fields: &str) -> Result<Answer, String> {
    let request = format!(
        "POST /api/v1/set?{query} HTTP/1.1\r\nHost: roundtable\r\n{fields}Content-Length: 0\r\n\r\n"
    );
    Client::connect(at.http)?.ask(request)
}

/// The error that `query` earns, under `status`.
fn refused(at: Address, query: &str, fields: &str, status: u16) -> Result<String, String> {
    let answer = set(at, query, fields)?;
    check(
        answer.status == status,
        &format!("{query}: status {} instead of {status}", answer.status),
    )?;
    let body: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    let error = body["error"].as_str().ok_or("no error in the answer")?;
    Ok(error.to_owned())
}

/// The exported queue `name`.
fn queue(at: Address, name: &str) -> Result<Value, String> {
    let queues = json(at, "/api/v1/queues")?;
    let list = queues.as_array().ok_or("not a list")?;
    let found = list.iter().find(|q| q["name"] == name);
    found.cloned().ok_or_else(|| format!("no queue {name}"))
}

fn attributes(at: Address) -> Result<(), String> {
    let before = queue(at, "events_unbound")?;
    let text = before["attributes"]["affinity_scope"]
        .as_str()
        .unwrap_or("");
    check(
        text == "default (cache_shard)",
        &format!("the scope: {text}"),
    )?;
    for (name, value, back) in [
        ("nice", "5", "0"),
        ("affinity_scope", "numa", "default"),
        ("affinity_strict", "1", "0"),
        ("cpumask", "0", "0-63"),
    ] {
        let change = |v: &str| format!("queue=events_unbound&{name}={v}");
        set(at, &change(value), "")?.expect(200)?;
        let now = queue(at, "events_unbound")?["attributes"][name].to_string();
        check(
            now.trim_matches('"') == value,
            &format!("{name} is {now} instead of {value}"),
        )?;
        set(at, &change(back), "")?.expect(200)?;
    }
    check(
        queue(at, "events_unbound")?["attributes"] == before["attributes"],
        "everything is as before",
    )?;
    let limit = |at| Ok::<_, String>(queue(at, "http")?["max_active"].clone());
    let most = limit(at)?;
    set(at, "queue=http&max_active=7", "")?.expect(200)?;
    check(limit(at)? == 7, "max_active of a per-CPU queue")?;
    set(at, &format!("queue=http&max_active={most}"), "")?.expect(200)?;
    check(
        queue(at, "http")?["attributes"]["per_cpu"] == 1,
        "http is a per-CPU queue",
    )
}

fn parameters(at: Address) -> Result<(), String> {
    let value = |name: &str| {
        let all = json(at, "/api/v1/params")?;
        let list = all.as_array().ok_or("not a list")?;
        let found = list.iter().find(|p| p["name"] == name);
        let found = found.ok_or_else(|| format!("no parameter {name}"))?;
        Ok::<_, String>(found["value"].as_str().unwrap_or("").to_owned())
    };
    for (name, new) in [
        ("cpu_intensive_thresh_us", "2500"),
        ("default_affinity_scope", "system"),
        ("debug_force_rr_cpu", "1"),
        ("cache_shard_size", "2"),
        ("unbound_cpus", "0"),
        ("watchdog_thresh", "60"),
    ] {
        let before = value(name)?;
        check(before != new, name)?;
        set(at, &format!("{name}={new}"), "")?.expect(200)?;
        check(value(name)? == new, &format!("{name} is not {new}"))?;
        set(at, &format!("{name}={before}"), "")?.expect(200)?;
        check(
            value(name)? == before,
            &format!("{name} is not {before} again"),
        )?;
    }
    Ok(())
}

fn refusals(at: Address) -> Result<(), String> {
    for (query, status, word) in [
        ("", 400, "NAME=VALUE"),
        ("nice=1&queue=http", 403, "kind"),
        ("queue=events_unbound&nice=20", 400, "-20 to 19"),
        ("queue=events_unbound&cpumask=63", 400, "no core"),
        ("queue=nobody&nice=1", 404, "name"),
        ("queue=events_unbound&colour=1", 404, "attribute"),
        ("power_efficient=1", 404, "parameter"),
        ("cache_shard_size=0", 400, "1 to 64"),
    ] {
        let error = refused(at, query, "", status)?;
        check(error.contains(word), &format!("{query}: {error}"))?;
    }
    let answer = Client::connect(at.http)?.ask(get("/api/v1/set?watchdog_thresh=1"))?;
    check(answer.status == 405, "GET changes nothing")?;
    check(answer.header("allow") == Some("POST"), "Allow")
}

fn origins(at: Address) -> Result<(), String> {
    let query = "cpu_intensive_warning_thresh=4";
    for own in [
        "",
        "Origin: http://roundtable\r\n",
        "oRIGIN: HTTP://RoundTable\r\n",
        "Origin: http://roundtable\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
    ] {
        set(at, query, own)?.expect(200)?;
    }
    for other in [
        "Origin: http://elsewhere\r\n",
        "Origin: https://roundtable\r\n",
        "Origin: null\r\n",
        "Origin:\r\n",
        "Origin: http://roundtable:81\r\n",
        "Origin: http://roundtable\r\nOrigin: http://roundtable\r\n",
        "Origin: http://roundtable\r\nSec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n",
    ] {
        let error = refused(at, query, other, 403)?;
        check(error.contains("origin"), &error)?;
    }
    Ok(())
}

fn off(at: Address) -> Result<(), String> {
    let error = refused(at, "cpu_intensive_warning_thresh=4", "", 403)?;
    check(error.contains("control=off"), &error)?;
    // To look is no change.
    json(at, "/api/v1/params").map(drop)
}

fn dump(at: Address) -> Result<(), String> {
    let answer = Client::connect(at.http)?
        .ask(get("/api/v1/dump"))?
        .expect(200)?;
    let kind = answer.header("content-type").unwrap_or_default();
    check(kind.starts_with("text/plain"), "Content-Type")?;
    let text = String::from_utf8(answer.body).map_err(|e| e.to_string())?;
    let tables: Vec<&str> = text.split("\n\n").collect();
    check(tables.len() == 3, &format!("{} tables", tables.len()))?;
    for (table, title) in tables
        .iter()
        .zip(["Pods", "Pools", "Workqueue x CPU -> pool"])
    {
        check(table.lines().next() == Some(title), title)?;
    }
    let pools = json(at, "/api/v1/pools")?;
    let listed = pools.as_array().ok_or("not a list")?.len();
    check(tables[1].lines().count() == 2 + listed, "a line a pool")?;
    let queues = json(at, "/api/v1/queues")?;
    for q in queues.as_array().ok_or("not a list")? {
        let name = q["name"].as_str().unwrap_or("?");
        check(tables[2].contains(name), name)?;
    }
    Ok(())
}
