//! Events about pods and the node, as the kubelet tells them.
//!
//! Knows: what each is about. Refuses to know: how they are counted and written, and why they are told.

use k8s_openapi::api::core::v1::{Node, Pod};
use leme_client::{About, Client, Note};
use leme_node_core::pod::Notice;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::COMPONENT;

/// Where events are handed in; never waits.
#[derive(Debug)]
pub struct Recorder {
    recorder: leme_client::Recorder,
    host: String,
    _task: AbortOnDropHandle<()>,
}

impl Recorder {
    /// Starts the writer. What happened first is written first.
    pub fn new(client: Client, host: String) -> Self {
        let (recorder, task) = leme_client::Recorder::new(client, 1, CancellationToken::new());
        Self { recorder, host, _task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    /// Hands in an event about a pod.
    pub fn pod(&self, pod: &Pod, notice: Notice) {
        let meta = pod.metadata.clone();
        let about = About {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: meta.name.unwrap_or_default(),
            namespace: meta.namespace.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            field_path: notice.field,
        };
        self.tell(about, notice.warning, notice.reason, notice.message);
    }

    /// Hands in an event about the node.
    pub fn node(&self, node: &Node, reason: &'static str, message: String) {
        let name = node.metadata.name.clone().unwrap_or_default();
        let about = About { kind: "Node".to_owned(), uid: name.clone(), name, ..About::default() };
        self.tell(about, false, reason, message);
    }

    fn tell(&self, about: About, warning: bool, reason: &'static str, message: String) {
        let host = self.host.clone();
        self.recorder.tell(Note { component: COMPONENT, host, about, warning, reason, message });
    }
}
