//! What can happen, in one table: code, name, category, meaning of the numbers.
//!
//! Names are those of Linux's tracepoints where Linux has one, so that tools made for Linux know
//! what they see. Threads are named by their number (0 is a core's idle thread), cores by theirs,
//! pools by their place in the pool table. Items, queues, timers and locks are addresses: unique
//! while the thing lives, and nothing more.

use core::fmt;
use core::ops::BitOr;

/// A set of categories; each kind of event belongs to one.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Categories(pub u32);

impl Categories {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Threads: switches, wake-ups, migrations.
    pub const SCHED: Self = Self(1 << 0);
    /// Work items and their workers.
    pub const WORKQUEUE: Self = Self(1 << 1);
    /// Interrupts of devices and the timer.
    pub const IRQ: Self = Self(1 << 2);
    /// Softirqs.
    pub const SOFTIRQ: Self = Self(1 << 3);
    /// Interrupts from core to core.
    pub const IPI: Self = Self(1 << 4);
    /// Timers.
    pub const TIMER: Self = Self(1 << 5);
    /// Sleeping locks.
    pub const LOCK: Self = Self(1 << 6);
    /// Frames.
    pub const NET: Self = Self(1 << 7);
    /// Requests.
    pub const HTTP: Self = Self(1 << 8);
    /// Where the time of each work item went.
    pub const LATENCY: Self = Self(1 << 9);
    /// Everything.
    pub const ALL: Self = Self((1 << 10) - 1);
    /// What is on unless somebody says otherwise.
    pub const DEFAULT: Self = Self(Self::SCHED.0 | Self::WORKQUEUE.0);

    const NAMES: [(&'static str, Self); 10] = [
        ("sched", Self::SCHED),
        ("workqueue", Self::WORKQUEUE),
        ("irq", Self::IRQ),
        ("softirq", Self::SOFTIRQ),
        ("ipi", Self::IPI),
        ("timer", Self::TIMER),
        ("lock", Self::LOCK),
        ("net", Self::NET),
        ("http", Self::HTTP),
        ("latency", Self::LATENCY),
    ];

    /// True when the sets share a category.
    #[inline(always)]
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set that `list` names: `all`, `off`, or names separated by commas. `Err` with the first
    /// name that means nothing.
    ///
    /// # Errors
    ///
    /// The unknown name.
    pub fn parse(list: &str) -> Result<Self, &str> {
        let mut set = Self::NONE;
        for name in list.split(',').filter(|n| !n.is_empty()) {
            set = set
                | match name {
                    "all" => Self::ALL,
                    "off" => Self::NONE,
                    _ => {
                        let known = Self::NAMES.iter().find(|(n, _)| *n == name);
                        known.ok_or(name)?.1
                    }
                };
        }
        Ok(set)
    }

    /// The names of the set's categories.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let each = Self::NAMES.iter();
        each.filter(move |(_, c)| self.meets(*c)).map(|(n, _)| *n)
    }
}

impl BitOr for Categories {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Categories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident = $code:literal, $category:ident, $name:literal;)*) => {
        /// A kind of event. Each says what its `flags`, `small`, `arg`, `a` and `b` are; what is
        /// not mentioned is 0.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[doc = $doc])* $kind = $code,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The kind with this number.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$kind),)*
                    _ => None,
                }
            }

            /// Its name, as a tracepoint.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// Its category.
            #[inline(always)]
            #[must_use]
            pub const fn category(self) -> Categories {
                match self {
                    $(Self::$kind => Categories::$category,)*
                }
            }
        }
    };
}

