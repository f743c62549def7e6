//! The lock order, in one place.

/// A lock's place in the order: while a lock is held, only locks of a higher rank may be taken in
/// the same context. Two locks of one rank need an own rule (runqueues: lower core first).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Rank {
    /// Outermost: a service's own tables.
    Service = 10,
    /// A network stack's interface (addresses, neighbours).
    NetStack = 20,
    /// One network connection.
    Connection = 24,
    /// Who waits for whom: taken by a thread that is about to wait, and looks at what others wait for.
    WaitGraph = 28,
    /// Flush, max_active and the pool list of one workqueue.
    Workqueue = 30,
    /// A worker pool.
    Pool = 40,
    /// The counter that spreads max_active over pools.
    NodeActive = 44,
    /// A workqueue's mayday list.
    Mayday = 46,
    /// A wait queue or completion.
    WaitQueue = 50,
    /// One thread's own lock.
    Thread = 60,
    /// A core's timers: a callback runs without it, and arming one may happen under a pool lock.
    TimerBase = 64,
    /// Who lends to whom: inside the locks of what is waited for, outside the runqueues'.
    Lending = 66,
    /// A core's runqueue; two are taken in core order.
    RunQueue = 70,
    /// Core-to-core mailboxes.
    Mailbox = 74,
    /// A network device and its rings.
    Device = 76,
    /// The system-wide thread list.
    ThreadList = 78,
    /// The general heap.
    Heap = 80,
    /// The page allocator.
    Pages = 84,
    /// The console.
    Console = 90,
    /// Trace rings and counters: nothing is taken under them.
    Leaf = 100,
}
