//! The router: host names and paths of Routes and Ingresses to ready endpoints, with TLS and without, without reloads. Knows how changes
//! become a new table and a status; serving is `listen`, `tls` and `forward`, decisions are `admit`, `table` and `status`.
//!
//! What a Route asks for and the router does not do is a reason not to admit it: see `annotations` and `route`.

mod actions;
mod activity;
mod admit;
mod allow;
mod annotations;
mod forward;
mod gateway;
mod headers;
mod http2;
mod ingress;
mod limits;
mod listen;
mod log;
mod monitor;
mod pages;
mod pools;
mod route;
mod sender;
mod session;
mod stats;
mod status;
mod sticky;
mod table;
mod tls;
mod trouble;
mod tunnel;
mod writes;

pub use allow::AllowList;
pub use log::{LogConfig, LogFormat};
pub use tls::authority::{Authority, CERTIFICATE};

use crate::model::Feed;
use admit::{Policy, Refusal, Verdicts, judge};
use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use forward::Forwarder;
use futures::{FutureExt, StreamExt};
use gateway::feed::{GatewayFeed, held};
use gateway::{Common, Ports};
use ingress::feed::Ingresses;
use leme_client::{Client, Error, Event, Events, Key, Known, Recorder, Scope, Step, follow_as};
use leme_serve::Opening;
use log::AccessLog;
use pools::Pools;
use route::{RouteInfo, RouteObject, routes};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use table::Table;
use tls::backend::Trust;
use tls::door::Door;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trouble::Trouble;
use writes::StatusWrites;

/// What the router of a node needs to know.
#[derive(Debug, Default)]
pub struct RouterConfig {
    /// Where it answers; see [`bind`].
    pub listeners: Vec<std::net::TcpListener>,
    /// Where it answers with TLS, and who certifies hosts there.
    pub secure: Option<Secure>,
    /// Its name in the status of Routes, such as `default`.
    pub router_name: String,
    /// The name that DNS entries of hosts may point to.
    pub canonical_hostname: Option<String>,
    /// The domain that completes `spec.subdomain` of a Route.
    pub domain: String,
    /// The domain of the cluster's own names, such as `cluster.local`: no host of a Route.
    pub cluster_domain: String,
    /// What Ingresses are told of where they are served.
    pub address: Option<IpAddr>,
    /// Whether Routes of the wildcard policy `Subdomain` are served.
    pub allow_wildcards: bool,
    /// Whom Services are certified by, as PEM.
    pub service_authority: Option<String>,
    /// Load balancers that say who the client is, by the PROXY protocol, and have to.
    pub announced_by: Option<AllowList>,
    /// Where requests are written down.
    pub access_log: Option<LogConfig>,
    /// Where health and metrics are told; see [`bind`].
    pub monitor: Option<std::net::TcpListener>,
}

/// Where TLS is spoken.
#[derive(Debug)]
pub struct Secure {
    /// The address; see [`bind`].
    pub listener: std::net::TcpListener,
    /// Who certifies the hosts of Routes that bring no certificate.
    pub authority: Arc<Authority>,
}

/// Listens on every address, or on none with the reason.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<std::net::TcpListener>> {
    let one = |address: &SocketAddr| {
        std::net::TcpListener::bind(address).with_context(|| format!("router: listen on {address}"))
    };
    addresses.iter().map(one).collect()
}

/// Events written at once.
const EVENTS_AT_ONCE: usize = 4;

