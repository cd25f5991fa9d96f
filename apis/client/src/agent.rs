//! Who asks: the `User-Agent` of every request, from which servers take the name of whoever sets a field.

use http::{HeaderValue, Request};
use kube::client::Body;
use leme_meta::version::KUBERNETES;
use tower::util::MapRequest;

/// The value of the header for a component, such as `kube-scheduler`.
pub fn user_agent(component: &'static str) -> HeaderValue {
    let agent = HeaderValue::from_str(&format!("{component}/{KUBERNETES}"));
    agent.unwrap_or(HeaderValue::from_static("leme"))
}

/// A service all of whose requests say which component asks.
pub fn named<S>(
    service: S,
    component: &'static str,
) -> MapRequest<S, impl FnMut(Request<Body>) -> Request<Body> + Clone + Send + 'static> {
    let agent = user_agent(component);
    MapRequest::new(service, move |mut request: Request<Body>| {
        let headers = request.headers_mut();
        headers.entry(http::header::USER_AGENT).or_insert_with(|| agent.clone());
        request
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_request_says_who_asks_unless_it_says_so_itself() {
        let asked = |request: Request<Body>| async move {
            let agent = request.headers()[http::header::USER_AGENT].to_str().map(str::to_owned);
            agent.map_err(|error| std::io::Error::other(error.to_string()))
        };
        let service = named(tower::service_fn(asked), "kube-scheduler");
        let plain = Request::new(Body::empty());
        let agent = service.clone().oneshot(plain).await.unwrap();
        assert_eq!(agent, format!("kube-scheduler/{KUBERNETES}"));
        let own = Request::builder().header("user-agent", "curl/8").body(Body::empty()).unwrap();
        assert_eq!(service.oneshot(own).await.unwrap(), "curl/8");
    }
}
