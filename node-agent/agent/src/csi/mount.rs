//! Volumes are made to be there for pods, and taken away.
//!
//! Knows: the order of calls, what each leaves behind when it fails. Refuses to know: which pods there are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::storage::v1::VolumeAttachment;
use leme_client::Resource;
use leme_csi::wire::{
    AccessMode, Can, Mode, MountVolume, Publish, Stage, Unpublish, VolumeCapability,
};
use leme_csi::{Driver, Fault};
use leme_host::ownership::{self, Share};
use leme_node_core::config::Mounted;
use leme_node_core::csi::{CsiVolume, FsGroupPolicy, Ready, attachment, failed};
use leme_node_core::lookup::Trouble;

use super::records::{self, Place, Published, Staged, State};
use super::{Csi, Wish};
use crate::volumes::Group;
use crate::worker::blocking;

/// What a driver can do.
type Abilities = std::collections::BTreeSet<Can>;

/// How long the API may take to know that a volume is in use.
const ANNOUNCE: Duration = Duration::from_secs(30);
/// How a volume is to be used.
pub(super) fn capability(
    volume: &CsiVolume,
    can: &Abilities,
    group: Option<Group>,
) -> VolumeCapability {
    let told = can.contains(&Can::SingleNodeMultiWriter);
    let mode = match volume.access_modes.first().map_or("ReadWriteOnce", String::as_str) {
        "ReadWriteOnce" if told => Mode::SingleNodeMultiWriter,
        "ReadWriteOncePod" if told => Mode::SingleNodeSingleWriter,
        "ReadWriteOnce" | "ReadWriteOncePod" => Mode::SingleNodeWriter,
        "ReadOnlyMany" => Mode::MultiNodeReaderOnly,
        "ReadWriteMany" => Mode::MultiNodeMultiWriter,
        _ => Mode::Unknown,
    };
    let group = group.filter(|_| can.contains(&Can::VolumeMountGroup));
    VolumeCapability {
        mount: Some(MountVolume {
            fs_type: volume.fs_type.clone(),
            mount_flags: volume.mount_options.clone(),
            volume_mount_group: group.map(|group| group.id.to_string()).unwrap_or_default(),
        }),
        access_mode: Some(AccessMode { mode: mode.into() }),
    }
}

/// Whether all that is in a volume is given to a pod's group by this node.
fn is_shared(volume: &CsiVolume, policy: FsGroupPolicy) -> bool {
    let once = || volume.access_modes.iter().any(|mode| mode.starts_with("ReadWriteOnce"));
    let named = || !volume.ephemeral && !volume.fs_type.is_empty() && once();
    !volume.read_only
        && match policy {
            FsGroupPolicy::None => false,
            FsGroupPolicy::File => true,
            FsGroupPolicy::ReadWriteOnceWithFsType => named(),
        }
}

/// What is asked of a driver for one volume.
struct Request<'a> {
    volume: &'a CsiVolume,
    ready: &'a Ready,
    driver: Driver,
    can: Abilities,
    group: Option<Group>,
}

impl Request<'_> {
    fn capability(&self) -> Option<VolumeCapability> {
        Some(capability(self.volume, &self.can, self.group))
    }

    fn failed(&self, stage: &str, why: impl ToString) -> String {
        failed(stage, &self.volume.name, &why.to_string())
    }
}

/// What the record says once a driver has answered.
fn after(answer: &Result<(), Fault>) -> State {
    match answer {
        Ok(()) => State::Done,
        Err(fault) if fault.is_final() => State::Prepared,
        Err(_) => State::Asked,
    }
}

impl Csi {
    /// Makes volumes be there for a pod whose directory is `pod`; fine if they are. Where they are, by the pod's names.
    ///
    /// # Errors
    /// In upstream's words; none at all where something is waited for that will be heard of.
    pub async fn set_up(
        &self,
        pod: &Path,
        wishes: BTreeMap<String, Wish>,
        group: Option<Group>,
    ) -> Result<BTreeMap<String, Mounted>, String> {
        let mut mounted = BTreeMap::new();
        for (name, wish) in wishes {
            mounted.insert(name, self.set_up_one(pod, &wish, group).await?);
        }
        Ok(mounted)
    }

