//! What people look at: the live page at `/`, and `/tables`, which shows the same without script.

use core::fmt::{self, Display, Write};

use kernel::cpu;
use kernel::wq;
use machine::CpuId;

/// The live page: one file with its script and style, and nothing from elsewhere.
pub(super) const PAGE: &str = include_str!("page.html");

const _: () = assert!(PAGE.len() < 60 * 1024, "the page is served in one piece");

/// Begin of `/tables`.
const BEGIN: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Roundtable: tables</title>
<meta http-equiv="refresh" content="2"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<style>:root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;margin:1.5em auto;max-width:70em;padding:0 1em}
table{border-collapse:collapse;width:100%;margin:0 0 2em}th,td{text-align:left;padding:.3em .6em;border-bottom:1px solid #8886;vertical-align:top}
caption{text-align:left;font-weight:600;padding:.5em 0}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}</style>
</head><body><main><h1>Roundtable</h1>
<p>The same as <a href="/">the live page</a>, as tables and without script; it reloads every two seconds.
Times are those of the moment of the copy.</p>
"#;

/// Text in a page.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '<' => f.write_str("&lt;"),
            '&' => f.write_str("&amp;"),
            c => f.write_char(c),
        })
    }
}

/// `/tables`
pub(super) fn tables(out: &mut dyn Write) -> fmt::Result {
    out.write_str(BEGIN)?;
    cores(out)?;
    pools(out)?;
    queues(out)?;
    out.write_str("</main></body></html>\n")
}

/// A table's caption and the heads of its columns; those that begin with `#` hold numbers.
fn begin(out: &mut dyn Write, caption: &str, columns: &[&str]) -> fmt::Result {
    write!(out, "<table><caption>{caption}</caption><thead><tr>")?;
    for column in columns {
        match column.strip_prefix('#') {
            Some(name) => write!(out, "<th scope=\"col\" class=\"n\">{name}</th>")?,
            None => write!(out, "<th scope=\"col\">{column}</th>")?,
        }
    }
    out.write_str("</tr></thead><tbody>\n")
}

fn number(out: &mut dyn Write, n: impl Display) -> fmt::Result {
    write!(out, "<td class=\"n\">{n}</td>")
}

fn end(out: &mut dyn Write) -> fmt::Result {
    out.write_str("</tbody></table>\n")
}

fn cores(out: &mut dyn Write) -> fmt::Result {
    let columns = ["Core", "State", "Runs", "#Runqueue", "#Switches"];
    begin(out, "Cores", &columns)?;
    let online = cpu::online();
    for i in 0..kernel::kernel().info().mpidrs.len() {
        let id = CpuId::new(i);
        let c = cpu::cpu(id);
        let up = online.contains(id);
        let state = if up { "online" } else { "offline" };
        write!(out, "<tr><th scope=\"row\">{i}</th><td>{state}</td>")?;
        let current = c.current_name();
        write!(out, "<td>{}</td>", Text(if up { &current } else { "" }))?;
        number(out, c.load())?;
        number(out, c.switches())?;
        out.write_str("</tr>\n")?;
    }
    end(out)
}

fn pools(out: &mut dyn Write) -> fmt::Result {
    let mut tables = wq::Tables::new().map_err(|_| fmt::Error)?;
    let columns = [
        "Pool",
        "Where",
        "#Nice",
        "Workers",
        "#Waiting",
        "First in line",
    ];
    begin(out, "Worker pools: who sits at the tables", &columns)?;
    let mut done = Ok(());
    tables.for_each(|t| {
        if done.is_ok() {
            done = pool(out, &t);
        }
    });
    done?;
    end(out)
}

fn pool(out: &mut dyn Write, t: &wq::Table<'_>) -> fmt::Result {
    let p = t.pool;
    write!(out, "<tr><th scope=\"row\">{}</th><td>", p.id)?;
    match p.cpu {
        Some(cpu) => write!(out, "core {}", cpu.index())?,
        None => out.write_str("unbound")?,
    }
    let bh = p.kind == "bh";
    write!(out, "{}</td>", if bh { ", BH" } else { "" })?;
    number(out, p.nice)?;
    out.write_str("<td>")?;
    let busy = |s: &&wq::Seat| s.doing != wq::Doing::Idle;
    for s in t.seats.iter().filter(busy) {
        seat(out, s)?;
    }
    if bh {
        write!(out, "{} started", t.started)?;
    } else {
        write!(out, "{} idle", p.workers.idle)?;
    }
    out.write_str("</td>")?;
    number(out, p.pending)?;
    out.write_str("<td>")?;
    for w in t.waiting {
        write!(out, "{} &times; {}<br>", w.count, Text(w.item.function()))?;
    }
    out.write_str("</td></tr>\n")
}

fn seat(out: &mut dyn Write, s: &wq::Seat) -> fmt::Result {
    if let Some(id) = s.thread {
        write!(out, "{id} ")?;
    }
    write!(out, "{}", s.doing.name())?;
    for (set, what) in [(s.rescuer, "rescuer"), (s.cpu_intensive, "CPU intensive")] {
        if set {
            write!(out, ", {what}")?;
        }
    }
    if let Some(item) = s.item {
        write!(out, ": {}", Text(item.function()))?;
    }
    if let Some(queue) = &s.queue {
        write!(out, " of {}", Text(queue))?;
    }
    if let Some(lasts) = s.lasts {
        write!(out, " for {} ms", lasts.as_millis())?;
    }
    out.write_str("<br>")
}

fn queues(out: &mut dyn Write) -> fmt::Result {
    let columns = [
        "Queue",
        "Kind",
        "#Limit",
        "#Active",
        "#Inactive",
        "#Pending",
        "#Started",
        "#Over",
    ];
    begin(out, "Workqueues", &columns)?;
    let mut done = Ok(());
    wq::for_each_queue(|q| {
        if done.is_ok() {
            done = queue(out, &q);
        }
    });
    done?;
    end(out)
}

fn queue(out: &mut dyn Write, q: &wq::QueueInfo) -> fmt::Result {
    write!(
        out,
        "<tr><th scope=\"row\">{}</th><td>{}</td>",
        Text(&q.name),
        q.kind
    )?;
    // BH queues have no limit (K1).
    match q.kind {
        "bh" => number(out, "none")?,
        _ => number(out, q.max_active)?,
    }
    number(out, q.active)?;
    number(out, q.inactive)?;
    number(out, q.pending)?;
    number(out, q.stats.started)?;
    number(out, q.stats.completed)?;
    out.write_str("</tr>\n")
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn names_are_text_in_a_page() {
        assert_eq!(Text("Seat<a> & b").to_string(), "Seat&lt;a> &amp; b");
    }

    #[test]
    fn the_page_is_one_file() {
        for outside in ["src=\"http", "href=\"http", "url(http", "@import", "//cdn"] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
        assert!(PAGE.contains("<noscript>"), "there is a way without script");
    }
}
