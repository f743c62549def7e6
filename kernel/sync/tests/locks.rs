//! Taking, refusing, releasing and recording spin locks.

#[path = "support/world.rs"]
mod world;

use sync::{BhOff, HardIrqGuard, IrqOff, PreemptOff, Rank, SoftirqGuard, SpinLock, preempt_word};
use world::Core;

type Lock<T = ()> = SpinLock<T, PreemptOff>;

fn pool() -> Lock {
    SpinLock::new(Rank::Pool, "pool", ())
}

fn runqueue() -> Lock {
    SpinLock::new(Rank::RunQueue, "runqueue", ())
}

#[test]
fn holder_sees_and_changes_the_value() {
    Core::run(|_| {
        let mut lock: Lock<[u32; 2]> = SpinLock::new(Rank::Leaf, "pair", [1, 2]);
        lock.lock()[1] = 5;
        assert_eq!(*lock.lock(), [1, 5]);
        lock.get_mut()[0] = 7;
        assert_eq!(*lock.lock(), [7, 5]);
        assert_eq!(lock.name(), "pair");
    });
}

#[test]
fn reports_name_the_lock_and_show_the_value_to_its_holder() {
    Core::run(|_| {
        let lock: Lock<u32> = SpinLock::new(Rank::Leaf, "count", 41);
        assert!(format!("{lock:?}").contains("count"));
        assert_eq!(format!("{:?}", lock.lock()), "41");
    });
}

#[test]
fn held_locks_are_recorded_until_released() {
    Core::run(|core| {
        let (pool, runqueue) = (pool(), runqueue());
        let outer = pool.lock();
        assert!(pool.is_locked());
        assert_eq!(core.highest_held(), Some("pool"));
        let inner = runqueue.lock();
        assert_eq!(core.highest_held(), Some("runqueue"));
        drop(inner);
        assert_eq!(core.highest_held(), Some("pool"));
        drop(outer);
        assert_eq!(core.locks_held(), 0);
        assert!(!pool.is_locked());
    });
}

#[test]
#[should_panic(expected = "taking \"pool\" (rank 40) while holding \"pool\" (rank 40)")]
fn same_rank_is_an_inversion() {
    Core::run(|_| {
        let (a, b) = (pool(), pool());
        let _a = a.lock();
        let _b = b.lock();
    });
}

#[test]
fn same_rank_is_allowed_when_asked_for() {
    Core::run(|core| {
        let (low, high) = (runqueue(), runqueue());
        let a = low.lock();
        let b = high.lock_same_rank();
        assert!(low.is_locked() && high.is_locked());
        assert_eq!(core.locks_held(), 2);
        drop((a, b));
        let (outer, inner) = (pool(), runqueue());
        let _outer = outer.lock();
        let _inner = inner.lock_same_rank();
    });
}

#[test]
#[should_panic(expected = "taking \"pool\" (rank 40) while holding \"runqueue\" (rank 70)")]
fn lower_rank_is_an_inversion_even_when_the_same_is_allowed() {
    Core::run(|_| {
        let (outer, inner) = (pool(), runqueue());
        let _inner = inner.lock();
        let _outer = outer.lock_same_rank();
    });
}

/// An interrupt's locks are ordered among themselves: what it interrupted cannot wait for them.
#[test]
fn interrupt_and_softirq_start_their_own_order() {
    Core::run(|core| {
        let (a, b, c, d) = (runqueue(), runqueue(), pool(), pool());
        let _held = a.lock();
        {
            let _softirq = SoftirqGuard::new();
            let _c = c.lock();
            let _irq = HardIrqGuard::new();
            let _d = d.lock();
            assert_eq!(core.locks_held(), 3);
        }
        assert_eq!(core.highest_held(), Some("runqueue"));
        let _b = b.lock_same_rank();
    });
}

#[test]
#[should_panic(expected = "while holding \"runqueue\"")]
fn after_an_interrupt_the_old_order_holds_again() {
    Core::run(|_| {
        let (held, pool) = (runqueue(), pool());
        let _held = held.lock();
        drop(HardIrqGuard::new());
        let _inversion = pool.lock();
    });
}

#[test]
#[should_panic(expected = "while holding \"runqueue\"")]
fn after_a_softirq_the_old_order_holds_again() {
    Core::run(|_| {
        let (held, pool) = (runqueue(), pool());
        let _held = held.lock();
        drop(SoftirqGuard::new());
        let _inversion = pool.lock();
    });
}

#[test]
fn try_lock_takes_a_free_lock_at_any_rank() {
    Core::run(|core| {
        let (outer, inner) = (pool(), runqueue());
        let held = inner.lock();
        let guard = outer.try_lock().expect("the lock is free");
        assert_eq!(core.locks_held(), 2);
        assert_eq!(preempt_word(), 2);
        assert!(outer.try_lock().is_none(), "now it is held");
        assert_eq!(
            (core.locks_held(), preempt_word()),
            (2, 2),
            "a refusal leaves nothing behind"
        );
        drop((guard, held));
        assert_eq!((core.locks_held(), preempt_word()), (0, 0));
    });
}

/// Spinning must go through the seam: in a simulated world nobody else runs otherwise.
#[test]
fn waiting_relaxes_until_the_lock_is_free() {
    static LOCK: Lock = SpinLock::new(Rank::Leaf, "contended", ());
    Core::run(|_another| std::mem::forget(LOCK.lock()));
    Core::run(|core| {
        core.on_relax(|| release(&LOCK));
        let guard = LOCK.lock();
        assert_eq!(core.events(), [("sync point", 1), ("relax", 1)]);
        drop(guard);
    });
}

#[expect(unsafe_code, reason = "ends a section whose guard was forgotten")]
fn release(lock: &Lock) {
    // SAFETY: the caller forgot the guard of this lock, which it holds.
    unsafe { lock.force_unlock() };
}

#[test]
fn force_unlock_frees_the_lock_and_leaves_its_section_open() {
    Core::run(|core| {
        let lock = pool();
        std::mem::forget(lock.lock());
        release(&lock);
        assert!(!lock.is_locked());
        assert_eq!(core.locks_held(), 0);
        assert_eq!(preempt_word(), 1);
    });
}

#[test]
fn other_cores_may_come_in_between_before_each_attempt() {
    Core::run(|core| {
        let lock = pool();
        drop(lock.lock());
        drop(lock.lock_same_rank());
        drop(lock.try_lock());
        assert_eq!(core.events(), [("sync point", 1); 3]);
    });
}

/// A reschedule at the end of the section must not switch away with the lock held.
#[test]
fn lock_is_free_before_its_section_ends() {
    static PREEMPT: SpinLock<(), PreemptOff> = SpinLock::new(Rank::Leaf, "preempt", ());
    static BH: SpinLock<(), BhOff> = SpinLock::new(Rank::Leaf, "bh", ());
    static IRQ: SpinLock<(), IrqOff> = SpinLock::new(Rank::Leaf, "irq", ());
    fn release_with_resched_due<M: sync::Mode>(lock: &SpinLock<(), M>, at_resched: fn()) {
        Core::run(|core| {
            let guard = lock.lock();
            core.want_resched();
            core.on_resched(at_resched);
            core.events();
            drop(guard);
            assert_eq!(core.events(), [("resched", 0)]);
        });
    }
    release_with_resched_due(&PREEMPT, || assert!(!PREEMPT.is_locked()));
    release_with_resched_due(&BH, || assert!(!BH.is_locked()));
    release_with_resched_due(&IRQ, || assert!(!IRQ.is_locked()));
}
