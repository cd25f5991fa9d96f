//! What a request asks for, parsed once: authorisation, dispatch and errors all read the same fields.
//!
//! Knows: the shape of API paths and verbs. Refuses to know: bodies, and whether the thing asked for is allowed or exists.

use leme_meta::quote;
use std::sync::Arc;

use http::{Method, Uri};
use leme_access::Identity;
use leme_kinds::{Kind, Kinds, Subresource};
use leme_meta::selector::FieldRequirement;
use leme_meta::status::Details;
use leme_meta::{FieldSelector, Gvr, Status};
use leme_registry::Strategy;
use leme_store::cache::Cached;

use crate::fence::Fence;
pub(crate) use crate::kept::Kept;
use crate::query::Query;

/// What is done to a resource, in the words of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// The word RBAC rules use.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
}

/// A request for a resource of the kind table.
#[derive(Clone, Debug)]
pub(crate) struct ResourceRequest {
    pub verb: Verb,
    pub kind: Arc<Kind>,
    pub kept: Kept,
    pub subresource: Option<Subresource>,
    /// What is done in place of what the kind adds to the write path: for writes of the server itself.
    pub instead: Option<&'static Strategy>,
    /// Empty for cluster-scoped kinds and for all namespaces.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// Of a proxied request: the path at the backend as it was sent, empty or with a slash before it; of a web hook what
    /// follows its subresource.
    pub rest: String,
    pub query: Query,
    /// Who asks, of a write or for what each sees but their own of; nobody, if the server itself writes.
    pub who: Option<Identity>,
    /// Under which Lease it is made.
    pub fence: Option<Fence>,
}

impl ResourceRequest {
    /// A request for an object, or for a collection if the name is empty, without more.
    pub fn of(verb: Verb, kind: &Arc<Kind>, namespace: &str, name: &str) -> ResourceRequest {
        ResourceRequest {
            verb,
            kind: Arc::clone(kind),
            kept: Kept::of(kind, Kinds::builtin()),
            subresource: None,
            instead: None,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            rest: String::new(),
            query: Query::default(),
            who: None,
            fence: None,
        }
    }

    /// What the kind adds to the write path.
    pub fn strategy(&self) -> &'static Strategy {
        self.instead.unwrap_or_else(|| leme_strategy::of(&self.kind))
    }

    /// Storage key of the object named.
    pub fn key(&self) -> String {
        self.kind.key(&self.namespace, &self.name)
    }

    /// Whether who asks may see an object.
    pub fn shows(&self, object: &Cached) -> bool {
        self.kept.owner(self.who.as_ref()).is_none_or(|owner| owner.owns(object))
    }

    /// Storage prefix of the collection named.
    pub fn prefix(&self) -> String {
        self.kind.prefix((!self.namespace.is_empty()).then_some(self.namespace.as_str()))
    }

    /// The resource as errors name it.
    pub fn gvr(&self) -> Gvr {
        self.kind.gvr()
    }
}

/// A request, parsed.
#[derive(Debug)]
pub(crate) enum RequestInfo {
    /// For objects.
    Resource(Box<ResourceRequest>),
    /// For anything else: discovery, documents, health. The segments are decoded.
    Other { segments: Vec<String>, query: Query },
}

/// Parses a request's method and address, for a server of these kinds.
pub(crate) fn parse(method: &Method, uri: &Uri, kinds: &Kinds) -> Result<RequestInfo, Status> {
    let (path, rest) = cut(uri.path());
    let segments = segments(path)?;
    let query = Query::parse(uri.query().unwrap_or(""));
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, parts) = match parts.as_slice() {
        ["api", version, parts @ ..] => ("", *version, parts),
        ["apis", group, version, parts @ ..] => (*group, *version, parts),
        _ => return Ok(RequestInfo::Other { segments, query }),
    };
    if parts.is_empty() {
        return Ok(RequestInfo::Other { segments, query });
    }
    let found = match parts {
        ["watch", parts @ ..] => watched(method, (kinds, group, version), parts, query),
        parts => resource(method, (kinds, group, version), parts, query, rest),
    };
    match found {
        Ok(found) => Ok(RequestInfo::Resource(Box::new(found))),
        Err(Refused::Nowhere) => {
            let query = Query::parse(uri.query().unwrap_or(""));
            Ok(RequestInfo::Other { segments, query })
        }
        Err(Refused::Status(status)) => Err(status),
    }
}

