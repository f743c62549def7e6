//! Where connections sit: recycled work items with a protocol's state.
//!
//! Each connection sits in a seat: a work item with a state machine, made when first needed and used
//! by one connection after the other, so that churn does not allocate. A seat's index goes back to
//! the free list as the last act of its run; a late event of its former connection at worst makes
//! it run once for nothing.
//!
//! Locks: a seat's sleeping mutex for the state; the spin locks of hall and seat (`Rank::Service`),
//! never two of those at once, and never while calling into the network. A seat whose handler
//! panicked is poisoned and never used again; its connection is reset.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use kernel::mem::{try_arc, try_push};
use kernel::mutex::Mutex;
use kernel::net::{Acceptor, Conn, Session};
use kernel::thread::{Builder, ThreadCx};
use kernel::wq::{Run, Submit, Submitted, Threaded, Work};
use sync::{BhOff, Rank, SpinLock};

use crate::server::{Mode, Next, Protocol, Queue, ServerConfig};

type Item<P> = Arc<Work<Seat<P>>>;

/// One connection's place.
pub(crate) struct Seat<P: Protocol> {
    hall: Arc<Hall<P>>,
    index: usize,
    visitor: SpinLock<Visitor, BhOff>,
    state: Mutex<State<P>>,
}

/// What the acceptor leaves at a seat.
struct Visitor {
    /// The next connection, until the seat's run takes it.
    arrival: Option<Conn>,
    /// The connection that sits here, to reset it if its handler dies.
    observer: Option<Conn>,
}

struct State<P> {
    protocol: P,
    conn: Option<Conn>,
}

struct Places<P: Protocol> {
    all: Vec<(Item<P>, Arc<Waker<P>>)>,
    free: Vec<usize>,
}

/// What the seats of a server share.
pub(crate) struct Hall<P: Protocol> {
    config: ServerConfig,
    queue: Queue,
    places: SpinLock<Places<P>, BhOff>,
    live: AtomicUsize,
}

/// Queues a seat's item when its connection has news.
struct Waker<P: Protocol> {
    item: Item<P>,
}

impl<P: Protocol> Session for Waker<P> {
    fn ready(&self) {
        // In the other modes the connection's own news count wakes the sleeper.
        if self.item.hall.config.mode == Mode::Event {
            self.item.submit(&self.item);
        }
    }
}

/// Accepts connections into a hall.
pub(crate) struct Door<P: Protocol>(pub(crate) Arc<Hall<P>>);

impl<P: Protocol> Acceptor for Door<P> {
    fn accept(&self, conn: Conn) -> Option<Arc<dyn Session>> {
        let hall = &self.0;
        let (item, session) = Hall::place(hall)?;
        hall.live.fetch_add(1, Ordering::Relaxed);
        let observer = Some(conn.observer());
        *item.visitor.lock() = Visitor {
            arrival: Some(conn),
            observer,
        };
        match hall.config.mode {
            Mode::Event | Mode::Blocking => item.submit(&item),
            Mode::Thread => {
                let seat = Arc::clone(&item);
                let body = move |cx: &ThreadCx<'_>| seat.stay(cx);
                if Builder::new(hall.config.name).spawn(body).is_err() {
                    let conn = item.visitor.lock().arrival.take();
                    item.leave();
                    // Dropping the handle closes the connection.
                    drop(conn);
                    return None;
                }
            }
        }
        Some(session)
    }
}

impl<P: Protocol> Hall<P> {
    pub(crate) const fn new(config: ServerConfig, queue: Queue) -> Self {
        let places = Places {
            all: Vec::new(),
            free: Vec::new(),
        };
        Self {
            config,
            queue,
            places: SpinLock::new(Rank::Service, "seats", places),
            live: AtomicUsize::new(0),
        }
    }

    /// Seats taken.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// Forgets all seats; they refer to the hall, so it would never be freed.
    pub(crate) fn clear(&self) {
        let old = core::mem::replace(
            &mut *self.places.lock(),
            Places {
                all: Vec::new(),
                free: Vec::new(),
            },
        );
        drop(old);
    }

