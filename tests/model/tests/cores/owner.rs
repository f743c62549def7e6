//! Objects that move between locks, callbacks that are cancelled, counts that end.

use loom::cell::UnsafeCell;
use loom::thread;
use model_tests::shipped::handshake::{Countdown, Owner, Running};
use model_tests::shipped::spin_lock::{SpinGuard, SpinLock};
use model_tests::{Weak, breaks, holds, made};

use crate::bell::locked;
use std::sync::Arc;

/// A value loom watches: every unordered access is an error.
#[derive(Debug)]
pub(crate) struct Watched(UnsafeCell<u32>);

// SAFETY: loom reports every race before it happens.
#[expect(unsafe_code, reason = "a cell that loom watches")]
unsafe impl Sync for Watched {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a cell that loom watches")]
unsafe impl Send for Watched {}

impl Watched {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(0))
    }
    pub(crate) fn add_one(&self) {
        self.set(self.get() + 1);
    }
    #[expect(unsafe_code, reason = "a cell that loom watches")]
    pub(crate) fn set(&self, value: u32) {
        // SAFETY: loom reports every race before it happens.
        self.0.with_mut(|p| unsafe { *p = value });
    }
    #[expect(unsafe_code, reason = "a cell that loom watches")]
    pub(crate) fn get(&self) -> u32 {
        // SAFETY: loom reports every race before it happens.
        self.0.with(|p| unsafe { *p })
    }
}

struct Movable {
    owner: Arc<Owner>,
    locks: [SpinLock<()>; 2],
    object: Watched,
}

impl Movable {
    fn new(first: u32) -> Arc<Self> {
        Arc::new(Self {
            owner: made(Owner::new(first)),
            locks: [locked(()), locked(())],
            object: Watched::new(),
        })
    }

    fn lock(&self) -> Option<(u32, SpinGuard<'_, ()>)> {
        self.owner.lock(|n| self.locks[n as usize].lock())
    }

    /// What a waker does that places the thread elsewhere, and what re-arming a timer does.
    fn move_to(&self, n: u32) {
        let (_, guard) = self.lock().expect("it has an owner");
        self.object.add_one();
        self.owner.give(n);
        drop(guard);
    }
}

fn followed() {
    let m = Movable::new(0);
    let m2 = m.clone();
    let mover = thread::spawn(move || m2.move_to(1));
    let (_, guard) = m.lock().expect("it has an owner");
    m.object.add_one();
    drop(guard);
    mover.join().expect("ends");
    assert_eq!(m.object.get(), 2);
}

fn there_and_back() {
    let m = Movable::new(0);
    let m2 = m.clone();
    let mover = thread::spawn(move || {
        m2.move_to(1);
        m2.move_to(0);
    });
    let (_, guard) = m.lock().expect("it has an owner");
    m.object.add_one();
    drop(guard);
    mover.join().expect("ends");
    assert_eq!(m.object.get(), 3);
}

#[test]
fn an_object_is_followed_to_its_lock() {
    holds(followed);
    breaks(Weak::Acquire, followed);
    breaks(Weak::Release, followed);
    holds(there_and_back);
    breaks(Weak::Acquire, there_and_back);
}

fn first_owner() {
    let m = Movable::new(Owner::NONE);
    let m2 = m.clone();
    let other = thread::spawn(move || m2.owner.claim(1));
    let mine = m.owner.claim(0);
    let theirs = other.join().expect("ends");
    assert!(mine ^ theirs, "one claim wins");
    assert_eq!(m.owner.get(), u32::from(theirs));
}

#[test]
fn one_of_two_becomes_the_first_owner() {
    holds(first_owner);
    breaks(Weak::Update, first_owner);
}

