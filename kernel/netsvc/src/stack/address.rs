//! The interface's address: the DHCP client (RFC 2131) in a set of its own, and setting what it got.

use machine::{Instant, NetTx};
use smoltcp::iface::PollResult;
use smoltcp::socket::dhcpv4;
use smoltcp::wire::{IpCidr, Ipv4Address, Ipv4Cidr};

use super::Stack;
use crate::phy::{OneFrame, Sending};
use crate::{smol, unsmol};

impl Stack {
    pub(super) fn run_dhcp(&mut self, now: Instant, frame: Option<&[u8]>, tx: &mut dyn NetTx) {
        let Some((mut set, handle)) = self.dhcp.take() else {
            return;
        };
        let mut device = OneFrame::new(frame, tx, &mut self.scratch, Sending::of(self.offers));
        let at = smol(now);
        if frame.is_some() {
            self.interface
                .poll_ingress_single(at, &mut device, &mut set);
        }
        let config = match set.get_mut::<dhcpv4::Socket<'_>>(handle).poll() {
            None => None,
            Some(dhcpv4::Event::Deconfigured) => Some((None, None)),
            Some(dhcpv4::Event::Configured(c)) => Some((Some(c.address), c.router)),
        };
        if let Some((address, router)) = config {
            self.set_address(address, router);
        }
        let mut device = OneFrame::new(None, tx, &mut self.scratch, Sending::of(self.offers));
        while self.interface.poll_egress(at, &mut device, &mut set)
            == PollResult::SocketStateChanged
        {}
        device.out().add_to(&mut self.stats);
        // A full device answers "now": once per wheel turn is enough.
        let floor = now + machine::Duration::from_millis(10);
        self.dhcp_due = self
            .interface
            .poll_at(at, &set)
            .map_or(Instant::FOREVER, |t| unsmol(t).max(floor));
        self.dhcp = Some((set, handle));
    }

    pub(super) fn set_address(&mut self, address: Option<Ipv4Cidr>, gateway: Option<Ipv4Address>) {
        self.interface.update_ip_addrs(|a| {
            a.clear();
            if let Some(c) = address {
                // The list is empty, so there is room.
                let _ = a.push(IpCidr::Ipv4(c));
            }
        });
        self.local = address.map_or(0, |c| c.address().to_bits());
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(g) = gateway {
            // The only route, so there is room.
            let _ = routes.add_default_ipv4_route(g);
        }
    }
}
