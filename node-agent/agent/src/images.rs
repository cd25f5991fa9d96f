//! A container's image: what is on the node, if that will do, or what its registry has.
//!
//! Knows: pull policies, and what is told of a pull. Refuses to know: registries, and when to try again.
//!
//! `Always` asks the registry each time, but for what somebody has loaded by hand: no registry knows that better.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Pod};
use leme_client::Client;
use leme_cri::{Runtime, RuntimeError};
use leme_distribution::{Credentials, Login, Reference};
use leme_node_core::cri::Image;
use leme_node_core::lookup::{Content, Key, Kind, Sources};
use leme_node_core::pod::StartError;
use leme_node_core::spec;
use leme_node_core::token::TokenOf;
use tokio_util::sync::CancellationToken;

use crate::worker::{CALL, within};

/// How long a token is good that is shown to a registry, in seconds: no less is given.
const SHOWN_FOR: i64 = 600;

/// What it takes to get an image.
pub struct Fetch {
    /// Who the pod is to registries; what is missing of it has not been read yet.
    pub credentials: Result<Credentials, StartError>,
    /// Who the pod is to the cluster's own registry.
    pub account: Account,
    /// Ends when nobody wants the pod any more.
    pub unwanted: CancellationToken,
}

/// A pod's service account, by whose token the cluster's own registry knows the pod.
pub struct Account {
    /// The name of that registry, if there is one.
    pub registry: Option<String>,
    /// Who asks for the token.
    pub client: Client,
    /// The namespace of the pod.
    pub namespace: String,
    /// Of whom, and for which pod.
    pub token: TokenOf,
}

impl Account {
    /// Of a pod.
    pub fn of(pod: &Pod, client: Client, registry: Option<String>) -> Account {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let account = spec::of(pod).service_account_name.clone();
        let account = account.filter(|name| !name.is_empty()).unwrap_or("default".to_owned());
        let pod_of = (text(&pod.metadata.name), text(&pod.metadata.uid));
        let audience = String::new();
        let token = TokenOf { account, pod: pod_of, seconds: SHOWN_FOR, audience };
        Account { registry, client, namespace: text(&pod.metadata.namespace), token }
    }

    /// Adds what the pod is to the cluster's own registry, if an image is of that.
    async fn join(&self, image: &str, credentials: &mut Credentials) -> Result<(), StartError> {
        let Some(registry) = &self.registry else { return Ok(()) };
        let is_its = Reference::parse(image).is_some_and(|image| image.parts().0 == registry);
        if !is_its {
            return Ok(());
        }
        let token = crate::source::request_token(&self.client, &self.namespace, &self.token).await;
        let password = token.map_err(|why| StartError::NoImage(failed(image, &why)))?;
        let login = Login { user: "serviceaccount".to_owned(), password };
        credentials.and(Credentials::one(registry, login));
        Ok(())
    }
}

/// Who a pod is to registries: what its pull secrets say. One that is not there says nothing, as upstream has it.
pub fn credentials(pod: &Pod, sources: &Sources) -> Result<Credentials, StartError> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut all = Credentials::default();
    for secret in spec::of(pod).image_pull_secrets.as_deref().unwrap_or_default() {
        let key = Key::new(Kind::Secret, namespace, &secret.name);
        let found = sources.find(&key).map_err(|_| StartError::Loading)?;
        let Some(Content::Data(data)) = found else { continue };
        for file in [".dockerconfigjson", ".dockercfg"] {
            let read = data.get(file).and_then(|text| Credentials::read(text));
            all.and(read.unwrap_or_default());
        }
    }
    Ok(all)
}

/// The image of a container, got from its registry where that is asked for; `tell` is told of a pull.
pub async fn get(
    runtime: &dyn Runtime,
    container: &Container,
    mut fetch: Fetch,
    tell: impl Fn(&'static str, String),
) -> Result<Image, StartError> {
    let name = container.image.as_deref().unwrap_or_default();
    no_id(name)?;
    if let Ok(credentials) = &mut fetch.credentials {
        fetch.account.join(name, credentials).await?;
    }
    let found = within("look for image", CALL, runtime.image(name)).await;
    let found = found.map_err(|error| StartError::Create(error.to_string()))?;
    let policy = container.image_pull_policy.as_deref();
    match (found, policy) {
        (Some(image), Some("Always")) if !image.pulled => return Ok(image),
        (None, Some("Never")) => {
            return Err(StartError::NeverPull(format!(
                "Container image \"{name}\" is not present with pull policy of Never"
            )));
        }
        (Some(image), Some("IfNotPresent" | "Never") | None) => {
            let credentials = fetch.credentials.as_ref().map_err(Clone::clone)?;
            let may = within("look for image", CALL, runtime.may_use(name, credentials)).await;
            // What was pulled for somebody else is theirs: its registry says who else may have it.
            if may.map_err(|error| StartError::Create(error.to_string()))? {
                return Ok(image);
            }
            if policy == Some("Never") {
                return Err(StartError::NeverPull(format!(
                    "Container image \"{name}\" is present, and was pulled by somebody else: with pull policy of Never nobody is asked who may have it"
                )));
            }
        }
        (None | Some(_), _) => {}
    }
    let credentials = fetch.credentials?;
    tell("Pulling", format!("Pulling image \"{name}\""));
    let began = Instant::now();
    let pulled = tokio::select! {
        pulled = runtime.pull_image(name, &credentials) => pulled,
        () = fetch.unwanted.cancelled() => {
            return Err(StartError::NoImage(format!("nobody wants image \"{name}\" any more")));
        }
    };
    let image = pulled.map_err(|error| match error {
        RuntimeError::Invalid(why) => StartError::NoImageName(why),
        RuntimeError::Failed { message, .. } => StartError::NoImage(failed(name, &message)),
        other => StartError::NoImage(failed(name, &other.to_string())),
    })?;
    let took = shown(began.elapsed());
    tell(
        "Pulled",
        format!(
            "Successfully pulled image \"{name}\" in {took} ({took} including waiting). Image size: {} bytes.",
            image.size
        ),
    );
    Ok(image)
}

/// Refuses an image's id, or the beginning of one: who may have an image is known by its names, and an id says nothing of that.
fn no_id(name: &str) -> Result<(), StartError> {
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    if hex.len() < 12 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let why = format!("couldn't parse image name {name:?}: invalid reference format");
    Err(StartError::NoImageName(why))
}

fn failed(name: &str, why: &str) -> String {
    format!("failed to pull image \"{name}\": {why} (or load it with `leme image load FILE`)")
}

/// As Go shows it: `350ms`, `1.502s`.
fn shown(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..1000 => format!("{millis}ms"),
        _ => format!("{:.3}s", time.as_secs_f64()),
    }
}
