//! Models of the work item's data word (docs/rules.md B3, B5, B6, B7).
//!
//! B7 broke on real hardware once: a producer stores an event, finds the item pending already and
//! leaves; the worker clears the pending bit and reads the old event state. The shipped word must
//! never do that, and four plausible shortcuts must be seen doing it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, fence};
use loom::thread;
use model_tests::{LoomWord, fresh_word};
use workword::{Claim, Mark, Place, Seize, Word, WorkWord};

const POOL: Place = Place::new(1);
const PENDING_QUEUED: u64 = 0b11;

fn word() -> Arc<WorkWord<LoomWord>> {
    Arc::new(fresh_word())
}

/// One submission as the executive makes it: from what was seen, in one step if it can. True: it owned the item.
fn submit_seen(w: &WorkWord<LoomWord>) -> bool {
    let seen = w.look();
    if seen.is_pending() && w.join_seen(seen).is_some() {
        return false;
    }
    w.claim_marked(Mark::at(POOL, false)) || matches!(w.claim_at(POOL, false), Claim::Claimed(_))
}

/// Of two submissions of an idle item that ran before, and a run that may come between, each run has one owner, and none is
/// lost.
#[test]
fn b3_a_submission_from_what_was_seen_is_counted_once() {
    loom::model(|| {
        let w = word();
        assert!(matches!(w.claim_at(POOL, false), Claim::Claimed(_)));
        assert_eq!(w.take().submissions(), 1);
        let w2 = w.clone();
        let other = thread::spawn(move || submit_seen(&w2));
        let mine = submit_seen(&w);
        let mut served = if mine { w.take().submissions() } else { 0 };
        let others = other.join().expect("the other ends");
        assert!(mine || others, "nobody owned the item");
        if w.state().queued {
            served += w.take().submissions();
        }
        assert_eq!(served, 2, "a submission was lost, or counted twice");
    });
}

/// One submission with a delay: from what was seen, or as it is. True: it owned the item, and its timer fired.
fn delay_seen(w: &WorkWord<LoomWord>) -> bool {
    let seen = w.look();
    let owned = w.claim_idle(seen, false) || matches!(w.claim(), Claim::Claimed(_));
    if owned {
        w.publish(POOL, false);
    }
    owned
}

/// As above, of submissions with a delay.
#[test]
fn b3_a_delayed_submission_from_what_was_seen_is_counted_once() {
    loom::model(|| {
        let w = word();
        let w2 = w.clone();
        let other = thread::spawn(move || delay_seen(&w2));
        let mine = delay_seen(&w);
        let mut served = if mine { w.take().submissions() } else { 0 };
        let others = other.join().expect("the other ends");
        assert!(mine || others, "nobody owned the item");
        if w.state().queued {
            served += w.take().submissions();
        }
        assert_eq!(served, 2, "a submission was lost, or counted twice");
    });
}

#[test]
fn b3_pending_has_exactly_one_owner() {
    loom::model(|| {
        let w = word();
        let owners = Arc::new(AtomicUsize::new(0));
        let (w2, o2) = (w.clone(), owners.clone());
        let queuer = thread::spawn(move || {
            let claimed = matches!(w2.claim(), Claim::Claimed(_));
            if claimed {
                assert_eq!(o2.fetch_add(1, Ordering::Relaxed), 0, "two owners");
                o2.fetch_sub(1, Ordering::Relaxed);
                w2.release();
            }
            claimed
        });
        let seized = matches!(w.seize(), Seize::Idle(_));
        if seized {
            assert_eq!(owners.fetch_add(1, Ordering::Relaxed), 0, "two owners");
            owners.fetch_sub(1, Ordering::Relaxed);
            w.release();
        }
        assert!(
            queuer.join().unwrap() || seized,
            "nobody owned an idle item"
        );
        assert!(!w.state().pending);
    });
}

