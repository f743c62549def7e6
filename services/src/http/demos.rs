//! `POST /api/v1/demo/…`: work put on queues on purpose, to see what the pools make of it.
//!
//! | Demonstration | Items | Default |
//! | --- | --- | --- |
//! | `sleepers` | each sleeps: the pool seats another worker for each | 12 of 2000 ms |
//! | `hog` | each computes without pause: after 10 ms it counts no more (E14) | 4 of 1000 ms |
//! | `burst` | many that compute for a moment | 128 of 2 ms |
//! | `blocker` | one that sleeps, and short ones right behind it | 12 behind 3000 ms |
//!
//! Real items on real queues, one for each kind and made for the first demonstration. Their number is
//! limited, for one order and for all that are on their way, and so is the time that one order may ask
//! for.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use kernel::cpu::online;
use kernel::mem::try_arc;
use kernel::mutex::Mutex;
use kernel::softirq::BhCx;
use kernel::thread::{self, ThreadCx};
use kernel::wq::{
    Bh, CreateError, Handler, Ordered, PerCpu, Run, Softirq, Submitted, Threaded, Unbound, Work,
    Workqueue,
};
use machine::{CpuId, Duration};

use super::demo;
use super::order::{Kind, Order, Show};
use super::shared::Shared;

/// Most items on their way, of all orders together.
pub(super) const MOST_ITEMS: usize = 1024;
/// For how long an item behind a blocker computes.
const BEHIND: Duration = Duration::from_millis(1);

/// The queues of the demonstrations.
#[derive(Clone, Debug)]
struct Queues {
    percpu: Workqueue<PerCpu>,
    highpri: Workqueue<PerCpu>,
    unbound: Workqueue<Unbound>,
    ordered: Workqueue<Ordered>,
    bh: Workqueue<Bh>,
}

/// Those of them that were made. When memory is out in between, the next order makes the rest.
#[derive(Debug)]
struct Made {
    percpu: Option<Workqueue<PerCpu>>,
    highpri: Option<Workqueue<PerCpu>>,
    unbound: Option<Workqueue<Unbound>>,
    ordered: Option<Workqueue<Ordered>>,
    bh: Option<Workqueue<Bh>>,
}

/// What is in `place`, made first if nothing is.
fn made<K: Clone>(
    place: &mut Option<K>,
    make: impl FnOnce() -> Result<K, CreateError>,
) -> Result<K, CreateError> {
    match place {
        Some(queue) => Ok(queue.clone()),
        None => Ok(place.insert(make()?).clone()),
    }
}

impl Made {
    const NONE: Self = Self {
        percpu: None,
        highpri: None,
        unbound: None,
        ordered: None,
        bh: None,
    };

    fn all(&mut self) -> Result<Queues, CreateError> {
        Ok(Queues {
            percpu: made(&mut self.percpu, || {
                Workqueue::builder("demo").sysfs().build()
            })?,
            highpri: made(&mut self.highpri, || {
                Workqueue::builder("demo_highpri").sysfs().highpri().build()
            })?,
            unbound: made(&mut self.unbound, || {
                Workqueue::builder("demo_unbound").sysfs().build()
            })?,
            ordered: made(&mut self.ordered, || {
                Workqueue::builder("demo_ordered").sysfs().build()
            })?,
            bh: made(&mut self.bh, || Workqueue::builder("demo_bh").build())?,
        })
    }
}

/// The demonstrations of one server.
#[derive(Debug)]
pub(super) struct Demos {
    queues: Mutex<Made>,
    /// Items that have not ended.
    live: AtomicUsize,
    /// Items that have, by what they do.
    ended: [AtomicU64; 5],
    /// The server stops: items end at once.
    stopping: AtomicBool,
}

/// Why not all of an order was queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Short {
    /// Too many items are on their way.
    TooMany,
    /// Memory is out, or the queue of another server has the name.
    NoQueue,
    /// So many were queued, then memory was out.
    After(usize),
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(
                f,
                "with these more than {MOST_ITEMS} demonstration items would be on their way: wait, or ask for fewer"
            ),
            Self::NoQueue => f.write_str("the queues of the demonstrations could not be made"),
            Self::After(0) => f.write_str("no memory for items: nothing was queued"),
            Self::After(n) => write!(f, "no memory for more than the {n} items that were queued"),
        }
    }
}

/// One item: what it does is its handler.
struct Item {
    time: Duration,
    shared: Arc<Shared>,
}

