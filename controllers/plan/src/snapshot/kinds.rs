//! The kinds of `snapshot.storage.k8s.io/v1`, as far as they decide anything.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use serde::Deserialize;

use crate::kind::kind;

/// Group of the kinds.
pub const GROUP: &str = "snapshot.storage.k8s.io";
/// Group and version.
pub const API_VERSION: &str = "snapshot.storage.k8s.io/v1";

kind!(
    VolumeSnapshotClass,
    "snapshot.storage.k8s.io",
    "v1",
    "volumesnapshotclasses",
    ClusterResourceScope
);
kind!(VolumeSnapshot, "snapshot.storage.k8s.io", "v1", "volumesnapshots", NamespaceResourceScope);
kind!(
    VolumeSnapshotContent,
    "snapshot.storage.k8s.io",
    "v1",
    "volumesnapshotcontents",
    ClusterResourceScope
);

/// Who takes snapshots, and what becomes of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeSnapshotClass {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Who takes them.
    pub driver: String,
    /// `Delete` or `Retain`.
    pub deletion_policy: String,
}

/// A wish for a snapshot.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeSnapshot {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What is wished.
    pub spec: SnapshotSpec,
    /// What there is.
    pub status: Option<SnapshotStatus>,
}

/// What is wished.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotSpec {
    /// Of what.
    pub source: SnapshotSource,
    /// By which class.
    pub volume_snapshot_class_name: Option<String>,
}

/// Of what a snapshot is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotSource {
    /// A claim.
    pub persistent_volume_claim_name: Option<String>,
    /// Or it is there already.
    pub volume_snapshot_content_name: Option<String>,
}

/// What there is of a snapshot.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotStatus {
    /// The content that stands for it.
    pub bound_volume_snapshot_content_name: Option<String>,
    /// When it was taken.
    pub creation_time: Option<String>,
    /// Whether it can be restored.
    pub ready_to_use: Option<bool>,
    /// How large a volume has to be at least.
    pub restore_size: Option<String>,
    /// What went wrong last.
    pub error: Option<Trouble>,
}

/// What went wrong.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Trouble {
    /// When.
    pub time: Option<String>,
    /// What.
    pub message: Option<String>,
}

/// A snapshot where it is kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeSnapshotContent {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What it is.
    pub spec: ContentSpec,
    /// What there is.
    pub status: Option<ContentStatus>,
}

/// What a content is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContentSpec {
    /// `Delete` or `Retain`.
    pub deletion_policy: String,
    /// Who keeps it.
    pub driver: String,
    /// Of what.
    pub source: ContentSource,
    /// By which class.
    pub volume_snapshot_class_name: Option<String>,
    /// The snapshot that it is for.
    pub volume_snapshot_ref: ObjectReference,
}

/// Of what a content is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContentSource {
    /// A volume.
    pub volume_handle: Option<String>,
    /// Or a snapshot that is there already.
    pub snapshot_handle: Option<String>,
}

/// What there is of a content.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContentStatus {
    /// Nanoseconds since 1970.
    pub creation_time: Option<i64>,
    /// Whether it can be restored.
    pub ready_to_use: Option<bool>,
    /// Bytes.
    pub restore_size: Option<i64>,
    /// Its name where it is kept.
    pub snapshot_handle: Option<String>,
    /// What went wrong last.
    pub error: Option<Trouble>,
}

impl VolumeSnapshot {
    /// The claim that it is of.
    pub fn claim(&self) -> Option<&str> {
        self.spec.source.persistent_volume_claim_name.as_deref()
    }

    /// Whether it can be restored.
    pub fn is_ready(&self) -> bool {
        self.status.as_ref().and_then(|status| status.ready_to_use) == Some(true)
    }

    /// The name of the content that its status names.
    pub fn bound(&self) -> Option<&str> {
        self.status.as_ref()?.bound_volume_snapshot_content_name.as_deref()
    }

    /// The name of its content: the one it names, or the one that is made for it.
    pub fn content(&self) -> String {
        let named = self.spec.source.volume_snapshot_content_name.as_deref();
        named.or(self.bound()).map_or_else(|| self.made(), str::to_owned)
    }

    /// The name of the content that is made for it.
    pub fn made(&self) -> String {
        format!("snapcontent-{}", self.metadata.uid.as_deref().unwrap_or(""))
    }
}

impl VolumeSnapshotContent {
    /// Whether it is for a snapshot, and knows it.
    pub fn is_of(&self, snapshot: &VolumeSnapshot) -> bool {
        self.names(snapshot) && self.spec.volume_snapshot_ref.uid == snapshot.metadata.uid
    }

    /// Whether it names a snapshot; one with another uid may be meant.
    pub fn names(&self, snapshot: &VolumeSnapshot) -> bool {
        let reference = &self.spec.volume_snapshot_ref;
        reference.name == snapshot.metadata.name
            && reference.namespace == snapshot.metadata.namespace
    }

    /// Whether it is bound to a snapshot by uid.
    pub fn is_bound(&self) -> bool {
        self.spec.volume_snapshot_ref.uid.as_deref().is_some_and(|uid| !uid.is_empty())
    }
}
