//! What the provisioner of local volumes and the nodes that hold them agree on.
//!
//! Knows: names. Refuses to know: who makes a volume and who wipes it.

/// The provisioner's name in classes, claims and volumes.
pub const PROVISIONER: &str = "leme.dev/local-path";
/// Annotation of a Node: the directory on it below which its volumes are, each under its own name.
pub const ROOT: &str = "storage.leme.dev/local-path";
/// Annotation of a Node: the [`release`]s after which it has removed a directory, with commas between.
pub const REMOVED: &str = "storage.leme.dev/removed";
/// Annotation of a Node: why directories that are to go after a [`release`] are still there, as JSON.
pub const LEFT: &str = "storage.leme.dev/not-removed";
/// Label of a Node that has a [`ROOT`], with the value `true`: classes select such nodes by it.
pub const ROOM: &str = "storage.leme.dev/local-path";
/// Label of a volume that is a directory of a node: which one.
pub const NODE: &str = "storage.leme.dev/node";
/// Annotation of the namespace `kube-system`: the class was made once. Who takes it away does not get it back.
pub const CLASS_MADE: &str = "storage.leme.dev/class-made";
/// Annotation of the namespace `kube-system`: what snapshots need was made once.
pub const SNAPSHOTS_MADE: &str = "storage.leme.dev/snapshots-made";
/// Label of what is kept of a snapshot: the node that keeps it.
pub const MANAGED_BY: &str = "snapshot.storage.kubernetes.io/managed-by";
/// Annotation of a volume: what it begins with, as a [`Source`].
pub const SOURCE: &str = "storage.leme.dev/source";
/// Finalizer of a volume whose directory is there.
pub const FINALIZER: &str = "storage.leme.dev/directory";
/// Annotation of a volume: who made it.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// What a volume begins with: a copy of something on the same node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// What a snapshot holds.
    Snapshot(String),
    /// What another volume holds.
    Volume(String),
}

impl Source {
    /// As [`SOURCE`] says it.
    pub fn read(text: &str) -> Option<Source> {
        match text.split_once('/')? {
            ("snapshot", name) => Some(Source::Snapshot(name.to_owned())),
            ("volume", name) => Some(Source::Volume(name.to_owned())),
            _ => None,
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Snapshot(name) => write!(f, "snapshot/{name}"),
            Source::Volume(name) => write!(f, "volume/{name}"),
        }
    }
}

/// One release of a volume: one that was taken up again and released once more is not wiped by what was done before.
pub fn release(uid: &str, since: &str) -> String {
    format!("{uid}@{since}")
}

/// Why a directory is still there after a release, if [`LEFT`] says so.
pub fn left(annotation: &str, release: &str) -> Option<String> {
    let said: serde_json::Value = serde_json::from_str(annotation).ok()?;
    Some(said.get(release)?.as_str()?.to_owned())
}

/// The releases in [`REMOVED`].
pub fn removed(annotation: &str) -> impl Iterator<Item = &str> {
    annotation.split(',').filter(|name| !name.is_empty())
}
