//! Inter-processor interrupts: one line, a mailbox per core that says why.
//!
//! "Look at your runqueue" needs no mail: the sender set `need_resched`, and interrupt exit looks
//! at it. The other reasons are a softirq to raise, a function to call, or "stop".

use core::fmt;

use machine::CpuId;
use sync::handshake::Mail;
use sync::{Rank, SpinLock};

use crate::cpu::{cpu, this_cpu};
use crate::softirq::{self, Vector};
use crate::trace::{Head, Kind, emit, emit_unmasked};

/// Most calls waiting for one core.
const CALLS: usize = 64;

/// The core should stop for good.
const STOP: u32 = 1 << 31;
/// Calls are waiting.
const CALL: u32 = 1 << 30;

#[derive(Clone, Copy)]
struct Call {
    f: fn(usize),
    arg: usize,
}

/// What other cores want of one core. Bits 0..10: softirqs to raise.
pub(crate) struct Mailbox {
    bits: Mail,
    calls: SpinLock<heapless::Deque<Call, CALLS>>,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("bits", &self.bits)
            .finish_non_exhaustive()
    }
}

impl Mailbox {
    pub(crate) const fn new() -> Self {
        Self {
            bits: Mail::new(),
            calls: SpinLock::new(Rank::Mailbox, "mailbox", heapless::Deque::new()),
        }
    }
}

/// The core has too many calls waiting; try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MailboxFull;

fn post(target: CpuId, bit: u32) {
    if cpu(target).mailbox.bits.post(bit) {
        let to = Head::of(target.index() as u32);
        emit_unmasked(Kind::IpiSend, to, u64::from(bit), 0);
        machine::send_ipi(target);
    }
}

/// Raises a softirq on another core.
pub(crate) fn raise_softirq(target: CpuId, vector: Vector) {
    post(target, 1 << vector as u8);
}

/// Runs `f(arg)` on core `target` in hard-interrupt context, soon; does not wait. Any context.
/// On the calling core it runs at once.
///
/// # Errors
///
/// [`MailboxFull`] when too many calls are waiting there; nothing was queued.
pub fn call_on(target: CpuId, f: fn(usize), arg: usize) -> Result<(), MailboxFull> {
    let irq = sync::IrqGuard::new();
    if target == this_cpu().id() {
        f(arg);
    } else {
        let push = cpu(target).mailbox.calls.lock().push_back(Call { f, arg });
        push.map_err(|_| MailboxFull)?;
        post(target, CALL);
    }
    drop(irq);
    Ok(())
}

/// Tells every other core to stop for good.
pub(crate) fn stop_others() {
    let me = this_cpu().id();
    for id in crate::cpu::online().iter().filter(|&id| id != me) {
        post(id, STOP);
        machine::send_ipi(id);
    }
}

/// An IPI arrived; hard-interrupt context.
pub(crate) fn handle() {
    let c = this_cpu();
    let bits = c.mailbox.bits.take();
    emit(Kind::IpiEntry, Head::of(0), u64::from(bits), 0);
    if bits & STOP != 0 {
        loop {
            machine::idle();
            // A pending interrupt would end the wait at once; nobody is left to care.
            machine::relax();
        }
    }
    for v in [
        Vector::Hi,
        Vector::Timer,
        Vector::NetTx,
        Vector::NetRx,
        Vector::Tasklet,
    ] {
        if bits & 1 << v as u8 != 0 {
            softirq::raise(v);
        }
    }
    if bits & CALL != 0 {
        loop {
            let next = c.mailbox.calls.lock().pop_front();
            let Some(call) = next else { break };
            (call.f)(call.arg);
        }
    }
    emit(Kind::IpiExit, Head::of(0), 0, 0);
}
