//! Items that wait for what they have queued, where there is one thread for both.

use std::sync::Arc;

use kernel::thread::ThreadCx;
use kernel::wq::{self, OnCpuError, Run, ScopeError, Submitted, Task, Workqueue};

use super::{Old, old};
use crate::kit::{Count, dawdle, here, insist, new_item, pick, some_core, until};

/// Counts up in a scope of this queue.
fn count_up(cx: &ThreadCx<'_>, queue: &Old, ran: &mut usize) -> Result<(), ScopeError> {
    fn on<K: wq::Kind<Context = wq::Threaded>>(
        cx: &ThreadCx<'_>,
        queue: &Workqueue<K>,
        ran: &mut usize,
    ) -> Result<(), ScopeError> {
        let mut task = Task::new(|cx: &ThreadCx<'_>| {
            dawdle(cx);
            *ran += 1;
        });
        let spawned = queue.scope(cx, |s| s.spawn(&mut task))?;
        assert_eq!((spawned, task.take()), (Ok(()), Some(())));
        Ok(())
    }
    match queue {
        Old::PerCpu(q) => on(cx, q, ran),
        Old::Unbound(q) => on(cx, q, ran),
        Old::Ordered(q) => on(cx, q, ran),
    }
}

pub(super) fn scopes(cx: &ThreadCx<'_>) {
    type Both = (Arc<Old>, Arc<Old>, Count);
    fn within(cx: &ThreadCx<'_>, run: &Run<'_, Both>) {
        let mut ran = 0;
        let told = count_up(cx, &run.0, &mut ran);
        assert_eq!((told, ran), (Err(ScopeError::SelfWait), 0));
        assert_eq!(count_up(cx, &run.1, &mut ran), Ok(()));
        assert_eq!(ran, 1);
        run.2.up();
    }
    let any = || match pick(3) {
        // A promise to make progress is another reason to refuse (H6).
        0 => Old::PerCpu(insist(|| Workqueue::builder("old").backend(old()).build())),
        1 => Old::Unbound(insist(|| Workqueue::builder("old").backend(old()).build())),
        _ => Old::Ordered(insist(|| Workqueue::builder("old").backend(old()).build())),
    };
    for _ in 0..4 {
        let (own, other) = (Arc::new(any()), Arc::new(any()));
        let item = new_item(
            (Arc::clone(&own), Arc::clone(&other), Count::default()),
            within,
        );
        let queued = match &*own {
            Old::PerCpu(q) => q.queue_on(some_core(), &item),
            Old::Unbound(q) => q.queue(&item),
            Old::Ordered(q) => q.queue(&item),
        };
        assert_eq!(queued, Submitted::Queued);
        // Who is no item of it may wait.
        let mut ran = 0;
        assert_eq!(count_up(cx, &own, &mut ran), Ok(()));
        item.flush(cx).expect("no panic");
        assert_eq!((ran, item.2.get()), (1, 1));
        drop(item);
        for queue in [own, other] {
            // The item is freed a moment after its end.
            until(cx, || Arc::strong_count(&queue) == 1);
            let queue = Arc::into_inner(queue).expect("nobody else has it");
            queue.destroy(cx);
        }
    }
}

pub(super) fn default_queue(cx: &ThreadCx<'_>) {
    fn within(cx: &ThreadCx<'_>, run: &Run<'_, Count>) {
        let call = wq::work_on_cpu(cx, some_core(), |_| unreachable!("refused, and called"));
        assert_eq!(call, Err::<(), _>(OnCpuError::SelfWait));
        let calls = wq::on_each_core(cx, |_| unreachable!("refused, and called"));
        assert_eq!(calls, Err(OnCpuError::SelfWait));
        run.up();
    }
    let item = new_item(Count::default(), within);
    for n in 1..4 {
        assert_eq!(wq::percpu().queue_on(some_core(), &item), Submitted::Queued);
        let cpu = some_core();
        assert_eq!(wq::work_on_cpu(cx, cpu, |_| here()), Ok(cpu));
        item.flush(cx).expect("no panic");
        assert_eq!(item.get(), n);
    }
    // An item of another queue may, since its thread is not one of theirs.
    let elsewhere = new_item(
        Count::default(),
        |cx: &ThreadCx<'_>, run: &Run<'_, Count>| {
            let cpu = some_core();
            assert_eq!(wq::work_on_cpu(cx, cpu, |_| here()), Ok(cpu));
            run.up();
        },
    );
    assert_eq!(wq::highpri().queue(&elsewhere), Submitted::Queued);
    elsewhere.flush(cx).expect("no panic");
    assert_eq!(elsewhere.get(), 1);
}
