//! Images from registries into the node's store.
//!
//! Knows: which of a registry, its mirrors and a pod's logins is asked when, and how what is got is laid out as a directory
//! that the store takes in, which believes nothing before its digest. Refuses to know: pods, and how registries are spoken to.

mod layout;
mod manifest;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use leme_distribution::{Client, Endpoint, Error, IMAGES, Login, Reference};
pub use leme_distribution::{Credentials, Registries};
use leme_host::images::{EVERYBODY, ImageError, ImageStore};
use tokio::sync::Semaphore;

/// Images that are pulled at a time.
const AT_ONCE: usize = 3;
/// The mark of nobody: whom the cluster's own registry shows something to is asked there.
const ASKED: &str = "-";
/// How long a pull may take in all.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// It is no reference.
    #[error("couldn't parse image name {0:?}: invalid reference format")]
    Reference(String),
    /// The registry did not give it.
    #[error(transparent)]
    Registry(#[from] Error),
    /// There is no such image for this machine, or what there is makes no sense.
    #[error("{0}")]
    Image(String),
    /// It does not go into the store.
    #[error(transparent)]
    Store(#[from] ImageError),
    /// The disk.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("it took longer than {} minutes", LONGEST.as_secs() / 60)]
    Timeout,
}

/// The result of asking a registry.
pub type Result<T> = std::result::Result<T, PullError>;

/// An image that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Its id, the digest of its configuration.
    pub id: String,
    /// Bytes that were got for it; none if it was there.
    pub bytes: u64,
}

/// Pulls images.
pub struct Puller {
    registries: Registries,
    turns: Semaphore,
    /// Those that are being pulled, by reference: a second one waits for the first.
    under_way: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Puller {
    /// From registries as they are configured.
    pub fn new(registries: Registries) -> Puller {
        Puller { registries, turns: Semaphore::new(AT_ONCE), under_way: Mutex::default() }
    }

    /// Makes the store have what a reference means at its registry now. `credentials` are tried for the registry in their
    /// order, then what the configuration says, then nobody's.
    ///
    /// # Errors
    /// When nobody has it, or what they have is not what it should be; the store is then as it was.
    pub async fn pull(
        &self,
        store: &ImageStore,
        reference: &str,
        credentials: &Credentials,
    ) -> Result<Pulled> {
        let wanted = Reference::parse(reference)
            .ok_or_else(|| PullError::Reference(reference.to_owned()))?;
        let one = self.one(&wanted.full());
        let _one = one.lock().await;
        // Never closed.
        let _turn = self.turns.acquire().await;
        let pulling = self.pull_from_all(store, &wanted, credentials);
        tokio::time::timeout(LONGEST, pulling).await.map_err(|_| PullError::Timeout)?
    }

    /// Whether an image is of the cluster's own registry, which is asked each time who may have it.
    pub fn is_own(&self, reference: &str) -> bool {
        let wanted = Reference::parse(reference);
        wanted.is_some_and(|wanted| self.registries.is_own(wanted.parts().0))
    }

    /// Whether a registry shows an image to one of the logins now.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn may_have(&self, reference: &str, credentials: &Credentials) -> Result<bool> {
        let wanted = Reference::parse(reference)
            .ok_or_else(|| PullError::Reference(reference.to_owned()))?;
        let (registry, repository) = wanted.parts();
        let nobody = Client::new(&self.registries.registry(registry))?;
        for login in credentials.of(&wanted.name).map(Some).chain([None]) {
            let client = nobody.for_login(login);
            match client.head_manifest(repository, wanted.by(), IMAGES).await {
                Ok(_) => return Ok(true),
                Err(error) if error.is_refusal() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    fn one(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|_, one| one.strong_count() > 0);
        let known = under_way.get(name).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let one = Arc::default();
            under_way.insert(name.to_owned(), Arc::downgrade(&one));
            one
        })
    }

    /// From the mirrors of its registry, in their order, and from itself.
    async fn pull_from_all(
        &self,
        store: &ImageStore,
        wanted: &Reference,
        credentials: &Credentials,
    ) -> Result<Pulled> {
        let mut failed = None;
        for endpoint in self.registries.endpoints(wanted) {
            match self.pull_from(store, wanted, &endpoint, credentials).await {
                Ok(pulled) => return Ok(pulled),
                // What does not fit here fits from nobody.
                Err(error @ (PullError::Store(_) | PullError::Io(_))) => return Err(error),
                Err(error) => {
                    tracing::debug!(image = %wanted.full(), endpoint = %endpoint.url, %error, "not pulled");
                    // Who was refused has been heard, who was not reached has not.
                    if failed.as_ref().is_none_or(|before| weight(before) < weight(&error)) {
                        failed = Some(error);
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(|| PullError::Reference(wanted.full())))
    }

    async fn pull_from(
        &self,
        store: &ImageStore,
        wanted: &Reference,
        endpoint: &Endpoint,
        credentials: &Credentials,
    ) -> Result<Pulled> {
        let logins = credentials.of(&wanted.name).chain(endpoint.login.clone());
        let (nobody, mut refused) = (Client::new(endpoint)?, None);
        for login in logins.map(Some).chain([None]) {
            let client = nobody.for_login(login);
            let own = self.registries.is_own(wanted.parts().0);
            // Who may have what is the cluster's own is not remembered, for it is asked each time.
            let mark = if own { ASKED.to_owned() } else { mark_of(&client) };
            match manifest::pull(&client, store, wanted, (endpoint, &mark)).await {
                // Somebody else may be let in.
                Err(PullError::Registry(error)) if error.is_refusal() => {
                    refused.get_or_insert(error);
                }
                other => return other,
            }
        }
        // Nobody was asked at last, and so somebody was.
        Err(refused
            .map_or_else(|| PullError::Image("nobody may have it".to_owned()), PullError::Registry))
    }
}

/// The mark of whom a registry shows something to.
fn mark_of(client: &Client) -> String {
    client.login().map_or_else(|| EVERYBODY.to_owned(), Login::mark)
}

/// How much an error says of an image: what a registry says of it more than that one could not be asked.
fn weight(error: &PullError) -> u8 {
    match error {
        PullError::Registry(Error::Unreachable { .. } | Error::Untrusted { .. }) => 0,
        PullError::Timeout => 0,
        PullError::Registry(Error::Answer(_)) => 1,
        _ => 2,
    }
}
