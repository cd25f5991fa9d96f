//! The services: identity, controller, node, and the one by which the driver registers.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use leme_csi::Fault;
use leme_csi::grpc::{INTERNAL, INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED};
use leme_csi::wire::{
    Can, Expand, Expanded, NodeCapabilities, NodeCapability, NodeInfo, NodeRpc, PluginInfo,
    Publish, RegistrationStatus, Stage, Topology, Unpublish, Unstage,
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use prost::Message;

use crate::Driver;
use crate::wire::{
    Attach, Attached, CreateVolume, CreatedVolume, DeleteVolume, Grow, Grown, PluginName, Volume,
};

type Answer = Result<Vec<u8>, Fault>;

fn read<T: Message + Default>(message: Bytes) -> Result<T, Fault> {
    T::decode(message).map_err(|error| Fault::of(INVALID_ARGUMENT, error))
}

fn done(message: &impl Message) -> Answer {
    Ok(message.encode_to_vec())
}

fn internal(error: impl ToString) -> Fault {
    Fault::of(INTERNAL, error)
}

/// Notes a call; what is to become of it otherwise.
fn note(driver: &Driver, method: &str, about: &str) -> Option<String> {
    let calls = fs::OpenOptions::new().create(true).append(true).open(driver.folder.join("calls"));
    let written = calls.and_then(|mut calls| writeln!(calls, "{method} {about}"));
    written.expect("note a call");
    let faults = fs::read_to_string(driver.folder.join("faults")).unwrap_or_default();
    let fault = faults.lines().find_map(|line| line.strip_prefix(method)?.strip_prefix(' '));
    fault.map(str::to_owned)
}

async fn allowed(driver: &Driver, method: &str, about: &str) -> Result<(), Fault> {
    match note(driver, method, about).as_deref() {
        None => Ok(()),
        Some("hang") => std::future::pending().await,
        Some(_) => Err(internal("no disk today")),
    }
}

/// Answers a call of the registration service.
pub async fn register(driver: Arc<Driver>, path: String, message: Bytes) -> Answer {
    match path.as_str() {
        "/pluginregistration.Registration/GetInfo" => done(&PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: driver.name.clone(),
            endpoint: driver.socket().display().to_string(),
            supported_versions: vec!["1.0.0".to_owned()],
        }),
        "/pluginregistration.Registration/NotifyRegistrationStatus" => {
            let status: RegistrationStatus = read(message)?;
            let said = if status.plugin_registered { "registered" } else { &status.error };
            note(&driver, "Registration", said);
            done(&())
        }
        _ => Err(Fault::of(UNIMPLEMENTED, "unknown method")),
    }
}

/// Answers any other.
pub async fn answer(driver: Arc<Driver>, path: String, message: Bytes) -> Answer {
    let driver = driver.as_ref();
    match path.strip_prefix("/csi.v1.").and_then(|rest| rest.split_once('/')) {
        Some(("Identity", "GetPluginInfo")) => {
            done(&PluginName { name: driver.name.clone(), vendor_version: "1".to_owned() })
        }
        // Ready, as what says nothing of it is.
        Some(("Identity", "Probe")) => done(&()),
        Some(("Controller", method)) => controller(driver, method, message).await,
        Some(("Node", method)) => node(driver, method, message).await,
        _ => unknown(&path),
    }
}

fn unknown(method: &str) -> Answer {
    Err(Fault::of(UNIMPLEMENTED, format!("unknown method {method}")))
}

async fn controller(driver: &Driver, method: &str, message: Bytes) -> Answer {
    match method {
        "CreateVolume" => create(driver, read(message)?).await,
        "DeleteVolume" => {
            let wish: DeleteVolume = read(message)?;
            allowed(driver, "DeleteVolume", &wish.volume_id).await?;
            remove(&volume(driver, &wish.volume_id)).or_else(absent).map_err(internal)?;
            done(&())
        }
        "ControllerPublishVolume" => {
            let wish: Attach = read(message)?;
            allowed(driver, "ControllerPublishVolume", &wish.volume_id).await?;
            let context = [("device".to_owned(), wish.volume_id)].into();
            done(&Attached { publish_context: context })
        }
        "ControllerUnpublishVolume" => {
            let wish: Attach = read(message)?;
            allowed(driver, "ControllerUnpublishVolume", &wish.volume_id).await?;
            done(&())
        }
        "ControllerExpandVolume" => {
            let wish: Grow = read(message)?;
            allowed(driver, "ControllerExpandVolume", &wish.volume_id).await?;
            let bytes = wish.capacity_range.unwrap_or_default().required_bytes;
            done(&Grown { capacity_bytes: bytes, node_expansion_required: true })
        }
        _ => unknown(method),
    }
}

