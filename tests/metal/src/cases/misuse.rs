//! What must not happen is caught, with names. Each of these ends the machine.

use alloc::sync::Arc;
use kernel::cpu::{CpuMask, online};
use kernel::mutex::Mutex;
use kernel::softirq::BhCx;
use kernel::thread::{self, Builder, ThreadCx};
use kernel::wq::{self, Run, Softirq, Work};
use machine::{CpuId, Duration};
use sync::{PreemptOff, Rank, SpinLock};

use crate::ktest;
use crate::registry::Needs;

ktest!(
    "60_rank_inversion_names_both",
    rank_inversion,
    Needs::new().dies("taking \"the outer one\" (rank 40) while holding \"the inner one\"")
);
ktest!(
    "61_data_is_not_executable",
    data_is_not_executable,
    Needs::new().dies("kernel panic: instruction abort, permission fault")
);

ktest!(
    "62_fault_inside_the_report_is_reported",
    fault_inside_the_report,
    Needs::new().dies("FAULT INSIDE THE FAULT REPORT: data abort")
);

ktest!(
    "63_sleep_with_a_spin_lock_names_both",
    sleep_with_a_spin_lock,
    Needs::new().dies("thread::sleep while holding spin lock \"the tables\", in")
);
ktest!(
    "64_wait_with_a_spin_lock_names_both",
    wait_with_a_spin_lock,
    Needs::new().dies("Mutex::lock while holding spin lock \"inner\", in thread")
);
ktest!(
    "65_fault_in_a_work_item_names_it",
    fault_in_a_work_item,
    Needs::new().dies("kernel panic: data abort, translation fault")
);
ktest!(
    "66_panic_in_an_interrupt_is_fatal",
    panic_in_an_interrupt,
    Needs::new()
        .cpus(2)
        .dies("fatal because it happened in an interrupt handler")
);
ktest!(
    "67_panic_in_bh_is_fatal",
    panic_in_bh,
    Needs::new().dies("fatal because it happened in BH context")
);
ktest!(
    "68_panic_stops_the_other_cores",
    panic_beside_a_talker,
    Needs::new().cpus(2).dies("on purpose")
);

/// Two locks in the wrong order name both.
fn rank_inversion(_: &ThreadCx<'_>) {
    let outer: SpinLock<()> = SpinLock::new(Rank::Pool, "the outer one", ());
    let inner: SpinLock<()> = SpinLock::new(Rank::Leaf, "the inner one", ());
    let _i = inner.lock();
    let _o = outer.lock();
}

/// Data is not executable.
#[expect(unsafe_code, reason = "provokes the fault it tests")]
fn data_is_not_executable(_: &ThreadCx<'_>) {
    // `ret`
    static mut CODE: u32 = 0xd65f_03c0;
    let p = &raw mut CODE;
    // SAFETY: none: the machine must stop this.
    let f: extern "C" fn() = unsafe { core::mem::transmute(p) };
    f();
}

/// A fault whose report cannot read the running thread either still says what it knows, and ends.
#[expect(unsafe_code, reason = "provokes the fault it tests")]
fn fault_inside_the_report(_: &ThreadCx<'_>) {
    // Page zero is not mapped.
    let nowhere = core::ptr::without_provenance_mut::<u8>(16);
    let _masked = machine::irq_save();
    // SAFETY: none: the report must find a thread header it cannot read.
    unsafe { machine::set_current(nowhere.cast()) };
    // SAFETY: none: the machine must stop this.
    unsafe { nowhere.write_volatile(1) };
}

/// A sleep under a spin lock names the function and the lock.
fn sleep_with_a_spin_lock(cx: &ThreadCx<'_>) {
    let lock: SpinLock<(), PreemptOff> = SpinLock::new(Rank::Service, "the tables", ());
    let _held = lock.lock();
    thread::sleep(cx, Duration::from_millis(1));
}

/// Of two held locks the innermost is named, and a mutex that is free is no excuse.
fn wait_with_a_spin_lock(cx: &ThreadCx<'_>) {
    let outer: SpinLock<()> = SpinLock::new(Rank::Service, "outer", ());
    let inner: SpinLock<()> = SpinLock::new(Rank::Leaf, "inner", ());
    let free = Mutex::new(());
    let _o = outer.lock();
    let _i = inner.lock();
    drop(free.lock(cx));
}

/// The value of an item whose name the report must give.
struct Stray(usize);

/// A fault two calls deep in a work item. What the report must say is checked on the host, which reads
/// it: place, registers in words, function names, the last events of each core, of which there are enough.
fn fault_in_a_work_item(cx: &ThreadCx<'_>) {
    let nothing = Arc::new(<Work<()>>::new((), |_: &ThreadCx<'_>, _| {}));
    for id in online().iter().flat_map(|id| [id; 16]) {
        assert!(wq::percpu().queue_on(id, &nothing).is_pending());
        nothing.flush(cx).expect("no panic");
    }
    // Page zero is not mapped.
    let item = Arc::new(<Work<Stray>>::new(Stray(0x128), stray_handler));
    assert!(wq::percpu().queue(&item).is_pending());
    let _ = item.flush(cx);
}

#[inline(never)]
fn stray_handler(_: &ThreadCx<'_>, run: &Run<'_, Stray>) {
    stray_write(run.0);
    core::hint::black_box(run.submissions());
}

#[inline(never)]
#[expect(unsafe_code, reason = "provokes the fault it tests")]
fn stray_write(address: usize) {
    let nowhere = core::ptr::without_provenance_mut::<u64>(core::hint::black_box(address));
    // SAFETY: none: the machine must stop this.
    unsafe { nowhere.write_volatile(1) };
    core::hint::black_box(nowhere);
}

/// What another core calls here is called in its interrupt handler.
fn panic_in_an_interrupt(cx: &ThreadCx<'_>) {
    let here = kernel::cpu::this_cpu().id();
    let other = online().iter().find(|&id| id != here).expect("two cores");
    kernel::ipi::call_on(other, |_| panic!("on purpose"), 0).expect("an empty mailbox");
    thread::sleep(cx, Duration::from_secs(5));
}

/// No worker is there to die for a BH item.
fn panic_in_bh(cx: &ThreadCx<'_>) {
    static ITEM: Work<(), Softirq> = Work::new((), |_: &BhCx<'_>, _| panic!("on purpose"));
    assert!(wq::bh().queue(&ITEM).is_pending());
    thread::sleep(cx, Duration::from_secs(5));
}

/// A core that talks without end is silent when another one panics. What it said is checked on the
/// host, which reads it.
fn panic_beside_a_talker(cx: &ThreadCx<'_>) {
    let talk = |_: &ThreadCx<'_>| {
        loop {
            kernel::println!("STILL HERE");
        }
    };
    let last = online().iter().last().expect("a core");
    let talker = Builder::new("talker").affinity(CpuMask::single(last));
    let _talker = talker.spawn(talk).expect("memory");
    let body = |cx: &ThreadCx<'_>| {
        thread::sleep(cx, Duration::from_millis(20));
        panic!("on purpose");
    };
    let first = Builder::new("panics").affinity(CpuMask::single(CpuId::BOOT));
    first.spawn(body).expect("memory").join(cx);
}