    /// A free seat, a new one if need be; `None` when memory is out.
    fn place(hall: &Arc<Self>) -> Option<(Item<P>, Arc<Waker<P>>)> {
        let mut places = hall.places.lock();
        if let Some(i) = places.free.pop() {
            return places
                .all
                .get(i)
                .map(|(i, s)| (Arc::clone(i), Arc::clone(s)));
        }
        let index = places.all.len();
        drop(places);
        // Made without the lock. Only the network's one poll item accepts, so the index is still
        // free afterwards.
        let seat = Seat::new(Arc::clone(hall), index)?;
        let work = match hall.config.mode {
            Mode::Event => Work::<_, Threaded>::new(seat, visit::<P>),
            Mode::Blocking | Mode::Thread => Work::<_, Threaded>::new(seat, stay::<P>),
        };
        let item = try_arc(work).ok()?;
        let session = try_arc(Waker {
            item: Arc::clone(&item),
        })
        .ok()?;
        let mut places = hall.places.lock();
        // The free list must be able to take every seat back without allocating.
        let missing = (index + 1).saturating_sub(places.free.len());
        places.free.try_reserve(missing).ok()?;
        let both = (Arc::clone(&item), Arc::clone(&session));
        try_push(&mut places.all, both).ok()?;
        Some((item, session))
    }
}

/// Handler in event mode: one visit.
fn visit<P: Protocol>(cx: &ThreadCx<'_>, run: &Run<'_, Seat<P>>) {
    let Ok(mut state) = run.state.lock(cx) else {
        return;
    };
    if run.arrive(&mut state) && run.serve(cx, &mut state) == Next::Again {
        drop(state);
        run.submit(run);
    }
}

/// Handler in blocking mode: as long as the connection lives.
fn stay<P: Protocol>(cx: &ThreadCx<'_>, run: &Run<'_, Seat<P>>) {
    run.stay(cx);
}

impl<P: Protocol> Seat<P> {
    fn new(hall: Arc<Hall<P>>, index: usize) -> Option<Self> {
        let state = State {
            protocol: P::new()?,
            conn: None,
        };
        let visitor = Visitor {
            arrival: None,
            observer: None,
        };
        Some(Self {
            hall,
            index,
            visitor: SpinLock::new(Rank::Service, "visitor", visitor),
            state: Mutex::new(state),
        })
    }

    fn submit(&self, item: impl Submit<Threaded>) {
        match self.hall.queue.submit(item) {
            Submitted::Queued | Submitted::AlreadyPending(_) => {}
            refused => {
                // The handler died, or the server is going down: nobody will ever answer.
                debug_assert!(refused != Submitted::Disabled, "seats are never disabled");
                let mut visitor = self.visitor.lock();
                let arrival = visitor.arrival.take();
                let observer = visitor.observer.take();
                drop(visitor);
                if let Some(conn) = observer {
                    // The seat stays out of use: it never went back to the free list.
                    self.hall.live.fetch_sub(1, Ordering::Release);
                    conn.abort();
                }
                drop(arrival);
            }
        }
    }

    /// Takes over a connection that has just come; false when nobody sits here.
    fn arrive(&self, state: &mut State<P>) -> bool {
        if state.conn.is_none() {
            state.conn = self.visitor.lock().arrival.take();
            if state.conn.is_some() {
                state.protocol.reset();
            }
        }
        state.conn.is_some()
    }

    /// One run of the protocol; on its end the seat is free again.
    fn serve(&self, cx: &ThreadCx<'_>, state: &mut State<P>) -> Next {
        let Some(conn) = &state.conn else {
            return Next::Close;
        };
        let next = state.protocol.run(cx, conn);
        if next == Next::Close {
            // Dropping the handle closes the connection.
            drop(state.conn.take());
            self.leave();
        }
        next
    }

    /// Serves one connection to its end, sleeping while there is nothing to do.
    fn stay(&self, cx: &ThreadCx<'_>) {
        let Ok(mut state) = self.state.lock(cx) else {
            return;
        };
        if !self.arrive(&mut state) {
            return;
        }
        loop {
            let seen = state.conn.as_ref().map_or(0, Conn::news);
            match self.serve(cx, &mut state) {
                Next::Close => return,
                Next::Again => {}
                Next::Wait => {
                    if let Some(conn) = &state.conn {
                        conn.wait_news(cx, seen);
                    }
                }
            }
        }
    }

    /// Gives the seat back.
    fn leave(&self) {
        let observer = self.visitor.lock().observer.take();
        drop(observer);
        self.hall.places.lock().free.push(self.index);
        self.hall.live.fetch_sub(1, Ordering::Release);
    }
}
