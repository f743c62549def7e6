//! BH workqueues: items executed by the softirq of their core (K1-K4, S11).
//!
//! Each core has two BH pools, highpri in the HI vector and normal in TASKLET, each with a pseudo
//! worker. One turn is at most 10 items, or 2 ms of them. Where nothing else is pending the next one follows on the spot, as often
//! as an entry would have come back to the vector; else the vector is raised again for the rest, so that timers, other vectors
//! and, by way of ksoftirqd, threads get their turn.
#![expect(unsafe_code, reason = "items are run type-erased")]

use core::cell::Cell;
use core::sync::atomic::Ordering;

use links::Handle;
use machine::CpuId;
use sync::SpinGuard;
use sync::atomic::{AtomicU32, AtomicU64};
use workqueue::anatomy::Course;
use workqueue::{Eyes, Item, Over, Pwq};

use super::anatomy::{self, stretch};
use super::barrier::Barrier;
use super::handles::{item_name, queue_name, share_of};
use super::header::{Header, Hold};
use super::hotplug;
use super::pool::{Inner, Pool};
use crate::cpu::{CpuLocal, CpuMask, cpu, this_cpu};
use crate::softirq::{self, BhCx, Entry, raise_masked};
use crate::trace::{Kind, Told, emit, with_function_bits};

/// Most items in one turn (A3, K4); the longest time is that of all softirqs.
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
/// cores are offline (K5): the first, and others until the end of `entry`. Called by the softirq loop.
/// Interrupts are masked on entry and on return, enabled while items run.
#[inline(always)]
pub(crate) fn run(
    cx: &BhCx<'_>,
    c: &'static CpuLocal,
    line: &Line,
    own: &'static Pool,
    entry: &mut Entry,
) {
    if line.adopted().is_empty() {
        if Told::by(c, Kind::ExecuteStart).any() {
            take_turns_seen(cx, own, c, entry);
        } else {
            take_turns(cx, own, c, entry);
        }
    } else {
        run_in_turn(cx, c, line, own, entry);
    }
}

/// As [`run`], of the pools of `adopted`, too: two items at most of each and of the core's own, in turn, and then of
/// its own. If the entry ends before all had theirs the next one begins where it ended, so that no pool waits for
/// ever behind others.
#[cold]
#[inline(never)]
fn run_in_turn(
    cx: &BhCx<'_>,
    c: &'static CpuLocal,
    line: &Line,
    own: &'static Pool,
    entry: &mut Entry,
) {
    let homes = line.adopted().0 | CpuMask::single(c.id()).0;
    let turn = &line.turn;
    let had = CpuMask::first_n(turn.load(Ordering::Relaxed) as usize).0;
    let rest = CpuMask(homes & !had);
    let mut left = BATCH;
    // The first item is started, however late it is.
    let until = entry.until;
    let is_over = |left| left == 0 || (left < BATCH && machine::stamp() >= until);
    for home in rest.iter().chain(CpuMask(homes & had).iter()) {
        if is_over(left) {
            turn.store(home.index() as u32, Ordering::Relaxed);
            raise_masked(c, own.vector());
            return;
        }
        let few = left.min(2);
        left -= few - take_one_turn(cx, cpu(home).wq.bh(own.highpri), c, few, entry);
    }
    if !is_over(left) {
        take_one_turn(cx, own, c, left, entry);
    }
}

/// Executes items of `pool`, the only one that its vector runs on core `here`, the running one: the first, and up to [`BATCH`]
/// until the end of `entry`; and so on, for as long as nothing else is pending.
#[inline(never)]
fn take_turns(cx: &BhCx<'_>, pool: &'static Pool, here: &CpuLocal, entry: &mut Entry) {
    take_turn::<true, { Eyes::NONE }>(cx, pool, here, BATCH, entry);
}

/// As [`take_turns`], where somebody sees items.
#[inline(never)]
fn take_turns_seen(cx: &BhCx<'_>, pool: &'static Pool, here: &CpuLocal, entry: &mut Entry) {
    take_turn::<true, { Eyes::EVENTS }>(cx, pool, here, BATCH, entry);
}

/// As [`take_turns`], once, and up to `items`. How many more it might have been.
#[inline(never)]
fn take_one_turn(
    cx: &BhCx<'_>,
    pool: &'static Pool,
    here: &CpuLocal,
    items: u32,
    entry: &mut Entry,
) -> u32 {
    take_turn::<false, { Eyes::NONE }>(cx, pool, here, items, entry)
}