    async fn set_up_one(
        &self,
        pod: &Path,
        wish: &Wish,
        group: Option<Group>,
    ) -> Result<Mounted, String> {
        let volume = &wish.volume;
        let text = |error: anyhow::Error| failed("SetUp", &volume.name, &format!("{error:#}"));
        let place = records::for_pod(pod, &volume.name).map_err(text)?;
        let path = place.leaf.to_str().ok_or("volume directory is not UTF-8")?.to_owned();
        let mounted = Mounted { path, read_only: volume.read_only };
        let looked = place.clone();
        let record = blocking(move || Ok((looked.read::<Published>()?, looked.is_mounted())));
        let (record, there) = record.await?;
        let record = record.filter(|record| record.unique() == volume.unique());
        if there && record.as_ref().is_some_and(|record| record.state == State::Done) {
            return Ok(mounted);
        }
        let ready = wish.ready.as_ref().map_err(|trouble| match trouble {
            Trouble::Loading(_) => String::new(),
            Trouble::Message(message) => message.clone(),
        })?;
        let unique = volume.unique();
        let _used = self.take(unique.clone());
        let lock = self.lock_of(&unique);
        let _alone = lock.lock().await;
        let record = record.unwrap_or_else(|| Published {
            name: volume.name.clone(),
            volume_handle: volume.handle.clone(),
            driver_name: volume.driver.clone(),
            volume_lifecycle_mode: if volume.ephemeral { "Ephemeral" } else { "Persistent" }.into(),
            state: State::Prepared,
        });
        self.claim(pod, volume, &place, &record).await?;
        let driver = Driver { socket: PathBuf::from(&ready.endpoint), limit: self.limit };
        let can = driver.capabilities().await.map_err(|fault| {
            failed("SetUp", &volume.name, &format!("failed to ask for capabilities: {fault}"))
        })?;
        let request = Request { volume, ready, driver, can, group };
        let staged = if volume.ephemeral { None } else { self.stage(&request).await? };
        self.publish(&request, &place, record, staged).await?;
        Ok(mounted)
    }

    /// Notes that a pod is to have a volume, unless another one has it that is for one alone.
    async fn claim(
        &self,
        pod: &Path,
        volume: &CsiVolume,
        place: &Place,
        record: &Published,
    ) -> Result<(), String> {
        let (data, pod, alone) = (self.data.clone(), pod.to_owned(), volume.is_for_one_pod());
        let (unique, place, record) = (volume.unique(), place.clone(), record.clone());
        let noted = blocking(move || {
            let others = alone && !records::users(&data, &unique, &pod)?.is_empty();
            anyhow::ensure!(
                !others,
                "volume uses the ReadWriteOncePod access mode and is already in use by another pod"
            );
            place.write(&record)
        });
        noted.await.map_err(|why| failed("SetUp", &volume.name, &why))
    }

    /// Makes a volume usable on the node, if its driver does that; where it is then.
    async fn stage(&self, request: &Request<'_>) -> Result<Option<PathBuf>, String> {
        let Request { volume, ready, driver, can, .. } = request;
        let failed = |why: String| request.failed("MountDevice", why);
        let place = records::device(&self.data, &volume.driver, &volume.handle);
        let place = place.map_err(|error| failed(format!("{error:#}")))?;
        let looked = place.clone();
        let found = blocking(move || Ok((looked.read::<Staged>()?, looked.is_mounted())));
        let (found, there) = found.await.map_err(failed)?;
        let record = Staged {
            name: volume.name.clone(),
            volume_handle: volume.handle.clone(),
            driver_name: volume.driver.clone(),
            attachment_id: ready.attachment.clone().unwrap_or_default(),
            state: found.map_or(State::Prepared, |found| found.state),
        };
        write(&place, &record).await.map_err(failed)?;
        if let Some(name) = &ready.attachment {
            self.hold(&volume.unique()).await.map_err(failed)?;
            self.check_attached(name)
                .await
                .map_err(|why| request.failed("WaitForAttach", why))??;
        }
        if !can.contains(&Can::StageUnstageVolume) {
            return Ok(None);
        }
        if there && record.state == State::Done {
            return Ok(Some(place.leaf));
        }
        let made = place.clone();
        blocking(move || made.make_leaf()).await.map_err(failed)?;
        write(&place, &Staged { state: State::Asked, ..record.clone() }).await.map_err(failed)?;
        let wish = Stage {
            volume_id: volume.handle.clone(),
            publish_context: ready.publish_context.clone(),
            staging_target_path: place.leaf.display().to_string(),
            volume_capability: request.capability(),
            secrets: ready.stage_secrets.clone(),
            volume_context: volume.attributes.clone(),
        };
        let answer = driver.stage(&wish).await;
        write(&place, &Staged { state: after(&answer), ..record }).await.map_err(failed)?;
        answer.map_err(|fault| failed(fault.to_string()))?;
        Ok(Some(place.leaf))
    }

