//! From a scenario to an outcome: makes a world, boots what shall run in it, takes it down.
#![expect(unsafe_code, reason = "gives the world's memory to its kernel")]

use core::sync::atomic::{AtomicU64, Ordering};
use std::io::Write as _;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use kernel::thread::ThreadCx;
use kernel::{BootInfo, Kernel, MemoryRange};

use crate::baseline::{self, Held, Holdings};
use crate::current;
use crate::engine::way::Way;
use crate::engine::{Limits, PanicHandler, Plan, Setup, Sim};
use crate::faults::Kinds;
use crate::net;
use crate::options::{Options, Outcome};
use crate::reclaim::outside;
use crate::scenario::Scenario;

/// Least memory of a world with a kernel, for each core.
const MEMORY_PER_CORE: usize = 3 << 20;

/// A machine without a kernel, for tests of the engine itself.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Name in reports.
    pub name: &'static str,
    /// Virtual cores, 1 to 64.
    pub cpus: usize,
    /// First function of the boot core, with interrupts masked; ends in [`machine::shutdown`]. It
    /// gets the bounds of the machine's memory.
    pub main: fn(usize, usize),
    /// Takes panics.
    pub panic_handler: Option<PanicHandler>,
}

impl Machine {
    /// Runs the machine under `seed` on a host thread of its own.
    #[must_use]
    pub fn run(&self, seed: u64, options: Options) -> Outcome {
        self.run_with(&Run::new(seed, options))
    }
}

/// What is fixed of a run beside the thing that runs.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    /// Kinds of faults the seed's own run had; minimising may take some from the options.
    pub(crate) wanted: Kinds,
    pub(crate) plan: Plan,
    /// Time passes evenly, not at random.
    pub(crate) even_ticks: bool,
    /// The outcome lists the decisions.
    pub(crate) keep_decisions: bool,
}

impl Run {
    /// A run whose decisions come from the seed.
    pub(crate) const fn new(seed: u64, options: Options) -> Self {
        Self {
            seed,
            options,
            wanted: options.faults.kinds,
            plan: Plan::Seed(options.strategy),
            even_ticks: false,
            keep_decisions: false,
        }
    }
}

/// Something that runs in a world.
pub(crate) trait Subject: Sync {
    /// Runs it on a host thread of its own.
    fn run_with(&self, run: &Run) -> Outcome;
}

impl Subject for Machine {
    fn run_with(&self, run: &Run) -> Outcome {
        let machine = *self;
        let boot = move |sim: &Sim| {
            let (main, start, end) = (machine.main, sim.arena.start(), sim.arena.end());
            sim.begin();
            sim.start(move || {
                main(start, end);
                machine::shutdown(0)
            });
        };
        let limits = Limits {
            steps: run.options.max_steps.unwrap_or(u64::MAX),
            ns: u64::MAX,
        };
        host(
            Setup {
                name: self.name,
                cpus: self.cpus,
                limits,
                panic_handler: self.panic_handler,
                run: run.clone(),
            },
            boot,
        )
    }
}

/// Runs `scenario` on the real executive under `seed`.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64, options: Options) -> Outcome {
    scenario.run_with(&Run::new(seed, options))
}

impl Subject for Scenario {
    fn run_with(&self, run: &Run) -> Outcome {
        let scenario = *self;
        let mut run = run.clone();
        run.options.faults.kinds = run.options.faults.kinds.and(self.endures);
        run.wanted = run.wanted.and(self.endures);
        if let Plan::Seed(strategy) = &mut run.plan {
            *strategy = strategy.resolve(run.seed, self.wants_fairness());
            run.options.strategy = *strategy;
        }
        // Every core has threads of its own.
        let memory = run.options.memory_bytes.max(self.cpus * MEMORY_PER_CORE);
        run.options.memory_bytes = memory;
        let stack_bytes = run.options.stack_bytes;
        let (seed, faults) = (run.seed, run.options.faults);
        let boot = move |sim: &Sim| {
            let memory = MemoryRange {
                start: sim.arena.start(),
                end: sim.arena.end(),
            };
            if let Some(describe) = scenario.peer {
                sim.devices
                    .connect(outside(|| net::build(seed, faults, describe)));
            }
            sim.init.set(Some(scenario.init));
            sim.prepare.set(scenario.prepare);
            sim.leaves.set(scenario.leaves);
            sim.start(move || boot_kernel(&scenario, memory, stack_bytes));
        };
        let limits = Limits {
            steps: run.options.max_steps.unwrap_or(self.max_steps),
            ns: self.virtual_time.as_nanos(),
        };
        host(
            Setup {
                name: self.name,
                cpus: self.cpus,
                limits,
                panic_handler: Some(kernel_panic),
                run,
            },
            boot,
        )
    }
}

