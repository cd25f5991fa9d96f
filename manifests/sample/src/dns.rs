//! One question to the cluster's DNS: a static program has no resolver of its own (glibc loads its at run time).

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

/// The first IPv4 address of a name, tried with each search domain of `/etc/resolv.conf`.
pub fn resolve(name: &str) -> io::Result<IpAddr> {
    if let Ok(address) = name.parse() {
        return Ok(address);
    }
    let config = std::fs::read_to_string("/etc/resolv.conf")?;
    let words = |key: &str| -> Vec<String> {
        config
            .lines()
            .filter_map(|line| line.strip_prefix(key))
            .flat_map(|rest| rest.split_whitespace().map(str::to_owned))
            .collect()
    };
    let servers = words("nameserver ");
    let candidates = words("search ")
        .into_iter()
        .map(|domain| format!("{name}.{domain}"))
        .chain([name.to_owned()]);
    for candidate in candidates {
        for server in &servers {
            if let Some(address) = ask(server, &candidate)? {
                return Ok(IpAddr::V4(address));
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no address for {name}")))
}

fn ask(server: &str, name: &str) -> io::Result<Option<Ipv4Addr>> {
    let mut query = vec![0x4c, 0x65, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let length = u8::try_from(label.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        query.push(length);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.send_to(&query, (server, 53))?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer)?;
    Ok(first_address(&answer[..length], query.len()))
}

/// The first A record after a question of `question_end` bytes.
fn first_address(message: &[u8], question_end: usize) -> Option<Ipv4Addr> {
    let mut at = question_end;
    loop {
        at = skip_name(message, at)?;
        let kind = u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?);
        let length =
            usize::from(u16::from_be_bytes(message.get(at + 8..at + 10)?.try_into().ok()?));
        let data = message.get(at + 10..at + 10 + length)?;
        if kind == 1 {
            return <[u8; 4]>::try_from(data).ok().map(Ipv4Addr::from);
        }
        at += 10 + length;
    }
}

fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_address_skips_an_alias() {
        let mut message = vec![0; 12];
        // CNAME with a compressed name and two bytes of data, then an A record.
        message.extend_from_slice(&[0xc0, 0, 0, 5, 0, 1, 0, 0, 0, 5, 0, 2, 0xc0, 0]);
        message.extend_from_slice(&[0xc0, 0, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 96, 0, 7]);
        assert_eq!(first_address(&message, 12), Some(Ipv4Addr::new(10, 96, 0, 7)));
    }

    #[test]
    fn a_short_answer_has_no_address() {
        assert_eq!(first_address(&[0; 12], 12), None);
        assert_eq!(first_address(&[0xff; 40], 12), None);
    }
}
