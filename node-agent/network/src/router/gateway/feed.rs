//! The kinds of the Gateway API, kept current while somebody defines them, and told what becomes of their objects.
//!
//! Knows: which watches there are, and which of what they bring concerns what is served. Refuses to know: how requests are
//! answered.

use super::super::table::Table;
use super::super::tls::certificate::Certificate;
use super::super::writes::StatusWrites;
use super::follow::{Definition, Followed, next_of, next_write, step};
use super::judge::{Held, Judged, Seen, judge, wanted};
use super::kinds::{GrantSpec, KINDS, Kind, Meta, Object};
use super::listeners::{ClassInfo, GatewayInfo};
use super::ports::Ports;
use super::rules::RouteInfo;
use super::{status, table};
use crate::model::{Model, ServiceInfo};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use leme_client::{Client, Error, Event, Events, Key, Known, Resource, Scope, Step, follow_as};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Gateways, and what belongs to them.
pub(in crate::router) struct GatewayFeed {
    client: Client,
    definitions: Events<Definition>,
    known_definitions: Known,
    namespaces: Events<Namespace>,
    known_namespaces: Known,
    followed: Vec<Followed>,
    classes: BTreeMap<Key, ClassInfo>,
    gateways: BTreeMap<Key, GatewayInfo>,
    routes: BTreeMap<(Kind, Key), RouteInfo>,
    grants: BTreeMap<Key, GrantSpec>,
    labels: BTreeMap<String, BTreeMap<String, String>>,
    /// What the Services that routes lead to looked like.
    services: BTreeMap<Key, Option<ServiceInfo>>,
    /// The ports that Services of the type LoadBalancer have.
    balanced: BTreeSet<u16>,
    /// What is to be told, as it was judged last.
    due: BTreeMap<(Kind, Key), Value>,
    writes: Vec<(Kind, StatusWrites<Object>)>,
    /// What is being written.
    writing: BTreeMap<(Kind, Key), Value>,
    /// The uid and generation of each object: two versions with the same are served alike.
    marks: BTreeMap<(Kind, Key), (String, i64)>,
    address: Option<IpAddr>,
    ports: Ports,
}

impl GatewayFeed {
    pub(in crate::router) fn new(
        client: &Client,
        address: Option<IpAddr>,
        ports: Ports,
    ) -> GatewayFeed {
        let definitions = Resource::cluster(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
        );
        let namespaces = Resource::cluster("v1", "Namespace", "namespaces");
        let unfollowed = |kind| Followed { kind, events: None, known: Known::default() };
        let writes = |kind: Kind| (kind, StatusWrites::new(client.clone(), kind.resource()));
        GatewayFeed {
            client: client.clone(),
            definitions: follow_as(client.clone(), Scope::all(definitions)),
            known_definitions: Known::default(),
            namespaces: follow_as(client.clone(), Scope::all(namespaces)),
            known_namespaces: Known::default(),
            followed: KINDS.map(unfollowed).into(),
            classes: BTreeMap::new(),
            gateways: BTreeMap::new(),
            routes: BTreeMap::new(),
            grants: BTreeMap::new(),
            labels: BTreeMap::new(),
            services: BTreeMap::new(),
            balanced: BTreeSet::new(),
            due: BTreeMap::new(),
            writes: status::TOLD.map(writes).into(),
            writing: BTreeMap::new(),
            marks: BTreeMap::new(),
            address,
            ports,
        }
    }

    /// Whether all that there is is known: an older one may be among the rest.
    pub(in crate::router) fn is_complete(&self) -> bool {
        let followed = |one: &Followed| one.events.is_none() || one.known.is_complete();
        self.known_definitions.is_complete()
            && self.known_namespaces.is_complete()
            && self.followed.iter().all(followed)
    }

    /// Waits for one change. Whether what is served may be another. Cancelling loses nothing.
    pub(in crate::router) async fn next(&mut self) -> bool {
        let before = self.is_complete();
        let changed = tokio::select! {
            Some(event) = self.definitions.next() => self.definition_event(event),
            Some(event) = self.namespaces.next() => self.namespace_event(event),
            (at, event) = next_of(&mut self.followed) => self.event(at, event),
            (kind, done) = next_write(&mut self.writes) => {
                self.written(kind, done);
                false
            }
            () = self.ports.closed() => true,
        };
        changed || before != self.is_complete()
    }

    fn definition_event(&mut self, event: Result<Event<Definition>, Error>) -> bool {
        let mut changed = false;
        match step(&mut self.known_definitions, event, "definitions") {
            Step::Put((_, name), definition) => {
                for at in 0..self.followed.len() {
                    let kind = self.followed[at].kind;
                    if kind.definition() == name {
                        changed |= self.follow(at, definition.serves(kind.version()));
                    }
                }
            }
            Step::Gone(keys) => {
                for at in 0..self.followed.len() {
                    let name = self.followed[at].kind.definition();
                    if keys.iter().any(|(_, gone)| *gone == name) {
                        changed |= self.follow(at, false);
                    }
                }
            }
            Step::Nothing => {}
        }
        changed
    }

