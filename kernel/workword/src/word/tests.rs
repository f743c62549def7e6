use super::*;

const P: Place = Place::new(7);
const Q: Place = Place::new(9);

#[test]
fn b4_b5_one_claim_then_one_take() {
    let w = WorkWord::new();
    assert_eq!(w.claim(), Claim::Claimed(Place::NONE));
    w.publish(P, false);
    assert_eq!(w.claim(), Claim::Pending(2));
    assert_eq!(w.join(), Some(3));
    assert_eq!(w.take().submissions(), 3);
    assert_eq!(w.join(), None);
    assert!(!w.state().pending);
    assert_eq!(w.claim(), Claim::Claimed(P));
}

#[test]
fn c5_claim_at_knows_the_last_place() {
    let w = WorkWord::new();
    assert_eq!(w.claim_at(P, false), Claim::Claimed(Place::NONE));
    assert!(w.state().queued && w.state().place == P);
    assert_eq!(w.take().submissions(), 1);
    assert_eq!(w.claim_at(Q, true), Claim::Elsewhere(P));
    assert!(!w.state().pending);
    assert_eq!(w.claim_at(P, true), Claim::Claimed(P));
    assert!(w.state().bh);
}

#[test]
fn b9_depth_counts_and_saturates() {
    let w = WorkWord::new();
    for _ in 0..3 {
        assert!(matches!(w.seize(), Seize::Idle(_)));
        assert_eq!(w.release_disabled(), (0, true));
    }
    assert_eq!(w.claim(), Claim::Disabled);
    assert_eq!(w.claim_at(P, false), Claim::Disabled);
    assert_eq!(w.enable(), Enable::Still(2));
    assert_eq!(w.enable(), Enable::Still(1));
    assert_eq!(w.claim(), Claim::Disabled);
    assert_eq!(w.enable(), Enable::Enabled);
    assert_eq!(w.enable(), Enable::Underflow);
    for n in 0..=u32::from(u16::MAX) {
        assert!(matches!(w.seize(), Seize::Idle(_)));
        assert_eq!(w.release_disabled(), (0, n < u32::from(u16::MAX)));
    }
    assert_eq!(w.state().depth, u16::MAX);
}

#[test]
fn b9_disabled_item_in_a_cancellers_hands_refuses() {
    let w = WorkWord::new();
    assert!(matches!(w.seize(), Seize::Idle(_)));
    assert!(w.release_disabled().1);
    // Somebody disables it once more.
    assert!(matches!(w.seize(), Seize::Idle(_)));
    assert_eq!(w.join(), None);
    assert_eq!(w.claim(), Claim::Disabled);
    assert_eq!(w.claim_at(P, false), Claim::Disabled);
    assert!(w.release_disabled().1);
    assert_eq!(w.state().depth, 2);
}

#[test]
fn j7_seize_names_the_lock_to_take() {
    let w = WorkWord::new();
    assert_eq!(w.claim(), Claim::Claimed(Place::NONE));
    assert_eq!(w.seize(), Seize::Busy);
    w.publish(Q, false);
    assert_eq!(w.seize(), Seize::Queued(Q));
    w.unqueue();
    assert_eq!(w.seize(), Seize::Busy);
    w.release();
    assert!(matches!(w.seize(), Seize::Idle(s) if s.place == Q && s.submissions == 0));
}

#[test]
fn a_poisoned_item_refuses_until_cleared() {
    let w = WorkWord::new();
    w.poison();
    assert_eq!(w.claim(), Claim::Poisoned);
    w.clear_poison();
    assert_eq!(w.claim(), Claim::Claimed(Place::NONE));
}

