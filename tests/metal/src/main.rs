//! The image of on-target tests.
//!
//! It boots like the service, with another first thread: [`runner`] runs the tests the boot
//! argument `tests=` selects, each in a fresh thread, and powers the machine off. Each test is a
//! function in [`cases`] with a descriptor ([`registry`]) that `tests/qemu` reads from the ELF.
//!
//! A test fails by panicking. That ends the machine, because a panic outside a work item is fatal;
//! the host notices, reports it with the panic's text, and boots again for the tests that are left.
#![no_std]
#![no_main]

extern crate alloc;

mod cases;
mod experiments;
mod registry;
mod runner;

/// First Rust function of the image, called by the architecture layer.
#[expect(unsafe_code, reason = "link-time symbol the architecture layer calls")]
#[unsafe(no_mangle)]
fn rt_main(dtb: usize) -> ! {
    qemu_virt::start(dtb, runner::run)
}
