//! 55: litmus tests on real memory: the shapes the executive relies on, raced millions of times.
//!
//! Two threads on two cores sweep the same cells, one line of code per side, and meet between
//! sweeps. Under multi-threaded emulation on x86 a store may pass a later load even where the Arm
//! model forbids it (`STLR` then `LDAR`), so this shows two things the model checker cannot: that the
//! full fence is what keeps the shape right there, and that it is emitted.
//!
//! All this only if the cores really run at the same time, which a host with little to spare may not
//! let them. A sweep counts when some cells show one side ahead and some the other; the tests go on until
//! enough sweeps count, and fail if none ever does.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use kernel::cpu::{CpuMask, online};
use kernel::thread::{Builder, ThreadCx};
use machine::CpuId;
use workword::{Claim, Place, WorkWord};

use crate::ktest;
use crate::registry::Needs;

const TWO_CORES: Needs = Needs::new().cpus(2).timeout(240);
ktest!(
    "55_fence_orders_store_and_load",
    fence_orders_store_and_load,
    TWO_CORES
);
ktest!(
    "56_b7_joined_run_sees_its_event",
    joined_run_sees_its_event,
    TWO_CORES
);

/// Cells in one sweep. Many: on a host with fewer cores than the guest each meeting costs a turn.
const CELLS: usize = 8192;
/// Fewest sweeps of one pair of cores: about a million rounds.
const SWEEPS: u32 = 128;
/// Most sweeps, while too few have overlapped.
const MOST_SWEEPS: u32 = 32 * SWEEPS;
/// Sweeps of one pair in which both cores must have been at work at once.
const OVERLAPPED: u32 = 8;

/// What a cell shows about the order of the two sides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The first side came first.
    First,
    /// The second side came first.
    Second,
    /// Both were there at once.
    Together,
}

/// What both sides of a race share.
struct Race<T> {
    cells: Vec<T>,
    arrived: AtomicU32,
    sweeps: AtomicU32,
    overlapped: AtomicU32,
    over: AtomicBool,
}

impl<T> Race<T> {
    fn new(cell: impl Fn() -> T) -> Arc<Self> {
        Arc::new(Self {
            cells: (0..CELLS).map(|_| cell()).collect(),
            arrived: AtomicU32::new(0),
            sweeps: AtomicU32::new(0),
            overlapped: AtomicU32::new(0),
            over: AtomicBool::new(false),
        })
    }

    /// Waits until both sides have come to their `n`th meeting.
    fn meet(&self, n: u32) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        while self.arrived.load(Ordering::Acquire) < 2 * n {
            machine::relax();
        }
    }

    /// The second side: sweeps and meets, until the first has had enough.
    fn follow(&self, side: impl Fn(&T, u32)) {
        for sweep in 1.. {
            self.cells.iter().for_each(|cell| side(cell, sweep));
            self.meet(2 * sweep - 1);
            self.meet(2 * sweep);
            if self.over.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// The first side: sweeps, meets, settles the sweep, meets.
    fn lead(&self, side: impl Fn(&T, u32), settle: impl Fn(&T, u32) -> Order) {
        let mut overlapped = 0;
        for sweep in 1..=MOST_SWEEPS {
            self.cells.iter().for_each(|cell| side(cell, sweep));
            self.meet(2 * sweep - 1);
            let (mut first, mut second) = (false, false);
            for cell in &self.cells {
                let order = settle(cell, sweep);
                first |= order != Order::Second;
                second |= order != Order::First;
            }
            overlapped += u32::from(first && second);
            let enough = sweep >= SWEEPS && overlapped >= OVERLAPPED;
            let over = enough || sweep == MOST_SWEEPS;
            self.over.store(over, Ordering::Relaxed);
            self.meet(2 * sweep);
            if over {
                self.sweeps.store(sweep, Ordering::Relaxed);
                self.overlapped.store(overlapped, Ordering::Relaxed);
                return;
            }
        }
    }
}

fn pinned(core: CpuId) -> Builder {
    Builder::new("litmus").affinity(CpuMask::single(core))
}

/// Runs `first` and `second` against each other on each pair of cores (at most two pairs), side by
/// side. `settle` looks at each cell after each sweep, alone. The rounds of all pairs.
///
/// # Panics
///
/// When the cores of a pair never ran at the same time: nothing was tested.
fn race<T: Send + Sync + 'static>(
    cx: &ThreadCx<'_>,
    cell: impl Fn() -> T,
    first: impl Fn(&T, u32) + Copy + Send + 'static,
    second: impl Fn(&T, u32) + Copy + Send + 'static,
    settle: impl Fn(&T, u32) -> Order + Copy + Send + 'static,
) -> usize {
    let cores: Vec<CpuId> = online().iter().take(4).collect();
    let mut threads = Vec::new();
    let mut races = Vec::new();
    for pair in cores.chunks_exact(2) {
        let race = Race::new(&cell);
        let (leader, follower) = (Arc::clone(&race), Arc::clone(&race));
        races.push(race);
        let first = move |_: &ThreadCx<'_>| leader.lead(first, settle);
        let second = move |_: &ThreadCx<'_>| follower.follow(second);
        threads.push(pinned(pair[0]).spawn(first).expect("memory for a thread"));
        threads.push(pinned(pair[1]).spawn(second).expect("memory for a thread"));
    }
    threads.iter().for_each(|t| t.join(cx));
    let mut rounds = 0;
    for race in &races {
        let sweeps = race.sweeps.load(Ordering::Relaxed);
        let overlapped = race.overlapped.load(Ordering::Relaxed);
        kernel::println!("LITMUS the cores overlapped in {overlapped} of {sweeps} sweeps");
        assert!(overlapped > 0, "two cores never ran at the same time");
        rounds += CELLS * sweeps as usize;
    }
    rounds
}

