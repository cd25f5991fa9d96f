//! All that can happen to the agent.
//!
//! Knows: the closed list. Refuses to know: who sends, what is done about it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use leme_cri::RuntimeEvent;
use leme_node_core::config::Mounted;
use leme_node_core::cri::{ContainerStatus, SandboxStatus};
use leme_node_core::lookup::{Content, Key};
use leme_node_core::pod::{self, Notice};
use leme_node_core::storage::Usage;

use crate::publish::Failed;

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The watch of this node's pods.
    Pods(Box<leme_client::Event<Pod>>),
    /// The watch of this node's pods does not get on; why.
    PodsFailed(String),
    /// An object that pods refer to was read; `None` if it does not exist.
    Source(Key, Option<Content>),
    /// An answer for one pod's machine.
    Machine(String, Box<pod::Event>),
    /// A pod's volumes are set up, or why not.
    Volumes(String, Result<BTreeMap<String, Mounted>, String>),
    /// There is something to tell of a pod.
    Notice(String, Notice),
    /// The runtime noticed something.
    Runtime(RuntimeEvent),
    /// The runtime's stream of events ended.
    RuntimeLost,
    /// All that the runtime has.
    Listed(Result<(Vec<SandboxStatus>, Vec<ContainerStatus>), String>),
    /// A status was written, or why not.
    Written(String, Box<PodStatus>, Result<(), Failed>),
    /// A pod was deleted in the API, or why not.
    Deleted(String, Result<(), String>),
    /// What was left of a pod is removed, or why not.
    Forgotten(String, Result<(), String>),
    /// What pods with limits on it use of the disk, by UID.
    Measured(Vec<(String, Usage)>),
    /// The node was registered or its status written, or why not.
    Node(Result<(), String>),
    /// The lease was renewed, or why not.
    Lease(Result<(), String>),
}
