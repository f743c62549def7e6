//! Messages of events: `FtraceEvent`'s alternatives.

#![expect(missing_docs, reason = "the published schema documents its fields")]
#![expect(
    clippy::len_without_is_empty,
    reason = "the length of a frame, from a field of that name"
)]

use prost::{Message, Oneof};

/// What happened.
#[derive(Clone, PartialEq, Oneof)]
pub enum Event {
    #[prost(message, tag = "4")]
    SchedSwitch(SchedSwitch),
    #[prost(message, tag = "17")]
    SchedWakeup(Wakeup),
    #[prost(message, tag = "20")]
    SchedWaking(Wakeup),
    #[prost(message, tag = "21")]
    IpiEntry(Ipi),
    #[prost(message, tag = "22")]
    IpiExit(Ipi),
    #[prost(message, tag = "23")]
    IpiRaise(IpiRaise),
    #[prost(message, tag = "24")]
    SoftirqEntry(Softirq),
    #[prost(message, tag = "25")]
    SoftirqExit(Softirq),
    #[prost(message, tag = "26")]
    SoftirqRaise(Softirq),
    #[prost(message, tag = "36")]
    IrqHandlerEntry(IrqHandlerEntry),
    #[prost(message, tag = "37")]
    IrqHandlerExit(IrqHandlerExit),
    #[prost(message, tag = "56")]
    WorkqueueActivateWork(Work),
    #[prost(message, tag = "57")]
    WorkqueueExecuteEnd(Work),
    #[prost(message, tag = "58")]
    WorkqueueExecuteStart(Work),
    #[prost(message, tag = "59")]
    WorkqueueQueueWork(QueueWork),
    #[prost(message, tag = "114")]
    SchedWakeupNew(Wakeup),
    #[prost(message, tag = "235")]
    TaskNewtask(TaskNewtask),
    #[prost(message, tag = "238")]
    SchedProcessExit(SchedProcessExit),
    #[prost(message, tag = "327")]
    Generic(Generic),
    #[prost(message, tag = "353")]
    SchedPiSetprio(SchedPiSetprio),
    #[prost(message, tag = "360")]
    NetifReceiveSkb(NetDevice),
    #[prost(message, tag = "361")]
    NetDevXmit(NetDevice),
    #[prost(message, tag = "491")]
    SchedMigrateTask(SchedMigrateTask),
    #[prost(message, tag = "555")]
    TimerStart(TimerStart),
    #[prost(message, tag = "556")]
    TimerCancel(Timer),
    #[prost(message, tag = "557")]
    TimerExpireEntry(TimerExpireEntry),
    #[prost(message, tag = "558")]
    TimerExpireExit(Timer),
}

/// `SchedSwitchFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct SchedSwitch {
    #[prost(string, optional, tag = "1")]
    pub prev_comm: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub prev_pid: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub prev_prio: Option<i32>,
    #[prost(int64, optional, tag = "4")]
    pub prev_state: Option<i64>,
    #[prost(string, optional, tag = "5")]
    pub next_comm: Option<String>,
    #[prost(int32, optional, tag = "6")]
    pub next_pid: Option<i32>,
    #[prost(int32, optional, tag = "7")]
    pub next_prio: Option<i32>,
}

/// `SchedWakeupFtraceEvent`, `SchedWakeupNewFtraceEvent` and `SchedWakingFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct Wakeup {
    #[prost(string, optional, tag = "1")]
    pub comm: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub pid: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub prio: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub success: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub target_cpu: Option<i32>,
}

/// `SchedMigrateTaskFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct SchedMigrateTask {
    #[prost(string, optional, tag = "1")]
    pub comm: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub pid: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub prio: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub orig_cpu: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub dest_cpu: Option<i32>,
}

/// `SchedProcessExitFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct SchedProcessExit {
    #[prost(string, optional, tag = "1")]
    pub comm: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub pid: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub tgid: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub prio: Option<i32>,
}

/// `SchedPiSetprioFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct SchedPiSetprio {
    #[prost(string, optional, tag = "1")]
    pub comm: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub newprio: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub oldprio: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub pid: Option<i32>,
}

/// `TaskNewtaskFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct TaskNewtask {
    #[prost(int32, optional, tag = "1")]
    pub pid: Option<i32>,
    #[prost(string, optional, tag = "2")]
    pub comm: Option<String>,
    #[prost(uint64, optional, tag = "3")]
    pub clone_flags: Option<u64>,
}

/// `IrqHandlerEntryFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct IrqHandlerEntry {
    #[prost(int32, optional, tag = "1")]
    pub irq: Option<i32>,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

/// `IrqHandlerExitFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct IrqHandlerExit {
    #[prost(int32, optional, tag = "1")]
    pub irq: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub ret: Option<i32>,
}

/// `SoftirqEntryFtraceEvent`, `SoftirqExitFtraceEvent` and `SoftirqRaiseFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct Softirq {
    #[prost(uint32, optional, tag = "1")]
    pub vec: Option<u32>,
}

/// `IpiRaiseFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct IpiRaise {
    #[prost(uint32, optional, tag = "1")]
    pub target_cpus: Option<u32>,
    #[prost(string, optional, tag = "2")]
    pub reason: Option<String>,
}

/// `IpiEntryFtraceEvent` and `IpiExitFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct Ipi {
    #[prost(string, optional, tag = "1")]
    pub reason: Option<String>,
}

/// `TimerStartFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct TimerStart {
    #[prost(uint64, optional, tag = "1")]
    pub timer: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub function: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub expires: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    pub now: Option<u64>,
}

/// `TimerCancelFtraceEvent` and `TimerExpireExitFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct Timer {
    #[prost(uint64, optional, tag = "1")]
    pub timer: Option<u64>,
}

/// `TimerExpireEntryFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct TimerExpireEntry {
    #[prost(uint64, optional, tag = "1")]
    pub timer: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub now: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub function: Option<u64>,
}

/// `WorkqueueQueueWorkFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct QueueWork {
    #[prost(uint64, optional, tag = "1")]
    pub work: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub function: Option<u64>,
    #[prost(int32, optional, tag = "5")]
    pub cpu: Option<i32>,
    #[prost(string, optional, tag = "6")]
    pub workqueue: Option<String>,
}

/// `WorkqueueActivateWorkFtraceEvent`, `WorkqueueExecuteEndFtraceEvent` and `WorkqueueExecuteStartFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct Work {
    #[prost(uint64, optional, tag = "1")]
    pub work: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub function: Option<u64>,
}

/// `NetifReceiveSkbFtraceEvent` and `NetDevXmitFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct NetDevice {
    #[prost(uint32, optional, tag = "1")]
    pub len: Option<u32>,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

/// `GenericFtraceEvent`
#[derive(Clone, PartialEq, Message)]
pub struct Generic {
    #[prost(string, optional, tag = "1")]
    pub event_name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    pub field: Vec<Field>,
}

/// `GenericFtraceEvent.Field`
#[derive(Clone, PartialEq, Message)]
pub struct Field {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub str_value: Option<String>,
    #[prost(uint64, optional, tag = "5")]
    pub uint_value: Option<u64>,
}
