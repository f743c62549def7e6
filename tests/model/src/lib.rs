//! Model-checked concurrency: exhaustive runs of the small lock-free protocols under loom.
//!
//! The protocols are generic over their atomics, so the models run the shipped code, as ordinary
//! tests. Every model has wrong variants beside it that must be found wanting: a checker that
//! cannot see the bug proves nothing.