#[test]
fn j1_a_submission_that_joins_what_is_cancelled_is_told_to_the_canceller() {
    loom::model(|| {
        let w = word();
        let w2 = w.clone();
        let queuer = thread::spawn(move || match w2.claim() {
            Claim::Claimed(_) => {
                w2.publish(POOL, false);
                None
            }
            Claim::Pending(n) => Some(n),
            other => panic!("{other:?}"),
        });
        let joined = match w.seize() {
            Seize::Idle(_) => w.release(),
            Seize::Queued(_) | Seize::Busy => 0,
        };
        // Nothing was queued before: it is the first, and the canceller took it out.
        let answer = queuer.join().unwrap();
        assert_eq!(answer.unwrap_or(0), joined);
        assert_eq!(w.state().queued, joined == 0, "lost");
    });
}

#[test]
fn b3_disable_and_claim_exclude_each_other() {
    loom::model(|| {
        let w = word();
        let w2 = w.clone();
        let disabler = thread::spawn(move || {
            if matches!(w2.seize(), Seize::Idle(_)) {
                assert!(w2.release_disabled().1);
                return true;
            }
            false
        });
        let claim = w.claim();
        if let Claim::Claimed(_) = claim {
            w.release();
        }
        let disabled = disabler.join().unwrap();
        assert_eq!(w.state().depth, u16::from(disabled), "a disable got lost");
        assert!(!w.state().pending, "the word stayed owned");
        assert!(disabled || matches!(claim, Claim::Claimed(_)));
    });
}

loom::lazy_static! {
    static ref STEP: AtomicU64 = AtomicU64::new(0);
}

/// A place where the other thread may go on. loom finds those by itself, but it compares an access with the last one
/// of the same word only, and a submission reads the word before it writes it, and writes it twice; that hides the
/// other side's look. Relaxed, so it orders nothing.
fn step() {
    STEP.fetch_add(1, Ordering::Relaxed);
}

/// A producer against the run that its claim leads to.
fn b6_round<A: Word + Send + Sync + 'static>(make: fn(u64) -> A) {
    let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = std::sync::Arc::clone(&runs);
    loom::model(move || {
        let w = Arc::new(WorkWord::with(make));
        let event = Arc::new(AtomicUsize::new(0));
        let (w2, e2) = (w.clone(), event.clone());
        let producer = thread::spawn(move || {
            e2.store(1, Ordering::Relaxed);
            assert!(matches!(w2.claim(), Claim::Claimed(_)));
            w2.publish(POOL, false);
            step();
        });
        step();
        if w.state().queued {
            seen.fetch_add(1, Ordering::Relaxed);
            assert_eq!(w.take().submissions(), 1);
            assert_eq!(event.load(Ordering::Relaxed), 1, "the run missed its event");
        }
        producer.join().expect("the producer ends");
    });
    assert_ne!(runs.load(Ordering::Relaxed), 0, "no run was looked at");
}

#[test]
fn b6_stores_before_a_claim_are_seen_by_its_run() {
    b6_round(LoomWord::new);
}

/// A word whose updates order nothing.
#[derive(Debug)]
struct Relaxed(LoomWord);

impl Word for Relaxed {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }
    fn compare_exchange_weak(
        &self,
        old: u64,
        new: u64,
        _: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.0
            .compare_exchange_weak(old, new, Ordering::Relaxed, failure)
    }
    fn fetch_and(&self, mask: u64, _: Ordering) -> u64 {
        self.0.fetch_and(mask, Ordering::Relaxed)
    }
}

#[test]
fn b6_wrong_updates_that_order_nothing() {
    must_fail("relaxed updates", "the run missed its event", || {
        b6_round(|v| Relaxed(LoomWord::new(v)));
    });
}

/// What is wrong with the variants of B7.
const MISSED: &str = "an event was announced to a pending run that missed it";

