//! What each volume of a pod must hold.
//!
//! Knows: sources, items, modes, which paths are safe. Refuses to know: directories, mounts, symlinks.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, EmptyDirVolumeSource, KeyToPath, Pod, Volume, VolumeProjection,
};

use leme_meta::local_path::Source;

use crate::csi::CsiVolume;
use crate::fields::{self, Facts};
use crate::lookup::{Content, Key, Kind, PersistentSource, Sources, Trouble};
use crate::quantity::units;
use crate::resources;
use crate::token::TokenOf;

/// A file in a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub data: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// Files by path relative to the volume.
pub type Files = BTreeMap<String, File>;

/// What to do for a volume.
#[derive(Clone, Debug, PartialEq)]
pub enum VolumePlan {
    /// A directory of generated files, replaced as a whole.
    Files {
        /// The files.
        files: Files,
        /// In memory: what may hold a secret never reaches a disk.
        memory: bool,
    },
    /// A directory that lives as long as the pod.
    EmptyDir {
        /// In memory.
        memory: bool,
        /// Most bytes, for a volume in memory.
        size: Option<i64>,
    },
    /// A path of the node.
    HostPath {
        /// The path.
        path: String,
        /// `DirectoryOrCreate`, `File` and so on; empty for no check.
        kind: String,
        /// Mounted read-only whatever the mount says.
        read_only: bool,
    },
    /// A directory of the node that is there for the volume alone; the pod's group gets it.
    Local {
        /// Its path.
        path: String,
        /// Whether it is made if it is not there.
        made: bool,
        /// What it then begins with.
        source: Option<Source>,
        /// Mounted read-only whatever the mount says.
        read_only: bool,
    },
    /// A volume that a driver has.
    Csi(Box<CsiVolume>),
}

const MAX_FILES_BYTES: usize = 4 << 20;

/// The plan for one volume.
pub fn plan(
    pod: &Pod,
    volume: &Volume,
    facts: &Facts,
    sources: &Sources,
) -> Result<VolumePlan, Trouble> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut files =
        Payload { pod, namespace, facts, sources, files: Files::new(), mode: 0o644, memory: true };
    if let Some(source) = &volume.config_map {
        files.mode = mode(source.default_mode);
        files.memory = false;
        let optional = source.optional.unwrap_or(false);
        files.data(Kind::ConfigMap, &source.name, source.items.as_deref(), optional)?;
        return files.finish();
    }
    if let Some(source) = &volume.secret {
        files.mode = mode(source.default_mode);
        let name = source.secret_name.as_deref().unwrap_or_default();
        let optional = source.optional.unwrap_or(false);
        files.data(Kind::Secret, name, source.items.as_deref(), optional)?;
        return files.finish();
    }
    if let Some(source) = &volume.downward_api {
        files.mode = mode(source.default_mode);
        files.downward(source.items.as_deref().unwrap_or_default())?;
        return files.finish();
    }
    if let Some(source) = &volume.projected {
        files.mode = mode(source.default_mode);
        for projection in source.sources.as_deref().unwrap_or_default() {
            files.projection(projection)?;
        }
        return files.finish();
    }
    if let Some(source) = &volume.empty_dir {
        return empty_dir(pod, source, facts);
    }
    if let Some(source) = &volume.host_path {
        let kind = source.type_.clone().unwrap_or_default();
        return host_path(&source.path, kind, false);
    }
    if let Some(source) = &volume.persistent_volume_claim {
        let read_only = source.read_only.unwrap_or(false);
        return claim(namespace, &source.claim_name, read_only, sources);
    }
    if let Some(source) = &volume.csi {
        return Ok(VolumePlan::Csi(Box::new(CsiVolume::inline(pod, volume, source))));
    }
    if volume_source_is_empty(volume) {
        // The API defaults a volume without a source to an empty directory.
        return Ok(VolumePlan::EmptyDir { memory: false, size: None });
    }
    Err(Trouble::Message(
        "this volume type is not supported: use configMap, secret, emptyDir, hostPath, projected, \
         downwardAPI, csi or persistentVolumeClaim"
            .to_owned(),
    ))
}

fn volume_source_is_empty(volume: &Volume) -> bool {
    *volume == Volume { name: volume.name.clone(), ..Volume::default() }
}

