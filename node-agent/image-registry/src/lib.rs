//! The cluster's registry of images.
//!
//! Knows: OCI's distribution protocol as a registry answers it, over the blobs of the node's image store; that a repository is
//! an ImageStream of a namespace, its tags are that stream's, and rights are those of `imagestreams/layers`. Refuses to know:
//! what runs on the node, and how content is unpacked.
//!
//! Who asks is asked of the API server, as is what they may, each time anew but for seconds. Content is believed by its digest,
//! seen by nobody before it is whole, and found only in repositories that have it.

mod answer;
mod auth;
mod blobs;
mod elsewhere;
mod image;
mod manifests;
mod namespaces;
mod route;
mod streams;
mod uploads;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use leme_client::Client;
use leme_distribution::Registries;
use leme_host::images::ImageStore;
use leme_serve::{Lifetime, Opening};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use answer::{Answer, Body};
pub use uploads::Limits;

use answer::{Code, Outcome, Refusal, VERSION, empty};
use auth::{Auth, Right, Who};
use route::Route;
use uploads::Uploads;

/// What is sent with a request.
pub type Sent = UnsyncBoxBody<Bytes, io::Error>;

/// A client of whoever shows a token; none if it is none.
pub type Pushers = Arc<dyn Fn(&str) -> Option<Client> + Send + Sync>;

/// How long requests under way may take when the registry stops.
const GRACE: Duration = Duration::from_secs(2);
/// Connections at once, and from one address.
const CONNECTIONS: (usize, usize) = (2000, 500);
/// How long somebody may take nothing of what is sent to them.
const STALLED: Duration = Duration::from_secs(60);

/// How the registry is set up.
pub struct RegistryConfig {
    /// By which name it is known, with its port, as it stands in references.
    pub host: String,
    /// Where images are.
    pub store: ImageStore,
    /// The API, as the registry itself.
    pub client: Client,
    /// The API, as who pushes.
    pub pushers: Pushers,
    /// Where images are that are elsewhere.
    pub registries: Registries,
    /// Bounds of uploads.
    pub limits: Limits,
}

/// The registry.
pub struct Registry {
    host: String,
    store: ImageStore,
    client: Client,
    pushers: Pushers,
    registries: Registries,
    silence: Duration,
    auth: Auth,
    uploads: Uploads,
    looked: namespaces::Looked,
}

impl Registry {
    /// Opens it over a store.
    ///
    /// # Errors
    /// When the disk does.
    pub fn open(config: RegistryConfig) -> std::io::Result<Arc<Registry>> {
        let RegistryConfig { host, store, client, pushers, registries, limits } = config;
        let uploads = Uploads::open(store.clone(), limits)?;
        let (auth, silence) = (Auth::new(client.clone()), limits.silence);
        let looked = namespaces::Looked::default();
        Ok(Arc::new(Registry {
            host,
            store,
            client,
            pushers,
            registries,
            silence,
            auth,
            uploads,
            looked,
        }))
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Sent>) -> Answer {
        let (parts, body) = request.into_parts();
        let (method, headers) = (&parts.method, &parts.headers);
        let route = Route::read(parts.uri.path());
        let scope = route.as_ref().ok().and_then(|route| scope(route, method));
        let outcome = match &route {
            Ok(route) => {
                let query = parts.uri.query().unwrap_or_default();
                self.act(route, (method, headers, query), body).await
            }
            Err(_) => Err(route.err().unwrap_or_else(|| Refusal::new(Code::Unsupported, ""))),
        };
        let mut answer =
            outcome.unwrap_or_else(|refusal| auth::challenge(refusal, headers, scope.as_deref()));
        answer.headers_mut().insert(VERSION, HeaderValue::from_static("registry/2.0"));
        answer
            .headers_mut()
            .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        answer
    }