async fn node(driver: &Driver, method: &str, message: Bytes) -> Answer {
    match method {
        "NodeGetInfo" => done(&NodeInfo {
            node_id: driver.node.clone(),
            max_volumes_per_node: 16,
            accessible_topology: Some(Topology {
                segments: [(format!("{}/node", driver.name), driver.node.clone())].into(),
            }),
        }),
        "NodeGetCapabilities" => {
            let can = [Can::StageUnstageVolume, Can::ExpandVolume, Can::SingleNodeMultiWriter];
            let one = |can: Can| NodeCapability { rpc: Some(NodeRpc { r#type: can.into() }) };
            done(&NodeCapabilities { capabilities: can.map(one).into() })
        }
        "NodeStageVolume" => stage(driver, read(message)?).await,
        "NodeUnstageVolume" => {
            let wish: Unstage = read(message)?;
            allowed(driver, "NodeUnstageVolume", &wish.volume_id).await?;
            unmount(&wish.staging_target_path)?;
            done(&())
        }
        "NodePublishVolume" => publish(driver, read(message)?).await,
        "NodeUnpublishVolume" => {
            let wish: Unpublish = read(message)?;
            allowed(driver, "NodeUnpublishVolume", &wish.volume_id).await?;
            unmount(&wish.target_path)?;
            fs::remove_dir(&wish.target_path).or_else(absent).map_err(internal)?;
            done(&())
        }
        "NodeExpandVolume" => {
            let wish: Expand = read(message)?;
            allowed(driver, "NodeExpandVolume", &wish.volume_id).await?;
            let bytes = wish.capacity_range.unwrap_or_default().required_bytes;
            done(&Expanded { capacity_bytes: bytes })
        }
        _ => unknown(method),
    }
}

/// Tests put nothing but files into a volume.
fn remove(volume: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(volume)? {
        fs::remove_file(entry?.path())?;
    }
    fs::remove_dir(volume)
}

fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn volume(driver: &Driver, id: &str) -> PathBuf {
    driver.folder.join("volumes").join(id.replace('/', "_"))
}

async fn create(driver: &Driver, wish: CreateVolume) -> Answer {
    allowed(driver, "CreateVolume", &wish.name).await?;
    fs::create_dir_all(volume(driver, &wish.name)).map_err(internal)?;
    let bytes = wish.capacity_range.unwrap_or_default().required_bytes;
    let context = [("made-by".to_owned(), driver.name.clone())].into();
    let volume = Volume { capacity_bytes: bytes, volume_id: wish.name, volume_context: context };
    done(&CreatedVolume { volume: Some(volume) })
}

async fn stage(driver: &Driver, wish: Stage) -> Answer {
    allowed(driver, "NodeStageVolume", &wish.volume_id).await?;
    if wish.publish_context.get("device") != Some(&wish.volume_id) {
        return Err(Fault::of(INVALID_ARGUMENT, "the volume is not attached"));
    }
    bind(&volume(driver, &wish.volume_id), &wish.staging_target_path, false)
}

async fn publish(driver: &Driver, wish: Publish) -> Answer {
    let about = |key: &str| wish.volume_context.get(key).cloned().unwrap_or_default();
    let pod = about("csi.storage.k8s.io/pod.name");
    allowed(driver, "NodePublishVolume", &format!("{} {pod}", wish.volume_id)).await?;
    let own = volume(driver, &wish.volume_id);
    if about("csi.storage.k8s.io/ephemeral") == "true" {
        fs::create_dir_all(&own).map_err(internal)?;
        fs::write(own.join("greeting"), about("greeting")).map_err(internal)?;
        return bind(&own, &wish.target_path, wish.readonly);
    }
    if !is_mounted(Path::new(&wish.staging_target_path)) {
        return Err(Fault::of(INVALID_ARGUMENT, "the volume is not staged"));
    }
    bind(Path::new(&wish.staging_target_path), &wish.target_path, wish.readonly)
}

fn is_mounted(path: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(4) == path.to_str())
}

/// Mounts a directory at another place, unless it is.
fn bind(from: &Path, to: &str, read_only: bool) -> Answer {
    if !from.is_dir() {
        return Err(Fault::of(NOT_FOUND, "there is no such volume"));
    }
    if is_mounted(Path::new(to)) {
        return done(&());
    }
    fs::create_dir_all(to).map_err(internal)?;
    let none = None::<&str>;
    mount(Some(from), to, none, MsFlags::MS_BIND, none).map_err(internal)?;
    if read_only {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, to, none, flags, none).map_err(internal)?;
    }
    done(&())
}

fn unmount(path: &str) -> Result<(), Fault> {
    if is_mounted(Path::new(path)) {
        umount2(path, MntFlags::empty()).map_err(internal)
    } else {
        Ok(())
    }
}
