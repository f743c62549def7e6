//! A TCP server: starting, stopping, and the choice of how its connections are run.
//!
//! | Mode | A connection is | It waits by |
//! | --- | --- | --- |
//! | event | a work item queued when something happens | not being queued |
//! | blocking | a work item that runs as long as the connection | sleeping in its worker |
//! | thread | a kernel thread | sleeping |
//!
//! What is served is a [`Protocol`]: a state machine that runs until it has nothing to do. It does
//! not know the mode. The seats that connections sit in are in `hall.rs`.

use alloc::sync::Arc;
use core::fmt;

use kernel::lockup::{self, Service};
use kernel::mem::try_arc;
use kernel::net::{self, Conn, ListenError, Listener};
use kernel::thread::{self, ThreadCx};
use kernel::wq::{PerCpu, Submit, Submitted, Threaded, Unbound, WaitError, Workqueue};
use machine::Duration;

use crate::hall::{Door, Hall};

/// How connections are run (`http.mode=`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// One work item per connection, queued when there is something to do.
    #[default]
    Event,
    /// One work item per connection, sleeping while there is nothing to do.
    Blocking,
    /// One kernel thread per connection.
    Thread,
}

/// Which kind of workqueue (`http.wq=`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum QueueKind {
    /// Items run on the core that queued them, which is the one that took the interrupt.
    #[default]
    Bound,
    /// Items run anywhere.
    Unbound,
}

/// What a protocol wants after a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Next {
    /// To run when something happened.
    Wait,
    /// To run again soon: its budget is used up.
    Again,
    /// To leave the connection.
    Close,
}

/// What the machines of one server share while it runs.
pub trait Common: Sized + Send + Sync + 'static {
    /// It, for a new server, or `None` when memory is out.
    fn new() -> Option<Self>;

    /// The server has stopped: no machine runs any more. Ends what takes a thread to end; may sleep.
    fn end(&self, _cx: &ThreadCx<'_>) {}
}

impl Common for () {
    fn new() -> Option<Self> {
        Some(())
    }
}

/// One connection's state machine.
pub trait Protocol: Sized + Send + 'static {
    /// What all machines of a server are made with.
    type Settings: Copy + Send + Sync + 'static;
    /// What they share.
    type Common: Common;

    /// A machine, or `None` when memory is out.
    fn new(settings: &Self::Settings, common: &Arc<Self::Common>) -> Option<Self>;

    /// Says on a new connection that it cannot be served, if the protocol has words for that; the
    /// connection is closed afterwards. BH context: writes what fits and does not wait.
    fn turn_away(_conn: &Conn) {}

    /// Gets ready for a new connection.
    fn reset(&mut self, conn: &Conn);

    /// Works until there is nothing to do. May sleep in `cx`, at the cost of this connection only. A
    /// panic ends this connection only, with a reset; what it owned is leaked.
    fn run(&mut self, cx: &ThreadCx<'_>, conn: &Conn) -> Next;
}

/// What a server is started with.
#[derive(Clone, Copy, Debug)]
pub struct ServerConfig {
    /// Name of the server's queue and threads.
    pub name: &'static str,
    /// TCP port.
    pub port: u16,
    /// Mode.
    pub mode: Mode,
    /// Kind of queue.
    pub queue: QueueKind,
}

/// Why a server did not start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// The port could not be opened.
    Listen(ListenError),
    /// Memory is out.
    OutOfMemory,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(e) => e.fmt(f),
            Self::OutOfMemory => f.write_str("out of memory"),
        }
    }
}

/// Why a server did not stop.
#[derive(Debug)]
pub enum StopError<P: Protocol> {
    /// The caller is run by this server, so that waiting for its items would never end. The server
    /// runs on: here it is.
    FromWithin(Server<P>),
    /// Everything was closed, but the queue did not end; see [`Workqueue::destroy`].
    Wait(WaitError),
}

impl<P: Protocol> fmt::Display for StopError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromWithin(_) => f.write_str("a server cannot be stopped by its own items"),
            Self::Wait(e) => e.fmt(f),
        }
    }
}

/// Most items running or sleeping at once, in an unbound queue or on each core. The largest limit a
/// queue can have. In blocking mode also most connections served at once: one more might wait for the end
/// of another, and nobody would watch how long.
pub(crate) const MAX_ACTIVE: u32 = 2048;

/// A server's own workqueue.
#[derive(Clone, Debug)]
pub(crate) enum Queue {
    Bound(Workqueue<PerCpu>),
    Unbound(Workqueue<Unbound>),
}

