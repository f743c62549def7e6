//! The benchmarks there are, and what each is held against.

/// A benchmark: its name, what it measures, and what it is held against.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Name of the row.
    pub row: &'static str,
    /// Its group.
    pub group: &'static str,
    /// The operation, in words.
    pub what: &'static str,
    /// Linux on 1 core and on 4.
    pub linux: [Option<u32>; 2],
    /// Our target on 1 core and on 4.
    pub target: [Option<u32>; 2],
    /// The figure is the median.
    pub median: bool,
}

const fn row(
    group: &'static str,
    row: &'static str,
    what: &'static str,
    linux: [u32; 2],
    target: u32,
) -> Known {
    Known {
        row,
        group,
        what,
        linux: [Some(linux[0]), Some(linux[1])],
        target: [Some(target), Some(target)],
        median: false,
    }
}

/// Of an event, for which there is no figure of Linux.
const fn event(row: &'static str, what: &'static str) -> Known {
    Known {
        row,
        group: "trace",
        what,
        linux: [None; 2],
        target: [Some(MOST_PER_EVENT); 2],
        median: false,
    }
}

/// Of what Linux was not asked.
const fn alone(group: &'static str, row: &'static str, what: &'static str) -> Known {
    Known {
        row,
        group,
        what,
        linux: [None; 2],
        target: [None; 2],
        median: false,
    }
}

const fn median(mut known: Known) -> Known {
    known.median = true;
    known
}

/// Of a row with another target on 4 cores.
const fn on_many(mut known: Known, target: u32) -> Known {
    known.target[1] = Some(target);
    known
}

/// Of a row that one core does not have.
const fn only_many(mut known: Known) -> Known {
    known.linux[0] = None;
    known.target[0] = None;
    known
}

/// All benchmarks, in the order of the table.
#[rustfmt::skip]
pub const KNOWN: [Known; 46] = [
    median(row("work", "queue-running", "queue one item, worker running (p50)", [310, 310], 60)),
    row("work", "queue-idle", "queue one item, worker idle: the call", [1_932, 1_942], 250),
    row("work", "start-bound", "queue to start: bound, idle worker, same core", [4_385, 4_402], 500),
    row("work", "resume-bound", "the same to the waiter resumed", [7_162, 7_182], 1_000),
    on_many(row("work", "start-unbound", "queue to start: unbound", [4_387, 8_379], 550), 900),
    only_many(row("work", "start-bound-remote", "queue to start on another core, bound", [0, 5_956], 900)),
    row("work", "start-highpri", "queue to start: highpri", [4_052, 4_052], 500),
    row("work", "start-bh", "queue to start: BH from thread context", [4_514, 4_512], 500),
    row("work", "start-bh-off", "queue to start: BH in a BH-off section", [1_011, 1_011], 120),
    row("work", "batch-bound-queue", "batch, bound: queueing, per item", [249, 249], 55),
    row("work", "batch-bound", "batch, bound: queue + run, per item", [893, 893], 150),
    alone("work", "batch-bound-counted", "batch, bound, of items with a count (`Arc`)"),
    row("work", "batch-unbound", "batch, unbound, per item", [1_125, 1_125], 190),
    row("work", "batch-ordered", "batch, ordered, per item", [1_075, 1_075], 180),
    row("work", "batch-bh", "batch, BH, per item", [936, 936], 130),
    row("work", "batch-bh-off", "batch, BH in BH-off, per item", [899, 899], 120),
    row("work", "requeue", "item that queues itself again, per run", [799, 800], 110),
    only_many(row("work", "batch-bound-each", "batch, each core its own bound queue, per item", [0, 895], 150)),
    row("work", "queue-pending", "queue an already pending item", [35, 35], 12),
    row("work", "queue-flush", "queue + flush of the item, idle worker", [8_250, 8_123], 1_200),
    row("work", "flush-item-idle", "flush of an idle item", [222, 222], 30),
    row("work", "flush-queue-idle", "flush of an idle queue", [287, 386], 60),
    median(row("work", "cancel", "cancel of a pending item (p50)", [232, 232], 60)),
    median(row("work", "cancel-sync", "cancel_sync of a pending item (p50)", [556, 556], 120)),
    row("work", "delayed-arm", "delayed work: arm", [310, 310], 100),
    row("work", "delayed-cancel-sync", "delayed work: cancel_sync", [483, 483], 130),
    row("work", "delayed-mod", "delayed work: mod", [484, 484], 160),
    row("work", "hand-off", "handler sleeps to next handler starts, warm worker", [5_368, 5_377], 600),
    row("work", "hand-off-cold", "the same, no idle worker left: one is created", [53_365, 66_323], 3_000),
    row("work", "complete-resume", "complete() to the sleeping handler resumed", [2_954, 2_972], 450),
    row("sched", "yield", "thread switch: yield", [1_381, 1_381], 150),
    row("sched", "wake-switch", "wake + switch", [3_265, 3_265], 350),
    only_many(row("sched", "wake-switch-remote", "wake + switch across cores", [0, 6_076], 900)),
    row("sched", "thread-create-join", "thread create + run + join", [58_630, 79_206], 3_000),
    only_many(row("sched", "call-on", "run a function on another core and wait", [0, 1_511], 400)),
    row("sync", "spin-irq-off", "IRQ-off spin lock + unlock", [18, 18], 12),
    row("mem", "alloc-free-64", "allocate + free 64 bytes", [287, 288], 40),
    alone("mem", "copy-1460", "copy 1,460 bytes"),
    alone("mem", "copy-1460-off-2", "copy 1,460 bytes between different offsets"),
    alone("mem", "fill-1514", "zero 1,514 bytes"),
    event("trace-sched", "record an event: switches and wake-ups"),
    event("trace-workqueue", "record an event: work items"),
    event("trace-softirq", "record an event: softirqs"),
    event("trace-timer", "record an event: timers"),
    event("trace-irq", "record an event: interrupts"),
    event("trace-lock", "record an event: locking a mutex"),
];

/// Most instructions that recording one event may take.
pub const MOST_PER_EVENT: u32 = 16;

/// The benchmark of this name.
#[must_use]
pub fn known(row: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|k| k.row == row)
}
