//! The tests, one file per subject. Numbers give the order; a test trusts what lower ones checked.

mod boot;
mod cores;
mod hotplug;
mod litmus;
mod lockups;
mod memory;
mod misuse;
mod service;
mod service_example;
mod service_hotplug;
mod service_panic;
mod service_within;
mod sleeping;
mod switching;
mod time;
mod tracing;
mod work;
mod work_backends;
mod work_bh;
mod work_control;
mod work_examples;
mod work_hogs;
mod work_kit;
mod work_latency;
mod work_lending;
mod work_panic;
mod work_pods;
mod work_pools;
mod work_preempted;
mod work_rescue;
mod work_waiting;
mod work_watched;

/// Keeps the core busy for about a thousand instructions. Not [`machine::relax`]: under `-icount`
/// each `yield` leaves QEMU's translated code, which makes a burning thread crawl.
fn compute() {
    for i in 0..500_u32 {
        core::hint::black_box(i);
    }
}