#[inline(always)]
fn take_turn<const ALONE: bool, const EYES: u8>(
    cx: &BhCx<'_>,
    pool: &'static Pool,
    here: &CpuLocal,
    items: u32,
    entry: &mut Entry,
) -> u32 {
    let me = pool.bh_worker();
    let until = entry.until;
    let mut left = items;
    // Whether the item before, which is the core's current one still, is to be given up outside the lock.
    let mut held = false;
    let mut g = pool.lock_masked();
    if !pool.is_served_by(here.id()) {
        hotplug::forget(pool, here.id());
        return left;
    }
    // Whose items are not followed from here on, one after another.
    let mut only = stretch::begin_bh::<EYES>(here, &g);
    loop {
        let Inner { policy, store, .. } = &mut *g;
        let (over, ended);
        if let Some((item, pwq)) = policy.turn_to::<_, EYES>(store, me, only) {
            (g, held, over, ended) = execute::<EYES>(cx, (pool, here), (item, pwq), g, held);
        } else {
            stretch::end_bh::<EYES>(here, only, &mut g);
            only = stretch::nobody();
            let Inner { policy, store, .. } = &mut *g;
            let Some(begun) = policy.turn_aside(store, me) else {
                break;
            };
            let Some(pwq) = begun.pwq else {
                pass_barrier(pool, begun.item, &mut g);
                only = stretch::begin_bh::<EYES>(here, &g);
                continue;
            };
            (g, held, over, ended) =
                execute::<{ Eyes::ALL }>(cx, (pool, here), (begun.item, pwq), g, held);
            only = stretch::begin_bh::<EYES>(here, &g);
        }
        pool.flushed(over);
        left -= 1;
        if left == 0 {
            let stays = ALONE && g.policy.has_more() && !hotplug::has_heir(pool);
            if !stays || !softirq::goes_on_alone(here, cx, pool.vector(), entry) {
                break;
            }
            left = items;
        } else {
            // Where nobody sees items, nobody asked when they ended.
            let now = if EYES == Eyes::NONE {
                machine::stamp()
            } else {
                ended
            };
            if now >= until {
                break;
            }
        }
    }
    stretch::end_bh::<EYES>(here, only, &mut g);
    let last = &here.wq.bh_item;
    let done = last.load(Ordering::Relaxed);
    last.store(core::ptr::null_mut(), Ordering::Relaxed);
    let Inner { policy, store, .. } = &mut *g;
    let more = policy.end_turn(store, me);
    hotplug::bequeath(pool, &mut g);
    drop(g);
    if more {
        raise_masked(here, pool.vector());
    }
    if held {
        machine::irq_enable();
        // SAFETY: that item's count.
        drop(unsafe { Hold::adopt(done) });
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

/// Runs one item on core `here`, whose current one it is from then on, and gives up the one before, if there is a count on
/// that (`held`), as soon as the lock is free. Whether there is a count on this one, its pwq if that finished the colour that
/// a flush waits for, and when it ended, if somebody saw that. `EYES` are those that saw it start.
#[inline(always)]
fn execute<'p, const EYES: u8>(
    cx: &BhCx<'_>,
    (pool, here): (&'static Pool, &CpuLocal),
    (item, pwq): (Handle<Item>, Handle<Pwq>),
    mut g: SpinGuard<'p, Inner>,
    held: bool,
) -> (SpinGuard<'p, Inner>, bool, Option<Handle<Pwq>>, u64) {
    // SAFETY: the item's submission keeps it alive until its count is given up.
    let h = unsafe { Header::of(item) };
    h.in_run.begin();
    let taken = h.word.take();
    let told = Told::unless(EYES == Eyes::NONE, Kind::ExecuteStart);
    let now = told.now();
    told.emit_bits(now, || {
        let head = with_function_bits(g.store.head, h.function());
        (head, item_name(item), queue_name(share_of(pwq).queue_ptr()))
    });
    let course = if EYES != Eyes::EVENTS && told.anatomy() {
        anatomy::started_bh(now, h)
    } else {
        Course::new()
    };
    let now_runs = &here.wq.bh_item;
    let me = core::ptr::from_ref(h).cast_mut();
    if !held {
        // Before the next interrupt, which may ask: the item before is over, and may be gone.
        now_runs.store(me, Ordering::Relaxed);
    }
    drop(g);
    machine::irq_enable();
    if held {
        let done = now_runs.load(Ordering::Relaxed);
        // First: with its count the item may be gone.
        now_runs.store(core::ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: that item's count.
        give_up(unsafe { Hold::adopt(done) });
        now_runs.store(me, Ordering::Relaxed);
    }
    // SAFETY: items on BH pools take a `BhCx`; the caller gives up the count.
    unsafe { h.run(core::ptr::from_ref(cx).cast(), taken) };
    if machine::irqs_masked() {
        softirq::end_left_sections(cx, pool.vector() as usize);
    }
    machine::irq_disable();
    g = pool.lock_masked();
    let told = Told::unless(EYES == Eyes::NONE, Kind::ExecuteEnd);
    let now = told.now();
    told.emit_bits(now, || {
        (
            g.store.head,
            item_name(item),
            queue_name(share_of(pwq).queue_ptr()),
        )
    });
    if EYES != Eyes::EVENTS && told.anatomy() {
        anatomy::over_bh(told, now, &course, (share_of(pwq), h), &mut g);
    }
    let Inner { policy, store, .. } = &mut *g;
    let over = policy.turn_over(store, pool.bh_worker(), (item, pwq));
    h.in_run.end();
    let flushed = match over {
        Over::Goes => None,
        // The share is kept by its item, and found from the handle: mostly it is not wanted.
        Over::Last => {
            share_of(pwq).tell_passed(&g);
            None
        }
        Over::Follows(f) => {
            share_of(pwq).tell_passed(&g);
            f.flushed
        }
    };
    (g, taken.is_held(), flushed, now)
}

/// Apart, so that who has none to give up does not save registers for it.
#[inline(never)]
fn give_up(hold: Hold) {
    drop(hold);
}

/// The type of the BH item that this core executes; in BH context.
#[cold]
pub(crate) fn current_item() -> Option<&'static str> {
    let h = this_cpu().wq.bh_item.load(Ordering::Relaxed);
    // SAFETY: null, or an item that this core executes: the count of its submission keeps it.
    unsafe { h.as_ref() }.map(|h| (h.vtable.name)())
}
