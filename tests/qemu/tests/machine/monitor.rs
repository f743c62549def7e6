//! The monitor as a user meets it at the console.

use std::time::{Duration, Instant};

use qemu_tests::service;
use xtask::failure;
use xtask::guest::{Guest, Terminal};
use xtask::options::Options;

use crate::{Body, check};

pub(crate) const TESTS: &[(&str, Body)] = &[
    ("monitor_answers_every_command", every_command),
    ("monitor_edits_and_completes", edits),
    ("monitor_repeats_until_told", repeats),
    ("monitor_switches_cores_and_queues", switches),
    ("monitor_panics_on_request", panics),
    ("monitor_powers_off", powers_off),
    ("monitor_reboots", reboots),
];

const LIMIT: Duration = Duration::from_secs(90);
pub(crate) const PROMPT: &str = "roundtable> ";

/// A guest at whose console somebody types.
pub(crate) struct Shell {
    pub(crate) guest: Guest,
    cursor: usize,
    pub(crate) end: Instant,
}

impl Shell {
    pub(crate) fn boot(options: Options) -> Result<Self, String> {
        let image = service::image()?;
        let guest = Guest::start(&options, &image, Terminal::Typed).map_err(|f| f.message)?;
        let end = Instant::now() + LIMIT;
        let mut shell = Self {
            guest,
            cursor: 0,
            end,
        };
        shell.wait_for("roundtable: up")?;
        Ok(shell)
    }

    /// On two cores.
    fn plain() -> Result<Self, String> {
        let mut shell = Self::boot(Options {
            smp: 2,
            http_port: 0,
            echo_port: 0,
            yes: true,
            ..Options::default()
        })?;
        shell.run("\r", "type help")?;
        Ok(shell)
    }

    fn wait_for(&mut self, words: &str) -> Result<(), String> {
        let console = self.guest.console();
        let found = console.wait_for(words, &mut self.cursor, self.end);
        check(found, format!("\"{words}\" in\n{}", console.since(0)))
    }