/// First function of a world with a kernel.
fn boot_kernel(scenario: &Scenario, memory: MemoryRange, stack_bytes: usize) {
    let kernel: &'static Kernel = Box::leak(Box::new(Kernel::new()));
    let mpidrs: Vec<u64> = (0..scenario.cpus as u64).collect();
    let info = BootInfo {
        board: "sim",
        mpidrs: mpidrs.leak(),
        topology: (scenario.topology)(scenario.cpus),
        memory: Vec::leak(vec![memory]),
        bootargs: scenario.bootargs,
        stack_bytes,
        boot_stack: MemoryRange { start: 0, end: 0 },
        init: first_thread,
        image_bytes: 0,
        table_bytes: 0,
        symbolize: |_| None,
    };
    // SAFETY: the memory is the world's arena, which outlives every flow and is used by nothing
    // else; the boot core runs with interrupts masked.
    unsafe { kernel.boot(info) }
}

/// A panic in a world with a kernel: the kernel reports it, and decides what dies.
fn kernel_panic(message: &str, file: &str, line: u32) -> ! {
    kernel::panic::panicked(format_args!("{message}"), file, line)
}

/// Body of the kernel's first thread: devices, then the scenario, then an orderly end.
fn first_thread(cx: &ThreadCx<'_>) {
    if let Some(sim) = current::sim()
        && let Some(init) = sim.init.get()
    {
        sim.booted.set(true);
        net::connect(sim);
        if let Some(prepare) = sim.prepare.get() {
            prepare(cx);
        }
        // An exhaustive search has no budget for a rest after each of its schedules.
        // Nor has one that leaves all it has a state of rest.
        let leaves = sim.leaves.get();
        let rests = leaves != Held::ALL && !matches!(sim.way, Way::Tree(_));
        let before = rests.then(Holdings::take);
        sim.begin();
        init(cx);
        if let Some(before) = before {
            sim.over();
            sim.judge(baseline::rest(cx, &before, leaves));
        }
    }
    machine::shutdown(0)
}

/// A world's core loops without a call of the seam, where nobody can end it.
fn hangs(name: &str, seed: u64, cpus: usize, points: u64, patience: Duration) -> ! {
    // Not by the macro, whose words a test harness keeps to itself.
    let _ = writeln!(
        std::io::stderr(),
        "FAILED   {name}: hangs: no point for {patience:?} after point {points}\n\
         run      seed {seed}, {cpus} cores"
    );
    std::process::abort()
}

/// Runs one world on a fresh host thread: whatever a failing run does to its thread ends with it.
fn host(setup: Setup, boot: impl FnOnce(&Sim) + Send + 'static) -> Outcome {
    let Setup { name, cpus, .. } = setup;
    let seed = setup.run.seed;
    let patience = setup.run.options.patience;
    assert!(
        (1..=machine::MAX_CPUS).contains(&cpus),
        "a world has 1 to 64 cores, not {cpus}"
    );
    let thread = std::thread::Builder::new().name(format!("{name} seed {seed}"));
    // Dropped when the world is over, whatever ends it.
    let (running, over) = mpsc::channel::<()>();
    let pulse = Arc::new(AtomicU64::new(0));
    let beats = Arc::clone(&pulse);
    let world = thread.spawn(move || {
        let _running = running;
        let sim = Sim::new(&setup, beats);
        current::enter(&sim, || {
            boot(&sim);
            sim.run_loop();
            sim.take_picture();
            sim.flows.discard_all();
        });
        sim.outcome(&setup)
    });
    let world = world.expect("a host thread for the world");
    let mut last = u64::MAX;
    while over.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
        let points = pulse.load(Ordering::Relaxed);
        if points == last {
            hangs(name, seed, cpus, points, patience);
        }
        last = points;
    }
    let joined = world.join();
    joined.unwrap_or_else(|_| panic!("the simulator itself panicked in {name} SEED={seed}"))
}
