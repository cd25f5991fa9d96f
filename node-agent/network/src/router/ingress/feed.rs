//! Ingresses, kept current with what they refer to, and told where they are served.
//!
//! Knows: three watches, and which of what they bring concerns an Ingress. Refuses to know: how requests are answered.

use super::super::admit::Verdicts;
use super::super::route::RouteInfo;
use super::super::tls::certificate::Certificate;
use super::super::writes::StatusWrites;
use super::{
    CERTIFICATES, IngressInfo, References, classes, ingresses, is_ours, names_no_class, secrets,
};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use leme_client::{
    About, Client, Error, Event, Events, Key, Known, Note, Recorder, Scope, Step, follow_as,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Who speaks in Events.
const COMPONENT: &str = "leme-router";

pub(in crate::router) struct Ingresses {
    ingresses: Events<Ingress>,
    classes: Events<IngressClass>,
    secrets: Events<Secret>,
    known: [Known; 3],
    references: References,
    /// As the API has them: what they refer to may change.
    objects: BTreeMap<Key, Ingress>,
    infos: BTreeMap<Key, IngressInfo>,
    writes: StatusWrites<Ingress>,
    /// What Ingresses are told of where they are served.
    address: Option<IpAddr>,
    recorder: Recorder,
}

impl Ingresses {
    pub(in crate::router) fn new(
        client: &Client,
        recorder: Recorder,
        address: Option<IpAddr>,
    ) -> Ingresses {
        let certificates = Scope { fields: CERTIFICATES.to_owned(), ..Scope::all(secrets()) };
        Ingresses {
            ingresses: follow_as(client.clone(), Scope::all(ingresses())),
            classes: follow_as(client.clone(), Scope::all(classes())),
            secrets: follow_as(client.clone(), certificates),
            known: Default::default(),
            references: References::default(),
            objects: BTreeMap::new(),
            infos: BTreeMap::new(),
            writes: StatusWrites::new(client.clone(), ingresses()),
            address,
            recorder,
        }
    }

    /// Whether all are known.
    pub(in crate::router) fn is_complete(&self) -> bool {
        self.known.iter().all(Known::is_complete)
    }

    /// The certificate of each Secret that has one, or why there is none.
    pub(in crate::router) fn certificates(&self) -> &BTreeMap<Key, Result<Certificate, String>> {
        &self.references.certificates
    }

    /// All rules.
    pub(in crate::router) fn rules(&self) -> impl Iterator<Item = &RouteInfo> {
        self.infos.values().flat_map(|info| info.rules.iter().flatten())
    }

    /// Waits for one change. Whether what is served may be another. Cancelling loses nothing.
    pub(in crate::router) async fn next(&mut self) -> bool {
        let before = self.is_complete();
        let changed = tokio::select! {
            Some(event) = self.ingresses.next() => self.ingress_event(event),
            Some(event) = self.classes.next() => {
                let references = &mut self.references;
                let step = step(&mut self.known[1], event, "ingress classes");
                let changed = match step {
                    Step::Put((_, name), class) => references.put_class(name, &class),
                    Step::Gone(keys) => {
                        keys.iter().filter(|key| references.classes.remove(&key.1).is_some()).count() > 0
                    }
                    Step::Nothing => false,
                };
                changed && self.read_all()
            }
            Some(event) = self.secrets.next() => {
                let references = &mut self.references;
                let step = step(&mut self.known[2], event, "certificates");
                let changed = match step {
                    Step::Put(key, secret) => references.put_secret(key, &secret),
                    Step::Gone(keys) => {
                        keys.iter().filter(|key| references.certificates.remove(*key).is_some()).count() > 0
                    }
                    Step::Nothing => false,
                };
                // Gateways refer to them as well.
                if changed {
                    self.read_all();
                }
                changed
            }
            done = self.writes.next() => {
                self.written(done);
                false
            }
        };
        changed || before != self.is_complete()
    }

    fn ingress_event(&mut self, event: Result<Event<Ingress>, Error>) -> bool {
        match step(&mut self.known[0], event, "ingresses") {
            Step::Put(key, ingress) => {
                self.objects.insert(key.clone(), ingress);
                self.read(&key)
            }
            Step::Gone(keys) => {
                keys.iter().for_each(|key| drop(self.objects.remove(key)));
                keys.iter().filter(|key| self.infos.remove(*key).is_some()).count() > 0
            }
            Step::Nothing => false,
        }
    }

    /// Reads every Ingress again. Whether any is another now.
    fn read_all(&mut self) -> bool {
        let keys: Vec<Key> = self.objects.keys().cloned().collect();
        keys.iter().filter(|key| self.read(key)).count() > 0
    }

    fn read(&mut self, key: &Key) -> bool {
        let Some(object) = self.objects.get(key) else { return false };
        let mut new = Some(IngressInfo::of(object, &self.references));
        if !is_ours(object, &self.references) {
            // What it was told here is taken back; what others tell it is theirs.
            let left = self.infos.contains_key(key) || names_no_class(object, &self.references);
            let own: Vec<String> = self.address.iter().map(ToString::to_string).collect();
            new = new.filter(|new| left && !own.is_empty() && new.told == own);
            if let Some(new) = &mut new {
                (new.rules, new.remarks) = (Ok(Vec::new()), Vec::new());
            }
        }
        let old = match new.clone() {
            Some(new) => self.infos.insert(key.clone(), new),
            None => self.infos.remove(key),
        };
        old.map(|old| old.rules) != new.map(|new| new.rules)
    }

    /// Tells each Ingress where it is served, and why it is not.
    pub(in crate::router) fn tell(&mut self, verdicts: &Verdicts) {
        let address = self.address;
        for (key, info) in &self.infos {
            let rules = info.rules.as_deref().unwrap_or_default();
            let mut served = false;
            for rule in rules {
                match verdicts.get(&rule.key) {
                    Some(Ok(())) => served = true,
                    Some(Err(refusal)) => {
                        let host = if rule.host.is_empty() { "*" } else { &rule.host };
                        let what = format!("{host}{}: {}", rule.path, refusal.message);
                        self.recorder.wait(note(info, refusal.reason, what));
                    }
                    None => {}
                }
            }
            if let Err(why) = &info.rules {
                self.recorder.wait(note(info, "Rejected", why.clone()));
            }
            for remark in &info.remarks {
                self.recorder.wait(note(info, "CertificateNotUsed", remark.clone()));
            }
            let wanted: Vec<String> =
                address.filter(|_| served).map(|address| address.to_string()).into_iter().collect();
            if info.told == wanted || self.writes.are_full() || self.writes.has(key) {
                continue;
            }
            let points: Vec<_> = wanted.iter().map(|ip| json!({ "ip": ip })).collect();
            let patch = json!({
                "metadata": {"uid": info.uid, "resourceVersion": info.resource_version},
                "status": {"loadBalancer": {"ingress": points}},
            });
            self.writes.begin(key, patch);
        }
    }

    fn written(&mut self, done: Option<(Key, Result<Ingress, Error>)>) {
        match done {
            // The answer stands for the watch event that is still under way.
            Some((key, Ok(object))) => {
                self.objects.insert(key.clone(), object);
                self.read(&key);
            }
            Some((key, Err(error))) if error.is_not_found() => {
                self.infos.remove(&key);
            }
            // It is tried again after a pause, which may be over now.
            Some((_, Err(_))) | None => {}
        }
    }
}

fn step<T>(known: &mut Known, event: Result<Event<T>, Error>, what: &str) -> Step<T> {
    match event {
        Ok(event) => known.step(event),
        Err(error) => {
            tracing::debug!(%error, what, "watching");
            Step::Nothing
        }
    }
}

fn note(info: &IngressInfo, reason: &'static str, message: String) -> Note {
    let about = About {
        api_version: "networking.k8s.io/v1".to_owned(),
        kind: "Ingress".to_owned(),
        namespace: info.key.0.clone(),
        name: info.key.1.clone(),
        uid: info.uid.clone(),
        resource_version: info.resource_version.clone(),
        field_path: String::new(),
    };
    Note { component: COMPONENT, host: String::new(), about, warning: true, reason, message }
}
