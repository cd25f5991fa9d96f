//! What the API is told of drivers and volumes: the CSINode, and on the Node its names, where it is, what is in use.
//!
//! Knows: how each is written. Refuses to know: why it is so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::Method;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::{CSINode, CSINodeDriver, CSINodeSpec, VolumeNodeResources};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use leme_client::{Event as Seen, JSON, MERGE_PATCH, Resource, Scope, follow_as};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Csi;

/// Names that drivers have for the node, by driver.
const NODE_ID: &str = "csi.volume.kubernetes.io/nodeid";
/// How long to wait before what failed is tried again; it doubles up to the second.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LAST_DELAY: Duration = Duration::from_secs(30);

/// What a driver says of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its name for it.
    pub id: String,
    /// Where it is.
    pub topology: BTreeMap<String, String>,
    /// Most volumes; 0 is no bound.
    pub most: i64,
}

/// What the API is to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The drivers; `None` until those that were there at first have been asked.
    pub drivers: Option<BTreeMap<String, Facts>>,
    /// Volumes that are attached and in use, by their unique names.
    pub in_use: BTreeSet<String>,
}

/// What it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The drivers.
    pub drivers: BTreeMap<String, Facts>,
    /// Drivers that cannot be told of, and why.
    pub refused: BTreeMap<String, String>,
    /// Volumes in use.
    pub in_use: BTreeSet<String>,
}

/// Tells the API, as long as it is polled.
pub async fn keep(csi: Arc<Csi>) {
    let own = Scope { fields: format!("metadata.name={}", csi.node), ..Scope::all(nodes()) };
    let mut events = follow_as::<Node>(csi.client.clone(), own);
    let mut wanted = csi.wanted.subscribe();
    let mut writer = Writer { csi: csi.clone(), node: None, written: None };
    let (mut delay, mut due, mut failed) = (FIRST_DELAY, Instant::now(), false);
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => return,
                Some(Ok(Seen::Listed(_, node) | Seen::Changed(_, node))) => {
                    writer.node = Some(node);
                }
                Some(Ok(Seen::Gone(_))) => {
                    writer.node = None;
                    csi.told.send_replace(Told::default());
                }
                // What fails is told where it fails, and tried again there.
                Some(_) => continue,
            },
            changed = wanted.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(due), if failed => {}
        }
        let wish = wanted.borrow_and_update().clone();
        match writer.write(&wish).await {
            Ok(Some(told)) => {
                csi.told.send_if_modified(|known| std::mem::replace(known, told.clone()) != told);
                (delay, failed) = (FIRST_DELAY, false);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the API does not know all of this node's drivers and volumes yet");
                failed = true;
                due = Instant::now() + delay;
                delay = (delay * 2).min(LAST_DELAY);
            }
        }
    }
}

fn nodes() -> Resource {
    Resource::cluster("v1", "Node", "nodes")
}

fn csi_nodes() -> Resource {
    Resource::cluster("storage.k8s.io/v1", "CSINode", "csinodes")
}

struct Writer {
    csi: Arc<Csi>,
    /// The Node as it was last seen.
    node: Option<Node>,
    /// The uid of the Node, and the drivers that its CSINode has.
    written: Option<(String, BTreeMap<String, Facts>)>,
}

impl Writer {
    /// Writes what is not as it is to be; nothing while there is no Node.
    async fn write(&mut self, wish: &Wanted) -> Result<Option<Told>, leme_client::Error> {
        let Some(mut node) = self.node.clone() else { return Ok(None) };
        let in_use = node.status.as_ref().and_then(|status| status.volumes_in_use.clone());
        let in_use: BTreeSet<String> = in_use.into_iter().flatten().collect();
        if in_use != wish.in_use {
            let list = if wish.in_use.is_empty() { Value::Null } else { json!(wish.in_use) };
            node = self.patch("status", &json!({ "status": { "volumesInUse": list } })).await?;
        }
        let mut told = Told { in_use: wish.in_use.clone(), ..Told::default() };
        if let Some(drivers) = &wish.drivers {
            (told.drivers, told.refused) = sort(drivers, &node);
            if let Some(patch) = metadata(&told.drivers, &node) {
                node = self.patch("", &patch).await?;
            }
            let uid = node.metadata.uid.clone().unwrap_or_default();
            let written = Some((uid, told.drivers.clone()));
            if self.written != written {
                self.write_csi_node(&node, &told.drivers).await?;
                self.written = written;
            }
        }
        Ok(Some(told))
    }

    async fn patch(&mut self, part: &str, patch: &Value) -> Result<Node, leme_client::Error> {
        let path = nodes().object("", &self.csi.node, part);
        let node: Node =
            self.csi.client.call(Method::PATCH, &path, MERGE_PATCH, Some(patch)).await?;
        self.node = Some(node.clone());
        Ok(node)
    }

