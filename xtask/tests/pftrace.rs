//! What the kernel's encoder writes, read by another protobuf library after another description of
//! the schema.

use perfetto::{Counter, Encoder, Names, System};
use prost::Message;
use trace::{Event, Head, Kind, pack_name};
use xtask::pftrace::check::{Checked, check};
use xtask::pftrace::schema::{Trace, packet};
use xtask::pftrace::{self, json, text};

const QUEUE: u64 = 0x4000_1000;
const ITEM: u64 = 0x4000_2040;
const OTHER: u64 = 0x4000_2080;
const FUNCTION: u64 = 0x4010_0004;
const CONNECTION: u64 = 0x4000_9000;

/// Knows two threads, a queue and a function.
struct Table;

impl Names for Table {
    fn thread(&mut self, id: u32, tell: &mut dyn FnMut(&str, u8)) {
        match id {
            7 => tell("kworker/0:1", 120),
            8 => tell("kworker/0:1H", 100),
            _ => {}
        }
    }
    fn queue(&mut self, address: u64, tell: &mut dyn FnMut(&str)) {
        if address == QUEUE {
            tell("events");
        }
    }
    fn function(&mut self, address: u64) -> Option<&'static str> {
        (address == FUNCTION).then_some("demo::item")
    }
}

/// A machine of two cores and what happens on it.
struct Stage {
    encoder: Encoder<Table>,
    at: u64,
    running: [u32; 2],
    lost: u64,
}

impl Stage {
    fn new() -> Self {
        let mut encoder = Encoder::new(2, Table).expect("memory");
        let machine = System {
            board: "a board",
            version: "1.2.3",
            cores: 2,
        };
        encoder.begin(1_000, &machine);
        Self {
            encoder,
            at: 1_000,
            running: [0; 2],
            lost: 0,
        }
    }

    fn see(&mut self, cpu: usize, kind: Kind, head: Head, a: u64, b: u64) {
        self.at += 10;
        let event = Event {
            stamp: self.at,
            kind,
            head,
            a,
            b,
        };
        let has_one = matches!(
            kind,
            Kind::ExecuteStart | Kind::TimerStart | Kind::TimerExpireEntry
        );
        let function = has_one.then_some(FUNCTION);
        let thread = Some(self.running[cpu]);
        let moment = (self.at, thread, std::mem::take(&mut self.lost));
        self.encoder.event(cpu, moment, &event, function);
    }

    fn switch(&mut self, cpu: usize, to: u32, why: u64) {
        let from = self.running[cpu];
        self.see(cpu, Kind::SchedSwitch, Head::of(to), u64::from(from), why);
        self.running[cpu] = to;
    }

    fn queue(&mut self, item: u64, active: bool) {
        let head = Head::with(3, 1).flags(u8::from(active) * Kind::ACTIVE);
        self.see(1, Kind::QueueWork, head, item, QUEUE);
    }

    fn item(&mut self, cpu: usize, kind: Kind, item: u64) {
        self.see(cpu, kind, Head::of(3), item, QUEUE);
    }

    fn end(mut self) -> Vec<u8> {
        self.encoder.end(self.at + 10);
        self.encoder.output().expect("memory").to_vec()
    }
}

/// Two items on one core, the second held back by the first; it blocks and goes on.
fn story(s: &mut Stage) {
    s.queue(ITEM, true);
    s.see(1, Kind::SchedWakeup, Head::of(7), 0, 3);
    s.switch(0, 7, 1);
    s.item(0, Kind::ExecuteStart, ITEM);
    s.queue(OTHER, false);
    s.see(0, Kind::WorkerSleep, Head::of(3), 0, 0);
    s.see(0, Kind::WorkerWake, Head::of(3), 8, 0);
    s.switch(0, 8, 1);
    s.switch(0, 7, 1);
    s.item(0, Kind::ExecuteEnd, ITEM);
    s.item(0, Kind::ActivateWork, OTHER);
    s.item(0, Kind::ExecuteStart, OTHER);
    s.item(0, Kind::ExecuteEnd, OTHER);
    s.switch(0, 0, 1);
}