/// A directory in memory has at most what the pod may use of it, if every container says how much, or else what the
/// node has. One on disk is measured while it is used.
fn empty_dir(
    pod: &Pod,
    source: &EmptyDirVolumeSource,
    facts: &Facts,
) -> Result<VolumePlan, Trouble> {
    match source.medium.as_deref().unwrap_or_default() {
        "" => Ok(VolumePlan::EmptyDir { memory: false, size: None }),
        "Memory" => {
            let own = source.size_limit.as_ref().and_then(units);
            let node = facts.allocatable.get("memory").and_then(units);
            let limits = [own, resources::memory_limit(pod), node].into_iter().flatten();
            Ok(VolumePlan::EmptyDir { memory: true, size: limits.filter(|n| *n > 0).min() })
        }
        other => Err(Trouble::Message(format!("unknown storage medium {other:?}"))),
    }
}

fn mode(of: Option<i32>) -> u32 {
    of.and_then(|m| u32::try_from(m).ok()).map_or(0o644, |m| m & 0o777)
}

fn host_path(path: &str, kind: String, read_only: bool) -> Result<VolumePlan, Trouble> {
    let path = safe("hostPath", path)?;
    Ok(VolumePlan::HostPath { path, kind, read_only })
}

fn safe(what: &str, path: &str) -> Result<String, Trouble> {
    if path.starts_with('/') && !path.split('/').any(|part| part == "..") {
        return Ok(path.to_owned());
    }
    let message = format!("{what} {path:?} must be absolute and must not contain '..'");
    Err(Trouble::Message(message))
}

fn claim(
    namespace: &str,
    name: &str,
    read_only: bool,
    sources: &Sources,
) -> Result<VolumePlan, Trouble> {
    let key = Key::new(Kind::Claim, namespace, name);
    let Content::Claim(Some(volume)) = sources.need(&key)? else {
        return Err(Trouble::Message(format!("{} is not bound", key.describe())));
    };
    match sources.need(&Key::new(Kind::Volume, "", volume))? {
        Content::Volume(Ok(PersistentSource::HostPath { path, kind })) => {
            host_path(path, kind.clone(), read_only)
        }
        Content::Volume(Ok(PersistentSource::Local { path, made, source })) => {
            let (path, made, source) = (safe("local path", path)?, *made, source.clone());
            Ok(VolumePlan::Local { path, made, source, read_only })
        }
        Content::Volume(Ok(PersistentSource::Csi(volume))) => {
            Ok(VolumePlan::Csi(Box::new(CsiVolume { read_only, ..volume.as_ref().clone() })))
        }
        Content::Volume(Err(message)) => Err(Trouble::Message(message.clone())),
        _ => Err(Trouble::Message(format!("persistentvolume {volume:?} cannot be used"))),
    }
}

/// Collects generated files.
struct Payload<'a> {
    pod: &'a Pod,
    namespace: &'a str,
    facts: &'a Facts,
    sources: &'a Sources,
    files: Files,
    mode: u32,
    memory: bool,
}

impl Payload<'_> {
    fn put(&mut self, path: &str, data: Vec<u8>, own: Option<i32>) -> Result<(), Trouble> {
        let path = relative(path).map_err(Trouble::Message)?;
        let mode = own.map_or(self.mode, |m| mode(Some(m)));
        self.files.insert(path, File { data, mode });
        Ok(())
    }

    fn data(
        &mut self,
        kind: Kind,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), Trouble> {
        let key = Key::new(kind, self.namespace, name);
        let Some(data) = self.sources.data(&key, optional)? else { return Ok(()) };
        let Some(items) = items.filter(|list| !list.is_empty()) else {
            for (name, value) in data {
                self.put(name, value.clone(), None)?;
            }
            return Ok(());
        };
        for item in items {
            match data.get(&item.key) {
                Some(value) => self.put(&item.path, value.clone(), item.mode)?,
                None if optional => {}
                None => {
                    let title = if kind == Kind::Secret { "secret" } else { "config" };
                    return Err(Trouble::Message(format!(
                        "references non-existent {title} key: {}",
                        item.key
                    )));
                }
            }
        }
        Ok(())
    }

    fn downward(&mut self, items: &[DownwardAPIVolumeFile]) -> Result<(), Trouble> {
        for item in items {
            let value = match (&item.field_ref, &item.resource_field_ref) {
                (Some(field), _) => fields::of_pod(self.pod, &field.field_path, self.facts),
                (None, Some(selector)) => {
                    fields::of_resources(self.pod, None, selector, self.facts)
                }
                (None, None) => {
                    Err(format!("{}: neither fieldRef nor resourceFieldRef", item.path))
                }
            };
            self.put(&item.path, value.map_err(Trouble::Message)?.into_bytes(), item.mode)?;
        }
        Ok(())
    }

    fn projection(&mut self, source: &VolumeProjection) -> Result<(), Trouble> {
        if let Some(map) = &source.config_map {
            let optional = map.optional.unwrap_or(false);
            self.data(Kind::ConfigMap, &map.name, map.items.as_deref(), optional)?;
        }
        if let Some(secret) = &source.secret {
            let optional = secret.optional.unwrap_or(false);
            self.data(Kind::Secret, &secret.name, secret.items.as_deref(), optional)?;
        }
        if let Some(downward) = &source.downward_api {
            self.downward(downward.items.as_deref().unwrap_or_default())?;
        }
        if let Some(token) = &source.service_account_token {
            let key = TokenOf::projected(self.pod, token).key(self.namespace);
            match self.sources.need(&key)? {
                Content::Token(Ok(text)) => self.put(&token.path, text.clone().into(), None)?,
                Content::Token(Err(why)) => {
                    return Err(Trouble::Message(format!("failed to fetch token: {why}")));
                }
                _ => return Err(Trouble::Loading(key)),
            }
        }
        if source.cluster_trust_bundle.is_some() {
            let why = "projected clusterTrustBundle is not supported: mount a ConfigMap";
            return Err(Trouble::Message(why.to_owned()));
        }
        Ok(())
    }

    fn finish(self) -> Result<VolumePlan, Trouble> {
        let total: usize = self.files.values().map(|f| f.data.len()).sum();
        if total > MAX_FILES_BYTES {
            return Err(Trouble::Message(format!("volume holds {total} bytes, more than 4 MiB")));
        }
        Ok(VolumePlan::Files { files: self.files, memory: self.memory })
    }
}

