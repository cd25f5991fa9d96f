//! Events: written in the background, the same one again as a higher count, many alike as one, and never so many that
//! they are in the way of the work itself.

mod correlate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use leme_meta::time;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::client::Client;
use correlate::{Correlator, Mark, Marks};
use leme_meta::resource::Resource;

const QUEUE: usize = 4096;
/// A wait that has not changed is told again after this long.
const WAIT_AGAIN: Duration = Duration::from_secs(300);

/// What is told of. What is empty is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Version of the object that was looked at.
    pub resource_version: String,
    /// The part of it, such as `spec.containers{web}`.
    pub field_path: String,
}

/// One thing to tell.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// Who speaks, such as `replication-controller`.
    pub component: &'static str,
    /// On which node; empty if it does not matter.
    pub host: String,
    /// What it is about.
    pub about: About,
    /// Warning rather than Normal.
    pub warning: bool,
    /// Reason.
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

impl Note {
    /// The object's uid, or its name if it has none.
    fn who(&self) -> &str {
        if self.about.uid.is_empty() { &self.about.name } else { &self.about.uid }
    }
}

/// The Events that were written lately.
#[derive(Debug, Default)]
struct Written {
    marks: Marks,
    known: HashMap<Mark, Known>,
}

/// One of them, whose name is the object's and when it was first told.
#[derive(Debug)]
struct Known {
    first: Timestamp,
    count: u32,
    told: Instant,
}

impl Written {
    fn mark(&self, note: &Note) -> Mark {
        // Events that were combined are one Event, whatever it says at the moment.
        let message =
            if note.message.starts_with(correlate::COMBINED) { "" } else { &note.message };
        self.marks.of(&[note.who(), &note.about.field_path, note.reason, message])
    }

    /// Counts a note, and tells the name of its Event and how often it was told.
    fn count(&mut self, note: &Note, now: Timestamp) -> (String, u32) {
        correlate::forget(&mut self.known, |one| one.told.elapsed());
        let fresh = || Known { first: now, count: 0, told: Instant::now() };
        let mark = self.mark(note);
        let one = self.known.entry(mark).or_insert_with(fresh);
        one.count = one.count.saturating_add(1);
        one.told = Instant::now();
        (format!("{}.{:x}", note.about.name, one.first.as_nanosecond()), one.count)
    }
}

/// Takes notes; a task writes them.
#[derive(Clone, Debug)]
pub struct Recorder {
    sender: mpsc::Sender<Note>,
    written: Arc<Mutex<Written>>,
    correlator: Arc<Mutex<Correlator>>,
}

impl Recorder {
    /// The recorder and the task that has to run for it; `at_once` are written side by side, one by one in their order.
    pub fn new(
        client: Client,
        at_once: usize,
        token: CancellationToken,
    ) -> (Recorder, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let recorder = Recorder { sender, written: Arc::default(), correlator: Arc::default() };
        let written = recorder.written.clone();
        let notes = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|note| (note, receiver))
        });
        let work = notes.for_each_concurrent(at_once, move |note| {
            let (client, written) = (client.clone(), written.clone());
            async move { write(&client, &written, note).await }
        });
        let task = async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = work => {}
            }
        };
        (recorder, task)
    }

    /// Tells something.
    pub fn tell(&self, note: Note) {
        let note = {
            let mut correlator = self.correlator.lock().unwrap_or_else(PoisonError::into_inner);
            correlator.pass(note, Instant::now())
        };
        let Some(note) = note else { return };
        if let Err(error) = self.sender.try_send(note) {
            warn!(%error, "dropped an event: too many at once");
        }
    }

    /// Tells of a wait, unless the same was told a while ago.
    pub fn wait(&self, note: Note) {
        let fresh = {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            let known = written.known.get(&written.mark(&note));
            known.is_none_or(|known| known.told.elapsed() >= WAIT_AGAIN)
        };
        if fresh {
            self.tell(note);
        }
    }
}

fn resource() -> Resource {
    Resource::namespaced("v1", "Event", "events")
}

fn namespace(note: &Note) -> &str {
    if note.about.namespace.is_empty() { "default" } else { &note.about.namespace }
}

async fn write(client: &Client, written: &Mutex<Written>, note: Note) {
    let now = Timestamp::now();
    let (name, count) = {
        let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
        written.count(&note, now)
    };
    let resource = resource();
    if count > 1 {
        let path = resource.object(namespace(&note), &name, "");
        let patch =
            json!({ "count": count, "lastTimestamp": time::seconds(now), "message": note.message });
        match client.merge(&path, &patch).await {
            Ok(_) => return,
            Err(error) if error.is_not_found() => {}
            Err(error) => return debug!(error = error.message(), "cannot count an event up"),
        }
    }
    let path = resource.collection(namespace(&note));
    if let Err(error) = client.post(&path, &event(&note, &name, count, now)).await {
        debug!(error = error.message(), reason = note.reason, "cannot write an event");
    }
}

fn event(note: &Note, name: &str, count: u32, now: Timestamp) -> Value {
    let about = &note.about;
    let fields = [
        ("apiVersion", &about.api_version),
        ("kind", &about.kind),
        ("namespace", &about.namespace),
        ("name", &about.name),
        ("uid", &about.uid),
        ("resourceVersion", &about.resource_version),
        ("fieldPath", &about.field_path),
    ];
    let told = fields.into_iter().filter(|(_, text)| !text.is_empty());
    let involved: Map<String, Value> =
        told.map(|(field, text)| (field.to_owned(), text.as_str().into())).collect();
    let mut source = json!({ "component": note.component });
    if !note.host.is_empty() {
        source["host"] = note.host.as_str().into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": name, "namespace": namespace(note) },
        "involvedObject": involved,
        "reason": note.reason,
        "message": note.message,
        "source": source,
        "reportingComponent": note.component,
        "reportingInstance": note.host,
        "firstTimestamp": time::seconds(now),
        "lastTimestamp": time::seconds(now),
        "count": count,
        "type": if note.warning { "Warning" } else { "Normal" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_holds_what_is_known() {
        let about = About { kind: "Node".to_owned(), name: "a".to_owned(), ..About::default() };
        let note = Note { component: "kubelet", host: "a".to_owned(), about, ..Note::default() };
        let told = event(&note, "a.1", 1, Timestamp::UNIX_EPOCH);
        assert_eq!(told["involvedObject"], json!({"kind": "Node", "name": "a"}));
        assert_eq!(told["source"], json!({"component": "kubelet", "host": "a"}));
        assert_eq!((&told["reportingInstance"], &told["type"]), (&json!("a"), &json!("Normal")));
        assert_eq!(told["metadata"]["namespace"], "default");
    }
}
