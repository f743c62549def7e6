//! A group knows its members by their counts: an item on the stack has none, and may be gone.

use kernel::thread::ThreadCx;
use kernel::wq::{Group, Run, Work};

fn main() {
    let group = Group::with_capacity(1).unwrap();
    let item = Work::new(0_u32, |_: &ThreadCx<'_>, _: &Run<'_, u32>| {});
    let _ = group.join(&item);
    drop(item);
}
