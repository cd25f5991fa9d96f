//! One cluster with nodes in each network namespace: bridges, addresses and rules have the same names in all.
//!
//! Knows: a socket name that the kernel gives to one process of a network namespace, and takes back when that ends, however
//! it ends. Refuses to know: nodes.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

const NAME: &[u8] = b"leme-nodes";

/// The network namespace is this process's for as long as this lives.
#[derive(Debug)]
pub struct Sole {
    _socket: UnixListener,
}

impl Sole {
    /// Claims this process's network namespace.
    ///
    /// # Errors
    /// When another cluster has its nodes in it.
    pub fn claim() -> Result<Sole> {
        Sole::of(NAME)
    }

    fn of(name: &[u8]) -> Result<Sole> {
        let address = SocketAddr::from_abstract_name(name).context("name a socket")?;
        match UnixListener::bind_addr(&address) {
            Ok(socket) => Ok(Sole { _socket: socket }),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let owner = UnixStream::connect_addr(&address)
                    .ok()
                    .and_then(|stream| getsockopt(&stream, PeerCredentials).ok())
                    .map_or_else(String::new, |peer| format!(" (process {})", peer.pid()));
                bail!(
                    "another cluster has its nodes in this network already{owner}: stop that one, or start this one with --no-node or in a network namespace of its own"
                )
            }
            Err(error) => Err(error).context("claim the network"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red when the name is not bound: the second cluster would take the first one's network for its own, and away.
    #[test]
    fn a_network_is_one_cluster_s_until_it_ends() {
        let name = format!("leme-test-{}", std::process::id());
        let first = Sole::of(name.as_bytes()).unwrap();
        let refused = Sole::of(name.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
        drop(first);
        Sole::of(name.as_bytes()).unwrap();
    }
}
