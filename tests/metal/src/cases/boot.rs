//! 00: the machine is up as the device tree described it.

use core::sync::atomic::{AtomicU64, Ordering};

use alloc::vec::Vec;
use kernel::cpu::{CpuMask, online, this_cpu};
use kernel::thread::{Builder, ThreadCx, ThreadRef};
use machine::CpuId;

use crate::ktest;
use crate::registry::Needs;

ktest!("00_every_core_is_online", every_core_is_online);
ktest!("01_every_core_runs_threads", every_core_runs_threads);
ktest!("02_addresses_have_names", addresses_have_names);
ktest!(
    "03_panic_is_reported",
    panic_is_reported,
    Needs::new().dies("kernel panic: the last words")
);
ktest!(
    "04_null_write_is_reported",
    null_write_is_reported,
    Needs::new().dies("kernel panic: data abort, translation fault")
);

fn every_core_is_online(_: &ThreadCx<'_>) {
    let info = kernel::kernel().info();
    assert_eq!(online(), CpuMask::first_n(info.mpidrs.len()));
    let mut ids: Vec<u64> = info.mpidrs.into();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), info.mpidrs.len(), "two cores with one MPIDR");
}

fn every_core_runs_threads(cx: &ThreadCx<'_>) {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    let visit = |id: CpuId| -> ThreadRef {
        let body = move |_: &ThreadCx<'_>| {
            let irq = machine::irq_save();
            assert_eq!(this_cpu().id(), id, "affinity was ignored");
            machine::irq_restore(irq);
            SEEN.fetch_or(1 << id.index(), Ordering::Relaxed);
        };
        Builder::new("visitor")
            .affinity(CpuMask::single(id))
            .spawn(body)
            .expect("a thread")
    };
    let visitors: Vec<_> = online().iter().map(visit).collect();
    visitors.iter().for_each(|v| v.join(cx));
    assert_eq!(SEEN.load(Ordering::Relaxed), online().0);
}

fn addresses_have_names(cx: &ThreadCx<'_>) {
    let body: fn(&ThreadCx<'_>) = addresses_have_names;
    let address = body as *const () as usize;
    let (name, offset) = (kernel::kernel().info().symbolize)(address).expect("a symbol table");
    assert!(
        name.ends_with("addresses_have_names") && offset == 0,
        "{name}+{offset:#x}"
    );
    let _ = cx;
}

fn panic_is_reported(_: &ThreadCx<'_>) {
    panic!("the last words");
}

#[expect(unsafe_code, reason = "the test is about what a stray write does")]
fn null_write_is_reported(_: &ThreadCx<'_>) {
    let stray = core::ptr::without_provenance_mut::<u32>(core::hint::black_box(8));
    // SAFETY: not sound, on purpose: the page at zero is unmapped, so this faults.
    unsafe { stray.write_volatile(1) };
}
