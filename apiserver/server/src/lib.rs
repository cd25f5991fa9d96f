//! HTTP in front of store and registry: identity, routing, negotiation, discovery, watches, proxying.
//!
//! Knows: requests, and how each becomes a read of the cache or a compare-and-put of the store. Refuses to know: any
//! kind by name (the kind table and the strategies do), except the few objects every cluster starts with, the pools
//! that Services take numbers from, and Events, which expire.
//!
//! Invariants:
//! - One parsed request is what is authorised, dispatched and named in errors.
//! - A success is answered only after the store has said that the write is durable.
//! - Reads never decode what they pass on; lists and watch frames are the cache's bytes.
//! - No lock is held across an await.

mod addresses;
mod admit;
mod allocate;
mod answer;
mod api;
mod audit;
mod body;
mod bootstrap;
mod budget;
mod charges;
mod chunks;
mod claims;
mod components;
mod config;
mod definitions;
mod discovery;
mod documents;
mod facts;
mod fence;
mod frames;
mod graph;
mod gzip;
mod health;
mod id_blocks;
mod identity;
mod inflight;
mod kept;
mod listen;
mod local;
mod metrics;
mod negotiate;
mod node_proxy;
mod openapi;
mod openapi_v2;
mod openshift;
mod ordered;
mod pages;
pub mod pki;
mod pod_streams;
mod policies;
mod present;
mod protobuf;
mod proxy;
mod query;
mod quota;
mod read;
mod repair;
mod request;
mod resources;
mod schema;
mod selection;
mod served;
mod sight;
mod signer;
mod sweep;
mod table;
mod tokens;
mod tunnel;
mod turns;
mod usage;
mod warnings;
mod watch;
mod write;
mod yaml;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use leme_admission::Chain;
use leme_serve::{Guard, Lifetime, Limits};
use leme_store::StoreError;
use leme_store::cache::Cache;
use tokio::net::TcpListener;

pub use answer::Answer;
pub use audit::{AuditConfig, AuditKept};
pub use body::{Body, BoxError, RequestBody};
pub use config::{Build, ImageRegistry, ServerConfig};
pub use inflight::InFlightLimits;
pub use leme_access::Identity;
pub use leme_admission::{Config as AdmissionConfig, Settings as AdmissionSettings};
pub use leme_oidc::{Config as IssuerConfig, Flags as IssuerFlags};
pub use local::LocalService;
pub use pki::{Pki, PkiError};
pub use sweep::EventLimits;

