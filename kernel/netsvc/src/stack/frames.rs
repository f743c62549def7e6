//! What arrives: to its connection, or to an answer without one.

use machine::{Instant, NetTx, Received};
use smoltcp::wire::EthernetAddress;

use super::{GROUP, Route, SlotId, Stack, TIME_WAIT};
use crate::checksum;
use crate::flow::Flow;
use crate::frame::{self, Frame, Segment};
use crate::phy::{OneFrame, Sending};
use crate::smol;
use crate::time_wait::{self, Meeting};
use crate::udp;

impl Stack {
    /// Routes a received frame, dealing with everything that needs no connection.
    #[inline]
    pub fn receive(&mut self, now: Instant, frame: Received<'_>, tx: &mut dyn NetTx) -> Route {
        let Received {
            bytes: frame,
            vouched,
        } = frame;
        self.stats.rx_frames += 1;
        self.stats.rx_bytes += frame.len() as u64;
        let kind = Frame::parse(frame);
        if kind.is_ipv4() && !checksum::hold(frame, vouched) {
            self.stats.rx_dropped += 1;
            return Route::Done;
        }
        if let Frame::Tcp(segment) = kind {
            return self.segment(now, segment, frame, tx);
        }
        self.no_segment(now, kind, frame, tx);
        Route::Done
    }

    /// Deals with a frame that is no TCP segment.
    fn no_segment(&mut self, now: Instant, kind: Frame, frame: &[u8], tx: &mut dyn NetTx) {
        match kind {
            Frame::Udp(udp::ECHO) if self.udp_echo && frame::destination(frame) == self.local => {
                self.sender.forget_room();
                if udp::echo(tx, self.mac, self.local, frame) {
                    self.stats.udp_echoes += 1;
                    self.stats.tx_frames += 1;
                    self.stats.tx_bytes += frame.len() as u64;
                } else {
                    self.stats.rx_dropped += 1;
                }
            }
            Frame::Udp(68) if self.dhcp.is_some() => self.run_dhcp(now, Some(frame), tx),
            Frame::Arp | Frame::Udp(_) | Frame::Ipv4 => self.nobody(now, frame, tx),
            Frame::Tcp(_) | Frame::Fragment | Frame::Foreign => self.stats.rx_dropped += 1,
        }
    }

    #[inline]
    fn segment(&mut self, now: Instant, s: Segment, frame: &[u8], tx: &mut dyn NetTx) -> Route {
        let ours = s.flow.local == self.local && frame.get(..6) == Some(&self.mac.0);
        // Answers go to where it comes from, which must be one station.
        if !ours || frame.get(6).is_none_or(|b| b & GROUP != 0) {
            self.stats.rx_dropped += 1;
            return Route::Done;
        }
        match self.flows.get(&s.flow) {
            Some(v) if v & TIME_WAIT == 0 => Route::Flow(SlotId(v), s),
            known => self.stranger(now, &s, known, frame, tx),
        }
    }

    /// A segment of no connection: of one in TIME-WAIT, if its flow is `known`, of one that it opens, or of nothing.
    fn stranger(
        &mut self,
        now: Instant,
        s: &Segment,
        known: Option<u32>,
        frame: &[u8],
        tx: &mut dyn NetTx,
    ) -> Route {
        if let Some(v) = known {
            match self.time_wait.meet(v & !TIME_WAIT, s, now) {
                Meeting::Ignore => return Route::Done,
                Meeting::Acknowledge(seq, ack) => {
                    self.stats.time_wait_reacked += 1;
                    self.acknowledge(frame, &s.flow, seq, ack, tx);
                    return Route::Done;
                }
                Meeting::Reopen => self.stats.time_wait_reused += 1,
                Meeting::Expired => {}
            }
            self.flows.remove(&s.flow);
        }
        if s.has(Segment::SYN)
            && !s.has(Segment::ACK | Segment::RST | Segment::FIN)
            && self.listens(s.flow.local_port)
        {
            if self.free.is_empty() {
                self.stats.tcp_refused += 1;
            } else if self.handshakes >= self.handshake_limit {
                // Silence, not a reset: an honest client tries again, a forged one costs nothing.
                self.stats.tcp_syn_dropped += 1;
                return Route::Done;
            } else {
                return Route::Open(*s);
            }
        } else {
            self.stats.tcp_stray += 1;
        }
        self.nobody(now, frame, tx);
        Route::Done
    }

    pub(super) fn acknowledge(
        &mut self,
        frame: &[u8],
        flow: &Flow,
        seq: u32,
        ack: u32,
        tx: &mut dyn NetTx,
    ) {
        let Some(&[a, b, c, d, e, f]) = frame.get(6..12) else {
            return;
        };
        let to = EthernetAddress([a, b, c, d, e, f]);
        self.sender.forget_room();
        let sent = time_wait::acknowledge(tx, self.mac, to, flow, seq, ack);
        self.stats.tx_frames += u64::from(sent);
        self.stats.tx_bytes += 54 * u64::from(sent);
        self.stats.tx_dropped += u64::from(!sent);
    }

    /// Gives a frame to the interface alone, which answers ARP and ping and resets strays.
    pub(super) fn nobody(&mut self, now: Instant, frame: &[u8], tx: &mut dyn NetTx) {
        let mut device = OneFrame::new(Some(frame), tx, &mut self.sender, Sending::of(self.offers));
        self.interface
            .poll_ingress_single(smol(now), &mut device, &mut self.nobody);
        device.out.add_to(&mut self.stats);
    }
}
