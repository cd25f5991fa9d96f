//! Forgets UDP conversations that are led where they should not be. Knows the kernel's connection tracking over netlink; refuses
//! to know which those are.
//!
//! UDP has no end of a connection: a client that keeps sending from one port would stay with a dead endpoint for as long as it
//! sends. TCP notices by itself and is left alone.

use anyhow::{Context, Result, bail};
use rtnetlink::sys::{Socket, SocketAddr};
use std::net::Ipv4Addr;

const NETLINK_NETFILTER: isize = 12;
/// Message types: the conntrack subsystem's get and delete.
const GET: u16 = 0x0101;
const DELETE: u16 = 0x0102;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
const HEADER: usize = 16;
/// The netfilter header that follows the netlink header.
const FAMILY_HEADER: [u8; 4] = [2, 0, 0, 0];
const NESTED: u16 = 0x8000;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const UDP: u8 = 17;
const ENOENT: i32 = -2;

/// A UDP conversation: what the client asked, and who is to answer.
pub(crate) struct Conversation {
    /// Address and port that the client sends to.
    pub(crate) asked: (Ipv4Addr, u16),
    /// Address and port that answers come from; the same unless it was led elsewhere.
    pub(crate) answered: (Ipv4Addr, u16),
}

/// Forgets the UDP conversations that are `stale` and gives their number. Blocks for as long as the kernel takes to list its
/// connections.
pub(crate) fn forget(stale: impl Fn(&Conversation) -> bool) -> Result<usize> {
    let mut socket = Socket::new(NETLINK_NETFILTER).context("open a conntrack socket")?;
    socket.bind_auto().context("bind a conntrack socket")?;
    socket.connect(&SocketAddr::new(0, 0)).context("connect to the kernel's conntrack")?;
    let tuples = list(&socket, &stale)?;
    for tuple in &tuples {
        let mut body = attribute(TUPLE_ORIGINAL | NESTED, tuple);
        body.splice(0..0, FAMILY_HEADER);
        send(&socket, DELETE, REQUEST | ACK, &body)?;
        let (answer, _) = socket.recv_from_full().context("conntrack answer")?;
        match messages(&answer).next() {
            // Gone by itself in between.
            Some((ERROR, body)) if [0, ENOENT].contains(&error_of(body)) => {}
            Some((ERROR, body)) => bail!("conntrack refused: {}", errno(body)),
            _ => bail!("conntrack did not acknowledge"),
        }
    }
    Ok(tuples.len())
}

/// The original tuples of the conversations to forget, as the kernel spells them.
fn list(socket: &Socket, stale: &impl Fn(&Conversation) -> bool) -> Result<Vec<Vec<u8>>> {
    send(socket, GET, REQUEST | DUMP, &FAMILY_HEADER)?;
    let mut found = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full().context("list connections")?;
        for (kind, body) in messages(&datagram) {
            match kind {
                DONE => return Ok(found),
                ERROR => bail!("conntrack cannot list: {}", errno(body)),
                _ => found.extend(original_if(body, stale)),
            }
        }
    }
}

fn original_if(body: &[u8], stale: &impl Fn(&Conversation) -> bool) -> Option<Vec<u8>> {
    let body = body.get(FAMILY_HEADER.len()..)?;
    let original = find(body, TUPLE_ORIGINAL)?;
    let asked = Tuple::of(original).filter(|tuple| tuple.protocol == UDP)?;
    let answered = Tuple::of(find(body, TUPLE_REPLY)?)?;
    let conversation = Conversation {
        asked: (asked.destination, asked.destination_port),
        answered: (answered.source, answered.source_port),
    };
    stale(&conversation).then(|| original.to_vec())
}

/// One direction of a conversation.
struct Tuple {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
}

impl Tuple {
    fn of(bytes: &[u8]) -> Option<Tuple> {
        let (ip, protocol) = (find(bytes, 1)?, find(bytes, 2)?);
        let address = |kind| Some(Ipv4Addr::from(<[u8; 4]>::try_from(find(ip, kind)?).ok()?));
        let port = |kind| Some(u16::from_be_bytes(find(protocol, kind)?.try_into().ok()?));
        Some(Tuple {
            source: address(1)?,
            destination: address(2)?,
            protocol: *find(protocol, 1)?.first()?,
            source_port: port(2)?,
            destination_port: port(3)?,
        })
    }
}

fn send(socket: &Socket, kind: u16, flags: u16, body: &[u8]) -> Result<()> {
    let length = u32::try_from(HEADER + body.len()).context("message too long")?;
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    socket.send(&message, 0).context("ask the kernel's conntrack").map(drop)
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(4 + value.len());
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes
}

/// The messages of a datagram: type and body. Ends at the first that does not add up.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(rest.get(0..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(rest.get(4..6)?.try_into().ok()?);
        let body = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The value of the first attribute of this kind.
fn find(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(rest.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        let value = rest.get(4..length)?;
        if kind & 0x3fff == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

fn error_of(body: &[u8]) -> i32 {
    let code = body.get(0..4).and_then(|bytes| bytes.try_into().ok());
    code.map_or(i32::MIN, i32::from_ne_bytes)
}

fn errno(body: &[u8]) -> std::io::Error {
    std::io::Error::from_raw_os_error(error_of(body).wrapping_neg())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_messages_end_the_walk() {
        for bytes in [&[][..], &[1, 0, 0, 0], &[255; 40], &[0; 40], &[15, 0, 0, 0, 1, 1, 0, 0]] {
            assert_eq!(messages(bytes).take(3).count(), 0, "{bytes:?}");
            assert_eq!(find(bytes, 7), None, "{bytes:?}");
            assert!(original_if(bytes, &|_| true).is_none());
        }
        assert_eq!(find(&attribute(7 | NESTED, b"abc"), 7), Some(&b"abc"[..]));
    }
}
