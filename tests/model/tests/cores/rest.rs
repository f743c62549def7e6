//! Flushes that look without a lock: what is at rest is over, and what it did is visible.

use std::sync::Arc;

use loom::thread;
use model_tests::shipped::handshake::{InRun, Tally};
use model_tests::shipped::spin_lock::SpinLock;
use model_tests::{LoomWord, Weak, breaks, fresh_word, holds, made};
use workword::{Claim, Place, WorkWord};

use crate::bell::locked;
use crate::owner::Watched;

const POOL: Place = Place::new(0);

/// An item and its pool, as far as `execute` and `await_item::is_at_rest` go.
struct Item {
    word: WorkWord<LoomWord>,
    in_run: Arc<InRun>,
    done: Watched,
}

impl Item {
    /// `execute`: under the pool's lock but for the handler, which no other worker's lock orders here.
    fn execute(&self) {
        self.in_run.begin();
        self.word.take();
        self.done.add_one();
        self.in_run.end();
    }

    /// `await_item::is_at_rest`.
    fn is_at_rest(&self) -> bool {
        let seen = self.word.look_back();
        seen.is_at_rest() && !self.in_run.is_set() && self.word.look_back() == seen
    }
}

fn flushed_item() {
    let item = Arc::new(Item {
        word: fresh_word(),
        in_run: made(InRun::new()),
        done: Watched::new(),
    });
    assert!(matches!(item.word.claim_at(POOL, false), Claim::Claimed(_)));
    let theirs = item.clone();
    let worker = thread::spawn(move || theirs.execute());
    if item.is_at_rest() {
        assert_eq!(item.done.get(), 1, "it was queued before the flush");
    }
    worker.join().expect("ends");
}

#[test]
fn an_item_at_rest_has_run() {
    holds(flushed_item);
    breaks(Weak::Acquire, flushed_item);
    breaks(Weak::Release, flushed_item);
}

/// A share: what came and went, under the lock of its pool, and the tally that is told.
struct Share {
    pool: SpinLock<(u64, u64)>,
    tally: Arc<Tally>,
    done: [Watched; 2],
}

impl Share {
    /// `Inner::link`.
    fn queue(&self) {
        let mut g = self.pool.lock();
        g.0 += 1;
        self.tally.enter(g.0);
    }

    /// `execute` of item `n`.
    fn run(&self, n: usize) {
        self.done[n].add_one();
        let mut g = self.pool.lock();
        g.1 += 1;
        self.tally.pass(g.1);
    }
}

/// One item was queued before the flush, another comes and goes beside it: that one's end must not pass for the first one's.
fn flushed_queue() {
    let share = Arc::new(Share {
        pool: locked((0, 0)),
        tally: made(Tally::new()),
        done: [Watched::new(), Watched::new()],
    });
    share.queue();
    let (a, b) = (share.clone(), share.clone());
    let first = thread::spawn(move || a.run(0));
    let other = thread::spawn(move || {
        b.queue();
        b.run(1);
    });
    if share.tally.is_clear() {
        assert_eq!(share.done[0].get(), 1, "it was queued before the flush");
    }
    first.join().expect("ends");
    other.join().expect("ends");
}

/// A submission joins another one that is not on its list yet, and flushes the queue. The share is told of that one before
/// its word says that it is pending, or too late.
fn joined_and_flushed(in_time: bool) {
    let share = Arc::new(Share {
        pool: locked((0, 0)),
        tally: made(Tally::new()),
        done: [Watched::new(), Watched::new()],
    });
    let word = Arc::new(fresh_word());
    let (s, w) = (share.clone(), word.clone());
    let flusher = thread::spawn(move || {
        if w.join().is_some() && s.tally.is_clear() {
            assert_eq!(
                s.done[0].get(),
                1,
                "it is waited for like the one it joined"
            );
        }
    });
    let mut g = share.pool.lock();
    if in_time {
        share.tally.enter(g.0 + 1);
    }
    assert!(matches!(word.claim_at(POOL, false), Claim::Claimed(_)));
    g.0 += 1;
    share.tally.enter(g.0);
    drop(g);
    share.run(0);
    flusher.join().expect("ends");
}

#[test]
fn what_joins_is_waited_for() {
    holds(|| joined_and_flushed(true));
    breaks(Weak::Acquire, || joined_and_flushed(true));
    breaks(Weak::Release, || joined_and_flushed(true));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn what_joins_is_lost_if_the_share_is_told_late() {
    holds(|| joined_and_flushed(false));
}

#[test]
fn all_that_came_before_have_passed() {
    holds(flushed_queue);
    breaks(Weak::Acquire, flushed_queue);
    breaks(Weak::Release, flushed_queue);
}
