//! Routes and shares of workqueues: late submitters, and ordered queues that move.
//!
//! What `wq/attrs.rs`, `wq/queue.rs`, `wq/share.rs` and `wq/ops.rs` do with the shipped words is
//! repeated here in short; each function names whose steps it takes. A share is found by its address
//! among those of the model, so no pointer is followed.

use std::ptr;
use std::sync::Arc;

use loom::thread;
use model_tests::atomic::{AtomicPtr, AtomicU64, Ordering, relax};
use model_tests::shipped::handshake::{Home, Route};
use model_tests::shipped::spin_lock::{SpinGuard, SpinLock};
use model_tests::{Weak, breaks, holds, made};
use workword::{Claim, Place, Seize, WorkWord};

use crate::bell::locked;
use crate::owner::Watched;
use crate::places::Checked;

/// A pool as far as its lock goes.
#[derive(Debug)]
struct Pool(SpinLock<()>);

/// The pwq takes items, or its queue has another one.
const OPEN: u32 = 1;
const GONE: u32 = 2;

/// A queue's share of a pool.
#[derive(Debug)]
struct Share {
    /// Set before any route leads here, and constant then: the queue, the place of the pwq.
    made: Watched,
    home: Arc<Home<Pool>>,
    /// Under the lock of the pool that is home.
    pwq: Watched,
    items: Watched,
}

struct Queue {
    pools: [Pool; 2],
    shares: [Share; 2],
    route: Arc<Route<Share>>,
}

fn address<T>(x: &T) -> *mut T {
    ptr::from_ref(x).cast_mut()
}

impl Queue {
    /// A queue whose route leads to its first share, in the first pool.
    fn new() -> Arc<Self> {
        let share = || Share {
            made: Watched::new(),
            home: made(Home::new(ptr::null_mut())),
            pwq: Watched::new(),
            items: Watched::new(),
        };
        let q = Arc::new(Self {
            pools: [Pool(locked(())), Pool(locked(()))],
            shares: [share(), share()],
            route: made(Route::nowhere()),
        });
        q.finish(0);
        q.route.set(address(&q.shares[0]));
        q
    }

    /// `Share::new`, in the pool with the same number.
    fn finish(&self, n: usize) {
        let share = &self.shares[n];
        share.made.set(1);
        share.home.move_to(address(&self.pools[n]));
        share.pwq.set(OPEN);
    }

    fn routed(&self) -> &Share {
        let raw = self.route.get();
        let share = self.shares.iter().find(|s| ptr::eq(*s, raw));
        share.expect("the route leads to a share")
    }

    /// `Share::lock`.
    fn lock(&self, share: &Share) -> (usize, SpinGuard<'_, ()>) {
        let find = |raw: *mut Pool| {
            let n = self.pools.iter().position(|p| ptr::eq(p, raw));
            n.expect("a share is in a pool")
        };
        let (raw, g) = share.home.lock(|raw| self.pools[find(raw)].0.lock());
        (find(raw), g)
    }

    /// `submit` with its second try, `submit_owned`.
    fn submit(&self) {
        loop {
            let share = self.routed();
            assert_eq!(share.made.get(), 1);
            let (_, g) = self.lock(share);
            if share.pwq.get() == OPEN {
                share.items.add_one();
                return;
            }
            drop(g);
            relax();
        }
    }

    /// `Share::retire`; nothing keeps an empty share.
    fn retire(&self, n: usize) {
        let (_, g) = self.lock(&self.shares[n]);
        self.shares[n].pwq.set(GONE);
        drop(g);
    }

    /// `Share::attach`.
    fn attach(&self, n: usize, pool: usize) {
        let share = &self.shares[n];
        let (_, g) = self.lock(share);
        share.home.move_to(address(&self.pools[pool]));
        drop(g);
        let g = self.pools[pool].0.lock();
        share.pwq.set(OPEN);
        drop(g);
    }

    fn items(&self) -> u32 {
        let items = |s: &Share| {
            let g = self.lock(s);
            let n = s.items.get();
            drop(g);
            n
        };
        let is_made = |s: &&Share| !s.home.get().is_null();
        self.shares.iter().filter(is_made).map(items).sum()
    }
}

/// New attributes: a share is finished, the route leads to it, the old one retires; a submitter comes
/// at any moment.
fn published() {
    let q = Queue::new();
    let q2 = q.clone();
    let submitter = thread::spawn(move || q2.submit());
    q.finish(1);
    q.route.set(address(&q.shares[1]));
    q.retire(0);
    submitter.join().expect("ends");
    assert_eq!(q.items(), 1, "the item is on one share");
}

/// The route alone: no lock orders what the reader sees of the new share.
fn followed_bare() {
    let q = Queue::new();
    let q2 = q.clone();
    let reader = thread::spawn(move || assert_eq!(q2.routed().made.get(), 1));
    q.finish(1);
    q.route.set(address(&q.shares[1]));
    reader.join().expect("ends");
}

#[test]
fn a_route_leads_to_a_finished_share() {
    holds(followed_bare);
    breaks(Weak::Acquire, followed_bare);
    breaks(Weak::Release, followed_bare);
    holds(published);
    breaks(Weak::Acquire, published);
    breaks(Weak::Release, published);
    breaks(Weak::Lock, published);
}

