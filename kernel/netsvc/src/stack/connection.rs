//! The part of the stack that concerns one connection: opening it, running it, forgetting it.
//!
//! A run ([`Stack::run`]) is: give the arrived segment to the socket, see what that changed, send what
//! is due, and note when the connection is due again. It touches this connection's set only.

use machine::{Duration, Instant, NetTx};
use smoltcp::iface::PollResult;
use smoltcp::socket::tcp::State;
use smoltcp::time::Instant as SmolInstant;

use super::{SlotId, Stack, TIME_WAIT};
use crate::endpoint::Endpoint;
use crate::events::{Events, Snapshot};
use crate::fin;
use crate::frame::Segment;
use crate::mss;
use crate::phy::{OnePacket, Sending, answer_to};
use crate::{smol, smol_duration, unsmol};

/// How long an acknowledgment waits for an answer to go with: smoltcp's delay.
const ANSWER: Duration = Duration::from_millis(10);
/// When smoltcp is asked what it wants next, if that is no sooner: to repeat what was just sent, which
/// it does after a second at least (RFC 6298 2.4), or to ask a silent peer whether it is there.
const ASK: Duration = Duration::from_millis(200);

/// What [`Stack::send`] did.
struct Sent {
    /// When more is due.
    due: Option<SmolInstant>,
    /// All data that was queued is on its way.
    all: bool,
}

impl Stack {
    /// Opens the connection a SYN asks for. `None` when the SYN was not sound after all; the
    /// endpoint is free again then.
    pub fn open(
        &mut self,
        now: Instant,
        s: &Segment,
        frame: &[u8],
        endpoint: &mut Endpoint,
        tx: &mut dyn NetTx,
    ) -> Option<SlotId> {
        let id = *self.free.last()?;
        if !endpoint.listen(s, frame, now) || !self.flows.insert(s.flow, id) {
            return None;
        }
        self.free.pop();
        self.slots[id as usize].handshake = true;
        self.handshakes += 1;
        self.stats.tcp_opened += 1;
        let slot = SlotId(id);
        let mut headers = [0; fin::HEADERS];
        let cuts = u16::try_from(self.offers.cuts).unwrap_or(u16::MAX);
        let raised = match cuts.checked_sub(mss::PLAIN_HEADERS as u16) {
            Some(most) => mss::raise(frame, most, &mut headers),
            None => None,
        };
        let events = self.deliver(now, slot, s, raised.unwrap_or(frame), endpoint, tx);
        (!events.closed).then_some(slot)
    }

    /// Answers a SYN with a reset because there is no memory for its connection.
    pub fn refuse(&mut self, now: Instant, frame: &[u8], tx: &mut dyn NetTx) {
        self.stats.tcp_no_memory += 1;
        self.nobody(now, frame, tx);
    }

    /// Gives a routed segment to its connection and sends what that makes due.
    #[inline]
    pub fn deliver(
        &mut self,
        now: Instant,
        slot: SlotId,
        segment: &Segment,
        frame: &[u8],
        endpoint: &mut Endpoint,
        tx: &mut dyn NetTx,
    ) -> Events {
        self.run(now, slot, Some((segment, frame)), endpoint, tx)
    }

    /// Sends what a connection's application or timers made due.
    #[inline]
    pub fn poll(
        &mut self,
        now: Instant,
        slot: SlotId,
        endpoint: &mut Endpoint,
        tx: &mut dyn NetTx,
    ) -> Events {
        if self.answer(now, slot, endpoint, tx) {
            Events::default()
        } else {
            self.run(now, slot, None, endpoint, tx)
        }
    }