/// Store buffering: each side says something, and then looks at what the other said.
#[derive(Default)]
struct Dekker {
    said: [AtomicU32; 2],
    seen: [AtomicU32; 2],
}

impl Dekker {
    fn side<const FENCED: bool, const ME: usize>(&self, sweep: u32) {
        // Sequentially consistent, so that nothing but the emulation can be to blame.
        self.said[ME].store(sweep, Ordering::SeqCst);
        if FENCED {
            machine::fence_full();
        }
        let seen = self.said[1 - ME].load(Ordering::SeqCst);
        self.seen[ME].store(seen, Ordering::Relaxed);
    }
}

/// Rounds in which each side missed the other, and in which each saw the other.
static MISSED: AtomicU32 = AtomicU32::new(0);
static MET: AtomicU32 = AtomicU32::new(0);

/// Rounds in which both missed, in which both met, and in all.
fn count<const FENCED: bool>(cx: &ThreadCx<'_>) -> (u32, u32, usize) {
    MISSED.store(0, Ordering::Relaxed);
    MET.store(0, Ordering::Relaxed);
    let rounds = race(
        cx,
        Dekker::default,
        |d, n| d.side::<FENCED, 0>(n),
        |d, n| d.side::<FENCED, 1>(n),
        |d, n| {
            let saw = [0, 1].map(|i| d.seen[i].load(Ordering::Relaxed) == n);
            let counter = match saw {
                [false, false] => &MISSED,
                [true, true] => &MET,
                [true, false] => return Order::Second,
                [false, true] => return Order::First,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            Order::Together
        },
    );
    let (missed, met) = (MISSED.load(Ordering::Relaxed), MET.load(Ordering::Relaxed));
    (missed, met, rounds)
}

fn fence_orders_store_and_load(cx: &ThreadCx<'_>) {
    let (missed, met, rounds) = count::<true>(cx);
    kernel::println!("LITMUS fenced: both missed {missed}, both saw {met}, of {rounds}");
    assert_eq!(
        missed, 0,
        "both sides missed each other across a full fence"
    );
    // The control: what the fence is for. It may be none, on another host or another emulator.
    let (missed, met, rounds) = count::<false>(cx);
    kernel::println!("LITMUS no fence: both missed {missed}, both saw {met}, of {rounds}");
}

/// B7: a submission that joins a pending item, against the run that takes it.
struct Joined {
    word: WorkWord,
    event: AtomicU32,
    seen: AtomicU32,
    joined: AtomicU32,
}

const POOL: Place = Place::new(1);

impl Joined {
    fn new() -> Self {
        let word = WorkWord::new();
        let claim = word.claim_at(POOL, false);
        assert!(matches!(claim, Claim::Claimed(_)), "a fresh word is idle");
        Self {
            word,
            event: AtomicU32::new(0),
            seen: AtomicU32::new(0),
            joined: AtomicU32::new(0),
        }
    }

    fn produce(&self, sweep: u32) {
        self.event.store(sweep, Ordering::Relaxed);
        if self.word.join().is_some() {
            self.joined.store(sweep, Ordering::Relaxed);
        }
    }

    fn run(&self, _: u32) {
        self.word.take();
        let seen = self.event.load(Ordering::Relaxed);
        self.seen.store(seen, Ordering::Relaxed);
    }

    fn settle(&self, sweep: u32) -> Order {
        let joined = self.joined.load(Ordering::Relaxed) == sweep;
        if joined {
            MET.fetch_add(1, Ordering::Relaxed);
            let seen = self.seen.load(Ordering::Relaxed);
            assert_eq!(
                seen, sweep,
                "a run missed the event of a submission that joined it"
            );
        }
        let claim = self.word.claim_at(POOL, false);
        assert!(matches!(claim, Claim::Claimed(_)), "taken, so idle");
        if joined { Order::First } else { Order::Second }
    }
}

fn joined_run_sees_its_event(cx: &ThreadCx<'_>) {
    MET.store(0, Ordering::Relaxed);
    let rounds = race(
        cx,
        Joined::new,
        Joined::produce,
        Joined::run,
        Joined::settle,
    );
    let joined = MET.load(Ordering::Relaxed);
    kernel::println!("LITMUS B7: {joined} joined of {rounds}");
}
