//! `/metrics`, read by somebody else's parser, and what the figures must be to each other.

use std::collections::{BTreeMap, BTreeSet};

use openmetrics_parser::prometheus::parse_prometheus;
use openmetrics_parser::{HistogramValue, PrometheusType, PrometheusValue};
use qemu_tests::http::{Client, get};
use qemu_tests::service::Address;

use crate::Body;
use crate::Where::{self, Everywhere, Once};
use crate::protocol::check;

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    ("metrics_are_prometheus_text", Everywhere, text),
    ("metrics_count_upwards", Once, upwards),
    ("metrics_histograms_are_cumulative", Everywhere, histograms),
    ("metrics_of_the_dashboard_exist", Once, dashboard),
];

/// Series by name and labels.
type Series<T> = BTreeMap<String, T>;

#[derive(Default)]
struct Page {
    counters: Series<f64>,
    gauges: Series<f64>,
    histograms: Series<HistogramValue>,
}

fn fetch(at: Address) -> Result<String, String> {
    let answer = Client::connect(at.http)?
        .ask(get("/metrics"))?
        .expect(200)?;
    let kind = answer.header("content-type").unwrap_or_default();
    check(kind.starts_with("text/plain; version=0.0.4"), kind)?;
    String::from_utf8(answer.body).map_err(|e| e.to_string())
}

fn read(text: &str) -> Result<Page, String> {
    let parsed = parse_prometheus(text).map_err(|e| format!("{e:?}"))?;
    let mut page = Page::default();
    for (name, family) in &parsed.families {
        check(name.starts_with("roundtable_"), name)?;
        check(!family.help.is_empty(), &format!("{name} has no help"))?;
        let total = family.family_type == PrometheusType::Counter;
        check(
            name.ends_with("_total") == total,
            &format!("{name} is called as its type is"),
        )?;
        for sample in family.iter_samples() {
            let labels = sample.get_labelset().map_err(|e| format!("{e:?}"))?;
            let labels: BTreeMap<_, _> = labels.iter().collect();
            let key = format!("{name}{labels:?}");
            match &sample.value {
                PrometheusValue::Counter(c) => {
                    page.counters.insert(key, c.value.as_f64());
                }
                PrometheusValue::Gauge(g) => {
                    page.gauges.insert(key, g.as_f64());
                }
                PrometheusValue::Histogram(h) => {
                    page.histograms.insert(key, h.clone());
                }
                other => return Err(format!("{key} is {other:?}")),
            }
        }
    }
    Ok(page)
}

/// What the format wants and a lenient parser does not: families in one piece, each with its head first.
fn text(at: Address) -> Result<(), String> {
    let text = fetch(at)?;
    let page = read(&text)?;
    for (what, n) in [
        ("counters", page.counters.len()),
        ("gauges", page.gauges.len()),
        ("histograms", page.histograms.len()),
    ] {
        check(n > 5, &format!("{n} {what}"))?;
    }
    check(text.ends_with('\n'), "the last line ends")?;
    let (mut seen, mut current) = (BTreeSet::new(), String::new());
    for line in text.lines() {
        let name = match line.strip_prefix("# HELP ") {
            Some(rest) => {
                let name = rest.split(' ').next().unwrap_or_default().to_owned();
                check(seen.insert(name.clone()), &format!("{name} begins twice"))?;
                current = name;
                continue;
            }
            None => line.strip_prefix("# TYPE ").unwrap_or(line),
        };
        let name = name.split([' ', '{']).next().unwrap_or_default();
        let of_family = ["", "_bucket", "_sum", "_count"]
            .iter()
            .any(|end| name.strip_suffix(end) == Some(&current));
        check(of_family, &format!("{name} stands under {current}"))?;
    }
    for family in ["uptime_seconds", "threads", "memory_used_bytes"] {
        let value = page.gauges.get(&format!("roundtable_{family}{{}}"));
        check(value.is_some_and(|v| *v > 0.0), family)?;
    }
    Ok(())
}