/// Serves Routes until `token` is cancelled.
pub async fn run_router(
    client: Client,
    mut config: RouterConfig,
    token: CancellationToken,
) -> Result<()> {
    let served = Arc::new(ArcSwap::from_pointee(Table::default()));
    let secure = config.secure.take();
    let address = secure.as_ref().map(|secure| secure.listener.local_addr()).transpose();
    let address = address.context("the router's address with TLS")?;
    let port = address.map(|address| address.port());
    let client = client.named("leme-router");
    let (recorder, record) = Recorder::new(client.clone(), EVENTS_AT_ONCE, token.clone());
    let recording = tokio::spawn(record);
    let log = config.access_log.as_ref().map(AccessLog::open).transpose();
    let log = log.context("open the access log")?.map(Arc::new);
    let trouble = Trouble::new(recorder.clone());
    let forwarder = Forwarder::new(served.clone(), port, log, trouble, token.clone());
    let forwarder = Arc::new(forwarder);
    let mut all = JoinSet::new();
    if let Some(listener) = config.monitor.take() {
        all.spawn(monitor::serve(listener, forwarder.clone(), token.clone()));
    }
    let listeners = std::mem::take(&mut config.listeners);
    let plain: std::io::Result<Vec<SocketAddr>> =
        listeners.iter().map(std::net::TcpListener::local_addr).collect();
    let common = Common {
        table: served.clone(),
        forwarder: forwarder.clone(),
        authority: secure.as_ref().map(|secure| Arc::clone(&secure.authority)),
        domain: config.domain.clone(),
        announced_by: config.announced_by.clone(),
        token: token.clone(),
    };
    let ports = Ports::new(common, &plain.context("the router's addresses")?, address);
    let opening = announced(config.announced_by.as_ref(), Opening::Either);
    all.spawn(listen::serve(listeners, opening, forwarder.clone(), token.clone()));
    if let Some((Secure { listener, authority }, address)) = secure.zip(address) {
        let (table, shared) = (served.clone(), forwarder.clone());
        let door = Door::new(authority, &config.domain, table, shared, address)?;
        let opening = Opening::ByHello(Arc::new(door));
        let opening = announced(config.announced_by.as_ref(), opening);
        all.spawn(listen::serve(vec![listener], opening, forwarder, token.clone()));
    }
    let services_by = config.service_authority.as_deref().map(Trust::of_services).transpose();
    let services_by = services_by.map_err(anyhow::Error::msg)?;
    let mut router = Router::new(client, config, served, recorder, (services_by, ports));
    let first = tokio::select! {
        () = token.cancelled() => None,
        ended = all.join_next() => ended,
        never = router.run() => match never {},
    };
    if let Some(ended) = first {
        ended.context("router")??;
    }
    while let Some(ended) = all.join_next().await {
        ended.context("router")??;
    }
    recording.abort();
    Ok(())
}

/// How connections begin, after what load balancers say of them.
fn announced(by: Option<&AllowList>, opening: Opening) -> Opening {
    let Some(list) = by.cloned() else { return opening };
    Opening::Announced(Arc::new(move |address| list.holds(address)), Box::new(opening))
}

struct Router {
    config: RouterConfig,
    policy: Policy,
    feed: Feed,
    /// Services and slices are complete.
    fed: bool,
    watch: Events<RouteObject>,
    known: Known,
    routes: BTreeMap<Key, RouteInfo>,
    ingresses: Ingresses,
    gateways: GatewayFeed,
    verdicts: Verdicts,
    pools: Pools,
    served: Arc<ArcSwap<Table>>,
    writes: StatusWrites<RouteObject>,
}

impl Router {
    fn new(
        client: Client,
        config: RouterConfig,
        served: Arc<ArcSwap<Table>>,
        recorder: Recorder,
        (services_by, ports): (Option<Trust>, Ports),
    ) -> Router {
        Router {
            policy: Policy {
                wildcards: config.allow_wildcards,
                cluster_domain: config.cluster_domain.to_ascii_lowercase(),
                route_domain: config.domain.to_ascii_lowercase(),
                service_authority: services_by.is_some(),
            },
            feed: Feed::new(&client),
            fed: false,
            watch: routes_of(&client),
            known: Known::default(),
            routes: BTreeMap::new(),
            ingresses: Ingresses::new(&client, recorder, config.address),
            gateways: GatewayFeed::new(&client, config.address, ports),
            verdicts: Verdicts::new(),
            pools: Pools::certified_by(services_by),
            served,
            writes: StatusWrites::new(client, routes()),
            config,
        }
    }

    async fn run(&mut self) -> std::convert::Infallible {
        loop {
            tokio::select! {
                changed = self.feed.next() => {
                    self.pools.refresh(&self.feed.model, &changed);
                    let first = !std::mem::replace(&mut self.fed, true);
                    if first || self.gateways.concerns(&changed, &self.feed.model) {
                        self.serve_routes();
                    }
                }
                Some(event) = self.watch.next() => self.routes_changed(event),
                changed = self.ingresses.next() => match changed {
                    true => self.serve_routes(),
                    false => self.ingresses.tell(&self.verdicts),
                },
                changed = self.gateways.next() => {
                    if changed {
                        self.serve_routes();
                    }
                }
                done = self.writes.next() => self.written(done),
            }
            self.write_statuses();
            self.gateways.tell();
        }
    }

