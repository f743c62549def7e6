//! The numbers of an event under names, and an event as one line.
//!
//! Names are those of Linux's tracepoints where it has the same field. Who knows more than the event
//! does, such as the names of threads and queues, puts it in the place of the number.

use core::fmt;

use crate::{Event, Kind};

/// Bytes of a thread's name in an event, as many as Linux's `TASK_COMM_LEN`.
const NAME: usize = 16;

/// A thread's name in an event, cut to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name([u8; NAME]);

impl Name {
    /// The name in words `a` and `b` of a [`Kind::TaskNewtask`].
    #[must_use]
    pub const fn unpack(a: u64, b: u64) -> Self {
        let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
        let mut name = [0; NAME];
        let mut i = 0;
        while i < 8 {
            name[i] = a[i];
            name[8 + i] = b[i];
            i += 1;
        }
        Self(name)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(NAME);
        let bytes = self.0.get(..end).unwrap_or_default();
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            // Cut within a character.
            Err(e) => bytes
                .get(..e.valid_up_to())
                .and_then(|b| core::str::from_utf8(b).ok())
                .unwrap_or_default(),
        }
    }
}

/// The words `a` and `b` for a thread's name.
#[inline]
#[must_use]
pub fn pack_name(name: &str) -> (u64, u64) {
    let mut bytes = [0; NAME];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    let words = u128::from_le_bytes(bytes);
    (words as u64, (words >> 64) as u64)
}

/// What a field is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A thread's number.
    Thread(u32),
    /// An address that stands for an item, a timer, a lock, a connection.
    Address(u64),
    /// An address that stands for a workqueue.
    Queue(u64),
    /// A set of cores.
    Cores(u64),
    /// A text.
    Text(&'static str),
    /// A thread's name.
    Name(Name),
}

/// One field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: Value,
}

/// How a thread left its core, in the letters of Linux.
const WHY_LEFT: [&str; 3] = ["R", "S", "X"];

impl Event {
    /// Calls `f` with each field.
    pub fn each_field(&self, mut f: impl FnMut(Field)) {
        let mut put = |name, value| f(Field { name, value });
        let (arg, small) = (u64::from(self.head.arg), u64::from(self.head.small));
        let (number, thread) = (Value::Number, Value::Thread(self.head.arg));
        let (at, on) = (Value::Address(self.a), Value::Queue(self.b));
        let is = |flag| number(u64::from(self.head.flags & flag != 0));
        let pool = number(arg);
        match self.kind {
            Kind::SchedSwitch => {
                put("prev_pid", Value::Thread(self.a as u32));
                let why = WHY_LEFT.get(self.b as usize).copied().unwrap_or("?");
                put("prev_state", Value::Text(why));
                put("next_pid", thread);
            }
            Kind::SchedWakeup | Kind::SchedWakeupNew => {
                put("pid", thread);
                put("target_cpu", number(self.a));
            }
            Kind::SchedMigrateTask => {
                put("pid", thread);
                put("orig_cpu", number(self.a));
                put("dest_cpu", number(self.b));
            }
            Kind::SchedProcessExit => put("pid", thread),
            Kind::SchedSetAffinity => {
                put("pid", thread);
                put("cpus", Value::Cores(self.b));
            }
            Kind::SchedPiSetprio => {
                put("pid", thread);
                put("oldprio", number(self.a));
                put("newprio", number(self.b));
            }
            Kind::TaskNewtask => {
                put("pid", thread);
                put("comm", Value::Name(Name::unpack(self.a, self.b)));
                put("prio", number(small));
            }
            Kind::CpuOnline | Kind::CpuOffline | Kind::CpuDead => put("cpu", number(arg)),
            Kind::IrqHandlerEntry | Kind::IrqHandlerExit => put("irq", number(arg)),
            Kind::SoftirqRaise | Kind::SoftirqEntry | Kind::SoftirqExit => put("vec", number(arg)),
            Kind::IpiSend => {
                put("cpu", number(arg));
                put("mailbox", Value::Cores(self.a));
            }
            Kind::IpiEntry => put("mailbox", Value::Cores(self.a)),
            Kind::IpiExit => {}
            Kind::TimerStart => {
                put("timer", at);
                put("expires", number(self.b));
            }
            Kind::TimerCancel | Kind::TimerExpireExit => put("timer", at),
            Kind::TimerExpireEntry => {
                put("timer", at);
                put("now", number(self.b));
            }
            Kind::LockAcquired | Kind::LockRelease => put("lock", at),
            Kind::ContentionBegin | Kind::ContentionEnd => {
                put("lock", at);
                let what = if self.kind == Kind::ContentionBegin {
                    "timeout"
                } else {
                    "timed_out"
                };
                put(what, number(arg));
            }
            Kind::LockAbandon => put("locks", number(arg)),
            Kind::QueueWork | Kind::ActivateWork => {
                put("work", at);
                put("workqueue", on);
                put("pool", pool);
                if self.kind == Kind::QueueWork {
                    put("active", is(Kind::ACTIVE));
                }
            }
            Kind::ExecuteStart => {
                put("work", at);
                put("workqueue", on);
                put("pool", pool);
            }
            Kind::ExecuteEnd => {
                put("work", at);
                put("workqueue", on);
                put("pool", pool);
                put("panicked", is(Kind::PANICKED));
            }
            Kind::CancelWork => {
                put("work", at);
                put("pool", pool);
            }
            Kind::InsertBarrier => {
                put("work", at);
                put("barrier", Value::Address(self.b));
                put("pool", pool);
            }
            Kind::BarrierDone => {
                put("barrier", Value::Address(self.b));
                put("pool", pool);
            }
            Kind::FlushStart | Kind::FlushEnd | Kind::DestroyWorkqueue => put("workqueue", on),
            Kind::AllocWorkqueue => {
                put("workqueue", on);
                put("max_active", number(arg));
            }
            Kind::FlushIdle if self.a == 0 => put("workqueue", on),
            Kind::CancelSync | Kind::FlushIdle | Kind::DisableWork | Kind::RefuseWork => {
                put("work", at);
            }
            Kind::EnableWork => {
                put("work", at);
                put("enabled", is(Kind::ENABLED));
            }
            Kind::WorkerCreate | Kind::WorkerWake | Kind::WorkerPreempted => {
                put("pool", pool);
                put("worker", Value::Thread(self.a as u32));
            }
            Kind::WorkerSleep
            | Kind::WorkerResume
            | Kind::WorkerDie
            | Kind::WorkerBack
            | Kind::WorkerCreateFail
            | Kind::PoolUnbind
            | Kind::PoolBind => put("pool", pool),
            Kind::WorkerHog => {
                put("pool", pool);
                put("work", at);
                put("function", Value::Address(self.b));
            }
            Kind::Mayday | Kind::RescuerAttach | Kind::RescuerDetach => {
                put("workqueue", on);
                put("pool", pool);
            }
            Kind::MoveWorkqueue => {
                put("workqueue", on);
                put("pool", pool);
                put("to_pool", number(self.a));
            }
            Kind::PoolServe => {
                put("pool", pool);
                put("cpu", number(self.a));
            }
            Kind::ScopeSpawn => {
                put("work", at);
                put("scope", Value::Address(self.b));
            }
            Kind::ScopeEnd => put("scope", Value::Address(self.b)),
            Kind::NetRx | Kind::NetTx => put("len", number(arg)),
            Kind::NetSteer => {
                put("connection", at);
                put("cpu", number(arg));
            }
            Kind::HttpRequestStart => put("connection", at),
            Kind::HttpRequestEnd => {
                put("connection", at);
                put("status", number(arg));
            }
            Kind::LatencyWait => {
                put("inactive_ns", number(self.a));
                put("pool_ns", number(self.b));
            }
            Kind::LatencyRun => {
                put("run_ns", number(self.a));
                put("blocked_ns", number(self.b));
            }
            Kind::LatencyTotal => {
                put("preempted_ns", number(self.a));
                put("total_ns", number(self.b));
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => n.fmt(f),
            Self::Thread(id) => id.fmt(f),
            Self::Address(at) | Self::Queue(at) | Self::Cores(at) => write!(f, "{at:#x}"),
            Self::Text(text) => f.write_str(text),
            Self::Name(name) => f.write_str(name.as_str()),
        }
    }
}

/// `sched_wakeup: pid=7 target_cpu=1`, without the time.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind.name())?;
        let mut done = Ok(());
        self.each_field(|field| {
            if done.is_ok() {
                done = write!(f, " {}={}", field.name, field.value);
            }
        });
        done
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::Head;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn event(kind: Kind, head: Head, a: u64, b: u64) -> Event {
        Event::unpack(&Event::pack(0, kind, head, a, b)).expect("a kind")
    }

