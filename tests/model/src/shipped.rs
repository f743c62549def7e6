//! The executive's own files, compiled over this crate's atomics, seam and lock word.

#[path = "../../../kernel/sync/src/handshake/mod.rs"]
pub mod handshake;
#[path = "../../../kernel/sync/src/spin_lock.rs"]
pub mod spin_lock;
