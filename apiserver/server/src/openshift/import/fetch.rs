//! Images as registries have them, for imports.
//!
//! Knows: whom to ask as whom, how often and how much, and upstream's words for what is refused. Refuses to know: streams.
//!
//! A server fetches here what a tenant names. So each answer is believed by its digest, each import has a time and each image a
//! size, the node's own logins are not shown, and a registry that sends elsewhere is not followed with what it was shown.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use leme_distribution::{
    Client, Credentials, Endpoint, Error, IMAGES, Manifest, Reference, Registries,
};
use leme_meta::{FieldError, Gvk, Gvr, Path, Status, quote};
use leme_strategy::image_tag::content::{self, Content};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Between two questions for a manifest, on the average, and how many of them come at once.
const EVERY: Duration = Duration::from_millis(500);
const BURST: u32 = 3;
/// For all of an import.
const LIMIT: Duration = Duration::from_secs(50);
/// Imports at once, and those that wait; others are told to come again.
const IMPORTS: usize = 4;
const WAITING: usize = 12;
/// Of those so many are of one namespace.
const OF_ONE: usize = 4;
/// Bytes of a manifest with its configuration, which an object holds both.
const BYTES: usize = 1 << 20;
/// Images of a list that are imported with it.
const LISTED: usize = 50;
/// Registries whose connections are kept.
const CLIENTS: usize = 64;
/// Logins that are tried for an image.
const LOGINS: usize = 8;

/// Asks registries for all imports of a server.
pub(crate) struct Importer {
    registries: Registries,
    /// When the next question is due if they came evenly.
    due: Mutex<Option<Instant>>,
    seats: Semaphore,
    /// For those that have a seat and those that wait for one.
    room: Semaphore,
    clients: Mutex<HashMap<(String, bool), Client>>,
    /// How many each namespace has under way.
    own: Mutex<HashMap<String, usize>>,
}

/// One of those that a namespace has under way.
struct Own<'a> {
    importer: &'a Importer,
    namespace: String,
}

impl Drop for Own<'_> {
    fn drop(&mut self) {
        let mut own = self.importer.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = own.get_mut(&self.namespace) {
            *count -= 1;
        }
        own.retain(|_, count| *count > 0);
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    /// As it was said.
    pub from: String,
    /// Whoever answers is believed, also without TLS.
    pub insecure: bool,
    /// A list of images is kept as it is.
    pub whole_list: bool,
    /// Which image of a list is meant; this machine's if none is.
    pub architecture: String,
    pub os: String,
}

/// What there is.
pub(super) struct Fetched {
    pub image: Value,
    /// The images of a list.
    pub manifests: Vec<Value>,
}

/// One import, as somebody.
pub(super) struct Session<'a> {
    importer: &'a Importer,
    credentials: &'a Credentials,
    until: Instant,
    _seats: [SemaphorePermit<'a>; 2],
    _own: Own<'a>,
}

impl Wish {
    fn reference(&self) -> Result<Reference, Status> {
        Reference::parse(&self.from).ok_or_else(|| {
            let at = Path::new("from").child("name");
            let why = "invalid name: invalid reference format";
            let kind = Gvk {
                group: "image.openshift.io".into(),
                version: "v1".into(),
                kind: String::new(),
            };
            Status::invalid(&kind, "", &[FieldError::invalid(&at, self.from.as_str(), why)])
        })
    }

    /// Its tag, empty for a digest.
    pub fn tag(&self) -> String {
        let reference = Reference::parse(&self.from);
        let tag = reference.filter(|one| one.digest.is_none()).and_then(|one| one.tag);
        tag.unwrap_or_default()
    }
}

impl Importer {
    pub fn new(registries: Registries) -> Importer {
        Importer {
            registries,
            due: Mutex::default(),
            seats: Semaphore::new(IMPORTS),
            room: Semaphore::new(IMPORTS + WAITING),
            clients: Mutex::default(),
            own: Mutex::default(),
        }
    }

