//! Who reschedules and who runs softirqs when a section ends; rows S9, S13.

#[path = "support/world.rs"]
mod world;

use machine::PreemptWord;
use sync::{
    HardIrqGuard, IrqGuard, SoftirqGuard, bh_disable, holds_softirqs_up, in_atomic, in_hardirq,
    in_softirq, preempt_disable, preempt_word, resched_if_due, serving_softirq,
};
use world::Core;

/// (in hard interrupt, BH off, serving a softirq, sleeping is a bug)
fn context() -> (bool, bool, bool, bool) {
    (in_hardirq(), in_softirq(), serving_softirq(), in_atomic())
}

const THREAD: (bool, bool, bool, bool) = (false, false, false, false);

#[test]
fn each_section_says_which_context_it_is() {
    Core::run(|_| {
        assert_eq!(context(), THREAD);
        assert!(!holds_softirqs_up());
        {
            let _g = preempt_disable();
            assert_eq!(context(), (false, false, false, true));
            assert!(!holds_softirqs_up());
        }
        {
            let _g = bh_disable();
            assert_eq!(context(), (false, true, false, true));
            assert!(holds_softirqs_up());
        }
        {
            let _g = SoftirqGuard::new();
            assert_eq!(context(), (false, true, true, true));
            assert!(holds_softirqs_up());
        }
        {
            let _g = HardIrqGuard::new();
            assert_eq!(context(), (true, false, false, true));
            assert!(holds_softirqs_up());
        }
        {
            let _g = IrqGuard::new();
            assert_eq!(context(), (false, false, false, true));
            assert_eq!(preempt_word(), 0, "masking is the core's, not the thread's");
        }
        assert_eq!(context(), THREAD);
        assert_eq!(preempt_word(), 0);
    });
}

#[test]
fn sections_nest_and_leave_the_word_as_they_found_it() {
    Core::run(|_| {
        let a = preempt_disable();
        let b = preempt_disable();
        let c = bh_disable();
        let d = bh_disable();
        let e = SoftirqGuard::new();
        assert_eq!(e.word(), preempt_word());
        let f = HardIrqGuard::new();
        assert_ne!(e.word(), preempt_word());
        let expected = 2 * PreemptWord::PREEMPT
            + 2 * PreemptWord::BH_OFF
            + PreemptWord::SOFTIRQ_SERVING
            + PreemptWord::HARDIRQ;
        assert_eq!(preempt_word(), expected);
        drop(f);
        drop(e);
        drop(d);
        assert_eq!(
            preempt_word(),
            2 * PreemptWord::PREEMPT + PreemptWord::BH_OFF
        );
        drop(c);
        drop(b);
        assert_eq!(preempt_word(), PreemptWord::PREEMPT);
        drop(a);
        assert_eq!(preempt_word(), 0);
    });
}

#[test]
fn outermost_preempt_section_reschedules_when_due() {
    Core::run(|core| {
        drop(preempt_disable());
        assert_eq!(core.events(), [], "nothing was due");
        let outer = preempt_disable();
        let inner = preempt_disable();
        core.want_resched();
        drop(inner);
        assert_eq!(core.events(), [], "the outer section goes on");
        drop(outer);
        assert_eq!(core.events(), [("resched", 0)]);
    });
}

#[test]
fn preempt_section_leaves_the_reschedule_to_who_unmasks() {
    Core::run(|core| {
        let irq = IrqGuard::new();
        let preempt = preempt_disable();
        core.want_resched();
        drop(preempt);
        assert_eq!(core.events(), []);
        drop(irq);
        assert_eq!(core.events(), [("resched", 0)]);
    });
}

#[test]
fn only_the_masking_section_unmasks() {
    Core::run(|core| {
        let outer = IrqGuard::new();
        let inner = IrqGuard::new();
        core.want_resched();
        drop(inner);
        assert!(machine::irqs_masked());
        assert_eq!(core.events(), []);
        let preempt = preempt_disable();
        drop(outer);
        assert!(!machine::irqs_masked());
        assert_eq!(core.events(), [], "preemption is still off");
        drop(preempt);
        assert_eq!(core.events(), [("resched", 0)]);
    });
}

/// S9: softirqs run when BH comes on, with preemption off but BH on; the reschedule follows.
#[test]
fn s9_outermost_bh_section_runs_softirqs_then_reschedules() {
    Core::run(|core| {
        drop(bh_disable());
        assert_eq!(core.events(), [], "nothing was due");
        let outer = bh_disable();
        let inner = bh_disable();
        core.raise_softirq();
        core.want_resched();
        drop(inner);
        assert_eq!(core.events(), []);
        drop(outer);
        assert_eq!(
            core.events(),
            [("softirq", PreemptWord::PREEMPT), ("resched", 0)]
        );
        assert_eq!(preempt_word(), 0);
    });
}

#[test]
fn bh_section_inside_a_preempt_section_runs_softirqs_only() {
    Core::run(|core| {
        let preempt = preempt_disable();
        let bh = bh_disable();
        core.raise_softirq();
        core.want_resched();
        drop(bh);
        assert_eq!(core.events(), [("softirq", 2 * PreemptWord::PREEMPT)]);
        drop(preempt);
        assert_eq!(core.events(), [("resched", 0)]);
    });
}

#[test]
fn bh_section_in_interrupt_or_softirq_runs_nothing() {
    Core::run(|core| {
        core.raise_softirq();
        core.want_resched();
        let softirq = SoftirqGuard::new();
        drop(bh_disable());
        assert_eq!(preempt_word(), PreemptWord::SOFTIRQ_SERVING);
        drop(softirq);
        let irq = HardIrqGuard::new();
        drop(bh_disable());
        assert_eq!(preempt_word(), PreemptWord::HARDIRQ);
        drop(irq);
        assert_eq!(
            core.events(),
            [],
            "who entered the context looks on its exit"
        );
    });
}

#[test]
#[should_panic(expected = "S13")]
fn s13_bh_section_must_not_end_with_interrupts_masked() {
    Core::run(|_| {
        let bh = bh_disable();
        std::mem::forget(IrqGuard::new());
        drop(bh);
    });
}

#[test]
fn resched_if_due_waits_for_the_end_of_sections() {
    Core::run(|core| {
        resched_if_due();
        assert_eq!(core.events(), [], "not due");
        core.want_resched();
        {
            let _g = HardIrqGuard::new();
            resched_if_due();
        }
        std::mem::forget(IrqGuard::new());
        resched_if_due();
        assert_eq!(core.events(), [], "not allowed");
        machine::irq_enable();
        resched_if_due();
        assert_eq!(core.events(), [("resched", 0)]);
    });
}