    async fn act(
        &self,
        route: &Route,
        asked: (&Method, &http::HeaderMap, &str),
        body: Sent,
    ) -> Outcome {
        let (method, headers, query) = asked;
        match route {
            Route::Health => return Ok(empty(StatusCode::OK, &[])),
            Route::Token => return self.auth.token(headers).await,
            _ => {}
        }
        let who = self.auth.who(headers).await?;
        let Some(of) = route.repository() else { return base(&who, headers) };
        let unsupported = || Refusal::new(Code::Unsupported, "nothing is done by that method here");
        let right = right(route, method).ok_or_else(unsupported)?;
        self.auth.must(&who, right, of).await?;
        self.keep_to_its_own(of).await?;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match route {
            Route::Tags(of) => self.tags(of, query).await,
            Route::Referrers(of, digest) => self.referrers(of, digest, query).await,
            Route::Manifest(of, by) if reads => self.manifest(of, by, method).await,
            Route::Manifest(of, by) if *method == Method::PUT => {
                self.put_manifest(of, by, (&who, headers), body).await
            }
            Route::Manifest(of, by) => self.delete_manifest(of, by).await,
            Route::Blob(of, digest) if reads => self.blob(of, digest, (method, headers)).await,
            Route::Blob(of, digest) => self.delete_blob(of, digest).await,
            Route::Uploads(of) => self.begin_upload(of, &who, query, body).await,
            Route::Upload(of, id) => self.upload(of, id, asked, body).await,
            Route::Base | Route::Token | Route::Health => Err(unsupported()),
        }
    }
}

/// `/v2/` is answered to who shows a token, be it nobody's.
fn base(who: &Who, headers: &http::HeaderMap) -> Outcome {
    if who.token.is_none() && !headers.contains_key(header::AUTHORIZATION) {
        return Err(Refusal::new(Code::Unauthorized, "authentication required"));
    }
    let body = serde_json::json!({});
    Ok(answer::with_json(StatusCode::OK, "application/json", &body))
}

/// What somebody must be allowed to for a request; none if it is none that there is.
fn right(route: &Route, method: &Method) -> Option<Right> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let deletes = *method == Method::DELETE;
    match route {
        Route::Tags(_) | Route::Referrers(..) if reads => Some(Right::Pull),
        Route::Manifest(..) | Route::Blob(..) if reads => Some(Right::Pull),
        Route::Manifest(..) | Route::Blob(..) if deletes => Some(Right::Delete),
        Route::Manifest(..) if *method == Method::PUT => Some(Right::Push),
        Route::Uploads(_) if *method == Method::POST => Some(Right::Push),
        Route::Upload(..) if reads || deletes => Some(Right::Push),
        Route::Upload(..) if matches!(*method, Method::PATCH | Method::PUT) => Some(Right::Push),
        _ => None,
    }
}

/// The right as clients ask for it when they ask for a token.
fn scope(route: &Route, method: &Method) -> Option<String> {
    let words = match right(route, method)? {
        Right::Pull => "pull",
        Right::Push => "pull,push",
        Right::Delete => "delete",
    };
    Some(format!("repository:{}:{words}", route.repository()?))
}

/// Runs file work on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Refusal::own("work", error)),
    }
}

/// Serves the registry on a listener, over TLS if it is given, until it is told to stop.
///
/// # Errors
/// Never yet.
pub async fn run(
    registry: Arc<Registry>,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let limits = leme_serve::Limits {
        connections: CONNECTIONS.0,
        per_peer: CONNECTIONS.1,
        stalled: Some(STALLED),
        ..leme_serve::Limits::default()
    };
    let lifetime = Lifetime::default();
    let service = move |_: &leme_serve::Peer<'_>| {
        let registry = Arc::clone(&registry);
        service_fn(move |request: Request<Incoming>| {
            let registry = Arc::clone(&registry);
            async move {
                let request = request.map(|body| body.map_err(io::Error::other).boxed_unsync());
                Ok::<_, Infallible>(registry.answer(request).await)
            }
        })
    };
    let serving =
        leme_serve::serve(vec![listener], Opening::from(tls), limits, service, lifetime.clone());
    tokio::select! {
        () = serving => {}
        () = stop.cancelled() => {}
    }
    lifetime.end(GRACE).await;
    Ok(())
}
