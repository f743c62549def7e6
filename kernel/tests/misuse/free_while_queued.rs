//! An item on the stack may be gone before it runs: queues take shared or immortal ones.

use kernel::thread::ThreadCx;
use kernel::wq::{self, Run, Work};

fn main() {
    let item = Work::new(0_u32, |_: &ThreadCx<'_>, _: &Run<'_, u32>| {});
    let _ = wq::percpu().queue(&item);
    drop(item);
}
