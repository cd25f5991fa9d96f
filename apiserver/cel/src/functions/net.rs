//! Addresses of networks and of what is in them.

use leme_meta::quote;
use std::fmt;
use std::net::IpAddr;

use super::{Row, T, run};
use crate::meter::Fault;
use crate::value::Value;

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

macro_rules! row {
    ($name:literal, $member:literal, [$($arg:expr),*], $gives:expr, $run:expr) => {
        Row { name: $name, member: $member, args: &[$($arg),*], gives: $gives, run: $run }
    };
}

macro_rules! asks {
    ($name:literal, $holds:expr) => {
        row!($name, true, [T::Ip], T::Bool, run!(Value::Ip(address) => _meter, {
            let holds: fn(&IpAddr) -> bool = $holds;
            Ok(Value::Bool(holds(address)))
        }))
    };
}

pub(super) static ROWS: &[Row] = &[
    row!(
        "ip",
        false,
        [T::Text],
        T::Ip,
        run!(Value::Text(text) => _meter, address(text).map(Value::Ip).map_err(Fault::Said))
    ),
    row!(
        "isIP",
        false,
        [T::Text],
        T::Bool,
        run!(Value::Text(text) => _meter, Ok(Value::Bool(address(text).is_ok())))
    ),
    row!(
        "ip.isCanonical",
        false,
        [T::Text],
        T::Bool,
        run!(Value::Text(text) => _meter, {
            let address = address(text).map_err(Fault::Said)?;
            Ok(Value::Bool(address.to_string() == **text))
        })
    ),
    row!(
        "family",
        true,
        [T::Ip],
        T::Int,
        run!(Value::Ip(address) => _meter, Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 })))
    ),
    asks!("isUnspecified", IpAddr::is_unspecified),
    asks!("isLoopback", IpAddr::is_loopback),
    asks!("isLinkLocalMulticast", |address| match address {
        IpAddr::V4(address) => matches!(address.octets(), [224, 0, 0, _]),
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    }),
    asks!("isLinkLocalUnicast", link_local),
    asks!("isGlobalUnicast", |address| {
        let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
        !(broadcast
            || address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || link_local(address))
    }),
    row!(
        "cidr",
        false,
        [T::Text],
        T::Cidr,
        run!(Value::Text(text) => _meter, network(text).map(Value::Cidr).map_err(Fault::Said))
    ),
    row!(
        "isCIDR",
        false,
        [T::Text],
        T::Bool,
        run!(Value::Text(text) => _meter, Ok(Value::Bool(network(text).is_ok())))
    ),
    row!(
        "containsIP",
        true,
        [T::Cidr, T::Ip],
        T::Bool,
        run!(Value::Cidr(cidr), Value::Ip(address) => _meter, Ok(Value::Bool(cidr.has(*address))))
    ),
    row!(
        "containsIP",
        true,
        [T::Cidr, T::Text],
        T::Bool,
        run!(Value::Cidr(cidr), Value::Text(text) => _meter, {
            Ok(Value::Bool(cidr.has(address(text).map_err(Fault::Said)?)))
        })
    ),
    row!(
        "containsCIDR",
        true,
        [T::Cidr, T::Cidr],
        T::Bool,
        run!(Value::Cidr(cidr), Value::Cidr(other) => _meter, Ok(Value::Bool(cidr.spans(*other))))
    ),
    row!(
        "containsCIDR",
        true,
        [T::Cidr, T::Text],
        T::Bool,
        run!(Value::Cidr(cidr), Value::Text(text) => _meter, {
            Ok(Value::Bool(cidr.spans(network(text).map_err(Fault::Said)?)))
        })
    ),
    row!(
        "ip",
        true,
        [T::Cidr],
        T::Ip,
        run!(Value::Cidr(cidr) => _meter, Ok(Value::Ip(cidr.address)))
    ),
    row!(
        "masked",
        true,
        [T::Cidr],
        T::Cidr,
        run!(Value::Cidr(cidr) => _meter, Ok(Value::Cidr(cidr.masked())))
    ),
    row!(
        "prefixLength",
        true,
        [T::Cidr],
        T::Int,
        run!(Value::Cidr(cidr) => _meter, Ok(Value::Int(cidr.bits.into())))
    ),
];

fn link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    let wrong = |why: &str| {
        format!(
            "IP Address {text} parse error during conversion from string: {why}",
            text = quote(&text)
        )
    };
    if text.contains('%') {
        return Err(wrong("IP address with zone value is not allowed"));
    }
    match text.parse() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            Err(wrong("IPv4-mapped IPv6 address is not allowed"))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(wrong("unable to parse IP")),
    }
}

fn network(text: &str) -> Result<Cidr, String> {
    let wrong = || {
        format!(
            "network address parse error during conversion from string: {text}",
            text = quote(&text)
        )
    };
    let (before, bits) = text.split_once('/').ok_or_else(wrong)?;
    let address = address(before).map_err(|_| wrong())?;
    let plain = bits == "0" || (!bits.starts_with(['0', '+']) && bits.len() <= 3);
    let bits: u8 = bits.parse().map_err(|_| wrong())?;
    if !plain || bits > if address.is_ipv4() { 32 } else { 128 } {
        return Err(wrong());
    }
    Ok(Cidr { address, bits })
}

impl Cidr {
    fn masked(self) -> Cidr {
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V4((u32::from(address) & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V6((u128::from(address) & mask).into())
            }
        };
        Cidr { address, bits: self.bits }
    }

    fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Cidr { address, bits: self.bits }.masked() == self.masked()
    }

    fn spans(self, other: Cidr) -> bool {
        self.bits <= other.bits && self.has(other.address)
    }
}
