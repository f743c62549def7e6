//! The engine under a kernel of fifty lines: threads, a spin lock, IPIs and timers without the real
//! executive in the way.
#![expect(unsafe_code, reason = "a kernel: headers, contexts, switches")]

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use machine::{
    Context, CpuHeader, CpuId, Duration, Hooks, Instant, Interrupt, Protection, ThreadHeader,
};
use sim::{Failure, Machine, Options, Outcome, What};

const STACK: usize = 64 << 10;

/// What the running mini-kernel counts; one per host thread, hence per world.
#[derive(Default)]
struct Counts {
    timers: Cell<u64>,
    ipis: [AtomicU32; 8],
    preemptions: Cell<u64>,
    log: RefCell<Vec<u64>>,
    lock: AtomicU32,
    shared: AtomicU64,
    up: AtomicU32,
    done: AtomicU32,
}

thread_local! {
    static COUNTS: &'static Counts = Box::leak(Box::default());
}

fn counts() -> &'static Counts {
    COUNTS.with(|c| *c)
}

fn handle_irq() {
    assert!(machine::irqs_masked());
    while let Some(irq) = machine::irq_ack() {
        match irq {
            Interrupt::Timer => counts().timers.set(counts().timers.get() + 1),
            Interrupt::Ipi => {
                let me = machine::percpu().id.index();
                counts().ipis[me].fetch_add(1, Ordering::Relaxed);
            }
            Interrupt::Device(_) => unreachable!("no devices here"),
        }
        machine::percpu()
            .need_resched
            .store(true, Ordering::Relaxed);
        machine::irq_end(irq);
    }
}

fn preempt() {
    assert!(machine::irqs_masked());
    machine::percpu()
        .need_resched
        .store(false, Ordering::Relaxed);
    counts().preemptions.set(counts().preemptions.get() + 1);
}

static HOOKS: Hooks = Hooks {
    irq: handle_irq,
    preempt,
    resched: preempt,
    softirq: || unreachable!("no softirqs here"),
    fault: |f| panic!("{}", f.what),
    secondary,
};

fn new_thread(preempt: u32) -> &'static ThreadHeader {
    Box::leak(Box::new(ThreadHeader::new(preempt, 0, 0)))
}

fn set_up(id: usize) {
    let header: &'static CpuHeader = Box::leak(Box::new(CpuHeader::new(CpuId::new(id), &HOOKS)));
    // SAFETY: the header is leaked; once per core.
    unsafe { machine::set_percpu(header) };
    // SAFETY: the thread is leaked, and no switch is under way.
    unsafe { machine::set_current(new_thread(0)) };
}

/// Adds to a counter in two steps under a spin lock, and then idles.
fn secondary(id: CpuId) -> ! {
    set_up(id.index());
    counts().up.fetch_add(1, Ordering::AcqRel);
    machine::irq_enable();
    for _ in 0..50 {
        locked_add();
    }
    counts().done.fetch_add(1, Ordering::AcqRel);
    loop {
        machine::irq_disable();
        machine::idle();
        machine::irq_enable();
    }
}

fn locked_add() {
    let c = counts();
    while c.lock.swap(1, Ordering::Acquire) != 0 {
        machine::relax();
    }
    let seen = c.shared.load(Ordering::Relaxed);
    machine::sync_point();
    c.shared.store(seen + 1, Ordering::Relaxed);
    c.lock.store(0, Ordering::Release);
    machine::sync_point();
}

fn start_secondary(id: usize) {
    let header = Box::leak(Box::new(CpuHeader::new(CpuId::new(id), &HOOKS)));
    machine::start_cpu(header).expect("a core");
}

fn run(cpus: usize, main: fn(usize, usize), seed: u64) -> Outcome {
    let machine = Machine {
        name: "mini",
        cpus,
        main,
        panic_handler: None,
    };
    machine.run(
        seed,
        Options {
            keep_trace: true,
            ..Options::default()
        },
    )
}

fn spin_lock_main(_: usize, _: usize) {
    set_up(0);
    (1..4).for_each(start_secondary);
    while counts().up.load(Ordering::Acquire) < 3 {
        machine::relax();
    }
    for _ in 0..50 {
        locked_add();
    }
    while counts().done.load(Ordering::Acquire) < 3 {
        machine::relax();
    }
    assert_eq!(counts().shared.load(Ordering::Relaxed), 200);
}

#[test]
fn a_spin_lock_excludes_on_four_cores() {
    for seed in 0..50 {
        run(4, spin_lock_main, seed).expect_ok();
    }
}

