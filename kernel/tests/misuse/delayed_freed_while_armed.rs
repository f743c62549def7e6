//! A delayed item on the stack may be gone when its timer fires.

use kernel::thread::ThreadCx;
use kernel::wq::{self, DelayedWork, Run};
use machine::Duration;

fn main() {
    let item = DelayedWork::new(0_u32, |_: &ThreadCx<'_>, _: &Run<'_, u32>| {});
    let _ = wq::percpu().queue_delayed(&item, Duration::from_millis(1));
    drop(item);
}
