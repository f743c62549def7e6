//! Field numbers of Perfetto's schema (`protos/perfetto/trace/`, as published with version 59).
//!
//! A module for each message, a constant for each field that is written.

/// `Trace`
pub(crate) mod trace {
    pub(crate) const PACKET: u32 = 1;
}

/// `TracePacket`
pub(crate) mod packet {
    pub(crate) const FTRACE_EVENTS: u32 = 1;
    pub(crate) const PROCESS_TREE: u32 = 2;
    pub(crate) const CLOCK_SNAPSHOT: u32 = 6;
    pub(crate) const TIMESTAMP: u32 = 8;
    pub(crate) const SEQUENCE: u32 = 10;
    pub(crate) const TRACK_EVENT: u32 = 11;
    pub(crate) const INTERNED_DATA: u32 = 12;
    pub(crate) const SEQUENCE_FLAGS: u32 = 13;
    pub(crate) const FTRACE_STATS: u32 = 34;
    pub(crate) const SYSTEM_INFO: u32 = 45;
    pub(crate) const TRACK_DESCRIPTOR: u32 = 60;
    /// A value of `SEQUENCE_FLAGS`: what was interned before is forgotten.
    pub(crate) const CLEARED: u64 = 1;
    /// A value of `SEQUENCE_FLAGS`: the packet uses what was interned.
    pub(crate) const NEEDS: u64 = 2;
}

/// `ClockSnapshot` and its `Clock`
pub(crate) mod clock {
    pub(crate) const CLOCKS: u32 = 1;
    pub(crate) const PRIMARY: u32 = 2;
    pub(crate) const ID: u32 = 1;
    pub(crate) const TIMESTAMP: u32 = 2;
    pub(crate) const BOOTTIME: u64 = 6;
    pub(crate) const MONOTONIC: u64 = 3;
}

/// `SystemInfo` and its `Utsname`
pub(crate) mod system {
    pub(crate) const UTSNAME: u32 = 1;
    pub(crate) const NUM_CPUS: u32 = 8;
    pub(crate) const SYSNAME: u32 = 1;
    pub(crate) const VERSION: u32 = 2;
    pub(crate) const RELEASE: u32 = 3;
    pub(crate) const MACHINE: u32 = 4;
}

/// `FtraceStats` and its `FtraceCpuStats`
pub(crate) mod stats {
    pub(crate) const PHASE: u32 = 1;
    pub(crate) const CPU_STATS: u32 = 2;
    pub(crate) const CPU: u32 = 1;
    pub(crate) const OVERRUN: u32 = 3;
    pub(crate) const READ_EVENTS: u32 = 9;
    pub(crate) const START: u64 = 1;
    pub(crate) const END: u64 = 2;
}

/// `ProcessTree`, its `Process` and its `Thread`
pub(crate) mod tree {
    pub(crate) const PROCESSES: u32 = 1;
    pub(crate) const THREADS: u32 = 2;
    pub(crate) const PROCESS_PID: u32 = 1;
    pub(crate) const PROCESS_CMDLINE: u32 = 3;
    pub(crate) const THREAD_TID: u32 = 1;
    pub(crate) const THREAD_NAME: u32 = 2;
    pub(crate) const THREAD_TGID: u32 = 3;
}

/// `InternedData` and its `InternedString`
pub(crate) mod interned {
    pub(crate) const KERNEL_SYMBOLS: u32 = 26;
    pub(crate) const IID: u32 = 1;
    pub(crate) const STR: u32 = 2;
}

/// `TrackDescriptor`, its `ProcessDescriptor` and its `CounterDescriptor`
pub(crate) mod track {
    pub(crate) const UUID: u32 = 1;
    pub(crate) const NAME: u32 = 2;
    pub(crate) const PROCESS: u32 = 3;
    pub(crate) const PARENT: u32 = 5;
    pub(crate) const COUNTER: u32 = 8;
    pub(crate) const PROCESS_PID: u32 = 1;
    pub(crate) const PROCESS_NAME: u32 = 6;
    pub(crate) const COUNTER_UNIT: u32 = 3;
    pub(crate) const UNIT_COUNT: u64 = 2;
}

