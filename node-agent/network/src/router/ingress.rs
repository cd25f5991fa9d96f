//! Ingresses as rules of the router: each of their paths is one, beside the Routes. Pure: reads one object, with the classes and the
//! certificates that it names.
//!
//! Knows: networking.k8s.io, and the annotations that people write for ingress-nginx. One that would keep somebody out and is
//! not carried out refuses the Ingress by its name.

mod annotations;
pub(super) mod feed;

use super::pools::{PortRef, ServicePort};
use super::route::{Origin, RouteInfo};
use super::tls::certificate::Certificate;
use super::tls::{Insecure, Termination, Tls};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, Ingress, IngressBackend, IngressClass, IngressRule, IngressSpec,
};
use leme_client::{Key, Resource};
use std::collections::BTreeMap;

/// Whose classes are served here.
pub(super) const CONTROLLER: &str = "leme.dev/router";
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Where Ingresses are in the API.
pub(super) fn ingresses() -> Resource {
    Resource::namespaced("networking.k8s.io/v1", "Ingress", "ingresses")
}

/// Where their classes are.
pub(super) fn classes() -> Resource {
    Resource::cluster("networking.k8s.io/v1", "IngressClass", "ingressclasses")
}

/// Where certificates are.
pub(super) fn secrets() -> Resource {
    Resource::namespaced("v1", "Secret", "secrets")
}

/// The only Secrets that are looked at.
pub(super) const CERTIFICATES: &str = "type=kubernetes.io/tls";

/// What Ingresses refer to.
#[derive(Default)]
pub(super) struct References {
    /// The controller of each class.
    pub(super) classes: BTreeMap<String, String>,
    /// The certificate of each Secret, or why there is none.
    pub(super) certificates: BTreeMap<Key, Result<Certificate, String>>,
}

impl References {
    /// Takes in a class.
    pub(super) fn put_class(&mut self, name: String, class: &IngressClass) -> bool {
        let controller = class.spec.as_ref().and_then(|spec| spec.controller.clone());
        let controller = controller.unwrap_or_default();
        self.classes.insert(name, controller.clone()) != Some(controller)
    }

    /// Takes in a Secret.
    pub(super) fn put_secret(&mut self, key: Key, secret: &Secret) -> bool {
        let text = |name: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(name));
            let text = bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
            text.filter(|text| !text.is_empty()).ok_or_else(|| format!("it has no {name}"))
        };
        let read = text("tls.crt")
            .and_then(|certificate| Certificate::of_secret(&certificate, &text("tls.key")?));
        let changed = self.certificates.get(&key) != Some(&read);
        self.certificates.insert(key, read);
        changed
    }
}

/// An Ingress, read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct IngressInfo {
    pub(super) key: Key,
    pub(super) uid: String,
    pub(super) resource_version: String,
    /// Its rules, or why there are none.
    pub(super) rules: Result<Vec<RouteInfo>, String>,
    /// What is served otherwise than it says.
    pub(super) remarks: Vec<String>,
    /// `status.loadBalancer.ingress`: addresses and names.
    pub(super) told: Vec<String>,
}

/// Whether an Ingress is this router's.
pub(super) fn is_ours(ingress: &Ingress, references: &References) -> bool {
    match class_of(ingress) {
        Some(class) => references.classes.get(class).is_some_and(|one| one == CONTROLLER),
        // Whoever asks for nobody is served by who is there.
        None => true,
    }
}

fn class_of(ingress: &Ingress) -> Option<&str> {
    let spec = ingress.spec.as_ref();
    let named = spec.and_then(|spec| spec.ingress_class_name.as_deref());
    let annotated = ingress.metadata.annotations.as_ref();
    let annotated = annotated.and_then(|all| all.get(CLASS_ANNOTATION)).map(String::as_str);
    named.or(annotated).filter(|class| !class.is_empty())
}

/// Whether an Ingress asks for a class that there is none of.
fn names_no_class(ingress: &Ingress, references: &References) -> bool {
    class_of(ingress).is_some_and(|class| !references.classes.contains_key(class))
}

impl IngressInfo {
    /// Reads an Ingress that is this router's.
    pub(super) fn of(ingress: &Ingress, references: &References) -> IngressInfo {
        let meta = &ingress.metadata;
        let status = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let told = status.and_then(|status| status.ingress.as_ref()).into_iter().flatten();
        let mut info = IngressInfo {
            key: (
                meta.namespace.clone().unwrap_or_default(),
                meta.name.clone().unwrap_or_default(),
            ),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            rules: Ok(Vec::new()),
            remarks: Vec::new(),
            told: told.filter_map(|one| one.ip.clone().or_else(|| one.hostname.clone())).collect(),
        };
        info.rules = rules(ingress, references, &mut info.remarks);
        info
    }
}

