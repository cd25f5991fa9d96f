//! Volumes that are directories of this node: made at once where they are copies, wiped once nobody has them any more,
//! which the Node then says, or why not.
//!
//! Knows: where they are, which are released. Refuses to know: who makes a volume, what mounts it.
//!
//! Rule: what is wiped was released, to be deleted and of this node in an answer of the API itself just before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt;
use http::Method;
use k8s_openapi::api::core::v1::{Node, PersistentVolume};
use leme_client::{Client, Event as Seen, MERGE_PATCH, Resource, Scope, follow_as};
use leme_host::removal::remove_tree;
use leme_meta::local_path::{
    LEFT, NODE, PROVISIONED_BY, PROVISIONER, REMOVED, SOURCE, Source, release,
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::warn;

use crate::volumes::component;
use crate::{directories, worker};

/// How long to wait before what failed is tried again; it doubles up to the second.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LAST_DELAY: Duration = Duration::from_secs(30);
/// Directories that are left of which the Node says why, and how much.
const MOST_LEFT: usize = 32;
const LONGEST_WHY: usize = 512;

/// Whether a volume is from the provisioner of directories.
pub fn is_own(volume: &PersistentVolume) -> bool {
    let annotations = volume.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(PROVISIONED_BY)).is_some_and(|by| by == PROVISIONER)
}

/// What a volume begins with.
pub fn source_of(volume: &PersistentVolume) -> Option<Source> {
    Source::read(volume.metadata.annotations.as_ref()?.get(SOURCE)?)
}

/// Whether a volume is on a node.
pub fn is_on(volume: &PersistentVolume, node: &str) -> bool {
    let named = || {
        let affinity = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
        let fields = affinity.node_selector_terms.first()?.match_fields.as_ref()?;
        fields.first()?.values.as_ref()?.first()
    };
    named().is_some_and(|name| name == node)
}

/// The release of a volume that is to be wiped on a node: nobody has it, and nobody wants to keep it.
fn released(volume: &PersistentVolume, node: &str) -> Option<String> {
    let (meta, spec, status) = (&volume.metadata, volume.spec.as_ref()?, volume.status.as_ref()?);
    let goes = spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete")
        && status.phase.as_deref() == Some("Released");
    let here = is_own(volume) && is_on(volume, node) && component(meta.name.as_deref()?).is_ok();
    let since = status.last_phase_transition_time.as_ref();
    let since = since.map(|time| leme_meta::time::seconds(time.0)).unwrap_or_default();
    (goes && here).then(|| release(meta.uid.as_deref().unwrap_or(""), &since))
}

/// Wipes what is released, as long as it is polled.
pub async fn keep(client: Client, node: String, data: PathBuf) {
    let here = Scope { labels: of_node(&node), ..Scope::all(volumes()) };
    let mut events = follow_as::<PersistentVolume>(client.clone(), here);
    let own = Scope { fields: format!("metadata.name={node}"), ..Scope::all(nodes()) };
    let mut own = follow_as::<Node>(client.clone(), own);
    let mut wiper = Wiper::new(client, node, data);
    let mut delay = FIRST_DELAY;
    let mut due = Instant::now();
    loop {
        let again = wiper.is_behind();
        tokio::select! {
            event = events.next() => match event {
                None => return,
                // What fails is told where it fails, and tried again there.
                Some(Err(_)) => continue,
                Some(Ok(event)) => wiper.take_in(event),
            },
            Some(seen) = own.next() => match seen {
                Ok(Seen::Listed(head, _) | Seen::Changed(head, _) | Seen::Gone(head))
                    if !wiper.knows_node(&head.uid) => {}
                _ => continue,
            },
            () = tokio::time::sleep_until(due), if again => {}
        }
        match wiper.tend().await {
            Ok(()) => delay = FIRST_DELAY,
            Err(error) => {
                warn!(error = format!("{error:#}"), "a volume is not as it is to be yet");
                delay = (delay * 2).min(LAST_DELAY);
            }
        }
        due = Instant::now() + delay;
    }
}

fn nodes() -> Resource {
    Resource::cluster("v1", "Node", "nodes")
}

/// Selects the volumes that are directories of a node.
pub fn of_node(node: &str) -> String {
    format!("{NODE}={node}")
}

/// Where volumes are in the API.
pub fn volumes() -> Resource {
    Resource::cluster("v1", "PersistentVolume", "persistentvolumes")
}

