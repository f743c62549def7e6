//! What the programs beside this one do, done right.

#![expect(dead_code, reason = "compiled, not run")]

use std::sync::Arc;

use kernel::softirq::BhCx;
use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{self, Bh, Ordered, PerCpu, Run, Softirq, Unbound, Work, Workqueue};
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
}
