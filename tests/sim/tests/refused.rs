//! Programs that must not compile: what the types promise (B10, F2, I11, K1).
//!
//! Each has beside it what the compiler says, so that it is refused for the reason meant. After a
//! change of wording `TRYBUILD=overwrite cargo test -p sim-tests --test refused` writes that anew.

/// The compiler refuses `tests/refused/NAME.rs`, in the words of `NAME.stderr`.
fn refused(name: &str) {
    let cases = trybuild::TestCases::new();
    cases.compile_fail(format!("tests/refused/{name}.rs"));
}

#[test]
fn b10_an_item_is_not_set_up_again_while_it_is_shared() {
    refused("b10_set_up_again");
}

#[test]
fn b10_a_static_item_is_not_assigned() {
    refused("b10_assigned");
}

#[test]
fn f2_a_queue_is_not_per_core_and_unbound() {
    refused("f2_both_kinds");
}

#[test]
fn f2_an_unbound_queue_is_not_cpu_intensive() {
    refused("f2_unbound_cpu_intensive");
}

#[test]
fn i11_a_bh_item_does_not_flush_an_item() {
    refused("i11_flush_in_bh");
}

#[test]
fn i11_a_bh_item_does_not_wait_for_a_threads_item() {
    refused("i11_cancel_sync_bh_of_a_thread_item");
}

#[test]
fn k1_a_bh_queue_has_no_limit() {
    refused("k1_limit");
}

#[test]
fn k1_a_bh_queue_has_no_rescuer() {
    refused("k1_rescuer");
}

#[test]
fn k1_k2_a_bh_item_does_not_sleep() {
    refused("k1_sleep");
}
