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
        let mut device = OneFrame::new(frame, tx, &mut self.sender, Sending::of(self.offers));
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
        let mut device = OneFrame::new(None, tx, &mut self.sender, Sending::of(self.offers));
        while self.interface.poll_egress(at, &mut device, &mut set)
            == PollResult::SocketStateChanged
        {}
        device.out.add_to(&mut self.stats);
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

#[cfg(test)]
mod tests {
    use machine::{Offers, Received, TxFull};

    use super::*;
    use crate::stack::{Config, Route};
    use crate::{AddressConfig, Endpoint};

    const SERVER: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    /// Counts frames.
    struct Count(u32);

    impl NetTx for Count {
        fn transmit(&mut self, len: usize, fill: machine::Frame<'_>) -> Result<bool, TxFull> {
            let mut frame = [0; 2048];
            let _ = fill(&mut frame[..len]);
            self.0 += 1;
            Ok(true)
        }
    }

    /// A SYN from 10.0.0.2 to port 7, of which the device says that its checksum is right.
    fn syn() -> [u8; 54] {
        let mut frame = [0; 54];
        frame[..6].copy_from_slice(&MAC);
        frame[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 8, 0]);
        frame[14..24].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6]);
        frame[26..34].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
        frame[34..48].copy_from_slice(&[35, 40, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2]);
        frame[48] = 4;
        smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
        frame
    }

    #[test]
    fn a_connection_ends_without_a_word_when_its_address_has_gone() {
        let mut config = Config::new(MAC, 1, [3, 5]);
        config.offers = Offers::default();
        config.address = AddressConfig::Static {
            address: SERVER,
            prefix: 24,
            gateway: None,
        };
        let now = Instant::ZERO;
        let mut stack = Stack::new(&config, now).unwrap();
        assert!(stack.listen(7));
        let mut endpoint = Endpoint::new(4096, 4096).unwrap();
        let mut sent = Count(0);
        let (bytes, vouched) = (&syn()[..], true);
        let received = Received { bytes, vouched };
        let Route::Open(segment) = stack.receive(now, received, &mut sent) else {
            panic!("a SYN opens");
        };
        let slot = stack.open(now, &segment, bytes, &mut endpoint, &mut sent);
        assert_eq!(sent.0, 1, "it is answered");
        let other = Ipv4Cidr::new(Ipv4Address::new(10, 0, 0, 3), 24);
        stack.set_address(Some(other), None);
        let events = stack.poll(now, slot.unwrap(), &mut endpoint, &mut sent);
        assert!(events.closed);
        assert_eq!((sent.0, stack.connections()), (1, 0));
    }
}