#[test]
fn a_story_holds_together() {
    let mut s = Stage::new();
    story(&mut s);
    let counter = |value| Counter {
        id: 5,
        name: format_args!("pool 3 nr_running"),
        value,
    };
    for value in [0, 1, 1, 0] {
        s.encoder.counter(s.at, counter(value));
    }
    s.see(1, Kind::HttpRequestStart, Head::of(0), CONNECTION, 0);
    s.see(1, Kind::HttpRequestEnd, Head::of(200), CONNECTION, 0);
    let bytes = s.end();
    let checked = check(&bytes).expect("it holds together");
    assert_eq!(
        checked,
        Checked {
            switches: 4,
            executed: 2,
            // Pending and running; inactive, pending and running; a request.
            slices: 6,
            values: 2,
        }
    );
    let trace = pftrace::read(&bytes).expect("a trace");
    assert_eq!(trace.counts(), [(11, 0), (5, 0)]);
    assert_eq!(trace.thread_names()[&8], "kworker/0:1H");
    assert_eq!(trace.functions()[&FUNCTION], "demo::item");
}

#[test]
fn every_kind_of_event_is_one_the_schema_knows() {
    let mut s = Stage::new();
    for &kind in Kind::ALL {
        let (a, b) = match kind {
            Kind::SchedSwitch => (0, 1),
            Kind::TaskNewtask => pack_name("a thread with a long name"),
            Kind::SchedMigrateTask | Kind::SchedWakeup | Kind::SchedWakeupNew => (1, 0),
            // Priorities.
            Kind::SchedPiSetprio => (120, 139),
            _ => (u64::MAX, u64::MAX),
        };
        let arg = if kind == Kind::SchedSwitch { 0 } else { 40 };
        s.see(0, kind, Head::with(arg, 120), a, b);
    }
    let bytes = s.end();
    check(&bytes).expect("it holds together");
    let trace = pftrace::read(&bytes).expect("a trace");
    let lines = trace.lines();
    // A wake-up is two.
    assert_eq!(lines.len(), Kind::ALL.len() + 1);
    for kind in Kind::ALL {
        let told = lines.iter().filter_map(|l| l.event.event.as_ref());
        let named = told.filter(|e| text::name(e) == kind.name()).count();
        assert_eq!(named, 1, "{}", kind.name());
    }
    // In every form.
    let lines = text::write(&trace);
    assert!(lines.contains("prev_comm=swapper prev_pid=0 prev_prio=120 prev_state=S ==> "));
    assert!(lines.contains("pid=40 comm=a thread with a "), "{lines}");
    for event in ["timer_start", "timer_expire_entry"] {
        let has = |l: &&str| l.contains(event) && l.contains(" function=demo::item ");
        assert!(lines.lines().any(|l| has(&l)), "{event}: {lines}");
    }
    assert!(
        json::write(&trace)["traceEvents"]
            .as_array()
            .is_some_and(|a| a.len() > 60)
    );
}

#[test]
fn text_is_what_ftrace_writes() {
    let mut s = Stage::new();
    story(&mut s);
    let trace = pftrace::read(&s.end()).expect("a trace");
    let lines = text::write(&trace);
    let has = |line: &str| assert!(lines.lines().any(|l| l.ends_with(line)), "{line}:\n{lines}");
    has(
        "<idle>-0     [001]     0.000001: workqueue_queue_work: work struct=0x40002040 workqueue=events cpu=1",
    );
    has(
        "kworker/0:1-7     [000]     0.000001: workqueue_execute_start: work struct=0x40002040 function=demo::item",
    );
    has("sched_waking: comm=kworker/0:1 pid=7 prio=120 target_cpu=000");
    has("workqueue_worker_wake: pool=3 worker=8");
    has("prev_state=S ==> next_comm=kworker/0:1H next_pid=8 next_prio=100");
}

#[test]
fn json_has_a_slice_for_each_run_and_each_item() {
    let mut s = Stage::new();
    story(&mut s);
    let trace = pftrace::read(&s.end()).expect("a trace");
    let json = json::write(&trace);
    let events = json["traceEvents"].as_array().expect("an array");
    let of = |ph: &str, pid: u64| {
        let events = events.iter();
        events.filter(|e| e["ph"] == ph && e["pid"] == pid).count()
    };
    assert_eq!(of("X", 0), 3, "runs of threads on cores");
    assert_eq!((of("B", 1), of("E", 1)), (2, 2), "items in threads");
    assert_eq!((of("B", 3), of("E", 3)), (5, 5), "slices of tracks");
    assert!(events.iter().any(|e| e["name"] == "demo::item"));
}

