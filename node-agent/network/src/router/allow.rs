//! The addresses that may use a Route. Pure: reads the list people write, answers for one address.

use std::net::IpAddr;

/// Addresses and networks, as sorted ranges that do not touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList(Vec<(u128, u128)>);

impl AllowList {
    /// Reads addresses and networks with white space between them. An entry that cannot be read is an error: leaving it out
    /// could leave nothing, and a list of nothing is no list.
    ///
    /// # Errors
    /// The entry that cannot be read.
    pub fn parse(text: &str) -> Result<AllowList, String> {
        let mut ranges = Vec::new();
        for entry in text.split_whitespace() {
            let shown: String = entry.chars().take(64).collect();
            let range = range(entry);
            ranges.push(range.ok_or_else(|| format!("{shown:?} is not an address or a network"))?);
        }
        ranges.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last)
                }
                _ => joined.push((first, last)),
            }
        }
        Ok(AllowList(joined))
    }

    /// Whether `address` is on the list.
    pub fn holds(&self, address: IpAddr) -> bool {
        let number = number(address);
        let after = self.0.partition_point(|(first, _)| *first <= number);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| number <= *last)
    }
}

/// IPv4 addresses are where IPv6 maps them, so that a socket for both families makes no difference.
fn number(address: IpAddr) -> u128 {
    u128::from(match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    })
}

fn range(entry: &str) -> Option<(u128, u128)> {
    let (address, length) = match entry.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (entry, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let (bits, unused) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
    let length = match length {
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
        Some(_) => return None,
        None => bits,
    };
    let fixed: u32 = Some(length).filter(|length| *length <= bits)? + unused;
    let host = u128::MAX.checked_shr(fixed).unwrap_or(0);
    let first = number(address) & !host;
    Some((first, first | host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership() {
        let list =
            AllowList::parse(" 192.0.2.0/24 198.51.100.7\t10.1.2.3/8 2001:db8::/32 ").unwrap();
        for (address, expected) in [
            ("192.0.2.0", true),
            ("192.0.2.255", true),
            ("192.0.3.0", false),
            ("192.0.1.255", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::ffff:192.0.2.9", true),
            ("::1", false),
        ] {
            assert_eq!(list.holds(address.parse().unwrap()), expected, "{address}");
        }
        assert!(AllowList::parse("0.0.0.0/0").unwrap().holds([203, 0, 113, 1].into()));
        assert!(!AllowList::parse("").unwrap().holds([203, 0, 113, 1].into()));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for text in [
            "192.0.2.0/33",
            "192.0.2",
            "192.0.2.1,192.0.2.2",
            "::/129",
            "1.2.3.4/",
            "x",
            "1.2.3.4/+8",
        ] {
            assert!(AllowList::parse(&format!("192.0.2.1 {text}")).is_err(), "{text}");
        }
    }
}
