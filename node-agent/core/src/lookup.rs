//! What a pod refers to in the API, as far as the agent has read it.
//!
//! Knows: which objects a pod needs, and the difference between "absent" and "not read yet". Refuses to know: how they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodSpec, Volume};
use leme_meta::local_path::Source;

use crate::csi::{Attachment, CsiVolume, Wishes};
use crate::spec;
use crate::token::TokenOf;

/// Kinds of objects that pods refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// ConfigMap.
    ConfigMap,
    /// Secret.
    Secret,
    /// PersistentVolumeClaim.
    Claim,
    /// PersistentVolume (no namespace).
    Volume,
    /// All Services of a namespace (no name), or one.
    Services,
    /// CSIDriver (no namespace).
    Driver,
    /// VolumeAttachment (no namespace).
    Attachment,
    /// A driver that has registered with this node; no object of the API.
    Plugin,
    /// A token; [`TokenOf`] is its name.
    Token,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace, empty if it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// A key.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// `configmap "x"`, as messages write it.
    pub fn describe(&self) -> String {
        let kind = match self.kind {
            Kind::ConfigMap => "configmap",
            Kind::Secret => "secret",
            Kind::Claim => "persistentvolumeclaim",
            Kind::Volume => "persistentvolume",
            Kind::Services => "service",
            Kind::Driver => "csidriver",
            Kind::Attachment => "volumeattachment",
            Kind::Plugin => "CSI driver",
            Kind::Token => "token",
        };
        format!("{kind} {:?}", self.name)
    }
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Name, may be empty.
    pub name: String,
    /// Number.
    pub port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// What of a service goes into the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Name.
    pub name: String,
    /// Cluster IP.
    pub ip: String,
    /// Ports in order.
    pub ports: Vec<ServicePort>,
}

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Keys and values of a ConfigMap or Secret.
    Data(BTreeMap<String, Vec<u8>>),
    /// The volume that a claim is bound to, if it is.
    Claim(Option<String>),
    /// A persistent volume's directory on this node, or why it cannot be used here.
    Volume(Result<PersistentSource, String>),
    /// Services with a cluster IP.
    Services(Vec<ServiceFacts>),
    /// What a driver wants.
    Driver(Wishes),
    /// How far a volume is attached.
    Attachment(Attachment),
    /// The socket of a driver that has registered.
    Plugin(String),
    /// A token, or why there is none.
    Token(Result<String, String>),
}

/// What a PersistentVolume is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersistentSource {
    /// A path of the node.
    HostPath {
        /// The path.
        path: String,
        /// `DirectoryOrCreate`, `File` and so on; empty for no check.
        kind: String,
    },
    /// A directory of the node that is there for the volume alone.
    Local {
        /// Its path.
        path: String,
        /// Whether it is made when it is first needed.
        made: bool,
        /// What it then begins with.
        source: Option<Source>,
    },
    /// A volume that a driver has.
    Csi(Box<CsiVolume>),
}

/// Why something cannot be resolved for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The object has not been read yet: ask again when it has.
    Loading(Key),
    /// It has, and this is wrong.
    Message(String),
}

/// All that has been read. An entry of `None` is an object that does not exist.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    known: BTreeMap<Key, Option<Arc<Content>>>,
}

impl Sources {
    /// Stores what was read; says whether that changes anything.
    pub fn set(&mut self, key: Key, content: Option<Content>) -> bool {
        let content = content.map(Arc::new);
        if self.known.get(&key) == Some(&content) {
            return false;
        }
        self.known.insert(key, content);
        true
    }

    /// Forgets an object.
    pub fn forget(&mut self, key: &Key) {
        self.known.remove(key);
    }

    /// The object, `None` if it does not exist.
    pub fn find(&self, key: &Key) -> Result<Option<&Content>, Trouble> {
        match self.known.get(key) {
            None => Err(Trouble::Loading(key.clone())),
            Some(found) => Ok(found.as_deref()),
        }
    }

    /// The object, which must exist.
    pub fn need(&self, key: &Key) -> Result<&Content, Trouble> {
        self.find(key)?.ok_or_else(|| Trouble::Message(format!("{} not found", key.describe())))
    }

