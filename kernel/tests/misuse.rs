//! Misuse that does not compile, and what the compiler says about it.
//!
//! Each file under `misuse/` is a program with one mistake; beside it is the message for the pinned
//! compiler. After a change of either, `TRYBUILD=overwrite cargo test -p kernel --test misuse` writes
//! the messages anew: read them, they are what a user sees.

/// The same calls without a mistake; that they compile is the test.
#[path = "misuse/right.rs"]
mod right;

#[test]
fn misuse_does_not_compile() {
    let cases = trybuild::TestCases::new();
    for mistake in [
        "sleep_in_bh",
        "flush_from_bh",
        "flush_itself",
        "requeue_after_the_run",
        "limit_on_bh",
        "limit_on_ordered",
        "attributes_on_percpu",
        "free_while_queued",
        "percpu_for_unbound",
        "bh_item_for_threads",
        "delayed_bh_for_threads",
        "delayed_flush_itself",
        "delayed_freed_while_armed",
        "group_of_locals",
        "scope_in_bh",
        "scope_kept",
        "scope_local_borrow",
        "scope_not_send",
        "scope_task_shared",
    ] {
        cases.compile_fail(format!("tests/misuse/{mistake}.rs"));
    }
}