    /// The usual poll: an application lets out all it wrote on an open connection. False when it is
    /// another one, which [`Self::run`] is for, or not all went out.
    #[inline(always)]
    fn answer(
        &mut self,
        now: Instant,
        slot: SlotId,
        endpoint: &mut Endpoint,
        tx: &mut dyn NetTx,
    ) -> bool {
        let it = endpoint.snapshot();
        if it.state != State::Established || it.queued == 0 || endpoint.orphan {
            return false;
        }
        endpoint.watch_debt(&it, &it, now);
        let own = endpoint.own_deadline();
        if now >= own || !self.send(now, &it, endpoint, tx).all {
            return false;
        }
        self.wheel.set(slot.index(), own.min(now + ASK));
        true
    }

    fn run(
        &mut self,
        now: Instant,
        slot: SlotId,
        arrived: Option<(&Segment, &[u8])>,
        endpoint: &mut Endpoint,
        tx: &mut dyn NetTx,
    ) -> Events {
        let before = endpoint.snapshot();
        let mut after = before;
        let mut packets = 0;
        if let Some((segment, frame)) = arrived {
            packets += self.take(now, frame, endpoint, tx);
            if segment.has(Segment::FIN) {
                packets += self.take_end(now, segment, frame, endpoint, tx);
            }
            after = endpoint.snapshot();
            if after != before || is_sign_of_life(segment, endpoint) {
                endpoint.heard = now;
                endpoint.link = answer_to(frame);
            }
        }
        if endpoint.orphan {
            endpoint.discard();
            after = endpoint.snapshot();
        }
        endpoint.watch_debt(&before, &after, now);
        let mut state = after.state;
        let index = slot.index();
        if self.slots[index].handshake && !matches!(state, State::Listen | State::SynReceived) {
            self.end_handshake_of(index);
            self.stats.tcp_established += u64::from(state != State::Closed);
            if !endpoint.orphan {
                endpoint.limit = Instant::FOREVER;
            }
        }
        let mut events = endpoint.take_events(&before, &after, now);
        let mut due = None;
        if let (State::TimeWait, Some((segment, frame))) = (state, arrived) {
            self.enter_time_wait(now, segment, frame, tx);
        } else if self.slots[index].handshake && now >= endpoint.limit {
            // No reset: nobody proved to be there.
            self.stats.tcp_syn_expired += 1;
            endpoint.abort();
            state = State::Closed;
        } else if packets == 0 && arrived.is_some() && has_nothing_to_send(&after) {
            let later = if after.readable > 0 { ANSWER } else { ASK };
            let wish = self.wheel.wish(index).min(now + later);
            self.wheel.set(index, wish.min(endpoint.own_deadline()));
            return events;
        } else {
            if endpoint.flow.is_some_and(|f| f.local != self.local) {
                // The address is not ours any more, so the peer cannot be told.
                endpoint.abort();
                self.forget(slot, endpoint, State::Closed);
                events.closed = true;
                return events;
            }
            if now >= endpoint.given_up() {
                self.stats.tcp_timed_out += 1;
                endpoint.abort();
            }
            let sent = self.send(now, &after, endpoint, tx);
            due = sent.due;
            state = endpoint.state();
        }
        if matches!(state, State::Closed | State::TimeWait | State::Listen) {
            self.forget(slot, endpoint, state);
            events.closed = true;
            return events;
        }
        let due = due.map_or(Instant::FOREVER, |t| unsmol(t).max(now));
        self.wheel.set(index, due.min(endpoint.own_deadline()));
        events
    }

    /// Sends what is due on a connection that looks like `it`.
    fn send(
        &mut self,
        now: Instant,
        it: &Snapshot,
        endpoint: &mut Endpoint,
        tx: &mut dyn NetTx,
    ) -> Sent {
        let at = smol(now);
        let sending = self.sending(endpoint);
        // In other states something else than data may be to send.
        let data = it.state == State::Established && it.queued > 0;
        let mut device = OnePacket::new(None, endpoint.link, tx, &mut self.sender, sending);
        let (due, all) = loop {
            let sent = self
                .packets
                .poll_egress(at, &mut device, &mut endpoint.sockets);
            if data && device.out.payload as usize >= it.queued {
                // All there is has just been sent, so nothing else is due.
                break (Some(at + smol_duration(ASK)), true);
            }
            // Asked here, because it spares the vain attempt after the last segment.
            let due = self.packets.poll_at(at, &endpoint.sockets);
            if sent == PollResult::None || due.is_none_or(|t| t > at) {
                break (due, false);
            }
        };
        device.out.add_to(&mut self.stats);
        Sent { due, all }
    }

