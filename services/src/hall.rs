//! Where connections sit: recycled work items with a protocol's state.
//!
//! Each connection sits in a seat: a work item with a state machine, made when first needed and used
//! by one connection after the other, so that churn does not allocate. A seat's index goes back to
//! the free list as the last act of its run; a late event of its former connection at worst makes
//! it run once for nothing. Seats that nobody needed from one [`Acceptor::trim`] to the next are
//! given back, so that a crowd does not leave its memory behind.
//!
//! A handler may outlive its connection, by as long as it sleeps. So seats are limited, too: clients
//! that ask for something long and leave at once do not fill the memory with what they left.
//!
//! A seat whose handler panicked is given up: its connection is reset at once, it counts no more, and
//! its index is free for another seat. What the dead thread owned is never freed.
//!
//! Locks: a seat's sleeping mutex for the state; the spin locks of hall and seat (`Rank::Service`),
//! never two of those at once, and never while calling into the network.

mod places;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use kernel::lockup::{Progress, Service};
use kernel::mem::try_arc;
use kernel::mutex::Mutex;
use kernel::net::{self, Acceptor, Conn, Session, Trimmed};
use kernel::thread::{self, Builder, Survivor, ThreadCx, with_survivor};
use kernel::wq::{Run, Submit, Submitted, Threaded, Work};
use sync::{BhOff, Rank, SpinLock};

use self::places::{Both, Places};
use crate::server::{MAX_ACTIVE, Mode, Next, Protocol, Queue, ServerConfig};

type Item<P> = Arc<Work<Seat<P>>>;

/// One connection's place.
pub(crate) struct Seat<P: Protocol> {
    hall: Arc<Hall<P>>,
    index: usize,
    visitor: SpinLock<Visitor, BhOff>,
    state: Mutex<State<P>>,
    /// Id of the thread that runs the protocol at this moment; 0: none.
    server: AtomicU32,
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

/// What the seats of a server share.
pub(crate) struct Hall<P: Protocol> {
    config: ServerConfig,
    settings: P::Settings,
    common: Arc<P::Common>,
    queue: Queue,
    places: SpinLock<Places<P>, BhOff>,
    live: AtomicUsize,
    /// Most seats taken at once.
    limit: usize,
    /// Seats that a panic ended: dead threads refer to them, and so to the hall, for ever.
    lost: AtomicUsize,
    /// Runs of the protocol that are over.
    served: AtomicU32,
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
        let place = (hall.live() < hall.limit).then(|| Hall::place(hall));
        let Some((item, session)) = place.flatten() else {
            self.turn_away(conn);
            return None;
        };
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
                    if let Some(conn) = conn {
                        self.turn_away(conn);
                    }
                    return None;
                }
            }
        }
        Some(session)
    }

    fn turn_away(&self, conn: Conn) {
        P::turn_away(&conn);
        // Dropping the handle closes the connection.
    }

    fn trim(&self) -> Trimmed {
        self.0.trim()
    }
}

impl<P: Protocol> Hall<P> {
    pub(crate) fn new(
        config: ServerConfig,
        settings: P::Settings,
        queue: Queue,
        common: Arc<P::Common>,
    ) -> Self {
        let limit = net::stats().connection_limit.saturating_mul(2);
        let limit = match config.mode {
            Mode::Blocking => limit.min(MAX_ACTIVE as usize),
            Mode::Event | Mode::Thread => limit,
        };
        Self {
            config,
            settings,
            common,
            queue,
            places: SpinLock::new(Rank::Service, "seats", Places::EMPTY),
            live: AtomicUsize::new(0),
            limit,
            lost: AtomicUsize::new(0),
            served: AtomicU32::new(0),
        }
    }

    /// Seats taken.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// Seats that will never be freed.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::Acquire)
    }

    /// True when the calling thread runs the protocol of one of the seats.
    pub(crate) fn is_served_by_caller(&self) -> bool {
        let me = thread::current().id();
        let places = self.places.lock();
        let mut seats = places.all.iter().flatten();
        seats.any(|(seat, _)| seat.server.load(Ordering::Relaxed) == me)
    }

    /// Forgets all seats; they refer to the hall, so it would never be freed.
    pub(crate) fn clear(&self) {
        let old = core::mem::replace(&mut *self.places.lock(), Places::EMPTY);
        drop(old);
    }

    /// Frees the seats that were free ever since the last call.
    fn trim(&self) -> Trimmed {
        let mut places = self.places.lock();
        let unused = core::mem::take(&mut places.least_free);
        let mut freed = 0;
        while freed < unused
            && let Some(index) = places.free.pop_front()
        {
            freed += 1;
            let seat = places.give_up(index);
            // Freeing under the lock would keep newcomers waiting.
            drop(places);
            drop(seat);
            places = self.places.lock();
        }
        if places.vacant.len() == places.all.len() {
            let empty = core::mem::replace(&mut *places, Places::EMPTY);
            drop(places);
            drop(empty);
            return Trimmed { freed, kept: 0 };
        }
        places.least_free = places.free.len();
        let kept = places.free.len();
        Trimmed { freed, kept }
    }

    /// A free seat, a new one if need be; `None` when memory is out.
    fn place(hall: &Arc<Self>) -> Option<Both<P>> {
        let mut places = hall.places.lock();
        if let Some(index) = places.free.pop_back() {
            places.least_free = places.least_free.min(places.free.len());
            return places.all.get(index)?.clone();
        }
        let index = places.reserve()?;
        drop(places);
        // Made without the lock: the index belongs to nobody else meanwhile.
        let both = Self::make(hall, index);
        let mut places = hall.places.lock();
        match places.all.get_mut(index) {
            Some(place) if both.is_some() => place.clone_from(&both),
            _ => places.vacant.push(index),
        }
        both
    }

    fn make(hall: &Arc<Self>, index: usize) -> Option<Both<P>> {
        let seat = Seat::new(Arc::clone(hall), index)?;
        let work = match hall.config.mode {
            Mode::Event => Work::<_, Threaded>::new(seat, visit::<P>),
            Mode::Blocking | Mode::Thread => Work::<_, Threaded>::new(seat, stay::<P>),
        };
        let item = try_arc(work).ok()?;
        let waker = Waker {
            item: Arc::clone(&item),
        };
        Some((item, try_arc(waker).ok()?))
    }
}

