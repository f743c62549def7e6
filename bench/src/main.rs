//! The image of benchmarks: what each operation of the public API costs, in instructions.
//!
//! It boots like the service, with another first thread: [`kit::run`] runs the groups or rows that
//! the boot argument `bench=` selects, on core 0, and powers the machine off. `cargo xtask bench`
//! builds and boots it and makes tables of what it prints.
#![no_std]
#![no_main]

extern crate alloc;

mod batch;
mod cold;
mod counters;
mod cross;
mod footprint;
mod growth;
mod http;
mod kit;
mod mem;
mod sched;
mod sync_rows;
mod tracing;
mod wait;
mod work;

/// First Rust function of the image, called by the architecture layer.
#[expect(unsafe_code, reason = "link-time symbol the architecture layer calls")]
#[unsafe(no_mangle)]
fn rt_main(dtb: usize) -> ! {
    qemu_virt::start(dtb, kit::run)
}
