//! From the first core's first Rust instruction to a running system.
//!
//! 1. The board calls [`Kernel::early`] and then [`Kernel::boot`] on the boot core.
//! 2. `boot` hands the memory to the page allocator, makes the per-core data and the idle threads
//!    of all cores, installs the boot core's header and continues as its idle thread.
//! 3. The boot core's idle thread starts ksoftirqd and `init`.
//! 4. `init` starts the other cores and waits for them, starts the workqueues, and runs the board's
//!    own function.
//!
//! Secondary cores enter through the `secondary` hook and become their idle threads at once.
#![expect(unsafe_code, reason = "installs headers of cores, takes over memory")]

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use machine::{CpuHeader, CpuId, Duration, Hooks, MAX_CPUS};

use crate::cpu::{CpuLocal, CpuMask, online, this_cpu};
use crate::kernel::{BootInfo, Kernel};
use crate::mem::Stack;
use crate::thread::{Builder, ThreadCx};
use crate::{hotplug, ipi, irq, kernel, panic, schedule, softirq, wq};

/// Bytes of a core's interrupt stack: as a thread's, twice what `cargo xtask bench mem` finds to be used, rounded up.
const IRQ_STACK: usize = 32 * 1024;
/// Bytes of the stack on which a stack overflow is reported.
const OVERFLOW_STACK: usize = 16 * 1024;
/// Boot argument: stacks have marks ([`crate::mem::for_each_core_stack`]).
const MARKS: &str = "stack_marks";
/// How long a secondary core may take to come up.
const CORE_START: Duration = Duration::from_secs(1);

/// What the machine layer calls once boot has made the per-core data.
pub(crate) static HOOKS: Hooks = Hooks {
    irq: irq::handle,
    preempt: schedule::preempt,
    resched: schedule::resched,
    softirq: softirq::run,
    fault: panic::on_fault,
    secondary,
};

/// What it calls before: interrupts are masked, so only a fault can happen.
pub(crate) static EARLY_HOOKS: Hooks = Hooks {
    irq: too_early,
    preempt: too_early,
    resched: too_early,
    softirq: too_early,
    fault: panic::on_fault,
    secondary: |_| panic!("a secondary core started before boot"),
};

fn too_early() {
    panic!("interrupts were enabled before boot");
}

/// Boots. Called by [`Kernel::boot`] only, which carries the contract.
pub(crate) fn boot(k: &'static Kernel, info: &BootInfo) -> ! {
    let cores = info.mpidrs.len();
    assert!(cores >= 1, "the board names no core");
    assert!(
        cores <= MAX_CPUS,
        "this image supports {MAX_CPUS} cores, the machine has {cores}"
    );
    // SAFETY: `Kernel::boot`'s caller promised that the ranges are free memory.
    unsafe { k.mem.init(info.memory) };
    if info.bootargs.split_ascii_whitespace().any(|w| w == MARKS) {
        k.mem.begin_marks();
    }
    let mut cpus = Vec::with_capacity(cores);
    for i in 0..cores {
        cpus.push(CpuLocal::new(CpuId::new(i), cores, k));
    }
    k.install_cpus(cpus.into_boxed_slice());
    for c in k.cpus() {
        wq::bh::prepare(c);
        prepare(c);
    }
    install(&k.cpus()[0].header);
    schedule::enter_idle()
}

/// Gives core `c` its stacks and its idle thread.
fn prepare(c: &CpuLocal) {
    let stack = |bytes| Stack::alloc(bytes).expect("memory for the stacks of every core");
    let stacks = c
        .stacks
        .call_once(|| [stack(IRQ_STACK), stack(OVERFLOW_STACK)]);
    c.header.irq_stack_top.set(stacks[0].high());
    c.header.overflow_stack_top.set(stacks[1].high());
    let name = heapless::format!(32; "idle/{}", c.id()).unwrap_or_default();
    let idle = Builder::new(&name)
        .affinity(CpuMask::single(c.id()))
        .make_idle(c.id())
        .expect("memory for the idle thread of every core");
    c.idle.call_once(|| idle);
}

fn install(header: &'static CpuHeader) {
    // SAFETY: once per core, with a header inside the kernel's own per-core data.
    unsafe { machine::set_percpu(header) };
    let idle = this_cpu().idle_thread();
    // SAFETY: interrupts are masked; this core becomes its idle thread next.
    unsafe { machine::set_current(&raw const idle.header) };
}

/// Hook: first function of a secondary core.
fn secondary(id: CpuId) -> ! {
    debug_assert!(
        this_cpu().id() == id,
        "a core was started with another core's header"
    );
    install(&this_cpu().header);
    schedule::enter_idle()
}

/// Body of the idle threads.
pub(crate) extern "C" fn idle_main(_: usize) -> ! {
    schedule::finish_first_switch();
    let c = this_cpu();
    // What was posted while it was off is forgotten before anybody knows that it is back.
    ipi::reopen();
    c.online.store(true, Ordering::Release);
    machine::irq_enable();
    if c.id() == CpuId::BOOT && online() == CpuMask::NONE {
        join(c.id());
        Builder::new("init")
            .spawn(init)
            .expect("memory for the first thread");
    }
    loop {
        machine::irq_disable();
        if c.leaving.is_wanted() {
            hotplug::leave(c);
        }
        // While the core is outside the mask its ksoftirqd runs elsewhere and finds nothing to do there.
        softirq::irq_exit();
        if c.header.need_resched.load(Ordering::Acquire) {
            // Going round because another core's runqueue was locked: let its holder run.
            machine::relax();
        } else {
            machine::idle();
            // What ended the wait, by a call: as an interrupt it would save and restore registers in
            // which there is nothing.
            irq::handle();
        }
        // As an interrupt would on its way out.
        if c.header.need_resched.load(Ordering::Acquire) {
            schedule::preempt();
        }
        machine::irq_enable();
    }
}

/// Body of the first thread.
fn init(cx: &ThreadCx<'_>) {
    start_secondaries();
    wq::init(cx);
    (kernel().info().init)(cx);
}

/// Starts all other cores and waits until each has come up or had its time.
fn start_secondaries() {
    let all = kernel().cpus();
    for c in &all[1..] {
        if let Err(e) = machine::start_cpu(&c.header) {
            crate::log!("core {} did not start: {e:?}", c.id());
        }
    }
    for c in &all[1..] {
        // Cores come up side by side, so each one's second starts when the one before is done.
        let deadline = machine::now() + CORE_START;
        while !c.online.load(Ordering::Acquire) && machine::now() < deadline {
            machine::relax();
        }
        if c.online.load(Ordering::Acquire) {
            join(c.id());
        } else {
            crate::log!("core {} did not come up within one second", c.id());
        }
    }
}

/// Lets core `id`, whose idle thread runs, take part in scheduling. A core that comes up later than
/// anybody waited for it idles outside the mask, until [`hotplug::online`] lets it in.
fn join(id: CpuId) {
    kernel().let_in(id);
    softirq::start_thread(id).expect("memory for ksoftirqd");
}