/// One B7 round: a producer against the run of an item that is pending already. `submit` answers
/// true when it found the item pending; `take` ends the pending state.
fn b7_round<W: Send + Sync + 'static>(
    start: impl Fn() -> W + Sync + Send + Copy + 'static,
    submit: impl Fn(&W) -> bool + Sync + Send + Copy + 'static,
    take: impl Fn(&W) + Sync + Send + Copy + 'static,
) {
    loom::model(move || {
        let w = Arc::new(start());
        let event = Arc::new(AtomicUsize::new(0));
        let (w2, e2) = (w.clone(), event.clone());
        let producer = thread::spawn(move || {
            e2.store(1, Ordering::Relaxed);
            submit(&w2)
        });
        take(&w);
        let seen = event.load(Ordering::Relaxed) == 1;
        let joined = producer.join().expect("the producer ends");
        assert!(!joined || seen, "{MISSED}");
    });
}

/// The model ends with the words `complaint`, and for no other reason.
fn must_fail(what: &str, complaint: &str, model: impl FnOnce()) {
    let result = catch_unwind(AssertUnwindSafe(model));
    let Err(why) = result else {
        panic!("the model checker accepted the wrong variant \"{what}\"")
    };
    let told = why.downcast_ref::<String>().map_or("", String::as_str);
    let told = why.downcast_ref::<&str>().unwrap_or(&told);
    assert!(told.contains(complaint), "\"{what}\" ended with: {told}");
}

fn shipped() -> WorkWord<LoomWord> {
    let w = WorkWord::with(LoomWord::new);
    assert!(matches!(w.claim_at(POOL, false), Claim::Claimed(_)));
    w
}

#[test]
fn b7_a_failed_join_hands_its_stores_to_the_pending_run() {
    b7_round(
        shipped,
        |w| w.join().is_some(),
        |w| assert!(w.take().submissions() >= 1),
    );
}

#[test]
fn b7_a_failed_claim_hands_its_stores_to_the_pending_run() {
    b7_round(
        shipped,
        |w| matches!(w.claim(), Claim::Pending(_)),
        |w| assert!(w.take().submissions() >= 1),
    );
}

#[test]
fn b7_holds_while_the_owner_publishes() {
    b7_round(
        || WorkWord::with(LoomWord::new),
        |w| match w.claim() {
            Claim::Pending(_) => true,
            // Then the other side lost the race and this one is the owner: nothing to check.
            _ => false,
        },
        |w| {
            if let Claim::Claimed(_) = w.claim() {
                w.publish(POOL, false);
                assert!(w.take().submissions() >= 1);
            }
        },
    );
}

fn plain() -> AtomicU64 {
    AtomicU64::new(PENDING_QUEUED)
}

fn set(w: &AtomicU64) -> bool {
    w.fetch_or(1, Ordering::AcqRel) & 1 != 0
}

fn clear(w: &AtomicU64) {
    w.fetch_and(!PENDING_QUEUED, Ordering::AcqRel);
}

#[test]
fn b7_the_bare_protocol_passes() {
    b7_round(plain, set, clear);
}

#[test]
fn b7_wrong_skipping_the_write_when_the_bit_looks_set() {
    must_fail("skip if set", MISSED, || {
        b7_round(
            plain,
            |w| w.load(Ordering::Acquire) & 1 != 0 || set(w),
            clear,
        );
    });
}

#[test]
fn b7_wrong_clearing_with_a_plain_store() {
    must_fail("store to clear", MISSED, || {
        b7_round(plain, set, |w| w.store(0, Ordering::Release));
    });
}

#[test]
fn b7_wrong_clearing_with_a_store_and_a_fence() {
    must_fail("store and fence to clear", MISSED, || {
        b7_round(plain, set, |w| {
            w.store(0, Ordering::Release);
            fence(Ordering::SeqCst);
        });
    });
}

#[test]
fn b7_wrong_publishing_with_a_plain_store() {
    must_fail("store to publish", MISSED, || {
        b7_round(
            || AtomicU64::new(0),
            set,
            |w| {
                if !set(w) {
                    w.store(PENDING_QUEUED, Ordering::Release);
                    clear(w);
                }
            },
        );
    });
}
