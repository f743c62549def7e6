//! Boot arguments: `key=value` separated by blanks.
//!
//! A key nobody knows and a value nobody understands are reported through the caller's `warn` and
//! otherwise ignored: a machine that does not boot because of a typing error is worse than one that
//! says so.

use core::fmt;

use kernel::trace::Categories;
use kernel::wq;
use netsvc::AddressConfig;

use machine::Duration;

use crate::echo;
use crate::http;
use crate::server::{Mode, QueueKind};

/// What the boot arguments say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BootArgs {
    /// `ip=`
    pub address: AddressConfig,
    /// `http.mode=`
    pub mode: Mode,
    /// `http.wq=`
    pub queue: QueueKind,
    /// `http.head_ms=`, `http.body_ms=`, `http.idle_ms=`: the last is the patience with a client that
    /// acknowledges nothing, too. And `control=`.
    pub http: http::Settings,
    /// `echo.idle_ms=`
    pub echo: echo::Settings,
    /// `net.connections=`: most connections at once.
    pub connections: Option<usize>,
    /// `panic=halt`
    pub halt_on_panic: bool,
    /// `trace=`
    pub trace: Option<Categories>,
    /// `watchdog=`: for how long work may stand still before it is reported.
    pub watchdog: Option<Duration>,
    /// `monitor.tcp=on`
    pub monitor: bool,
    /// `anatomy=off`
    pub no_anatomy: bool,
}

/// What `trace=` takes.
pub(crate) const TRACE: &str = "all, off, or some of sched,workqueue,irq,softirq,ipi,timer,lock,net,http,latency between commas";

/// An argument that was ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Warning<'a> {
    /// The key is not known.
    UnknownKey(&'a str),
    /// The value is not one of the key's.
    BadValue(&'a str, &'a str, &'static str),
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey(key) => write!(f, "boot argument \"{key}\" is not known"),
            Self::BadValue(key, value, expected) => {
                write!(f, "boot argument {key}={value}: expected {expected}")
            }
        }
    }
}

