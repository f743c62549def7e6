//! The engine: virtual cores, one clock, and the choice of who goes on.
//!
//! All cores share one host thread. A core runs until its next seam call; there the engine records
//! the point, lets a little virtual time pass, chooses the core that goes on and resumes that
//! core's flow. Interrupts are taken at seam calls with interrupts unmasked, the way the metal's
//! vectors take them between two instructions.
//!
//! ```text
//!        resume flow of the chosen core            seam call
//!   run_loop ----------------------------> flow ---------------> point(): record, advance, choose
//!        <---------------------------------     <-- stays --------+   |
//!                    suspend (another core was chosen) <--------------+
//! ```
//!
//! # Panics
//!
//! The kernel does not unwind. A panic in a world reaches [`Sim::panicked`] (by way of
//! [`crate::raise`]), still on the panicking flow's stack, which reports to the kernel as the
//! metal's panic handler does and never returns. The host's runtime, however, believes from then on
//! that its thread is panicking. So the rest of the world continues on a fresh host thread, while
//! the old one waits for it.
#![expect(
    unsafe_code,
    reason = "a world may change its host thread; headers by address"
)]

mod end;
mod inject;
mod interrupt;
mod point;
pub(crate) mod way;

use core::cell::{Cell, RefCell};
use core::sync::atomic::AtomicU64;
use std::sync::Arc;

use kernel::thread::ThreadCx;
use machine::{CpuHeader, CpuId, Hooks, Instant, PreemptWord, ThreadHeader};

use self::inject::Injector;
pub use self::inject::{refuse_heap, refuse_leaving, refuse_threads};
pub(crate) use self::way::Plan;
use self::way::Way;
use crate::arena::Arena;
use crate::baseline::Held;
use crate::boot::Run;
use crate::core::{Core, NEVER};
use crate::decision::{Decision, Script};
use crate::device::Devices;
use crate::faults::{Injected, Kinds};
use crate::flow::{FlowId, Flows};
use crate::options::{Failure, Options, Outcome};
use crate::oracle::{Locks, Oracles, Shares};
use crate::reclaim::{Blocks, outside};
use crate::rng::Rng;
use crate::trace::{Event, Recorder, What};

/// What takes a panic's message and place and never returns.
pub type PanicHandler = fn(&str, &str, u32) -> !;

/// When a run has failed by taking too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Interleaving points.
    pub(crate) steps: u64,
    /// Virtual time in nanoseconds.
    pub(crate) ns: u64,
}

/// What makes a world.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) cpus: usize,
    pub(crate) limits: Limits,
    pub(crate) run: Run,
    pub(crate) panic_handler: Option<PanicHandler>,
}

