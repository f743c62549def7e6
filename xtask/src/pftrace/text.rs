//! Lines as ftrace writes them: thread, core, time, event, fields.
//!
//! ```text
//!      kworker/0:2-20    [000]     0.888190: sched_switch: prev_comm=kworker/0:2 prev_pid=20 ...
//! ```

use std::fmt::{self, Display, Write};

use super::Line;
use super::schema::Trace;
use super::schema::ftrace::{Event, Field};

/// The trace as text.
#[must_use]
pub fn write(trace: &Trace) -> String {
    let (names, functions) = (trace.thread_names(), trace.functions());
    let mut out = format!(
        "# tracer: nop\n#\n# {}\n#\n#{:>19}     CPU#    TIMESTAMP  FUNCTION\n",
        trace.summary(),
        "TASK-PID"
    );
    for line in trace.lines() {
        if line.after_loss {
            let _ = writeln!(out, "CPU:{} [LOST EVENTS]", line.cpu);
        }
        let Line { cpu, event, .. } = line;
        let pid = event.pid.map(|pid| pid as i32);
        let name = pid.and_then(|pid| names.get(&pid));
        let task = format!(
            "{}-{}",
            name.map_or("<...>", String::as_str),
            pid.map_or("?".to_owned(), |pid| pid.to_string())
        );
        let at = event.timestamp();
        let (seconds, micros) = (at / 1_000_000_000, at % 1_000_000_000 / 1_000);
        let _ = write!(out, "{task:>20}     [{cpu:03}] {seconds:>5}.{micros:06}: ");
        match &event.event {
            Some(e) => {
                let _ = writeln!(out, "{}", Shown(e, &|f| functions.get(&f).cloned()));
            }
            None => out.push_str("unknown\n"),
        }
    }
    out
}

/// The event's name, as a tracepoint.
#[must_use]
pub fn name(e: &Event) -> &str {
    match e {
        Event::SchedSwitch(_) => "sched_switch",
        Event::SchedWakeup(_) => "sched_wakeup",
        Event::SchedWaking(_) => "sched_waking",
        Event::SchedWakeupNew(_) => "sched_wakeup_new",
        Event::SchedMigrateTask(_) => "sched_migrate_task",
        Event::SchedProcessExit(_) => "sched_process_exit",
        Event::SchedPiSetprio(_) => "sched_pi_setprio",
        Event::TaskNewtask(_) => "task_newtask",
        Event::IrqHandlerEntry(_) => "irq_handler_entry",
        Event::IrqHandlerExit(_) => "irq_handler_exit",
        Event::SoftirqRaise(_) => "softirq_raise",
        Event::SoftirqEntry(_) => "softirq_entry",
        Event::SoftirqExit(_) => "softirq_exit",
        Event::IpiRaise(_) => "ipi_raise",
        Event::IpiEntry(_) => "ipi_entry",
        Event::IpiExit(_) => "ipi_exit",
        Event::TimerStart(_) => "timer_start",
        Event::TimerCancel(_) => "timer_cancel",
        Event::TimerExpireEntry(_) => "timer_expire_entry",
        Event::TimerExpireExit(_) => "timer_expire_exit",
        Event::WorkqueueQueueWork(_) => "workqueue_queue_work",
        Event::WorkqueueActivateWork(_) => "workqueue_activate_work",
        Event::WorkqueueExecuteStart(_) => "workqueue_execute_start",
        Event::WorkqueueExecuteEnd(_) => "workqueue_execute_end",
        Event::NetifReceiveSkb(_) => "netif_receive_skb",
        Event::NetDevXmit(_) => "net_dev_xmit",
        Event::Generic(g) => g.event_name(),
    }
}

/// Linux's letter for the state a thread was left in.
#[must_use]
pub fn state(prev_state: i64) -> &'static str {
    match prev_state {
        0 => "R",
        1 => "S",
        _ => "X",
    }
}

/// Linux's name of a softirq.
#[must_use]
pub fn softirq(vec: u32) -> &'static str {
    const NAMES: [&str; 10] = [
        "HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER",
        "RCU",
    ];
    NAMES.get(vec as usize).copied().unwrap_or("?")
}

/// An event with its fields, and who knows the names of functions.
struct Shown<'a>(&'a Event, &'a dyn Fn(u64) -> Option<String>);

