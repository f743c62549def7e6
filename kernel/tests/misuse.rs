//! Misuse that does not compile, and what the compiler says about it: what the types promise (B8, B10,
//! D8, F2, G1, I11, K1).
//!
//! Each file under `misuse/` is a program with one mistake; beside it is the message for the pinned
//! compiler, so that it is refused for the reason meant. After a change of either, `TRYBUILD=overwrite
//! cargo test -p kernel --test misuse` writes the messages anew: read them, they are what a user sees.

/// The same calls without a mistake; that they compile is the test.
#[path = "misuse/right.rs"]
mod right;

/// The compiler refuses `tests/misuse/NAME.rs`, in the words of `NAME.stderr`.
fn refused(names: &[&str]) {
    let cases = trybuild::TestCases::new();
    for name in names {
        cases.compile_fail(format!("tests/misuse/{name}.rs"));
    }
}

#[test]
fn b8_an_item_that_may_be_gone_is_not_queued() {
    refused(&["free_while_queued", "delayed_freed_while_armed"]);
}

#[test]
fn b10_an_item_that_may_be_queued_is_not_set_up_again() {
    refused(&["set_up_again", "assign_a_static"]);
}

#[test]
fn f2_a_queue_is_per_core_or_unbound() {
    refused(&[
        "percpu_for_unbound",
        "percpu_as_unbound",
        "cpu_intensive_unbound",
        "preemption_aware_unbound",
    ]);
}

#[test]
fn d8_g1_only_queues_that_can_have_them_have_limits_and_attributes() {
    refused(&["limit_on_ordered", "attributes_on_percpu"]);
}

#[test]
fn i11_a_bh_item_does_not_wait_for_an_item_of_threads() {
    refused(&[
        "flush_from_bh",
        "flush_own_run_from_bh",
        "cancel_thread_item_from_bh",
    ]);
}

#[test]
fn k1_k2_a_bh_item_does_not_sleep_and_its_queue_has_no_options() {
    refused(&[
        "sleep_in_bh",
        "limit_on_bh",
        "rescuer_on_bh",
        "bh_item_for_threads",
        "delayed_bh_for_threads",
    ]);
}

#[test]
fn the_handle_of_a_run_neither_waits_for_it_nor_outlives_it() {
    refused(&[
        "flush_itself",
        "delayed_flush_itself",
        "requeue_after_the_run",
    ]);
}

#[test]
fn what_a_scope_or_a_group_is_given_lives_long_enough() {
    refused(&[
        "group_of_locals",
        "scope_in_bh",
        "scope_kept",
        "scope_local_borrow",
        "scope_not_send",
        "scope_task_shared",
    ]);
}
