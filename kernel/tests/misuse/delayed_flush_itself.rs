//! The handle that the handler of a delayed item gets cannot wait for it, nor cancel it and wait.

use kernel::thread::ThreadCx;
use kernel::wq::{DelayedWork, Run};

fn main() {
    let _ = DelayedWork::new(0_u32, |cx: &ThreadCx<'_>, run: &Run<'_, u32>| {
        let _ = run.flush(cx);
        let _ = run.cancel_sync(cx);
    });
}