    /// Follows a kind, or forgets what was known of it.
    fn follow(&mut self, at: usize, serves: bool) -> bool {
        let Some(followed) = self.followed.get_mut(at) else { return false };
        if followed.events.is_some() == serves {
            return false;
        }
        followed.known = Known::default();
        let scope = || Scope::all(followed.kind.resource());
        followed.events = serves.then(|| follow_as(self.client.clone(), scope()));
        let kind = followed.kind;
        match kind {
            Kind::Class => self.classes.clear(),
            Kind::Gateway => self.gateways.clear(),
            Kind::Grant => self.grants.clear(),
            Kind::Http | Kind::Grpc | Kind::Tls => self.routes.retain(|(of, _), _| *of != kind),
        }
        true
    }

    fn namespace_event(&mut self, event: Result<Event<Namespace>, Error>) -> bool {
        match step(&mut self.known_namespaces, event, "namespaces") {
            Step::Put((_, name), namespace) => {
                let labels = namespace.metadata.labels.unwrap_or_default();
                self.labels.insert(name, labels.clone()) != Some(labels)
            }
            Step::Gone(keys) => {
                keys.iter().filter(|key| self.labels.remove(&key.1).is_some()).count() > 0
            }
            Step::Nothing => false,
        }
    }

    fn event(&mut self, at: usize, event: Result<Event<Object>, Error>) -> bool {
        let Some(followed) = self.followed.get_mut(at) else { return false };
        let kind = followed.kind;
        match step(&mut followed.known, event, kind.name()) {
            Step::Put(key, object) => {
                let knows = self.knows(kind, &key, &object);
                self.put(kind, key, &object);
                !knows
            }
            Step::Gone(keys) => {
                keys.iter().for_each(|key| self.remove(kind, key));
                !keys.is_empty()
            }
            Step::Nothing => false,
        }
    }

    /// Whether a version of an object is nothing new: what is served of it is the same, and its status is as it was, or as it
    /// is just being written.
    fn knows(&self, kind: Kind, key: &Key, object: &Object) -> bool {
        let id = (kind, key.clone());
        let meta = object.meta();
        let same = meta.generation > 0
            && self.marks.get(&id) == Some(&(meta.uid.clone(), meta.generation));
        let told = match kind {
            Kind::Class => self.classes.get(key).map(|one| one.told == object.status),
            Kind::Gateway => self.gateways.get(key).map(|one| one.told == object.status),
            Kind::Grant => Some(true),
            _ => self.routes.get(&id).map(|one| {
                object.status["parents"].as_array().map_or(&[][..], Vec::as_slice) == one.told
            }),
        };
        let holds = |(field, value): (&String, &Value)| object.status.get(field) == Some(value);
        let written = || {
            let written = self.writing.get(&id).and_then(Value::as_object);
            written.is_some_and(|written| written.iter().all(holds))
        };
        same && (told == Some(true) || written())
    }

    fn put(&mut self, kind: Kind, key: Key, object: &Object) {
        let meta = object.meta();
        self.marks.insert((kind, key.clone()), (meta.uid, meta.generation));
        match kind {
            Kind::Class => drop(self.classes.insert(key, ClassInfo::of(object))),
            Kind::Gateway => drop(self.gateways.insert(key, GatewayInfo::of(object))),
            Kind::Grant => {
                let grant = serde_json::from_value(object.spec.clone()).unwrap_or_default();
                self.grants.insert(key, grant);
            }
            Kind::Http | Kind::Grpc | Kind::Tls => {
                self.routes.insert((kind, key), RouteInfo::of(kind, object));
            }
        }
    }

    fn remove(&mut self, kind: Kind, key: &Key) {
        self.marks.remove(&(kind, key.clone()));
        self.due.remove(&(kind, key.clone()));
        match kind {
            Kind::Class => drop(self.classes.remove(key)),
            Kind::Gateway => drop(self.gateways.remove(key)),
            Kind::Grant => drop(self.grants.remove(key)),
            Kind::Http | Kind::Grpc | Kind::Tls => {
                drop(self.routes.remove(&(kind, key.clone())));
            }
        }
    }

    /// Whether changed Services are such that routes lead elsewhere, or ports are another's.
    pub(in crate::router) fn concerns(&self, changed: &BTreeSet<Key>, model: &Model) -> bool {
        let differs = |key: &Key| {
            let known = self.services.get(key);
            known.is_some_and(|known| known.as_ref() != model.service(key))
        };
        changed.iter().any(differs) || self.balanced != model.balanced_ports()
    }

