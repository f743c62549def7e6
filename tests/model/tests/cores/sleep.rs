//! A thread that goes to sleep against its wakers.
//!
//! The scheduler's part is a stand-in: [`Thread::block`] is the switch away and back, which checks
//! the state under the runqueue lock, and [`Thread::wake`] is `schedule::wake`. A lost wake-up shows
//! as a deadlock.

use loom::thread;
use model_tests::atomic::{AtomicBool, AtomicU32, Ordering};
use model_tests::shipped::handshake::{EventCount, ParkToken, SleepState, State};
use model_tests::shipped::spin_lock::SpinLock;
use model_tests::{Weak, breaks, holds, made};

use crate::bell::{Bell, locked};
use std::sync::Arc;

#[derive(Debug)]
struct Thread {
    state: SleepState,
    token: ParkToken,
    runqueue: SpinLock<()>,
    picked: Bell,
}

impl Thread {
    fn new() -> Arc<Self> {
        made(Self {
            state: SleepState::new(),
            token: ParkToken::new(),
            runqueue: locked(()),
            picked: Bell::new(),
        })
    }

    fn block(&self) {
        while self.sleeps() {
            self.picked.wait();
        }
    }

    fn sleeps(&self) -> bool {
        let rq = self.runqueue.lock();
        let sleeps = self.state.get() == State::Sleeping;
        drop(rq);
        sleeps
    }

    fn wake(&self) {
        if !self.state.may_sleep() {
            return;
        }
        let rq = self.runqueue.lock();
        if self.state.get() == State::Sleeping {
            self.state.set(State::Running);
            self.picked.ring();
        }
        drop(rq);
    }

    /// As [`Self::wake`], under the lock under which the thread announced its sleep.
    fn wake_locked(&self) {
        if self.state.get() != State::Sleeping {
            return;
        }
        let rq = self.runqueue.lock();
        if self.state.get() == State::Sleeping {
            self.state.set(State::Running);
            self.picked.ring();
        }
        drop(rq);
    }

    fn park(&self) {
        loop {
            self.state.announce();
            if self.token.take() {
                self.state.set(State::Running);
                return;
            }
            self.block();
        }
    }

    fn unpark(&self) {
        self.token.give();
        self.wake();
    }
}

/// Prepare to sleep, look at the condition, sleep; against: make it true, wake.
fn condition() {
    let t = Thread::new();
    let event = made(AtomicBool::new(false));
    let (t2, event2) = (t.clone(), event.clone());
    let waker = thread::spawn(move || {
        event2.store(true, Ordering::Release);
        t2.wake();
    });
    loop {
        t.state.announce();
        if event.load(Ordering::Acquire) {
            t.state.set(State::Running);
            break;
        }
        t.block();
    }
    waker.join().expect("ends");
}

#[test]
fn no_wake_up_is_lost() {
    holds(condition);
    breaks(Weak::Fence, condition);
}

/// As [`condition`], with the condition and the announcement under one lock, which the waker holds: no fence.
fn locked_condition() {
    let t = Thread::new();
    let event = made(locked(false));
    let (t2, event2) = (t.clone(), event.clone());
    let waker = thread::spawn(move || {
        let mut event = event2.lock();
        *event = true;
        t2.wake_locked();
        drop(event);
    });
    loop {
        let event = event.lock();
        if *event {
            break;
        }
        t.state.announce_locked();
        drop(event);
        t.block();
    }
    waker.join().expect("ends");
}

#[test]
fn no_wake_up_under_a_lock_is_lost() {
    holds(locked_condition);
    breaks(Weak::Lock, locked_condition);
}

/// Two threads store something and leave a token. Whoever takes one has seen the stores of both, or
/// a token remains and the next look finds the rest.
fn given_twice() {
    let token = made(ParkToken::new());
    let stores = made([AtomicU32::new(0), AtomicU32::new(0)]);
    let givers = [0, 1].map(|i| {
        let (token, stores) = (token.clone(), stores.clone());
        thread::spawn(move || {
            stores[i].store(1, Ordering::Relaxed);
            token.give();
        })
    });
    let seen = token
        .take()
        .then(|| [0, 1].map(|i| stores[i].load(Ordering::Relaxed)));
    for giver in givers {
        giver.join().expect("ends");
    }
    let rest = token.take();
    assert!(rest || seen == Some([1, 1]), "a giver was overlooked");
}

/// As [`given_twice`], with a token left before.
fn given_again() {
    let token = made(ParkToken::new());
    let store = made(AtomicU32::new(0));
    token.give();
    let (token2, store2) = (token.clone(), store.clone());
    let giver = thread::spawn(move || {
        store2.store(1, Ordering::Relaxed);
        token2.give();
    });
    assert!(token.take());
    let seen = store.load(Ordering::Relaxed);
    giver.join().expect("ends");
    assert!(token.take() || seen == 1, "a giver was overlooked");
}

/// A thread stores something and unparks another.
fn parked() {
    let t = Thread::new();
    let store = made(AtomicU32::new(0));
    let (t2, store2) = (t.clone(), store.clone());
    let giver = thread::spawn(move || {
        store2.store(1, Ordering::Relaxed);
        t2.unpark();
    });
    t.park();
    assert_eq!(store.load(Ordering::Relaxed), 1, "park returned too early");
    giver.join().expect("ends");
}

#[test]
fn a_token_brings_its_givers_stores() {
    holds(parked);
    breaks(Weak::Fence, parked);
    breaks(Weak::Release, parked);
    breaks(Weak::Acquire, parked);
}

#[test]
fn a_token_brings_the_stores_of_every_giver() {
    holds(given_twice);
    // A store instead of an update: the later giver hides the earlier one.
    breaks(Weak::Update, given_twice);
    holds(given_again);
    breaks(Weak::Skip, given_again);
}

/// A connection: a reader that found nothing sleeps; the stack has news and wakes only if somebody
/// may sleep.
fn news() {
    #[derive(Debug)]
    struct Connection {
        news: EventCount,
        buffer: AtomicU32,
        waiters: SpinLock<()>,
        moved: Bell,
    }
    let c = made(Connection {
        news: EventCount::new(),
        buffer: AtomicU32::new(0),
        waiters: locked(()),
        moved: Bell::new(),
    });
    let c2 = c.clone();
    let stack = thread::spawn(move || {
        c2.buffer.store(1, Ordering::Relaxed);
        if c2.news.post() {
            drop(c2.waiters.lock());
            c2.moved.ring();
        }
    });
    loop {
        let seen = c.news.count();
        if c.buffer.load(Ordering::Relaxed) == 1 {
            break;
        }
        c.news.enter();
        drop(c.waiters.lock());
        while !c.news.moved(seen) {
            c.moved.wait();
        }
        c.news.leave();
    }
    stack.join().expect("ends");
}

#[test]
fn news_find_their_sleeper() {
    holds(news);
    breaks(Weak::Fence, news);
    breaks(Weak::Release, news);
    breaks(Weak::Acquire, news);
}
