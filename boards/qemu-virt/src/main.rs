//! The service image: Roundtable on QEMU's `virt` machine.
#![no_std]
#![no_main]

use kernel::thread::ThreadCx;

/// First Rust function of the image, called by the architecture layer.
#[expect(unsafe_code, reason = "link-time symbol the architecture layer calls")]
#[unsafe(no_mangle)]
fn rt_main(dtb: usize) -> ! {
    qemu_virt::start(dtb, init)
}

/// The first thread.
fn init(_cx: &ThreadCx<'_>) {
    let k = kernel::kernel();
    let memory = kernel::mem::stats();
    kernel::println!(
        "Roundtable {} on {}: {} of {} cores online, {} MiB memory",
        env!("CARGO_PKG_VERSION"),
        k.info().board,
        kernel::cpu::online().iter().count(),
        k.info().mpidrs.len(),
        memory.total_bytes() >> 20,
    );
}