impl Drop for Item {
    fn drop(&mut self) {
        self.shared.demos.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Item {
    /// Does its work, unless the server stops; counts it under `n`.
    fn perform(&self, n: usize, what: impl FnOnce()) {
        let demos = &self.shared.demos;
        if !demos.stopping.load(Ordering::Relaxed) {
            what();
        }
        demos.ended[n].fetch_add(1, Ordering::Relaxed);
    }
}

fn sleeper(cx: &ThreadCx<'_>, run: &Run<'_, Item>) {
    run.perform(0, || thread::sleep(cx, run.time));
}

fn hog(_: &ThreadCx<'_>, run: &Run<'_, Item>) {
    run.perform(1, || demo::burn(run.time));
}

fn burst(_: &ThreadCx<'_>, run: &Run<'_, Item>) {
    run.perform(2, || demo::burn(run.time));
}

fn bh_burst(_: &BhCx<'_>, run: &Run<'_, Item, Softirq>) {
    run.perform(2, || demo::burn(run.time));
}

fn blocker(cx: &ThreadCx<'_>, run: &Run<'_, Item>) {
    run.perform(3, || thread::sleep(cx, run.time));
}

fn behind(_: &ThreadCx<'_>, run: &Run<'_, Item>) {
    run.perform(4, || demo::burn(run.time));
}

impl Demos {
    pub(super) const fn new() -> Self {
        Self {
            queues: Mutex::new(Made::NONE),
            live: AtomicUsize::new(0),
            ended: [const { AtomicU64::new(0) }; 5],
            stopping: AtomicBool::new(false),
        }
    }

    /// Items on their way.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Items that have ended.
    pub(super) fn ended(&self) -> u64 {
        self.ended.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }

    /// Ends the queues, when the items that run have ended. May sleep.
    pub(super) fn end(&self, cx: &ThreadCx<'_>) {
        self.stopping.store(true, Ordering::Relaxed);
        let Ok(mut queues) = self.queues.lock(cx) else {
            return;
        };
        let q = core::mem::replace(&mut *queues, Made::NONE);
        drop(queues);
        // Called by no item of theirs, and nobody queues any more.
        let _ = q.percpu.map(|q| q.destroy(cx));
        let _ = q.highpri.map(|q| q.destroy(cx));
        let _ = q.unbound.map(|q| q.destroy(cx));
        let _ = q.ordered.map(|q| q.destroy(cx));
        let _ = q.bh.map(|q| q.destroy(cx));
    }

    fn queues(&self, cx: &ThreadCx<'_>) -> Result<Queues, Short> {
        let mut queues = self.queues.lock(cx).map_err(|_| Short::NoQueue)?;
        queues.all().map_err(|_| Short::NoQueue)
    }

    /// Takes `n` places for items; false when there are not so many.
    fn admit(&self, n: usize) -> bool {
        let room = |live: usize| (live + n <= MOST_ITEMS).then_some(live + n);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.live.fetch_update(set, get, room).is_ok()
    }
}

/// Queues what `order` says and answers how many items that were. May sleep.
pub(super) fn queue(
    cx: &ThreadCx<'_>,
    shared: &Arc<Shared>,
    order: &Order,
) -> Result<usize, Short> {
    let demos = &shared.demos;
    let queues = demos.queues(cx)?;
    let items = order.n + usize::from(order.show == Show::Blocker);
    if !demos.admit(items) {
        return Err(Short::TooMany);
    }
    for i in 0..items {
        let first = i == 0 && order.show == Show::Blocker;
        let time = match order.show {
            Show::Blocker if !first => BEHIND,
            _ => order.time,
        };
        let item = Item {
            time,
            shared: Arc::clone(shared),
        };
        let done = if order.queue == Kind::Bh {
            one::<Softirq>(&queues, order, i, item, bh_burst)
        } else {
            let handler: fn(&ThreadCx<'_>, &Run<'_, Item>) = match order.show {
                Show::Sleepers => sleeper,
                Show::Hog => hog,
                Show::Burst => burst,
                Show::Blocker if first => blocker,
                Show::Blocker => behind,
            };
            one::<Threaded>(&queues, order, i, item, handler)
        };
        if !done {
            // The one that failed has given its place back itself.
            demos.live.fetch_sub(items - i - 1, Ordering::Relaxed);
            return Err(Short::After(i));
        }
    }
    Ok(items)
}

/// Where an item of context `C` goes.
trait Goes: kernel::wq::Context {
    fn go(queues: &Queues, kind: Kind, cpu: CpuId, item: &Arc<Work<Item, Self>>) -> Submitted;
}

impl Goes for Threaded {
    fn go(queues: &Queues, kind: Kind, cpu: CpuId, item: &Arc<Work<Item, Self>>) -> Submitted {
        match kind {
            Kind::HighPri => queues.highpri.queue_on(cpu, item),
            Kind::Unbound => queues.unbound.queue(item),
            Kind::Ordered => queues.ordered.queue(item),
            Kind::PerCpu | Kind::Bh => queues.percpu.queue_on(cpu, item),
        }
    }
}

impl Goes for Softirq {
    fn go(queues: &Queues, _: Kind, cpu: CpuId, item: &Arc<Work<Item, Self>>) -> Submitted {
        queues.bh.queue_on(cpu, item)
    }
}

/// Queues item `i` of an order; false without memory.
fn one<C: Goes>(
    queues: &Queues,
    order: &Order,
    i: usize,
    item: Item,
    handler: Handler<Item, C>,
) -> bool {
    let Ok(work) = try_arc(Work::<Item, C>::new(item, handler)) else {
        return false;
    };
    C::go(queues, order.queue, core(order, i), &work) == Submitted::Queued
}

/// The core of item `i`: the one that was asked for. Else each in turn, but what computes leaves out the
/// first core, which serves the network: who ordered it wants to see it. A blocker and what waits behind
/// it go to the last core.
fn core(order: &Order, i: usize) -> CpuId {
    let here = online();
    let n = here.count().max(1);
    let nth = match order.show {
        Show::Sleepers => i % n,
        Show::Hog | Show::Burst if n > 1 => 1 + i % (n - 1),
        Show::Hog | Show::Burst => 0,
        Show::Blocker => n - 1,
    };
    let wanted = order.cpu.or_else(|| here.iter().nth(nth));
    wanted.unwrap_or(CpuId::new(0))
}