#[test]
fn loss_is_told_in_its_place() {
    let mut s = Stage::new();
    s.queue(ITEM, true);
    s.switch(0, 7, 1);
    s.item(0, Kind::ExecuteStart, ITEM);
    // Missing: the end of the item, two switches.
    s.running[0] = 8;
    s.lost = 3;
    s.switch(0, 0, 1);
    let bytes = s.end();
    check(&bytes).expect("the books begin anew");
    let trace = pftrace::read(&bytes).expect("a trace");
    assert_eq!(trace.counts()[0].1, 3);
    assert!(trace.summary().ends_with("3 LOST"), "{}", trace.summary());
    let lines = trace.lines();
    let after: Vec<bool> = lines.iter().map(|l| l.after_loss).collect();
    assert_eq!(after, [false, false, false, true]);
    assert!(text::write(&trace).contains("CPU:0 [LOST EVENTS]\n"));
}

#[test]
fn a_worker_may_go_to_a_core_that_is_told_of_first() {
    let mut s = Stage::new();
    for cpu in [0, 1, 0] {
        s.switch(cpu, 7, 1);
        s.item(cpu, Kind::ExecuteStart, ITEM);
        s.item(cpu, Kind::ExecuteEnd, ITEM);
        s.item(cpu, Kind::ExecuteStart, OTHER);
        s.switch(cpu, 0, 1);
        // It goes on elsewhere.
        s.switch(1 - cpu, 7, 1);
        s.item(1 - cpu, Kind::ExecuteEnd, OTHER);
        s.switch(1 - cpu, 0, 1);
    }
    let mut trace = Trace::decode(&*s.end()).expect("a trace");
    trace.packet.sort_by_key(|p| match &p.data {
        Some(packet::Data::FtraceEvents(bundle)) => 1 - bundle.cpu(),
        _ => 2,
    });
    let checked = check(&trace.encode_to_vec()).expect("it holds together");
    assert_eq!(checked.executed, 6);
}

#[test]
fn what_does_not_hold_together_is_found() {
    let fails = |why: &str, f: &dyn Fn(&mut Stage)| {
        let mut s = Stage::new();
        f(&mut s);
        let said = check(&s.end()).expect_err(why);
        assert!(said.contains(why), "{said} instead of {why}");
    };
    fails("a switch from a thread that did not run", &|s| {
        s.switch(0, 7, 1);
        s.see(0, Kind::SchedSwitch, Head::of(0), 8, 1);
    });
    fails("another thread runs there", &|s| {
        s.switch(0, 7, 1);
        s.running[0] = 8;
        s.item(0, Kind::ExecuteStart, ITEM);
    });
    fails("an item that never ended", &|s| {
        s.switch(0, 7, 1);
        s.item(0, Kind::ExecuteStart, ITEM);
        s.item(0, Kind::ExecuteStart, OTHER);
        s.switch(0, 0, 1);
    });
    fails("the end of another item", &|s| {
        s.switch(0, 7, 1);
        s.item(0, Kind::ExecuteStart, ITEM);
        s.item(0, Kind::ExecuteEnd, OTHER);
    });
    fails("back in time", &|s| {
        s.switch(0, 7, 1);
        s.at -= 100;
        s.switch(0, 0, 1);
    });
    let mut bytes = {
        let mut s = Stage::new();
        story(&mut s);
        s.end()
    };
    // A packet with a field that nobody knows: number 1000, value 1.
    bytes.extend([0x0a, 3, 0xc0, 0x3e, 1]);
    let said = check(&bytes).expect_err("an unknown field");
    assert!(said.contains("in fields that are known"), "{said}");
    let trace = Trace::decode(&bytes[..]).expect("still a trace");
    assert!(!trace.packet.is_empty());
    assert!(pftrace::read(b"no trace").is_err());
    assert!(pftrace::read(b"").is_err());
}

#[test]
fn memory_is_bounded_whatever_happens() {
    let mut s = Stage::new();
    let mut most = 0;
    for i in 0..200_000_u64 {
        let (queue, item) = (0x1_0000 + i % 500 * 64, 0x10_0000 + i * 64);
        s.see(0, Kind::QueueWork, Head::with(3, 1), item, queue);
        most = most.max(s.encoder.output().expect("memory").len());
        if i % 64 == 0 {
            s.encoder.taken();
        }
    }
    assert!(most < 64 << 10, "{most} bytes at once");
}
