//! No thread can be made any more, ever: what there is goes on, and who asks for more is told.
//!
//! Which items still run follows from E9. A worker starts items only while another one is idle, so a pool
//! whose last idle worker left to work makes no new one, tries again for ever (E10), and its items wait for
//! those that already run to end. With two workers in each pool, which every pool has after its first
//! item, that is a matter of time, not of luck. (Items that wait for each other need a rescuer.)

use std::sync::Arc;

use kernel::completion::Completion;
use kernel::thread::{Builder, SpawnError, ThreadCx, sleep};
use kernel::wq::{self, Run, Submitted};
use sim::{Kinds, Scenario};

use crate::kit::{
    Count, core, cpus, dawdle, join, linger, ms, new_bh_item, new_delayed, new_item, one_in, pick,
    some_core, us, volunteers,
};

/// Creation fails for ever from some moment on, or for a while; interrupts and cores are late.
const HOPELESS: Kinds = Kinds::FOREVER.or(Kinds::THREAD).or(Kinds::DELAYS);

/// Scenarios without new threads.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("no-more-threads", 3, refused)
        .about("who asks for a thread gets one or an error; those there are go on, each to its end")
        .cpus_range(1, 8)
        .endures(HOPELESS),
    Scenario::new("no-more-workers", 3, existing_workers)
        .about("two workers in each pool run all items that sleep, though no third can be made (E9, E10)")
        .cpus_range(1, 8)
        .prepare(two_workers_each)
        .endures(HOPELESS),
    Scenario::new("no-more-workers-at-all", 3, other_contexts)
        .about("a pool that can get no second worker loses no item and holds up no thread, timer or BH item (E9)")
        .cpus_range(1, 8)
        .endures(HOPELESS),
];

fn refused(cx: &ThreadCx<'_>) {
    let (asked, begun) = (4 * cpus() + 12, Arc::new(Count::default()));
    let go = Arc::new(Completion::new());
    let threads = {
        let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
        volunteers(asked, move |cx, _| {
            go.wait(cx);
            dawdle(cx);
            begun.up();
            // Their own children are refused as well, or run.
            let child = Builder::new("child").spawn(|_: &ThreadCx<'_>| linger());
            match child {
                Ok(child) => child.join(cx),
                Err(e) => assert!(matches!(e, SpawnError::NoMemory), "{e:?}"),
            }
        })
    };
    assert_eq!(begun.get(), 0);
    go.complete_all();
    join(cx, &threads);
    assert_eq!(begun.get(), threads.len(), "an accepted thread did not run");
}

/// Gives each pool its second worker.
fn two_workers_each(cx: &ThreadCx<'_>) {
    for n in 0..cpus() {
        for wq in [wq::percpu(), wq::highpri()] {
            let item = new_item((), |_: &ThreadCx<'_>, _| {});
            assert_eq!(wq.queue_on(core(n), &item), Submitted::Queued);
            item.flush(cx).expect("no panic");
        }
    }
    let item = new_item((), |_: &ThreadCx<'_>, _| {});
    assert_eq!(wq::unbound().queue(&item), Submitted::Queued);
    item.flush(cx).expect("no panic");
    // The workers let go of their last items.
    sleep(cx, ms(10));
    wq::for_each_pool(|p| {
        let used = p.kind == "thread" && p.cpu.is_some();
        assert!(!used || p.workers.total >= 2, "pool {} (E9)", p.id);
    });
}

fn existing_workers(cx: &ThreadCx<'_>) {
    fn work(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>) {
        dawdle(cx);
        run.up();
    }
    let runs = Arc::new(Count::default());
    let mut queued = 0;
    for _ in 0..3 {
        for _ in 0..4 * cpus() {
            let item = new_item(Arc::clone(&runs), work);
            let done = match pick(3) {
                0 => wq::percpu().queue_on(some_core(), &item),
                1 => wq::highpri().queue_on(some_core(), &item),
                _ => wq::unbound().queue(&item),
            };
            assert_eq!(done, Submitted::Queued);
            queued += 1;
            if one_in(4) {
                dawdle(cx);
            }
        }
        wq::percpu().flush(cx).expect("not one of its items");
        wq::highpri().flush(cx).expect("not one of its items");
        wq::unbound().flush(cx).expect("not one of its items");
        assert_eq!(runs.get(), queued, "an item is lost");
    }
}

fn other_contexts(cx: &ThreadCx<'_>) {
    fn count(_: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>) {
        run.up();
    }
    // Each pool has one worker, which cannot start an item as long as it is the last one.
    let runs = Arc::new(Count::default());
    let items: Vec<_> = (0..3 * cpus())
        .map(|_| new_item(Arc::clone(&runs), count))
        .collect();
    for (n, item) in items.iter().enumerate() {
        assert_eq!(wq::percpu().queue_on(core(n), item), Submitted::Queued);
    }
    let late = new_delayed(Arc::clone(&runs), count);
    let done = wq::percpu().queue_delayed_on(some_core(), &late, us(50));
    assert_eq!(done, Submitted::Queued);
    let rung = Arc::new(Count::default());
    for n in 0..10 {
        let bell = new_bh_item(Arc::clone(&rung), |_, run| {
            run.up();
        });
        assert_eq!(wq::bh().queue_on(core(n), &bell), Submitted::Queued);
        bell.flush(cx).expect("no panic");
        dawdle(cx);
    }
    assert_eq!(rung.get(), 10, "a BH item is lost");
    sleep(cx, us(pick(2_000) as u64));
    // What could not run is where it was: pending, and can be taken back.
    let mut back = usize::from(late.cancel_sync(cx).expect("no panic"));
    for item in &items {
        back += usize::from(item.cancel_sync(cx).expect("no panic"));
    }
    assert_eq!(
        runs.get() + back,
        items.len() + 1,
        "neither run nor taken back"
    );
}
