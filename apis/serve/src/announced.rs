//! The PROXY protocol, versions 1 and 2: what a load balancer says of a client before the client is heard.
//!
//! Knows: both headers, and their bounds. Refuses to know: whom to believe.
//!
//! Not a byte beyond the header is read. One that is not there, or cannot be read, ends the connection: what it hides is who
//! the client is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// How the second version begins, and as much as the first one has at least.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of the first version, with its end.
const LINE: usize = 107;
/// The longest rest of the second version that is read: addresses, and what else is said of them.
const REST: usize = 2048;

/// Where a client comes from and went to, if that is said.
pub(crate) type Announced = Option<(SocketAddr, SocketAddr)>;

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads the header of a connection.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Announced> {
    let mut begin = [0; SIGNATURE.len()];
    stream.read_exact(&mut begin).await?;
    if begin == *SIGNATURE {
        return second(stream).await;
    }
    if !begin.starts_with(b"PROXY ") {
        return Err(invalid("there is no PROXY header"));
    }
    let mut line = begin.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= LINE {
            return Err(invalid("the PROXY header has no end"));
        }
        line.push(stream.read_u8().await?);
    }
    first(&line[..line.len() - 2])
}

/// `PROXY TCP4 CLIENT SERVER PORT PORT`.
fn first(line: &[u8]) -> io::Result<Announced> {
    let wrong = || invalid("the PROXY header cannot be read");
    let line = std::str::from_utf8(line).map_err(|_| wrong())?;
    let words: Vec<&str> = line.split(' ').collect();
    let is_four = match words[..] {
        ["PROXY", "UNKNOWN", ..] => return Ok(None),
        ["PROXY", "TCP4", ..] => true,
        ["PROXY", "TCP6", ..] => false,
        _ => return Err(wrong()),
    };
    let [_, _, client, server, client_port, server_port] = words[..] else { return Err(wrong()) };
    let address = |ip: &str, port: &str| {
        let ip: IpAddr = ip.parse().ok().filter(|ip: &IpAddr| ip.is_ipv4() == is_four)?;
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        Some(SocketAddr::new(ip, port.parse().ok().filter(|_| digits)?))
    };
    let both = address(client, client_port).zip(address(server, server_port));
    both.map(Some).ok_or_else(wrong)
}

async fn second(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Announced> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > REST {
        return Err(invalid("the PROXY header is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match command {
        // The load balancer speaks for itself.
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(invalid("the PROXY header has another version or command")),
    }
    let short = || invalid("the PROXY header is too short");
    match family {
        0x11 => {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = *rest.first_chunk().ok_or_else(short)?;
            let port = |high: u8, low: u8| u16::from_be_bytes([high, low]);
            let client = SocketAddr::from((Ipv4Addr::new(a, b, c, d), port(i, j)));
            let server = SocketAddr::from((Ipv4Addr::new(e, f, g, h), port(k, l)));
            Ok(Some((client, server)))
        }
        0x21 => {
            let addresses: &[u8; 36] = rest.first_chunk().ok_or_else(short)?;
            let ip = |from: usize| {
                let mut ip = [0; 16];
                ip.copy_from_slice(&addresses[from..from + 16]);
                Ipv6Addr::from(ip)
            };
            let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
            let client = SocketAddr::from((ip(0), port(32)));
            Ok(Some((client, SocketAddr::from((ip(16), port(34))))))
        }
        // Of what is neither, nothing is known.
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(bytes: &[u8]) -> (Result<Announced, String>, Vec<u8>) {
        let mut stream = bytes;
        let read = read(&mut stream).await.map_err(|error| error.to_string());
        (read, stream.to_vec())
    }

    fn version2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest, b"GET /"].concat()
    }

    #[tokio::test]
    async fn both_versions_are_read_and_no_more() {
        let both = Some(("192.0.2.1:9".parse().unwrap(), "192.0.2.2:443".parse().unwrap()));
        let six = Some(("[2001:db8::1]:9".parse().unwrap(), "[2001:db8::2]:443".parse().unwrap()));
        let four_bytes = [192, 0, 2, 1, 192, 0, 2, 2, 0, 9, 1, 187, 3, 0, 1, 0];
        let mut six_bytes = vec![0; 36];
        six_bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        six_bytes[16..20].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        (six_bytes[15], six_bytes[31]) = (1, 2);
        six_bytes[32..].copy_from_slice(&[0, 9, 1, 187]);
        for (bytes, expected) in [
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 9 443\r\nGET /".to_vec(), both),
            (b"PROXY TCP6 2001:db8::1 2001:db8::2 9 443\r\nGET /".to_vec(), six),
            (b"PROXY UNKNOWN\r\nGET /".to_vec(), None),
            (b"PROXY UNKNOWN what ever\r\nGET /".to_vec(), None),
            (version2(0x21, 0x11, &four_bytes), both),
            (version2(0x21, 0x21, &six_bytes), six),
            (version2(0x20, 0, &[]), None),
            (version2(0x21, 0x31, &[0; 216]), None),
        ] {
            assert_eq!(said(&bytes).await, (Ok(expected), b"GET /".to_vec()), "{bytes:?}");
        }
    }

    /// Red when a header that cannot be read is none: the load balancer's address would be the client's.
    #[tokio::test]
    async fn what_cannot_be_read_ends_the_connection() {
        let long = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
        for bytes in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 9\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 9 65536\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 +9 443\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 192.0.2.2 9 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 9 443 1\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.1 192.0.2.2 9 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1".to_vec(),
            long.into_bytes(),
            version2(0x31, 0x11, &[0; 12]),
            version2(0x22, 0x11, &[0; 12]),
            version2(0x21, 0x11, &[0; 11]),
            version2(0x21, 0x21, &[0; 35]),
            version2(0x21, 0x11, &vec![0; REST + 1]),
        ] {
            assert!(said(&bytes).await.0.is_err(), "{bytes:?}");
        }
    }
}