    /// Begins an import, when it has a seat.
    pub(super) async fn session<'a>(
        &'a self,
        namespace: &str,
        credentials: &'a Credentials,
    ) -> Result<Session<'a>, Status> {
        let many =
            || Status::too_many_requests("too many imports are under way, please try again", 5);
        let until = Instant::now() + LIMIT;
        let own = self.own(namespace).ok_or_else(many)?;
        let room = self.room.try_acquire().map_err(|_| many())?;
        let seat = tokio::time::timeout_at(until, self.seats.acquire()).await;
        let seat = seat.ok().and_then(Result::ok).ok_or_else(many)?;
        Ok(Session { importer: self, credentials, until, _seats: [room, seat], _own: own })
    }

    /// One more of a namespace, if it may have one.
    fn own(&self, namespace: &str) -> Option<Own<'_>> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let count = own.entry(namespace.to_owned()).or_default();
        if *count >= OF_ONE {
            return None;
        }
        *count += 1;
        Some(Own { importer: self, namespace: namespace.to_owned() })
    }

    /// Waits until a manifest may be asked for.
    async fn turn(&self) {
        let at = {
            let now = Instant::now();
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let earliest = due.map_or(now, |due| due.max(now));
            *due = Some(earliest + EVERY);
            earliest.checked_sub(EVERY * (BURST - 1)).unwrap_or(now)
        };
        tokio::time::sleep_until(at).await;
    }

    fn client(&self, endpoint: &Endpoint) -> Result<Client, Error> {
        let key = (endpoint.url.clone(), endpoint.unchecked);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = Client::new(endpoint)?;
        if clients.len() >= CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// Where an image may be had.
    fn endpoints(&self, reference: &Reference, insecure: bool) -> Vec<Endpoint> {
        let mut all = self.registries.endpoints(reference);
        if insecure {
            let plain = all.iter().filter_map(|endpoint| {
                let rest = endpoint.url.strip_prefix("https://")?;
                Some(Endpoint { url: format!("http://{rest}"), ..endpoint.clone() })
            });
            let plain: Vec<Endpoint> = plain.collect();
            all.iter_mut().for_each(|endpoint| endpoint.unchecked = true);
            all.extend(plain);
        }
        all
    }
}

impl Session<'_> {
    /// An image.
    pub async fn fetch(&self, wish: &Wish) -> Result<Fetched, Status> {
        let reference = wish.reference()?;
        match tokio::time::timeout_at(self.until, self.fetch_now(wish, &reference)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(Status::internal(late(&reference))),
        }
    }

    /// Tags of a repository.
    pub async fn tags(&self, wish: &Wish, most: usize) -> Result<Vec<String>, Status> {
        let reference = wish.reference()?;
        let (_, repository) = reference.parts();
        let asked =
            self.ask(wish, &reference, |client| async move { client.tags(repository, most).await });
        let found = match tokio::time::timeout_at(self.until, asked).await {
            Ok(found) => found,
            Err(_) => return Err(Status::internal(late(&reference))),
        };
        found.map(|(tags, _)| tags).map_err(|error| refused(&wish.from, wish.insecure, &error))
    }

    async fn fetch_now(&self, wish: &Wish, reference: &Reference) -> Result<Fetched, Status> {
        let said = reference.full();
        let told = |error: &Error| refused(&said, wish.insecure, error);
        let wrong = |why: String| Status::internal(format!("{said}: {why}"));
        self.importer.turn().await;
        let (_, repository) = reference.parts();
        let by = reference.by();
        let (manifest, client) =
            self.ask(wish, reference, |client| async move {
                client.manifest(repository, by, IMAGES).await
            })
            .await
            .map_err(|error| told(&error))?;
        let all = match content::read(&manifest.media_type, &manifest.bytes).map_err(wrong)? {
            Content::Image(config) => {
                let image = image(&client, repository, &manifest, &config).await;
                let image = image.map_err(|error| told(&error))?;
                return Ok(Fetched { image: placed(image, wish), manifests: Vec::new() });
            }
            Content::List(all) => all,
        };
        if wish.whole_list {
            let now = leme_meta::time::seconds(jiff::Timestamp::now());
            let image = content::image_of_list(
                &manifest.digest,
                &manifest.media_type,
                &manifest.bytes,
                &now,
            );
            let image = placed(image.map_err(wrong)?, wish);
            if all.len() > LISTED {
                return Err(wrong(format!("it is a list of more than {LISTED} images")));
            }
            let mut manifests = Vec::new();
            for one in &all {
                let one = self.listed(&client, repository, &one.digest).await;
                manifests.push(placed(one.map_err(|error| told(&error))?, wish));
            }
            return Ok(Fetched { image, manifests });
        }
        let own = |said: &str, own: &str| if said.is_empty() { own } else { said }.to_owned();
        let architecture = own(&wish.architecture, architecture());
        let one = content::chosen(&all, &architecture, &own(&wish.os, "linux"))
            .ok_or_else(|| wrong("no manifests in manifest list".to_owned()))?;
        let image = self.listed(&client, repository, &one.digest).await;
        let image = image.map_err(|error| told(&error))?;
        Ok(Fetched { image: placed(image, wish), manifests: Vec::new() })
    }

    /// An image of a list.
    async fn listed(
        &self,
        client: &Client,
        repository: &str,
        digest: &str,
    ) -> Result<Value, Error> {
        let manifest = client.manifest(repository, digest, IMAGES).await?;
        match content::read(&manifest.media_type, &manifest.bytes).map_err(Error::Answer)? {
            Content::Image(config) => image(client, repository, &manifest, &config).await,
            Content::List(_) => Err(Error::Answer("a list of images is in a list".to_owned())),
        }
    }

    /// Asks where an image may be had, as who may have it, and at last as nobody. What is told is what was said first.
    async fn ask<T, F: Future<Output = Result<T, Error>>>(
        &self,
        wish: &Wish,
        reference: &Reference,
        question: impl Fn(Client) -> F,
    ) -> Result<(T, Client), Error> {
        let mut first = None;
        for endpoint in self.importer.endpoints(reference, wish.insecure) {
            let client = match self.importer.client(&endpoint) {
                Ok(client) => client,
                Err(error) => {
                    first.get_or_insert(error);
                    continue;
                }
            };
            let logins = self.credentials.of(&reference.name).take(LOGINS).map(Some);
            for login in logins.chain([None]) {
                let client = client.for_login(login);
                match question(client.clone()).await {
                    Ok(answer) => return Ok((answer, client)),
                    Err(error) => {
                        let other = error.is_refusal();
                        first.get_or_insert(error);
                        if !other {
                            break;
                        }
                    }
                }
            }
        }
        Err(first.unwrap_or_else(|| Error::Answer("there is nobody to be asked".to_owned())))
    }
}

