//! IP addresses and networks as fields hold them.
//!
//! Knows: what Go reads as an address, and which of that Kubernetes takes. Refuses to know: kinds.

use leme_meta::quote;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use leme_meta::{FieldError, Path};

use crate::check::{BAD_IP, Errors};

const BAD_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// A network: an address of it and the length of its prefix.
pub(crate) type Network = (IpAddr, u8);

/// An address as Go's older reader takes it: numbers may lead with zeros.
pub(crate) fn sloppy(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| without_zeros(text).parse().ok())
}

/// The text with its decimal numbers written without leading zeros.
fn without_zeros(text: &str) -> String {
    let (start, decimal) =
        text.rsplit_once(':').map_or(("", text), |(start, end)| (&text[..=start.len()], end));
    if !decimal.contains('.') {
        return text.to_owned();
    }
    let numbers: Vec<&str> = decimal
        .split('.')
        .map(|number| match number.trim_start_matches('0') {
            "" if !number.is_empty() => "0",
            rest => rest,
        })
        .collect();
    format!("{start}{}", numbers.join("."))
}

/// What is wrong with an address of a field that takes any spelling of it.
pub(crate) fn wrong_ip(text: &str) -> Option<&'static str> {
    let Some(address) = sloppy(text) else { return Some(BAD_IP) };
    if text.parse::<IpAddr>().is_err() {
        return Some("must not have leading 0s");
    }
    is_mapped(address).then_some("must not be an IPv4-mapped IPv6 address")
}

/// What is wrong with an address of a field that takes one spelling only.
pub(crate) fn wrong_canonical_ip(text: &str) -> Option<String> {
    if let Some(why) = wrong_ip(text) {
        return Some(why.to_owned());
    }
    let canonical = sloppy(text)?.to_string();
    (canonical != text)
        .then(|| format!("must be in canonical form ({canonical})", canonical = quote(&canonical)))
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(six) if six.to_ipv4_mapped().is_some())
}

/// A network as Go's older reader takes it.
pub(crate) fn network(text: &str) -> Option<Network> {
    let (address, bits) = text.split_once('/')?;
    let address = sloppy(address)?;
    let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    let bits = bits.parse::<u8>().ok().filter(|_| digits)?;
    (bits <= width(address)).then_some((address, bits))
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address with nothing set beyond the prefix.
pub(crate) fn masked((address, bits): Network) -> IpAddr {
    match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            Ipv4Addr::from(u32::from(four) & mask).into()
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            Ipv6Addr::from(u128::from(six) & mask).into()
        }
    }
}

/// Whether all of `inner` is in `outer`.
pub(crate) fn contains(outer: Network, inner: Network) -> bool {
    outer.0.is_ipv4() == inner.0.is_ipv4() && masked((inner.0, outer.1)) == masked(outer)
}

fn wrong_network(text: &str) -> Option<&'static str> {
    let Some((address, bits)) = network(text) else { return Some(BAD_CIDR) };
    let (host, length) = text.split_once('/').unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_err() || length.len() > 1 && length.starts_with('0') {
        return Some("must not have leading 0s in IP or prefix length");
    }
    if is_mapped(address) {
        return Some("must not have an IPv4-mapped IPv6 address");
    }
    let beyond = masked((address, bits)) != address;
    beyond.then_some("must not have bits set beyond the prefix length")
}

/// Checks a network of a field that takes any spelling of it. What is stored may stay.
pub(crate) fn any_network(text: &str, stored: &[&str], path: &Path, errors: &mut Errors) {
    if let Some(why) = wrong_network(text).filter(|_| !stored.contains(&text)) {
        errors.push(FieldError::invalid(path, text, why));
    }
}

/// Checks a network of a field that takes one spelling only.
pub(crate) fn canonical_network(text: &str, path: &Path, errors: &mut Errors) {
    if let Some(why) = wrong_network(text) {
        errors.push(FieldError::invalid(path, text, why));
        return;
    }
    let Some((address, bits)) = network(text) else { return };
    let canonical = format!("{address}/{bits}");
    if canonical != text {
        let why = format!("must be in canonical form ({canonical})", canonical = quote(&canonical));
        errors.push(FieldError::invalid(path, text, &why));
    }
}

/// What a person should know of a network that is written in an unusual way.
pub(crate) fn network_warnings(path: &Path, text: &str) -> Vec<String> {
    let Some((address, bits)) = network(text) else { return Vec::new() };
    let start = masked((address, bits));
    let mut out = Vec::new();
    if start != address {
        out.push(format!(
            "{path}: CIDR value {text} is ambiguous in this context (should be \"{start}/{bits}\" or \"{address}/{}\"?)",
            width(address), text = quote(&text)));
    }
    let wrong = wrong_network(text);
    if wrong.is_some_and(|why| !why.contains("beyond")) {
        out.push(format!(
            "{path}: non-standard CIDR value {text} will be considered invalid in a future Kubernetes release: use \"{start}/{bits}\"", text = quote(&text)));
    }
    let canonical = format!("{address}/{bits}");
    if out.is_empty() && canonical != text {
        out.push(format!(
            "{path}: IPv6 CIDR value {text} should be in RFC 5952 canonical format ({canonical})",
            text = quote(&text),
            canonical = quote(&canonical)
        ));
    }
    out
}