    async fn write_csi_node(
        &self,
        node: &Node,
        drivers: &BTreeMap<String, Facts>,
    ) -> Result<(), leme_client::Error> {
        let client = &self.csi.client;
        let path = csi_nodes().object("", &self.csi.node, "");
        let meta = ObjectMeta {
            name: Some(self.csi.node.clone()),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Node".to_owned(),
                name: self.csi.node.clone(),
                uid: node.metadata.uid.clone().unwrap_or_default(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        };
        let entries: Vec<CSINodeDriver> = drivers.iter().map(entry).collect();
        let Some(mut found) = client.find::<CSINode>(&path).await? else {
            let made = CSINode { metadata: meta, spec: CSINodeSpec { drivers: entries } };
            let path = csi_nodes().collection("");
            return client
                .call(Method::POST, &path, JSON, Some(&json!(made)))
                .await
                .map(|_: Value| ());
        };
        let before = std::mem::take(&mut found.spec.drivers);
        let known = |wanted: &CSINodeDriver| before.iter().find(|one| one.name == wanted.name);
        let same = before.len() == entries.len()
            && entries.iter().all(|wanted| known(wanted) == Some(wanted))
            && found.metadata.owner_references == meta.owner_references;
        if same {
            return Ok(());
        }
        found.metadata.owner_references = meta.owner_references;
        // What a driver has said once may not become something else in one step.
        let changed = |wanted: &CSINodeDriver| known(wanted).is_some_and(|one| one != wanted);
        if entries.iter().any(changed) {
            found.spec.drivers = entries.iter().filter(|one| !changed(one)).cloned().collect();
            found = client.call(Method::PUT, &path, JSON, Some(&json!(found))).await?;
        }
        found.spec.drivers = entries;
        client.call(Method::PUT, &path, JSON, Some(&json!(found))).await.map(|_: Value| ())
    }
}

fn entry((name, facts): (&String, &Facts)) -> CSINodeDriver {
    let keys: Vec<String> = facts.topology.keys().cloned().collect();
    let count = (facts.most > 0).then(|| i32::try_from(facts.most).unwrap_or(i32::MAX));
    CSINodeDriver {
        name: name.clone(),
        node_id: facts.id.clone(),
        topology_keys: (!keys.is_empty()).then_some(keys),
        allocatable: count.map(|count| VolumeNodeResources { count: Some(count) }),
    }
}

/// The drivers that can be told of, and why others cannot: a Node is in one place.
fn sort(
    drivers: &BTreeMap<String, Facts>,
    node: &Node,
) -> (BTreeMap<String, Facts>, BTreeMap<String, String>) {
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let (mut taken, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for (name, facts) in drivers {
        let elsewhere = |(key, value): &(&String, &String)| {
            labels.get(*key).is_some_and(|known| known != *value)
        };
        match facts.topology.iter().find(elsewhere) {
            Some((key, value)) => {
                let why = format!(
                    "detected topology value collision: driver reported {key:?}:{value:?} but existing label is {key:?}:{:?}",
                    labels[key]
                );
                refused.insert(name.clone(), why);
            }
            None => drop(taken.insert(name.clone(), facts.clone())),
        }
    }
    (taken, refused)
}

/// What has to become of a Node's annotation and labels. Labels stay when a driver goes: volumes are there.
fn metadata(drivers: &BTreeMap<String, Facts>, node: &Node) -> Option<Value> {
    let known = node.metadata.annotations.as_ref().and_then(|all| all.get(NODE_ID));
    let known: BTreeMap<String, String> =
        known.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let ids: BTreeMap<String, String> =
        drivers.iter().map(|(name, facts)| (name.clone(), facts.id.clone())).collect();
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let topology = drivers.values().flat_map(|facts| &facts.topology);
    let new: BTreeMap<&String, &String> =
        topology.filter(|(key, _)| !labels.contains_key(*key)).collect();
    let mut meta = json!({});
    if known != ids {
        let text = if ids.is_empty() { Value::Null } else { json!(ids).to_string().into() };
        meta["annotations"] = json!({ NODE_ID: text });
    }
    if !new.is_empty() {
        meta["labels"] = json!(new);
    }
    meta.as_object().is_some_and(|all| !all.is_empty()).then(|| json!({ "metadata": meta }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_what_drivers_say_of_it() {
        let facts = |zone: &str| Facts {
            id: "n-1".into(),
            topology: [("zone".to_owned(), zone.to_owned())].into(),
            most: 8,
        };
        let drivers: BTreeMap<String, Facts> = [("d".to_owned(), facts("a"))].into();
        let node =
            |meta: Value| -> Node { serde_json::from_value(json!({ "metadata": meta })).unwrap() };
        let patch = metadata(&drivers, &node(json!({})));
        let ids = json!({ NODE_ID: "{\"d\":\"n-1\"}" });
        let wanted = json!({ "metadata": { "annotations": ids, "labels": { "zone": "a" } } });
        assert_eq!(patch, Some(wanted));
        let told = node(json!({ "annotations": ids, "labels": { "zone": "a", "other": "x" } }));
        assert_eq!(metadata(&drivers, &told), None);
        let gone = json!({ "metadata": { "annotations": { NODE_ID: null } } });
        assert_eq!(metadata(&BTreeMap::new(), &told), Some(gone));

        let elsewhere = [("d".to_owned(), facts("b")), ("e".to_owned(), facts("a"))].into();
        let (taken, refused) = sort(&elsewhere, &told);
        assert_eq!(taken.keys().collect::<Vec<_>>(), ["e"]);
        assert_eq!(
            refused["d"],
            "detected topology value collision: driver reported \"zone\":\"b\" but existing label is \"zone\":\"a\""
        );
        let entry = entry(drivers.iter().next().unwrap());
        assert_eq!(entry.allocatable.unwrap().count, Some(8));
        assert_eq!(entry.topology_keys, Some(vec!["zone".to_owned()]));
    }
}
