//! QEMU's `virt` machine: a wiring diagram.
//!
//! The board reads the device tree, tells the architecture layer where things are, gives the
//! executive its memory and cores, and connects devices. One image serves every variant of the
//! machine: GICv2 and GICv3, entry at EL1 and EL2, any number of cores up to 64, any memory size.
//!
//! The library is shared by the service image (`main.rs`) and the on-target tests, which call
//! [`start`] with another first function. It owns the image's only global state.
//!
//! QEMU: `-M virt,gic-version=3 -cpu cortex-a57 -global virtio-mmio.force-legacy=false
//! -device virtio-net-device,netdev=n0 -device virtio-rng-device -kernel IMAGE`.
#![no_std]

extern crate alloc;

mod device_tree;
mod devices;
mod memory;

use core::fmt::Write;
use core::panic::PanicInfo;

use arch_aarch64::{clock, console, cpu, entropy, fault, gic, image, mmu, power, psci};
use drivers::mmio::Registers;
use drivers::pl011::{self, Pl011};
use kernel::mem::KernelHeap;
use kernel::thread::ThreadCx;
use kernel::{BootInfo, Kernel, MemoryRange};
use machine::Instant;
use spin::Once;

use device_tree::Machine;

static KERNEL: Kernel = Kernel::new();

#[global_allocator]
static HEAP: KernelHeap = KernelHeap;

static UART: Once<Pl011> = Once::new();
static MACHINE: Once<Machine> = Once::new();
static MEMORY: Once<memory::Plan> = Once::new();
static INIT: Once<fn(&ThreadCx<'_>)> = Once::new();
static ENTERED: Once<Instant> = Once::new();

/// Default bytes of a thread's stack: twice what `cargo xtask bench mem` finds to be used of one, and room to the next
/// power of two.
const STACK_BYTES: usize = 32 * 1024;
/// Free memory without which nothing can be served.
const LEAST_MEMORY: usize = 2 << 20;
/// The same for each core: stacks of its idle thread, interrupts, ksoftirqd and first workers.
const LEAST_PER_CORE: usize = 256 * 1024;
/// Exit code of a machine this image does not support.
const UNSUPPORTED: u8 = 3;

/// Boots the machine whose device tree is at `dtb` (0: not told) and runs `init` as the first
/// thread, with devices connected. Called once, by the image's `rt_main`.
pub fn start(dtb: usize, init: fn(&ThreadCx<'_>)) -> ! {
    KERNEL.early();
    let tree = device_tree::find(dtb).unwrap_or_else(|| {
        attach_console(image::early_uart());
        unsupported("no device tree: boot the flat image, or load the ELF where QEMU keeps one")
    });
    let machine = MACHINE.call_once(|| Machine::read(&tree));
    attach_console(machine.uart.unwrap_or_else(image::early_uart));
    image::find_symbols();
    clock::init();
    ENTERED.call_once(machine::now);
    if argument(machine.bootargs, "exit") == Some("semihosting") {
        power::allow_semihosting();
    }
    match machine.conduit {
        Some(conduit) => psci::init(conduit),
        None => unsupported("no PSCI firmware interface"),
    }
    if machine.mpidrs.is_empty() {
        unsupported("the device tree names no core");
    }
    let Some(controller) = machine.gic else {
        unsupported("no interrupt controller this image knows (GICv2 or GICv3)");
    };
    if machine.mpidrs.len() > controller.max_cores() {
        unsupported("more cores than its interrupt controller serves");
    }
    for seed in &machine.seeds {
        entropy::add(seed);
    }
    if !machine.tree_is_in_memory() {
        unsupported("the device tree lies outside the memory it describes");
    }
    let Some(plan) = memory::Plan::new(machine) else {
        unsupported("no memory, or it lies beyond 512 GiB");
    };
    if plan.free_bytes() < LEAST_MEMORY + machine.mpidrs.len() * LEAST_PER_CORE {
        unsupported("too little memory for its cores");
    }
    let plan = MEMORY.call_once(|| plan);
    mmu::init(&machine.ram, &machine.devices, plan.tables);
    fault::enable_serror();
    cpu::set_mpidrs(&machine.mpidrs);
    if gic::init(controller, machine.mpidrs.len()).is_err() {
        unsupported("redistributor layout of the GICv3");
    }
    INIT.call_once(|| init);
    let info = BootInfo {
        board: "qemu-virt",
        mpidrs: &machine.mpidrs,
        topology: machine.topology,
        memory: &plan.free,
        bootargs: machine.bootargs,
        stack_bytes: STACK_BYTES,
        boot_stack: MemoryRange {
            start: image::boot_stack_low(),
            end: image::boot_stack_high(),
        },
        init: first_thread,
        image_bytes: image::bytes(),
        table_bytes: plan.tables.end - plan.tables.start,
        symbolize: image::symbolize,
    };
    boot(info)
}

#[expect(unsafe_code, reason = "gives the machine's memory to the executive")]
fn boot(info: BootInfo) -> ! {
    // SAFETY: the plan's free ranges exclude image, device tree, reservations and tables; once.
    unsafe { KERNEL.boot(info) }
}

/// When the image could first read the clock, some thousand instructions after its entry.
pub fn entered() -> Instant {
    ENTERED.get().copied().unwrap_or(Instant::ZERO)
}

/// Body of the first thread: devices, then the image's own function.
fn first_thread(cx: &ThreadCx<'_>) {
    if let Some(machine) = MACHINE.get() {
        devices::connect(machine);
    }
    if let Some(init) = INIT.get() {
        init(cx);
    }
}

/// Makes the PL011 at `base` the console.
#[expect(unsafe_code, reason = "claims the UART")]
fn attach_console(base: usize) {
    // SAFETY: the UART of the device tree (or of the linker script's board description), in the
    // device half of the early and the final map; claimed once.
    let registers = unsafe { Registers::new(base, pl011::BYTES) };
    UART.call_once(|| Pl011::new(registers));
    console::register(console::Console {
        write: |bytes| {
            if let Some(uart) = UART.get() {
                uart.write(bytes);
            }
        },
        read: || UART.get().and_then(Pl011::read),
    });
}

/// Lets the console raise its interrupt when something is typed.
fn allow_input() {
    if let Some(uart) = UART.get() {
        uart.set_receive_interrupt(true);
    }
}

/// Says what is missing and ends the machine.
fn unsupported(what: &str) -> ! {
    let _ = writeln!(console::Writer, "roundtable: unsupported machine: {what}");
    machine::shutdown(UNSUPPORTED)
}

/// Value of the boot argument `key`.
fn argument<'a>(bootargs: &'a str, key: &str) -> Option<&'a str> {
    bootargs
        .split_ascii_whitespace()
        .filter_map(|word| word.split_once('='))
        .find(|(k, _)| *k == key)
        .map(|(_, value)| value)
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    kernel::panic::on_panic(info)
}
