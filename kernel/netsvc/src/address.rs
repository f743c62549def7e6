//! How the interface gets its address: by DHCP, or from the boot argument `ip=ADDR/LEN,GATEWAY`.

use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;

/// Where the address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AddressConfig {
    /// Ask for one (RFC 2131).
    #[default]
    Dhcp,
    /// Given.
    Static {
        /// Own address.
        address: Ipv4Addr,
        /// Length of the network prefix.
        prefix: u8,
        /// Default router.
        gateway: Option<Ipv4Addr>,
    },
}

/// The text is not `ADDR/LEN[,GATEWAY]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseAddressError;

impl fmt::Display for ParseAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected ADDR/LEN,GATEWAY, for example 10.0.2.15/24,10.0.2.2")
    }
}

impl FromStr for AddressConfig {
    type Err = ParseAddressError;

    fn from_str(s: &str) -> Result<Self, ParseAddressError> {
        if s == "dhcp" {
            return Ok(Self::Dhcp);
        }
        let (cidr, gateway) = match s.split_once(',') {
            Some((cidr, gateway)) => (cidr, Some(gateway.parse().map_err(|_| ParseAddressError)?)),
            None => (s, None),
        };
        let (address, prefix) = cidr.split_once('/').ok_or(ParseAddressError)?;
        let address: Ipv4Addr = address.parse().map_err(|_| ParseAddressError)?;
        let prefix: u8 = prefix.parse().map_err(|_| ParseAddressError)?;
        let usable = |a: Ipv4Addr| {
            !(a.is_unspecified() || a.is_loopback() || a.is_multicast() || a.is_broadcast())
        };
        if !(1..=32).contains(&prefix) || !usable(address) || gateway.is_some_and(|g| !usable(g)) {
            return Err(ParseAddressError);
        }
        Ok(Self::Static {
            address,
            prefix,
            gateway,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_documented_forms() {
        assert_eq!(
            "10.0.2.15/24,10.0.2.2".parse(),
            Ok(AddressConfig::Static {
                address: Ipv4Addr::new(10, 0, 2, 15),
                prefix: 24,
                gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            })
        );
        assert!(matches!(
            "10.0.0.1/8".parse(),
            Ok(AddressConfig::Static { gateway: None, .. })
        ));
        assert_eq!("dhcp".parse(), Ok(AddressConfig::Dhcp));
    }

    #[test]
    fn refuses_what_would_not_work() {
        for s in [
            "",
            "10.0.0.1",
            "10.0.0.1/33",
            "10.0.0.1/0",
            "1.2.3/8",
            "1.2.3.4/8,",
            "0.0.0.0/8",
            "224.0.0.1/8",
            "1.2.3.4/8,x",
        ] {
            assert_eq!(s.parse::<AddressConfig>(), Err(ParseAddressError), "{s}");
        }
    }
}
