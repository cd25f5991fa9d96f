//! Content of other images as input of a build: a Dockerfile copies it, and what that made is laid into the input.
//!
//! Knows: what a build may wish of an image. Refuses to know: how something is copied out of one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use leme_executor::{Build, Dockerfile};

use crate::image::{Workshop, read};
use crate::report::Report;
use crate::task::{Task, list, text, within};
use crate::{Failed, say};

/// Copies what a build wishes of other images into its input.
pub(crate) async fn extract(task: &Task, report: &mut Report) -> Result<(), Failed> {
    let failed = |why: &dyn std::fmt::Display| {
        Failed::new("FetchImageContentFailed", "Failed to extract image content.", why)
    };
    let work = Workshop::new()?;
    let into = task.inputs();
    fs::create_dir_all(&into).map_err(|error| failed(&error))?;
    for (number, image) in task.list("/spec/source/images").iter().enumerate() {
        let (name, paths) = (text(image, "/from/name"), list(image, "/paths"));
        if paths.is_empty() {
            continue;
        }
        let began = Timestamp::now();
        let mut work = work.clone();
        let secret = std::env::var_os(format!("PULL_SOURCE_DOCKERCFG_PATH_{number}"));
        if let Some(own) = secret.map(PathBuf::from).map(read) {
            let others = std::mem::replace(&mut work.pull, own);
            work.pull.and(others);
        }
        let id = work.pull(name, true).await.map_err(|why| failed(&why))?;
        report.step("PullImages", "PullSourceImage", began);
        let record = work.store.resolve(&id).ok().flatten();
        let record = record.ok_or_else(|| failed(&format!("{name} is not there")))?;
        let mut dockerfile = "FROM scratch\n".to_owned();
        for path in paths {
            let (from, to) = (text(path, "/sourcePath"), text(path, "/destinationDir"));
            if within(&into, to).is_none() {
                return Err(failed(&format!("{to:?} leads out of the input")));
            }
            dockerfile += &copy(&id, &record.layers, from, to);
        }
        let context = task.work.join("image-content");
        fs::create_dir_all(&context).map_err(|error| failed(&error))?;
        let dockerfile = Dockerfile::Bytes(dockerfile.into_bytes());
        let build = Build { context, dockerfile, ..Build::default() };
        let built = work.build(build).await.map_err(|error| failed(&error))?;
        let made = work.store.resolve(&built.id).ok().flatten();
        let layers = made.map(|made| made.layers).unwrap_or_default();
        for layer in layers.iter().rev() {
            let mut from = layer.clone().into_os_string();
            from.push("/.");
            let mut copy = Command::new("cp");
            let done = copy.arg("-a").arg("--").arg(from).arg(&into).status();
            let done = done.map_err(|error| failed(&format!("cp: {error}")))?;
            if !done.success() {
                return Err(failed(&format!("the content of {name} could not be copied")));
            }
        }
        say(&format!("Extracted content of {name}"));
    }
    Ok(())
}

/// The instruction that copies a path: a directory goes with its name, unless only what is in it is meant.
fn copy(image: &str, layers: &[PathBuf], from: &str, to: &str) -> String {
    let relative = from.trim_start_matches('/').trim_end_matches("/.");
    let found = layers.iter().find_map(|layer| fs::symlink_metadata(layer.join(relative)).ok());
    let is_directory = found.is_some_and(|found| found.is_dir());
    let name = Path::new(relative).file_name().map(|name| name.to_string_lossy().into_owned());
    let into = match name.filter(|_| is_directory && !from.ends_with("/.")) {
        Some(name) => format!("/{to}/{name}/"),
        None => format!("/{to}/"),
    };
    let words = serde_json::json!([from.trim_end_matches("/."), into]);
    format!("COPY --from={image} {words}\n")
}
