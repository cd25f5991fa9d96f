//! `leme image`: the images of this machine, whether a cluster runs or not.

use std::path::Path;

use anyhow::{Context, Result};
use leme_host::images::ImageStore;

use crate::args::ImageCommand;
use crate::cluster::data::{DataDir, Seat};
use crate::cluster::fresh::Fresh;
use crate::{print, say};

/// Runs the command.
pub fn run(command: &ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Load { path, data_dir } => load(path, data_dir),
        ImageCommand::Ls { data_dir } => list(data_dir),
    }
}

fn load(path: &Path, data_dir: &Path) -> Result<()> {
    let (data, fresh) = DataDir::begin(data_dir)?;
    let root = data.images();
    let load = || -> Result<Vec<String>> {
        let store = ImageStore::open(&root).with_context(|| format!("open {}", root.display()))?;
        store.load(path).with_context(|| format!("load {}", path.display()))
    };
    let loaded = match load() {
        Ok(loaded) => loaded,
        Err(error) => {
            // Somebody may have begun a cluster there meanwhile.
            let fresh = fresh.filter(|_| matches!(data.holder(Seat::Server), Ok(None)));
            return Err(Fresh::given_up(fresh, error));
        }
    };
    for reference in loaded {
        say::line(format_args!("loaded {reference}"))?;
    }
    Ok(())
}

fn list(data_dir: &Path) -> Result<()> {
    let mut lines = vec![["IMAGE", "ID", "SIZE"].map(str::to_owned).to_vec()];
    let images = match DataDir::look(data_dir)? {
        Some(data) => ImageStore::to_read(&data.images()).list()?,
        None => Vec::new(),
    };
    if images.is_empty() {
        say::note(format_args!("no images in {}", data_dir.display()));
        return Ok(());
    }
    for image in images {
        let id: String = image.id.trim_start_matches("sha256:").chars().take(12).collect();
        let size = format!("{:.1} MB", image.size as f64 / 1e6);
        for tag in &image.tags {
            lines.push(vec![tag.clone(), id.clone(), size.clone()]);
        }
    }
    say::result(print::align(&lines))
}