/// A simulated machine.
pub(crate) struct Sim {
    pub(crate) cores: Box<[Core]>,
    pub(crate) flows: Flows,
    pub(crate) arena: Arena,
    pub(crate) devices: Devices,
    pub(crate) rng: Rng,
    /// Apart from the choices, so that a strategy does not change what the world's devices do.
    pub(crate) world_rng: Rng,
    pub(crate) options: Options,
    limits: Cell<Limits>,
    pub(crate) console: RefCell<Vec<u8>>,
    /// Index of the core whose turn it is.
    pub(crate) running: Cell<usize>,
    /// Cores that can run, one bit each.
    pub(crate) runnable: Cell<u64>,
    /// Earliest event of any core.
    pub(crate) next_event: Cell<u64>,
    pub(crate) clock: Cell<u64>,
    steps: Cell<u64>,
    /// The same for whoever watches from outside.
    pulse: Arc<AtomicU64>,
    choices: Cell<u64>,
    /// Choices when the scenario began, and when it was over.
    span: Cell<(u64, Option<u64>)>,
    spins: Cell<u64>,
    /// Step at which the running core got the turn.
    turn_began: Cell<u64>,
    /// One more than that of the turn in which the running core spun alone last.
    lone_in: Cell<u64>,
    /// Step at which more than the choice of a core is due.
    attention: Cell<u64>,
    /// Step of the next look at the kernel's data.
    glance_at: Cell<u64>,
    pub(crate) way: Way,
    pub(crate) injector: Injector,
    /// Time passes evenly, not at random.
    even_ticks: bool,
    keep_decisions: bool,
    decisions: RefCell<Vec<Decision>>,
    pub(crate) recorder: Recorder,
    pub(crate) oracles: RefCell<Oracles>,
    pub(crate) locks: RefCell<Locks>,
    pub(crate) shares: RefCell<Shares>,
    pub(crate) result: Cell<Option<Result<(), Failure>>>,
    /// The flow of a core that was switched off just now.
    pub(crate) gone: Cell<Option<FlowId>>,
    /// The running flow panicked and needs a fresh host thread.
    moved: Cell<bool>,
    in_flow: Cell<bool>,
    panic_note: RefCell<(String, String, u32)>,
    last_panic: RefCell<Option<(String, String)>>,
    /// The kernel's first thread runs: all of the kernel is there to be looked at.
    pub(crate) booted: Cell<bool>,
    /// The world has stopped; its kernel is only looked at.
    still: Cell<bool>,
    pub(crate) picture: RefCell<String>,
    /// Body of the kernel's first thread.
    pub(crate) init: Cell<Option<fn(&ThreadCx<'_>)>>,
    /// What it does before the scenario.
    pub(crate) prepare: Cell<Option<fn(&ThreadCx<'_>)>>,
    /// Why something of it may be left at its end.
    pub(crate) leaves: Cell<&'static [Held]>,
    panic_handler: Option<PanicHandler>,
    early_thread: ThreadHeader,
    early_cpus: Box<[CpuHeader]>,
    /// Last, since everything else may lie in it.
    pub(crate) blocks: Blocks,
}

fn too_early() {
    panic!("an interrupt before the core was set up");
}

static EARLY_HOOKS: Hooks = Hooks {
    irq: too_early,
    preempt: too_early,
    resched: too_early,
    softirq: too_early,
    fault: |f| panic!("fault before the core was set up: {}", f.what),
    secondary: |_| panic!("a core was started without hooks"),
};

impl Sim {
    pub(crate) fn new(setup: &Setup, pulse: Arc<AtomicU64>) -> Box<Self> {
        let (cpus, run) = (setup.cpus, &setup.run);
        let options = run.options;
        let rng = Rng::new(run.seed);
        let world_rng = rng.fork();
        let injector = Injector::new(options.faults.kinds, rng.fork());
        let way = Way::new(&run.plan, cpus, &rng);
        let early: Box<[CpuHeader]> = (0..cpus)
            .map(|i| CpuHeader::new(CpuId::new(i), &EARLY_HOOKS))
            .collect();
        let early_thread = ThreadHeader::new(PreemptWord::PREEMPT, 0, usize::MAX);
        let mut sim = Box::new(Self {
            cores: Box::new([]),
            flows: Flows::default(),
            arena: Arena::new(options.memory_bytes),
            devices: Devices::default(),
            rng,
            world_rng,
            options,
            limits: Cell::new(setup.limits),
            console: RefCell::default(),
            running: Cell::new(0),
            runnable: Cell::new(1),
            next_event: Cell::new(NEVER),
            clock: Cell::new(0),
            steps: Cell::new(0),
            pulse,
            choices: Cell::new(0),
            span: Cell::new((0, None)),
            spins: Cell::new(0),
            turn_began: Cell::new(0),
            lone_in: Cell::new(0),
            attention: Cell::new(0),
            glance_at: Cell::new(u64::MAX),
            way,
            injector,
            even_ticks: run.even_ticks,
            keep_decisions: run.keep_decisions,
            decisions: RefCell::default(),
            recorder: Recorder::new(options.keep_trace, cpus),
            oracles: RefCell::default(),
            locks: RefCell::default(),
            shares: RefCell::default(),
            result: Cell::new(None),
            moved: Cell::new(false),
            gone: Cell::new(None),
            in_flow: Cell::new(false),
            panic_note: RefCell::default(),
            last_panic: RefCell::default(),
            booted: Cell::new(false),
            still: Cell::new(false),
            picture: RefCell::default(),
            init: Cell::new(None),
            prepare: Cell::new(None),
            leaves: Cell::new(&[]),
            panic_handler: setup.panic_handler,
            early_thread,
            early_cpus: early,
            blocks: Blocks::new(),
        });
        let thread: *const ThreadHeader = &raw const sim.early_thread;
        sim.cores = sim
            .early_cpus
            .iter()
            .map(|h| Core::new(core::ptr::from_ref(h), thread))
            .collect();
        sim
    }

    /// Puts the boot core at the start of `main`.
    pub(crate) fn start(&self, main: impl FnOnce() + 'static) {
        let boot = &self.cores[0];
        let first = self.flows.boot(main);
        boot.flow.set(first);
        boot.first_flow.set(Some(first));
        boot.started.set(true);
        self.refresh();
    }

    /// Runs the world to its end.
    pub(crate) fn run_loop(&self) {
        while self.unfinished() {
            self.in_flow.set(true);
            self.flows.resume(self.core().flow.get());
            self.in_flow.set(false);
            if let Some(flow) = self.gone.take() {
                self.flows.discard(flow);
            }
            self.serve_devices();
            if self.moved.replace(false) {
                self.continue_elsewhere();
            }
        }
    }

    /// True while a flow of the world runs, not the engine.
    pub(crate) const fn in_flow(&self) -> bool {
        self.in_flow.get()
    }

    /// True while the world has no result.
    fn unfinished(&self) -> bool {
        let result = self.result.take();
        let none = result.is_none();
        self.result.set(result);
        none
    }

    /// Runs the rest of the world on another host thread and waits for it.
    fn continue_elsewhere(&self) {
        struct Whole<'a>(&'a Sim);
        // SAFETY: this thread does nothing with the world until the other one is done with it.
        unsafe impl Send for Whole<'_> {}
        let whole = Whole(self);
        let go_on = || {
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    let Whole(sim) = { whole };
                    crate::current::enter(sim, || sim.run_loop());
                });
            });
        };
        outside(go_on);
    }

    /// The core whose turn it is.
    #[inline]
    pub(crate) fn core(&self) -> &Core {
        &self.cores[self.running.get()]
    }

    /// Virtual time.
    #[inline]
    pub(crate) fn time(&self) -> Instant {
        Instant::from_nanos(self.clock.get())
    }

    /// What came out of the world, which is over.
    pub(crate) fn outcome(&self, setup: &Setup) -> Outcome {
        // Copies: the originals may lie in the world's memory.
        let result = self.result.take();
        let copy = result.clone();
        self.result.set(result);
        let (begin, over) = self.span.get();
        Outcome {
            scenario: setup.name,
            cpus: setup.cpus,
            run: setup.run.clone(),
            result: copy.unwrap_or(Err(Failure::Deadlock)),
            trace: self.recorder.finish(),
            steps: self.steps.get(),
            choices: self.choices.get(),
            scenario_choices: over.unwrap_or(self.choices.get()) - begin,
            virtual_time: self.time(),
            injected: self.injected(),
            last_panic: self.last_panic.borrow().clone(),
            picture: self.picture.borrow().clone(),
            console: String::from_utf8_lossy(&self.console.borrow()).into_owned(),
            decisions: self.decisions.borrow().clone(),
            missed: self.way.script().map_or(0, Script::missed),
            nodes: self.way.nodes(),
        }
    }

    /// The faults so far; those of packets are the wire's, which draws them itself.
    fn injected(&self) -> Injected {
        let mut injected = self.injector.injected();
        if let Some(network) = self.devices.network() {
            injected.add_of(Kinds::PACKETS, network.faults());
        }
        injected
    }

    /// Recomputes what depends on the state of all cores.
    pub(crate) fn refresh(&self) {
        let (mut runnable, mut next) = (0, self.devices.next_event());
        for (i, core) in self.cores.iter().enumerate() {
            if core.started.get() {
                core.advance(self.clock.get());
                next = next.min(core.next_event());
                runnable |= u64::from(core.can_run()) << i;
            }
        }
        self.runnable.set(runnable);
        self.next_event.set(next);
    }

    /// Records an event of the running core.
    #[inline]
    pub(crate) fn record(&self, what: What, arg: u64) {
        self.recorder.record(Event {
            step: self.steps.get(),
            at: self.time(),
            cpu: self.running.get() as u8,
            what,
            arg,
        });
    }
}