kinds! {
    /// A core changes threads: `arg` the next one, `a` the previous one, `b` why that one leaves:
    /// 0 preempted or yielding, 1 sleeping, 2 ended.
    SchedSwitch = 1, SCHED, "sched_switch";
    /// Thread `arg` was woken and will run on core `a`; `b` is the set of cores it may run on.
    SchedWakeup = 2, SCHED, "sched_wakeup";
    /// New thread `arg` will run on core `a`; `b` is the set of cores it may run on.
    SchedWakeupNew = 3, SCHED, "sched_wakeup_new";
    /// Thread `arg` goes from core `a` to core `b`.
    SchedMigrateTask = 4, SCHED, "sched_migrate_task";
    /// Thread `arg` ends.
    SchedProcessExit = 5, SCHED, "sched_process_exit";
    /// Thread `arg` may run on the cores of set `b` from now on.
    SchedSetAffinity = 6, SCHED, "sched_setaffinity";
    /// The nice value that counts of thread `arg` changes, because it was set, lent or taken back:
    /// from priority `a` to `b`, while that of its own is `small`; a priority is a nice value and 120.
    SchedPiSetprio = 10, SCHED, "sched_pi_setprio";
    /// Thread `arg` is new: its priority (a nice value and 120) is `small`, its name the bytes of `a` and
    /// `b`, least significant first, filled up with zeroes and cut if it is longer.
    TaskNewtask = 11, SCHED, "task_newtask";
    /// Core `arg` takes part in scheduling from now on.
    CpuOnline = 7, SCHED, "cpuhp_online";
    /// Core `arg` is going offline: no thread is put there from now on.
    CpuOffline = 8, SCHED, "cpuhp_offline";
    /// This core does nothing more: it asks the firmware to switch it off.
    CpuDead = 9, SCHED, "cpuhp_dead";

    /// An interrupt is handled: `arg` 0 an inter-processor interrupt, 1 the timer, else a device's
    /// number.
    IrqHandlerEntry = 16, IRQ, "irq_handler_entry";
    /// It was handled.
    IrqHandlerExit = 17, IRQ, "irq_handler_exit";
    /// Softirq `arg` became pending on this core.
    SoftirqRaise = 18, SOFTIRQ, "softirq_raise";
    /// Softirq `arg` starts.
    SoftirqEntry = 19, SOFTIRQ, "softirq_entry";
    /// Softirq `arg` ends.
    SoftirqExit = 20, SOFTIRQ, "softirq_exit";
    /// An inter-processor interrupt goes to core `arg`; `a` says why: the mailbox bits, or 0 for
    /// "look at your runqueue".
    IpiSend = 21, IPI, "ipi_send_cpu";
    /// An inter-processor interrupt arrived; `a` the mailbox bits.
    IpiEntry = 22, IPI, "ipi_entry";
    /// It was handled.
    IpiExit = 23, IPI, "ipi_exit";

    /// Timer `a` was armed for time `b` in nanoseconds; its function is in the head, as at
    /// [`Kind::ExecuteStart`].
    TimerStart = 32, TIMER, "timer_start";
    /// Timer `a` was disarmed.
    TimerCancel = 33, TIMER, "timer_cancel";
    /// Timer `a`'s callback starts; the time is `b` in nanoseconds, and its function is in the head.
    TimerExpireEntry = 34, TIMER, "timer_expire_entry";
    /// Timer `a`'s callback is over.
    TimerExpireExit = 35, TIMER, "timer_expire_exit";

    /// The running thread got sleeping lock `a`.
    LockAcquired = 40, LOCK, "lock_acquired";
    /// The running thread released sleeping lock `a`.
    LockRelease = 41, LOCK, "lock_release";
    /// The running thread waits for `a`: a mutex, semaphore, completion or wait queue; `arg` 1 if
    /// not for ever.
    ContentionBegin = 42, LOCK, "contention_begin";
    /// It got what it waited for, or (`arg` 1) its time is over.
    ContentionEnd = 43, LOCK, "contention_end";
    /// The running thread ends and still has `arg` sleeping locks, which are anybody's now.
    LockAbandon = 44, LOCK, "lock_abandon";

    /// Item `a` was queued on queue `b` in pool `arg`; flag [`Kind::ACTIVE`]. In the simulator `small` is how
    /// many active items of the queue the pool may have (`u16::MAX`: that many or more), and from bit
    /// [`Kind::NODE_SHIFT`] on the flags are the memory node whose slots its items share, plus 1; 0 if
    /// the pool has some of its own. One that waits behind another one of the pool does not know a node's limit.
    QueueWork = 48, WORKQUEUE, "workqueue_queue_work";
    /// Item `a` of queue `b` got its max_active slot in pool `arg`; `small` and
    /// node as at [`Kind::QueueWork`].
    ActivateWork = 49, WORKQUEUE, "workqueue_activate_work";
    /// Item `a` of queue `b` starts in pool `arg`; its function is in the head
    /// ([`crate::Head::function_near`]), except in the simulator.
    ExecuteStart = 50, WORKQUEUE, "workqueue_execute_start";
    /// Item `a` of queue `b` is over in pool `arg`; flag [`Kind::PANICKED`].
    ExecuteEnd = 51, WORKQUEUE, "workqueue_execute_end";
    /// Pending item `a` was taken out of pool `arg`.
    CancelWork = 52, WORKQUEUE, "workqueue_cancel_work";
    /// A waiter's barrier `b` went behind item `a` in pool `arg`.
    InsertBarrier = 53, WORKQUEUE, "workqueue_insert_barrier";
    /// Barrier `b` was reached and its waiter let go, in pool `arg`.
    BarrierDone = 54, WORKQUEUE, "workqueue_barrier_done";
    /// The running thread starts waiting for all of queue `b`.
    FlushStart = 55, WORKQUEUE, "workqueue_flush_start";
    /// It has waited for all of queue `b`.
    FlushEnd = 56, WORKQUEUE, "workqueue_flush_end";
    /// Item `a` is disabled and neither pending nor running: a synchronous cancel has waited.
    CancelSync = 57, WORKQUEUE, "workqueue_cancel_sync";
    /// A flush found item `a` neither pending nor running, or (`a` 0) all of queue `b` over, without a
    /// barrier; it may have let an item's worker go first. The simulator, which
    /// judges that, is told of its beginning as of a [`Kind::FlushStart`] of item `a` and no queue, and sees a queue's
    /// flush always begin and end. Of the details, since it is nothing that changed, and whoever flushes in a loop makes many.
    FlushIdle = 58, LATENCY, "workqueue_flush_idle";
    /// Queue `b` is gone.
    DestroyWorkqueue = 59, WORKQUEUE, "workqueue_destroy";
    /// Pool `arg` got worker thread `a`.
    WorkerCreate = 60, WORKQUEUE, "workqueue_worker_create";
    /// The running worker of pool `arg` is about to block in its item.
    WorkerSleep = 61, WORKQUEUE, "workqueue_worker_sleep";
    /// The running worker of pool `arg` goes on with its item.
    WorkerResume = 62, WORKQUEUE, "workqueue_worker_resume";
    /// Pool `arg` wakes its worker thread `a`.
    WorkerWake = 63, WORKQUEUE, "workqueue_worker_wake";
    /// The running worker leaves pool `arg`.
    WorkerDie = 64, WORKQUEUE, "workqueue_worker_die";
    /// Queue `b` was made: `arg` its `max_active` in each pool, flags [`Kind::BH`],
    /// [`Kind::UNBOUND`], [`Kind::CPU_INTENSIVE`], [`Kind::MEM_RECLAIM`], [`Kind::DEDICATED`],
    /// [`Kind::PREEMPTION_AWARE`].
    AllocWorkqueue = 65, WORKQUEUE, "workqueue_alloc";
    /// The running worker of pool `arg` has used the budget of item `a`, of function `b`: it is
    /// outside concurrency management until the item ends.
    WorkerHog = 66, WORKQUEUE, "workqueue_worker_hog";
    /// The manager of pool `arg` could not make a worker and pauses.
    WorkerCreateFail = 67, WORKQUEUE, "workqueue_worker_create_fail";
    /// Item `a` was disabled once more.
    DisableWork = 68, WORKQUEUE, "workqueue_disable_work";
    /// A disable of item `a` was undone; flag [`Kind::ENABLED`].
    EnableWork = 69, WORKQUEUE, "workqueue_enable_work";
    /// Item `a` was refused because it is disabled: the submission is lost.
    RefuseWork = 70, WORKQUEUE, "workqueue_refuse_work";
    /// Pool `arg` calls for the rescuer of queue `b`.
    Mayday = 71, WORKQUEUE, "workqueue_mayday";
    /// The running thread, queue `b`'s rescuer, comes to help pool `arg`.
    RescuerAttach = 72, WORKQUEUE, "workqueue_rescuer_attach";
    /// It leaves pool `arg`.
    RescuerDetach = 73, WORKQUEUE, "workqueue_rescuer_detach";
    /// Pool `arg` lost its core: its items run anywhere, outside concurrency management.
    PoolUnbind = 76, WORKQUEUE, "workqueue_pool_unbind";
    /// Pool `arg` has its core again.
    PoolBind = 77, WORKQUEUE, "workqueue_pool_bind";
    /// Ordered queue `b` goes from pool `arg` to pool `a` with all that waits in it.
    MoveWorkqueue = 78, WORKQUEUE, "workqueue_move";
    /// The items of BH pool `arg` run on core `a` from now on.
    PoolServe = 79, WORKQUEUE, "workqueue_pool_serve";

    /// Worker thread `a` of pool `arg` has waited for its core for long, and counts no more; it is `b` in
    /// nanoseconds.
    WorkerPreempted = 94, WORKQUEUE, "workqueue_worker_preempted";
    /// The running worker of pool `arg` has its core back, and counts as before.
    WorkerBack = 95, WORKQUEUE, "workqueue_worker_back";

    /// Item `a` is spawned in scope `b`.
    ScopeSpawn = 90, WORKQUEUE, "workqueue_scope_spawn";
    /// All that was spawned in scope `b` is over; its thread goes on.
    ScopeEnd = 91, WORKQUEUE, "workqueue_scope_end";

    /// A frame of `arg` bytes was received.
    NetRx = 80, NET, "netif_receive_skb";
    /// A frame of `arg` bytes was sent.
    NetTx = 81, NET, "net_dev_xmit";
    /// Connection `a` handed over to core `arg`.
    NetSteer = 82, NET, "net_steer";

    /// A request on connection `a` is complete and its reply begins.
    HttpRequestStart = 96, HTTP, "http_request_start";
    /// The request on connection `a` was answered with status `arg`.
    HttpRequestEnd = 97, HTTP, "http_request_end";

    /// The item that ended just before on this core waited `a` ns for a max_active slot and `b` ns for
    /// a worker.
    LatencyWait = 112, LATENCY, "workqueue_latency_wait";
    /// It ran for `a` ns and slept for `b` ns.
    LatencyRun = 113, LATENCY, "workqueue_latency_run";
    /// It could have run for another `a` ns and did not; all parts together are `b` ns.
    LatencyTotal = 114, LATENCY, "workqueue_latency_total";
}

