//! Secrets that hold tokens: of service accounts, which get theirs and go with their account, and bootstrap tokens, which
//! go when their time is over.
//!
//! Knows: what upstream writes into the first and when it removes either. Refuses to know: who uses them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use leme_kinds::Kind;
use leme_meta::Status;
use leme_registry::{DeleteOptions, Target, json};
use leme_store::cache::{Cached, Kind as EventKind, SubEvent};
use serde_json::Value;

use super::{OF_SECRETS, OfSecret, bootstrap};
use crate::answer::read_failed;
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::table;

/// Type of the Secrets that hold tokens of accounts.
const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const UID: &str = "kubernetes.io/service-account.uid";
/// How long to wait after the store could not be asked.
const AGAIN: Duration = Duration::from_secs(10);
/// Changes taken from the cache at a time.
const BATCH: usize = 256;

/// Which Secrets end when: time, namespace, name.
type Ends = BTreeSet<(Timestamp, String, String)>;

/// Who looks after them.
struct Keeper {
    api: Arc<Api>,
    /// The authority that clients are to believe, as Secrets hold it.
    authority: String,
    secrets: &'static Arc<Kind>,
    accounts: &'static Arc<Kind>,
}

/// Looks after them until the server stops.
pub(crate) async fn run(api: Arc<Api>, authority: String) {
    let row = |plural| leme_kinds::by_resource("", "v1", plural);
    let (Some(secrets), Some(accounts)) = (row("secrets"), row("serviceaccounts")) else { return };
    let stopping = api.lifetime.stop_token();
    let authority = STANDARD.encode(authority);
    let keeper = Keeper { api, authority, secrets, accounts };
    stopping
        .run_until_cancelled(async {
            loop {
                if let Err(error) = keeper.keep().await {
                    tracing::warn!(%error, "cannot look after Secrets that hold tokens; trying again later");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        })
        .await;
}

impl Keeper {
    /// Looks at all, and then at what changes, until changes are lost.
    async fn keep(&self) -> Result<(), Status> {
        let cache = &self.api.cache;
        let watch = |kind: &Kind| cache.watch(&kind.prefix(None), cache.revision());
        let mut secrets = watch(self.secrets).map_err(read_failed)?;
        let mut accounts = watch(self.accounts).map_err(read_failed)?;
        let mut ends = Ends::new();
        self.all(&self.secrets.prefix(None), &mut ends).await?;
        loop {
            let next = ends.first().map(|(time, ..)| *time);
            let changes = tokio::select! {
                changes = secrets.next_batch(BATCH) => changes,
                changes = accounts.next_batch(BATCH) => changes,
                () = until(next) => {
                    self.ended(&mut ends).await?;
                    continue;
                }
            };
            if changes.is_empty() {
                return Ok(());
            }
            for change in changes {
                match change {
                    SubEvent::Progress(_) => {}
                    SubEvent::Expired => return Ok(()),
                    SubEvent::Event(event)
                        if event.object.key.starts_with(&self.secrets.prefix(None)) =>
                    {
                        if event.kind != EventKind::Deleted {
                            self.one(&event.object, &mut ends).await?;
                        }
                    }
                    // An account that is made again has another uid.
                    SubEvent::Event(event) if event.kind != EventKind::Modified => {
                        let namespace = self.secrets.prefix(Some(&event.object.index.namespace));
                        self.all(&namespace, &mut ends).await?;
                    }
                    SubEvent::Event(_) => {}
                }
            }
        }
    }

    async fn all(&self, prefix: &str, ends: &mut Ends) -> Result<(), Status> {
        let Some(snapshot) = self.api.cache.snapshot(&self.secrets.prefix(None)) else {
            return Ok(());
        };
        for object in snapshot.range(prefix, "") {
            self.one(object, ends).await?;
        }
        Ok(())
    }

    /// Does what a Secret needs.
    async fn one(&self, object: &Cached, ends: &mut Ends) -> Result<(), Status> {
        let type_ = object.index.field("type").unwrap_or_default();
        if object.index.deleting || ![TYPE, bootstrap::TYPE].contains(&type_) {
            return Ok(());
        }
        let Ok(secret) = table::decoded(object) else { return Ok(()) };
        let (namespace, name) = (&*object.index.namespace, &*object.index.name);
        match type_ {
            TYPE => {
                let done = match self.account_of(&secret, namespace).await? {
                    None => self.remove(namespace, name, &object.index.uid).await,
                    Some(account) if lacks(&secret, &account, &self.authority) => {
                        self.fill(namespace, name).await
                    }
                    Some(_) => Ok(()),
                };
                done.or_else(|error| passed_over(error, namespace, name))
            }
            bootstrap::TYPE if namespace == "kube-system" => {
                if let Some(Some(time)) = bootstrap::ends(&secret) {
                    ends.insert((time, namespace.to_owned(), name.to_owned()));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Removes those whose time is over, which may have been given another one.
    async fn ended(&self, ends: &mut Ends) -> Result<(), Status> {
        let now = Timestamp::now();
        while let Some((time, namespace, name)) = ends.pop_first() {
            if time > now {
                ends.insert((time, namespace, name));
                break;
            }
            let Some(stored) = self.api.stored(&self.secrets.key(&namespace, &name)).await? else {
                continue;
            };
            let secret = stored.value;
            if json::text(&secret, &["type"]) == bootstrap::TYPE && bootstrap::expired(&secret, now)
            {
                tracing::info!(%name, "a bootstrap token has expired");
                self.remove(&namespace, &name, json::text(&secret, &["metadata", "uid"])).await?;
            }
        }
        Ok(())
    }

    /// The account that a Secret names, if it is that one.
    async fn account_of(&self, secret: &Value, namespace: &str) -> Result<Option<Value>, Status> {
        let annotation = |name| json::text(secret, &["metadata", "annotations", name]);
        let name = annotation(ACCOUNT);
        if name.is_empty() {
            return Ok(None);
        }
        let account = match self.api.core_object("serviceaccounts", namespace, name) {
            Some(account) => Some(account),
            // It may have been made a moment ago.
            None => {
                self.api.stored(&self.accounts.key(namespace, name)).await?.map(|found| found.value)
            }
        };
        let uid = annotation(UID);
        let same =
            |account: &Value| uid.is_empty() || json::text(account, &["metadata", "uid"]) == uid;
        Ok(account.filter(same))
    }

    async fn fill(&self, namespace: &str, name: &str) -> Result<(), Status> {
        let update = ResourceRequest::of(Verb::Update, self.secrets, namespace, name);
        let filled = self.api.make_of(&update, Target::Main, |stored| {
            let account = json::text(stored, &["metadata", "annotations", ACCOUNT]);
            let account = self.api.core_object("serviceaccounts", namespace, account);
            let account = account.filter(|account| lacks(stored, account, &self.authority));
            let Some(account) = account else { return Ok(None) };
            let mut new = stored.clone();
            self.filled(&mut new, &account)?;
            Ok(Some(new))
        });
        filled.await.map(drop)
    }

    fn filled(&self, secret: &mut Value, account: &Value) -> Result<(), Status> {
        let text = |of: &Value, field| json::text(of, &["metadata", field]).to_owned();
        let (namespace, name) = (text(secret, "namespace"), text(secret, "name"));
        let (account, uid) = (text(account, "name"), text(account, "uid"));
        let metadata = json::child(secret, "metadata");
        let annotations = json::child(metadata, "annotations");
        json::set(annotations, ACCOUNT, account.as_str());
        json::set(annotations, UID, uid.as_str());
        let has_token = !json::text(secret, &["data", "token"]).is_empty();
        let data = json::child(secret, "data");
        json::set(data, "ca.crt", self.authority.as_str());
        json::set(data, "namespace", STANDARD.encode(&namespace));
        if !has_token {
            let sub = format!("system:serviceaccount:{namespace}:{account}");
            let iss = OF_SECRETS.to_owned();
            let claims = OfSecret { iss, namespace, secret: name, account, uid, sub };
            let token = self.api.tokens.sign(&claims).map_err(Status::internal)?;
            json::set(data, "token", STANDARD.encode(token));
        }
        Ok(())
    }

    async fn remove(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Status> {
        let request = ResourceRequest::of(Verb::Delete, self.secrets, namespace, name);
        let options = DeleteOptions { uid: Some(uid.to_owned()), ..DeleteOptions::default() };
        match self.api.delete_object(&request, &options).await {
            // It is gone, or is another one by now.
            Err(status) if [404, 409].contains(&status.code) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// What is refused is told, and keeps nobody else waiting.
fn passed_over(error: Status, namespace: &str, name: &str) -> Result<(), Status> {
    if error.code >= 500 {
        return Err(error);
    }
    tracing::warn!(%namespace, %name, %error, "a Secret cannot have its token");
    Ok(())
}

fn lacks(secret: &Value, account: &Value, authority: &str) -> bool {
    let data = |key| json::text(secret, &["data", key]);
    let uid = json::text(secret, &["metadata", "annotations", UID]);
    data("token").is_empty()
        || data("namespace").is_empty()
        || data("ca.crt") != authority
        || uid != json::text(account, &["metadata", "uid"])
}

async fn until(time: Option<Timestamp>) {
    let Some(time) = time else { return std::future::pending().await };
    let wait = time.duration_since(Timestamp::now());
    tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
}
