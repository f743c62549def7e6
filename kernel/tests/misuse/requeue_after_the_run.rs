//! The handle that a handler gets of its own item ends with the run.

use kernel::thread::ThreadCx;
use kernel::wq::{Run, Work};

fn keep(_: &'static Run<'static, u32>) {}

fn main() {
    let _ = Work::new(0_u32, |_: &ThreadCx<'_>, run: &Run<'_, u32>| keep(run));
}