/// Why a path is not that of a resource.
enum Refused {
    /// No API has it: it is a path like any other.
    Nowhere,
    /// An API has it, and refuses it.
    Status(Status),
}

impl From<Status> for Refused {
    fn from(status: Status) -> Refused {
        Refused::Status(status)
    }
}

/// How a path is refused that is no resource's: only what the program brings along answers for all below its groups.
fn no_resource(group: &str) -> Refused {
    match Kinds::builtin().has_group(group) {
        true => Refused::Status(Status::no_such_path()),
        false => Refused::Nowhere,
    }
}

/// A watch by its old path: `watch` before the path of a collection, or of an object, which then is what is selected.
fn watched(
    method: &Method,
    (kinds, group, version): (&Kinds, &str, &str),
    parts: &[&str],
    query: Query,
) -> Result<ResourceRequest, Refused> {
    let mut found = resource(&Method::GET, (kinds, group, version), parts, query, "")?;
    if found.subresource.is_some() || !found.kind.verbs.contains(&Verb::Watch.name()) {
        return Err(no_resource(group));
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Status::method_not_allowed().into());
    }
    found.verb = Verb::Watch;
    let name = std::mem::take(&mut found.name);
    if name.is_empty() {
        return Ok(found);
    }
    match found.query.get("fieldSelector") {
        None => found.query = found.query.with("fieldSelector", &format!("metadata.name={name}")),
        Some(text) => {
            let selector = FieldSelector::parse(text).map_err(Status::bad_request)?;
            let named = |one: &FieldRequirement| {
                one.path == "metadata.name" && one.equal && one.value == name
            };
            if !selector.requirements().iter().any(named) {
                let why = "fieldSelector metadata.name doesn't match requested name";
                return Err(Status::bad_request(why).into());
            }
        }
    }
    Ok(found)
}

/// A path, and what of it is the backend's of a `proxy` subresource, where other rules hold.
fn cut(path: &str) -> (&str, &str) {
    let place = if path.starts_with("/api/v1/namespaces/") { 7 } else { 5 };
    let mut ends = path.match_indices('/').map(|(at, _)| at).skip(place);
    let end = ends.next().unwrap_or(path.len());
    match path.starts_with("/api/v1/") && path[..end].ends_with("/proxy") {
        true => path.split_at(end),
        false => (path, ""),
    }
}

/// Paths of a node's agent that do more than tell.
const ACTS_ON_NODE: [&str; 4] = ["exec", "attach", "portForward", "run"];

/// The verb of a proxied request, which may do more than its method says: a WebSocket opens with GET, and what it opens may
/// be a command. A backend's path that would lead out of it is refused.
fn proxied(kind: &Kind, rest: &str, verb: Verb) -> Result<Verb, Status> {
    let decoded = percent_encoding::percent_decode_str(rest).decode_utf8_lossy();
    let climbs = decoded.split(['/', '\\']).any(|part| part == "..");
    if climbs || decoded.chars().any(char::is_control) {
        return Err(Status::bad_request(format!("invalid path {rest}", rest = quote(&rest))));
    }
    let first = decoded.split('/').find(|part| !part.is_empty() && *part != ".");
    let acts = kind.singular == "node" && first.is_some_and(|first| ACTS_ON_NODE.contains(&first));
    Ok(if acts { Verb::Create } else { verb })
}