    /// Judges everything, has a table made of it, and remembers what is to be told. `held` are the hosts of Routes and
    /// Ingresses.
    pub(in crate::router) fn serve<T>(
        &mut self,
        certificates: &BTreeMap<Key, Result<Certificate, String>>,
        model: &Model,
        held: &[Held],
        make: impl FnOnce(&Judged<'_>, &BTreeSet<u16>) -> T,
    ) -> T {
        self.balanced = model.balanced_ports();
        let shared = self.ports.shared();
        let closed = |_: u16, _: bool| Err(String::new());
        let seen = Seen {
            classes: &self.classes,
            gateways: &self.gateways,
            routes: &self.routes,
            grants: &self.grants,
            namespaces: &self.labels,
            certificates,
            model,
            address: self.address,
            open: &closed,
            shared: &shared,
        };
        self.ports.ask(&wanted(&seen), model);
        let open = |port: u16, secure: bool| self.ports.is_open(port, secure);
        let seen = Seen { open: &open, ..seen };
        let judged = judge(&seen, held);
        let now = k8s_openapi::jiff::Timestamp::now();
        let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        self.due = due(&seen, &judged, &self.writing, &now);
        let services = table::services(&judged).into_iter();
        self.services = services.map(|key| (key.clone(), model.service(&key).cloned())).collect();
        make(&judged, &shared)
    }

    /// Starts the status writes that are due. What they say is served already.
    pub(in crate::router) fn tell(&mut self) {
        for (kind, writes) in &mut self.writes {
            let from = self.due.range((*kind, Key::default())..);
            for (id, status) in from.take_while(|((of, _), _)| of == kind) {
                if writes.are_full() {
                    break;
                }
                let meta = match kind {
                    Kind::Class => self.classes.get(&id.1).map(|one| &one.meta),
                    Kind::Gateway => self.gateways.get(&id.1).map(|one| &one.meta),
                    _ => self.routes.get(id).map(|one| &one.meta),
                };
                let Some(meta) = meta.filter(|_| !writes.has(&id.1)) else { continue };
                // The version makes the write fail if somebody else's came in between: the object is judged again then.
                let patch = json!({
                    "metadata": { "uid": meta.uid, "resourceVersion": meta.version },
                    "status": status,
                });
                writes.begin(&id.1, patch);
                self.writing.insert(id.clone(), status.clone());
            }
        }
    }

    /// Whether an answer is not older than what is known of its object by now.
    fn is_current(&self, kind: Kind, key: &Key, object: &Object) -> bool {
        let known = match kind {
            Kind::Class => self.classes.get(key).map(|one| &one.meta),
            Kind::Gateway => self.gateways.get(key).map(|one| &one.meta),
            _ => self.routes.get(&(kind, key.clone())).map(|one| &one.meta),
        };
        let version = |meta: &Meta| meta.version.parse::<u64>().ok();
        known.is_some_and(|known| {
            let answer = object.meta();
            known.uid == answer.uid && version(known) <= version(&answer)
        })
    }

    fn written(&mut self, kind: Kind, done: Option<(Key, Result<Object, Error>)>) {
        let current = match &done {
            Some((key, Ok(object))) => self.is_current(kind, key, object),
            _ => false,
        };
        let written = done.as_ref().and_then(|(key, _)| {
            let id = (kind, key.clone());
            let written = self.writing.remove(&id)?;
            (current && self.due.get(&id) == Some(&written)).then_some(id)
        });
        if let Some(id) = written {
            self.due.remove(&id);
        }
        match done {
            // The answer stands for the watch event that is still under way.
            Some((key, Ok(object))) if current => self.put(kind, key, &object),
            // It was told of what was there before: what is there now has been judged since, and is told besides.
            Some((_, Ok(_))) => {}
            Some((key, Err(error))) if error.is_not_found() => self.remove(kind, &key),
            // It is tried again once the object is seen as it is now, or after a pause, which may be over.
            Some((_, Err(_))) | None => {}
        }
    }
}

/// What is to be told, to whom it is not told yet, and to whom something is just being told that may be another.
fn due(
    seen: &Seen<'_>,
    judged: &Judged<'_>,
    writing: &BTreeMap<(Kind, Key), Value>,
    now: &str,
) -> BTreeMap<(Kind, Key), Value> {
    let mut due = BTreeMap::new();
    let mut tell = |id: (Kind, Key), (status, differs): status::Due| {
        if differs || writing.contains_key(&id) {
            due.insert(id, status);
        }
    };
    for class in seen.classes.values().filter(|class| class.ours) {
        tell((Kind::Class, class.meta.key.clone()), status::class(class, now));
    }
    for gateway in &judged.gateways {
        let id = (Kind::Gateway, gateway.meta.key.clone());
        tell(id, status::gateway(seen, judged, gateway, now));
    }
    let mut told = BTreeSet::new();
    for routed in &judged.routes {
        let id = (routed.info.kind, routed.info.meta.key.clone());
        told.insert(id.clone());
        tell(id, status::route(routed, now));
    }
    for (id, route) in seen.routes.iter().filter(|(id, _)| !told.contains(id)) {
        tell(id.clone(), status::forgotten(route));
    }
    due
}

/// What the router serves of Routes and Ingresses, as it holds hosts.
pub(in crate::router) fn held<'a>(
    routes: impl Iterator<Item = &'a super::super::route::RouteInfo>,
) -> Vec<Held> {
    let one = |route: &super::super::route::RouteInfo| Held {
        key: route.key.clone(),
        age: route.age.clone(),
        host: Table::host_of(route),
    };
    routes.map(one).collect()
}
