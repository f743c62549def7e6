//! What a demonstration is ordered with: `n`, `ms`, `queue` and `cpu`, each once and within limits.

use core::fmt;

use kernel::cpu::online;
use machine::{CpuId, Duration};

use super::json::Json;

/// Most milliseconds that all items of one order may take together.
const MOST_MS: u64 = 60_000;

/// A demonstration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Show {
    Sleepers,
    Hog,
    Burst,
    Blocker,
}

/// A kind of queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    PerCpu,
    HighPri,
    Unbound,
    Ordered,
    Bh,
}

impl Kind {
    /// The queue's name.
    const fn queue(self) -> &'static str {
        match self {
            Self::PerCpu => "demo",
            Self::HighPri => "demo_highpri",
            Self::Unbound => "demo_unbound",
            Self::Ordered => "demo_ordered",
            Self::Bh => "demo_bh",
        }
    }

    const fn has_core(self) -> bool {
        matches!(self, Self::PerCpu | Self::HighPri | Self::Bh)
    }
}

/// What an order may ask for, and what it gets if it does not ask.
struct Limits {
    name: &'static str,
    n: (usize, usize),
    ms: (u64, u64),
    queue: Kind,
    bh: bool,
}

impl Show {
    const fn limits(self) -> Limits {
        let (name, n, ms, queue, bh) = match self {
            Self::Sleepers => ("sleepers", (12, 64), (2_000, 10_000), Kind::PerCpu, false),
            Self::Hog => ("hog", (4, 16), (1_000, 5_000), Kind::PerCpu, false),
            Self::Burst => ("burst", (128, 512), (2, 20), Kind::PerCpu, true),
            Self::Blocker => ("blocker", (12, 64), (3_000, 10_000), Kind::Ordered, false),
        };
        Limits {
            name,
            n,
            ms,
            queue,
            bh,
        }
    }
}

/// A demonstration, and how much of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Order {
    pub(super) show: Show,
    /// Items; behind the blocker, if it is one.
    pub(super) n: usize,
    /// How long each takes; the blocker, if it is one.
    pub(super) time: Duration,
    pub(super) queue: Kind,
    /// Where; not said, everywhere.
    pub(super) cpu: Option<CpuId>,
}

/// What is wrong with an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    Query,
    Number(usize),
    Time(u64),
    /// Whether BH is among the possible ones.
    Queue(bool),
    Cpu,
    Cores,
    Total,
    BhTime,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query => f.write_str("expected ?n=N&ms=N&queue=KIND&cpu=N, each at most once"),
            Self::Number(most) => write!(f, "n: expected 1 to {most}"),
            Self::Time(most) => write!(f, "ms: expected 1 to {most}"),
            Self::Queue(bh) => {
                let more = if *bh { ", bh" } else { "" };
                write!(f, "queue: expected percpu, highpri, unbound, ordered{more}")
            }
            Self::Cpu => f.write_str("cpu: expected the number of a core that is online"),
            Self::Cores => {
                f.write_str("cpu: unbound and ordered queues choose the core themselves")
            }
            Self::Total => write!(f, "n times ms: at most {MOST_MS}"),
            Self::BhTime => f.write_str("ms: 1 in a BH queue, whose items may not keep the core"),
        }
    }
}

