//! A core that goes to sleep against those who have work for it.
//!
//! A lost wake-up shows as a deadlock: the core waits for an interrupt that nobody sends.

use loom::thread;
use model_tests::atomic::{AtomicBool, AtomicU32, Ordering};
use model_tests::shipped::handshake::{IdleMask, resched};
use model_tests::{Weak, breaks, breaks_bounded, holds, holds_bounded, made};
use std::sync::Arc;

use crate::bell::Bell;

/// Two cores put work on a third one's queue. (The real queue is behind a lock; here the work is
/// published by the flag alone, which is what the flag promises.)
#[derive(Debug)]
struct Core {
    need_resched: AtomicBool,
    work: [AtomicU32; 2],
    ipi: Bell,
}

impl Core {
    fn new() -> Arc<Self> {
        made(Self {
            need_resched: AtomicBool::new(false),
            work: [AtomicU32::new(0), AtomicU32::new(0)],
            ipi: Bell::new(),
        })
    }

    /// `schedule::kick`.
    fn kick(&self, i: usize) {
        self.work[i].store(1, Ordering::Relaxed);
        if resched::request(&self.need_resched) {
            self.ipi.ring();
        }
    }

    /// The idle loop: answer, look, and wait only if nothing was asked for since.
    fn idle_until(&self, done: impl Fn(&Self) -> bool) {
        loop {
            resched::answer(&self.need_resched);
            if done(self) {
                return;
            }
            if !self.need_resched.load(Ordering::Acquire) {
                self.ipi.wait();
            }
        }
    }
}

fn kicked() {
    let core = Core::new();
    let others = [0, 1].map(|i| {
        let core = core.clone();
        thread::spawn(move || core.kick(i))
    });
    core.idle_until(|c| c.work.iter().all(|w| w.load(Ordering::Relaxed) == 1));
    for other in others {
        other.join().expect("ends");
    }
}

#[test]
fn an_idle_core_misses_no_kick() {
    holds_bounded(kicked);
    breaks_bounded(Weak::Release, kicked);
    breaks_bounded(Weak::Acquire, kicked);
    breaks_bounded(Weak::Update, kicked);
    breaks_bounded(Weak::Skip, kicked);
}

/// Core A runs dry and looks at B's load; B gets a second thread and looks who is idle.
fn balanced() {
    #[derive(Debug)]
    struct Both {
        idle: IdleMask,
        load: AtomicU32,
        need_resched: AtomicBool,
        ipi: Bell,
    }
    let both = made(Both {
        idle: IdleMask::new(),
        load: AtomicU32::new(1),
        need_resched: AtomicBool::new(false),
        ipi: Bell::new(),
    });
    let b = both.clone();
    let busy = thread::spawn(move || {
        b.load.store(2, Ordering::Relaxed);
        if b.idle.look() & 1 != 0 && resched::request(&b.need_resched) {
            b.ipi.ring();
        }
    });
    loop {
        resched::answer(&both.need_resched);
        both.idle.enter(1);
        if both.load.load(Ordering::Relaxed) > 1 {
            both.idle.leave(1);
            break;
        }
        if !both.need_resched.load(Ordering::Acquire) {
            both.ipi.wait();
        }
    }
    busy.join().expect("ends");
}

#[test]
fn no_core_idles_beside_a_second_thread() {
    holds(balanced);
    breaks(Weak::Fence, balanced);
}
