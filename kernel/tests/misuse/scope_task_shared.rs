//! A spawned task is the scope's until that is over: nobody looks at it, spawns it twice or moves it.

use kernel::thread::ThreadCx;
use kernel::wq::{self, Task};

fn _wrong(cx: &ThreadCx<'_>) {
    let mut task = Task::new(|_: &ThreadCx<'_>| 7);
    let _ = wq::unbound().scope(cx, |s| {
        let _ = s.spawn(&mut task);
        let _ = task.take();
        let _ = s.spawn(&mut task);
    });
}

fn main() {}