/// A clean relative path of a file in a volume that the node writes: its own files there begin with `..`.
fn relative(path: &str) -> Result<String, String> {
    let clean = descending(path)?;
    if clean.is_empty() || clean.starts_with("..") {
        return Err(format!("path {path:?} must not be empty or start with '..'"));
    }
    Ok(clean)
}

/// A clean relative path that cannot leave the directory it is joined to; empty for that directory.
pub fn descending(path: &str) -> Result<String, String> {
    if path.starts_with('/') || path.contains('\0') {
        return Err(format!("path {path:?} must be relative"));
    }
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.contains(&"..") {
        return Err(format!("path {path:?} must not contain '..'"));
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    use super::*;

    fn planned(volume: serde_json::Value) -> Result<VolumePlan, Trouble> {
        let mut sources = Sources::default();
        let data = [("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())];
        sources.set(Key::new(Kind::ConfigMap, "n", "m"), Some(Content::Data(data.into())));
        sources.set(Key::new(Kind::Secret, "n", "gone"), None);
        sources.set(Key::new(Kind::Claim, "n", "c"), Some(Content::Claim(None)));
        let pod: Pod = serde_json::from_value(
            serde_json::json!({"metadata": {"name": "p", "namespace": "n"}}),
        )
        .unwrap();
        let volume: Volume = serde_json::from_value(volume).unwrap();
        plan(&pod, &volume, &Facts::default(), &sources)
    }

    fn files(memory: bool, list: &[(&str, &str, u32)]) -> VolumePlan {
        let file = |data: &str, mode| File { data: data.into(), mode };
        let files = list.iter().map(|(p, d, m)| ((*p).into(), file(d, *m))).collect();
        VolumePlan::Files { files, memory }
    }

    #[test]
    fn plans_files() {
        let check = |json, want| assert_eq!(planned(json), Ok(want));
        check(
            serde_json::json!({"name": "v", "configMap": {"name": "m"}}),
            files(false, &[("a", "1", 0o644), ("b", "2", 0o644)]),
        );
        check(
            serde_json::json!({"name": "v", "configMap": {"name": "m", "defaultMode": 0o400,
                "items": [{"key": "a", "path": "x/y"}, {"key": "b", "path": "z", "mode": 0o755}]}}),
            files(false, &[("x/y", "1", 0o400), ("z", "2", 0o755)]),
        );
        check(
            serde_json::json!({"name": "v", "secret": {"secretName": "gone", "optional": true}}),
            files(true, &[]),
        );
        check(
            serde_json::json!({"name": "v", "projected": {"sources": [
                {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"configMap": {"name": "m", "items": [{"key": "a", "path": "a"}]}}]}}),
            files(true, &[("a", "1", 0o644), ("n", "p", 0o644)]),
        );
    }

    #[test]
    fn a_token_is_asked_for_and_put_where_it_is_wanted() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"serviceAccountName": "bot", "containers": [], "volumes": [{"name": "v",
                "projected": {"sources": [{"serviceAccountToken":
                    {"path": "token", "expirationSeconds": 3607, "audience": "a/b"}}]}}]},
        }))
        .unwrap();
        let key = Key::new(Kind::Token, "n", "bot/p/u/3607/a/b");
        let mut sources = Sources::default();
        assert!(crate::lookup::references(&pod, &sources).contains(&key));
        assert_eq!(TokenOf::of(&key).unwrap().key("n"), key);
        let spec = crate::spec::of(&pod);
        let volume = &spec.volumes.as_ref().unwrap()[0];
        let mut plan = |content| {
            if let Some(content) = content {
                sources.set(key.clone(), Some(Content::Token(content)));
            }
            plan(&pod, volume, &Facts::default(), &sources)
        };
        assert_eq!(plan(None), Err(Trouble::Loading(key.clone())));
        let refused = plan(Some(Err("nobody".to_owned())));
        assert_eq!(refused, Err(Trouble::Message("failed to fetch token: nobody".to_owned())));
        assert_eq!(plan(Some(Ok("t".to_owned()))), Ok(files(true, &[("token", "t", 0o644)])));
    }

    // Red when the size is the volume's own limit alone: a volume without one takes half of the machine.
    #[test]
    fn a_directory_in_memory_is_bounded() {
        let check = |empty_dir: serde_json::Value, limits: &[&str], want: Option<i64>| {
            let containers: Vec<_> = limits
                .iter()
                .map(|limit| match *limit {
                    "" => serde_json::json!({"name": "c"}),
                    limit => {
                        serde_json::json!({"name": "c", "resources": {"limits": {"memory": limit}}})
                    }
                })
                .collect();
            let pod: Pod = serde_json::from_value(serde_json::json!({
                "metadata": {"name": "p"}, "spec": {"containers": containers}}))
            .unwrap();
            let volume: Volume =
                serde_json::from_value(serde_json::json!({"name": "v", "emptyDir": empty_dir}))
                    .unwrap();
            let memory = Quantity("8Mi".into());
            let facts =
                Facts { allocatable: [("memory".to_owned(), memory)].into(), ..Facts::default() };
            let planned = plan(&pod, &volume, &facts, &Sources::default());
            assert_eq!(planned, Ok(VolumePlan::EmptyDir { memory: true, size: want }));
        };
        let medium = || serde_json::json!({"medium": "Memory"});
        let limited = serde_json::json!({"medium": "Memory", "sizeLimit": "1Mi"});
        check(medium(), &[""], Some(8 << 20));
        check(medium(), &["1Mi", "2Mi"], Some(3 << 20));
        check(medium(), &["1Mi", ""], Some(8 << 20));
        check(limited, &["2Mi"], Some(1 << 20));
    }

    #[test]
    fn refuses() {
        let check = |json, want: &str| match planned(json) {
            Err(Trouble::Message(message)) => assert!(message.contains(want), "{message}"),
            other => panic!("{other:?}"),
        };
        check(
            serde_json::json!({"name": "v", "secret": {"secretName": "gone"}}),
            "secret \"gone\" not found",
        );
        check(
            serde_json::json!({"name": "v", "configMap": {"name": "m", "items": [{"key": "q", "path": "q"}]}}),
            "references non-existent config key: q",
        );
        check(
            serde_json::json!({"name": "v", "configMap": {"name": "m", "items": [{"key": "a", "path": "x/../../y"}]}}),
            "'..'",
        );
        check(serde_json::json!({"name": "v", "hostPath": {"path": "/a/../b"}}), "'..'");
        check(
            serde_json::json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}}),
            "not bound",
        );
        check(
            serde_json::json!({"name": "v", "emptyDir": {"medium": "HugePages-2Mi"}}),
            "unknown storage medium \"HugePages-2Mi\"",
        );
        check(
            serde_json::json!({"name": "v", "nfs": {"server": "a", "path": "/"}}),
            "not supported",
        );
    }

    #[test]
    fn relative_paths_stay_inside() {
        for bad in ["", "/", "/a", "..", "a/..", "../a", "a/../../b", "..data", "."] {
            assert!(relative(bad).is_err(), "{bad}");
        }
        assert_eq!(relative("a//./b").unwrap(), "a/b");
        assert_eq!(relative("a..b").unwrap(), "a..b");
        for bad in ["/", "/a", "..", "a/..", "../a", "a/../../b", "a\0"] {
            assert!(descending(bad).is_err(), "{bad}");
        }
        // Red when any name that begins with two dots leads upwards.
        for (path, clean) in [(".", ""), ("", ""), ("...", "..."), ("..a/b", "..a/b"), ("./a", "a")]
        {
            assert_eq!(descending(path).as_deref(), Ok(clean));
        }
    }
}