    /// Waits until the API knows that a volume is in use: from then on nobody detaches it.
    async fn hold(&self, unique: &str) -> Result<(), String> {
        self.wanted.send_if_modified(|wanted| wanted.in_use.insert(unique.to_owned()));
        let mut told = self.told.subscribe();
        let heard = told.wait_for(|told| told.in_use.contains(unique));
        match tokio::time::timeout(ANNOUNCE, heard).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err("the Node does not say yet that the volume is in use".to_owned()),
        }
    }

    /// Whether a volume is attached, by the API's own word; if not, without a word: that will be heard of.
    async fn check_attached(&self, name: &str) -> Result<Result<(), String>, String> {
        let path = Resource::cluster("storage.k8s.io/v1", "VolumeAttachment", "volumeattachments");
        let live: Option<VolumeAttachment> =
            self.client.find(&path.object("", name, "")).await.map_err(|e| e.to_string())?;
        let attached = live.is_some_and(|live| attachment(&live).attached);
        Ok(if attached { Ok(()) } else { Err(String::new()) })
    }

    async fn publish(
        &self,
        request: &Request<'_>,
        place: &Place,
        record: Published,
        staged: Option<PathBuf>,
    ) -> Result<(), String> {
        let Request { volume, ready, driver, can, group } = request;
        let failed = |why: String| request.failed("SetUp", why);
        write(place, &Published { state: State::Asked, ..record.clone() }).await.map_err(failed)?;
        let mut context = volume.attributes.clone();
        context.extend(ready.pod_info.clone());
        let wish = Publish {
            volume_id: volume.handle.clone(),
            publish_context: ready.publish_context.clone(),
            staging_target_path: staged.map(|p| p.display().to_string()).unwrap_or_default(),
            target_path: place.leaf.display().to_string(),
            volume_capability: request.capability(),
            readonly: volume.read_only,
            secrets: ready.publish_secrets.clone(),
            volume_context: context,
        };
        let answer = driver.publish(&wish).await;
        if let Err(fault) = answer {
            let state = after(&Err(fault.clone()));
            write(place, &Published { state, ..record }).await.map_err(failed)?;
            return Err(failed(fault.to_string()));
        }
        let shared = is_shared(volume, ready.fs_group) && !can.contains(&Can::VolumeMountGroup);
        if let Some(Group { id, trust_root }) = group.filter(|_| shared) {
            let leaf = place.leaf.clone();
            let wanted = Share { group: id, trust_root, read_only: false };
            let given = blocking(move || Ok(ownership::share(&leaf, wanted)?)).await;
            let handle = &volume.handle;
            given.map_err(|e| failed(format!("applyFSGroup failed for vol {handle}: {e}")))?;
        }
        // Only what is as it is to be counts as done.
        write(place, &Published { state: State::Done, ..record }).await.map_err(failed)
    }

    /// Takes the volumes of a pod away that drivers have made be there; what nobody else uses then is given back later.
    ///
    /// # Errors
    /// When a driver is not there, or does not do it. The others have gone then.
    pub async fn tear_down(self: &Arc<Self>, pod: &Path) -> Result<(), String> {
        let of_pod = pod.to_owned();
        let mut failed = None;
        for (place, record) in blocking(move || records::published(&of_pod)).await? {
            let lock = self.lock_of(&record.unique());
            let alone = lock.lock().await;
            let done = self.unpublish(&place, &record).await;
            drop(alone);
            match done {
                Ok(()) if record.is_persistent() => {
                    let (csi, record) = (self.clone(), record.clone());
                    tokio::spawn(async move {
                        csi.give_back(&record.driver_name, &record.volume_handle).await;
                    });
                }
                Ok(()) => {}
                Err(why) => {
                    let name = &record.name;
                    failed =
                        Some(format!("UnmountVolume.TearDown failed for volume {name:?} : {why}"));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn unpublish(&self, place: &Place, record: &Published) -> Result<(), String> {
        if record.state != State::Prepared {
            let wish = Unpublish {
                volume_id: record.volume_handle.clone(),
                target_path: place.leaf.display().to_string(),
            };
            let driver = self.await_driver(&record.driver_name).await?;
            driver.unpublish(&wish).await.map_err(|fault| fault.to_string())?;
        }
        let place = place.clone();
        blocking(move || place.remove()).await
    }
}

async fn write<T: serde::Serialize + Clone + Send + 'static>(
    place: &Place,
    record: &T,
) -> Result<(), String> {
    let (place, record) = (place.clone(), record.clone());
    blocking(move || place.write(&record)).await
}
