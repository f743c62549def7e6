//! BH workqueues: items executed by the softirq of their core (K1-K4, S11).
//!
//! Each core has two BH pools, highpri in the HI vector and normal in TASKLET, each with a pseudo
//! worker. One softirq entry executes at most 10 items or 2 ms of them and raises the vector again
//! for the rest, so that timers, other vectors and, by way of ksoftirqd, threads get their turn.
#![expect(unsafe_code, reason = "items are run type-erased")]

use core::sync::atomic::Ordering;

use machine::CpuId;
use workqueue::anatomy::Course;
use workqueue::{Begun, Step};

use super::anatomy;
use super::barrier::Barrier;
use super::handles::{item_name, queue_name, share_of};
use super::header::{Header, Hold};
use super::hotplug;
use super::pool::{Inner, Pool};
use super::share::Share;
use crate::cpu::{CpuLocal, CpuMask, cpu, this_cpu};
use crate::softirq::{BhCx, raise};
use crate::trace::{Kind, Told, emit, with_function};

/// Most items in one softirq entry (A3, K4); the longest time is that of all softirqs.
const BATCH: u32 = 10;

/// Executes BH items of this core's highpri (`hi`) or normal BH pool, and of those that it serves while
/// their cores are offline (K5); called by the softirq loop.
pub(crate) fn run(cx: &BhCx<'_>, hi: bool) {
    let c = this_cpu();
    let mut left = Left {
        items: BATCH,
        until: machine::stamp() + c.softirq.longest,
        begun: false,
    };
    let adopted = CpuMask(c.wq.adopted[usize::from(hi)].load(Ordering::Relaxed));
    if !adopted.is_empty() && !run_in_turn(cx, c, adopted, hi, &mut left) {
        raise(c.wq.bh(hi).vector());
        return;
    }
    run_pool(cx, c.wq.bh(hi), c.id(), &mut left);
}

/// Two items at most of each pool of `adopted` and of the core's own, in turn. False if the entry ended
/// before all had theirs: the next one begins where it ended, so that no pool waits for ever behind others.
#[cold]
fn run_in_turn(cx: &BhCx<'_>, c: &CpuLocal, adopted: CpuMask, hi: bool, left: &mut Left) -> bool {
    let homes = adopted.0 | CpuMask::single(c.id()).0;
    let turn = &c.wq.bh_turn[usize::from(hi)];
    let had = CpuMask::first_n(turn.load(Ordering::Relaxed) as usize).0;
    let rest = CpuMask(homes & !had);
    for home in rest.iter().chain(CpuMask(homes & had).iter()) {
        if left.is_over() {
            turn.store(home.index() as u32, Ordering::Relaxed);
            return false;
        }
        let few = left.items.min(2);
        let mut some = Left {
            items: few,
            ..*left
        };
        run_pool(cx, cpu(home).wq.bh(hi), c.id(), &mut some);
        left.items -= few - some.items;
        left.begun |= some.begun;
    }
    true
}

/// What is left of one softirq entry.
#[derive(Clone, Copy)]
struct Left {
    items: u32,
    /// By the raw counter.
    until: u64,
    /// An item was started.
    begun: bool,
}

impl Left {
    /// No further item is started. The first always is, however late.
    fn is_over(self) -> bool {
        self.items == 0 || (self.begun && machine::stamp() >= self.until)
    }
}

/// Executes items of `pool`, if core `here`, the running one, serves it.
fn run_pool(cx: &BhCx<'_>, pool: &'static Pool, here: CpuId, left: &mut Left) {
    let me = pool.bh_worker();
    let running = &cpu(here).wq.bh_item;
    // Of the item that runs, while anybody wants to know.
    let course = &mut Course::new();
    let mut done = Hold::NONE;
    let mut g = pool.lock();
    if pool.server() != Some(here) {
        hotplug::forget(pool, here);
        return;
    }
    let Inner { policy, store, .. } = &mut *g;
    policy.begin_turn(store, me);
    loop {
        let Inner { policy, store, .. } = &mut *g;
        if left.is_over() {
            let more = policy.pause(store, me, machine::now());
            hotplug::bequeath(pool, &mut g);
            drop(g);
            if more {
                raise(pool.vector());
            }
            break;
        }
        // No thread waits here: anything but an item means that there is none.
        let Step::Run(Begun { item, pwq, .. }) = policy.next(store, me, machine::now) else {
            hotplug::bequeath(pool, &mut g);
            drop(g);
            break;
        };
        let Some(pwq) = pwq else {
            emit(Kind::BarrierDone, pool.head(), 0, item_name(item));
            // SAFETY: it was queued and runs once.
            unsafe { Barrier::complete(item, store) };
            let f = policy.finish_barrier(store, me);
            pool.flushed(f.flushed);
            continue;
        };
        // SAFETY: the item's submission keeps it alive until `hold` is dropped.
        let h = unsafe { Header::of(item) };
        // The hold first: once the word is taken, whoever claims the item next may set it.
        let hold = h.take_hold();
        let submissions = h.word.take();
        // The share is kept by its item.
        let share: &Share = share_of(pwq);
        let told = Told::of(Kind::ExecuteStart);
        told.emit(|| {
            let head = with_function(pool.head(), h.function());
            (head, item_name(item), queue_name(share.queue_ptr()))
        });
        if told.anatomy() {
            *course = anatomy::started_bh(h);
        }
        drop(g);
        drop(done);
        running.store(core::ptr::from_ref(h.vtable).cast_mut(), Ordering::Relaxed);
        // SAFETY: items on BH pools take a `BhCx`; `hold` is the count.
        unsafe { h.run(core::ptr::from_ref(cx).cast(), submissions, hold.is_some()) };
        running.store(core::ptr::null_mut(), Ordering::Relaxed);
        left.items -= 1;
        left.begun = true;
        g = pool.lock();
        let told = Told::of(Kind::ExecuteEnd);
        told.emit(|| (pool.head(), item_name(item), queue_name(share.queue_ptr())));
        if told.anatomy() {
            anatomy::over_bh(course, share, h, &mut g);
        }
        let Inner { policy, store, .. } = &mut *g;
        if let Some(f) = policy.finish(store, me, (item, pwq)) {
            pool.flushed(f.flushed);
        }
        done = hold;
    }
    drop(done);
}

/// The type of the BH item that this core executes; in BH context.
#[cold]
pub(crate) fn current_item() -> Option<&'static str> {
    let vtable = this_cpu().wq.bh_item.load(Ordering::Relaxed);
    // SAFETY: null or a static.
    unsafe { vtable.as_ref() }.map(|v| (v.name)())
}
