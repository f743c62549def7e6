//! One event as Perfetto's message for Linux's event of that name; as a generic one, with its
//! fields by name, if there is no such message.

use trace::{Event, Field, Kind, Name, Value};

use crate::names::{Known, Names};
use crate::schema::ftrace as id;
use crate::wire::Wire;

/// Flag of Linux's `clone`: a thread of the same process.
const CLONE_THREAD: u64 = 0x1_0000;
/// `prev_state` of a thread that leaves its core runnable, sleeping or for ever.
const STATES: [u64; 3] = [0, 1, 16];
/// Name of the one network device.
const DEVICE: &str = "eth0";

/// What is said about an event besides itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) at_ns: u64,
    pub(crate) thread: Option<u32>,
    pub(crate) cpu: u32,
    /// Of the item that starts.
    pub(crate) function: u64,
}

/// Writes `e` as the next event of a bundle.
pub(crate) fn write<N: Names>(w: &mut Wire, known: &mut Known<N>, c: Context, e: &Event) {
    match e.kind {
        Kind::SchedWakeup => {
            // What Linux tells in two events is one here: who wakes, and where the woken will run.
            one(w, c, id::SCHED_WAKING, |w| woken(w, known, e));
            one(w, c, id::SCHED_WAKEUP, |w| woken(w, known, e));
        }
        _ => w.message(id::EVENT, |w| {
            head(w, c);
            body(w, known, c, e);
        }),
    }
}

fn head(w: &mut Wire, c: Context) {
    w.number(id::TIMESTAMP, c.at_ns);
    if let Some(thread) = c.thread {
        w.number(id::PID, u64::from(thread));
    }
}

fn one(w: &mut Wire, c: Context, message: u32, f: impl FnOnce(&mut Wire)) {
    w.message(id::EVENT, |w| {
        head(w, c);
        w.message(message, f);
    });
}

/// `comm`, `pid`, `prio` as fields 1 to 3.
fn who<N: Names>(w: &mut Wire, known: &mut Known<N>, thread: u32) {
    let t = known.thread(thread);
    w.text(1, t.name.as_str());
    w.number(2, u64::from(thread));
    w.number(3, u64::from(t.priority));
}

fn woken<N: Names>(w: &mut Wire, known: &mut Known<N>, e: &Event) {
    who(w, known, e.head.arg);
    w.number(4, 1);
    w.number(5, e.a);
}

