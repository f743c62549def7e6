//! Host backend: every call goes to the thread's [`World`], a simulated machine.
//!
//! A call outside any world answers like a machine with one core, no interrupts and no time, so
//! that unit tests of lock types and policies need no simulator.
#![expect(
    unsafe_code,
    reason = "the world hands out its own core and thread headers"
)]

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use std::thread_local;

use crate::{
    Context, CpuHeader, CpuId, Duration, Hooks, Instant, IntId, Interrupt, IrqState, Protection,
    StartError, ThreadHeader,
};

/// A simulated machine. Each method is the host form of the function of the same name in the metal
/// backend; it answers for the virtual core that is running on this host thread.
///
/// Every method may switch to another virtual core before or after its effect.
#[expect(missing_docs, reason = "documented by the functions of the same name")]
pub trait World {
    fn percpu(&self) -> *const CpuHeader;
    fn set_percpu(&self, header: *const CpuHeader);
    fn current(&self) -> *const ThreadHeader;
    fn set_current(&self, header: *const ThreadHeader);
    fn irq_save(&self) -> bool;
    fn irq_enable(&self);
    fn irq_disable(&self);
    fn irqs_masked(&self) -> bool;
    fn relax(&self);
    fn sync_point(&self);
    /// Nobody looks unless the world says otherwise.
    fn lock_released(&self, _lock: usize) {}
    fn allocation_allowed(&self, bytes: usize) -> bool;
    fn pages_allowed(&self, pages: usize) -> bool;
    fn thread_allowed(&self) -> bool;
    fn now(&self) -> Instant;
    /// As `now`, but no interleaving point in a world that has them.
    fn stamp(&self) -> u64 {
        self.now().as_nanos()
    }
    /// Nobody looks unless the world says otherwise.
    fn observe(&self, _event: &[u64; 4]) {}
    fn arm_timer(&self, deadline: Option<Instant>);
    fn send_ipi(&self, cpu: CpuId);
    fn irq_ack(&self) -> Option<Interrupt>;
    fn irq_end(&self, irq: Interrupt);
    fn idle(&self);
    fn console_write(&self, bytes: &[u8]);
    fn console_read(&self) -> Option<u8>;
    fn shutdown(&self, code: u8) -> !;
    fn entropy(&self) -> u64;
    fn start_cpu(&self, header: &'static CpuHeader) -> Result<(), StartError>;
    /// A world whose cores stay says so.
    fn leave_cpu(&self) -> StartError {
        StartError::Refused
    }
    fn cpu_is_off(&self, _cpu: CpuId) -> bool {
        false
    }
    /// A world without devices has nothing to do.
    fn route_irq(&self, _int: IntId, _cpu: CpuId) {}
    fn protect(&self, address: usize, bytes: usize, rights: Protection);
    fn context_init(
        &self,
        low: usize,
        high: usize,
        entry: extern "C" fn(usize) -> !,
        arg: usize,
    ) -> Context;
    fn context_drop(&self, context: Context);
    /// Saves the running coroutine's number into `prev` and makes the core continue `next`.
    fn switch(&self, prev: *mut Context, next: Context);
}

thread_local! {
    static WORLD: Cell<Option<*const dyn World>> = const { Cell::new(None) };
    static ALONE: Alone = const { Alone::new() };
}

/// A machine for code that runs outside any world.
struct Alone {
    cpu: CpuHeader,
    thread: ThreadHeader,
    masked: Cell<bool>,
}

fn nothing() {}

static ALONE_HOOKS: Hooks = Hooks {
    irq: nothing,
    preempt: nothing,
    resched: nothing,
    softirq: nothing,
    fault: |f| panic!("fault outside a world: {}", f.what),
    secondary: |_| panic!("secondary core outside a world"),
};

impl Alone {
    const fn new() -> Self {
        Self {
            cpu: CpuHeader::new(CpuId::BOOT, &ALONE_HOOKS),
            thread: ThreadHeader::new(0, 0, 0),
            masked: Cell::new(false),
        }
    }
}

/// Runs `f` with `world` as this host thread's machine; worlds nest.
pub fn with_world<R>(world: &dyn World, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<*const dyn World>);
    impl Drop for Restore {
        fn drop(&mut self) {
            WORLD.set(self.0.take());
        }
    }
    // SAFETY: the lifetime is erased, and restored before `world`'s borrow ends, also on unwind.
    let erased = unsafe { core::mem::transmute::<*const dyn World, *const dyn World>(world) };
    let _restore = Restore(WORLD.replace(Some(erased)));
    f()
}

#[inline]
fn world() -> Option<&'static dyn World> {
    // SAFETY: `with_world` keeps the pointer valid while it is installed.
    WORLD.get().map(|w| unsafe { &*w })
}