    /// Gives the end of the stream to the socket once more if it has not taken it ([`fin`]); the number of
    /// packets that this sent.
    fn take_end(
        &mut self,
        now: Instant,
        segment: &Segment,
        frame: &[u8],
        endpoint: &mut Endpoint,
        tx: &mut dyn NetTx,
    ) -> u32 {
        let mut headers = [0; fin::HEADERS];
        let fin = match endpoint.awaits_end() {
            true => fin::alone(segment, endpoint.expected(), frame, &mut headers),
            false => None,
        };
        fin.map_or(0, |fin| self.take(now, fin, endpoint, tx))
    }

    /// Gives a frame to the connection's socket; the number of packets that this sent.
    #[inline(always)]
    fn take(
        &mut self,
        now: Instant,
        frame: &[u8],
        endpoint: &mut Endpoint,
        tx: &mut dyn NetTx,
    ) -> u32 {
        let sending = self.sending(endpoint);
        let link = endpoint.link;
        let mut device = OnePacket::new(Some(frame), link, tx, &mut self.sender, sending);
        self.packets
            .poll_ingress_single(smol(now), &mut device, &mut endpoint.sockets);
        device.out.add_to(&mut self.stats);
        device.out.frames
    }

    fn sending(&self, endpoint: &Endpoint) -> Sending {
        Sending {
            offers: self.offers,
            mss: endpoint.mss,
        }
    }

    fn end_handshake_of(&mut self, index: usize) {
        if core::mem::replace(&mut self.slots[index].handshake, false) {
            self.handshakes -= 1;
        }
    }

    fn enter_time_wait(&mut self, now: Instant, s: &Segment, frame: &[u8], tx: &mut dyn NetTx) {
        self.stats.time_wait_entered += 1;
        let (index, evicted) = self.time_wait.insert(s, now);
        if let Some(flow) = evicted
            && self.flows.get(&flow) != Some(index)
        {
            self.flows.remove(&flow);
        }
        self.flows.insert(s.flow, index | TIME_WAIT);
        self.acknowledge(frame, &s.flow, s.ack().unwrap_or(0), s.end(), tx);
    }

    /// Drops a connection from every table.
    fn forget(&mut self, slot: SlotId, endpoint: &mut Endpoint, state: State) {
        let index = slot.index();
        self.end_handshake_of(index);
        if let Some(flow) = endpoint.flow.take()
            && state != State::TimeWait
        {
            self.flows.remove(&flow);
        }
        self.wheel.set(index, Instant::FOREVER);
        self.free.push(slot.0);
        self.stats.tcp_closed += 1;
    }
}

/// True when the stack has nothing to send but, perhaps, an acknowledgment: that goes with the answer as
/// soon as the application lets one out ([`Stack::poll`]), or alone after [`ANSWER`].
fn has_nothing_to_send(now: &Snapshot) -> bool {
    now.state == State::Established && now.queued == 0
}

/// True when a segment that changed nothing tells all the same that the peer is there, and is no
/// forged frame: it acknowledges, and it begins in the window or, as questions whether we are there
/// do, one byte before it (RFC 9293 3.8.4, 3.10.7.4).
fn is_sign_of_life(s: &Segment, endpoint: &Endpoint) -> bool {
    let window = endpoint.socket().recv_capacity() - endpoint.readable();
    let offset = s.seq.wrapping_sub(endpoint.expected().wrapping_sub(1));
    s.has(Segment::ACK) && !s.has(Segment::SYN) && offset as usize <= window
}
