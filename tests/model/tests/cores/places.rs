//! What the place in an item's word names, for who has nothing but the item.

use std::ptr;
use std::sync::Arc;

use loom::thread;
use model_tests::atomic::{AtomicPtr, AtomicU64, Ordering};
use model_tests::shipped::handshake::Home;
use model_tests::{Weak, breaks, holds, made};
use workword::{Claim, Place, Seen, Word, WorkWord};

use crate::owner::Watched;

/// The model checker's atomic under the shipped word of an item.
#[derive(Debug)]
pub(crate) struct Checked(pub(crate) AtomicU64);

impl Word for Checked {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }
    fn compare_exchange_weak(
        &self,
        old: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.0.compare_exchange(old, new, success, failure)
    }
    fn fetch_and(&self, mask: u64, order: Ordering) -> u64 {
        self.0.fetch_and(mask, order)
    }
}

const PLACE: Place = Place::new(1);

fn address<T>(x: &T) -> *mut T {
    ptr::from_ref(x).cast_mut()
}

/// A pool is made and stands in the table of pools, and a share of it is published; somebody submits an item there, and
/// somebody else, who has only the item, cancels it: `handles::pool_of_core_at` after `WorkWord::look_back`.
fn found_by_its_place(look: fn(&WorkWord<Checked>) -> Seen) {
    let pool = Arc::new(Watched::new());
    let table = made(AtomicPtr::new(ptr::null_mut::<Watched>()));
    let home: Arc<Home<Watched>> = made(Home::new(ptr::null_mut()));
    let word = made(WorkWord::with(|v| Checked(AtomicU64::new(v))));
    let submitter = {
        let (home, word) = (home.clone(), word.clone());
        thread::spawn(move || {
            if !home.get().is_null() {
                assert!(matches!(word.claim_at(PLACE, false), Claim::Claimed(_)));
            }
        })
    };
    let canceller = {
        let (pool, table, word) = (pool.clone(), table.clone(), word.clone());
        thread::spawn(move || {
            let seen = look(&word);
            if seen.is_queued() {
                assert_eq!(seen.place(), PLACE);
                // No order of its own.
                assert!(!table.load(Ordering::Relaxed).is_null());
                assert_eq!(pool.get(), 1, "a pool that is not finished");
            }
        })
    };
    pool.set(1);
    table.store(address(&*pool), Ordering::Relaxed);
    home.move_to(address(&*pool));
    submitter.join().expect("ends");
    canceller.join().expect("ends");
}

fn acquired() {
    found_by_its_place(|word| word.look_back());
}

/// A look that acquires nothing, which is enough for who goes on with an atomic operation on the word.
fn only_seen() {
    found_by_its_place(|word| word.look());
}

#[test]
fn the_place_of_an_item_names_a_pool_that_is_made() {
    holds(acquired);
    breaks(Weak::Nothing, only_seen);
    breaks(Weak::Acquire, acquired);
    breaks(Weak::Release, acquired);
}