struct Wiper {
    client: Client,
    node: String,
    data: PathBuf,
    /// Volumes that are to be copies and are not there yet, by name, and of what.
    copies: BTreeMap<String, Source>,
    /// What a list has brought that is not complete.
    listed: Option<BTreeSet<String>>,
    /// The releases after which directories are to go, by the names of the volumes, as long as they are in them.
    wanted: BTreeMap<String, String>,
    /// Those after which they have gone.
    wiped: BTreeSet<String>,
    /// Why it did not work the last time, by release.
    left: BTreeMap<String, String>,
    /// What the Node says; at first nobody knows.
    said: Option<Said>,
    /// The uid of the Node.
    told: String,
}

/// What a Node says of released volumes: which it has wiped, and why it could not wipe others.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    wiped: BTreeSet<String>,
    left: BTreeMap<String, String>,
}

impl Wiper {
    fn new(client: Client, node: String, data: PathBuf) -> Wiper {
        let (wanted, wiped, left) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Wiper {
            client,
            node,
            data,
            copies: BTreeMap::new(),
            listed: None,
            wanted,
            wiped,
            left,
            said: None,
            told: String::new(),
        }
    }

    /// What the Node is to say.
    fn to_say(&self) -> Said {
        let wanted = self.wanted.values();
        let wiped = wanted.clone().filter(|release| self.wiped.contains(*release)).cloned();
        let left = wanted.filter_map(|release| self.left.get_key_value(release));
        let left = left.take(MOST_LEFT).map(|(release, why)| (release.clone(), why.clone()));
        Said { wiped: wiped.collect(), left: left.collect() }
    }

    fn is_behind(&self) -> bool {
        let all_wiped = self.copies.is_empty()
            && self.wanted.values().all(|release| self.wiped.contains(release));
        self.listed.is_none() && (!all_wiped || self.said.as_ref() != Some(&self.to_say()))
    }

    fn take_in(&mut self, event: Seen<PersistentVolume>) {
        match event {
            Seen::Begin => self.listed = Some(BTreeSet::new()),
            Seen::Listed(head, volume) => {
                self.listed.get_or_insert_default().insert(head.key.1.clone());
                self.see(head.key.1, &volume);
            }
            Seen::Complete(_) => {
                if let Some(listed) = self.listed.take() {
                    self.wanted.retain(|name, _| listed.contains(name));
                    self.copies.retain(|name, _| listed.contains(name));
                }
            }
            Seen::Changed(head, volume) => self.see(head.key.1, &volume),
            Seen::Gone(head) => {
                self.wanted.remove(&head.key.1);
                self.copies.remove(&head.key.1);
            }
            Seen::Seen(_) => {}
        }
        let wanted: BTreeSet<&String> = self.wanted.values().collect();
        self.wiped.retain(|release| wanted.contains(release));
        self.left.retain(|release, _| wanted.contains(release));
    }

    /// Whether the Node is the one that was told: another one has to be told anew.
    fn knows_node(&mut self, uid: &str) -> bool {
        let same = self.told == uid;
        if !same {
            uid.clone_into(&mut self.told);
            self.said = None;
        }
        same
    }

    fn see(&mut self, name: String, volume: &PersistentVolume) {
        let goes = released(volume, &self.node);
        // What goes is not made once more after it was wiped.
        let stays = goes.is_none() && is_own(volume) && is_on(volume, &self.node);
        let source = source_of(volume).filter(|_| stays);
        match source.filter(|_| !directories::has_volume(&self.data, &name)) {
            Some(source) => drop(self.copies.insert(name.clone(), source)),
            None => drop(self.copies.remove(&name)),
        }
        match goes {
            Some(release) => drop(self.wanted.insert(name, release)),
            None => drop(self.wanted.remove(&name)),
        }
    }

    /// Wipes one of those that are to go and says so: what has happened meanwhile is looked at before the next one.
    async fn tend(&mut self) -> anyhow::Result<()> {
        if !self.is_behind() {
            return Ok(());
        }
        let mut failed = self.copy().await.err();
        let open = self.wanted.iter().filter(|(_, release)| !self.wiped.contains(*release));
        let open: Vec<(String, String)> =
            open.map(|(name, release)| (name.clone(), release.clone())).collect();
        for (name, release) in open {
            match self.wipe(&name, &release).await {
                Ok(true) => {
                    self.left.remove(&release);
                    self.wiped.insert(release);
                    break;
                }
                // It is not to go any more: that will be heard of.
                Ok(false) => {}
                // It must not keep the others from going.
                Err(error) => failed = Some(error),
            }
        }
        self.say().await?;
        failed.map_or(Ok(()), Err)
    }

