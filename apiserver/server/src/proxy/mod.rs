//! `pods/proxy`, `services/proxy`, `nodes/proxy`: a client's request carried to where the object answers.
//!
//! Knows: the exchange, step by step. Refuses to know: who may ask, and what pods answer. A redirect is the client's to
//! follow, never ours; credentials stay here.

mod dial;
mod headers;
mod html;
mod locate;
mod rewrite;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use leme_meta::Status;
use leme_meta::quote;

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::body::{Body, RequestBody};
use crate::request::ResourceRequest;
use crate::tunnel;

pub(crate) use dial::ProxyTls;
pub(crate) use headers::upgrade;
use locate::Destination;
use rewrite::Site;

/// Largest page whose links are rewritten; a longer one is passed on as it is.
const MAX_PAGE: usize = 4 * 1024 * 1024;

impl Api {
    /// Any method on a `proxy` subresource.
    pub(crate) async fn proxy(
        &self,
        request: &ResourceRequest,
        parts: Parts,
        body: RequestBody,
    ) -> Result<Answer, Status> {
        let destination = self.locate(request).await?;
        self.carry(&destination, &request.rest, parts, body).await
    }

    /// Carries a request whose path at the backend is `rest`.
    async fn carry(
        &self,
        destination: &Destination,
        rest: &str,
        mut parts: Parts,
        body: RequestBody,
    ) -> Result<Answer, Status> {
        let upgrade = headers::upgrade(&parts.headers);
        let path = parts.uri.path();
        if rest.is_empty()
            && upgrade.is_none()
            && matches!(parts.method, Method::GET | Method::HEAD)
        {
            return moved(path, parts.uri.query());
        }
        let prepend = path.strip_suffix(rest).unwrap_or(path).to_owned();
        let site = Site {
            prepend: prepend.clone(),
            backend: destination.authority(),
            host: headers::host(&parts),
        };
        let asks_upgrade = upgrade.is_some();
        let mut request = http::Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = headers::target(rest, parts.uri.query())?;
        *request.headers_mut() = headers::outgoing(&parts, upgrade, &prepend, rest);
        let backend = dial::send(destination, &self.nodes, request).await?;
        let switched = backend.status() == StatusCode::SWITCHING_PROTOCOLS;
        let code = backend.status().as_u16();
        match (asks_upgrade, switched) {
            (true, true) => {
                let headers = backend.headers().clone();
                self.tunnel(&mut parts.extensions, backend, headers)
            }
            (true, false) if code < 400 => Err(tunnel::invalid(code)),
            (false, true) => Err(dial::unreachable("the backend switched protocols unasked")),
            _ => self.answer_of(backend, &site).await,
        }
    }

    /// The backend's answer as the client gets it.
    async fn answer_of(
        &self,
        backend: http::Response<hyper::body::Incoming>,
        site: &Site,
    ) -> Result<Answer, Status> {
        let (mut parts, body) = backend.into_parts();
        headers::incoming(&mut parts.headers);
        let location = parts.headers.get(header::LOCATION).filter(|value| !value.is_empty());
        let page = headers::is_page(&parts.headers);
        let body = if let Some(location) = location {
            let moved = location.to_str().map(|text| site.rewritten(text));
            let moved = moved.ok().and_then(|text| HeaderValue::from_str(&text).ok());
            let moved = moved.ok_or_else(|| {
                Status::internal("error trying to parse Location header: invalid character")
            })?;
            parts.headers.insert(header::LOCATION, moved);
            self.live(Bytes::new(), body)
        } else if page {
            self.linked(&mut parts.headers, body, site).await
        } else {
            self.live(Bytes::new(), body)
        };
        Ok(Answer::from_parts(parts, body))
    }

    /// What was read so far and what follows, as it comes.
    fn live(&self, first: Bytes, body: hyper::body::Incoming) -> Body {
        let rest = body.into_data_stream().map_err(Into::into);
        let first = futures::stream::iter((!first.is_empty()).then_some(Ok(first)));
        let stopping = self.lifetime.stop_token();
        Body::live(first.chain(rest).take_until(stopping.cancelled_owned()))
    }

    /// A page with its links rewritten, unless it is too long or in an encoding that is not known.
    async fn linked(
        &self,
        headers: &mut http::HeaderMap,
        mut body: hyper::body::Incoming,
        site: &Site,
    ) -> Body {
        let mut page = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            page.extend_from_slice(&data);
            if page.len() > MAX_PAGE {
                return self.live(page.into(), body);
            }
        }
        let encoding = headers.get(header::CONTENT_ENCODING).map_or(Ok(""), HeaderValue::to_str);
        let rewritten = encoding.ok().and_then(|encoding| html::page(&page, encoding, site));
        match rewritten {
            Some(rewritten) => {
                headers.remove(header::CONTENT_LENGTH);
                Body::whole(rewritten)
            }
            None => Body::whole(page),
        }
    }
}

/// Links on the page at the root are relative to its directory: without the slash they would lead elsewhere.
fn moved(path: &str, query: Option<&str>) -> Result<Answer, Status> {
    let query = query.filter(|query| !query.is_empty()).map(|query| format!("?{query}"));
    let location = format!("{path}/{}", query.unwrap_or_default());
    let value = HeaderValue::from_str(&location).map_err(|error| {
        Status::bad_request(format!("{location}: {error}", location = quote(&location)))
    })?;
    let mut answer = answer::with_body(301, "text/plain", Body::empty());
    answer.headers_mut().insert(header::LOCATION, value);
    Ok(answer)
}

#[cfg(test)]
mod tests;
