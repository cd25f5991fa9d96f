//! `leme image`: the images of this machine, whether a cluster runs or not.

mod push;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use leme_cri::embedded::Registries;
use leme_host::images::ImageStore;
use leme_pull::{Credentials, Pulled, Puller};

use crate::args::ImageCommand;
use crate::cluster::data::{DataDir, Seat};
use crate::cluster::files;
use crate::cluster::fresh::Fresh;
use crate::{print, say};

/// Runs the command.
pub async fn run(command: &ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Pull { image, private_registry, authfile, data_dir } => {
            let registries = files::registries(private_registry.as_deref())?;
            pull(image, registries, &logins(authfile.as_deref())?, data_dir).await
        }
        ImageCommand::Push { image, to, private_registry, authfile, data_dir } => {
            let registries = files::registries(private_registry.as_deref())?;
            let to = to.as_deref().unwrap_or(image);
            push::push((image, to), registries, &logins(authfile.as_deref())?, data_dir).await
        }
        ImageCommand::Tag { image, name, data_dir } => tag(image, name, data_dir),
        ImageCommand::Login {
            registry, username, private_registry, authfile, data_dir, ..
        } => {
            let registries = files::registries(private_registry.as_deref())?;
            push::login(registry, username, authfile.clone(), registries, data_dir).await
        }
        ImageCommand::Load { path, data_dir } => load(path, data_dir),
        ImageCommand::Ls { data_dir } => list(data_dir),
    }
}

/// Gets an image, or leaves nothing.
async fn pull(
    image: &str,
    registries: Registries,
    logins: &Credentials,
    data_dir: &Path,
) -> Result<()> {
    let (data, fresh) = DataDir::begin(data_dir)?;
    let pulled = async {
        let store = open(&data)?;
        let registries = push::with_own(registries, &data);
        let pulled = Puller::new(registries).pull(&store, image, logins).await;
        pulled.with_context(|| format!("pull {image}"))
    };
    let Pulled { id, bytes } = kept(&data, fresh, pulled.await)?;
    match bytes {
        0 => say::line(format_args!("{image} is {id}: it was there")),
        bytes => say::line(format_args!("pulled {image}: {id}, {:.1} MB", bytes as f64 / 1e6)),
    }
}

/// Where docker keeps logins.
fn usual_logins() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker/config.json"))
}

fn tag(image: &str, name: &str, data_dir: &Path) -> Result<()> {
    let data = DataDir::look(data_dir)?;
    let found = match &data {
        Some(data) => open(data)?.tag(image, name)?,
        None => false,
    };
    ensure!(found, "there is no image {image} in {}: see leme image ls", data_dir.display());
    say::line(format_args!("{name} is {image}"))
}

/// What docker knows of who somebody is.
pub fn logins(file: Option<&Path>) -> Result<Credentials> {
    let usual = usual_logins().filter(|path| path.exists());
    let Some(path) = file.map(Path::to_owned).or(usual) else { return Ok(Credentials::default()) };
    let shown = path.display();
    let text = std::fs::read(&path).with_context(|| format!("read {shown}"))?;
    Credentials::read(&text)
        .with_context(|| format!("{shown} holds no logins as docker keeps them"))
}

pub fn open(data: &DataDir) -> Result<ImageStore> {
    let root = data.images();
    ImageStore::open(&root).with_context(|| format!("open {}", root.display()))
}

/// What has come of something, without which what was made for it goes.
pub fn kept<T>(data: &DataDir, fresh: Option<Fresh>, done: Result<T>) -> Result<T> {
    done.map_err(|error| {
        // Somebody may have begun a cluster there meanwhile.
        let fresh = fresh.filter(|_| matches!(data.holder(Seat::Server), Ok(None)));
        Fresh::given_up(fresh, error)
    })
}

fn load(path: &Path, data_dir: &Path) -> Result<()> {
    let (data, fresh) = DataDir::begin(data_dir)?;
    let loaded = open(&data)
        .and_then(|store| store.load(path).with_context(|| format!("load {}", path.display())));
    for reference in kept(&data, fresh, loaded)? {
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
