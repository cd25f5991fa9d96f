//! What each source of a volume must say.
//!
//! Knows: which sources there are, and that a volume has one. Refuses to know: how any is mounted.

use leme_meta::{FieldError, Path, quote};
use leme_registry::{json, meta, names};
use serde_json::Value;

use super::resources;
use crate::check::{self, Errors};

mod disks;
mod files;
mod projected;

/// Types of host paths.
const HOST_PATHS: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// Checks one source at a path.
type Rule = fn(&Value, &Path, &mut Errors);

/// Sources by name, in the order in which upstream looks: the first that is set counts.
pub(crate) type Sources = [(&'static str, Rule)];

/// Sources of the volumes of pods.
pub(super) const OF_PODS: &Sources = &[
    ("emptyDir", empty_dir),
    ("hostPath", host_path),
    ("gitRepo", disks::git),
    ("gcePersistentDisk", |source, path, errors| disks::part(source, "pdName", path, errors)),
    ("awsElasticBlockStore", |source, path, errors| disks::part(source, "volumeID", path, errors)),
    ("secret", files::secret),
    ("nfs", nfs),
    ("iscsi", disks::iscsi),
    ("glusterfs", |source, path, errors| needs(source, &["endpoints", "path"], path, errors)),
    ("flocker", disks::flocker),
    ("persistentVolumeClaim", |source, path, errors| needs(source, &["claimName"], path, errors)),
    ("rbd", |source, path, errors| needs(source, &["monitors", "image"], path, errors)),
    ("cinder", |source, path, errors| disks::with_secret(source, "volumeID", false, path, errors)),
    ("cephfs", |source, path, errors| needs(source, &["monitors"], path, errors)),
    ("quobyte", disks::quobyte),
    ("downwardAPI", files::downward),
    ("fc", disks::fc),
    ("flexVolume", disks::flex),
    ("configMap", files::config_map),
    ("azureFile", |source, path, errors| {
        needs(source, &["secretName", "shareName"], path, errors);
    }),
    ("vsphereVolume", |source, path, errors| needs(source, &["volumePath"], path, errors)),
    ("photonPersistentDisk", |source, path, errors| needs(source, &["pdID"], path, errors)),
    ("portworxVolume", |source, path, errors| needs(source, &["volumeID"], path, errors)),
    ("azureDisk", disks::azure_disk),
    ("storageos", |source, path, errors| disks::storage_os(source, false, path, errors)),
    ("projected", projected::validate),
    ("scaleIO", |source, path, errors| needs(source, &SCALE_IO, path, errors)),
    ("csi", disks::csi),
    ("ephemeral", ephemeral),
    ("image", image),
];

/// Sources of PersistentVolumes.
pub(crate) const OF_VOLUMES: &Sources = &[
    ("hostPath", host_path),
    ("gcePersistentDisk", |source, path, errors| disks::part(source, "pdName", path, errors)),
    ("awsElasticBlockStore", |source, path, errors| disks::part(source, "volumeID", path, errors)),
    ("glusterfs", disks::gluster_volume),
    ("flocker", disks::flocker),
    ("nfs", nfs),
    ("rbd", |source, path, errors| needs(source, &["monitors", "image"], path, errors)),
    ("quobyte", disks::quobyte),
    ("cephfs", |source, path, errors| needs(source, &["monitors"], path, errors)),
    ("iscsi", disks::iscsi_volume),
    ("cinder", |source, path, errors| disks::with_secret(source, "volumeID", true, path, errors)),
    ("fc", disks::fc),
    ("flexVolume", disks::flex),
    ("azureFile", disks::azure_file_volume),
    ("vsphereVolume", |source, path, errors| needs(source, &["volumePath"], path, errors)),
    ("photonPersistentDisk", |source, path, errors| needs(source, &["pdID"], path, errors)),
    ("portworxVolume", |source, path, errors| needs(source, &["volumeID"], path, errors)),
    ("azureDisk", disks::azure_disk),
    ("scaleIO", |source, path, errors| needs(source, &SCALE_IO, path, errors)),
    ("local", local),
    ("storageos", |source, path, errors| disks::storage_os(source, true, path, errors)),
    ("csi", disks::csi_volume),
];

const SCALE_IO: [&str; 3] = ["gateway", "system", "volumeName"];

/// Fields that upstream calls otherwise in its own errors, and in those about a second source.
const OTHER_NAMES: [(&str, &str, &str); 3] = [
    ("gcePersistentDisk", "persistentDisk", "gcePersistentDisk"),
    ("cephfs", "cephfs", "cephFS"),
    ("downwardAPI", "downwardAPI", "downwarAPI"),
];

/// Checks that a volume, or the spec of a PersistentVolume, has exactly one source, and the source.
pub(crate) fn validate(sources: &Sources, volume: &Value, path: &Path, errors: &mut Errors) {
    let mut first = true;
    for (name, rule) in sources {
        let Some(source) = json::at(volume, &[name]) else { continue };
        let other = OTHER_NAMES.iter().find(|(known, _, _)| known == name);
        let (own, second) = other.map_or((*name, *name), |(_, own, second)| (*own, *second));
        if std::mem::take(&mut first) {
            rule(source, &path.child(own), errors);
        } else {
            let why = "may not specify more than 1 volume type";
            errors.push(FieldError::forbidden(&path.child(second), why));
        }
    }
    if first {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

/// Adds an error for each of these fields that is empty.
fn needs(source: &Value, fields: &[&str], path: &Path, errors: &mut Errors) {
    for field in fields.iter().filter(|field| json::unset(source, field)) {
        errors.push(FieldError::required(&path.child(field), ""));
    }
}

fn host_path(source: &Value, path: &Path, errors: &mut Errors) {
    let text = check::required(source, "path", path, errors);
    if text.is_empty() {
        return;
    }
    check::no_back_steps(text, &path.child("path"), errors);
    check::one_of(source, "type", path, &HOST_PATHS, errors);
}

fn empty_dir(source: &Value, path: &Path, errors: &mut Errors) {
    if json::at(source, &["sizeLimit"]).is_some_and(resources::is_negative) {
        let why = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(&path.child("sizeLimit"), why));
    }
}

fn nfs(source: &Value, path: &Path, errors: &mut Errors) {
    check::required(source, "server", path, errors);
    let text = check::required(source, "path", path, errors);
    if !text.starts_with('/') {
        errors.push(FieldError::invalid(&path.child("path"), text, "must be an absolute path"));
    }
}

fn local(source: &Value, path: &Path, errors: &mut Errors) {
    let text = check::required(source, "path", path, errors);
    check::no_back_steps(text, &path.child("path"), errors);
}

fn image(source: &Value, path: &Path, errors: &mut Errors) {
    check::required(source, "reference", path, errors);
    check::required_one_of(source, "pullPolicy", path, &super::PULL_POLICIES, errors);
}

/// A claim that is made for the pod.
fn ephemeral(source: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("volumeClaimTemplate");
    let Some(template) = json::at(source, &["volumeClaimTemplate"]) else {
        errors.push(FieldError::required(&at, ""));
        return;
    };
    let metadata = at.child("metadata");
    let of = |field: &str| json::at(template, &["metadata", field]);
    errors.extend(meta::annotations(of("annotations"), &metadata.child("annotations")));
    errors.extend(meta::labels(of("labels"), &metadata.child("labels")));
    for (field, _) in json::entries(template, &["metadata"])
        .filter(|(field, _)| !["annotations", "labels", "creationTimestamp"].contains(field))
    {
        errors.push(FieldError::forbidden(&metadata.child(field), "cannot be set"));
    }
    let spec = template.get("spec").unwrap_or(&Value::Null);
    errors.extend(crate::volume::claim_spec(spec, &at.child("spec")));
}

/// Checks what a volume of a pod with this name comes to: the name of the claim that is made for it.
pub(super) fn made_claim(pod: &str, volume: &Value, path: &Path, errors: &mut Errors) {
    let name = json::text(volume, &["name"]);
    if pod.is_empty() || name.is_empty() || json::at(volume, &["ephemeral"]).is_none() {
        return;
    }
    let claim = format!("{pod}-{name}");
    for why in names::dns1123_subdomain(&claim) {
        let why = format!("PVC name {}: {why}", quote(&claim));
        errors.push(FieldError::invalid(&path.child("name"), name, &why));
    }
}

pub(crate) use disks::{LONG_INITIATOR, long_initiator};
