//! Handlers that misbehave on purpose, to show what the worker pools make of it.

use kernel::net::Conn;
use kernel::thread::{self, ThreadCx};
use machine::Duration;
use netsvc::http::Status;

use super::output::Body;

/// Longest demonstration.
const LIMIT_MS: u64 = 10_000;

/// Does `what` for as long as asked; the answer.
pub(super) fn show(query: &str, conn: &Conn, what: impl FnOnce(Duration)) -> (Status, Body) {
    let Some(time) = time(query) else {
        let body = Body::Static("text/plain", "expected ?ms=0..10000");
        return (Status::BadRequest, body);
    };
    // Replies to earlier requests of a pipeline do not wait for this one.
    conn.flush();
    what(time);
    (Status::Ok, Body::Static("text/plain", "done\n"))
}

/// The time `ms=N` asks for; `None` when it is missing or too long.
fn time(query: &str) -> Option<Duration> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("ms="))?;
    let ms: u64 = value.parse().ok()?;
    (ms <= LIMIT_MS).then(|| Duration::from_millis(ms))
}

/// Sleeps inside the work item: its pool starts another worker meanwhile.
pub(super) fn sleep(cx: &ThreadCx<'_>, time: Duration) {
    thread::sleep(cx, time);
}

/// Keeps the core busy: a pool without another worker for it makes the others wait.
pub(super) fn burn(time: Duration) {
    let end = machine::now() + time;
    let mut x = 1_u64;
    while machine::now() < end {
        // A few hundred instructions of work that the compiler cannot drop.
        for _ in 0..100 {
            x = core::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_times_are_taken() {
        assert_eq!(time("ms=200"), Some(Duration::from_millis(200)));
        assert_eq!(time("x=1&ms=0"), Some(Duration::ZERO));
        for bad in ["", "ms=", "ms=-1", "ms=10001", "ms=1x", "MS=1"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
