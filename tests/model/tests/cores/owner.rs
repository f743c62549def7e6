//! Objects that move between locks, callbacks that are cancelled, counts that end.

use loom::cell::UnsafeCell;
use loom::thread;
use model_tests::shipped::handshake::{Countdown, Home, Running};
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

/// What stands in for a core: its lock is found by its address, and no pointer is followed.
type Lock = SpinLock<()>;

fn address<T>(x: &T) -> *mut T {
    std::ptr::from_ref(x).cast_mut()
}

struct Movable {
    home: Arc<Home<Lock>>,
    locks: [Lock; 2],
    object: Watched,
}

impl Movable {
    /// One that is nowhere yet.
    fn new() -> Arc<Self> {
        Arc::new(Self {
            home: made(Home::new(std::ptr::null_mut())),
            locks: [locked(()), locked(())],
            object: Watched::new(),
        })
    }

    fn at_first_lock() -> Arc<Self> {
        let m = Self::new();
        assert!(m.home.claim(address(&m.locks[0])), "it has no home yet");
        m
    }

    fn found(&self, home: *mut Lock) -> Option<&Lock> {
        self.locks.iter().find(|l| std::ptr::eq(*l, home))
    }

    fn lock(&self) -> Option<SpinGuard<'_, ()>> {
        let (_, guard) = self.home.try_lock(|at| Some(self.found(at)?.lock()))?;
        Some(guard)
    }

    /// What a waker does that places the thread elsewhere, and what re-arming a timer does.
    fn move_to(&self, n: usize) {
        let guard = self.lock().expect("it has a home");
        self.object.add_one();
        self.home.move_to(address(&self.locks[n]));
        drop(guard);
    }
}

fn followed() {
    let m = Movable::at_first_lock();
    let m2 = m.clone();
    let mover = thread::spawn(move || m2.move_to(1));
    let guard = m.lock().expect("it has a home");
    m.object.add_one();
    drop(guard);
    mover.join().expect("ends");
    assert_eq!(m.object.get(), 2);
}

fn there_and_back() {
    let m = Movable::at_first_lock();
    let m2 = m.clone();
    let mover = thread::spawn(move || {
        m2.move_to(1);
        m2.move_to(0);
    });
    let guard = m.lock().expect("it has a home");
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

fn first_home() {
    let m = Movable::new();
    assert!(m.lock().is_none(), "there is nothing to lock");
    let m2 = m.clone();
    let other = thread::spawn(move || m2.home.claim(address(&m2.locks[1])));
    let mine = m.home.claim(address(&m.locks[0]));
    let theirs = other.join().expect("ends");
    assert!(mine ^ theirs, "one claim wins");
    let lock = m.found(m.home.get()).expect("it has a home");
    assert!(std::ptr::eq(lock, &m.locks[usize::from(theirs)]));
}

#[test]
fn one_of_two_gives_the_first_home() {
    holds(first_home);
    breaks(Weak::Update, first_home);
}

/// A timer that is armed by two at once, each in the base of its own core, as `Timer::arm_in_any_case` does: it
/// is in one at most, and that one is its home. Each may find that the other has fetched it back, for
/// ever; here they give up then.
fn armed_by_two() {
    let m = Movable::at_first_lock();
    let armed = Arc::new([Watched::new(), Watched::new()]);
    let arm = |m: Arc<Movable>, armed: Arc<[Watched; 2]>, n: usize| {
        move || {
            for _ in 0..2 {
                let here = address(&m.locks[n]);
                // `Timer::lock_here`.
                let guard = m.locks[n].lock();
                if m.home.is(here) {
                    armed[n].set(1);
                    return;
                }
                drop(guard);
                let (home, guard) = m.home.lock(|at| m.found(at).expect("a lock").lock());
                if home == here {
                    continue;
                }
                armed[1 - n].set(0);
                m.home.move_to(here);
                drop(guard);
            }
        }
    };
    let other = thread::spawn(arm(m.clone(), armed.clone(), 1));
    arm(m.clone(), armed.clone(), 0)();
    other.join().expect("ends");
    let guard = m.lock().expect("it has a home");
    let home = usize::from(m.home.get() == address(&m.locks[1]));
    assert_eq!(armed[1 - home].get(), 0);
    drop(guard);
}

#[test]
fn a_timer_armed_twice_is_armed_once() {
    holds(armed_by_two);
    breaks(Weak::Release, armed_by_two);
    breaks(Weak::Lock, armed_by_two);
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
    #[derive(Debug)]
    struct Base {
        armed: SpinLock<bool>,
        running: Arc<Running>,
    }
    struct Cores {
        bases: [Base; 2],
        home: Arc<Home<Base>>,
        timer: Watched,
    }
    let base = |armed| Base {
        armed: locked(armed),
        running: made(Running::new()),
    };
    let cores = Arc::new(Cores {
        bases: [base(true), base(false)],
        home: made(Home::new(std::ptr::null_mut())),
        timer: Watched::new(),
    });
    assert!(cores.home.claim(address(&cores.bases[0])));
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
        cores.home.move_to(address(&cores.bases[1]));
        drop(old);
        *cores.bases[1].armed.lock() = true;
    }
    let home = cores.home.get();
    let held = cores.bases.iter().find(|b| std::ptr::eq(*b, home));
    let held = held.expect("it has a home");
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
