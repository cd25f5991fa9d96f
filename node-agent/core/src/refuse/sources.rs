//! Where volumes and variables come from.
//!
//! Knows: which sources this node has; one that is not listed is refused, whatever the API gains. Refuses to know: what is
//! in them.

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, EnvVar, EnvVarSource, Volume};
use serde::Serialize;
use serde_json::Value;

use super::{Verdict, unless};

/// Fields of a volume that are carried out.
const VOLUME: &[&str] = &[
    "name",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "hostPath",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// Sources of a projected volume that are.
const PROJECTED: &[&str] = &["configMap", "downwardAPI", "secret", "serviceAccountToken"];

pub(super) fn volume(volume: &Volume) -> Verdict {
    let at = format!("spec.volumes[{}]", volume.name);
    listed(volume, VOLUME, &at, "no volume plugin of this node knows it")?;
    if let Some(EmptyDirVolumeSource { medium, size_limit: _ }) = &volume.empty_dir {
        let known = medium.as_deref().is_none_or(|medium| matches!(medium, "" | "Memory"));
        unless(!known, &format!("{at}.emptyDir.medium"), "there is disk and memory")?;
    }
    let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    for (index, source) in sources.enumerate() {
        let at = format!("{at}.projected.sources[{index}]");
        listed(source, PROJECTED, &at, "this node does not project it")?;
    }
    Ok(())
}

/// Objects to the first field that is not in the list.
fn listed(object: &impl Serialize, known: &[&str], at: &str, why: &str) -> Verdict {
    let Ok(Value::Object(fields)) = serde_json::to_value(object) else {
        return unless(true, at, "it cannot be read");
    };
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => unless(true, &format!("{at}.{key}"), why),
        None => Ok(()),
    }
}

/// What is referred to and not there is the container's trouble when it starts.
pub(super) fn variable(variable: &EnvVar, at: &str) -> Verdict {
    let EnvVar { name: _, value: _, value_from } = variable;
    let Some(EnvVarSource {
        config_map_key_ref: _,
        field_ref: _,
        file_key_ref,
        resource_field_ref: _,
        secret_key_ref: _,
    }) = value_from
    else {
        return Ok(());
    };
    let field = format!("{at}.env[{}].valueFrom.fileKeyRef", variable.name);
    unless(file_key_ref.is_some(), &field, "files of a volume are not read for variables")
}