fn upwards(at: Address) -> Result<(), String> {
    let before = read(&fetch(at)?)?;
    for _ in 0..5 {
        Client::connect(at.http)?.ask(get("/hello"))?.expect(200)?;
        Client::connect(at.http)?
            .ask(get("/nothing"))?
            .expect(404)?;
    }
    let after = read(&fetch(at)?)?;
    for (key, old) in &before.counters {
        let new = after.counters.get(key);
        check(
            new.is_some_and(|new| new >= old),
            &format!("{key}: {old}, then {new:?}"),
        )?;
    }
    let grew = |key: &str, by: f64| {
        let of = |page: &Page| page.counters.get(key).copied();
        let (old, new) = (of(&before), of(&after));
        let enough = old.zip(new).is_some_and(|(old, new)| new >= old + by);
        check(enough, &format!("{key}: {old:?}, then {new:?}"))
    };
    grew(r#"roundtable_http_requests_total{"code": "2xx"}"#, 6.0)?;
    grew(r#"roundtable_http_requests_total{"code": "4xx"}"#, 5.0)?;
    grew(
        r#"roundtable_workqueue_started_total{"queue": "http"}"#,
        10.0,
    )?;
    grew(
        r#"roundtable_softirqs_total{"cpu": "0", "vector": "TASKLET"}"#,
        1.0,
    )?;
    grew(
        r#"roundtable_intr_total{"cpu": "0", "type": "device"}"#,
        1.0,
    )?;
    grew("roundtable_tcp_established_total{}", 10.0)?;
    let durations = "roundtable_http_request_duration_seconds{}";
    let count = |page: &Page| page.histograms.get(durations).and_then(|h| h.count);
    check(count(&after) >= count(&before).map(|n| n + 11), "durations")
}

fn histograms(at: Address) -> Result<(), String> {
    Client::connect(at.http)?
        .ask(get("/demo/sleep?ms=30"))?
        .expect(200)?;
    let page = read(&fetch(at)?)?;
    for (key, h) in &page.histograms {
        let buckets = &h.buckets;
        check(
            buckets.is_sorted_by(|a, b| a.upper_bound < b.upper_bound),
            key,
        )?;
        let counts: Vec<f64> = buckets.iter().map(|b| b.count.as_f64()).collect();
        check(
            counts.is_sorted(),
            &format!("{key} is cumulative: {counts:?}"),
        )?;
        let last = buckets
            .last()
            .ok_or_else(|| format!("{key} has no buckets"))?;
        check(
            last.upper_bound.is_infinite(),
            &format!("{key} ends with +Inf"),
        )?;
        let count = h.count.ok_or_else(|| format!("{key} has no count"))?;
        check(
            last.count.as_f64() == count as f64,
            &format!("{key}: +Inf is the count"),
        )?;
        let sum = h.sum.as_ref().map(|s| s.as_f64());
        let sum = sum.ok_or_else(|| format!("{key} has no sum"))?;
        // Each of a bucket took longer than the bound before.
        let (mut least, mut before, mut bound) = (0.0, 0.0, 0.0);
        for b in buckets {
            least += (b.count.as_f64() - before) * bound;
            (before, bound) = (b.count.as_f64(), b.upper_bound);
        }
        check(
            sum >= least,
            &format!("{key}: the sum {sum} is at least {least}"),
        )?;
    }
    let slow = &page.histograms["roundtable_http_request_duration_seconds{}"];
    let fast = slow.buckets.iter().find(|b| b.upper_bound == 0.025);
    let fast = fast.map_or(0.0, |b| b.count.as_f64());
    let all = slow.count.unwrap_or(0) as f64;
    check(fast < all, "one request took 30 ms")
}

/// Names in the expressions of the dashboard that ships with the documentation.
fn dashboard(at: Address) -> Result<(), String> {
    let path = xtask::tree::root().join("docs/grafana-dashboard.json");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let board: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let panels = board["panels"].as_array().ok_or("no panels")?;
    let targets = panels
        .iter()
        .filter_map(|p| p["targets"].as_array())
        .flatten();
    let expressions: Vec<&str> = targets.filter_map(|t| t["expr"].as_str()).collect();
    check(expressions.len() > 10, "expressions")?;
    let page = fetch(at)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for expression in expressions {
        let names = expression
            .split(|c| !is_name(c))
            .filter(|w| w.starts_with("roundtable_"));
        let mut any = false;
        for name in names {
            any = true;
            let found = page
                .lines()
                .any(|line| line.split([' ', '{']).next() == Some(name));
            check(found, &format!("{name} of {expression}"))?;
        }
        check(any, &format!("{expression} asks for nothing of ours"))?;
    }
    Ok(())
}