/// The usual case of a submission does what `claim_at` does, or nothing.
#[test]
fn b3_what_was_seen_is_claimed_if_it_is_still_so() {
    let w = WorkWord::new();
    let mark = Mark::at(P, false);
    let fresh = w.look();
    assert!(!fresh.is_pending());
    assert!(!w.claim_marked(mark), "it never ran there");
    assert!(matches!(w.claim_at(P, false), Claim::Claimed(_)));
    assert!(w.look().is_pending());
    assert!(!w.claim_marked(mark), "it is pending");
    assert_eq!(w.join_seen(w.look()), Some(2));
    assert_eq!(w.join_seen(fresh), None, "what was idle is claimed");
    assert_eq!(w.take().submissions(), 2);
    let seen = w.look();
    assert!(!w.claim_marked(Mark::at(Q, false)), "another place");
    assert_eq!(w.look(), seen, "nothing changed");
    assert!(!w.is_marked(mark), "it is idle");
    assert!(w.claim_marked(mark));
    assert!(w.is_marked(mark) && !w.is_marked(Mark::at(Q, false)));
    assert!(w.look().is_queued() && w.look().place() == P);
    let s = w.state();
    assert!(s.pending && s.queued && !s.bh && s.place == P && s.submissions == 1);
    assert!(!w.claim_marked(mark), "it was claimed meanwhile");
    assert_eq!(w.join(), Some(2));
    assert!(!w.is_marked(mark), "more than one submission");
    w.take();
    assert!(matches!(w.seize(), Seize::Idle(_)));
    assert!(w.release_disabled().1);
    assert!(!w.look().is_pending());
    assert!(!w.claim_marked(mark), "it is disabled (B9)");
}

#[test]
fn b3_a_bh_pools_mark_says_so() {
    let w = WorkWord::new();
    assert!(matches!(w.claim_at(P, true), Claim::Claimed(_)));
    w.take();
    assert!(w.claim_marked(Mark::at(P, true)));
    assert!(w.state().bh);
}

#[test]
fn b3_an_idle_item_is_owned_from_what_was_seen() {
    let w = WorkWord::new();
    let seen = w.look();
    assert!(w.claim_idle(seen, false));
    let s = w.state();
    assert!(s.pending && !s.queued && s.submissions == 1 && !s.place.is_some());
    assert!(!w.claim_idle(seen, false), "it was claimed meanwhile");
    assert!(!w.claim_idle(w.look(), false), "it is pending");
    assert_eq!(w.state(), s, "nothing changed");
    w.publish(P, true);
    w.take();
    assert!(w.claim_idle(w.look(), false));
    let s = w.state();
    assert!(s.pending && !s.queued && s.bh && s.place == P && s.submissions == 1);
    assert_eq!(w.release(), 1);
    assert!(matches!(w.seize(), Seize::Idle(_)));
    assert!(w.release_disabled().1);
    assert!(!w.claim_idle(w.look(), false), "it is disabled (B9)");
    assert_eq!(w.enable(), Enable::Enabled);
    w.poison();
    assert!(!w.claim_idle(w.look(), false), "its handler panicked");
}

#[test]
fn b3_whether_a_submission_holds_a_count() {
    let plain = Mark::at(P, false);
    for held in [false, true] {
        // Who claims says so afterwards, or at once; whoever ends the pending state is told.
        let w = WorkWord::new();
        assert_eq!(w.claim_at(P, false), Claim::Claimed(Place::NONE));
        assert!(!w.state().held);
        w.set_held(true);
        w.set_held(held);
        assert!(w.is_marked(plain));
        assert_eq!(w.take().is_held(), held);
        assert!(!w.state().held, "the run has it");

        assert!(w.claim_marked(plain.held(held)));
        assert_eq!(w.state().held, held);
        assert!(w.is_marked(plain));
        // A canceller gets it together with the item.
        assert_eq!(w.seize(), Seize::Queued(P));
        w.unqueue();
        assert_eq!(w.state().held, held);
        assert_eq!(w.release(), 1);
        assert!(!w.state().held);

        assert!(w.claim_idle(w.look(), held));
        assert_eq!(w.state().held, held);
        w.publish(P, false);
        assert_eq!(w.state().held, held);
        assert_eq!(w.join(), Some(2));
        w.unqueue();
        assert!(w.release_disabled().1);
        assert!(!w.state().held);
        assert_eq!(w.enable(), Enable::Enabled);
    }
}