/// A share retires and becomes another pool's while a submitter is on its way to it.
fn attached_anew() {
    let q = Queue::new();
    q.finish(1);
    let q2 = q.clone();
    let submitter = thread::spawn(move || q2.submit());
    q.route.set(address(&q.shares[1]));
    q.retire(0);
    q.attach(0, 1);
    submitter.join().expect("ends");
    let (pool, g) = q.lock(&q.shares[0]);
    assert_eq!(pool, 1);
    drop(g);
    assert_eq!(q.items(), 1);
}

/// The name of a share's pool alone: the lock it leads to was never held before.
fn found_bare() {
    let q = Queue::new();
    let q2 = q.clone();
    let late = thread::spawn(move || {
        let (_, g) = q2.lock(&q2.shares[0]);
        assert_eq!(q2.shares[0].pwq.get(), OPEN);
        drop(g);
    });
    let (_, g) = q.lock(&q.shares[0]);
    q.shares[0].pwq.set(OPEN);
    q.shares[0].home.move_to(address(&q.pools[1]));
    drop(g);
    late.join().expect("ends");
}

#[test]
fn a_late_submitter_finds_the_lock_of_a_share_that_was_attached_anew() {
    holds(found_bare);
    breaks(Weak::Acquire, found_bare);
    breaks(Weak::Release, found_bare);
    holds(attached_anew);
    breaks(Weak::Acquire, attached_anew);
    breaks(Weak::Release, attached_anew);
    breaks(Weak::Lock, attached_anew);
}

const PLACES: [Place; 2] = [Place::new(1), Place::new(2)];

/// An ordered queue with one item, which waits in its share or is idle.
struct Ordered {
    queue: Arc<Queue>,
    next: Arc<AtomicPtr<Pool>>,
    word: Arc<WorkWord<Checked>>,
}

impl Ordered {
    fn new(waits: bool) -> Arc<Self> {
        let o = Self {
            queue: Queue::new(),
            next: made(AtomicPtr::new(ptr::null_mut())),
            word: made(WorkWord::with(|v| Checked(AtomicU64::new(v)))),
        };
        if waits {
            o.submit();
        }
        Arc::new(o)
    }

    fn share(&self) -> &Share {
        &self.queue.shares[0]
    }

    /// `Queue::submit`: what waits is on the share's list, under its pool's lock.
    fn submit(&self) {
        let (pool, g) = self.queue.lock(self.share());
        match self.word.claim_at(PLACES[pool], false) {
            Claim::Claimed(_) => self.share().items.add_one(),
            other => panic!("an idle item is claimed: {other:?}"),
        }
        drop(g);
    }

    /// `Share::move_to` and `Share::carry_over`, with nothing active.
    fn move_over(&self) {
        let (_, g) = self.queue.lock(self.share());
        let to = address(&self.queue.pools[1]);
        assert!(self.next.swap(to, Ordering::Relaxed).is_null());
        drop(g);
        loop {
            let (_, g) = self.queue.lock(self.share());
            let next = self.next.swap(ptr::null_mut(), Ordering::Relaxed);
            if next.is_null() {
                return;
            }
            if self.share().items.get() == 1 {
                self.word.unqueue();
            }
            self.share().home.move_to(next);
            drop(g);
            let g = self.queue.pools[1].0.lock();
            if self.share().items.get() == 1 && !self.word.state().queued {
                self.word.publish(PLACES[1], false);
            }
            drop(g);
        }
    }

    /// `ops::cancel`: whether it was pending.
    fn cancel(&self) -> bool {
        loop {
            match self.word.seize() {
                Seize::Idle(_) => return self.word.release() > 0,
                Seize::Queued(place) => {
                    let pool = usize::from(place == PLACES[1]);
                    let g = self.queue.pools[pool].0.lock();
                    let s = self.word.state();
                    if s.queued && s.place == place {
                        let items = &self.share().items;
                        assert_eq!(items.get(), 1, "it is on the list it is taken off");
                        items.set(0);
                        self.word.unqueue();
                        drop(g);
                        self.word.release();
                        return true;
                    }
                    drop(g);
                }
                Seize::Busy => {}
            }
            relax();
        }
    }

    fn at_the_end(&self) -> (u32, bool, Place) {
        let (pool, g) = self.queue.lock(self.share());
        assert_eq!(pool, 1, "it moved");
        let s = self.word.state();
        let items = self.share().items.get();
        drop(g);
        (items, s.queued, s.place)
    }
}

fn moved_and_cancelled() {
    let o = Ordered::new(true);
    let o2 = o.clone();
    let canceller = thread::spawn(move || o2.cancel());
    o.move_over();
    assert!(canceller.join().expect("ends"), "it was pending");
    let (items, queued, _) = o.at_the_end();
    assert_eq!((items, queued), (0, false));
}

fn moved_and_submitted() {
    let o = Ordered::new(false);
    let o2 = o.clone();
    let submitter = thread::spawn(move || o2.submit());
    o.move_over();
    submitter.join().expect("ends");
    assert_eq!(o.at_the_end(), (1, true, PLACES[1]));
}

#[test]
fn what_waits_in_a_share_that_moves_is_taken_once() {
    holds(moved_and_cancelled);
    breaks(Weak::Acquire, moved_and_cancelled);
    breaks(Weak::Release, moved_and_cancelled);
    breaks(Weak::Lock, moved_and_cancelled);
}

#[test]
fn what_is_queued_while_a_share_moves_goes_along() {
    holds(moved_and_submitted);
    breaks(Weak::Acquire, moved_and_submitted);
    breaks(Weak::Release, moved_and_submitted);
    breaks(Weak::Lock, moved_and_submitted);
}
