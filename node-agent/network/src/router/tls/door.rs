//! Connections with TLS: which certificate is shown, and which are given to an application as they come.
//!
//! Knows: the name that a client asks for, and the table. Only hosts of Routes are certified: who asks for another name is shown
//! the router's own certificate, and costs no signature.

use super::super::forward::{Ends, Forwarder};
use super::super::table::{Entry, Table};
use super::authority::{Authority, Issued};
use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use leme_serve::{Doorkeeper, Reception};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Certificates that are kept; beyond that they are made anew.
const KEPT: usize = 50_000;

/// Decides on connections with TLS.
pub(in crate::router) struct Door {
    config: Arc<rustls::ServerConfig>,
    table: Arc<ArcSwap<Table>>,
    forwarder: Arc<Forwarder>,
    local: SocketAddr,
}

impl Door {
    /// The door of an address. `domain` is the one of the router's own certificate.
    pub(in crate::router) fn new(
        authority: Arc<Authority>,
        domain: &str,
        table: Arc<ArcSwap<Table>>,
        forwarder: Arc<Forwarder>,
        local: SocketAddr,
    ) -> Result<Door> {
        let own = vec![format!("*.{domain}"), domain.to_owned()];
        let shown = Shown {
            default: Mutex::new(Arc::new(authority.issue(own.clone())?)),
            own,
            authority,
            port: local.port(),
            table: table.clone(),
            issued: Mutex::default(),
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new().context("make a key for session tickets")?;
        Ok(Door { config: Arc::new(config), table, forwarder, local })
    }
}

impl Door {
    /// Gives a connection to an application.
    fn pass(&self, entry: Arc<Entry>, host: String, address: SocketAddr) -> Reception {
        let forwarder = Arc::clone(&self.forwarder);
        let ends = Ends { client: address, local: self.local, secure: true };
        Reception::Pass(Box::new(move |opened| {
            Box::pin(async move { forwarder.tunnel(opened, &entry, &host, ends).await })
        }))
    }
}

impl Doorkeeper for Door {
    fn receive(&self, name: Option<&str>, address: SocketAddr) -> Reception {
        let table = self.table.load();
        let port = self.local.port();
        if let Some(host) = name.map(bare).filter(|host| table.is_for_gateways(port, host))
            && let Some(rule) = table.gateways.tunnel(port, &host)
        {
            let turn = rule.and_then(|rule| rule.next());
            return match turn.map(|turn| Arc::clone(turn.entry)) {
                None => Reception::Refuse,
                Some(entry) => self.pass(entry, host, address),
            };
        }
        let Some(entry) = name.and_then(|name| table.tunnel(&bare(name))) else {
            return Reception::Serve(Arc::clone(&self.config));
        };
        if !entry.admits(address.ip()) {
            return Reception::Refuse;
        }
        self.pass(Arc::clone(entry), name.map(bare).unwrap_or_default(), address)
    }
}

/// The name as the table has it.
fn bare(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Chooses the certificate that is shown.
struct Shown {
    authority: Arc<Authority>,
    own: Vec<String>,
    port: u16,
    table: Arc<ArcSwap<Table>>,
    default: Mutex<Arc<Issued>>,
    issued: Mutex<HashMap<String, Arc<Issued>>>,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Shown {
    fn for_host(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let mut all = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(host).filter(|known| !known.is_due()) {
            return Some(Arc::clone(&known.key));
        }
        let issued = Arc::new(self.authority.issue(vec![host.to_owned()]).ok()?);
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(host.to_owned(), Arc::clone(&issued));
        Some(Arc::clone(&issued.key))
    }

    fn own(&self) -> Arc<CertifiedKey> {
        let mut default = self.default.lock().unwrap_or_else(PoisonError::into_inner);
        if default.is_due()
            && let Ok(fresh) = self.authority.issue(self.own.clone())
        {
            *default = Arc::new(fresh);
        }
        Arc::clone(&default.key)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(host) = hello.server_name().map(bare) else { return Some(self.own()) };
        let table = self.table.load();
        if table.is_for_gateways(self.port, &host) {
            let certificate = table.gateways.certificate(self.port, &host);
            return Some(certificate.map_or_else(|| self.own(), |one| Arc::clone(one.key())));
        }
        match table.certificate(&host) {
            Some(Some(certificate)) => Some(Arc::clone(certificate.key())),
            Some(None) => self.for_host(&host).or_else(|| Some(self.own())),
            None => Some(self.own()),
        }
    }
}
