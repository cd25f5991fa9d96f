//! The ports of Gateways: those that Routes are served at, and others, which are opened while a Gateway asks for them.
//!
//! Knows: which ports no Gateway gets. Refuses to know: what is answered there.

use super::super::allow::AllowList;
use super::super::announced;
use super::super::forward::Forwarder;
use super::super::listen;
use super::super::table::Table;
use super::super::tls::authority::Authority;
use super::super::tls::door::Door;
use crate::model::Model;
use arc_swap::ArcSwap;
use leme_meta::ports;
use leme_serve::Opening;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Where pods ask a node for names.
const NAMES: u16 = 53;

/// What every port needs.
pub(in crate::router) struct Common {
    pub(in crate::router) table: Arc<ArcSwap<Table>>,
    pub(in crate::router) forwarder: Arc<Forwarder>,
    /// Who certifies hosts, where TLS is spoken at all.
    pub(in crate::router) authority: Option<Arc<Authority>>,
    pub(in crate::router) domain: String,
    /// Load balancers that say who the client is.
    pub(in crate::router) announced_by: Option<AllowList>,
    pub(in crate::router) token: CancellationToken,
}

struct Open {
    secure: bool,
    token: CancellationToken,
}

/// The ports.
pub(in crate::router) struct Ports {
    common: Common,
    /// Where they are opened.
    ip: Option<IpAddr>,
    /// The router's own, and whether TLS is spoken there.
    own: BTreeMap<u16, bool>,
    open: BTreeMap<u16, Open>,
    /// Those that were asked for last, with why they are not open.
    refused: BTreeMap<u16, String>,
    serving: JoinSet<()>,
}

impl Ports {
    /// The router's own ports, and none besides.
    pub(in crate::router) fn new(
        common: Common,
        plain: &[SocketAddr],
        secure: Option<SocketAddr>,
    ) -> Ports {
        let own = plain.iter().map(|one| (one.port(), false));
        let own = own.chain(secure.map(|one| (one.port(), true))).collect();
        let ip = plain.first().or(secure.as_ref()).map(SocketAddr::ip);
        let (open, refused, serving) = (BTreeMap::new(), BTreeMap::new(), JoinSet::new());
        Ports { common, ip, own, open, refused, serving }
    }

    /// The ports that Routes and Ingresses are served at.
    pub(in crate::router) fn shared(&self) -> BTreeSet<u16> {
        self.own.keys().copied().collect()
    }

    /// Opens what is asked for and closes what is not any more.
    pub(in crate::router) fn ask(&mut self, wanted: &BTreeMap<u16, bool>, model: &Model) {
        let taken = model.balanced_ports();
        let keeps = |port: &u16, open: &mut Open| {
            let keeps = wanted.get(port) == Some(&open.secure) && !taken.contains(port);
            if !keeps {
                open.token.cancel();
            }
            keeps
        };
        self.open.retain(keeps);
        self.refused.clear();
        for (port, secure) in wanted {
            if self.own.contains_key(port) || self.open.contains_key(port) {
                continue;
            }
            match self.open(*port, *secure, &taken) {
                Ok(open) => drop(self.open.insert(*port, open)),
                Err(why) => drop(self.refused.insert(*port, why)),
            }
        }
    }

    /// Whether a port is open for TLS, or without, or why it is not.
    pub(in crate::router) fn is_open(&self, port: u16, secure: bool) -> Result<(), String> {
        let open = self.open.get(&port).map(|open| open.secure);
        match self.own.get(&port).copied().or(open) {
            Some(speaks) if speaks == secure => Ok(()),
            Some(true) => Err("TLS is spoken there".to_owned()),
            Some(false) => Err("no TLS is spoken there".to_owned()),
            None => Err(self.refused.get(&port).cloned().unwrap_or("it is not open".to_owned())),
        }
    }

    fn open(&mut self, port: u16, secure: bool, taken: &BTreeSet<u16>) -> Result<Open, String> {
        if port == NAMES || port == ports::AGENT {
            return Err("it is the nodes' own".to_owned());
        }
        if ports::OF_NODES.contains(&port) {
            return Err("it may be some Service's nodePort".to_owned());
        }
        if taken.contains(&port) {
            return Err("a Service of the type LoadBalancer has it".to_owned());
        }
        let ip = self.ip.ok_or("this router listens nowhere")?;
        let address = SocketAddr::new(ip, port);
        let listener = std::net::TcpListener::bind(address).map_err(|error| error.to_string())?;
        let forwarder = Arc::clone(&self.common.forwarder);
        let opening = match (&self.common.authority, secure) {
            (_, false) => Opening::Either,
            (None, true) => return Err("this router speaks no TLS".to_owned()),
            (Some(authority), true) => {
                let (authority, table) = (Arc::clone(authority), self.common.table.clone());
                let domain = self.common.domain.as_str();
                let door = Door::new(authority, domain, table, forwarder.clone(), address);
                Opening::ByHello(Arc::new(door.map_err(|error| format!("{error:#}"))?))
            }
        };
        let opening = announced(self.common.announced_by.as_ref(), opening);
        let token = self.common.token.child_token();
        let serving = listen::serve(vec![listener], opening, forwarder, token.clone());
        self.serving.spawn(async move {
            if let Err(error) = serving.await {
                tracing::warn!(
                    port,
                    error = format!("{error:#}"),
                    "a Gateway's port is not served"
                );
            }
        });
        Ok(Open { secure, token })
    }

    /// Waits until a port is closed for good: it may be opened anew. Cancelling loses nothing.
    pub(in crate::router) async fn closed(&mut self) {
        match self.serving.join_next().await {
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}
