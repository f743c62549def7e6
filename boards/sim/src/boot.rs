//! From a scenario to an outcome: makes a world, boots what shall run in it, takes it down.
#![expect(unsafe_code, reason = "gives the world's memory to its kernel")]

use kernel::thread::ThreadCx;
use kernel::{BootInfo, Kernel, MemoryRange};

use crate::current;
use crate::engine::{Limits, PanicHandler, Sim};
use crate::options::{Failure, Options, Outcome};
use crate::scenario::Scenario;

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
        let machine = *self;
        let boot = move |sim: &Sim| {
            let (main, start, end) = (machine.main, sim.arena.start(), sim.arena.end());
            sim.start(move || {
                main(start, end);
                machine::shutdown(0)
            });
        };
        let limits = Limits {
            steps: options.max_steps.unwrap_or(u64::MAX),
            ns: u64::MAX,
        };
        host(
            machine.name,
            machine.cpus,
            seed,
            options,
            limits,
            machine.panic_handler,
            boot,
        )
    }
}

/// Runs `scenario` on the real executive under `seed`.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64, options: Options) -> Outcome {
    let scenario = *scenario;
    let mut options = options;
    options.faults.kinds = options.faults.kinds.and(scenario.endures);
    let boot = move |sim: &Sim| {
        let cpus = scenario.cpus;
        let memory = MemoryRange {
            start: sim.arena.start(),
            end: sim.arena.end(),
        };
        sim.init.set(Some(scenario.init));
        sim.start(move || {
            let kernel: &'static Kernel = Box::leak(Box::new(Kernel::new()));
            let mpidrs: Vec<u64> = (0..cpus as u64).collect();
            let info = BootInfo {
                board: "sim",
                mpidrs: mpidrs.leak(),
                memory: Vec::leak(vec![memory]),
                bootargs: scenario.bootargs,
                stack_bytes: options.stack_bytes,
                init: first_thread,
                image_bytes: 0,
                symbolize: |_| None,
            };
            // SAFETY: the memory is the world's arena, which outlives every flow and is used by
            // nothing else; the boot core runs with interrupts masked.
            unsafe { kernel.boot(info) }
        });
    };
    let limits = Limits {
        steps: options.max_steps.unwrap_or(scenario.max_steps),
        ns: scenario.virtual_time.as_nanos(),
    };
    host(
        scenario.name,
        scenario.cpus,
        seed,
        options,
        limits,
        Some(kernel_panic),
        boot,
    )
}

/// A panic in a world with a kernel: the kernel reports it, and decides what dies.
fn kernel_panic(message: &str, file: &str, line: u32) -> ! {
    kernel::panic::panicked(format_args!("{message}"), file, line)
}

/// Body of the kernel's first thread: the scenario, then an orderly end.
fn first_thread(cx: &ThreadCx<'_>) {
    let init = current::sim().and_then(|sim| sim.init.get());
    if let Some(init) = init {
        init(cx);
    }
    machine::shutdown(0)
}

/// Runs one world on a fresh host thread: whatever a failing run does to its thread ends with it.
fn host(
    name: &'static str,
    cpus: usize,
    seed: u64,
    options: Options,
    limits: Limits,
    panic_handler: Option<PanicHandler>,
    boot: impl FnOnce(&Sim) + Send + 'static,
) -> Outcome {
    assert!(
        (1..=machine::MAX_CPUS).contains(&cpus),
        "a world has 1 to 64 cores, not {cpus}"
    );
    let thread = std::thread::Builder::new().name(format!("{name} seed {seed}"));
    let world = thread.spawn(move || {
        let sim = Sim::new(cpus, seed, options, limits, panic_handler);
        current::enter(&sim, || {
            boot(&sim);
            sim.run_loop();
        });
        sim.flows.discard_all();
        Outcome {
            scenario: name,
            seed,
            result: sim.result.take().unwrap_or(Err(Failure::Deadlock)),
            trace: sim.finish_trace(),
            steps: sim.steps(),
            choices: sim.choices(),
            virtual_time: sim.time(),
            console: String::from_utf8_lossy(&sim.console.take()).into_owned(),
        }
    });
    let joined = world.expect("a host thread for the world").join();
    joined.unwrap_or_else(|_| panic!("the simulator itself panicked in {name} SEED={seed}"))
}