/// The Image of a manifest whose configuration is still to be had.
async fn image(
    client: &Client,
    repository: &str,
    manifest: &Manifest,
    config: &str,
) -> Result<Value, Error> {
    let too_large =
        || Error::Answer(format!("manifest and configuration have more than {BYTES} bytes"));
    let room = BYTES.checked_sub(manifest.bytes.len()).ok_or_else(too_large)?;
    let digest = leme_distribution::reference::valid_digest(config);
    let digest = digest.ok_or_else(|| Error::Answer(format!("{config:?} is no digest")))?;
    let mut blob = client.blob(repository, &digest, None).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = blob.next().await? {
        if bytes.len() + piece.len() > room {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    content::image(&manifest.digest, &manifest.media_type, &manifest.bytes, &bytes)
        .map_err(Error::Answer)
}

/// An image as it is named by who asked for it.
fn placed(mut image: Value, wish: &Wish) -> Value {
    let name = leme_registry::json::text(&image, &["metadata", "name"]).to_owned();
    let reference = content::pinned(&wish.from, &name);
    leme_registry::json::set(&mut image, "dockerImageReference", reference);
    image
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn late(reference: &Reference) -> String {
    format!("{}: the import took more than {} seconds", reference.full(), LIMIT.as_secs())
}

/// What a registry's answer is to who asked.
fn refused(said: &str, insecure: bool, error: &Error) -> Status {
    match error {
        Error::NotFound(_) => {
            let resource = Gvr {
                group: "image.openshift.io".into(),
                version: "v1".into(),
                resource: "dockerimage".into(),
            };
            Status::not_found(&resource, said)
        }
        Error::Unauthorized(_) => {
            let why = format!("you may not have access to the container image {}", quote(&said));
            Status::new(401, "Unauthorized", why)
        }
        Error::Unreachable { why, .. } if !insecure && why.contains("InvalidContentType") => {
            Status::bad_request(format!(
                "the repository {said} is HTTP only and requires the insecure flag to import"
            ))
        }
        other => Status::internal(format!("{said}: {other}")),
    }
}
