//! `/api/v1/latency`: where the time of each queue's items goes.

use qemu_tests::service::Address;

use crate::Body;
use crate::Where::{self, Everywhere};
use crate::protocol::{check, json};

pub(crate) const TESTS: &[(&str, Where, Body)] = &[(
    "latency_tells_where_the_time_goes",
    Everywhere,
    latency_tells_where_the_time_goes,
)];

const PARTS: [&str; 5] = ["inactive", "pool", "run", "blocked", "preempted"];

fn latency_tells_where_the_time_goes(at: Address) -> Result<(), String> {
    let number =
        |v: &serde_json::Value, key: &str| v[key].as_u64().ok_or_else(|| format!("{key} in {v}"));
    let queues = json(at, "/api/v1/latency")?;
    let queues = queues.as_array().ok_or("latency is an array")?;
    let mut items = 0;
    for queue in queues {
        check(queue["name"].is_string(), "a queue's name")?;
        for part in PARTS.into_iter().chain(["total"]) {
            let of = |key| number(&queue[part], key);
            let rising = [of("p50_ns")?, of("p99_ns")?, of("p99_9_ns")?, of("max_ns")?];
            check(rising.is_sorted(), part)?;
        }
        let n = number(queue, "items")?;
        items += n;
        let slowest = &queue["slowest"];
        check(slowest.is_null() == (n == 0), "slowest")?;
        if n > 0 {
            check(slowest["item"].is_string(), "the slowest item's type")?;
            let total = number(slowest, "total_ns")?;
            let mut sum = 0;
            for part in PARTS {
                sum += number(slowest, &format!("{part}_ns"))?;
            }
            check(sum == total, "the parts add up")?;
            check(total == number(&queue["total"], "max_ns")?, "the longest")?;
        }
    }
    check(items > 0, "items were followed")
}
