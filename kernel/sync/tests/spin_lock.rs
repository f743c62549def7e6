//! The spin lock on one core: what it disables, and the books it keeps.

use sync::{BhOff, IrqOff, PreemptOff, Rank, SpinLock};

#[test]
fn lock_gives_and_releases() {
    let lock: SpinLock<u32, PreemptOff> = SpinLock::new(Rank::Leaf, "test", 1);
    *lock.lock() += 1;
    assert!(!lock.is_locked());
    assert_eq!(*lock.lock(), 2);
    assert!(machine::percpu().held.is_empty());
    assert_eq!(sync::preempt_word(), 0);
}

#[test]
#[should_panic(expected = "taking \"outer\" (rank 70) while holding \"inner\" (rank 100)")]
fn inversion_panics_with_both_names() {
    let outer: SpinLock<()> = SpinLock::new(Rank::RunQueue, "outer", ());
    let inner: SpinLock<()> = SpinLock::new(Rank::Leaf, "inner", ());
    let _i = inner.lock();
    let _o = outer.lock();
}

#[test]
fn released_out_of_order_keeps_the_books() {
    let a: SpinLock<()> = SpinLock::new(Rank::Pool, "a", ());
    let b: SpinLock<()> = SpinLock::new(Rank::RunQueue, "b", ());
    let ga = a.lock();
    let gb = b.lock();
    drop(ga);
    assert_eq!(machine::percpu().held.last().map(|l| l.name), Some("b"));
    drop(gb);
    assert!(machine::percpu().held.is_empty());
}

#[test]
fn modes_disable_what_they_say() {
    let irq: SpinLock<(), IrqOff> = SpinLock::new(Rank::Leaf, "irq", ());
    let bh: SpinLock<(), BhOff> = SpinLock::new(Rank::Leaf, "bh", ());
    let pre: SpinLock<(), PreemptOff> = SpinLock::new(Rank::Leaf, "pre", ());
    {
        let _g = irq.lock();
        assert!(machine::irqs_masked());
    }
    assert!(!machine::irqs_masked());
    {
        let _g = bh.lock();
        assert!(sync::in_softirq() && !sync::serving_softirq());
    }
    {
        let _g = pre.lock();
        assert_eq!(sync::preempt_word(), 1);
    }
    assert_eq!(sync::preempt_word(), 0);
}
