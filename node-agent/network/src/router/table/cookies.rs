//! The cookie that keeps a client with its endpoint, as a Route has it. Pure.

use super::super::annotations::SameSite;
use super::super::route::RouteInfo;
use super::super::sticky;
use super::super::tls::{Insecure, Tls};

/// The name of a Route's cookie, unless it has none.
pub(super) fn cookie(route: &RouteInfo) -> Option<String> {
    let named = route.options.cookie_name.clone();
    let (namespace, name) = &route.key;
    let name = named.unwrap_or_else(|| sticky::name_of(namespace, name));
    (!route.options.no_cookie).then_some(name)
}

/// What browsers are told of a Route's cookie: where nobody comes without TLS, neither does the cookie.
pub(super) fn cookie_further(route: &RouteInfo) -> &'static str {
    let secure = |tls: &Tls| tls.ends_here() && tls.insecure != Insecure::Allow;
    match (route.tls.as_ref().is_some_and(secure), route.options.same_site) {
        (false, _) => "",
        (true, Some(SameSite::Lax)) => "; Secure; SameSite=Lax",
        (true, Some(SameSite::Strict)) => "; Secure; SameSite=Strict",
        (true, Some(SameSite::None) | None) => "; Secure; SameSite=None",
    }
}