impl Queue {
    fn new(config: &ServerConfig) -> Option<Self> {
        let name = config.name;
        Some(match config.queue {
            QueueKind::Bound => Self::Bound(
                Workqueue::builder(name)
                    .sysfs()
                    .max_active(MAX_ACTIVE)
                    .build()
                    .ok()?,
            ),
            QueueKind::Unbound => Self::Unbound(
                Workqueue::builder(name)
                    .sysfs()
                    .max_active(MAX_ACTIVE)
                    .build()
                    .ok()?,
            ),
        })
    }

    #[inline]
    pub(crate) fn submit(&self, item: impl Submit<Threaded>) -> Submitted {
        match self {
            Self::Bound(q) => q.queue(item),
            Self::Unbound(q) => q.queue(item),
        }
    }

    fn destroy(self, cx: &ThreadCx<'_>) -> Result<(), WaitError> {
        match self {
            Self::Bound(q) => q.destroy(cx),
            Self::Unbound(q) => q.destroy(cx),
        }
    }
}

/// How long connections may take to end politely when a server stops.
const GRACE: Duration = Duration::from_secs(1);
/// How often a stopping server looks.
const LOOK: Duration = Duration::from_millis(1);

/// A running server. Dropping it without [`Self::stop`] leaves its connections running and its
/// port closed.
pub struct Server<P: Protocol> {
    hall: Arc<Hall<P>>,
    queue: Queue,
    listener: Listener,
    mode: Mode,
    common: Arc<P::Common>,
}

impl<P: Protocol> fmt::Debug for Server<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

fn watched<P: Protocol>(hall: &Arc<Hall<P>>) -> Arc<dyn Service> {
    Arc::<Hall<P>>::clone(hall)
}

impl<P: Protocol> Server<P> {
    /// Starts serving.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing was started.
    pub fn start(
        cx: &ThreadCx<'_>,
        config: ServerConfig,
        settings: P::Settings,
    ) -> Result<Self, StartError> {
        let queue = Queue::new(&config).ok_or(StartError::OutOfMemory)?;
        let common = P::Common::new().and_then(|common| try_arc(common).ok());
        let made = common.and_then(|common| {
            let hall = Hall::new(config, settings, queue.clone(), Arc::clone(&common));
            let hall = try_arc(hall).ok()?;
            let door = try_arc(Door(Arc::clone(&hall))).ok()?;
            Some((hall, door, common))
        });
        let error = match made {
            Some((hall, door, common)) => match net::listen(config.port, door) {
                Ok(listener) => {
                    // Too many to watch: it serves all the same.
                    let _ = lockup::watch_service(watched(&hall));
                    return Ok(Self {
                        hall,
                        queue,
                        listener,
                        mode: config.mode,
                        common,
                    });
                }
                Err(e) => StartError::Listen(e),
            },
            None => StartError::OutOfMemory,
        };
        // Nothing was ever queued, and this is not one of its items.
        let _ = queue.destroy(cx);
        Err(error)
    }

    /// Connections served at this moment.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.hall.live()
    }

    /// Stops: accepts no more, ends the connections (politely, after a second by force), waits for
    /// every item and thread, and gives the memory back. Takes as long as the slowest handler.
    ///
    /// In thread mode a thread is waited for until it has let go of its seat, the last thing it does
    /// before it exits: it touches nothing of the server any more, but its stack may be freed, and it
    /// may disappear from the list of threads, a moment after this returns.
    ///
    /// # Errors
    ///
    /// See [`StopError`].
    pub fn stop(self, cx: &ThreadCx<'_>) -> Result<(), StopError<P>> {
        if self.hall.is_served_by_caller() {
            return Err(StopError::FromWithin(self));
        }
        lockup::unwatch_service(&watched(&self.hall));
        self.listener.stop_accepting();
        self.listener.close_connections(false);
        let force = machine::now() + GRACE;
        while self.hall.live() > 0 || self.listener.connections() > 0 {
            if machine::now() >= force {
                self.listener.close_connections(true);
            }
            // Handlers may sleep for seconds; nobody else waits for this.
            thread::sleep(cx, LOOK);
        }
        let Self {
            hall,
            queue,
            listener,
            mode,
            common,
        } = self;
        hall.clear();
        // A thread's seat is free before its last line has run; its reference goes with that line.
        // Connections kept for reuse may hold a session, and so the hall, too. Items need no such
        // wait: `destroy` waits for them.
        while mode == Mode::Thread && Arc::strong_count(&hall) > 1 + hall.lost() {
            listener.trim();
            thread::sleep(cx, LOOK);
        }
        drop(hall);
        queue.destroy(cx).map_err(StopError::Wait)?;
        common.end(cx);
        listener.trim();
        Ok(())
    }
}