fn rules(
    ingress: &Ingress,
    references: &References,
    remarks: &mut Vec<String>,
) -> Result<Vec<RouteInfo>, String> {
    let (meta, none) = (&ingress.metadata, IngressSpec::default());
    let spec = ingress.spec.as_ref().unwrap_or(&none);
    let asked = annotations::read(meta.annotations.as_ref())?;
    let namespace = meta.namespace.clone().unwrap_or_default();
    let created = meta.creation_timestamp.as_ref().map(|time| time.0.to_string());
    let age = (created.unwrap_or_default(), meta.uid.clone().unwrap_or_default());
    let mut made = Vec::new();
    let mut make = |host: &str, path: &str, kind: &str, backend: &IngressBackend| {
        let (service, port) = backend_of(backend)?;
        let (wildcard, host) = match host.strip_prefix("*.") {
            Some(domain) => (true, format!("any.{domain}")),
            None => (false, host.to_ascii_lowercase()),
        };
        let exact = kind == "Exact";
        let path = if exact { path } else { path.trim_end_matches('/') };
        let name = meta.name.as_deref().unwrap_or("");
        made.push(RouteInfo {
            key: (namespace.clone(), format!("ingress/{name}/{}", made.len())),
            age: age.clone(),
            tls: tls_of(spec, &namespace, &host, wildcard, &asked, references, remarks),
            host,
            path: path.to_owned(),
            origin: Origin::Ingress { exact },
            wildcard,
            services: vec![(service, 1)],
            port: Some(PortRef::Service(port)),
            options: asked.options.clone(),
            ..RouteInfo::default()
        });
        Ok::<(), String>(())
    };
    for rule in spec.rules.iter().flatten() {
        let host = rule.host.as_deref().unwrap_or("");
        for path in paths(rule) {
            make(host, path.path.as_deref().unwrap_or("/"), &path.path_type, &path.backend)?;
        }
        // A host of which no path is named goes whole to who is behind all.
        if let (None, Some(backend)) = (&rule.http, &spec.default_backend) {
            make(host, "/", "Prefix", backend)?;
        }
    }
    if let Some(backend) = &spec.default_backend {
        make("", "/", "Prefix", backend)?;
    }
    Ok(made)
}

fn paths(rule: &IngressRule) -> impl Iterator<Item = &HTTPIngressPath> {
    rule.http.iter().flat_map(|http| &http.paths)
}

fn backend_of(backend: &IngressBackend) -> Result<(String, ServicePort), String> {
    if let Some(resource) = &backend.resource {
        return Err(format!(
            "backend {} {:?}: only Services are served",
            resource.kind, resource.name
        ));
    }
    let service = backend.service.as_ref().ok_or("a backend names no Service")?;
    let port = service.port.as_ref().ok_or("a backend names no port")?;
    let port = match (&port.name, port.number) {
        (Some(name), _) => ServicePort::Name(name.clone()),
        (None, Some(number)) => ServicePort::Number(number),
        (None, None) => return Err("a backend names no port".to_owned()),
    };
    Ok((service.name.clone(), port))
}

/// The TLS of a host, if the Ingress asks for it.
fn tls_of(
    spec: &IngressSpec,
    namespace: &str,
    host: &str,
    wildcard: bool,
    asked: &annotations::Asked,
    references: &References,
    remarks: &mut Vec<String>,
) -> Option<Tls> {
    let claimed = host.split_once('.').map_or("", |(_, domain)| domain);
    let covers = |one: &String| match one.strip_prefix("*.") {
        Some(domain) => domain.eq_ignore_ascii_case(claimed),
        None => !wildcard && one.eq_ignore_ascii_case(host),
    };
    let all = spec.tls.as_deref().unwrap_or_default();
    let found = all.iter().find(|tls| {
        let hosts = tls.hosts.as_deref().unwrap_or_default();
        hosts.is_empty() || hosts.iter().any(covers)
    });
    let redirects = asked.forced || asked.redirects.unwrap_or(true);
    let insecure = if redirects { Insecure::Redirect } else { Insecure::Allow };
    let own = Tls { termination: Termination::Edge, insecure, certificate: None, trust: None };
    let Some(found) = found else { return asked.forced.then_some(own) };
    let named = found.secret_name.as_ref().filter(|name| !name.is_empty());
    let certificate = named.and_then(|name| {
        let known = references.certificates.get(&(namespace.to_owned(), name.clone()));
        let why = match known {
            Some(Ok(certificate)) => return Some(certificate.clone()),
            Some(Err(why)) => why.as_str(),
            None => "there is no such Secret of the type kubernetes.io/tls",
        };
        let remark = format!("Secret {name}: {why}; the router's own certificate is shown");
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
        None
    });
    Some(Tls { certificate, ..own })
}

#[cfg(test)]
mod tests;
