//! What routes and listeners refer to. Pure: a reference, and what there is of it; what cannot be used says why in upstream's
//! words.

use super::super::pools::{PortRef, ServicePort};
use super::super::tls::certificate::Certificate;
use super::judge::{Seen, is_granted};
use super::kinds::{Kind, Reference};
use super::listeners::{GatewayInfo, ListenerInfo, Protocol, Trouble, trouble};
use super::rules::{RouteInfo, is_service};
use crate::model;
use leme_client::Key;

/// What applications speak in TLS of their own: nobody here trusts them.
const ENCRYPTED: [&str; 3] = ["https", "kubernetes.io/wss", "tls"];

/// A Service's port.
pub(in crate::router) type ServiceKey = (Key, Option<PortRef>);

/// For each rule those that its references are to.
pub(super) type Resolved = Vec<Vec<Result<ServiceKey, Trouble>>>;

/// Where the requests of each rule of a route go, and who gets copies.
pub(super) fn refs(seen: &Seen<'_>, route: &RouteInfo) -> (Resolved, Resolved) {
    let mut backends = Vec::new();
    let mut mirrors = Vec::new();
    for rule in &route.rules {
        let Ok(rule) = rule else {
            backends.push(Vec::new());
            mirrors.push(Vec::new());
            continue;
        };
        let one = |to: &Reference| backend(seen, route, to);
        backends.push(rule.backends.iter().map(|backend| one(&backend.to)).collect());
        let copies = rule.filters.mirrors.iter();
        let of_backends = rule.backends.iter().flat_map(|backend| &backend.filters.mirrors);
        let copy = |to: &Reference| one(to).and_then(|key| copied(seen, key));
        mirrors.push(copies.chain(of_backends).map(|mirror| copy(&mirror.to)).collect());
    }
    (backends, mirrors)
}

fn backend(seen: &Seen<'_>, route: &RouteInfo, to: &Reference) -> Result<ServiceKey, Trouble> {
    let own = route.meta.key.0.as_str();
    let namespace = to.namespace.as_deref().unwrap_or(own);
    let shown = format!("Service {namespace}/{}", to.name);
    if !is_service(to) {
        let kind = to.kind.as_deref().unwrap_or("Service");
        let message = format!("backendRefs: {kind} {}: only Services are served", to.name);
        return Err(trouble("InvalidKind", message));
    }
    if !is_granted(seen, (route.kind, own), ("Service", to), namespace) {
        let message = format!("backendRefs: no ReferenceGrant of {namespace} allows {shown}");
        return Err(trouble("RefNotPermitted", message));
    }
    let key = (namespace.to_owned(), to.name.clone());
    let missing = |what: String| trouble("BackendNotFound", format!("backendRefs: {what}"));
    let service =
        seen.model.service(&key).ok_or_else(|| missing(format!("{shown} does not exist")))?;
    if service.external_name.is_some() {
        let message = format!("backendRefs: {shown} is a name outside of the cluster");
        return Err(trouble("InvalidKind", message));
    }
    let number = to.port.ok_or_else(|| missing(format!("{shown}: no port is named")))?;
    let is =
        |port: &&model::ServicePort| port.port == number && port.protocol == model::Protocol::Tcp;
    let port = service.ports.iter().find(is);
    let port = port.ok_or_else(|| missing(format!("{shown} has no TCP port {number}")))?;
    let speaks = port.app_protocol.as_deref().unwrap_or_default();
    if route.kind != Kind::Tls && ENCRYPTED.contains(&speaks) {
        let message = format!("backendRefs: {shown} speaks {speaks}, which is not spoken here");
        return Err(trouble("UnsupportedProtocol", message));
    }
    Ok((key, Some(PortRef::Service(ServicePort::Number(number.into())))))
}

/// Copies are sent in HTTP/1.1.
fn copied(seen: &Seen<'_>, (service, port): ServiceKey) -> Result<ServiceKey, Trouble> {
    let ports = seen.model.service(&service).map(|service| &service.ports);
    let http2 = |one: &&model::ServicePort| {
        let number = Some(PortRef::Service(ServicePort::Number(one.port.into())));
        number == port && one.app_protocol.as_deref().is_some_and(|one| one.ends_with("h2c"))
    };
    match ports.into_iter().flatten().find(http2) {
        None => Ok((service, port)),
        Some(_) => {
            let message = "requestMirror: copies are sent in HTTP/1.1 alone".to_owned();
            Err(trouble("UnsupportedProtocol", message))
        }
    }
}

/// The certificates of a listener, and what is wrong with those that are not there.
pub(super) fn certificates(
    seen: &Seen<'_>,
    gateway: &GatewayInfo,
    listener: &ListenerInfo,
) -> (Vec<Certificate>, Result<(), Trouble>) {
    if listener.protocol != Ok(Protocol::Https) {
        return (Vec::new(), Ok(()));
    }
    if listener.certificates.is_empty() {
        let message = "tls.certificateRefs: there is none";
        return (Vec::new(), Err(trouble("InvalidCertificateRef", message)));
    }
    let (mut found, mut wrong) = (Vec::new(), Ok(()));
    for to in &listener.certificates {
        match certificate(seen, gateway, to) {
            Ok(certificate) => found.push(certificate),
            Err(why) => wrong = wrong.and(Err(why)),
        }
    }
    (found, wrong)
}

fn certificate(
    seen: &Seen<'_>,
    gateway: &GatewayInfo,
    to: &Reference,
) -> Result<Certificate, Trouble> {
    let invalid =
        |what: String| trouble("InvalidCertificateRef", format!("tls.certificateRefs: {what}"));
    let is_secret = to.group.as_deref().is_none_or(str::is_empty)
        && to.kind.as_deref().is_none_or(|kind| kind == "Secret");
    if !is_secret {
        let kind = to.kind.as_deref().unwrap_or("Secret");
        return Err(invalid(format!("{kind} {}: only Secrets are read", to.name)));
    }
    let own = gateway.meta.key.0.as_str();
    let namespace = to.namespace.as_deref().unwrap_or(own);
    let shown = format!("Secret {namespace}/{}", to.name);
    if !is_granted(seen, (Kind::Gateway, own), ("Secret", to), namespace) {
        let message =
            format!("tls.certificateRefs: no ReferenceGrant of {namespace} allows {shown}");
        return Err(trouble("RefNotPermitted", message));
    }
    match seen.certificates.get(&(namespace.to_owned(), to.name.clone())) {
        Some(Ok(certificate)) => Ok(certificate.clone()),
        Some(Err(why)) => Err(invalid(format!("{shown}: {why}"))),
        None => Err(invalid(format!("{shown}: there is none of the type kubernetes.io/tls"))),
    }
}