#[test]
fn same_seed_same_trace() {
    for seed in 0..10 {
        let first = run(4, spin_lock_main, seed).expect_ok();
        assert_eq!(first.trace, run(4, spin_lock_main, seed).trace);
        assert_ne!(first.trace, run(4, spin_lock_main, seed + 100).trace);
    }
}

/// Without the lock the two-step addition loses some, in some seed: the points are real.
fn race_main(_: usize, _: usize) {
    fn add_torn(id: CpuId) -> ! {
        set_up(id.index());
        let c = counts();
        let seen = c.shared.load(Ordering::Relaxed);
        machine::sync_point();
        c.shared.store(seen + 1, Ordering::Relaxed);
        c.up.fetch_add(1, Ordering::AcqRel);
        loop {
            machine::relax();
        }
    }
    static TORN: Hooks = Hooks {
        irq: handle_irq,
        preempt,
        resched: preempt,
        softirq: || {},
        fault: |f| panic!("{}", f.what),
        secondary: add_torn,
    };
    set_up(0);
    for id in 1..3 {
        let header = Box::leak(Box::new(CpuHeader::new(CpuId::new(id), &TORN)));
        machine::start_cpu(header).expect("a core");
    }
    while counts().up.load(Ordering::Acquire) < 2 {
        machine::relax();
    }
    assert_eq!(counts().shared.load(Ordering::Relaxed), 2, "lost update");
}

#[test]
fn a_race_is_found_and_told_with_its_seed() {
    let failing = (0..200)
        .map(|s| run(3, race_main, s))
        .find(|o| o.result.is_err())
        .unwrap();
    let report = failing.to_string();
    assert!(report.contains("lost update"), "{report}");
    assert!(
        report.contains(&format!("--first-seed {} ", failing.seed())),
        "{report}"
    );
    assert!(failing.trace.events.iter().any(|e| e.what == What::Panic));
    // The same seed fails again in the same way.
    assert_eq!(run(3, race_main, failing.seed()).trace, failing.trace);
}

fn timer_main(_: usize, _: usize) {
    set_up(0);
    machine::irq_enable();
    for n in 1..=20u64 {
        let at = machine::now() + Duration::from_micros(50);
        machine::arm_timer(at);
        machine::irq_disable();
        while counts().timers.get() < n {
            machine::idle();
            machine::irq_enable();
            machine::irq_disable();
        }
        machine::irq_enable();
        let late = machine::now().since(at);
        assert!(
            late < Duration::from_micros(10),
            "timer {n} was {late:?} late"
        );
    }
    assert_eq!(counts().preemptions.get(), 20);
    machine::arm_timer(machine::now() + Duration::from_micros(5));
    machine::cancel_timer();
    let end = machine::now() + Duration::from_micros(100);
    while machine::now() < end {
        machine::sync_point();
    }
    assert_eq!(counts().timers.get(), 20, "a cancelled timer fired");
}

#[test]
fn timers_fire_once_in_time_and_preempt() {
    for seed in 0..20 {
        run(1, timer_main, seed).expect_ok();
    }
}

fn ipi_main(_: usize, _: usize) {
    set_up(0);
    (1..4).for_each(start_secondary);
    for target in 1..4 {
        machine::send_ipi(CpuId::new(target));
        while counts().ipis[target].load(Ordering::Relaxed) == 0 {
            machine::relax();
        }
    }
    assert_eq!(counts().ipis[0].load(Ordering::Relaxed), 0);
}

#[test]
fn ipis_reach_their_core_also_in_idle() {
    for seed in 0..50 {
        run(4, ipi_main, seed).expect_ok();
    }
}

