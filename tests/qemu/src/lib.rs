//! Host side of the tests that run in QEMU.
//!
//! Two test targets use it. `metal` runs the tests inside the image `metal-tests` on several
//! machines; `net` boots the service and talks to it from outside. Both boot through [`xtask`], so
//! they test what `cargo run` starts.
//!
//! A boot costs half a second, so one boot runs many tests; yet each test is an entry of its own
//! for `cargo test` and nextest. [`catalogue`] finds the tests without a boot, [`plan`] decides
//! which machine runs which, [`boot`] runs them and tells one test's output from the next, and
//! [`board`] hands each entry its result.
//!
//! For `net`, [`service`] keeps one guest per mode alive while entries need it; [`http`] is a client
//! that checks what it reads, [`frames`] a peer that speaks Ethernet.

pub mod board;
pub mod boot;
pub mod catalogue;
pub mod frames;
pub mod http;
pub mod on_target;
pub mod perfetto;
pub mod plan;
pub mod service;
