//! The image at the end of a build.
//!
//! Knows: manifests and times. Refuses to know: how it came about.

use leme_host::images::reference::{Reference, digest_of};
use leme_host::images::{BuiltImage, BuiltLayer};
use serde_json::json;

use crate::api::{BuildError, Built, Format};
use crate::build::Run;
use crate::instructions::short;
use crate::state::PROXIES;

pub(crate) fn finish(run: &mut Run<'_>, target: usize) -> Result<Built, BuildError> {
    let mut state = run.built.remove(&target).unwrap_or_default();
    let unused: Vec<&str> = run
        .build
        .build_args
        .keys()
        .map(String::as_str)
        .filter(|name| !run.declared.contains(*name) && !PROXIES.contains(name))
        .collect();
    if !unused.is_empty() {
        writeln!(
            run.log,
            "[Warning] one or more build args were not consumed: [{}]",
            unused.join(" ")
        )?;
    }
    let now = || jiff::Timestamp::now().to_string();
    let epoch = run.build.source_date_epoch;
    let epoch =
        epoch.map(|epoch| jiff::Timestamp::from_second(epoch).unwrap_or_default().to_string());
    state.image.created = epoch.or_else(|| state.created.clone()).or_else(|| Some(now()));
    let config = state.image.write();
    let manifest = manifest(run.build.format, &config, &state.layers)?;
    let tags = &run.build.tags;
    let named = tags.iter().find_map(|tag| Reference::parse(tag)).map(|tag| tag.full());
    writeln!(run.log, "COMMIT{}", named.map(|name| format!(" {name}")).unwrap_or_default())?;
    let image = BuiltImage { config: &config, manifest: &manifest, layers: &state.layers, tags };
    run.place.pin([digest_of(&config).as_str()].into_iter())?;
    let id = run.store.take_built(image)?;
    run.store.used(&id);
    writeln!(run.log, "--> {}", short(&id))?;
    for tag in tags.iter().filter_map(|tag| Reference::parse(tag)) {
        writeln!(run.log, "Successfully tagged {}", tag.full())?;
    }
    writeln!(run.log, "{}", id.trim_start_matches("sha256:"))?;
    let size = state.layers.iter().map(|layer| layer.size).sum::<u64>();
    let size = size + (config.len() + manifest.len()) as u64;
    let steps = std::mem::take(&mut run.done);
    Ok(Built { id, manifest: digest_of(&manifest), size, steps })
}

fn manifest(format: Format, config: &[u8], layers: &[BuiltLayer]) -> Result<Vec<u8>, BuildError> {
    let (kind, config_kind, layer_kind) = match format {
        Format::Oci => (
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.config.v1+json",
            None,
        ),
        Format::Docker => (
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.container.image.v1+json",
            Some("application/vnd.docker.image.rootfs.diff.tar"),
        ),
    };
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            let packed = layer.media_type.rsplit_once('+').map(|(_, by)| by);
            let media_type = match (layer_kind, packed) {
                (None, _) => layer.media_type.clone(),
                (Some(kind), Some(by)) => format!("{kind}.{by}"),
                (Some(kind), None) => kind.to_owned(),
            };
            json!({"mediaType": media_type, "digest": layer.digest, "size": layer.size})
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": config_kind, "digest": digest_of(config), "size": config.len()},
        "layers": layers,
    });
    Ok(serde_json::to_vec(&manifest).map_err(std::io::Error::from)?)
}
