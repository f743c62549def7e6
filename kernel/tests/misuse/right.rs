//! What the programs beside this one do, done right.

#![expect(dead_code, reason = "compiled, not run")]

use std::sync::Arc;

use kernel::softirq::BhCx;
use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{
    self, Bh, DelayedWork, Group, Ordered, PerCpu, Run, Softirq, Task, Unbound, Work, Workqueue,
};
use machine::Duration;

fn all_of_it(cx: &ThreadCx<'_>, orders: &Workqueue<Unbound>) {
    let item = Arc::new(Work::new(0_u32, |cx: &ThreadCx<'_>, run: &Run<'_, u32>| {
        sleep(cx, Duration::from_millis(1));
        let _ = wq::percpu().queue(run);
    }));
    let urgent = Arc::new(Work::new(
        0_u32,
        |_: &BhCx<'_>, run: &Run<'_, u32, Softirq>| {
            let _ = wq::bh().queue(run);
        },
    ));
    let _ = wq::percpu().queue(&item);
    let _ = orders.queue(&item);
    let _ = wq::bh().queue(&urgent);
    let _ = item.flush(cx);
    let _ = Workqueue::<PerCpu>::builder("a").max_active(1).build();
    let _ = Workqueue::<Bh>::builder("b").build();
    let _ = Workqueue::<Ordered>::builder("c").build();
    let _ = orders.attrs();
    let later = Arc::new(DelayedWork::new(
        0_u32,
        |_: &ThreadCx<'_>, _: &Run<'_, u32>| {},
    ));
    let _ = orders.queue_delayed(&later, Duration::from_millis(1));
    let group = Group::with_capacity(2).expect("memory for two members");
    let _ = (group.join(&item), group.join(&later));
    let _ = group.cancel_all_sync(cx);
    let local = 7;
    let mut task = Task::new(|_: &ThreadCx<'_>| local);
    let _ = orders.scope(cx, |s| s.spawn(&mut task));
    let _ = task.take();
}
