//! What the router answers itself: short pages that name the cause, and where TLS is spoken. Pure.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use http::{Response, StatusCode, Uri};
use http_body_util::Full;

pub(super) type Page = Response<Full<Bytes>>;

/// Why the router answers itself. What an application says of itself is no part of it, nor are addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    NotAProxy,
    NoHost,
    Unreadable,
    OtherHost,
    NoRoute,
    NotAllowed,
    TooMuch,
    NoEndpoints,
    NoEndpointFree,
    Unreachable,
    NotTrusted,
    BrokenOff,
    TooSlow,
    NoTls,
    NoRule,
    NotSetUp,
}

impl Cause {
    /// The code, and what is said.
    fn told(self) -> (StatusCode, &'static str) {
        match self {
            Cause::NotAProxy => (StatusCode::METHOD_NOT_ALLOWED, "This is not a forward proxy."),
            Cause::NoHost => {
                (StatusCode::BAD_REQUEST, "The request names no host, or more than one.")
            }
            Cause::Unreadable => (StatusCode::BAD_REQUEST, "The request cannot be understood."),
            Cause::OtherHost => {
                (StatusCode::MISDIRECTED_REQUEST, "This connection was made for another host.")
            }
            Cause::NoRoute => (
                StatusCode::SERVICE_UNAVAILABLE,
                "No Route or Ingress that is served leads from this host and path.",
            ),
            Cause::NotAllowed => {
                (StatusCode::FORBIDDEN, "This address may not use the application.")
            }
            Cause::TooMuch => (
                StatusCode::TOO_MANY_REQUESTS,
                "This address has had as much of the application as it may.",
            ),
            Cause::NoEndpoints => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The application's Service has no ready endpoint at this port.",
            ),
            Cause::NoEndpointFree => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Every endpoint of the application has as many requests as it may.",
            ),
            Cause::Unreachable => {
                (StatusCode::SERVICE_UNAVAILABLE, "The application's endpoint takes no connection.")
            }
            Cause::NotTrusted => (
                StatusCode::SERVICE_UNAVAILABLE,
                "No TLS was agreed on with the application: its certificate is not trusted, or it speaks none.",
            ),
            Cause::BrokenOff => (
                StatusCode::BAD_GATEWAY,
                "The application broke the connection off, or does not speak HTTP.",
            ),
            Cause::TooSlow => {
                (StatusCode::GATEWAY_TIMEOUT, "The application did not answer in time.")
            }
            Cause::NoTls => (StatusCode::SERVICE_UNAVAILABLE, "TLS is not served here."),
            Cause::NoRule => (StatusCode::NOT_FOUND, "No rule of a route is for this request."),
            Cause::NotSetUp => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The route leads to nothing that can be used; its status says why.",
            ),
        }
    }
}

/// The page of a cause.
pub(super) fn page(cause: Cause) -> Page {
    let (status, text) = cause.told();
    let title = match status {
        StatusCode::SERVICE_UNAVAILABLE => "Application is not available",
        status => status.canonical_reason().unwrap_or("Error"),
    };
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body><h1>{title}</h1><p>{text}</p></body></html>\n"
    );
    let mut answer = Response::new(Full::from(html));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    answer
}

/// Where a request without TLS is to come to.
pub(super) fn redirect(code: StatusCode, uri: &Uri, host: &str, port: Option<u16>) -> Page {
    if host.is_empty() {
        return page(Cause::NoHost);
    }
    let Some(port) = port else { return page(Cause::NoTls) };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let target = if target.starts_with('/') { target } else { "/" };
    let Ok(location) = HeaderValue::from_str(&format!("https://{host}{port}{target}")) else {
        return page(Cause::Unreadable);
    };
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = code;
    answer.headers_mut().insert(header::LOCATION, location);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}
