//! Asks other name servers. Knows who they are, patience and retries over UDP and TCP; refuses to know the cluster's names.

use anyhow::{Context, Result, bail};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;

/// The name servers that names outside the cluster are asked of.
#[derive(Clone, Debug)]
pub enum Upstreams {
    /// These.
    Fixed(Vec<SocketAddr>),
    /// The `nameserver` lines of this file, read again when it changes.
    ResolvConf(PathBuf),
}

/// How long one server is waited for. Twice this is still less than the five seconds that resolvers wait.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Questions that may be under way at once; more are refused, so that a dead upstream does not pile them up.
const IN_FLIGHT: usize = 1024;
/// How often the file may be looked at.
const LOOK: Duration = Duration::from_secs(2);
/// The payload that we accept, the size that crosses the internet unfragmented.
pub(super) const PAYLOAD: u16 = 1232;

/// What was last read from the file.
#[derive(Default)]
struct Known {
    looked: Option<Instant>,
    changed: Option<SystemTime>,
    servers: Vec<SocketAddr>,
}

/// A client of other name servers.
pub(super) struct Forwarder {
    upstreams: Upstreams,
    /// Ourselves: never asked.
    own: Vec<SocketAddr>,
    known: Mutex<Known>,
    permits: Semaphore,
    ids: std::hash::RandomState,
    count: std::sync::atomic::AtomicU64,
}

impl Forwarder {
    pub(super) fn new(upstreams: Upstreams, own: Vec<SocketAddr>) -> Forwarder {
        Forwarder {
            upstreams,
            own,
            known: Mutex::default(),
            permits: Semaphore::new(IN_FLIGHT),
            ids: std::hash::RandomState::new(),
            count: std::sync::atomic::AtomicU64::new(0),
        }
    }

    fn servers(&self) -> Vec<SocketAddr> {
        let path = match &self.upstreams {
            Upstreams::Fixed(servers) => return self.others(servers),
            Upstreams::ResolvConf(path) => path,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.is_none_or(|looked| looked.elapsed() > LOOK) {
            known.looked = Some(Instant::now());
            let changed = std::fs::metadata(path).and_then(|data| data.modified()).ok();
            if known.changed != changed || changed.is_none() {
                known.changed = changed;
                known.servers = self.others(&read_servers(path));
            }
        }
        known.servers.clone()
    }

    fn others(&self, servers: &[SocketAddr]) -> Vec<SocketAddr> {
        servers.iter().copied().filter(|server| !self.own.contains(server)).collect()
    }

    /// Asks the servers in turn, each up to twice, until one answers.
    pub(super) async fn ask(&self, query: &Query) -> Result<Message> {
        let servers = self.servers();
        if servers.is_empty() {
            bail!("no upstream name server");
        }
        let _permit = self.permits.try_acquire().context("too many questions under way")?;
        let mut last = None;
        for server in servers.iter().chain(&servers).take(3) {
            match tokio::time::timeout(PATIENCE, self.ask_one(query, *server)).await {
                Ok(Ok(message)) => return Ok(message),
                Ok(Err(error)) => last = Some(error.context(format!("ask {server}"))),
                Err(_) => last = Some(anyhow::anyhow!("{server} did not answer in {PATIENCE:?}")),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no answer")))
    }

    async fn ask_one(&self, query: &Query, server: SocketAddr) -> Result<Message> {
        let id = self.next_id();
        let mut question = Message::new(id, MessageType::Query, OpCode::Query);
        question.metadata.recursion_desired = true;
        question.add_query(query.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD).set_version(0);
        question.set_edns(edns);
        let bytes = question.to_vec()?;
        let answer = over_udp(&bytes, server, id, query).await?;
        if answer.metadata.truncation {
            return over_tcp(&bytes, server, id, query).await;
        }
        Ok(answer)
    }

    /// An id that others cannot guess.
    fn next_id(&self) -> u16 {
        let count = self.count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut hasher = self.ids.build_hasher();
        hasher.write_u64(count);
        hasher.finish() as u16
    }
}

/// Whether `message` answers exactly what was asked.
fn answers(message: &Message, id: u16, query: &Query) -> bool {
    message.metadata.id == id
        && message.metadata.message_type == MessageType::Response
        && message.queries.first().is_none_or(|asked| {
            asked.name() == query.name() && asked.query_type() == query.query_type()
        })
}

async fn over_udp(bytes: &[u8], server: SocketAddr, id: u16, query: &Query) -> Result<Message> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    // A new socket has a new random port; connected, it takes answers from the server only.
    let socket = UdpSocket::bind((any, 0)).await.context("open a socket")?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match Message::from_vec(&buffer[..length]) {
            Ok(message) if answers(&message, id, query) => return Ok(message),
            // A stray or forged packet; the real one may still come.
            _ => continue,
        }
    }
}

async fn over_tcp(bytes: &[u8], server: SocketAddr, id: u16, query: &Query) -> Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).context("question too long")?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    let message = Message::from_vec(&buffer)?;
    if !answers(&message, id, query) {
        bail!("the answer is to another question");
    }
    Ok(message)
}

fn read_servers(path: &Path) -> Vec<SocketAddr> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "no upstream name servers");
            Vec::new()
        }
    }
}

/// The `nameserver` lines of a resolv.conf.
fn parse(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address = (words.next() == Some("nameserver")).then(|| words.next()).flatten()?;
        Some(SocketAddr::new(address.parse().ok()?, 53))
    };
    text.lines().filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf() {
        let text = "# made by\nsearch a b\nnameserver 1.1.1.1\n nameserver\t::1 # local\nnameserver x\n\
                    nameserver\noptions ndots:5\n";
        assert_eq!(parse(text), ["1.1.1.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    }
}