    #[test]
    fn every_kind_has_words_for_its_numbers() {
        for &kind in Kind::ALL {
            let e = event(kind, Head::with(1, 2).flags(1), 3, 4);
            let mut names: Vec<&str> = Vec::new();
            e.each_field(|f| names.push(f.name));
            assert!(names.len() <= 5, "{kind:?}");
            assert_eq!(names.is_empty(), kind == Kind::IpiExit, "{kind:?}");
            let unique = names
                .iter()
                .enumerate()
                .all(|(i, n)| !names[..i].contains(n));
            assert!(unique, "{kind:?}: {names:?}");
        }
    }

    #[test]
    fn what_was_idle_is_named() {
        let line = |a, b| event(Kind::FlushIdle, Head::of(0), a, b).to_string();
        assert_eq!(line(0x40, 0), "workqueue_flush_idle: work=0x40");
        assert_eq!(line(0, 0x50), "workqueue_flush_idle: workqueue=0x50");
    }

    #[test]
    fn an_event_is_a_line() {
        let line = |kind, head, a, b| event(kind, head, a, b).to_string();
        assert_eq!(
            line(Kind::SchedSwitch, Head::of(7), 3, 1),
            "sched_switch: prev_pid=3 prev_state=S next_pid=7"
        );
        assert_eq!(
            line(
                Kind::ExecuteEnd,
                Head::of(2).flags(Kind::PANICKED),
                0x40,
                0x80
            ),
            "workqueue_execute_end: work=0x40 workqueue=0x80 pool=2 panicked=1"
        );
        let (a, b) = pack_name("kworker/0:1");
        assert_eq!(
            line(Kind::TaskNewtask, Head::with(9, 120), a, b),
            "task_newtask: pid=9 comm=kworker/0:1 prio=120"
        );
    }

    #[test]
    fn names_are_cut_between_characters() {
        let cut = |name: &str| {
            let (a, b) = pack_name(name);
            String::from(Name::unpack(a, b).as_str())
        };
        assert_eq!(cut(""), "");
        assert_eq!(cut("exactly-sixteen!"), "exactly-sixteen!");
        assert_eq!(cut("one-too-many-here"), "one-too-many-her");
        assert_eq!(cut("fifteen-bytes--\u{e9}"), "fifteen-bytes--");
    }
}
