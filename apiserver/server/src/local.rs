//! The server as a service in this process: no TCP, no TLS, the same code.
//!
//! Knows: tower. Refuses to know: who calls; the identity is given once.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use leme_access::Identity;
use tower_service::Service;

use crate::api::Api;
use crate::body::{Body, BoxError};
use crate::budget::Payer;

/// The API as one identity, without a connection. It is a `tower` service over `http` requests of any body, so that
/// `kube::Client::new(service, "default")` takes it as it is.
#[derive(Clone)]
pub struct LocalService {
    pub(crate) api: Arc<Api>,
    pub(crate) identity: Identity,
}

impl LocalService {
    /// The same API as somebody else.
    pub fn by(&self, identity: Identity) -> LocalService {
        LocalService { api: Arc::clone(&self.api), identity }
    }
}

impl<B> Service<Request<B>> for LocalService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (api, identity) = (Arc::clone(&self.api), self.identity.clone());
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        Box::pin(async move { Ok(api.handle(identity, Payer::default(), request).await) })
    }
}
