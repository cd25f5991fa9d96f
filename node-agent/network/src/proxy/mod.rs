//! Service rules: watches Services and EndpointSlices and keeps one nftables table equal to them. Knows when to send what to
//! `nft`; the rules themselves are decided in [`desired`] and worded in [`script`].

mod affinity;
mod desired;
mod script;

use crate::conntrack::{self, Conversation};
use crate::model::{Feed, Protocol};
use crate::{Cidr, nft};
use anyhow::Result;
use desired::{Frontend, Rules, Scope};
use leme_client::Client;
use script::{Current, Programmed};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the service rules of a node depend on.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// The nftables table; [`default_table`] of the bridge, so that tearing the pod network down removes it.
    pub table: String,
    /// This node's name, for traffic policies `Local`.
    pub node_name: String,
    /// This node's address.
    pub node_ip: Ipv4Addr,
    /// The pods of this node.
    pub pod_cidr: Cidr,
    /// The pods of the cluster.
    pub cluster_cidr: Cidr,
    /// The addresses of Services: what is not a service there is refused at once.
    pub service_cidr: Option<Cidr>,
    /// Service addresses that this node answers itself, such as the cluster DNS service's.
    pub local_addresses: Vec<Ipv4Addr>,
}

/// The name of the service table for the pod network on `bridge`.
pub fn default_table(bridge: &str) -> String {
    format!("leme-services-{bridge}")
}

/// Retries after a refused transaction: first pause and longest pause.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Keeps the rules equal to the API's services until `token` is cancelled. The rules stay when this ends: connections go on, and
/// the next run replaces them in one transaction.
pub async fn run_service_proxy(
    client: Client,
    config: ProxyConfig,
    token: CancellationToken,
) -> Result<()> {
    let mut proxy = Proxy::new(config);
    let mut feed = Feed::new(&client.named("kube-proxy"));
    let mut pause = RETRY.0;
    loop {
        let changed = tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause), if proxy.behind => BTreeSet::new(),
            changed = feed.next() => changed,
        };
        for key in &changed {
            proxy.rules.update(&feed.model, key, &proxy.scope);
        }
        match proxy.program().await {
            Ok(()) => pause = RETRY.0,
            Err(error) => {
                tracing::error!(table = %proxy.config.table, retry = ?pause, "service rules: {error:#}");
                pause = (pause * 2).min(RETRY.1);
            }
        }
    }
}

struct Proxy {
    config: ProxyConfig,
    scope: Scope,
    rules: Rules,
    /// What the kernel holds; `None` when that is not known.
    programmed: Option<Programmed>,
    behind: bool,
}

impl Proxy {
    fn new(config: ProxyConfig) -> Proxy {
        let scope = Scope {
            node_name: config.node_name.clone(),
            local_addresses: config.local_addresses.iter().copied().collect(),
        };
        Proxy { config, scope, rules: Rules::default(), programmed: None, behind: false }
    }

    /// Brings the kernel from what it holds to what is wanted, by difference if that is known, else by replacing the table.
    async fn program(&mut self) -> Result<()> {
        let next = Programmed::from(&self.rules, self.programmed.as_ref());
        let script = match &self.programmed {
            Some(held) => script::difference(&self.config.table, held, &next),
            None => script::full(&self.config, &next, self.bonds().await),
        };
        if !script.is_empty() {
            self.behind = true;
            if let Err(error) = nft::apply(&script).await {
                // Somebody touched the table, or the kernel refused: the next try starts afresh.
                self.programmed = None;
                return Err(error);
            }
        }
        self.behind = false;
        let held = self.programmed.take().unwrap_or_default();
        let udp = script::udp_changes(&held, &next);
        if script::unbinds(&held, &next) {
            self.unbind(&next).await;
        }
        self.programmed = Some(next);
        forget_udp(udp).await;
        Ok(())
    }

    /// The clients that are bound to endpoints.
    async fn bonds(&self) -> Vec<affinity::Bond> {
        affinity::list(&self.config.table).await.unwrap_or_else(|error| {
            tracing::warn!(table = %self.config.table, "clients may change their endpoint: {error:#}");
            Vec::new()
        })
    }

    /// Lets clients go whose endpoint is gone. New ones are not bound to it any more, since the rules come first.
    async fn unbind(&self, next: &Programmed) {
        let bonds = self.bonds().await;
        let gone: Vec<_> = bonds.iter().filter(|bond| !next.holds(bond)).collect();
        if gone.is_empty() {
            return;
        }
        let script = affinity::remove(&self.config.table, &gone);
        if let Err(error) = nft::apply(&script).await {
            tracing::error!(
                clients = gone.len(),
                "clients stay with endpoints that are gone: {error:#}"
            );
        }
    }
}

/// New conversations take the new rules; those under way must be told to.
async fn forget_udp(current: Current) {
    if current.is_empty() {
        return;
    }
    let stale = move |conversation: &Conversation| stale(&current, conversation);
    match tokio::task::spawn_blocking(move || conntrack::forget(stale)).await {
        Ok(Ok(count)) => tracing::debug!(count, "UDP conversations forgotten"),
        Ok(Err(error)) => tracing::warn!("UDP clients may stay with old endpoints: {error:#}"),
        Err(error) => tracing::error!(%error, "forgetting UDP conversations died"),
    }
}

/// Whether a conversation with one of the frontends in `current` is led elsewhere, or nowhere as those begun before there were
/// rules.
fn stale(current: &Current, conversation: &Conversation) -> bool {
    let Conversation { asked, answered } = conversation;
    let cluster = current.get(&Frontend::Cluster(asked.0, Protocol::Udp, asked.1));
    match (cluster, current.get(&Frontend::Node(Protocol::Udp, asked.1))) {
        (Some(backends), _) => !backends.contains(answered),
        // The same port of another machine is none of ours: only what was led somewhere counts.
        (None, Some(backends)) => answered.0 != asked.0 && !backends.contains(answered),
        (None, None) => false,
    }
}