impl<P: Protocol> Service for Hall<P> {
    fn name(&self) -> &str {
        self.config.name
    }

    /// Somebody waits whose seat has news that no run has taken, or whose run is not over: that one may
    /// sleep, and is no lockup while others are served.
    fn progress(&self) -> Progress {
        let busy = |seat: &Item<P>| seat.is_pending() || seat.server.load(Ordering::Relaxed) != 0;
        // Whoever has them may be a core that does not go on, and who asks is to tell so.
        match self.places.try_lock() {
            Some(places) if !places.all.iter().flatten().any(|(seat, _)| busy(seat)) => {
                Progress::Idle
            }
            _ => Progress::Busy(self.served.load(Ordering::Relaxed).into()),
        }
    }
}

/// Handler in event mode: one visit.
fn visit<P: Protocol>(cx: &ThreadCx<'_>, run: &Run<'_, Seat<P>>) {
    let again = with_survivor(cx, &**run, || run.visit(cx));
    if again {
        run.submit(run);
    }
}

/// Handler in blocking mode: as long as the connection lives.
fn stay<P: Protocol>(cx: &ThreadCx<'_>, run: &Run<'_, Seat<P>>) {
    run.stay(cx);
}

impl<P: Protocol> Survivor for Seat<P> {
    fn bereaved(&self) {
        self.server.store(0, Ordering::Relaxed);
        let mut places = self.hall.places.lock();
        let seat = places.give_up(self.index);
        drop(places);
        drop(seat);
        self.hall.lost.fetch_add(1, Ordering::Relaxed);
        self.give_up();
    }
}

impl<P: Protocol> Seat<P> {
    fn new(hall: Arc<Hall<P>>, index: usize) -> Option<Self> {
        let state = State {
            protocol: P::new(&hall.settings, &hall.common)?,
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
            server: AtomicU32::new(0),
        })
    }

    fn submit(&self, item: impl Submit<Threaded>) {
        match self.hall.queue.submit(item) {
            Submitted::Queued | Submitted::AlreadyPending(_) => {}
            refused => {
                // The handler died, or the server is going down: nobody will ever answer.
                debug_assert!(refused != Submitted::Disabled, "seats are never disabled");
                self.give_up();
            }
        }
    }

    /// Nobody will answer: resets the connection, if there is one. The seat stays out of use: it never
    /// goes back to the free list.
    fn give_up(&self) {
        let mut visitor = self.visitor.lock();
        let arrival = visitor.arrival.take();
        let observer = visitor.observer.take();
        drop(visitor);
        if let Some(conn) = observer {
            conn.abort();
            self.hall.live.fetch_sub(1, Ordering::Release);
        }
        drop(arrival);
    }

    /// Takes over a connection that has just come; false when nobody sits here.
    fn arrive(&self, state: &mut State<P>) -> bool {
        if state.conn.is_none() {
            let State { protocol, conn } = state;
            *conn = self.visitor.lock().arrival.take();
            if let Some(conn) = conn {
                protocol.reset(conn);
            }
        }
        state.conn.is_some()
    }

    /// One run of the protocol; on its end the seat is free again.
    fn serve(&self, cx: &ThreadCx<'_>, state: &mut State<P>) -> Next {
        let Some(conn) = &state.conn else {
            return Next::Close;
        };
        self.server.store(thread::current().id(), Ordering::Relaxed);
        let next = state.protocol.run(cx, conn);
        self.server.store(0, Ordering::Relaxed);
        self.hall.served.fetch_add(1, Ordering::Relaxed);
        if next == Next::Close {
            // Dropping the handle closes the connection.
            drop(state.conn.take());
            self.leave();
        }
        next
    }

    /// One run of the protocol, if somebody sits here; true when there is more to do.
    fn visit(&self, cx: &ThreadCx<'_>) -> bool {
        let Ok(mut state) = self.state.lock(cx) else {
            return false;
        };
        self.arrive(&mut state) && self.serve(cx, &mut state) == Next::Again
    }

    /// Serves one connection to its end, sleeping while there is nothing to do.
    fn stay(&self, cx: &ThreadCx<'_>) {
        with_survivor(cx, self, || self.serve_all(cx));
    }

    fn serve_all(&self, cx: &ThreadCx<'_>) {
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
        self.hall.places.lock().free.push_back(self.index);
        self.hall.live.fetch_sub(1, Ordering::Release);
    }
}