/// Two contexts hand the core to each other ten times.
fn switch_main(start: usize, _: usize) {
    thread_local! {
        static CONTEXTS: [&'static Cell<Context>; 3] =
            core::array::from_fn(|_| &*Box::leak(Box::new(Cell::new(Context(0)))));
    }
    extern "C" fn body(me: usize) -> ! {
        for round in 0..10 {
            counts().log.borrow_mut().push(me as u64 * 100 + round);
            let [a, b, boot] = CONTEXTS.with(|c| *c);
            let (mine, other) = if me == 0 { (a, b) } else { (b, a) };
            let next = if me == 1 && round == 9 { boot } else { other };
            // SAFETY: the boot flow and both bodies hand the turn round; masked throughout.
            unsafe { machine::switch(mine.as_ptr(), next.get()) };
        }
        panic!("continued once too often");
    }
    set_up(0);
    let [a, b, boot] = CONTEXTS.with(|c| *c);
    for (i, cell) in [a, b].into_iter().enumerate() {
        let low = start + (2 * i + 1) * STACK;
        machine::protect(low - 4096, 4096, Protection::None);
        // SAFETY: the machine's memory belongs to this function.
        cell.set(unsafe { machine::context_init(low, low + STACK, body, i) });
    }
    let first = a.get();
    // SAFETY: as in `body`.
    unsafe { machine::switch(boot.as_ptr(), first) };
    let want: Vec<u64> = (0..10).flat_map(|n| [n, 100 + n]).collect();
    assert_eq!(*counts().log.borrow(), want);
    for cell in [a, b] {
        // SAFETY: neither is ever continued.
        unsafe { machine::context_drop(cell.get()) };
    }
}

#[test]
fn contexts_switch_on_the_memory_they_were_given() {
    run(1, switch_main, 1).expect_ok();
}

#[test]
fn nothing_left_to_happen_is_a_deadlock() {
    let stuck = |_, _| {
        set_up(0);
        machine::idle();
    };
    assert_eq!(run(1, stuck, 1).result, Err(Failure::Deadlock));
}

#[test]
fn spinning_for_nobody_is_a_livelock() {
    let stuck = |_, _| {
        set_up(0);
        loop {
            machine::relax();
        }
    };
    assert_eq!(run(1, stuck, 1).result, Err(Failure::Livelock));
}

#[test]
fn a_run_that_never_ends_is_stopped() {
    let busy = |_, _| {
        set_up(0);
        loop {
            machine::sync_point();
        }
    };
    let options = Options {
        max_steps: Some(10_000),
        ..Options::default()
    };
    let machine = Machine {
        name: "busy",
        cpus: 1,
        main: busy,
        panic_handler: None,
    };
    assert_eq!(machine.run(1, options).result, Err(Failure::StepLimit));
}

#[test]
fn exit_codes_and_the_console_come_out() {
    let main = |_, _| {
        set_up(0);
        machine::console_write(b"going down\n");
        machine::shutdown(7)
    };
    let outcome = run(1, main, 1);
    assert_eq!(outcome.result, Err(Failure::Exit(7)));
    assert_eq!(outcome.console, "going down\n");
}

/// A panic does not unwind; the handler goes on, and may panic again elsewhere.
#[test]
fn panics_reach_the_handler_more_than_once() {
    fn handler(message: &str, _file: &str, _line: u32) -> ! {
        machine::console_write(format!("caught {message}\n").as_bytes());
        if message == "first" {
            // Still in the panicking flow, as the kernel is when it kills a worker.
            panic!("second");
        }
        machine::shutdown(9)
    }
    let main = |_, _| {
        set_up(0);
        panic!("first");
    };
    let machine = Machine {
        name: "panics",
        cpus: 1,
        main,
        panic_handler: Some(handler),
    };
    let outcome = machine.run(1, Options::default());
    assert_eq!(outcome.result, Err(Failure::Exit(9)));
    assert_eq!(outcome.console, "caught first\ncaught second\n");
}

#[test]
fn time_starts_at_zero_and_never_runs_back() {
    let main = |_, _| {
        set_up(0);
        let mut last = Instant::ZERO;
        for _ in 0..1000 {
            let now = machine::now();
            assert!(now > last);
            last = now;
        }
        assert!(last < Instant::from_nanos(400_000));
    };
    run(1, main, 3).expect_ok();
}

/// Not a test of its own: what the child process of the next one runs.
#[test]
#[ignore = "run in a child process by a_world_without_points_is_named"]
fn a_world_without_points() {
    let machine = Machine {
        name: "stuck",
        cpus: 2,
        main: |_, _| loop {
            std::thread::yield_now();
        },
        panic_handler: None,
    };
    let options = Options {
        patience: std::time::Duration::from_millis(200),
        ..Options::default()
    };
    let _ = machine.run(11, options);
}

/// A core that loops without a call of the seam can only be ended with the process, which names it.
#[test]
fn a_world_without_points_is_named() {
    let child = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "a_world_without_points"])
        .output()
        .expect("a child process");
    assert!(!child.status.success());
    let words = String::from_utf8_lossy(&child.stderr);
    let expected = "FAILED   stuck: hangs: no point for 200ms after point 0";
    assert!(words.contains(expected), "{words}");
    assert!(words.contains("run      seed 11, 2 cores"), "{words}");
}
