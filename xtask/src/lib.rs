//! The host tool as a library: builds images, boots them in QEMU, and checks the tree.
//!
//! `cargo run` is this tool (verb `run`), and the on-target tests in `tests/qemu` boot their guests
//! through the same code, so that what a person starts and what the tests start cannot differ. No
//! shell script, Make or Python stands beside it: a fresh clone needs cargo and nothing else.
//!
//! The rooms, in the order in which a `run` passes through them:
//!
//! 1. [`toolchain`] and [`packages`] find, or install, the bare-metal target and QEMU.
//! 2. [`image`] builds the kernel; [`symbols`] makes the table that the guest symbolises with, and `image` writes it.
//! 3. [`options`] holds what a person may ask for, [`machine`] turns it into a QEMU command line.
//! 4. [`guest`] owns the QEMU process, [`console`] what the guest said; [`ready`] asks the service.
//! 5. [`browser`] drives a headless Chromium, for tests of the live page and its pictures,
//!    and [`perfetto_ui`] what traces are looked at with, had from [`pypi`].
//! 6. [`verb`] has one file per command; [`mutants`] and [`bugs`] keep the books of two
//!    that run for long, [`conformance`] those of the rule table; [`mod@bench`] and [`profile`] read what
//!    the benchmarks tell, [`decode`] a log. [`load`] has clients for the service, [`lab`] a network for them; [`plot`],
//!    [`curve`] and [`scatter`] draw.
//!
//! Every failure is a [`Failure`]: one sentence with the way out, and the exit code fixed for its
//! kind. Nothing here may panic because of what the host lacks.

pub mod bench;
pub mod browser;
pub mod bugs;
mod chart;
pub mod conformance;
pub mod console;
pub mod curve;
pub mod decode;
pub mod failure;
pub mod guest;
pub mod image;
pub mod lab;
pub mod load;
pub mod machine;
pub mod measured;
pub mod mutants;
pub mod options;
pub mod packages;
pub mod perfetto_ui;
pub mod pftrace;
pub mod plot;
pub mod profile;
pub mod pypi;
pub mod ready;
pub mod scatter;
pub mod sources;
pub mod symbols;
pub mod tell;
pub mod toolchain;
pub mod toolchain_debian;
pub mod tree;
pub mod verb;

pub use failure::{Failure, Outcome};