impl Kind {
    /// Flag of [`Kind::QueueWork`]: the item has a max_active slot.
    pub const ACTIVE: u8 = 1;
    /// Where the node begins in the flags of [`Kind::QueueWork`] and [`Kind::ActivateWork`].
    pub const NODE_SHIFT: u32 = 1;
    /// Flag of [`Kind::AllocWorkqueue`]: its items run in softirq context.
    pub const BH: u8 = 2;
    /// Flag of [`Kind::AllocWorkqueue`]: its items run on any core, as soon as they can.
    pub const UNBOUND: u8 = 4;
    /// Flag of [`Kind::AllocWorkqueue`]: its items are outside concurrency management.
    pub const CPU_INTENSIVE: u8 = 8;
    /// Flag of [`Kind::AllocWorkqueue`]: it has a rescuer.
    pub const MEM_RECLAIM: u8 = 16;
    /// Flag of [`Kind::AllocWorkqueue`]: its threads are its own, each the only worker of a pool.
    pub const DEDICATED: u8 = 32;
    /// Flag of [`Kind::AllocWorkqueue`]: its items do not count while they wait for their core for long.
    pub const PREEMPTION_AWARE: u8 = 64;
    /// Flag of [`Kind::ExecuteEnd`]: the handler panicked.
    pub const PANICKED: u8 = 1;
    /// Flag of [`Kind::EnableWork`]: it was the last one, the item can be queued again.
    pub const ENABLED: u8 = 1;
    /// [`Self::CancelSync`]: it was taken off its list while no run was going on, so nobody had to wait, nor to
    /// disable it.
    pub const AT_REST: u8 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names() {
        assert_eq!(Categories::parse("off"), Ok(Categories::NONE));
        assert_eq!(Categories::parse("all"), Ok(Categories::ALL));
        let two = Categories::SCHED | Categories::TIMER;
        assert_eq!(Categories::parse("sched,timer"), Ok(two));
        assert_eq!(Categories::parse("sched,nonsense"), Err("nonsense"));
        assert!(two.names().eq(["sched", "timer"]));
        assert!(Categories::ALL.names().count() == 10);
    }

    #[test]
    fn names_and_numbers_are_unique() {
        for (i, a) in Kind::ALL.iter().enumerate() {
            assert_eq!(Kind::from_code(*a as u8), Some(*a));
            assert!(Categories::ALL.meets(a.category()));
            for b in &Kind::ALL[..i] {
                assert_ne!(a.name(), b.name());
            }
        }
    }
}
