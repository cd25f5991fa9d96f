//! `leme image`: the images of this machine, whether a cluster runs or not.

use std::path::Path;

use anyhow::{Context, Result};
use leme_host::images::ImageStore;

use crate::args::ImageCommand;
use crate::cluster::data::DataDir;
use crate::{print, say};

/// Runs the command.
pub fn run(command: &ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Load { path, data_dir } => load(path, data_dir),
        ImageCommand::Ls { data_dir } => list(data_dir),
    }
}

fn store(data_dir: &Path) -> Result<ImageStore> {
    let data = DataDir::open(data_dir)?;
    let root = data.images();
    ImageStore::open(&root).with_context(|| format!("open {}", root.display()))
}

fn load(path: &Path, data_dir: &Path) -> Result<()> {
    let loaded = store(data_dir)?.load(path).with_context(|| format!("load {}", path.display()))?;
    for reference in loaded {
        say::line(format_args!("loaded {reference}"))?;
    }
    Ok(())
}

fn list(data_dir: &Path) -> Result<()> {
    let mut lines = vec![["IMAGE", "ID", "SIZE"].map(str::to_owned).to_vec()];
    for image in store(data_dir)?.list()? {
        let id: String = image.id.trim_start_matches("sha256:").chars().take(12).collect();
        let size = format!("{:.1} MB", image.size as f64 / 1e6);
        for tag in &image.tags {
            lines.push(vec![tag.clone(), id.clone(), size.clone()]);
        }
    }
    say::result(print::align(&lines))
}