use allocate::Pools;
use api::Api;
use bootstrap::KubernetesService;
use budget::Budget;
use definitions::Definitions;
use facts::CacheFacts;
use inflight::InFlight;
use openshift::oauth::OAuth;
use policies::Policies;
use served::Served;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration makes no sense.
    #[error("{0}")]
    Config(String),
    /// The certificates could not be read or made.
    #[error("certificates: {0}")]
    Pki(#[from] PkiError),
    /// TLS could not be set up with them.
    #[error("TLS: {0}")]
    Tls(#[source] rustls::Error),
    /// An address could not be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The store could not be read.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The objects that every cluster has could not be written.
    #[error("bootstrap: {0}")]
    Bootstrap(#[source] leme_meta::Status),
}

/// The result of starting a server.
pub type Result<T> = std::result::Result<T, StartError>;

/// A running server.
pub struct Server {
    addresses: Vec<SocketAddr>,
    api: Arc<Api>,
    pki: Arc<Pki>,
    tls: Arc<rustls::ServerConfig>,
    connections: Limits,
    lifetime: Lifetime,
    _guard: Guard,
}

impl Server {
    /// Opens the certificates, binds the addresses, fills the cache, writes what every cluster has, and then serves.
    pub async fn start(config: ServerConfig) -> Result<Server> {
        check(&config)?;
        let known = tokens::Known::of(config.token_file.as_deref(), config.issuers)
            .map_err(StartError::Config)?;
        let audit = audit::Audit::start(config.audit).map_err(StartError::Config)?;
        let (listeners, addresses) = listeners(&config.listen).await?;
        let oauth = OAuth::of(config.password_file, &config.advertise, &addresses, config.shared)
            .map_err(StartError::Config)?;
        let cluster_ip = Pools::first(config.service_cidr);
        let names = names(&config.advertise, cluster_ip, &addresses);
        let pki = Arc::new(Pki::open(&config.pki_dir, &names)?);
        let (tls, lifetime) = (listen::tls(&pki)?, Lifetime::default());
        let guard = Guard(lifetime.clone());
        let found = definitions::stored(&*config.store).await?;
        let resources = resources::of(found.iter().map(|found| &found.objects));
        let cache = Cache::start(Arc::clone(&config.store), resources).await?;
        let mut definitions = Definitions::new(&cache, config.kinds, found);
        let own = own_service(config.service_cidr, &config.advertise, &addresses);
        let told = own.advertised(&addresses);
        let (admission, policies) = admission(&cache, &config.admission);
        let api = Arc::new(Api {
            admission,
            graph: graph::Following::new(&policies),
            policies,
            known,
            oauth,
            tokens: tokens::Tokens::open(&config.pki_dir)?,
            store: config.store,
            cache,
            turnstile: fence::Turnstile::default(),
            importer: openshift::import::Importer::new(config.registries),
            quotas: charges::Quotas::new(config.shared),
            pools: Pools::new(config.service_cidr, config.node_ports),
            route_domain: config.route_domain,
            registry: config.registry,
            served: ArcSwap::from_pointee(Served::new(definitions.kinds(), &told)),
            nodes: node_proxy::NodeClient::new(&pki)?,
            usages: usage::Usages::default(),
            in_flight: InFlight::new(config.in_flight),
            metrics: metrics::Metrics::default(),
            audit,
            budget: Budget::new(config.buffered_bytes),
            lifetime: lifetime.clone(),
            build: config.build,
            within: config.within,
        });
        follow(&api);
        api.bootstrap(&own).await.map_err(StartError::Bootstrap)?;
        definitions.settle(&api).await;
        lifetime.spawn(definitions.run(Arc::clone(&api)));
        let (limits, shared) = (config.connections, Arc::clone(&api));
        let serving = listen::serve(listeners, Arc::clone(&tls), limits, shared, lifetime.clone());
        lifetime.spawn(serving);
        spawn_keepers(&api, &pki, own, config.events);
        Ok(Server { addresses, api, pki, tls, connections: limits, lifetime, _guard: guard })
    }

    /// Serves on a listener more, until the server stops.
    pub fn also_serve(&self, listener: TcpListener) {
        let (tls, limits) = (Arc::clone(&self.tls), self.connections);
        let (api, lifetime) = (Arc::clone(&self.api), self.lifetime.clone());
        self.lifetime.spawn(listen::serve(vec![listener], tls, limits, api, lifetime));
    }

    /// The addresses that are listened on, with the ports that were taken.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The cluster's certificates.
    pub fn pki(&self) -> &Arc<Pki> {
        &self.pki
    }

    /// Bytes of answers and of request bodies that wait for clients now.
    pub fn buffered(&self) -> usize {
        self.api.budget.held()
    }

    /// The API as `identity`, in this process: no TCP, no TLS, the same code.
    pub fn local_service(&self, identity: Identity) -> LocalService {
        LocalService { api: Arc::clone(&self.api), identity }
    }

    /// Stops: accepts nothing new, ends watches, finishes what is being answered, and cuts short what is left after
    /// `grace`. Writes under way get at least five seconds more.
    pub async fn shutdown(self, grace: Duration) {
        self.lifetime.end(grace).await;
        // What answers slowly must not keep the process: a claim that is not released ends by itself.
        match tokio::time::timeout(grace, self.api.store.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot give the store up"),
            Err(_) => tracing::warn!("cannot give the store up in time"),
        }
    }
}

/// Starts what looks after the objects of the server itself and of everybody.
fn spawn_keepers(api: &Arc<Api>, pki: &Arc<Pki>, own: KubernetesService, events: EventLimits) {
    let (kept, lifetime) = (Arc::clone(api), &api.lifetime);
    lifetime.spawn(async move { kept.keep_up(&own).await });
    lifetime.spawn(sweep::run(Arc::clone(api), events));
    lifetime.spawn(quota::run(Arc::clone(api)));
    lifetime.spawn(repair::run(Arc::clone(api)));
    lifetime.spawn(Arc::clone(&api.budget).run(lifetime.stop_token()));
    lifetime.spawn(openshift::oauth::take_away_what_is_over(Arc::clone(api)));
    lifetime.spawn(tokens::keep_secrets(Arc::clone(api), pki.ca_pem().to_owned()));
    lifetime.spawn(signer::run(Arc::clone(api), Arc::clone(pki)));
    let (renewed, stopping) = (Arc::clone(pki), lifetime.clone());
    lifetime.spawn(async move {
        tokio::select! {
            () = renewed.keep_good() => {}
            () = stopping.stopping() => {}
        }
    });
}

/// Starts what follows the cache for decisions about requests.
fn follow(api: &Arc<Api>) {
    policies::start(api);
    turns::start(api);
    graph::start(api);
}

/// Admission over what the cache has, and the policy that it asks.
fn admission(cache: &Arc<Cache>, config: &AdmissionConfig) -> (Chain<CacheFacts>, Arc<Policies>) {
    let policies = Arc::new(Policies::new());
    let facts = CacheFacts::new(Arc::clone(cache), Arc::clone(&policies));
    (Chain::of(facts, config), policies)
}

fn check(config: &ServerConfig) -> Result<()> {
    let (address, bits) = config.service_cidr;
    if !(8..=29).contains(&bits) {
        return Err(StartError::Config(format!(
            "service network {address}/{bits}: /8 to /29 expected"
        )));
    }
    if config.node_ports.is_empty() || *config.node_ports.start() == 0 {
        return Err(StartError::Config("the range of node ports is empty".to_owned()));
    }
    if config.listen.is_empty() {
        return Err(StartError::Config("no address to listen on".to_owned()));
    }
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

/// Listeners on all of these, and the addresses with the ports that were taken.
async fn listeners(wanted: &[SocketAddr]) -> Result<(Vec<TcpListener>, Vec<SocketAddr>)> {
    let mut listeners = Vec::with_capacity(wanted.len());
    for address in wanted {
        listeners.push(listen(*address).await?);
    }
    let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    Ok((listeners, addresses))
}

/// How pods find the API.
fn own_service(
    network: (Ipv4Addr, u8),
    advertise: &[String],
    listened: &[SocketAddr],
) -> KubernetesService {
    KubernetesService {
        network,
        cluster_ip: Pools::first(network),
        address: reachable(advertise, listened),
        port: listened.first().map_or(6443, SocketAddr::port),
    }
}

/// What the serving certificate is for.
fn names(advertise: &[String], cluster_ip: Ipv4Addr, listened: &[SocketAddr]) -> Vec<String> {
    let listened = listened.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified());
    let own = std::iter::once(cluster_ip.to_string()).chain(listened.map(|ip| ip.to_string()));
    advertise.iter().cloned().chain(own).collect()
}

/// The address that pods reach the server by: loopback is their own.
fn reachable(advertise: &[String], listened: &[SocketAddr]) -> Option<IpAddr> {
    let advertised = advertise.iter().filter_map(|text| text.parse().ok());
    let usable = |ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified();
    advertised.chain(listened.iter().map(SocketAddr::ip)).find(usable)
}
