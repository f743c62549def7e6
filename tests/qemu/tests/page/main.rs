//! The live page in a real browser: `page::loads_without_complaints`; and a trace in Perfetto's.
//!
//! The browser is the system's Chromium, headless. On a build machine (`CI` set) it is installed, and a
//! missing one is a failure; elsewhere the tests are ignored without one, with a line that says so.

mod looks;
mod trace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use qemu_tests::service::Service;
use xtask::browser::Browser;
use xtask::{Outcome, packages, perfetto_ui, tell};

/// How long a loaded host may take for what should take moments.
const LATE: Duration = Duration::from_secs(90);
const WINDOW: (u32, u32) = (1440, 1100);
/// The page is connected and has shown some snapshots.
const LIVE: &str = "Number(document.body.dataset.sequence) > 2";

type Test = fn(&mut Browser, &str) -> Result<(), String>;

const TESTS: &[(&str, Test)] = &[
    ("loads_without_complaints", loads),
    ("tables_move_under_load", moves),
    ("a_buttons_work_appears_and_ends", button),
    ("a_blocker_holds_its_line", blocker),
    ("refusals_are_shown", refusals),
    ("keyboard_reaches_everything", looks::keyboard),
    ("reads_well_in_light_and_dark", looks::contrast),
    ("screen_readers_are_told", looks::names),
    ("fits_small_windows", looks::small),
    ("pause_stops_the_stream", pause),
    ("comes_back_after_an_end", reconnects),
    ("without_script_there_are_tables", no_script),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let browser = packages::chromium();
    let service = Service::new("page", "");
    if let Err(missing) = &browser {
        eprintln!("page: {missing}");
    }
    let ignored = browser.is_err() && !tell::is_ci();
    let mut trials = Vec::new();
    for &(name, body) in TESTS {
        let name = format!("page::{name}");
        if selects(&arguments, &name) && browser.is_ok() {
            service.announce();
        }
        let service = Arc::clone(&service);
        let browser = browser.clone();
        let trial = Trial::test(name, move || match browser {
            Ok(program) => run(&service, program, body).map_err(Failed::from),
            Err(missing) => Err(Failed::from(missing.to_string())),
        });
        trials.push(trial.with_ignored_flag(ignored));
    }
    let trial = opens_in_perfetto(&service, browser);
    if selects(&arguments, trial.name()) && !trial.has_ignored_flag() {
        service.announce();
    }
    trials.push(trial);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The only test that needs more than the browser.
fn opens_in_perfetto(service: &Arc<Service>, browser: Outcome<PathBuf>) -> Trial {
    let missing = match &browser {
        Ok(_) => perfetto_ui::files().err().map(|e| e.to_string()),
        Err(e) => Some(e.to_string()),
    };
    if let Some(missing) = &missing {
        eprintln!("page::a_trace_opens_in_perfetto: {missing}");
    }
    let service = Arc::clone(service);
    let trial = Trial::test("page::a_trace_opens_in_perfetto", move || {
        let program = browser.map_err(|e| e.to_string())?;
        let test = |at| trace::opens(&mut Browser::start(&program, WINDOW)?, at);
        service.test_alone(test).map_err(Failed::from)
    });
    trial.with_ignored_flag(missing.is_some() && !tell::is_ci())
}

fn selects(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &str| match arguments.exact {
        true => name == filter,
        false => name.contains(filter),
    };
    arguments.filter.as_deref().is_none_or(matches) && !arguments.skip.iter().any(|s| matches(s))
}

/// Each test has a browser and the guest for itself.
fn run(service: &Service, program: PathBuf, body: Test) -> Result<(), String> {
    service.test_alone(|at| {
        let mut browser = Browser::start(Path::new(&program), WINDOW)?;
        body(&mut browser, &format!("http://{}/", at.http))
    })
}

fn check(right: bool, what: &str) -> Result<(), String> {
    if right {
        Ok(())
    } else {
        Err(format!("wrong: {what}"))
    }
}

/// Opens the page and waits until it moves.
fn live(b: &mut Browser, url: &str) -> Result<(), String> {
    b.open(url)?;
    b.wait_for("the page is live", LIVE, LATE)
}

fn content(b: &mut Browser) -> Result<(), String> {
    let complaints = b.complaints()?;
    check(
        complaints.is_empty(),
        &format!("complaints: {complaints:?}"),
    )
}

/// Fills in a form's fields and presses its button, as a person would.
fn submit(b: &mut Browser, form: &str, fields: &[(&str, &str)]) -> Result<(), String> {
    for (name, value) in fields {
        b.evaluate(&format!(
            "document.querySelector('{form} [name={name}]').value = '{value}'"
        ))?;
    }
    b.evaluate(&format!("document.querySelector('{form} button').click()"))
        .map(drop)
}

fn loads(b: &mut Browser, url: &str) -> Result<(), String> {
    live(b, url)?;
    b.wait_for(
        "four cores",
        "document.querySelectorAll('#cores .core').length === 4",
        LATE,
    )?;
    for (what, expression) in [
        (
            "two tables a core",
            "document.querySelectorAll('#cores svg.table').length === 8",
        ),
        (
            "somebody sits at each",
            "[...document.querySelectorAll('#cores svg.table')].every(t => t.querySelector('[data-state]'))",
        ),
        (
            "an unbound table",
            "document.querySelectorAll('#unbound svg.table').length >= 1",
        ),
        (
            "the queues",
            "document.querySelector('[data-queue=http]') !== null && document.querySelector('[data-queue=events]') !== null",
        ),
        (
            "it says that it is live",
            "document.getElementById('link').textContent === 'live'",
        ),
        (
            "latencies of the queue http",
            "document.querySelector('[data-queue=http]').children[9].textContent !== ''",
        ),
        (
            "a rate",
            "document.getElementById('rate').textContent !== '–'",
        ),
    ] {
        b.wait_for(what, expression, LATE)?;
    }
    // Nothing came from elsewhere.
    let outside = "performance.getEntriesByType('resource').filter(r => !r.name.startsWith(location.origin)).length";
    check(b.evaluate(outside)? == 0, "everything is the guest's")?;
    content(b)
}

fn moves(b: &mut Browser, url: &str) -> Result<(), String> {
    live(b, url)?;
    b.evaluate("document.body.dataset.most = 0; new MutationObserver(() => { const n = document.querySelectorAll('#cores [data-state=blocked]').length; if (n > Number(document.body.dataset.most)) document.body.dataset.most = n }).observe(document.getElementById('cores'), {subtree: true, attributes: true, childList: true})")?;
    // A browser asks for one address once at a time.
    let load = "Promise.all(Array.from({length: 4}, (_, i) => fetch('/demo/sleep?ms=300' + i).then(r => r.status)))";
    let answers = b.evaluate(load)?;
    check(
        answers
            .as_array()
            .is_some_and(|a| a.iter().all(|s| *s == 200)),
        &answers.to_string(),
    )?;
    let most = b.evaluate("Number(document.body.dataset.most)")?;
    check(
        most.as_u64() >= Some(3),
        &format!("sleeping handlers were seen at the tables: {most}"),
    )?;
    b.wait_for(
        "they leave",
        "document.querySelectorAll('#cores [data-state=blocked]').length === 0",
        LATE,
    )?;
    content(b)
}

fn button(b: &mut Browser, url: &str) -> Result<(), String> {
    live(b, url)?;
    submit(b, "[data-demo=sleepers]", &[("n", "9"), ("ms", "6500")])?;
    b.wait_for(
        "the page says so",
        "document.getElementById('said').textContent === '9 items queued on demo.'",
        LATE,
    )?;
    b.wait_for(
        "nine sleep at the tables",
        "document.querySelectorAll('#cores [data-state=blocked]').length === 9",
        LATE,
    )?;
    b.wait_for(
        "their name is told",
        "document.getElementById('cores').textContent.includes('sleeper · blocked · demo')",
        LATE,
    )?;
    b.wait_for(
        "their queue is listed",
        "document.querySelector('tr[data-queue=demo]').children[3].textContent === '9'",
        LATE,
    )?;
    b.wait_for("they end", "document.body.dataset.demo === '0' && document.querySelectorAll('#cores [data-state=blocked]').length === 0", LATE)?;
    // The switches of its queue work now.
    b.wait_for(
        "the limit can be set",
        "!document.querySelector('[data-set=max_active] fieldset').disabled",
        LATE,
    )?;
    submit(b, "[data-set=max_active]", &[("value", "3")])?;
    b.wait_for(
        "the new limit",
        "document.querySelector('tr[data-queue=demo]').children[2].textContent === '3'",
        LATE,
    )?;
    submit(b, "[data-set=max_active]", &[("value", "1024")])?;
    b.wait_for(
        "the old limit",
        "document.querySelector('tr[data-queue=demo]').children[2].textContent === '1024'",
        LATE,
    )?;
    content(b)
}

fn blocker(b: &mut Browser, url: &str) -> Result<(), String> {
    live(b, url)?;
    submit(
        b,
        "[data-demo=blocker]",
        &[("n", "7"), ("ms", "10000"), ("queue", "ordered")],
    )?;
    let held = "document.querySelectorAll('[data-held=demo_ordered] i').length === 7";
    b.wait_for("seven are held back", held, LATE)?;
    let asleep = "document.querySelectorAll('#unbound [data-state=blocked]').length === 1";
    b.wait_for("one sleeps at an unbound table", asleep, LATE)?;
    b.wait_for(
        "the line is gone",
        "document.querySelector('[data-held]') === null",
        LATE,
    )?;
    submit(b, "[data-demo=burst]", &[("n", "512"), ("ms", "9")])?;
    let line =
        "[...document.querySelectorAll('#cores svg')].some(t => Number(t.dataset.pending) > 12)";
    b.wait_for("a burst lines up", line, LATE)?;
    submit(b, "[data-demo=hog]", &[("n", "2"), ("ms", "4000")])?;
    b.wait_for(
        "a hog is marked",
        "document.querySelector('#cores .seat.hog[data-state]') !== null",
        LATE,
    )?;
    b.wait_for("they end", "document.body.dataset.demo === '0'", LATE)?;
    content(b)
}

fn refusals(b: &mut Browser, url: &str) -> Result<(), String> {
    live(b, url)?;
    submit(b, "[data-demo=sleepers]", &[("n", "64"), ("ms", "10000")])?;
    b.wait_for(
        "the reason",
        "document.getElementById('said').textContent === 'Refused: n times ms: at most 60000'",
        LATE,
    )?;
    // The browser itself notes a status of 400, and nothing else.
    let complaints = b.complaints()?;
    let expected = |c: &String| c.contains("400") && c.contains("\"network\"");
    check(complaints.iter().all(expected), &format!("{complaints:?}"))
}

fn pause(b: &mut Browser, url: &str) -> Result<(), String> {
    live(b, url)?;
    b.evaluate("document.getElementById('pause').click()")?;
    let streams = "fetch('/api/v1/http').then(r => r.json()).then(h => h.event_streams === 0)";
    b.wait_for("the stream is closed", streams, LATE)?;
    check(
        b.evaluate("document.getElementById('link').textContent")? == "paused",
        "it says so",
    )?;
    b.evaluate("delete document.body.dataset.sequence; document.getElementById('pause').click()")?;
    b.wait_for("it goes on", LIVE, LATE)?;
    content(b)
}

/// Takes all places for streams, so that the page is refused, and then lets it in.
fn reconnects(b: &mut Browser, url: &str) -> Result<(), String> {
    use qemu_tests::http::{Client, get};
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let address = address.parse().map_err(|e| format!("{address}: {e}"))?;
    let mut others = Vec::new();
    loop {
        let mut client = Client::connect(address)?;
        if client.begin(get("/api/v1/events?hz=1"))?.status != 200 {
            break;
        }
        others.push(client);
    }
    check(others.len() == 16, "sixteen have a place")?;
    b.open(url)?;
    let refused = "document.getElementById('link').textContent.startsWith('refused')";
    b.wait_for("the page says that it was refused", refused, LATE)?;
    drop(others);
    b.wait_for("it gets a place later", LIVE, LATE)
}

fn no_script(b: &mut Browser, url: &str) -> Result<(), String> {
    b.script(false)?;
    b.open(url)?;
    b.wait_for(
        "the tables",
        "location.pathname === '/tables' && document.querySelectorAll('table').length === 3",
        LATE,
    )?;
    for (what, expression) in [
        (
            "every core",
            "document.querySelectorAll('table')[0].tBodies[0].rows.length === 4",
        ),
        (
            "every pool",
            "document.querySelectorAll('table')[1].tBodies[0].rows.length >= 17",
        ),
        (
            "what writes this",
            "document.querySelectorAll('table')[1].textContent.includes('running: services::hall::visit of http')",
        ),
        (
            "every queue",
            "[...document.querySelectorAll('table')[2].tBodies[0].rows].some(r => r.textContent.startsWith('http'))",
        ),
        (
            "it is reloaded",
            "document.querySelector('meta[http-equiv=refresh]').content === '2'",
        ),
    ] {
        b.wait_for(what, expression, LATE)?;
    }
    content(b)
}