    /// Keys and values of a ConfigMap or Secret, `None` if it does not exist and need not.
    pub fn data(
        &self,
        key: &Key,
        optional: bool,
    ) -> Result<Option<&BTreeMap<String, Vec<u8>>>, Trouble> {
        let found = if optional { self.find(key)? } else { Some(self.need(key)?) };
        Ok(match found {
            Some(Content::Data(data)) => Some(data),
            _ => None,
        })
    }

    /// Services of a namespace.
    pub fn services(&self, namespace: &str, name: &str) -> Result<&[ServiceFacts], Trouble> {
        match self.find(&Key::new(Kind::Services, namespace, name))? {
            Some(Content::Services(list)) => Ok(list),
            _ => Ok(&[]),
        }
    }
}

/// Namespace of the service that stands for the API server.
pub const MASTER_NAMESPACE: &str = "default";
/// Its name.
pub const MASTER_SERVICE: &str = "kubernetes";

/// Every object that a pod refers to; `sources` leads from claims to volumes.
pub fn references(pod: &Pod, sources: &Sources) -> BTreeSet<Key> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let spec = spec::of(pod);
    let mut keys = BTreeSet::new();
    let mut add = |kind, name: &str| keys.insert(Key::new(kind, namespace, name));
    for (container, _) in spec::all(pod) {
        for from in container.env_from.as_deref().unwrap_or_default() {
            if let Some(map) = &from.config_map_ref {
                add(Kind::ConfigMap, &map.name);
            }
            if let Some(secret) = &from.secret_ref {
                add(Kind::Secret, &secret.name);
            }
        }
        let values = container.env.as_deref().unwrap_or_default().iter();
        for from in values.filter_map(|e| e.value_from.as_ref()) {
            if let Some(map) = &from.config_map_key_ref {
                add(Kind::ConfigMap, &map.name);
            }
            if let Some(secret) = &from.secret_key_ref {
                add(Kind::Secret, &secret.name);
            }
        }
    }
    of_pulls(&spec, &mut add);
    for volume in spec.volumes.as_deref().unwrap_or_default() {
        of_volume(volume, &mut add);
        let projected = volume.projected.as_ref().and_then(|p| p.sources.as_deref());
        for source in projected.unwrap_or_default() {
            if let Some(token) = &source.service_account_token {
                add(Kind::Token, &TokenOf::projected(pod, token).key(namespace).name);
            }
        }
    }
    let claims: Vec<Key> = keys.iter().filter(|k| k.kind == Kind::Claim).cloned().collect();
    for claim in claims {
        if let Ok(Some(Content::Claim(Some(volume)))) = sources.find(&claim) {
            keys.insert(Key::new(Kind::Volume, "", volume));
        }
    }
    let node = spec.node_name.as_deref().unwrap_or_default();
    let volumes: Vec<Key> = keys.iter().filter(|k| k.kind == Kind::Volume).cloned().collect();
    for volume in volumes {
        if let Ok(Some(Content::Volume(Ok(PersistentSource::Csi(volume))))) = sources.find(&volume)
        {
            keys.extend(volume.references(node, sources));
        }
    }
    for volume in spec.volumes.as_deref().unwrap_or_default() {
        if let Some(source) = &volume.csi {
            keys.extend(CsiVolume::inline(pod, volume, source).references(node, sources));
        }
    }
    if spec.enable_service_links.unwrap_or(true) {
        keys.insert(Key::new(Kind::Services, namespace, ""));
    }
    keys.insert(Key::new(Kind::Services, MASTER_NAMESPACE, MASTER_SERVICE));
    keys
}

fn of_pulls(spec: &PodSpec, add: &mut impl FnMut(Kind, &str) -> bool) {
    for secret in spec.image_pull_secrets.iter().flatten() {
        add(Kind::Secret, &secret.name);
    }
}

fn of_volume(volume: &Volume, add: &mut impl FnMut(Kind, &str) -> bool) {
    if let Some(map) = &volume.config_map {
        add(Kind::ConfigMap, &map.name);
    }
    if let Some(name) = volume.secret.as_ref().and_then(|s| s.secret_name.as_deref()) {
        add(Kind::Secret, name);
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        add(Kind::Claim, &claim.claim_name);
    }
    let projected = volume.projected.as_ref().and_then(|p| p.sources.as_deref());
    for source in projected.unwrap_or_default() {
        if let Some(map) = &source.config_map {
            add(Kind::ConfigMap, &map.name);
        }
        if let Some(secret) = &source.secret {
            add(Kind::Secret, &secret.name);
        }
    }
}
