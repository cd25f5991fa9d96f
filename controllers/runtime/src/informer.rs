//! Keeps a lister by what happens to the objects of its kind.
//!
//! Invariant: `seen` is a revision such that the lister holds every change of its kind up to it; it never goes back.
//! An object that cannot be read is named in the log and left out.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use futures::StreamExt;
use leme_client::{Client, Event, Head, Scope, follow};
use leme_lister::{AnyLister, Key};
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Who keeps the lister of one kind.
pub struct Informer {
    lister: Arc<dyn AnyLister>,
    seen: watch::Sender<u64>,
    synced: watch::Sender<bool>,
}

impl fmt::Debug for Informer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Informer({})", self.lister.resource().plural)
    }
}

impl Informer {
    /// Of a lister that nobody else keeps.
    pub fn new(lister: Arc<dyn AnyLister>) -> Arc<Informer> {
        let (seen, synced) = (watch::Sender::new(0), watch::Sender::new(false));
        Arc::new(Informer { lister, seen, synced })
    }

    /// What it keeps.
    pub fn lister(&self) -> &Arc<dyn AnyLister> {
        &self.lister
    }

    /// The revision up to which the lister has seen everything; changes whenever the lister does.
    pub fn seen(&self) -> watch::Receiver<u64> {
        self.seen.subscribe()
    }

    /// Waits for the first complete list.
    pub async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives as long as `self`.
        let _ = synced.wait_for(|done| *done).await;
    }

    /// Keeps the lister until cancelled.
    pub async fn run(self: Arc<Self>, client: Client, token: CancellationToken) {
        tokio::select! {
            () = token.cancelled() => {}
            () = self.keep(&client) => {}
        }
    }

    /// Forgets every object, as if all had gone: for a kind that is not served any more, once nobody keeps the lister.
    pub fn clear(&self) {
        self.lister.keys().iter().for_each(|key| self.lister.remove(key));
    }

    async fn keep(&self, client: &Client) {
        let scope = Scope::all(self.lister.resource().clone());
        let mut events = follow(client.clone(), scope);
        // The keys of a list that is not complete yet.
        let mut listed = HashSet::new();
        while let Some(event) = events.next().await {
            // What fails is told where it fails, and tried again there.
            let Ok(event) = event else { continue };
            match event {
                Event::Begin => listed.clear(),
                Event::Listed(head, object) => listed.extend(self.put(&object, &head)),
                Event::Complete(revision) => {
                    let listed = std::mem::take(&mut listed);
                    for key in self.lister.keys().iter().filter(|key| !listed.contains(*key)) {
                        self.lister.remove(key);
                    }
                    self.advance(&revision);
                    self.synced.send_replace(true);
                }
                Event::Changed(head, object) => {
                    self.put(&object, &head);
                    self.advance(&head.revision);
                }
                Event::Gone(head) => {
                    self.lister.remove(&head.key);
                    self.advance(&head.revision);
                }
                Event::Seen(revision) => self.advance(&revision),
            }
        }
    }

    fn put(&self, object: &RawValue, head: &Head) -> Option<Key> {
        match self.lister.put(&head.without_owners(object)) {
            Ok(key) => Some(key),
            Err(error) => {
                let (name, resource) =
                    (format!("{}/{}", head.key.0, head.key.1), &self.lister.resource().plural);
                warn!(resource, name, %error, "left out an object that cannot be read");
                None
            }
        }
    }

    fn advance(&self, revision: &str) {
        let revision: u64 = revision.parse().unwrap_or(0);
        self.seen.send_if_modified(|seen| {
            let later = revision > *seen;
            *seen = revision.max(*seen);
            later
        });
    }
}