    /// Takes this event and those that are waiting, then replaces the table once.
    fn routes_changed(&mut self, event: Result<Event<RouteObject>, Error>) {
        let mut changed = self.route_event(event);
        while let Some(Some(event)) = self.watch.next().now_or_never() {
            changed |= self.route_event(event);
        }
        if changed {
            self.serve_routes();
        }
    }

    fn route_event(&mut self, event: Result<Event<RouteObject>, Error>) -> bool {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::debug!(%error, "watching routes");
                return false;
            }
        };
        let before = self.known.is_complete();
        let changed = match self.known.step(event) {
            Step::Put(key, object) => {
                let route = RouteInfo::of(&object, &self.config.domain);
                let same = self.routes.get(&key).is_some_and(|old| equal_for_serving(old, &route));
                self.routes.insert(key, route);
                !same
            }
            Step::Gone(keys) => {
                keys.iter().filter(|key| self.routes.remove(*key).is_some()).count() > 0
            }
            Step::Nothing => false,
        };
        changed || before != self.known.is_complete()
    }

    /// Judges the Routes and serves those that are admitted. Not before all are known: an older one may be among the rest.
    fn serve_routes(&mut self) {
        let known = self.known.is_complete() && self.ingresses.is_complete();
        if !known || !self.gateways.is_complete() || !self.fed {
            return;
        }
        let all = || self.routes.values().chain(self.ingresses.rules());
        self.verdicts = judge(all(), &self.policy);
        let admitted = |route: &&RouteInfo| matches!(self.verdicts.get(&route.key), Some(Ok(())));
        let held = held(all().filter(admitted));
        let (model, pools, verdicts) = (&self.feed.model, &mut self.pools, &mut self.verdicts);
        let certificates = self.ingresses.certificates();
        let table = self.gateways.serve(certificates, model, &held, |judged, shared| {
            for (key, holder) in &judged.lost {
                let message = format!("{holder} holds its host and is older");
                verdicts
                    .insert(key.clone(), Err(Refusal { reason: "HostAlreadyClaimed", message }));
            }
            Table::build(all(), verdicts, (judged, shared), model, pools)
        });
        self.served.store(Arc::new(table));
        self.ingresses.tell(&self.verdicts);
    }

    /// Starts the status writes that are due. What they say is served already.
    fn write_statuses(&mut self) {
        let now = k8s_openapi::jiff::Timestamp::now();
        let seconds = now.as_second();
        let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        for (key, verdict) in &self.verdicts {
            if self.writes.are_full() {
                return;
            }
            let Some(route) = self.routes.get(key).filter(|_| !self.writes.has(key)) else {
                continue;
            };
            let Some(ingress) = status::ingress(route, verdict, &self.config, (&now, seconds))
            else {
                continue;
            };
            // The version makes the write fail if another router's entry came in between.
            let patch = json!({
                "metadata": {"resourceVersion": route.resource_version}, "status": {"ingress": ingress}
            });
            self.writes.begin(key, patch);
        }
    }

    fn written(&mut self, done: Option<(Key, Result<RouteObject, Error>)>) {
        match done {
            Some((key, Ok(object))) => {
                // The answer stands for the watch event that is still under way.
                let route = RouteInfo::of(&object, &self.config.domain);
                self.routes.entry(key).and_modify(|held| *held = route);
            }
            Some((key, Err(error))) if error.is_not_found() => {
                self.verdicts.remove(&key);
            }
            // It is tried again after a pause, which may be over now.
            Some((_, Err(_))) | None => {}
        }
    }
}

/// Whether two versions of a Route are served alike.
fn equal_for_serving(old: &RouteInfo, new: &RouteInfo) -> bool {
    let stripped = |route: &RouteInfo| RouteInfo {
        ingress: Vec::new(),
        resource_version: None,
        ..route.clone()
    };
    stripped(old) == stripped(new)
}

fn routes_of(client: &Client) -> Events<RouteObject> {
    follow_as(client.clone(), Scope::all(routes()))
}