impl Shown<'_> {
    fn work(&self, f: &mut fmt::Formatter<'_>, work: u64, function: Option<u64>) -> fmt::Result {
        write!(f, "work struct={work:#x}")?;
        self.function(f, function)
    }

    fn function(&self, f: &mut fmt::Formatter<'_>, function: Option<u64>) -> fmt::Result {
        match function {
            Some(at) => match (self.1)(at) {
                Some(name) => write!(f, " function={name}"),
                None => write!(f, " function={at:#x}"),
            },
            None => Ok(()),
        }
    }
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", name(self.0))?;
        match self.0 {
            Event::SchedSwitch(e) => write!(
                f,
                "prev_comm={} prev_pid={} prev_prio={} prev_state={} ==> next_comm={} next_pid={} next_prio={}",
                e.prev_comm(),
                e.prev_pid(),
                e.prev_prio(),
                state(e.prev_state()),
                e.next_comm(),
                e.next_pid(),
                e.next_prio()
            ),
            Event::SchedWakeup(e) | Event::SchedWaking(e) | Event::SchedWakeupNew(e) => write!(
                f,
                "comm={} pid={} prio={} target_cpu={:03}",
                e.comm(),
                e.pid(),
                e.prio(),
                e.target_cpu()
            ),
            Event::SchedMigrateTask(e) => write!(
                f,
                "comm={} pid={} prio={} orig_cpu={} dest_cpu={}",
                e.comm(),
                e.pid(),
                e.prio(),
                e.orig_cpu(),
                e.dest_cpu()
            ),
            Event::SchedProcessExit(e) => {
                write!(f, "comm={} pid={} prio={}", e.comm(), e.pid(), e.prio())
            }
            Event::SchedPiSetprio(e) => write!(
                f,
                "comm={} pid={} oldprio={} newprio={}",
                e.comm(),
                e.pid(),
                e.oldprio(),
                e.newprio()
            ),
            Event::TaskNewtask(e) => write!(f, "pid={} comm={}", e.pid(), e.comm()),
            Event::IrqHandlerEntry(e) => write!(f, "irq={} name={}", e.irq(), e.name()),
            Event::IrqHandlerExit(e) => write!(f, "irq={} ret=handled", e.irq()),
            Event::SoftirqRaise(e) | Event::SoftirqEntry(e) | Event::SoftirqExit(e) => {
                write!(f, "vec={} [action={}]", e.vec(), softirq(e.vec()))
            }
            Event::IpiRaise(e) => {
                write!(f, "target_mask={:08x} ({})", e.target_cpus(), e.reason())
            }
            Event::IpiEntry(e) | Event::IpiExit(e) => write!(f, "({})", e.reason()),
            Event::TimerStart(e) => {
                write!(f, "timer={:#x}", e.timer())?;
                self.function(f, e.function)?;
                write!(f, " expires={}", e.expires())
            }
            Event::TimerCancel(e) | Event::TimerExpireExit(e) => {
                write!(f, "timer={:#x}", e.timer())
            }
            Event::TimerExpireEntry(e) => {
                write!(f, "timer={:#x}", e.timer())?;
                self.function(f, e.function)?;
                write!(f, " now={}", e.now())
            }
            Event::WorkqueueQueueWork(e) => {
                self.work(f, e.work(), e.function)?;
                write!(f, " workqueue={} cpu={}", e.workqueue(), e.cpu())
            }
            Event::WorkqueueActivateWork(e)
            | Event::WorkqueueExecuteStart(e)
            | Event::WorkqueueExecuteEnd(e) => self.work(f, e.work(), e.function),
            Event::NetifReceiveSkb(e) | Event::NetDevXmit(e) => {
                write!(f, "dev={} len={}", e.name(), e.len())
            }
            Event::Generic(e) => {
                for (i, field) in e.field.iter().enumerate() {
                    let space = if i == 0 { "" } else { " " };
                    write!(f, "{space}{}={}", field.name(), value(field))?;
                }
                Ok(())
            }
        }
    }
}

/// The text of a generic event's field: addresses, which are large, in hexadecimal.
pub(super) fn value(field: &Field) -> String {
    match (&field.str_value, field.uint_value) {
        (Some(text), _) => text.clone(),
        (None, Some(n)) if n > u64::from(u32::MAX / 4) => format!("{n:#x}"),
        (None, n) => n.unwrap_or(0).to_string(),
    }
}
