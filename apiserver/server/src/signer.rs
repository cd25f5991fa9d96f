//! Signs the certificates that somebody has approved, for the signers that every cluster has.
//!
//! Knows: what each of them signs, as upstream has it. Refuses to know: who approves, but for what `approver` does; requests
//! to other signers wait for those.

mod approver;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use leme_access::NODE_USER;
use leme_kinds::Kind;
use leme_meta::Status;
use leme_registry::{Target, json};
use leme_store::cache::Subscription;
use serde_json::{Value, json};

use crate::api::Api;
use crate::pki::{Pki, Requested};
use crate::request::{ResourceRequest, Verb};
use crate::table;

/// How long to wait after something could not be signed for want of the store.
const AGAIN: Duration = Duration::from_secs(10);
/// Changes taken from the cache at a time.
const BATCH: usize = 64;

/// What a signer signs.
struct Signer {
    name: &'static str,
    /// Whether only nodes get certificates of it.
    nodes: bool,
    /// Whether certificates name hosts and addresses.
    serves: bool,
    needed: &'static [&'static str],
    allowed: &'static [&'static str],
}

const SIGNERS: [Signer; 3] = [
    Signer {
        name: "kubernetes.io/kube-apiserver-client",
        nodes: false,
        serves: false,
        needed: &["client auth"],
        allowed: &["digital signature", "key encipherment", "client auth"],
    },
    Signer {
        name: "kubernetes.io/kube-apiserver-client-kubelet",
        nodes: true,
        serves: false,
        needed: &["client auth", "digital signature"],
        allowed: &["digital signature", "key encipherment", "client auth"],
    },
    Signer {
        name: "kubernetes.io/kubelet-serving",
        nodes: true,
        serves: true,
        needed: &["digital signature", "server auth"],
        allowed: &["digital signature", "key encipherment", "server auth"],
    },
];

impl Signer {
    /// Why this signer does not sign a request, if it does not.
    fn refuses(&self, usages: &BTreeSet<&str>, asked: &Requested) -> Result<(), &'static str> {
        let fits = self.needed.iter().all(|usage| usages.contains(usage))
            && usages.iter().all(|usage| self.allowed.contains(usage));
        if !fits {
            return Err("invalid usages for this signer");
        }
        if asked.organizations > 1 {
            return Err("more than one organization is not supported");
        }
        if self.nodes {
            if asked.organization.as_deref() != Some("system:nodes") {
                return Err("organization must be system:nodes");
            }
            if !asked.common_name.starts_with(NODE_USER) {
                return Err("common name must begin with system:node:");
            }
        }
        match (self.serves, asked.names) {
            (true, 0) => Err("a DNS name or an IP address is needed"),
            (false, names) if self.nodes && names > 0 => Err("no subject names are allowed"),
            _ if self.nodes && asked.other_names > 0 => Err("no other subject names are allowed"),
            _ => Ok(()),
        }
    }
}

/// Signs what is approved until the server stops.
pub(crate) async fn run(api: Arc<Api>, pki: Arc<Pki>) {
    let row = leme_kinds::by_kind("certificates.k8s.io", "v1", "CertificateSigningRequest");
    let Some(kind) = row else { return };
    let stopping = api.lifetime.stop_token();
    stopping.run_until_cancelled(signs(&api, &pki, kind)).await;
}

async fn signs(api: &Api, pki: &Pki, kind: &Arc<Kind>) {
    let prefix = kind.prefix(None);
    let mut changes: Option<Subscription> = None;
    loop {
        let subscription = match &mut changes {
            Some(subscription) => subscription,
            None => match api.cache.watch(&prefix, api.cache.revision()) {
                Ok(subscription) => changes.insert(subscription),
                Err(_) => return,
            },
        };
        if let Err(error) = sign_all(api, pki, kind).await {
            tracing::warn!(%error, "cannot sign what is approved; trying again later");
            tokio::time::sleep(AGAIN).await;
            continue;
        }
        if subscription.next_batch(BATCH).await.is_empty() {
            changes = None;
        }
    }
}

