//! The service image: Roundtable on QEMU's `virt` machine.
#![no_std]
#![no_main]

use kernel::thread::{ThreadCx, park};

/// First Rust function of the image, called by the architecture layer.
#[expect(unsafe_code, reason = "link-time symbol the architecture layer calls")]
#[unsafe(no_mangle)]
fn rt_main(dtb: usize) -> ! {
    qemu_virt::start(dtb, init)
}

/// The first thread: starts the services and keeps them.
fn init(cx: &ThreadCx<'_>) {
    let args = services::boot_args();
    services::boot::watch(&args);
    let running = match services::start(cx, &args) {
        Ok(services) => Some(services),
        Err(e) => {
            kernel::log!("no services: {e}");
            None
        }
    };
    if let Err(e) = services::monitor::start_console() {
        kernel::log!("no monitor: {e:?}");
    }
    banner(&args);
    loop {
        park(cx);
        // Nobody unparks this thread; the services live as long as the machine.
        let _ = &running;
    }
}

/// Says what came up, in real figures.
fn banner(args: &services::BootArgs) {
    let k = kernel::kernel();
    let memory = kernel::mem::stats();
    let up = machine::now().since(qemu_virt::entered());
    kernel::println!(
        "Roundtable {} on {}: {} of {} cores, {} KiB of {} MiB in use, image {} KiB",
        env!("CARGO_PKG_VERSION"),
        k.info().board,
        kernel::cpu::online().count(),
        k.info().mpidrs.len(),
        memory.used_bytes() >> 10,
        memory.total_bytes() >> 20,
        k.info().image_bytes >> 10,
    );
    kernel::println!(
        "roundtable: up {}.{:03} ms after entry, http.mode={}",
        up.as_micros() / 1_000,
        up.as_micros() % 1_000,
        args.mode,
    );
}
