//! 94: rescuers, when there is really no memory for a thread (H rows, E10).

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{self, CreateError, PerCpu, Run, Submitted, WaitError, Work, Workqueue};
use machine::{CpuId, now};

use super::work_kit::{Famine, Gated, cores, eventually, here, ms, pool_of};
use crate::ktest;

ktest!(
    "94_f4_h2_h3_work_is_rescued_without_memory",
    rescued_without_memory
);
ktest!("94_rescued_work_waits_for_its_like", waits_for_its_like);

fn queue(name: &str) -> Result<Workqueue<PerCpu>, CreateError> {
    Workqueue::<PerCpu>::builder(name).mem_reclaim().build()
}

#[derive(Default)]
struct Ward {
    /// When the first item started.
    first: AtomicU64,
    rescued: AtomicUsize,
    done: AtomicUsize,
}

/// H1, H2, H3, F4: items with a rescuer complete, others stay, and run when memory is back.
fn rescued_without_memory(cx: &ThreadCx<'_>) {
    fn visit(cx: &ThreadCx<'_>, run: &Run<'_, (Arc<Ward>, CpuId)>) {
        let (ward, cpu) = &**run;
        let at = now().as_nanos();
        let _ = ward
            .first
            .compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
        if wq::current_is_rescuer() {
            ward.rescued.fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(here(), *cpu, "C1");
        sleep(cx, ms(1));
        assert_eq!(here(), *cpu, "C1");
        ward.done.fetch_add(1, Ordering::Relaxed);
    }
    let wq = queue("reclaim").expect("memory for a queue");
    let gated = Gated::new();
    let others = gated.items(pool_of(CpuId::BOOT, false).workers.total as usize + 2);
    let ward = Arc::new(Ward::default());
    let item = |n: usize| {
        let cpu = CpuId::new(n % cores());
        (
            cpu,
            Arc::new(<Work<_>>::new((Arc::clone(&ward), cpu), visit)),
        )
    };
    let items: Vec<_> = (0..8 * cores()).map(item).collect();
    let famine = Famine::begin(cx);
    assert_eq!(queue("another").err(), Some(CreateError::NoMemory), "F4");
    for item in &others {
        assert_eq!(wq::percpu().queue_on(CpuId::BOOT, item), Submitted::Queued);
    }
    eventually(cx, "the start of the last worker there is", || {
        let p = pool_of(CpuId::BOOT, false);
        p.workers.idle == 0 && p.pending > 0
    });
    let begin = now().as_nanos();
    for (cpu, item) in &items {
        assert_eq!(wq.queue_on(*cpu, item), Submitted::Queued);
    }
    let done = || ward.done.load(Ordering::Relaxed) == items.len();
    eventually(cx, "the end of the items with a rescuer", done);
    let rescued = ward.rescued.load(Ordering::Relaxed);
    assert!(rescued >= 8, "{rescued} were rescued");
    assert!(
        gated.started() < others.len(),
        "workers were made without memory"
    );
    let waited = ward.first.load(Ordering::Relaxed) - begin;
    assert!(waited < 200_000_000, "rescued after {waited} ns");
    famine.end();
    eventually(cx, "the start of the others", || {
        gated.started() == others.len()
    });
    gated.open();
    wq::percpu().flush(cx).expect("not one of its items");
    let mut stats = None;
    wq::for_each_queue(|q| stats = stats.or((q.name == "reclaim").then_some(q.stats)));
    let stats = stats.expect("it is listed");
    assert_eq!(stats.rescued as usize, rescued, "N4");
    assert!(stats.mayday >= 1, "N4");
    wq.destroy(cx).expect("not one of its items");
}

/// H6: an item with a rescuer does not wait for one without.
fn waits_for_its_like(cx: &ThreadCx<'_>) {
    fn wait(cx: &ThreadCx<'_>, run: &Run<'_, (Workqueue<PerCpu>, AtomicUsize)>) {
        let mut right = usize::from(wq::unbound().flush(cx) == Err(WaitError::NoProgress));
        right += usize::from(run.0.flush(cx) == Ok(()));
        run.1.store(right, Ordering::Relaxed);
    }
    let (one, two) = (queue("one"), queue("two"));
    let (one, two) = (one.expect("memory"), two.expect("memory"));
    let item = Arc::new(<Work<_>>::new((two.clone(), AtomicUsize::new(0)), wait));
    assert_eq!(one.queue(&item), Submitted::Queued);
    one.destroy(cx).expect("not one of its items");
    two.destroy(cx).expect("not one of its items");
    assert_eq!(item.1.load(Ordering::Relaxed), 2);
}
