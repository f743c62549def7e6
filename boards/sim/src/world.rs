//! The machine seam of a simulated world: every call of the kernel's lands here.
//!
//! Calls that another core or an interrupt could observe or precede are interleaving points;
//! reading the core's own registers is not one.
#![expect(
    unsafe_code,
    reason = "stores a flow's number where the kernel asked for it"
)]

use machine::{
    Context, CpuHeader, CpuId, Instant, IntId, Interrupt, Protection, StartError, ThreadHeader,
    World,
};

use crate::core::{IPI, NEVER, TIMER};
use crate::device;
use crate::engine::Sim;
use crate::options::Failure;
use crate::reclaim::outside;
use crate::trace::What;

impl World for Sim {
    fn percpu(&self) -> *const CpuHeader {
        self.core().percpu.get()
    }

    fn set_percpu(&self, header: *const CpuHeader) {
        self.core().percpu.set(header);
    }

    fn current(&self) -> *const ThreadHeader {
        self.core().current.get()
    }

    fn set_current(&self, header: *const ThreadHeader) {
        self.core().current.set(header);
    }

    fn irq_save(&self) -> bool {
        if self.core().masked.get() {
            return false;
        }
        self.point(What::IrqSave, 0);
        !self.core().masked.replace(true)
    }

    fn irq_enable(&self) {
        self.core().masked.set(false);
        self.point(What::IrqEnable, 0);
    }

    fn irq_disable(&self) {
        if !self.core().masked.get() {
            self.point(What::IrqDisable, 0);
            self.core().masked.set(true);
        }
    }

    fn irqs_masked(&self) -> bool {
        self.core().masked.get()
    }

    fn relax(&self) {
        self.spin_point();
    }

    fn sync_point(&self) {
        self.point(What::SyncPoint, 0);
    }

    fn lock_released(&self, lock: usize) {
        self.released(lock);
    }

    fn allocation_allowed(&self, bytes: usize) -> bool {
        self.may_allocate(bytes)
    }

    fn pages_allowed(&self, pages: usize) -> bool {
        self.may_take_pages(pages)
    }

    fn thread_allowed(&self) -> bool {
        self.may_make_thread()
    }

    fn now(&self) -> Instant {
        self.point(What::Now, 0);
        self.time()
    }

    fn stamp(&self) -> u64 {
        self.clock.get()
    }

    fn observe(&self, event: &[u64; 4]) {
        self.observed(event);
    }

    fn arm_timer(&self, deadline: Option<Instant>) {
        let at = deadline.map_or(NEVER, |d| {
            d.as_nanos().saturating_add(self.timer_lateness())
        });
        let what = if deadline.is_some() {
            What::ArmTimer
        } else {
            What::CancelTimer
        };
        let core = self.core();
        core.deadline.set(at);
        let wanted = deadline.map_or(NEVER, Instant::as_nanos);
        core.wanted.set((wanted, self.clock.get()));
        core.pending.set(core.pending.get() & !TIMER);
        self.refresh();
        self.point(what, at);
    }

    fn send_ipi(&self, cpu: CpuId) {
        assert!(
            cpu.index() < self.cores.len(),
            "an IPI to {cpu:?}, which does not exist"
        );
        self.post_ipi(cpu.index());
        self.point(What::SendIpi, cpu.index() as u64);
    }

    fn irq_ack(&self) -> Option<Interrupt> {
        assert!(self.core().masked.get(), "irq_ack with interrupts unmasked");
        self.point(What::IrqAck, 0);
        Some(match self.acknowledge()? {
            TIMER => Interrupt::Timer,
            IPI => Interrupt::Ipi,
            line => Interrupt::Device(device::int_of(line)),
        })
    }

    fn irq_end(&self, _irq: Interrupt) {
        self.point(What::IrqEnd, 0);
    }

    fn idle(&self) {
        assert!(self.core().masked.get(), "idle with interrupts unmasked");
        self.record(What::Idle, 0);
        self.wait_for_interrupt();
    }

    fn console_write(&self, bytes: &[u8]) {
        if self.options.echo {
            eprint!("{}", String::from_utf8_lossy(bytes));
        }
        outside(|| self.console.borrow_mut().extend_from_slice(bytes));
    }

    fn console_read(&self) -> Option<u8> {
        None
    }

    fn shutdown(&self, code: u8) -> ! {
        self.record(What::Shutdown, u64::from(code));
        self.end(if code == 0 {
            Ok(())
        } else {
            Err(Failure::Exit(code))
        })
    }

    fn entropy(&self) -> u64 {
        self.record(What::Entropy, 0);
        self.world_rng.next()
    }

    fn start_cpu(&self, header: &'static CpuHeader) -> Result<(), StartError> {
        let n = header.id.index();
        let Some(core) = self.cores.get(n) else {
            return Err(StartError::Unknown);
        };
        if core.started.get() {
            return Err(StartError::Refused);
        }
        core.percpu.set(header);
        let first = self.flows.boot(move || (header.hooks.secondary)(header.id));
        core.flow.set(first);
        if let Some(old) = core.first_flow.replace(Some(first)) {
            self.flows.discard(old);
        }
        core.masked.set(true);
        core.started.set(true);
        self.refresh();
        self.point(What::StartCpu, n as u64);
        Ok(())
    }

    fn leave_cpu(&self) -> StartError {
        self.record(What::LeaveCpu, 0);
        if !self.may_leave() {
            return StartError::Refused;
        }
        self.switch_off()
    }

    fn cpu_is_off(&self, cpu: CpuId) -> bool {
        self.point(What::LeaveCpu, cpu.index() as u64);
        !self.cores[cpu.index()].started.get()
    }

    fn route_irq(&self, int: IntId, cpu: CpuId) {
        self.route_line_to(device::line_of(int), cpu);
        self.point(What::RouteIrq, u64::from(int.0));
    }

    fn protect(&self, address: usize, bytes: usize, rights: Protection) {
        self.arena.protect(address, bytes, rights);
        self.point(What::Protect, bytes as u64);
    }

    fn context_init(
        &self,
        low: usize,
        high: usize,
        entry: extern "C" fn(usize) -> !,
        arg: usize,
    ) -> Context {
        Context(self.flows.on(low, high, move || entry(arg)))
    }

    fn context_drop(&self, context: Context) {
        let on = self
            .cores
            .iter()
            .position(|c| c.started.get() && c.flow.get() == context.0);
        assert!(
            on.is_none(),
            "flow {} is dropped while core {on:?} runs it",
            context.0
        );
        assert!(
            self.flows.is_alive(context.0),
            "flow {} is dropped, and there is none",
            context.0
        );
        self.flows.discard(context.0);
    }

    fn switch(&self, prev: *mut Context, next: Context) {
        assert!(self.core().masked.get(), "switch with interrupts unmasked");
        // All others can see of it lies under the runqueue's lock, which the next flow releases: a point
        // after it would show them nothing else.
        self.point(What::Switch, next.0 as u64);
        let core = self.core();
        let twice = self
            .cores
            .iter()
            .any(|c| c.started.get() && c.flow.get() == next.0);
        assert!(
            !twice,
            "flow {} is continued although a core runs it",
            next.0
        );
        assert!(
            self.flows.is_alive(next.0),
            "flow {} is continued although it is gone",
            next.0
        );
        let old = core.flow.replace(next.0);
        // SAFETY: `switch`'s caller keeps `prev` valid until it is continued.
        unsafe { prev.write(Context(old)) };
        self.flows.suspend(old);
    }
}