/// The event's own message.
fn body<N: Names>(w: &mut Wire, known: &mut Known<N>, c: Context, e: &Event) {
    let arg = u64::from(e.head.arg);
    match e.kind {
        Kind::SchedSwitch => w.message(id::SCHED_SWITCH, |w| {
            let prev = e.a as u32;
            who(w, known, prev);
            w.number(4, STATES.get(e.b as usize).copied().unwrap_or(0));
            let next = known.thread(e.head.arg);
            w.text(5, next.name.as_str());
            w.number(6, arg);
            w.number(7, u64::from(next.priority));
        }),
        Kind::SchedWakeupNew => w.message(id::SCHED_WAKEUP_NEW, |w| woken(w, known, e)),
        Kind::SchedMigrateTask => w.message(id::SCHED_MIGRATE_TASK, |w| {
            who(w, known, e.head.arg);
            w.number(4, e.a);
            w.number(5, e.b);
        }),
        Kind::SchedProcessExit => w.message(id::SCHED_PROCESS_EXIT, |w| {
            let t = known.thread(e.head.arg);
            w.text(1, t.name.as_str());
            w.number(2, arg);
            w.number(3, u64::from(crate::PROCESS));
            w.number(4, u64::from(t.priority));
        }),
        Kind::SchedPiSetprio => w.message(id::SCHED_PI_SETPRIO, |w| {
            w.text(1, known.thread(e.head.arg).name.as_str());
            w.number(2, e.b);
            w.number(3, e.a);
            w.number(4, arg);
        }),
        Kind::TaskNewtask => w.message(id::TASK_NEWTASK, |w| {
            w.number(1, arg);
            w.text(2, Name::unpack(e.a, e.b).as_str());
            w.number(3, CLONE_THREAD);
        }),
        Kind::IrqHandlerEntry => w.message(id::IRQ_HANDLER_ENTRY, |w| {
            w.number(1, arg);
            w.text(2, interrupt(e.head.arg));
        }),
        Kind::IrqHandlerExit => w.message(id::IRQ_HANDLER_EXIT, |w| {
            w.number(1, arg);
            w.number(2, 1);
        }),
        Kind::SoftirqRaise => w.message(id::SOFTIRQ_RAISE, |w| w.number(1, arg)),
        Kind::SoftirqEntry => w.message(id::SOFTIRQ_ENTRY, |w| w.number(1, arg)),
        Kind::SoftirqExit => w.message(id::SOFTIRQ_EXIT, |w| w.number(1, arg)),
        // The field is a set of 32.
        Kind::IpiSend if arg < 32 => w.message(id::IPI_RAISE, |w| {
            w.number(1, 1 << arg);
            w.text(2, reason(e.a));
        }),
        Kind::IpiEntry => w.message(id::IPI_ENTRY, |w| w.text(1, reason(e.a))),
        Kind::IpiExit => w.message(id::IPI_EXIT, |_| {}),
        Kind::TimerStart => w.message(id::TIMER_START, |w| {
            w.number(1, e.a);
            known_function(w, 2, c.function);
            w.number(3, e.b);
            w.number(4, c.at_ns);
        }),
        Kind::TimerCancel => w.message(id::TIMER_CANCEL, |w| w.number(1, e.a)),
        Kind::TimerExpireEntry => w.message(id::TIMER_EXPIRE_ENTRY, |w| {
            w.number(1, e.a);
            w.number(2, e.b);
            known_function(w, 3, c.function);
        }),
        Kind::TimerExpireExit => w.message(id::TIMER_EXPIRE_EXIT, |w| w.number(1, e.a)),
        Kind::QueueWork => w.message(id::WORKQUEUE_QUEUE_WORK, |w| {
            work(w, e.a, known.item(e.a));
            w.number(5, u64::from(c.cpu));
            w.text(6, known.queue(e.b).as_str());
        }),
        Kind::ActivateWork => w.message(id::WORKQUEUE_ACTIVATE_WORK, |w| {
            work(w, e.a, known.item(e.a));
        }),
        Kind::ExecuteStart => w.message(id::WORKQUEUE_EXECUTE_START, |w| {
            work(w, e.a, c.function);
        }),
        Kind::ExecuteEnd => w.message(id::WORKQUEUE_EXECUTE_END, |w| {
            work(w, e.a, known.item(e.a));
        }),
        Kind::NetRx => w.message(id::NETIF_RECEIVE_SKB, |w| {
            w.number(1, arg);
            w.text(2, DEVICE);
        }),
        Kind::NetTx => w.message(id::NET_DEV_XMIT, |w| {
            w.number(1, arg);
            w.text(2, DEVICE);
        }),
        _ => generic(w, known, e),
    }
}

/// `work` and `function`; what is not known is left out.
fn work(w: &mut Wire, item: u64, function: u64) {
    w.number(1, item);
    known_function(w, 2, function);
}

fn known_function(w: &mut Wire, field: u32, function: u64) {
    if function != 0 {
        w.number(field, function);
    }
}

fn generic<N: Names>(w: &mut Wire, known: &mut Known<N>, e: &Event) {
    w.message(id::GENERIC, |w| {
        w.text(id::GENERIC_NAME, e.kind.name());
        e.each_field(|f| {
            w.message(id::GENERIC_FIELD, |w| field(w, known, f));
        });
    });
}

fn field<N: Names>(w: &mut Wire, known: &mut Known<N>, f: Field) {
    w.text(id::FIELD_NAME, f.name);
    match f.value {
        Value::Number(n) | Value::Address(n) | Value::Cores(n) => w.number(id::FIELD_UINT, n),
        Value::Thread(n) => w.number(id::FIELD_UINT, u64::from(n)),
        Value::Queue(at) => w.text(id::FIELD_STR, known.queue(at).as_str()),
        Value::Text(text) => w.text(id::FIELD_STR, text),
        Value::Name(name) => w.text(id::FIELD_STR, name.as_str()),
    }
}

const fn interrupt(number: u32) -> &'static str {
    match number {
        0 => "IPI",
        1 => "arch_timer",
        _ => "device",
    }
}

const fn reason(mailbox: u64) -> &'static str {
    match mailbox {
        0 => "Rescheduling interrupts",
        _ => "Function call interrupts",
    }
}
