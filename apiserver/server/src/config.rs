//! What a server is told when it starts.
//!
//! Knows: the settings and what they are if nobody says. Refuses to know: what is done with them.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use leme_distribution::Registries;
use leme_kinds::Kinds;
use leme_serve::Limits;
use leme_store::Store;

use crate::AdmissionConfig;
use crate::audit::AuditConfig;
use crate::inflight::InFlightLimits;
use crate::sweep::EventLimits;

/// Where a program comes from.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The commit it was built of.
    pub commit: &'static str,
    /// `clean`, or `dirty` if it was built of more than that.
    pub tree: &'static str,
    /// When that was, as RFC 3339.
    pub date: &'static str,
}

impl Default for Build {
    /// A program that does not know.
    fn default() -> Build {
        Build { commit: "unknown", tree: "unknown", date: "1970-01-01T00:00:00Z" }
    }
}

/// What a server needs to start.
pub struct ServerConfig {
    /// Addresses to listen on; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Directory of the cluster's certificates; created if it is not there.
    pub pki_dir: PathBuf,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Whether other servers write to the store as well.
    pub shared: bool,
    /// Network that cluster addresses of Services come from.
    pub service_cidr: (Ipv4Addr, u8),
    /// Range that node ports of Services come from.
    pub node_ports: RangeInclusive<u16>,
    /// Domain under which generated Route hosts stand.
    pub route_domain: String,
    /// The cluster's registry of images, if it has one.
    pub registry: Option<ImageRegistry>,
    /// What `/version` says of the program.
    pub build: Build,
    /// Addresses and names by which clients reach the server, for the serving certificate. The first address that is
    /// not loopback is what pods are told.
    pub advertise: Vec<String>,
    /// How many requests may be under way at once.
    pub in_flight: InFlightLimits,
    /// How many Events are kept.
    pub events: EventLimits,
    /// Bytes of answers and of request bodies that may wait for clients, in all; see `docs/architecture.md`.
    pub buffered_bytes: usize,
    /// How many connections there may be, and how long each may take.
    pub connections: Limits,
    /// Which admission plug-ins are asked, and how.
    pub admission: AdmissionConfig,
    /// The kinds of the program that are served.
    pub kinds: Arc<Kinds>,
    /// Tokens of people, one a line: token, user, uid, groups between quotes.
    pub token_file: Option<PathBuf>,
    /// Passwords of people who may log in, as `htpasswd` writes them.
    pub password_file: Option<PathBuf>,
    /// Those who vouch for people.
    pub issuers: Option<leme_oidc::Config>,
    /// What is told of requests, and where.
    pub audit: Option<AuditConfig>,
    /// How registries are spoken to from which images are imported; their logins are not shown.
    pub registries: Registries,
    /// The components (`controller-manager`, `scheduler`) that run in this process as long as it does: they need no lease.
    pub within: Vec<&'static str>,
}

/// A registry of images that is the cluster's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRegistry {
    /// By which name it is known, with its port: what streams say they are at.
    pub host: String,
    /// Where it listens.
    pub address: SocketAddr,
}

impl ServerConfig {
    /// A server on one address, with the usual ranges and nothing advertised.
    pub fn new(listen: SocketAddr, pki_dir: PathBuf, store: Arc<dyn Store>) -> ServerConfig {
        ServerConfig {
            listen: vec![listen],
            pki_dir,
            store,
            shared: false,
            service_cidr: (Ipv4Addr::new(10, 96, 0, 0), 16),
            node_ports: leme_meta::ports::OF_NODES,
            route_domain: "apps.localhost".to_owned(),
            registry: None,
            build: Build::default(),
            advertise: Vec::new(),
            in_flight: InFlightLimits::default(),
            events: EventLimits::default(),
            buffered_bytes: BUFFERED_BYTES,
            connections: Limits::default(),
            admission: AdmissionConfig::default(),
            kinds: Arc::clone(Kinds::builtin()),
            registries: Registries::default(),
            within: Vec::new(),
            token_file: None,
            password_file: None,
            issuers: None,
            audit: None,
        }
    }
}

/// Enough for a thousand clients that each read a long list at once.
const BUFFERED_BYTES: usize = 128 * 1024 * 1024;
