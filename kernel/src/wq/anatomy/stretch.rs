//! A stretch of items of one share that one thread, or softirq, executes without following them: their CPU time.

use core::sync::atomic::Ordering;

use links::Handle;
use workqueue::{Eyes, Pwq};

use crate::cpu::CpuLocal;
use crate::kernel;
use crate::thread;
use crate::wq::handles::share_of;
use crate::wq::pool::Inner;
use crate::wq::worker::Worker;

/// A pwq that no item has.
#[inline(always)]
pub(in crate::wq) fn nobody() -> Handle<Pwq> {
    Handle::of(core::ptr::dangling())
}

/// A stretch in the softirq of core `here`, whose time is all its own, begins with the next item, whose pwq that is; under the
/// pool's lock `g`. There is none, unless `EYES` are [`Eyes::EVENTS`].
#[inline(always)]
pub(in crate::wq) fn begin_bh<const EYES: u8>(here: &CpuLocal, g: &Inner) -> Handle<Pwq> {
    if EYES != Eyes::EVENTS {
        return nobody();
    }
    here.wq
        .bh_stretch
        .store(machine::stamp(), Ordering::Relaxed);
    g.policy.pwq_of_next(&g.store).unwrap_or_else(nobody)
}

/// The stretch of items of `p` that [`begin_bh`] began is over.
#[inline(always)]
pub(in crate::wq) fn end_bh<const EYES: u8>(here: &CpuLocal, p: Handle<Pwq>, g: &mut Inner) {
    if EYES == Eyes::EVENTS && p != nobody() {
        let from = here.wq.bh_stretch.load(Ordering::Relaxed);
        charge(p, from, 0, g);
    }
}

/// Worker `w`, of the running thread, begins a stretch.
pub(in crate::wq) fn begin(w: &Worker) {
    let t = thread::current();
    let mut away = t.away.get();
    away.begin();
    t.away.set(away);
    w.stretch.set(machine::stamp());
}

/// The stretch of worker `w`, of the running thread, is over, if it had begun one; it was of `p`. Under the pool's lock `g`.
pub(in crate::wq) fn end(w: &Worker, p: Handle<Pwq>, g: &mut Inner) {
    let from = w.stretch.replace(0);
    if from > 0 {
        charge(p, from, thread::current().away.get().ticks(), g);
    }
}

/// Charges the time since `from`, but for so many ticks `away`, to the share of `p`: unless the anatomy was off meanwhile, when
/// nobody noted who was away.
fn charge(p: Handle<Pwq>, from: u64, away: u64, g: &mut Inner) {
    if from >= kernel().wq.anatomy.since() {
        let whole = machine::stamp().saturating_sub(from);
        share_of(p).books(g).cpu += whole.saturating_sub(away);
    }
}
