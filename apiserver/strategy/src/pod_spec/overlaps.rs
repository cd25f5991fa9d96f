//! Files of one volume that lie on or below each other: whichever is written last wins, or the volume cannot be made.
//!
//! Knows: which volumes are made of named files. Refuses to know: what is in them.

use leme_meta::quote;
use leme_registry::json;
use serde_json::Value;

use super::warnings::MOST;

/// A file of a volume, with the source it comes from where a volume has several.
struct File {
    path: String,
    source: String,
}

impl File {
    fn shown(&self) -> String {
        match self.source.as_str() {
            "" => quote(&self.path),
            source => format!("{} ({source})", quote(&self.path)),
        }
    }

    fn meets(&self, other: &File) -> bool {
        let below = |one: &str, other: &str| {
            one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'))
        };
        self.path == other.path || below(&self.path, &other.path) || below(&other.path, &self.path)
    }
}

/// A warning per pair of files that meet.
pub(super) fn of(volumes: &[Value]) -> Vec<String> {
    let mut out = Vec::new();
    for volume in volumes {
        let name = json::text(volume, &["name"]);
        for (field, word, key) in [
            ("configMap", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
            ("downwardAPI", "DownwardAPI", ""),
        ] {
            let Some(source) = json::at(volume, &[field]) else { continue };
            let described = match key {
                "" => word.to_owned(),
                key => format!("{word} {}", quote(json::text(source, &[key]))),
            };
            let files = items(source, String::new());
            warn(name, &described, files, &mut Vec::new(), &mut out);
        }
        let mut all = Vec::new();
        for source in json::list(volume, &["projected", "sources"]) {
            if source.as_object().is_none_or(serde_json::Map::is_empty) {
                let name = quote(name);
                out.push(format!("volume {name} (Projected) has no sources provided"));
                continue;
            }
            warn(name, "Projected", projected(source), &mut all, &mut out);
        }
    }
    out
}

fn warn(
    volume: &str,
    described: &str,
    files: Vec<File>,
    all: &mut Vec<File>,
    out: &mut Vec<String>,
) {
    for file in files {
        if file.path.is_empty() {
            continue;
        }
        if out.len() >= MOST {
            return;
        }
        for other in all.iter().take(MOST).filter(|other| file.meets(other)) {
            out.push(format!(
                "volume {} ({described}): overlapping paths: {} with {}",
                quote(volume),
                file.shown(),
                other.shown()
            ));
        }
        all.push(file);
    }
}

fn items(source: &Value, shown: String) -> Vec<File> {
    let paths = json::list(source, &["items"]).iter().map(|item| json::text(item, &["path"]));
    paths.map(|path| file(path, shown.clone())).collect()
}

fn file(path: &str, source: String) -> File {
    File { path: path.trim_end_matches('/').to_owned(), source }
}

/// The files of one source of a projected volume.
fn projected(source: &Value) -> Vec<File> {
    for (field, word) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
        if let Some(from) = json::at(source, &[field]) {
            return items(from, format!("{word} {}", quote(json::text(from, &["name"]))));
        }
    }
    if let Some(from) = json::at(source, &["downwardAPI"]) {
        return items(from, "DownwardAPI".to_owned());
    }
    if let Some(from) = json::at(source, &["serviceAccountToken"]) {
        return vec![file(json::text(from, &["path"]), "ServiceAccountToken".to_owned())];
    }
    if let Some(from) = json::at(source, &["clusterTrustBundle"]) {
        let name = match json::text(from, &["name"]) {
            "" => json::text(from, &["signerName"]),
            name => name,
        };
        let source = format!("ClusterTrustBundle {}", quote(name));
        return vec![file(json::text(from, &["path"]), source)];
    }
    Vec::new()
}
