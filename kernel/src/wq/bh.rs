//! BH workqueues: items executed by the softirq of their core (K1-K4, S11).
//!
//! Each core has two BH pools, highpri in the HI vector and normal in TASKLET, each with a pseudo
//! worker. One softirq entry executes at most 10 items or 2 ms of them and raises the vector again
//! for the rest, so that timers, other vectors and, by way of ksoftirqd, threads get their turn.
#![expect(unsafe_code, reason = "items are run type-erased")]

use core::cell::Cell;
use core::sync::atomic::Ordering;

use links::Handle;
use machine::CpuId;
use sync::SpinGuard;
use sync::atomic::{AtomicU32, AtomicU64};
use workqueue::anatomy::Course;
use workqueue::{Item, Over, Pwq};

use super::anatomy;
use super::barrier::Barrier;
use super::handles::{item_name, queue_name, share_of};
use super::header::{Header, Hold};
use super::hotplug;
use super::pool::{Inner, Pool};
use super::share::Share;
use crate::cpu::{CpuLocal, CpuMask, cpu, this_cpu};
use crate::softirq::{self, BhCx, raise_masked};
use crate::trace::{Kind, Told, emit, with_function};

/// Most items in one softirq entry (A3, K4); the longest time is that of all softirqs.
const BATCH: u32 = 10;

/// The BH pools that a vector of one core runs.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Line {
    /// `[I]` the core's own; `None` of a vector that runs something else.
    own: Cell<Option<&'static Pool>>,
    /// `[A]` cores whose pools it may run, too, while they are offline; set under the pool's lock.
    adopted: AtomicU64,
    /// `[C]` the core whose pool comes first in the next entry, while there are such.
    turn: AtomicU32,
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self {
            own: Cell::new(None),
            adopted: AtomicU64::new(0),
            turn: AtomicU32::new(0),
        }
    }

    /// The core's own pool.
    #[inline(always)]
    pub(crate) fn own(&self) -> Option<&'static Pool> {
        self.own.get()
    }

    #[inline(always)]
    pub(super) fn adopted(&self) -> CpuMask {
        CpuMask(self.adopted.load(Ordering::Relaxed))
    }

    /// It may run the pool of core `home`, too.
    pub(super) fn adopt(&self, home: CpuId) {
        self.adopted
            .fetch_or(CpuMask::single(home).0, Ordering::Relaxed);
    }

    /// It does no more.
    pub(super) fn let_go(&self, home: CpuId) {
        self.adopted
            .fetch_and(!CpuMask::single(home).0, Ordering::Relaxed);
    }

    pub(super) fn let_all_go(&self) {
        self.adopted.store(0, Ordering::Relaxed);
    }
}

/// Before core `c` starts: its vectors know its pools.
pub(crate) fn prepare(c: &'static CpuLocal) {
    for highpri in [false, true] {
        let pool = c.wq.bh(highpri);
        c.softirq.bh(pool.vector()).own.set(Some(pool));
    }
}

/// Executes BH items of `own`, a pool of core `c`, the running one, and of those that `line` says it serves, too, while their
/// cores are offline (K5): the first, and others until `until` by the raw counter. Called by the softirq loop.
/// Interrupts are masked on entry and on return, enabled while items run.
#[inline(always)]
pub(crate) fn run(
    cx: &BhCx<'_>,
    c: &'static CpuLocal,
    line: &Line,
    own: &'static Pool,
    until: u64,
) {
    if line.adopted().is_empty() {
        take_turn(cx, own, c, BATCH, until);
    } else {
        run_in_turn(cx, c, line, own, until);
    }
}

/// As [`run`], of the pools of `adopted`, too: two items at most of each and of the core's own, in turn, and then of
/// its own. If the entry ends before all had theirs the next one begins where it ended, so that no pool waits for
/// ever behind others.
#[cold]
#[inline(never)]
fn run_in_turn(cx: &BhCx<'_>, c: &'static CpuLocal, line: &Line, own: &'static Pool, until: u64) {
    let homes = line.adopted().0 | CpuMask::single(c.id()).0;
    let turn = &line.turn;
    let had = CpuMask::first_n(turn.load(Ordering::Relaxed) as usize).0;
    let rest = CpuMask(homes & !had);
    let mut left = BATCH;
    // The first item is started, however late it is.
    let is_over = |left| left == 0 || (left < BATCH && machine::stamp() >= until);
    for home in rest.iter().chain(CpuMask(homes & had).iter()) {
        if is_over(left) {
            turn.store(home.index() as u32, Ordering::Relaxed);
            raise_masked(c, own.vector());
            return;
        }
        let few = left.min(2);
        left -= few - take_one_turn(cx, cpu(home).wq.bh(own.highpri), c, few, until);
    }
    if !is_over(left) {
        take_one_turn(cx, own, c, left, until);
    }
}

/// As [`take_turn`], where time is not short.
#[inline(never)]
fn take_one_turn(
    cx: &BhCx<'_>,
    pool: &'static Pool,
    here: &CpuLocal,
    items: u32,
    until: u64,
) -> u32 {
    take_turn(cx, pool, here, items, until)
}

