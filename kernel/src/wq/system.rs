//! The first workers, and the queues that everybody may use (A4).

use core::sync::atomic::Ordering;

use workqueue::Kind as PoolKind;
use workword::Place;

use super::dedicated::{self, Backend};
use super::typed::{Bh, PerCpu, Unbound, Workqueue};
use super::{FIRST_UNBOUND, PER_CORE, each_pool, hotplug, manager, params};
use crate::cpu::{CpuLocal, online};
use crate::kernel;
use crate::thread::ThreadCx;

/// The queues everybody may use.
#[derive(Debug)]
pub(super) struct SystemQueues {
    pub(super) percpu: Workqueue<PerCpu>,
    pub(super) highpri: Workqueue<PerCpu>,
    pub(super) unbound: Workqueue<Unbound>,
    pub(super) bh: Workqueue<Bh>,
    pub(super) bh_highpri: Workqueue<Bh>,
}

/// Makes the workers and the system queues; called once at boot, when threads run and all cores
/// are up.
///
/// # Panics
///
/// Without memory for the first workers: nothing could run.
pub(crate) fn init(cx: &ThreadCx<'_>) {
    // The boot line has said what is recorded; the shares made from here on are told so.
    super::observed::changed();
    for (n, c) in kernel().cpus().iter().enumerate() {
        for (k, pool) in c.wq.pools.iter().enumerate() {
            let place = n * PER_CORE + k;
            pool.install(Place::new(place as u16), Some(c.id()));
            let pool = core::ptr::from_ref(pool).cast_mut();
            kernel().wq.bound[place].store(pool, Ordering::Release);
        }
    }
    let cores = kernel().cpus().len();
    kernel().wq.unbound.install(cores, FIRST_UNBOUND);
    let here = online();
    let missing = |c: &&CpuLocal| !here.contains(c.id());
    kernel()
        .cpus()
        .iter()
        .filter(missing)
        .for_each(hotplug::never_came);
    each_pool(|pool| {
        if pool.kind != PoolKind::Bh {
            manager::create_first(pool).expect("memory for the first workers");
        }
    });
    // What is queued on a core for that core's sake must run there: one thread will not do.
    let own = match dedicated::from_boot_line() {
        Backend::SingleThreaded => Backend::MultiThreaded,
        other => other,
    };
    let queues = "memory for the system queues";
    kernel().wq.registry.system.call_once(|| SystemQueues {
        percpu: Workqueue::builder("events")
            .backend(own)
            .sysfs()
            .build()
            .expect(queues),
        highpri: Workqueue::builder("events_highpri")
            .backend(own)
            .highpri()
            .build()
            .expect(queues),
        unbound: Workqueue::builder("events_unbound")
            .sysfs()
            .build()
            .expect(queues),
        bh: Workqueue::builder("events_bh").build().expect(queues),
        bh_highpri: Workqueue::builder("events_bh_highpri")
            .highpri()
            .build()
            .expect(queues),
    });
    params::from_boot_line(cx);
}

fn system() -> &'static SystemQueues {
    kernel()
        .wq
        .registry
        .system
        .get()
        .expect("workqueues exist from the first thread on")
}

/// The default queue: items run on the core that queues them.
#[must_use]
pub fn percpu() -> &'static Workqueue<PerCpu> {
    &system().percpu
}

/// As [`percpu`], on the workers of nice -20.
#[must_use]
pub fn highpri() -> &'static Workqueue<PerCpu> {
    &system().highpri
}

/// For items that run long or on any core.
#[must_use]
pub fn unbound() -> &'static Workqueue<Unbound> {
    &system().unbound
}

/// BH items of normal priority.
#[must_use]
pub fn bh() -> &'static Workqueue<Bh> {
    &system().bh
}

/// BH items of high priority: before timers and normal BH items.
#[must_use]
pub fn bh_highpri() -> &'static Workqueue<Bh> {
    &system().bh_highpri
}