    /// Makes the volumes that are to be copies, before what they are copies of may go.
    async fn copy(&mut self) -> anyhow::Result<()> {
        let mut failed = None;
        for (name, source) in self.copies.clone() {
            let (data, volume) = (self.data.clone(), name.clone());
            let made = move || directories::volume(&data, &volume, Some(&source)).map(drop);
            match worker::blocking(made).await {
                Ok(()) => drop(self.copies.remove(&name)),
                Err(error) => failed = Some(anyhow::anyhow!("make volume {name}: {error}")),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Removes the directory of a volume if that is still in this release, by the API's own word. Whether it was.
    async fn wipe(&mut self, name: &str, release: &str) -> anyhow::Result<bool> {
        let live: Option<PersistentVolume> = self
            .client
            .find(&volumes().object("", name, ""))
            .await
            .context("ask for the volume")?;
        let still = live.and_then(|volume| released(&volume, &self.node));
        if still.as_deref() != Some(release) {
            return Ok(false);
        }
        let source = Source::Volume(name.to_owned());
        if let Some((copy, _)) = self.copies.iter().find(|(_, of)| **of == source) {
            let why = format!("volume {copy} is still being made of it");
            self.left.insert(release.to_owned(), why.clone());
            bail!("wipe volume {name}: {why}");
        }
        let path = directories::volumes(&self.data).join(name);
        let done = tokio::task::spawn_blocking(move || remove_tree(&path)).await;
        let done = done.context("wiping ended badly")?;
        if let Err(error) = &done {
            let why: String = error.to_string().chars().take(LONGEST_WHY).collect();
            self.left.insert(release.to_owned(), why);
        }
        done.with_context(|| format!("wipe volume {name}"))?;
        Ok(true)
    }

    async fn say(&mut self) -> anyhow::Result<()> {
        let to_say = self.to_say();
        if self.said.as_ref() == Some(&to_say) {
            return Ok(());
        }
        let releases: Vec<&str> = to_say.wiped.iter().map(String::as_str).collect();
        let text = |none: bool, text: String| if none { Value::Null } else { text.into() };
        let wiped = text(releases.is_empty(), releases.join(","));
        let left = text(to_say.left.is_empty(), json!(to_say.left).to_string());
        let patch = json!({ "metadata": { "annotations": { REMOVED: wiped, LEFT: left } } });
        let path = nodes().object("", &self.node, "");
        let told: Result<Value, _> =
            self.client.call(Method::PATCH, &path, MERGE_PATCH, Some(&patch)).await;
        match told {
            // A node that is not there yet says nothing wrong either.
            Err(error) if error.is_not_found() && to_say == Said::default() => {}
            told => drop(told.context("say on the node what was wiped")?),
        }
        self.said = Some(to_say);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use leme_client::Head;

    use super::*;

    fn volume(name: &str, by: &str, node: &str, policy: &str, phase: &str) -> PersistentVolume {
        let value = json!({
            "metadata": { "name": name, "uid": "u", "annotations": { PROVISIONED_BY: by } },
            "spec": { "persistentVolumeReclaimPolicy": policy, "local": { "path": "/etc" },
                "nodeAffinity": { "required": { "nodeSelectorTerms": [ { "matchFields": [
                    { "key": "metadata.name", "operator": "In", "values": [node] } ] } ] } } },
            "status": { "phase": phase, "lastPhaseTransitionTime": "2026-01-01T00:00:00Z" },
        });
        serde_json::from_value(value).unwrap()
    }

    /// Red when a volume that somebody has, keeps or holds elsewhere is wiped.
    #[test]
    fn only_own_released_volumes_are_wiped() {
        let own = PROVISIONER;
        let goes = released(&volume("a", own, "n", "Delete", "Released"), "n");
        assert_eq!(goes.as_deref(), Some("u@2026-01-01T00:00:00Z"));
        for (name, by, node, policy, phase) in [
            ("a", "other", "n", "Delete", "Released"),
            ("a", own, "m", "Delete", "Released"),
            ("..", own, "n", "Delete", "Released"),
            ("a/b", own, "n", "Delete", "Released"),
            ("a", own, "n", "Retain", "Released"),
            ("a", own, "n", "Delete", "Bound"),
        ] {
            let found = released(&volume(name, by, node, policy, phase), "n");
            assert_eq!(found, None, "{name} {by} {node} {policy} {phase}");
        }
    }

    /// Answers with the volume `live`, and with success to everything else.
    fn client(live: PersistentVolume) -> Client {
        let live = serde_json::to_string(&live).unwrap();
        Client::over(tower::service_fn(move |request: http::Request<leme_client::Body>| {
            let text = if request.method() == Method::GET { live.clone() } else { "{}".to_owned() };
            async move {
                Ok::<_, std::io::Error>(http::Response::new(leme_client::Body::from(
                    text.into_bytes(),
                )))
            }
        }))
    }

    /// Red when what was seen of a volume some time ago decides that its data goes.
    #[tokio::test]
    async fn who_is_kept_or_taken_up_again_meanwhile_is_not_wiped() {
        let folder = tempfile::tempdir().unwrap();
        let file = directories::volumes(folder.path()).join("a").join("f");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "precious").unwrap();
        let seen = |policy: &str, phase: &str| {
            let mut head = Head::default();
            head.key.1 = "a".to_owned();
            Seen::Changed(head, volume("a", PROVISIONER, "n", policy, phase))
        };
        for (policy, phase) in [("Retain", "Released"), ("Delete", "Bound")] {
            let live = client(volume("a", PROVISIONER, "n", policy, phase));
            let mut wiper = Wiper::new(live, "n".to_owned(), folder.path().to_owned());
            wiper.take_in(seen("Delete", "Released"));
            wiper.tend().await.unwrap();
            assert!(file.exists() && wiper.said == Some(Said::default()), "{policy} {phase}");
            wiper.take_in(seen(policy, phase));
            assert!(wiper.wanted.is_empty() && !wiper.is_behind());
            // Red when a Node that was made anew is never told.
            assert!(!wiper.knows_node("1") && wiper.knows_node("1") && wiper.said.is_none());
        }
        let live = client(volume("a", PROVISIONER, "n", "Delete", "Released"));
        let mut wiper = Wiper::new(live, "n".to_owned(), folder.path().to_owned());
        wiper.take_in(seen("Delete", "Released"));
        wiper.tend().await.unwrap();
        assert!(!file.exists() && wiper.said.as_ref().is_some_and(|said| said.wiped.len() == 1));
        // Taken up again, the release before counts for nothing.
        wiper.take_in(seen("Delete", "Bound"));
        wiper.tend().await.unwrap();
        assert!(wiper.said == Some(Said::default()) && wiper.wiped.is_empty());
    }

    /// Red when a copy that was wiped is made anew, empty, as long as its volume has not gone.
    #[tokio::test]
    async fn a_copy_that_was_wiped_stays_away() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directories::volumes(folder.path())).unwrap();
        let copy = |phase: &str| {
            let mut volume = volume("a", PROVISIONER, "n", "Delete", phase);
            let source = Source::Volume("gone".to_owned()).to_string();
            volume.metadata.annotations.get_or_insert_default().insert(SOURCE.to_owned(), source);
            let mut head = Head::default();
            head.key.1 = "a".to_owned();
            (volume.clone(), Seen::Changed(head, volume))
        };
        let mut wiper =
            Wiper::new(client(copy("Released").0), "n".to_owned(), folder.path().to_owned());
        for (phase, there) in [("Bound", true), ("Released", false), ("Released", false)] {
            wiper.take_in(copy(phase).1);
            wiper.tend().await.unwrap();
            assert_eq!(directories::has_volume(folder.path(), "a"), there, "{phase}");
        }
    }

    /// Red when a directory that cannot be wiped keeps its reason to itself, or a reason outlives it.
    #[tokio::test]
    async fn what_cannot_be_wiped_is_said() {
        let folder = tempfile::tempdir().unwrap();
        // Below a file nothing can be removed.
        let root = directories::volumes(folder.path());
        std::fs::write(&root, "").unwrap();
        let live = client(volume("a", PROVISIONER, "n", "Delete", "Released"));
        let mut wiper = Wiper::new(live, "n".to_owned(), folder.path().to_owned());
        let mut head = Head::default();
        head.key.1 = "a".to_owned();
        wiper.take_in(Seen::Changed(head, volume("a", PROVISIONER, "n", "Delete", "Released")));
        wiper.tend().await.unwrap_err();
        let said = wiper.said.clone().unwrap();
        assert!(said.wiped.is_empty() && said.left.len() == 1 && wiper.is_behind(), "{said:?}");
        std::fs::remove_file(&root).unwrap();
        wiper.tend().await.unwrap();
        let said = wiper.said.clone().unwrap();
        assert!(said.left.is_empty() && said.wiped.len() == 1 && !wiper.is_behind(), "{said:?}");
    }
}
