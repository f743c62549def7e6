//! What a scope spawns outlives the closure, so it borrows nothing from inside it.

use kernel::thread::ThreadCx;
use kernel::wq::{self, Task};

fn _wrong(cx: &ThreadCx<'_>) {
    let mut task = None;
    let _ = wq::unbound().scope(cx, |s| {
        let local = 7;
        let _ = s.try_spawn(|_| assert_eq!(local, 7));
        let mut here = Task::new(|_: &ThreadCx<'_>| ());
        let _ = s.spawn(&mut here);
        task = Some(1);
    });
}

fn main() {}
