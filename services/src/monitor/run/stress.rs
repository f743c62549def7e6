//! `stress`: loads to look at, which end by themselves.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use kernel::cpu::{CpuMask, online};
use kernel::mem::try_arc;
use kernel::thread::{self, Builder, ThreadCx};
use kernel::wq::{self, Ordered, Run, Work, Workqueue};
use machine::{Duration, Instant, now};
use sync::{PreemptOff, Rank, SpinLock};

use super::super::command::Load;
use super::super::text::Text;

/// Items that sleep, and short items of a burst on each core.
const SLEEPERS: usize = 64;
const BURST: usize = 1000;
/// Items behind the one that blocks.
const BEHIND: usize = 100;
/// How long an item of [`Load::Sleepers`] sleeps, and the pause between bursts.
const NAP: Duration = Duration::from_millis(10);
/// How long a hog computes until it queues itself again.
const TURN: Duration = Duration::from_millis(50);

/// When a load's item is to stop.
struct Until(Instant);

pub(super) fn stress(load: Option<(Load, u32)>, out: &mut Text) -> fmt::Result {
    let Some((load, seconds)) = load else {
        for (name, _, does) in Load::ALL {
            writeln!(out, "{name:<10} {does}")?;
        }
        return Ok(());
    };
    let end = now() + Duration::from_secs(u64::from(seconds));
    let name = Load::ALL.iter().find(|l| l.1 == load).map_or("?", |l| l.0);
    match start(load, end) {
        Some(()) => writeln!(out, "{name} for {seconds} s: look at top, wqmon, wq or lat"),
        None => writeln!(
            out,
            "error: no memory for all of {name}; what was started ends in {seconds} s"
        ),
    }
}

fn start(load: Load, end: Instant) -> Option<()> {
    match load {
        Load::Sleepers => (0..SLEEPERS).try_for_each(|_| queue(None, sleeper, end)),
        Load::Hogs => online().iter().try_for_each(|c| queue(Some(c), hog, end)),
        Load::Burst => online().iter().try_for_each(|c| burst(c, end)),
        Load::Blocker => blocker(end),
        Load::Locks => locks(end),
        Load::Switch => online()
            .iter()
            .flat_map(|c| [c, c])
            .try_for_each(|c| spawn("stress/switch", c, move |cx| switch(cx, end))),
    }
}

type Handler = fn(&ThreadCx<'_>, &Run<'_, Until>);

fn queue(on: Option<machine::CpuId>, handler: Handler, end: Instant) -> Option<()> {
    let item = try_arc(<Work<Until>>::new(Until(end), handler)).ok()?;
    // New items are neither pending nor disabled, and the system's queue does not drain.
    let _ = match on {
        Some(core) => wq::percpu().queue_on(core, &item),
        None => wq::percpu().queue(&item),
    };
    Some(())
}

fn sleeper(cx: &ThreadCx<'_>, run: &Run<'_, Until>) {
    thread::sleep(cx, NAP);
    if now() < run.0 {
        let _ = wq::percpu().queue(run);
    }
}

fn hog(_: &ThreadCx<'_>, run: &Run<'_, Until>) {
    let end = (now() + TURN).min(run.0);
    while now() < end {
        core::hint::black_box(end);
    }
    if now() < run.0 {
        let _ = wq::percpu().queue(run);
    }
}

fn spawn(
    name: &str,
    core: machine::CpuId,
    body: impl FnOnce(&ThreadCx<'_>) + Send + 'static,
) -> Option<()> {
    let builder = Builder::new(name).affinity(CpuMask::single(core));
    builder.spawn(body).ok().map(drop)
}

/// A thread that queues bursts of short items on core `core`.
fn burst(core: machine::CpuId, end: Instant) -> Option<()> {
    let items = shorts(BURST)?;
    spawn("stress/burst", core, move |cx| {
        while now() < end {
            for item in &items {
                // One of the last burst may be pending still.
                let _ = wq::percpu().queue_on(core, item);
            }
            thread::sleep(cx, NAP);
        }
    })
}

/// `n` items that do nothing.
fn shorts(n: usize) -> Option<Vec<Arc<Work<()>>>> {
    let mut items = Vec::new();
    items.try_reserve_exact(n).ok()?;
    for _ in 0..n {
        let item = <Work<()>>::new((), |_: &ThreadCx<'_>, _: &Run<'_, ()>| {});
        items.push(try_arc(item).ok()?);
    }
    Some(items)
}

/// A queue that runs one item at a time, whose first one sleeps to the end. Its thread makes and ends it,
/// so that no queue is left behind without one.
fn blocker(end: Instant) -> Option<()> {
    let head = |cx: &ThreadCx<'_>, run: &Run<'_, Until>| thread::sleep_until(cx, run.0);
    let head = try_arc(<Work<Until>>::new(Until(end), head)).ok()?;
    let behind = shorts(BEHIND)?;
    let body = move |cx: &ThreadCx<'_>| {
        let Ok(queue) = Workqueue::<Ordered>::builder("blocker").build() else {
            kernel::log!("stress: no memory for the queue of blocker");
            return;
        };
        // New items go in.
        let _ = queue.queue(&head);
        for item in &behind {
            let _ = queue.queue(item);
        }
        // Waits for all; it is not one of them.
        let _ = queue.destroy(cx);
    };
    Builder::new("stress/blocker").spawn(body).ok().map(drop)
}

/// Threads that take one lock.
fn locks(end: Instant) -> Option<()> {
    let lock: SpinLock<u64, PreemptOff> = SpinLock::new(Rank::Service, "stress", 0);
    let lock = try_arc(lock).ok()?;
    online().iter().try_for_each(|core| {
        let lock = Arc::clone(&lock);
        spawn("stress/locks", core, move |_| {
            while now() < end {
                let mut held = lock.lock();
                *held += 1;
                for _ in 0..100 {
                    core::hint::black_box(&mut *held);
                }
            }
        })
    })
}

fn switch(cx: &ThreadCx<'_>, end: Instant) {
    while now() < end {
        thread::yield_now(cx);
    }
}