#[track_caller]
fn need(what: &str) -> &'static dyn World {
    world().unwrap_or_else(|| panic!("{what} called outside a simulated world"))
}

fn alone<R>(f: impl FnOnce(&'static Alone) -> R) -> R {
    // SAFETY: the thread-local is constant-initialised without a destructor, so it lives as long as
    // its thread, and the references do not leave it (headers are used by this thread only).
    ALONE.with(|a| f(unsafe { &*core::ptr::from_ref(a) }))
}

/// This core's header; see the metal backend for the rules on migration.
#[inline]
#[must_use]
pub fn percpu() -> &'static CpuHeader {
    match world() {
        // SAFETY: the world's headers outlive everything that runs in it.
        Some(w) => unsafe { &*w.percpu() },
        None => alone(|a| &a.cpu),
    }
}

/// Installs this core's header.
///
/// # Safety
///
/// Called once per core, with a header that lives as long as the world.
pub unsafe fn set_percpu(header: &'static CpuHeader) {
    need("set_percpu").set_percpu(header);
}

/// The running thread's header.
#[inline]
#[must_use]
pub fn current() -> &'static ThreadHeader {
    match world() {
        // SAFETY: a thread's header outlives its running.
        Some(w) => unsafe { &*w.current() },
        None => alone(|a| &a.thread),
    }
}

/// Makes `header` the running thread's header.
///
/// # Safety
///
/// Only the switch protocol calls this, directly before [`switch`].
pub unsafe fn set_current(header: *const ThreadHeader) {
    need("set_current").set_current(header);
}

/// Masks interrupts and says whether they were enabled.
#[inline]
pub fn irq_save() -> IrqState {
    let was_enabled = match world() {
        Some(w) => w.irq_save(),
        None => alone(|a| !a.masked.replace(true)),
    };
    IrqState::new(was_enabled)
}

/// Puts interrupts back to what [`irq_save`] found.
#[inline]
pub fn irq_restore(state: IrqState) {
    if state.was_enabled() {
        irq_enable();
    }
}

/// Enables interrupts; pending ones are taken here.
#[inline]
pub fn irq_enable() {
    match world() {
        Some(w) => w.irq_enable(),
        None => alone(|a| a.masked.set(false)),
    }
}

/// Masks interrupts.
#[inline]
pub fn irq_disable() {
    match world() {
        Some(w) => w.irq_disable(),
        None => alone(|a| a.masked.set(true)),
    }
}

/// True when interrupts are masked on this core.
#[inline]
#[must_use]
pub fn irqs_masked() -> bool {
    match world() {
        Some(w) => w.irqs_masked(),
        None => alone(|a| a.masked.get()),
    }
}

/// One turn of a spin-wait: other cores run.
pub fn relax() {
    match world() {
        Some(w) => w.relax(),
        None => std::thread::yield_now(),
    }
}

/// Full barrier between a store and a later load, and an interleaving point.
#[inline]
pub fn fence_full() {
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    sync_point();
}

/// An interleaving point without effect.
#[inline]
pub fn sync_point() {
    if let Some(w) = world() {
        w.sync_point();
    }
}

/// The spin lock at this address is free since a moment; what its holder masked is still masked.
#[inline]
pub fn lock_released(lock: usize) {
    if let Some(w) = world() {
        w.lock_released(lock);
    }
}

/// Whether an allocation of `bytes` may be tried.
#[must_use]
pub fn allocation_allowed(bytes: usize) -> bool {
    world().is_none_or(|w| w.allocation_allowed(bytes))
}

/// Whether an allocation of `pages` whole pages may be tried.
#[must_use]
pub fn pages_allowed(pages: usize) -> bool {
    world().is_none_or(|w| w.pages_allowed(pages))
}

/// Whether making a thread may be tried.
#[must_use]
pub fn thread_allowed() -> bool {
    world().is_none_or(|w| w.thread_allowed())
}

/// Virtual time since the world started; zero outside a world.
#[must_use]
pub fn now() -> Instant {
    world().map_or(Instant::ZERO, |w| w.now())
}

/// Somebody looks at every event of the trace at once, whether or not the rings want it.
pub const OBSERVED: bool = true;

/// Virtual time for an event of the trace; not an interleaving point.
#[inline]
#[must_use]
pub fn stamp() -> u64 {
    world().map_or(0, |w| w.stamp())
}

/// As [`irq_save`].
#[inline]
pub fn irq_hold() -> HeldIrqs {
    HeldIrqs(irq_save())
}

/// As [`irq_restore`].
#[inline]
pub fn irq_release(held: HeldIrqs) {
    irq_restore(held.0);
}

/// What [`irq_hold`] found.
#[must_use = "interrupts stay masked"]
#[derive(Debug)]
pub struct HeldIrqs(IrqState);