/// Executes items of `pool`, if core `here`, the running one, serves it: the first, and up to `items` for as long as it is
/// not `until`, by the raw counter. How many more it might have been.
#[inline(always)]
fn take_turn(cx: &BhCx<'_>, pool: &'static Pool, here: &CpuLocal, items: u32, until: u64) -> u32 {
    let me = pool.bh_worker();
    let mut left = items;
    // Of the item before, given up outside the lock.
    let mut done = Hold::NONE;
    let mut g = pool.lock_masked();
    if !pool.is_served_by(here.id()) {
        hotplug::forget(pool, here.id());
        return left;
    }
    loop {
        let Inner { policy, store, .. } = &mut *g;
        let over;
        if let Some((item, pwq)) = policy.turn_to(store, me) {
            (g, done, over) = execute::<true>(cx, (pool, here), (item, pwq), g, done);
        } else {
            let Some(begun) = policy.turn_aside(store, me) else {
                break;
            };
            let Some(pwq) = begun.pwq else {
                pass_barrier(pool, begun.item, &mut g);
                continue;
            };
            (g, done, over) = execute::<false>(cx, (pool, here), (begun.item, pwq), g, done);
        }
        pool.flushed(over);
        left -= 1;
        if left == 0 || machine::stamp() >= until {
            break;
        }
    }
    here.wq
        .bh_item
        .store(core::ptr::null_mut(), Ordering::Relaxed);
    let Inner { policy, store, .. } = &mut *g;
    let more = policy.end_turn(store, me, items - left);
    hotplug::bequeath(pool, &mut g);
    drop(g);
    if more {
        raise_masked(here, pool.vector());
    }
    if done.is_some() {
        machine::irq_enable();
        drop(done);
        machine::irq_disable();
    }
    left
}

/// The pseudo worker of `pool` comes to a barrier: its waiter goes on.
#[inline(never)]
fn pass_barrier(pool: &'static Pool, barrier: Handle<Item>, g: &mut Inner) {
    let Inner { policy, store, .. } = g;
    emit(Kind::BarrierDone, pool.head(), 0, item_name(barrier));
    // SAFETY: it was queued and runs once.
    unsafe { Barrier::complete(barrier, store) };
    let f = policy.finish_barrier(store, pool.bh_worker());
    pool.flushed(f.flushed);
}

/// Runs one item on core `here`, and gives up `done` as soon as the lock is free. Its count, and its pwq if that finished the
/// colour that a flush waits for. `PLAIN`: only the simulator wants to know of it.
#[inline(always)]
fn execute<'p, const PLAIN: bool>(
    cx: &BhCx<'_>,
    (pool, here): (&'static Pool, &CpuLocal),
    (item, pwq): (Handle<Item>, Handle<Pwq>),
    mut g: SpinGuard<'p, Inner>,
    done: Hold,
) -> (SpinGuard<'p, Inner>, Hold, Option<Handle<Pwq>>) {
    // SAFETY: the item's submission keeps it alive until `hold` is dropped.
    let h = unsafe { Header::of(item) };
    // The hold first: once the word is taken, whoever claims the item next may set it.
    let hold = h.take_hold();
    h.in_run.begin();
    let submissions = h.word.take();
    // The share is kept by its item.
    let share: &Share = share_of(pwq);
    let told = Told::unless(PLAIN, Kind::ExecuteStart);
    let now = told.now();
    told.emit(now, || {
        let head = with_function(pool.head(), h.function());
        (head, item_name(item), queue_name(share.queue_ptr()))
    });
    let course = if told.anatomy() {
        anatomy::started_bh(now, h)
    } else {
        Course::new()
    };
    drop(g);
    machine::irq_enable();
    drop(done);
    let running = core::ptr::from_ref(h.vtable).cast_mut();
    here.wq.bh_item.store(running, Ordering::Relaxed);
    // SAFETY: items on BH pools take a `BhCx`; `hold` is the count.
    unsafe { h.run(core::ptr::from_ref(cx).cast(), submissions, hold.is_some()) };
    if machine::irqs_masked() {
        softirq::end_left_sections(cx, pool.vector() as usize);
    }
    machine::irq_disable();
    g = pool.lock_masked();
    let told = Told::unless(PLAIN, Kind::ExecuteEnd);
    let now = told.now();
    told.emit(now, || {
        (pool.head(), item_name(item), queue_name(share.queue_ptr()))
    });
    if told.anatomy() {
        anatomy::over_bh(told, now, &course, (share, h), &mut g);
    }
    let Inner { policy, store, .. } = &mut *g;
    let over = policy.turn_over(store, pool.bh_worker(), (item, pwq));
    h.in_run.end();
    let flushed = match over {
        Over::Goes => None,
        Over::Last => {
            share.tell_passed(&g);
            None
        }
        Over::Follows(f) => {
            share.tell_passed(&g);
            f.flushed
        }
    };
    (g, hold, flushed)
}

/// The type of the BH item that this core executes; in BH context.
#[cold]
pub(crate) fn current_item() -> Option<&'static str> {
    let vtable = this_cpu().wq.bh_item.load(Ordering::Relaxed);
    // SAFETY: null or a static.
    unsafe { vtable.as_ref() }.map(|v| (v.name)())
}
