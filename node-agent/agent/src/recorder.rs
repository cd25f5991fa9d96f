//! Events about pods and the node.
//!
//! Knows: how repeated ones are counted, that losing one is no fault. Refuses to know: why they are written.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use leme_node_core::pod::Notice;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Waiting events beyond this many are dropped.
const QUEUE: usize = 1000;
/// Distinct events that are remembered for counting.
const REMEMBERED: usize = 1000;

/// Where events are handed in; never waits.
#[derive(Debug)]
pub struct Recorder {
    queue: mpsc::Sender<(ObjectReference, Notice)>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Same {
    uid: String,
    field: String,
    reason: &'static str,
    message: String,
}

struct Writer {
    client: Client,
    host: String,
    known: HashMap<Same, (String, i32)>,
}

impl Recorder {
    /// Starts the writer.
    pub fn new(client: Client, host: String) -> Self {
        let (queue, mut waiting) = mpsc::channel::<(ObjectReference, Notice)>(QUEUE);
        let task = tokio::spawn(async move {
            let mut writer = Writer { client, host, known: HashMap::new() };
            while let Some((about, notice)) = waiting.recv().await {
                if let Err(error) = writer.write(about, notice).await {
                    tracing::debug!(%error, "event not written");
                }
            }
        });
        Self { queue, _task: AbortOnDropHandle::new(task) }
    }

    /// Hands in an event about a pod.
    pub fn pod(&self, pod: &Pod, notice: Notice) {
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            field_path: Some(notice.field.clone()).filter(|f| !f.is_empty()),
        };
        self.put(about, notice);
    }

    /// Hands in an event about the node.
    pub fn node(&self, node: &Node, reason: &'static str, message: String) {
        let about = ObjectReference {
            kind: Some("Node".to_owned()),
            name: node.metadata.name.clone(),
            uid: node.metadata.name.clone(),
            ..ObjectReference::default()
        };
        let notice = Notice { warning: false, reason, message, field: String::new() };
        self.put(about, notice);
    }

    fn put(&self, about: ObjectReference, notice: Notice) {
        if self.queue.try_send((about, notice)).is_err() {
            tracing::debug!("event dropped: too many are waiting");
        }
    }
}

impl Writer {
    async fn write(&mut self, about: ObjectReference, notice: Notice) -> kube::Result<()> {
        let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let same = Same {
            uid: about.uid.clone().unwrap_or_default(),
            field: notice.field.clone(),
            reason: notice.reason,
            message: notice.message.clone(),
        };
        let now = Timestamp::now();
        let second = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
        if let Some((name, count)) = self.known.get_mut(&same) {
            *count = count.saturating_add(1);
            let patch = serde_json::json!({"count": count, "lastTimestamp": second});
            match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => return Ok(()),
                // It expired: write a new one.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        let subject = about.name.clone().unwrap_or_default();
        let name = format!("{subject}.{:x}", now.as_nanosecond());
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: about,
            type_: Some(if notice.warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(notice.reason.to_owned()),
            message: Some(notice.message),
            count: Some(1),
            first_timestamp: Some(second.clone()),
            last_timestamp: Some(second),
            source: Some(EventSource {
                component: Some("kubelet".to_owned()),
                host: Some(self.host.clone()),
            }),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(self.host.clone()),
            ..Event::default()
        };
        api.create(&PostParams::default(), &event).await?;
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(same, (name, 1));
        Ok(())
    }
}