/// The path's segments, decoded. What could name another object than it seems to is refused: dots, encoded dots and
/// slashes, control characters, empty segments.
fn segments(path: &str) -> Result<Vec<String>, Status> {
    let refused = || Status::bad_request(format!("invalid path {path}", path = quote(&path)));
    let trimmed = path.strip_prefix('/').ok_or_else(refused)?;
    let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
    if trimmed.is_empty() {
        return Ok(Vec::new());
    }
    let mut segments = Vec::with_capacity(8);
    for raw in trimmed.split('/') {
        let segment = percent_encoding::percent_decode_str(raw)
            .decode_utf8()
            .map_err(|_| refused())?
            .into_owned();
        let hostile = raw.contains("%2e")
            || raw.contains("%2E")
            || segment.is_empty()
            || segment == "."
            || segment == ".."
            || segment.contains(['/', '\\'])
            || segment.chars().any(char::is_control);
        if hostile {
            return Err(refused());
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// Below `namespaces/NAME` these are subresources of the namespace, not resources in it.
const OF_THE_NAMESPACE: [Subresource; 2] = [Subresource::Status, Subresource::Finalize];

fn resource(
    method: &Method,
    (kinds, group, version): (&Kinds, &str, &str),
    parts: &[&str],
    query: Query,
    rest: &str,
) -> Result<ResourceRequest, Refused> {
    let (namespace, parts) = match parts {
        ["namespaces", name, third, more @ ..]
            if !(more.is_empty() && OF_THE_NAMESPACE.iter().any(|sub| sub.name() == *third)) =>
        {
            (Some(*name), &parts[2..])
        }
        parts => (None, parts),
    };
    let (plural, name, sub, more) = match parts {
        [plural] => (*plural, "", None, &[][..]),
        [plural, name] => (*plural, *name, None, &[][..]),
        [plural, name, sub, more @ ..] => (*plural, *name, Some(*sub), more),
        [] => return Err(no_resource(group)),
    };
    // Of all that hangs below an object only a web hook has a path of its own.
    if !more.is_empty() && sub != Some(Subresource::Webhooks.name()) {
        return Err(no_resource(group));
    }
    let rest = if more.is_empty() { rest.to_owned() } else { more.join("/") };
    let kind = kinds.by_resource(group, version, plural).ok_or_else(|| no_resource(group))?;
    let scoped = match (kind.namespaced(), namespace) {
        (true, None) => name.is_empty(),
        (true, Some(_)) | (false, None) => true,
        (false, Some(_)) => false,
    };
    // A namespaced object is created in a namespace; the path of all namespaces can only be read.
    let everywhere = kind.namespaced() && namespace.is_none();
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if !scoped || (everywhere && kind.custom.is_some() && !reads) {
        return Err(no_resource(group));
    }
    let subresource = sub.map(|word| subresource(kind, name, word)).transpose()?;
    let verb = match verb(method, kind, name, subresource, &query)? {
        verb if subresource == Some(Subresource::Proxy) => proxied(kind, &rest, verb)?,
        verb => verb,
    };
    if everywhere && !matches!(verb, Verb::List | Verb::Watch) {
        return Err(Status::method_not_allowed().into());
    }
    Ok(ResourceRequest {
        verb,
        kind: Arc::clone(kind),
        kept: Kept::of(kind, kinds),
        subresource,
        instead: None,
        namespace: namespace.unwrap_or("").to_owned(),
        name: name.to_owned(),
        rest,
        query,
        who: None,
        fence: None,
    })
}

fn verb(
    method: &Method,
    kind: &Kind,
    name: &str,
    subresource: Option<Subresource>,
    query: &Query,
) -> Result<Verb, Status> {
    // What is only asked whether it is there is read all the same; the answer loses its body on the way out.
    let word = if method == Method::HEAD { "GET" } else { method.as_str() };
    let verb = match (word, name.is_empty()) {
        ("GET", true) if query.flag("watch") => Verb::Watch,
        ("GET", true) => Verb::List,
        ("GET", false) => Verb::Get,
        ("OPTIONS", false) if subresource == Some(Subresource::Proxy) => Verb::Get,
        ("POST", true) => Verb::Create,
        ("POST", false) if subresource.is_some() => Verb::Create,
        ("PUT", false) => Verb::Update,
        ("PATCH", false) => Verb::Patch,
        ("DELETE", false) => Verb::Delete,
        ("DELETE", true) => Verb::DeleteCollection,
        ("PUT" | "PATCH", true) if kind.custom.is_some() => {
            return Err(Status::bad_request("name must be provided"));
        }
        _ => return Err(Status::method_not_allowed()),
    };
    let connects = matches!(
        subresource,
        Some(Subresource::Exec | Subresource::Attach | Subresource::PortForward)
    );
    let served = subresource.map_or(kind.verbs, Subresource::verbs).contains(&verb.name());
    match (served, connects) {
        (false, _) if verb == Verb::Create && kind.custom.is_some() && subresource.is_none() => {
            Err(none_comes(kind))
        }
        (false, _) => Err(Status::method_not_allowed()),
        (true, true) if method == Method::HEAD => Err(Status::method_not_allowed()),
        // A WebSocket opens with GET; running a command is never mere reading.
        (true, true) => Ok(Verb::Create),
        (true, false) => Ok(verb),
    }
}

/// The subresource of a name. Of a kind that a definition defines it is the object that is not found.
fn subresource(kind: &Kind, name: &str, word: &str) -> Result<Subresource, Status> {
    let found = kind.subresources.iter().copied().find(|sub| sub.name() == word);
    found.ok_or_else(|| match kind.custom {
        Some(_) => Status::not_found(&kind.gvr(), name),
        None => Status::no_such_path(),
    })
}

/// The 405 of a create of a kind whose definition is going.
pub(crate) fn none_comes(kind: &Kind) -> Status {
    let why = "create not allowed while custom resource definition is terminating";
    let mut status = Status::method_not_allowed();
    status.message = why.to_owned();
    status.details = Some(Box::new(Details {
        group: kind.group.to_string(),
        kind: kind.plural.to_string(),
        ..Details::default()
    }));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(method: &str, uri: &str) -> String {
        match parse(&method.parse().unwrap(), &uri.parse().unwrap(), Kinds::builtin()) {
            Err(status) => status.code.to_string(),
            Ok(RequestInfo::Other { segments, .. }) => format!("other {}", segments.join("/")),
            Ok(RequestInfo::Resource(found)) => format!(
                "{} {} [{}] [{}] {}",
                found.verb.name(),
                found.kind.plural,
                found.namespace,
                found.name,
                found.subresource.map_or("-", Subresource::name),
            ),
        }
    }

    #[test]
    fn paths_and_methods_become_one_verb_on_one_object() {
        let cases = [
            ("GET", "/api/v1/pods", "list pods [] [] -"),
            ("GET", "/api/v1/namespaces/a/pods?watch=true", "watch pods [a] [] -"),
            ("GET", "/api/v1/pods?watch=True", "watch pods [] [] -"),
            ("GET", "/api/v1/pods?watch", "watch pods [] [] -"),
            ("GET", "/api/v1/pods?watch=", "watch pods [] [] -"),
            ("GET", "/api/v1/pods?watch=no", "watch pods [] [] -"),
            ("GET", "/api/v1/pods?watch=FALSE", "list pods [] [] -"),
            ("GET", "/api/v1/pods?watch=0", "list pods [] [] -"),
            ("GET", "/api/v1/namespaces/a/pods/b", "get pods [a] [b] -"),
            ("GET", "/api/v1/namespaces/a/pods/b/log", "get pods [a] [b] log"),
            ("HEAD", "/api/v1/namespaces/a/pods/b", "get pods [a] [b] -"),
            ("HEAD", "/api/v1/pods", "list pods [] [] -"),
            ("GET", "/api/v1/namespaces/a/pods/b/exec", "create pods [a] [b] exec"),
            ("GET", "/api/v1/namespaces/a/pods/b/attach", "create pods [a] [b] attach"),
            ("GET", "/api/v1/namespaces/a/pods/b/portforward", "create pods [a] [b] portforward"),
            ("GET", "/api/v1/namespaces/a/pods/b/proxy", "get pods [a] [b] proxy"),
            ("GET", "/api/v1/namespaces/a/pods/b:80/proxy/x//y%2fz", "get pods [a] [b:80] proxy"),
            ("HEAD", "/api/v1/namespaces/a/services/b/proxy/", "get services [a] [b] proxy"),
            ("POST", "/api/v1/namespaces/a/services/b/proxy/x", "create services [a] [b] proxy"),
            ("GET", "/api/v1/nodes/n/proxy/pods", "get nodes [] [n] proxy"),
            ("POST", "/api/v1/namespaces/a/pods/b/binding", "create pods [a] [b] binding"),
            ("POST", "/api/v1/namespaces/a/pods/b/eviction", "create pods [a] [b] eviction"),
            (
                "POST",
                "/apis/build.openshift.io/v1/namespaces/a/buildconfigs/b/webhooks/s/github",
                "create buildconfigs [a] [b] webhooks",
            ),
            ("POST", "/api/v1/namespaces", "create namespaces [] [] -"),
            ("PUT", "/api/v1/namespaces/a/finalize", "update namespaces [] [a] finalize"),
            ("PATCH", "/api/v1/namespaces/a/status", "patch namespaces [] [a] status"),
            ("DELETE", "/api/v1/namespaces/a/secrets", "deletecollection secrets [a] [] -"),
            ("GET", "/apis/route.openshift.io/v1/routes", "list routes [] [] -"),
            ("GET", "/api/v1/watch/pods", "watch pods [] [] -"),
            ("GET", "/api/v1/watch/nodes/n?watch=0", "watch nodes [] [] -"),
            ("GET", "/api/v1/watch/namespaces", "watch namespaces [] [] -"),
            ("GET", "/api/v1/watch/namespaces/a", "watch namespaces [] [] -"),
            ("GET", "/api/v1/watch/namespaces/a/pods", "watch pods [a] [] -"),
            ("GET", "/api/v1/watch/namespaces/a/pods/b", "watch pods [a] [] -"),
            ("GET", "/apis/route.openshift.io/v1/watch/routes", "watch routes [] [] -"),
            ("GET", "/api/v1", "other api/v1"),
            ("GET", "/", "other "),
            ("GET", "/version/", "other version"),
        ];
        for (method, uri, expected) in cases {
            assert_eq!(shown(method, uri), expected, "{method} {uri}");
        }
    }

    #[test]
    fn what_is_not_served_or_not_what_it_seems_is_refused() {
        let cases = [
            ("GET", "/api/v1/namespaces/../pods", "400"),
            ("GET", "/api/v1/namespaces/%2e%2E/pods", "400"),
            ("GET", "/api/v1/namespaces/a%2fb/pods", "400"),
            ("GET", "/api/v1//pods", "400"),
            ("GET", "/api/v1/namespaces/a/pods/b%00", "400"),
            ("GET", "/api/v1/Pods", "404"),
            ("GET", "/api/v1/namespaces/a/nodes", "404"),
            ("GET", "/api/v1/pods/b", "404"),
            ("GET", "/api/v1/namespaces/a/secrets/b/proxy", "404"),
            ("GET", "/api/v1/namespaces/a/pods/b/proxy/../x", "400"),
            ("GET", "/api/v1/namespaces/a/pods/b/proxy/%2e%2e/x", "400"),
            ("GET", "/api/v1/namespaces/a/pods/../proxy/x", "400"),
            ("GET", "/api/v1/namespaces/a/pods/b/log/c", "404"),
            ("GET", "/api/v1/watch", "404"),
            ("GET", "/api/v1/watch/pods/b", "404"),
            ("GET", "/api/v1/watch/namespaces/a/pods/b/log", "404"),
            ("GET", "/api/v1/watch/nodes/n?fieldSelector=metadata.name%3Dm", "400"),
            ("POST", "/api/v1/watch/pods", "405"),
            ("POST", "/api/v1/pods", "405"),
            ("DELETE", "/api/v1/pods", "405"),
            ("DELETE", "/api/v1/namespaces", "405"),
            ("PUT", "/api/v1/namespaces/a/pods", "405"),
            ("DELETE", "/api/v1/namespaces/a/pods/b/status", "405"),
            ("OPTIONS", "/api/v1/pods", "405"),
            ("HEAD", "/api/v1/namespaces/a/pods/b/exec", "405"),
            ("HEAD", "/api/v1/namespaces/a/pods/b/binding", "405"),
        ];
        for (method, uri, expected) in cases {
            assert_eq!(shown(method, uri), expected, "{method} {uri}");
        }
    }

    /// Red when the method alone decides: whoever may look at a node could run commands on it.
    #[test]
    fn a_command_through_a_nodes_proxy_is_never_mere_reading() {
        for path in [
            "exec/a/b/c?command=x",
            "/exec/a/b/c",
            "%65xec/a/b/c",
            "attach/a/b/c",
            "portForward/a/b",
        ] {
            let uri = format!("/api/v1/nodes/n/proxy/{path}");
            assert_eq!(shown("GET", &uri), "create nodes [] [n] proxy", "{uri}");
        }
        assert_eq!(shown("GET", "/api/v1/nodes/n/proxy/metrics"), "get nodes [] [n] proxy");
    }
}
