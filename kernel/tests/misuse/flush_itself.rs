//! The handle that a handler gets of its own item cannot wait for it.

use kernel::thread::ThreadCx;
use kernel::wq::{Run, Work};

fn main() {
    let _ = Work::new(0_u32, |cx: &ThreadCx<'_>, run: &Run<'_, u32>| {
        let _ = run.flush(cx);
    });
}