/// `TrackEvent` and its `DebugAnnotation`
pub(crate) mod event {
    pub(crate) const ANNOTATIONS: u32 = 4;
    pub(crate) const TYPE: u32 = 9;
    pub(crate) const TRACK: u32 = 11;
    pub(crate) const CATEGORIES: u32 = 22;
    pub(crate) const NAME: u32 = 23;
    pub(crate) const COUNTER_VALUE: u32 = 30;
    pub(crate) const BEGIN: u64 = 1;
    pub(crate) const END: u64 = 2;
    pub(crate) const COUNTER: u64 = 4;
    pub(crate) const ANNOTATION_NAME: u32 = 10;
    pub(crate) const ANNOTATION_UINT: u32 = 3;
    pub(crate) const ANNOTATION_POINTER: u32 = 7;
    pub(crate) const ANNOTATION_STRING: u32 = 6;
}

/// `FtraceEventBundle` and `FtraceEvent`; which fields an event's message has is said in
/// [`crate::ftrace`].
pub(crate) mod ftrace {
    pub(crate) const CPU: u32 = 1;
    pub(crate) const EVENT: u32 = 2;
    pub(crate) const LOST: u32 = 3;
    pub(crate) const TIMESTAMP: u32 = 1;
    pub(crate) const PID: u32 = 2;
    pub(crate) const SCHED_SWITCH: u32 = 4;
    pub(crate) const SCHED_WAKEUP: u32 = 17;
    pub(crate) const SCHED_WAKING: u32 = 20;
    pub(crate) const IPI_ENTRY: u32 = 21;
    pub(crate) const IPI_EXIT: u32 = 22;
    pub(crate) const IPI_RAISE: u32 = 23;
    pub(crate) const SOFTIRQ_ENTRY: u32 = 24;
    pub(crate) const SOFTIRQ_EXIT: u32 = 25;
    pub(crate) const SOFTIRQ_RAISE: u32 = 26;
    pub(crate) const IRQ_HANDLER_ENTRY: u32 = 36;
    pub(crate) const IRQ_HANDLER_EXIT: u32 = 37;
    pub(crate) const WORKQUEUE_ACTIVATE_WORK: u32 = 56;
    pub(crate) const WORKQUEUE_EXECUTE_END: u32 = 57;
    pub(crate) const WORKQUEUE_EXECUTE_START: u32 = 58;
    pub(crate) const WORKQUEUE_QUEUE_WORK: u32 = 59;
    pub(crate) const SCHED_WAKEUP_NEW: u32 = 114;
    pub(crate) const TASK_NEWTASK: u32 = 235;
    pub(crate) const SCHED_PROCESS_EXIT: u32 = 238;
    pub(crate) const GENERIC: u32 = 327;
    pub(crate) const SCHED_PI_SETPRIO: u32 = 353;
    pub(crate) const NETIF_RECEIVE_SKB: u32 = 360;
    pub(crate) const NET_DEV_XMIT: u32 = 361;
    pub(crate) const SCHED_MIGRATE_TASK: u32 = 491;
    pub(crate) const TIMER_START: u32 = 555;
    pub(crate) const TIMER_CANCEL: u32 = 556;
    pub(crate) const TIMER_EXPIRE_ENTRY: u32 = 557;
    pub(crate) const TIMER_EXPIRE_EXIT: u32 = 558;
    /// Of a generic event.
    pub(crate) const GENERIC_NAME: u32 = 1;
    pub(crate) const GENERIC_FIELD: u32 = 2;
    pub(crate) const FIELD_NAME: u32 = 1;
    pub(crate) const FIELD_STR: u32 = 3;
    pub(crate) const FIELD_UINT: u32 = 5;
}
