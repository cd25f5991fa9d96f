//! The messages: names, numbers and types of the fields that a node sends and reads.
//!
//! Knows: `csi.v1` as far as nodes speak it, and `pluginregistration`. Refuses to know: who sends what when.
//!
//! Fields that are not here are passed over when they are read.

use std::collections::BTreeMap;

use prost::Message;

/// What a message without fields is.
pub type Nothing = ();

/// Names with values.
pub type Map = BTreeMap<String, String>;

/// What a plugin says of itself when it is found.
#[derive(Clone, PartialEq, Message)]
pub struct PluginInfo {
    /// `CSIPlugin` is one that this is about.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// The driver.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Its socket; empty if it is the one that was found.
    #[prost(string, tag = "3")]
    pub endpoint: String,
    /// Which versions of its interface it speaks.
    #[prost(string, repeated, tag = "4")]
    pub supported_versions: Vec<String>,
}

/// What becomes of it.
#[derive(Clone, PartialEq, Message)]
pub struct RegistrationStatus {
    /// Whether the node takes it.
    #[prost(bool, tag = "1")]
    pub plugin_registered: bool,
    /// Why not.
    #[prost(string, tag = "2")]
    pub error: String,
}

/// Where a node is, or what a volume can be reached from.
#[derive(Clone, PartialEq, Message)]
pub struct Topology {
    /// Labels.
    #[prost(btree_map = "string, string", tag = "1")]
    pub segments: Map,
}

/// What a driver says of its node.
#[derive(Clone, PartialEq, Message)]
pub struct NodeInfo {
    /// The driver's own name for the node.
    #[prost(string, tag = "1")]
    pub node_id: String,
    /// Most volumes that can be attached; 0 is no bound.
    #[prost(int64, tag = "2")]
    pub max_volumes_per_node: i64,
    /// Where it is.
    #[prost(message, optional, tag = "3")]
    pub accessible_topology: Option<Topology>,
}

/// What the node service of a driver can do.
#[derive(Clone, PartialEq, Message)]
pub struct NodeCapabilities {
    /// One by one.
    #[prost(message, repeated, tag = "1")]
    pub capabilities: Vec<NodeCapability>,
}

/// One thing of that.
#[derive(Clone, PartialEq, Message)]
pub struct NodeCapability {
    /// A call, or how one is served.
    #[prost(message, optional, tag = "1")]
    pub rpc: Option<NodeRpc>,
}

/// A call, or how one is served.
#[derive(Clone, PartialEq, Message)]
pub struct NodeRpc {
    /// A [`Can`].
    #[prost(enumeration = "Can", tag = "1")]
    pub r#type: i32,
}

/// What node services can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Can {
    /// Nothing that is known.
    Unknown = 0,
    /// Volumes are staged before they are published, and unstaged after.
    StageUnstageVolume = 1,
    /// What a volume uses is told.
    GetVolumeStats = 2,
    /// A volume that has grown is made to fit on its node.
    ExpandVolume = 3,
    /// How a volume is, is told.
    VolumeCondition = 4,
    /// Who writes on one node is told apart: one, or several.
    SingleNodeMultiWriter = 5,
    /// A volume is given to a group when it is mounted.
    VolumeMountGroup = 6,
}

/// How a volume is to be used.
#[derive(Clone, PartialEq, Message)]
pub struct VolumeCapability {
    /// As a file system.
    #[prost(message, optional, tag = "2")]
    pub mount: Option<MountVolume>,
    /// By whom.
    #[prost(message, optional, tag = "3")]
    pub access_mode: Option<AccessMode>,
}

/// As a file system.
#[derive(Clone, PartialEq, Message)]
pub struct MountVolume {
    /// Which.
    #[prost(string, tag = "1")]
    pub fs_type: String,
    /// Options of the mount.
    #[prost(string, repeated, tag = "2")]
    pub mount_flags: Vec<String>,
    /// The group that gets it.
    #[prost(string, tag = "3")]
    pub volume_mount_group: String,
}

/// By whom.
#[derive(Clone, PartialEq, Message)]
pub struct AccessMode {
    /// A [`Mode`].
    #[prost(enumeration = "Mode", tag = "1")]
    pub mode: i32,
}

/// Who may use a volume, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Mode {
    /// Nobody knows.
    Unknown = 0,
    /// One node writes.
    SingleNodeWriter = 1,
    /// One node reads.
    SingleNodeReaderOnly = 2,
    /// Nodes read.
    MultiNodeReaderOnly = 3,
    /// Nodes read, one writes.
    MultiNodeSingleWriter = 4,
    /// Nodes write.
    MultiNodeMultiWriter = 5,
    /// One pod of one node writes.
    SingleNodeSingleWriter = 6,
    /// Pods of one node write.
    SingleNodeMultiWriter = 7,
}

