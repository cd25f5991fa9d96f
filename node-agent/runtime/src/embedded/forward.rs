//! Connections into a sandbox's network.
//!
//! Knows: where a sandbox's loopback interface is. Refuses to know: what is carried.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use leme_host::namespaces::{self, SandboxPaths};
use tokio::net::{TcpSocket, TcpStream};

use super::{EmbeddedRuntime, blocking, failed};
use crate::{PortStream, Result, RuntimeError};

/// A listener on loopback answers at once or its queue is full.
const CONNECT: Duration = Duration::from_secs(10);

impl EmbeddedRuntime {
    /// Dials as containerd does: IPv4 first, then IPv6, and both reasons if neither answers.
    pub(super) async fn dial(&self, sandbox: &str, port: u16) -> Result<PortStream> {
        let record = self.ready_sandbox(sandbox)?;
        let inside = (!record.config.host_network)
            .then(|| SandboxPaths(self.config.namespaces(sandbox)).net());
        let mut reasons = Vec::new();
        for (name, ip) in
            [("4", IpAddr::from(Ipv4Addr::LOCALHOST)), ("6", IpAddr::from(Ipv6Addr::LOCALHOST))]
        {
            let address = SocketAddr::new(ip, port);
            let connecting = connect(inside.clone(), address);
            match tokio::time::timeout(CONNECT, connecting).await {
                Ok(Ok(stream)) => return Ok(Box::new(stream)),
                Ok(Err(error)) => reasons.push(format!("dial tcp{name} {address}: {error}")),
                Err(_) => reasons.push(format!("dial tcp{name} {address}: i/o timeout")),
            }
        }
        let place = match &inside {
            Some(path) => format!("network namespace {path:?}"),
            None => "the network of the node".to_owned(),
        };
        Err(RuntimeError::Invalid(format!(
            "failed to execute portforward in {place}: failed to connect to localhost:{port} inside namespace {sandbox:?}, IPv4: {} IPv6 {}",
            reasons[0], reasons[1]
        )))
    }
}

async fn connect(
    inside: Option<PathBuf>,
    address: SocketAddr,
) -> std::result::Result<TcpStream, String> {
    let socket = blocking("make socket", move || {
        namespaces::tcp_socket(inside.as_deref(), address.is_ipv6()).map_err(failed("make socket"))
    });
    let socket = socket.await.map_err(|error| error.to_string())?;
    // The socket stays in the namespace that it was made in.
    let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
    socket.connect(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        _ => format!("connect: {error}"),
    })
}