async fn sign_all(api: &Api, pki: &Pki, kind: &Arc<Kind>) -> Result<(), Status> {
    let Some(snapshot) = api.cache.snapshot(&kind.prefix(None)) else { return Ok(()) };
    for object in snapshot.iter() {
        let Ok(request) = table::decoded(object) else { continue };
        if approver::waits(&request) && approver::approves(&request, &api.policies.load()).is_some()
        {
            approve(api, kind, &object.index.name).await?;
        } else if waits(&request) {
            sign(api, pki, kind, &object.index.name).await?;
        }
    }
    Ok(())
}

fn is(request: &Value, type_: &str) -> bool {
    let conditions = json::list(request, &["status", "conditions"]);
    conditions.iter().any(|one| json::text(one, &["type"]) == type_)
}

/// Whether a request is approved and nothing has come of it yet.
fn waits(request: &Value) -> bool {
    let signer = json::text(request, &["spec", "signerName"]);
    SIGNERS.iter().any(|known| known.name == signer)
        && is(request, "Approved")
        && !is(request, "Denied")
        && !is(request, "Failed")
        && json::text(request, &["status", "certificate"]).is_empty()
}

async fn approve(api: &Api, kind: &Arc<Kind>, name: &str) -> Result<(), Status> {
    let update = ResourceRequest::of(Verb::Update, kind, "", name);
    let approved = api.make_of(&update, Target::Approval, |stored| {
        let waits = approver::waits(stored);
        let message = approver::approves(stored, &api.policies.load()).filter(|_| waits);
        Ok(message.map(|message| {
            let mut new = stored.clone();
            approver::approve(&mut new, message);
            new
        }))
    });
    approved.await.map(drop)
}

async fn sign(api: &Api, pki: &Pki, kind: &Arc<Kind>, name: &str) -> Result<(), Status> {
    let update = ResourceRequest::of(Verb::Update, kind, "", name);
    let done = api.make_of(&update, Target::Status, |stored| {
        Ok(waits(stored).then(|| {
            let mut new = stored.clone();
            signed(&mut new, pki);
            new
        }))
    });
    done.await.map(drop)
}

/// Writes into a request what comes of it.
fn signed(request: &mut Value, pki: &Pki) {
    match certificate(request, pki) {
        Ok(pem) => {
            let status = json::child(request, "status");
            json::set(status, "certificate", STANDARD.encode(pem));
        }
        Err(why) => {
            let now = leme_meta::time::seconds(Timestamp::now());
            let failed = json!({
                "type": "Failed", "status": "True", "reason": "SignerValidationFailure",
                "message": why, "lastUpdateTime": now, "lastTransitionTime": now,
            });
            let mut conditions = json::list(request, &["status", "conditions"]).to_vec();
            conditions.push(failed);
            json::set(json::child(request, "status"), "conditions", conditions);
        }
    }
}

fn certificate(request: &Value, pki: &Pki) -> Result<String, String> {
    let signer = json::text(request, &["spec", "signerName"]);
    let signer = SIGNERS.iter().find(|known| known.name == signer).ok_or("unknown signer")?;
    let (asked, usages) = read(request)?;
    signer.refuses(&usages, &asked)?;
    let life = json::int(request, &["spec", "expirationSeconds"]);
    let life = life.and_then(|life| u64::try_from(life).ok()).map(Duration::from_secs);
    pki.sign_request(asked, signer.serves, usages.contains("key encipherment"), life)
}

/// What a request is for, and for which uses.
fn read(request: &Value) -> Result<(Requested, BTreeSet<&str>), String> {
    let pem = STANDARD.decode(json::text(request, &["spec", "request"])).unwrap_or_default();
    let usages = json::list(request, &["spec", "usages"]).iter().filter_map(Value::as_str);
    Ok((Requested::read(&pem)?, usages.collect()))
}
