//! Where threads go: placement of new and woken threads, and idle cores pulling work.
//!
//! A core becomes idle only after it looked how many threads every other core has, and where that is more than one
//! for a thread it may take, and whoever makes a second thread runnable on a core pokes an idle core that may take one,
//! which pokes the next when it has taken one and another is left.
//! So no core idles for longer than one interrupt's delivery while another has two runnable threads
//! of which one may migrate.

use core::sync::atomic::Ordering;

use machine::{CpuId, Instant};
use sched::Dequeue;
use sync::handshake::resched;

use super::Rq;
use crate::cpu::{CpuLocal, CpuMask, cpu, online};
use crate::kernel;
use crate::kernel::Kernel;
use crate::thread::Thread;
use crate::trace::{Head, Kind, emit};

/// Core for a new thread: this one if idle, else an idle one, else the one with the fewest
/// runnable threads. `usable` is not empty.
pub(super) fn place(usable: CpuMask, here: CpuId) -> CpuId {
    let idle = CpuMask(kernel().idle_mask.hint()).and(usable);
    if idle.contains(here) {
        return here;
    }
    idle.lowest()
        .or_else(|| usable.iter().min_by_key(|&c| cpu(c).load()))
        .unwrap_or(here)
}

/// Core for a woken thread that may use those `allowed`: its last one if that is idle or the only one,
/// else an idle one, else its last one.
#[inline(always)]
pub(super) fn place_woken(allowed: CpuMask, last: &'static CpuLocal) -> &'static CpuLocal {
    let idle = CpuMask(last.kernel().idle_mask.hint()).and(allowed);
    let candidates = if idle.is_empty() { allowed } else { idle };
    if candidates.contains(last.id()) {
        last
    } else {
        place_elsewhere(idle, allowed, last)
    }
}

#[inline(never)]
fn place_elsewhere(idle: CpuMask, allowed: CpuMask, last: &'static CpuLocal) -> &'static CpuLocal {
    let least = || allowed.iter().min_by_key(|&c| cpu(c).load());
    idle.lowest().or_else(least).map_or(last, cpu)
}

/// Core `c` has nothing to run and holds its own runqueue's lock: takes a waiting thread from the
/// busiest core, which may be one that is going offline. True when it got one.
///
/// Remote runqueues are only tried, never waited for: two cores pulling from each other would
/// deadlock otherwise. A failed try is made good by the poke of [`kick_idle_for`].
pub(super) fn pull(c: &'static CpuLocal, rq: &mut Rq, now: Instant) -> bool {
    if !online().contains(c.id()) {
        return false;
    }
    let mut tried = CpuMask::single(c.id());
    while let Some(from) = busiest(tried) {
        tried = tried.with(from.id());
        if pull_from(from, c, rq, now) {
            return true;
        }
    }
    false
}

/// Some core has a thread that waits, perhaps.
#[inline(always)]
pub(super) fn is_any_crowded(kernel: &Kernel) -> bool {
    kernel.cpus().iter().any(|c| c.load() > 1)
}

/// The core with most runnable threads, at least two, of those that were not tried.
fn busiest(tried: CpuMask) -> Option<&'static CpuLocal> {
    let busy = |c: &&CpuLocal| !tried.contains(c.id()) && c.load() > 1;
    kernel().cpus().iter().filter(busy).max_by_key(|c| c.load())
}

#[inline(never)]
fn pull_from(busy: &'static CpuLocal, c: &'static CpuLocal, rq: &mut Rq, now: Instant) -> bool {
    let Some(mut from) = busy.rq.try_lock() else {
        // Whoever holds it may be about to leave us something: look again once.
        resched::request_here(&c.header.need_resched);
        return false;
    };
    let Some(h) = from.queue.pull_candidate(|h| may_run(h, c.id())) else {
        return false;
    };
    let t = thread_of(h);
    from.take_off(t, Dequeue::Migrate, now);
    busy.publish_load(from.queue.nr_runnable());
    let (left, on) = (busy.id().index() as u64, c.id().index() as u64);
    emit(Kind::SchedMigrateTask, Head::of(t.id()), left, on);
    t.set_core(c);
    t.note_whether_it_stays();
    if from.queue.nr_runnable() > 1 {
        kick_idle_for(CpuMask::single(busy.id()).with(c.id()), &from);
    }
    drop(from);
    let _ = rq.take_over(t, now);
    true
}

/// A core with this runqueue has more than one runnable thread: pokes an idle core that may take a
/// waiting one. One that was poked before and has not looked yet is passed over, since it takes one
/// thread only. So are `no_help`, which may still count as idle: the owner, and who has taken one.
#[inline(always)]
pub(super) fn kick_idle_for(no_help: CpuMask, rq: &Rq) {
    let c = crate::cpu::this_cpu();
    if c.others.may_take(rq.queue.all_pinned().into()) {
        kick_idle_for_one(no_help, rq);
    }
}

/// As [`kick_idle_for`] of core `c`, if more than one are runnable there. At every wake-up and switch, for
/// all that wait: who was poked before may have found the runqueue locked, and have got a thread of its own
/// since.
#[inline(always)]
pub(super) fn offer(c: &CpuLocal, rq: &mut Rq) {
    if rq.queue.nr_runnable() > 1 && rq.queue.may_move_some() {
        if c.others.may_take(rq.queue.all_pinned().into()) {
            kick_idle_for_one(CpuMask::single(c.id()), rq);
        } else {
            rq.queue.forget_movable();
        }
    }
}

/// A core goes offline: threads that are pinned to it may run elsewhere from now on. Interrupts are masked.
pub(crate) fn expect_moves(c: &CpuLocal) {
    c.others.lack_some();
    // Whoever finds under this lock that all stay knows of the core that goes, or did so before.
    c.rq.lock().queue.expect_moves();
}

/// Of those that wait one or more may run elsewhere.
#[inline(always)]
fn kick_idle_for_one(no_help: CpuMask, rq: &Rq) {
    // Pairs with `enter` in `find_work`: the load was published before.
    let idle = CpuMask(kernel().idle_mask.look() & !no_help.0);
    if !idle.is_empty() {
        kick_one_of(idle, rq);
    }
}

/// As [`kick_idle_for_one`]: the cores of `idle` had nothing to do a moment ago.
#[inline(never)]
fn kick_one_of(idle: CpuMask, rq: &Rq) {
    let idle = idle.and(online());
    // Of the threads, too, those that only told cores may take are passed over: another may wait
    // behind them for a core that nobody has told.
    let takers = |h| {
        let allowed = thread_of(h).allowed().and(idle);
        allowed.iter().filter(|&id| !is_told(cpu(id)))
    };
    let waiting = rq.queue.pull_candidate(|h| takers(h).next().is_some());
    let me = crate::cpu::this_cpu().id();
    let _poked = waiting.is_some_and(|h| takers(h).any(|id| poke(id, id == me)));
}

/// Core `c` is about to look for something to run.
fn is_told(c: &CpuLocal) -> bool {
    c.header.need_resched.load(Ordering::Relaxed)
}

/// Makes idle core `id` look for a waiting thread. False when it was about to look anyway.
fn poke(id: CpuId, local: bool) -> bool {
    let c = cpu(id);
    if is_told(c) {
        return false;
    }
    // Before the kick, whose order makes it visible to who takes the kick.
    c.poked.store(true, Ordering::Relaxed);
    super::wake::kick(c, local)
}

/// Whether core `c`, the running one, was poked since it last asked.
#[inline]
pub(super) fn take_poke(c: &CpuLocal) -> bool {
    let poked = is_poked(c);
    if poked {
        c.poked.store(false, Ordering::Relaxed);
    }
    poked
}

/// As [`take_poke`]; it stays so.
#[inline(always)]
pub(super) fn is_poked(c: &CpuLocal) -> bool {
    c.poked.load(Ordering::Relaxed)
}

/// Core `c`, the running one, was poked for a thread that waits elsewhere but has one of its own to
/// run by now: it pokes the next core.
#[cold]
pub(super) fn pass_on(c: &'static CpuLocal) {
    let me = CpuMask::single(c.id());
    let idle = CpuMask(kernel().idle_mask.look() & !me.0).and(online());
    let _poked = idle.iter().any(|id| poke(id, false));
}

fn may_run(h: links::Handle<sched::Entity>, on: CpuId) -> bool {
    thread_of(h).allowed().contains(on)
}

#[expect(unsafe_code, reason = "container_of")]
pub(super) fn thread_of<'a>(h: links::Handle<sched::Entity>) -> &'a Thread {
    // SAFETY: handles in a runqueue belong to live threads.
    unsafe { Thread::of_entity(h) }
}