    /// Types `keys`; what was said until a line had `words`.
    fn run(&mut self, keys: &str, words: &str) -> Result<String, String> {
        let begin = self.guest.console().end();
        check(self.guest.type_in(keys), "the console can be typed at")?;
        self.cursor = begin;
        self.wait_for(words)?;
        // Up to the next prompt, which ends no line.
        let end = Instant::now() + LIMIT;
        loop {
            let said = self.guest.console().since(begin);
            if said.ends_with(PROMPT) {
                return Ok(said);
            }
            check(Instant::now() < end, format!("no prompt in\n{said}"))?;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Types q, which brings the prompt back.
    fn ends_repeating(&mut self) -> Result<(), String> {
        check(self.guest.type_in("q"), "typed")?;
        while Instant::now() < self.end {
            if self.guest.console().since(0).ends_with(PROMPT) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!("no prompt in\n{}", self.guest.console().since(0)))
    }

    fn wants(&mut self, line: &str, words: &[&str]) -> Result<(), String> {
        let last = words.last().ok_or("nothing is wanted")?;
        let said = self.run(&format!("{line}\r"), last)?;
        for word in words {
            check(
                said.contains(word),
                format!("{line}: \"{word}\" in\n{said}"),
            )?;
        }
        Ok(())
    }
}

/// Each command, and a wrong use of most of them.
fn every_command() -> Result<(), String> {
    let mut shell = Shell::plain()?;
    for (line, words) in [
        ("help", &["poweroff", "bt cpuN|THREAD", "Tab completes"][..]),
        ("help wq", &["workqueues: pods"]),
        (
            "ps",
            &[
                "vruntime",
                "init: is parked",
                "kworker/0:0",
                "running",
                "monitor",
            ],
        ),
        (
            "wq",
            &["Workqueue x CPU -> pool", "nr_running", "http", "completed"],
        ),
        ("lat", &["for a worker"]),
        ("trace", &["on: sched workqueue", "off: irq"]),
        ("trace on irq,timer", &["on: irq timer", "off: sched"]),
        ("trace off", &["on: nothing"]),
        ("trace on", &["on: sched workqueue"]),
        ("trace dump 5", &["cpu0 ", "sched_switch: prev_", "events"]),
        ("irq", &["cpu1", "timer", "TASKLET", "to ksoftirqd"]),
        ("mem", &["heap, in use", "connections"]),
        ("locks", &["waited for", "deadlocks: 0"]),
        ("cpu", &["switches", "online"]),
        ("freeze", &["start nothing any more"]),
        ("thaw", &["start what waits"]),
        ("stress", &["sleepers", "yield to each other"]),
        (
            "set",
            &["watchdog_thresh", "http: max_active 2048", "THREAD.cpumask"],
        ),
        ("set watchdog_thresh 31", &["watchdog_thresh=31"]),
        ("set http.max_active 64", &["http.max_active=64"]),
        ("set 1.nice 3", &["1.nice=3"]),
        ("set 4.cpumask 0-1", &["4.cpumask=0-1"]),
        (
            "set 4.cpumask 5",
            &["error: \"5\": none of these cores is online"],
        ),
        (
            "set 4.cpumask x",
            &["error: \"x\": expected cores such as 0-3,6"],
        ),
        (
            "set 3.cpumask 0",
            &["error: thread 3 \"ksoftirqd/0\" belongs to its core or pool"],
        ),
        ("bt cpu0", &["core 0 is in thread", "#0 "]),
        ("bt 4", &["thread 4 ", "#0 ", "thread_main"]),
        ("uptime", &["threads runnable"]),
        ("nonsense", &["error: no command is called \"nonsense\""]),
        ("ps 1", &["error: ps takes nothing"]),
        (
            "cpu 9 off",
            &["error: there is no core 9; there are 0 to 1"],
        ),
        ("set http.max_active 0", &["error: http.max_active: "]),
        (
            "set http.colour 1",
            &["error: http.colour: no such parameter or attribute"],
        ),
        (
            "set nobody.nice 1",
            &["error: nobody.nice: no exported queue"],
        ),
        ("set watchdog_thresh x", &["error: watchdog_thresh: "]),
        ("set http.nice 5", &["error: http.nice: "]),
        ("set http.cpumask x", &["error: http.cpumask: "]),
        (
            "set 9999.nice 1",
            &["error: there is no thread 9999; ps lists them"],
        ),
        ("set 1.nice 99", &["error: \"99\": expected -20 to 19"]),
        (
            "set 1.colour 1",
            &["error: a thread has nice and cpumask, and no colour"],
        ),
        ("bt 9999", &["error: there is no thread 9999"]),
        ("bt cpu7", &["error: there is no core 7"]),
        (
            "trace on x",
            &["error: \"x\": expected all, off, or some of sched"],
        ),
        ("quit", &["the console's session does not end"]),
    ] {
        shell.wants(line, words)?;
    }
    let said = shell.run("clear\r", "clear")?;
    // The console leaves out the escapes.
    check(said.contains("[H[2J"), format!("cleared: {said}"))?;
    waits_are_traced(&mut shell)
}

/// The thread of this load waits for its queue's last item.
fn waits_are_traced(shell: &mut Shell) -> Result<(), String> {
    shell.wants("trace on lock", &["on: lock"])?;
    shell.wants("stress blocker 1", &["blocker for 1 s"])?;
    loop {
        let said = shell.run("trace dump 20\r", " events")?;
        if said.contains("contention_begin: ") {
            return Ok(());
        }
        check(Instant::now() < shell.end, format!("no wait in {said}"))?;
    }
}

fn edits() -> Result<(), String> {
    let mut shell = Shell::plain()?;
    // Deleted, moved, completed; and the line before again.
    let said = shell.run("upx\x7fti\tx\x7f\r", "threads runnable")?;
    check(said.contains("uptime"), format!("completed: {said}"))?;
    shell.run("\x1b[A\r", "threads runnable")?;
    shell.run("\tq\x15ps\x01\x0bmem\r", "connections")?;
    shell.run("se\thttp.max\t70\r", "http.max_active=70")?;
    shell.run("garbage\x03", "^C")?;
    Ok(())
}

fn repeats() -> Result<(), String> {
    let mut shell = Shell::plain()?;
    shell.wants("stress hogs 60", &["hogs for 60 s"])?;
    check(shell.guest.type_in("top 1\r"), "typed")?;
    for _ in 0..2 {
        shell.wait_for("threads, ")?;
        shell.wait_for("kworker")?;
    }
    shell.ends_repeating()?;
    check(shell.guest.type_in("wqmon 1\r"), "typed")?;
    for _ in 0..2 {
        shell.wait_for("start/s")?;
        shell.wait_for("events")?;
    }
    shell.ends_repeating()?;
    shell.wants("uptime", &["threads runnable"])?;
    for load in ["sleepers", "burst", "blocker", "locks", "switch"] {
        shell.wants(&format!("stress {load} 60"), &[&format!("{load} for 60 s")])?;
    }
    // The monitor answers while all of them run.
    shell.wants("ps", &["stress/switch", "monitor"])
}

fn switches() -> Result<(), String> {
    let mut shell = Shell::plain()?;
    shell.wants("cpu 1 off", &["core 1 is offline"])?;
    shell.wants("bt cpu1", &["core 1 is offline"])?;
    shell.wants(
        "cpu 1 off",
        &["error: core 1: the core is in that state already"],
    )?;
    shell.wants(
        "cpu 0 off",
        &["error: core 0: the last core cannot go offline"],
    )?;
    shell.wants("cpu 1 on", &["core 1 is online"])?;
    shell.wants("cpu", &["1 online"])
}

fn ends(line: &str) -> Result<(String, u8), String> {
    let mut shell = Shell::plain()?;
    check(shell.guest.type_in(&format!("{line}\r")), "typed")?;
    let _ = shell.guest.wait(shell.end);
    let code = shell.guest.exit_code();
    Ok((shell.guest.console().since(0), code))
}

fn panics() -> Result<(), String> {
    let (said, code) = ends("panic")?;
    check(code == failure::PANIC, format!("exit code {code}\n{said}"))?;
    let told = said.contains("kernel panic: asked for at the monitor");
    check(told && said.contains("end of panic report"), said)
}

fn powers_off() -> Result<(), String> {
    let (said, code) = ends("poweroff")?;
    check(code == 0 && said.contains("power off: asked for"), said)
}

fn reboots() -> Result<(), String> {
    let mut shell = Shell::plain()?;
    check(shell.guest.type_in("reboot\r"), "typed")?;
    shell.wait_for("reboot: asked for")?;
    shell.wait_for("roundtable: up")?;
    shell.run("\r", "type help")?;
    shell.wants("uptime", &["threads runnable"])
}