impl Order {
    /// What `query` asks for.
    pub(super) fn parse(show: Show, query: &str) -> Result<Self, Wrong> {
        let limits = show.limits();
        let (mut n, mut ms, mut queue, mut cpu) = (None, None, None, None);
        for pair in query.split('&').filter(|_| !query.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(Wrong::Query)?;
            let old = match name {
                "n" => n.replace(value),
                "ms" => ms.replace(value),
                "queue" => queue.replace(value),
                "cpu" => cpu.replace(value),
                _ => return Err(Wrong::Query),
            };
            if old.is_some() {
                return Err(Wrong::Query);
            }
        }
        let queue = match queue {
            None => limits.queue,
            Some("percpu") => Kind::PerCpu,
            Some("highpri") => Kind::HighPri,
            Some("unbound") => Kind::Unbound,
            Some("ordered") => Kind::Ordered,
            Some("bh") if limits.bh => Kind::Bh,
            Some(_) => return Err(Wrong::Queue(limits.bh)),
        };
        let (few, most) = limits.n;
        let n = n.map_or(Ok(few), |n| number(n, most as u64).map(|n| n as usize));
        let n = n.map_err(|()| Wrong::Number(most))?;
        let (default, most) = limits.ms;
        let default = if queue == Kind::Bh { 1 } else { default };
        let ms = ms.map_or(Ok(default), |ms| number(ms, most));
        let ms = ms.map_err(|()| Wrong::Time(most))?;
        if queue == Kind::Bh && ms > 1 {
            return Err(Wrong::BhTime);
        }
        let times = if show == Show::Blocker { 1 } else { n as u64 };
        if times * ms > MOST_MS {
            return Err(Wrong::Total);
        }
        if cpu.is_some() && !queue.has_core() {
            return Err(Wrong::Cores);
        }
        let cpu = cpu.map(|cpu| core(cpu).ok_or(Wrong::Cpu)).transpose()?;
        Ok(Self {
            show,
            n,
            time: Duration::from_millis(ms),
            queue,
            cpu,
        })
    }

    /// What was queued.
    pub(super) fn answer(&self, j: &mut Json<'_>, items: usize) {
        j.string("result", "queued");
        j.string("demo", self.show.limits().name);
        j.string("queue", self.queue.queue());
        j.number("items", items as u64);
        j.number("ms", self.time.as_millis());
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.show.limits().name;
        write!(
            f,
            "{name} n={} ms={} on {}",
            self.n,
            self.time.as_millis(),
            self.queue.queue()
        )
    }
}

fn number(text: &str, most: u64) -> Result<u64, ()> {
    let n = text.parse().map_err(|_| ())?;
    if (1..=most).contains(&n) {
        Ok(n)
    } else {
        Err(())
    }
}

fn core(text: &str) -> Option<CpuId> {
    let n: usize = text.parse().ok()?;
    online().iter().find(|cpu| cpu.index() == n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let order = |show, n, time, queue| Order {
            show,
            n,
            time: ms(time),
            queue,
            cpu: None,
        };
        for (show, query, expected) in [
            (
                Show::Sleepers,
                "",
                order(Show::Sleepers, 12, 2000, Kind::PerCpu),
            ),
            (
                Show::Hog,
                "n=2&queue=unbound",
                order(Show::Hog, 2, 1000, Kind::Unbound),
            ),
            (
                Show::Burst,
                "queue=bh&n=512",
                order(Show::Burst, 512, 1, Kind::Bh),
            ),
            (
                Show::Burst,
                "ms=20&n=300",
                order(Show::Burst, 300, 20, Kind::PerCpu),
            ),
            (
                Show::Blocker,
                "ms=10000&n=64",
                order(Show::Blocker, 64, 10_000, Kind::Ordered),
            ),
        ] {
            assert_eq!(Order::parse(show, query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (show, query, wrong) in [
            (Show::Hog, "n=0", Wrong::Number(16)),
            (Show::Hog, "n=17", Wrong::Number(16)),
            (Show::Hog, "n=-1", Wrong::Number(16)),
            (Show::Hog, "n=", Wrong::Number(16)),
            (Show::Hog, "ms=5001", Wrong::Time(5000)),
            (Show::Hog, "ms=1e3", Wrong::Time(5000)),
            (Show::Hog, "n=16&ms=5000", Wrong::Total),
            (Show::Hog, "queue=bh", Wrong::Queue(false)),
            (Show::Burst, "queue=", Wrong::Queue(true)),
            (Show::Burst, "queue=bh&ms=2", Wrong::BhTime),
            (Show::Blocker, "cpu=0", Wrong::Cores),
            (Show::Blocker, "n", Wrong::Query),
            (Show::Blocker, "n=1&n=1", Wrong::Query),
            (Show::Blocker, "m=1", Wrong::Query),
            (Show::Blocker, "n=1&", Wrong::Query),
        ] {
            assert_eq!(Order::parse(show, query), Err(wrong), "{query}");
        }
    }
}