/// A timer's callback against `cancel_sync`, after which the timer is freed.
fn cancelled() {
    struct Base {
        armed: SpinLock<bool>,
        running: Arc<Running>,
        timer: Watched,
    }
    let base = Arc::new(Base {
        armed: locked(true),
        running: made(Running::new()),
        timer: Watched::new(),
    });
    let b = base.clone();
    let core = thread::spawn(move || {
        let mut armed = b.armed.lock();
        if std::mem::take(&mut *armed) {
            b.running.begin(1);
            drop(armed);
            b.timer.add_one();
            b.running.end();
        }
    });
    let mut armed = base.armed.lock();
    let was = std::mem::take(&mut *armed);
    drop(armed);
    base.running.wait(1);
    // It could be freed now.
    assert_eq!(base.timer.get(), u32::from(!was));
    core.join().expect("ends");
}

#[test]
fn a_cancel_returns_after_the_callback() {
    holds(cancelled);
    breaks(Weak::Acquire, cancelled);
    breaks(Weak::Release, cancelled);
}

/// As [`cancelled`], and the timer was armed on another core's base while the callback may have run:
/// it stays on the base of the callback's core if that goes on, so that the cancel waits there.
fn armed_again_elsewhere() {
    struct Base {
        armed: SpinLock<bool>,
        running: Arc<Running>,
    }
    struct Cores {
        bases: [Base; 2],
        owner: Arc<Owner>,
        timer: Watched,
    }
    let base = |armed| Base {
        armed: locked(armed),
        running: made(Running::new()),
    };
    let cores = Arc::new(Cores {
        bases: [base(true), base(false)],
        owner: made(Owner::new(0)),
        timer: Watched::new(),
    });
    let c = cores.clone();
    let core = thread::spawn(move || {
        let mut armed = c.bases[0].armed.lock();
        if std::mem::take(&mut *armed) {
            c.bases[0].running.begin(1);
            drop(armed);
            c.timer.add_one();
            c.bases[0].running.end();
        }
    });
    let mut old = cores.bases[0].armed.lock();
    let fired = !std::mem::take(&mut *old);
    if cores.bases[0].running.is(1) {
        *old = true;
        drop(old);
    } else {
        cores.owner.give(1);
        drop(old);
        *cores.bases[1].armed.lock() = true;
    }
    let held = &cores.bases[cores.owner.get() as usize];
    let was = std::mem::take(&mut *held.armed.lock());
    held.running.wait(1);
    if fired {
        assert!(was, "the core runs a callback once");
        assert_eq!(cores.timer.get(), 1);
    }
    core.join().expect("ends");
}

#[test]
fn a_timer_stays_where_its_callback_runs() {
    holds(armed_again_elsewhere);
    breaks(Weak::Acquire, armed_again_elsewhere);
    breaks(Weak::Release, armed_again_elsewhere);
}

/// A flush over two pools: whoever is last completes the flusher.
fn counted() {
    struct Flush {
        left: Arc<Countdown>,
        first: Watched,
        pools: [Watched; 2],
    }
    impl Flush {
        fn last(&self) -> u32 {
            assert_eq!(self.first.get(), 1);
            assert_eq!(self.pools[0].get() + self.pools[1].get(), 2);
            1
        }
    }
    let f = Arc::new(Flush {
        left: made(Countdown::new()),
        first: Watched::new(),
        pools: [Watched::new(), Watched::new()],
    });
    f.left.start();
    let finishers = [0, 1].map(|i| {
        f.left.add();
        let f = f.clone();
        thread::spawn(move || {
            f.pools[i].add_one();
            if f.left.finish() { f.last() } else { 0 }
        })
    });
    f.first.add_one();
    let mine = if f.left.armed() { 0 } else { f.last() };
    let theirs = finishers.map(|t| t.join().expect("ends"));
    assert_eq!(mine + theirs[0] + theirs[1], 1, "exactly one is the last");
}

#[test]
fn a_countdown_has_one_last() {
    holds(counted);
    breaks(Weak::Update, counted);
    breaks(Weak::Acquire, counted);
    breaks(Weak::Release, counted);
}