impl BootArgs {
    /// Reads a line of arguments; the last of several values of one key counts.
    pub fn parse<'a>(line: &'a str, mut warn: impl FnMut(Warning<'a>)) -> Self {
        let mut args = Self {
            watchdog: Some(wq::DEFAULT_WATCHDOG),
            ..Self::default()
        };
        for word in line.split_ascii_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            if let Err(w) = args.set(key, value) {
                warn(w);
            }
        }
        args
    }

    fn set<'a>(&mut self, key: &'a str, value: &'a str) -> Result<(), Warning<'a>> {
        let bad = |expected| Warning::BadValue(key, value, expected);
        match key {
            "ip" => {
                self.address = value.parse().map_err(|_| bad("ADDR/LEN,GATEWAY"))?;
            }
            "net.connections" => {
                let n = value.parse().ok().filter(|n| (1..=65_536).contains(n));
                self.connections = Some(n.ok_or(bad("1 to 65536"))?);
            }
            "http.head_ms" | "http.body_ms" | "http.idle_ms" | "echo.idle_ms" => {
                let ms = value.parse().ok().filter(|n| (1..=3_600_000).contains(n));
                let time = Duration::from_millis(ms.ok_or(bad("1 to 3600000"))?);
                match key {
                    "http.head_ms" => self.http.limits.head = time,
                    "http.body_ms" => self.http.limits.body = time,
                    "http.idle_ms" => self.http.limits.idle = time,
                    _ => self.echo.idle = time,
                }
            }
            "http.mode" => {
                self.mode = match value {
                    "event" => Mode::Event,
                    "blocking" => Mode::Blocking,
                    "thread" => Mode::Thread,
                    _ => return Err(bad("event, blocking or thread")),
                };
            }
            "http.wq" => {
                self.queue = match value {
                    "bound" => QueueKind::Bound,
                    "unbound" => QueueKind::Unbound,
                    _ => return Err(bad("bound or unbound")),
                };
            }
            "panic" => {
                self.halt_on_panic = match value {
                    "isolate" => false,
                    "halt" => true,
                    _ => return Err(bad("isolate or halt")),
                };
            }
            "trace" => {
                let set = Categories::parse(value).ok().filter(|_| !value.is_empty());
                self.trace = Some(set.ok_or(bad(TRACE))?);
            }
            "anatomy" => {
                self.no_anatomy = match value {
                    "on" => false,
                    "off" => true,
                    _ => return Err(bad("on or off")),
                };
            }
            "watchdog" | "workqueue.watchdog_thresh" => {
                let secs = value.parse().map_err(|_| bad("seconds, 0 for off"))?;
                self.watchdog = Some(Duration::from_secs(secs)).filter(|&d| d > Duration::ZERO);
            }
            "control" => {
                self.http.control = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(bad("on or off")),
                };
            }
            "monitor.tcp" => {
                self.monitor = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(bad("on or off")),
                };
            }
            // Read by the kernel, by the board and by the test image.
            "wq.backend" | "exit" | "tests" => {}
            _ if key.starts_with("workqueue.") => {}
            _ => return Err(Warning::UnknownKey(key)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    fn parse(line: &str) -> (BootArgs, Vec<std::string::String>) {
        let mut warnings = Vec::new();
        let args = BootArgs::parse(line, |w| warnings.push(w.to_string()));
        (args, warnings)
    }

    #[test]
    fn the_monitor_is_off_on_tcp_unless_told() {
        assert!(!parse("").0.monitor && !parse("monitor.tcp=off").0.monitor);
        let (args, warnings) = parse("monitor.tcp=on wq.backend=st");
        assert!(args.monitor && warnings.is_empty());
        let (args, warnings) = parse("monitor.tcp=yes");
        assert_eq!((args.monitor, warnings.len()), (false, 1));
    }

    #[test]
    fn anatomy_is_on_unless_told() {
        assert!(!parse("").0.no_anatomy && !parse("anatomy=on").0.no_anatomy);
        assert!(parse("anatomy=off").0.no_anatomy);
        let (args, warnings) = parse("anatomy=some");
        assert!(!args.no_anatomy);
        assert_eq!(warnings, ["boot argument anatomy=some: expected on or off"]);
    }

    #[test]
    fn watchdog_takes_seconds() {
        assert_eq!(parse("").0.watchdog, Some(Duration::from_secs(30)));
        assert_eq!(parse("watchdog=5").0.watchdog, Some(Duration::from_secs(5)));
        assert_eq!(parse("watchdog=0").0.watchdog, None);
        let (args, warnings) = parse("watchdog=never");
        assert_eq!(
            (args.watchdog, warnings.len()),
            (Some(Duration::from_secs(30)), 1)
        );
    }

    #[test]
    fn trace_takes_categories_and_names_them_when_it_does_not() {
        for (value, set) in [
            ("all", Categories::ALL),
            ("off", Categories::NONE),
            ("net,http", Categories::NET | Categories::HTTP),
        ] {
            let (args, warnings) = parse(&std::format!("trace={value}"));
            assert_eq!((args.trace, warnings.len()), (Some(set), 0), "{value}");
        }
        for value in ["sched,nonsense", ""] {
            let (args, warnings) = parse(&std::format!("trace={value}"));
            assert_eq!((args.trace, warnings.len()), (None, 1), "{value}");
            for name in Categories::ALL.names().chain(["all", "off"]) {
                assert!(warnings[0].contains(name), "{warnings:?}");
            }
        }
    }

    #[test]
    fn reads_every_key_with_an_effect() {
        let (args, warnings) = parse(
            " ip=10.0.2.15/24,10.0.2.2 http.mode=blocking http.wq=unbound panic=halt workqueue.unbound_cpus=0-1 net.connections=64 \
             http.head_ms=500 http.idle_ms=1500 http.body_ms=2500 echo.idle_ms=3500",
        );
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(
            (args.mode, args.queue),
            (Mode::Blocking, QueueKind::Unbound)
        );
        assert!(args.halt_on_panic);
        assert_eq!(args.connections, Some(64));
        assert_eq!(times(&args), [500, 2_500, 1_500, 3_500]);
        assert!(matches!(
            args.address,
            AddressConfig::Static { prefix: 24, .. }
        ));
    }

    #[test]
    fn control_is_on_or_off() {
        assert!(parse("").0.http.control);
        assert!(!parse("control=off").0.http.control);
        let (args, warnings) = parse("control=no");
        assert_eq!((args.http.control, warnings.len()), (true, 1));
    }

    fn times(args: &BootArgs) -> [u64; 4] {
        let http = &args.http.limits;
        [http.head, http.body, http.idle, args.echo.idle].map(Duration::as_millis)
    }

    #[test]
    fn patience_is_as_documented_unless_told() {
        let (args, warnings) = parse("http.idle_ms=0 http.head_ms=x echo.idle_ms=");
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert_eq!(times(&args), [10_000, 60_000, 60_000, 600_000]);
    }

    #[test]
    fn warns_about_the_rest_and_keeps_the_defaults() {
        let (args, warnings) = parse("quiet http.mode=turbo ip=nonsense");
        assert_eq!(args, parse("").0);
        assert_eq!(
            warnings,
            [
                "boot argument \"quiet\" is not known",
                "boot argument http.mode=turbo: expected event, blocking or thread",
                "boot argument ip=nonsense: expected ADDR/LEN,GATEWAY",
            ]
        );
    }
}