/// A volume is to be made usable on its node.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Stage {
    /// Which.
    #[prost(string, tag = "1")]
    pub volume_id: String,
    /// What who attached it has said.
    #[prost(btree_map = "string, string", tag = "2")]
    pub publish_context: Map,
    /// Where.
    #[prost(string, tag = "3")]
    pub staging_target_path: String,
    /// How it is to be used.
    #[prost(message, optional, tag = "4")]
    pub volume_capability: Option<VolumeCapability>,
    /// What the driver must know and nobody else.
    #[prost(btree_map = "string, string", tag = "5")]
    pub secrets: Map,
    /// What who made it has said.
    #[prost(btree_map = "string, string", tag = "6")]
    pub volume_context: Map,
}

/// It is not to be any more.
#[derive(Clone, PartialEq, Message)]
pub struct Unstage {
    /// Which.
    #[prost(string, tag = "1")]
    pub volume_id: String,
    /// Where.
    #[prost(string, tag = "2")]
    pub staging_target_path: String,
}

/// A volume is to be there for a pod.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Publish {
    /// Which.
    #[prost(string, tag = "1")]
    pub volume_id: String,
    /// What who attached it has said.
    #[prost(btree_map = "string, string", tag = "2")]
    pub publish_context: Map,
    /// Where it is staged, if it is.
    #[prost(string, tag = "3")]
    pub staging_target_path: String,
    /// Where it is to be.
    #[prost(string, tag = "4")]
    pub target_path: String,
    /// How it is to be used.
    #[prost(message, optional, tag = "5")]
    pub volume_capability: Option<VolumeCapability>,
    /// Whether only to be read.
    #[prost(bool, tag = "6")]
    pub readonly: bool,
    /// What the driver must know and nobody else.
    #[prost(btree_map = "string, string", tag = "7")]
    pub secrets: Map,
    /// What who made it has said, and about the pod.
    #[prost(btree_map = "string, string", tag = "8")]
    pub volume_context: Map,
}

/// It is not to be any more.
#[derive(Clone, PartialEq, Message)]
pub struct Unpublish {
    /// Which.
    #[prost(string, tag = "1")]
    pub volume_id: String,
    /// Where it is.
    #[prost(string, tag = "2")]
    pub target_path: String,
}

/// A volume has grown.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Expand {
    /// Which.
    #[prost(string, tag = "1")]
    pub volume_id: String,
    /// Where it is.
    #[prost(string, tag = "2")]
    pub volume_path: String,
    /// How much it has to hold.
    #[prost(message, optional, tag = "3")]
    pub capacity_range: Option<CapacityRange>,
    /// Where it is staged, if it is.
    #[prost(string, tag = "4")]
    pub staging_target_path: String,
    /// How it is used.
    #[prost(message, optional, tag = "5")]
    pub volume_capability: Option<VolumeCapability>,
    /// What the driver must know and nobody else.
    #[prost(btree_map = "string, string", tag = "6")]
    pub secrets: Map,
}

/// How much a volume has to hold, in bytes.
#[derive(Clone, PartialEq, Message)]
pub struct CapacityRange {
    /// At least.
    #[prost(int64, tag = "1")]
    pub required_bytes: i64,
    /// At most; 0 is no bound.
    #[prost(int64, tag = "2")]
    pub limit_bytes: i64,
}

/// What a volume holds now.
#[derive(Clone, PartialEq, Message)]
pub struct Expanded {
    /// In bytes.
    #[prost(int64, tag = "1")]
    pub capacity_bytes: i64,
}

/// What a volume uses is asked.
#[derive(Clone, PartialEq, Message)]
pub struct StatsQuestion {
    /// Which.
    #[prost(string, tag = "1")]
    pub volume_id: String,
    /// Where it is.
    #[prost(string, tag = "2")]
    pub volume_path: String,
    /// Where it is staged, if it is.
    #[prost(string, tag = "3")]
    pub staging_target_path: String,
}

/// What a volume uses.
#[derive(Clone, PartialEq, Message)]
pub struct VolumeStats {
    /// By unit.
    #[prost(message, repeated, tag = "1")]
    pub usage: Vec<VolumeUsage>,
}

/// What it uses of one thing.
#[derive(Clone, PartialEq, Message)]
pub struct VolumeUsage {
    /// What is left.
    #[prost(int64, tag = "1")]
    pub available: i64,
    /// What there is.
    #[prost(int64, tag = "2")]
    pub total: i64,
    /// What is used.
    #[prost(int64, tag = "3")]
    pub used: i64,
    /// 1 is bytes, 2 is inodes.
    #[prost(int32, tag = "4")]
    pub unit: i32,
}

/// Secrets are in no message for people.
macro_rules! shown_without_secrets {
    ($($message:ident),*) => { $(
        impl std::fmt::Debug for $message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let name = stringify!($message);
                f.debug_struct(name).field("volume_id", &self.volume_id).finish_non_exhaustive()
            }
        }
    )* };
}
shown_without_secrets!(Stage, Publish, Expand);