/// Writes the four words of an event; not an interleaving point.
#[inline]
pub fn store_event(to: &[AtomicU64; 4], words: [u64; 4]) {
    for (to, word) in to.iter().zip(words) {
        to.store(word, Ordering::Relaxed);
    }
}

/// How much [`stamp`] grows in `span`.
#[must_use]
pub fn stamp_span(span: Duration) -> u64 {
    span.as_nanos()
}

/// When [`stamp`] said `stamp`.
#[must_use]
pub fn stamp_time(stamp: u64) -> Instant {
    Instant::from_nanos(stamp)
}

/// Shows an event of the trace to the world, in the order of all cores' events.
#[inline]
pub fn observe(event: &[u64; 4]) {
    if let Some(w) = world() {
        w.observe(event);
    }
}

/// Programs this core's one-shot timer. What [`stamp`] says when it fires.
pub fn arm_timer(deadline: Instant) -> u64 {
    if let Some(w) = world() {
        w.arm_timer(Some(deadline));
    }
    deadline.as_nanos()
}

/// Disarms this core's one-shot timer.
pub fn cancel_timer() {
    if let Some(w) = world() {
        w.arm_timer(None);
    }
}

/// Interrupts another core.
pub fn send_ipi(cpu: CpuId) {
    need("send_ipi").send_ipi(cpu);
}

/// Takes the next pending interrupt of this core.
#[must_use]
pub fn irq_ack() -> Option<Interrupt> {
    need("irq_ack").irq_ack()
}

/// Ends the interrupt [`irq_ack`] took.
pub fn irq_end(irq: Interrupt) {
    need("irq_end").irq_end(irq);
}

/// Waits until an interrupt is pending.
pub fn idle() {
    need("idle").idle();
}

/// Writes to the console (outside a world: standard error).
pub fn console_write(bytes: &[u8]) {
    match world() {
        Some(w) => w.console_write(bytes),
        None => std::eprint!("{}", std::string::String::from_utf8_lossy(bytes)),
    }
}

/// Takes one byte typed at the console.
#[must_use]
pub fn console_read() -> Option<u8> {
    world().and_then(|w| w.console_read())
}

/// Ends the world's run.
pub fn shutdown(code: u8) -> ! {
    need("shutdown").shutdown(code)
}

/// Ends the world's run: none begins anew.
pub fn reboot() -> ! {
    need("reboot").shutdown(0)
}

/// 64 bits from the world's seed (outside a world: from the host).
#[must_use]
pub fn entropy() -> u64 {
    use core::hash::{BuildHasher, Hasher};
    match world() {
        Some(w) => w.entropy(),
        None => std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish(),
    }
}

/// Starts a virtual core.
///
/// # Errors
///
/// When the world has no such core or its fault plan refuses.
pub fn start_cpu(header: &'static CpuHeader) -> Result<(), StartError> {
    need("start_cpu").start_cpu(header)
}

/// Switches the running core off; returns only when the world does not let it.
#[must_use]
pub fn leave_cpu() -> StartError {
    need("leave_cpu").leave_cpu()
}

/// Whether core `cpu` is off.
#[must_use]
pub fn cpu_is_off(cpu: CpuId) -> bool {
    need("cpu_is_off").cpu_is_off(cpu)
}

/// Has device interrupt `int` delivered to core `cpu`.
pub fn route_irq(int: IntId, cpu: CpuId) {
    need("route_irq").route_irq(int, cpu);
}

/// Changes the access rights of pages (recorded by the world, not enforced).
pub fn protect(address: usize, bytes: usize, rights: Protection) {
    if let Some(w) = world() {
        w.protect(address, bytes, rights);
    }
}

/// Return addresses of the caller's frames; none on the host, whose own backtrace is better.
pub fn backtrace(_fp: usize, _out: &mut [usize]) -> usize {
    0
}

/// Return addresses of a coroutine's frames; none on the host.
pub fn backtrace_of(
    _context: Context,
    _stack: core::ops::Range<usize>,
    _out: &mut [usize],
) -> usize {
    0
}

/// Prepares a coroutine that will call `entry(arg)` on the stack `low..high`.
///
/// # Safety
///
/// The stack is writable, used by nothing else, and outlives the context.
#[must_use]
pub unsafe fn context_init(
    low: usize,
    high: usize,
    entry: extern "C" fn(usize) -> !,
    arg: usize,
) -> Context {
    need("context_init").context_init(low, high, entry, arg)
}

/// Forgets a context that will never be continued.
///
/// # Safety
///
/// The context is not running and nothing will switch to it.
pub unsafe fn context_drop(context: Context) {
    if let Some(w) = world() {
        w.context_drop(context);
    }
}

/// Saves the running flow into `prev` and continues `next`.
///
/// # Safety
///
/// As in the metal backend.
pub unsafe fn switch(prev: *mut Context, next: Context) {
    need("switch").switch(prev, next);
}
