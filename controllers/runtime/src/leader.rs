//! Leadership by a Lease: one holder at a time acts; a holder that cannot renew stops before another one may start.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leme_client::{Client, Error, Resource};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

const DURATION_SECONDS: i64 = 15;
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);

/// A candidate for the leadership that one Lease stands for.
#[derive(Debug)]
pub struct Candidate {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who this is.
    pub identity: String,
}

/// What was last seen of another holder, by our own clock.
struct Seen {
    version: String,
    at: Instant,
}

impl Candidate {
    fn resource() -> Resource {
        Resource::namespaced("coordination.k8s.io/v1", "Lease", "leases")
    }

    /// Waits until this candidate leads, and tells since when at the least; nothing if cancelled before.
    pub async fn acquire(&self, client: &Client, token: &CancellationToken) -> Option<Instant> {
        let mut seen = None;
        loop {
            let asked = Instant::now();
            match self.attempt(client, &mut seen).await {
                Ok(true) => {
                    info!(lease = self.name, "leading");
                    return Some(asked);
                }
                Ok(false) => {}
                Err(refused) => {
                    warn!(lease = self.name, error = refused.message(), "cannot take the lease")
                }
            }
            tokio::select! {
                () = token.cancelled() => return None,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Renews what has been had since `renewed`, until it is lost or `token` is cancelled.
    pub async fn hold(&self, client: &Client, token: &CancellationToken, mut renewed: Instant) {
        let mut seen = None;
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
            // Others count from when they see it, which is after it was asked for.
            let asked = Instant::now();
            let deadline = renewed + RENEW_DEADLINE;
            match tokio::time::timeout_at(deadline, self.attempt(client, &mut seen)).await {
                Ok(Ok(true)) => renewed = asked,
                Ok(Ok(false)) => {
                    warn!(lease = self.name, "another one leads");
                    return;
                }
                _ if renewed.elapsed() >= RENEW_DEADLINE => {
                    warn!(lease = self.name, "could not renew in time");
                    return;
                }
                _ => {}
            }
        }
    }

    async fn attempt(&self, client: &Client, seen: &mut Option<Seen>) -> Result<bool, Error> {
        let resource = Candidate::resource();
        let path = resource.object(&self.namespace, &self.name, "");
        let mut lease = match client.get(&path).await {
            Ok(lease) => lease,
            Err(error) if error.is_not_found() => {
                let fresh = json!({
                    "apiVersion": resource.api_version, "kind": resource.kind,
                    "metadata": { "name": self.name, "namespace": self.namespace },
                    "spec": self.spec(None),
                });
                client.post(&resource.collection(&self.namespace), &fresh).await?;
                return Ok(true);
            }
            Err(other) => return Err(other),
        };
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or("").to_owned();
        if !holder.is_empty() && holder != self.identity {
            let version = lease["metadata"]["resourceVersion"].as_str().unwrap_or("").to_owned();
            let seconds =
                lease["spec"]["leaseDurationSeconds"].as_u64().unwrap_or(DURATION_SECONDS as u64);
            let known = seen.take().filter(|known| known.version == version);
            let known = known.unwrap_or(Seen { version, at: Instant::now() });
            let expired = known.at.elapsed() >= Duration::from_secs(seconds);
            *seen = Some(known);
            if !expired {
                return Ok(false);
            }
        }
        lease["spec"] = self.spec(Some(&lease["spec"]));
        match client.put(&path, &lease).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(other) => Err(other),
        }
    }

    fn spec(&self, old: Option<&Value>) -> Value {
        let micro = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        let now = micro(Timestamp::now());
        let field = |name: &str| old.map(|old| old[name].clone()).unwrap_or_default();
        let same = field("holderIdentity") == self.identity.as_str();
        let transitions = field("leaseTransitions").as_i64().unwrap_or(0);
        json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": SignedDuration::from_secs(DURATION_SECONDS).as_secs(),
            "acquireTime": if same { field("acquireTime") } else { now.clone().into() },
            "renewTime": now,
            "leaseTransitions": if same || old.is_none() { transitions } else { transitions + 1 },
        })
    }

    /// Gives it up if it is still held: another one need not wait until it runs out.
    pub async fn release(&self, client: &Client) {
        let path = Candidate::resource().object(&self.namespace, &self.name, "");
        let held = client.get(&path).await;
        let Ok(mut lease) = held else { return };
        if lease["spec"]["holderIdentity"] == self.identity.as_str() {
            lease["spec"]["holderIdentity"] = Value::Null;
            lease["spec"]["leaseDurationSeconds"] = 1.into();
            if let Err(refused) = client.put(&path, &lease).await {
                warn!(lease = self.name, error = refused.message(), "cannot give the lease up");
            }
        }
    }
}
