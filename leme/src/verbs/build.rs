//! `leme build`: an image from a Dockerfile, for the pods of this machine, whether a cluster runs or not.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use leme_executor::{Build, Dockerfile, Layouts, Network, Outside, Secret, SshAgent};
use leme_host::images::{ImageStore, reference::Reference};
use leme_pull::{Credentials, Puller};
use tokio::runtime::Handle;

use crate::args::BuildArgs;
use crate::cluster::data::DataDir;
use crate::cluster::files;
use crate::say;
use crate::verbs::image;

/// Bytes of a Dockerfile or a secret at most.
const FILE: u64 = 8 << 20;

/// Runs the command.
pub async fn run(args: BuildArgs) -> Result<()> {
    let registries = files::registries(args.private_registry.as_deref())?;
    let logins = image::logins(args.authfile.as_deref())?;
    let nothing = tempfile();
    let build = build(&args, nothing.path())?;
    let (data, fresh) = DataDir::begin(&args.data_dir)?;
    let bases = Bases {
        store: image::open(&data)?,
        puller: Puller::new(registries),
        logins,
        handle: Handle::current(),
    };
    let outside = Outside { directory: data.builds(), program: PathBuf::from("/proc/self/exe") };
    let quiet = args.quiet || args.progress == "quiet";
    let done = tokio::task::spawn_blocking(move || carry_out(&outside, &build, bases, quiet)).await;
    let id = image::kept(&data, fresh, done.map_err(anyhow::Error::from).flatten())?;
    match quiet {
        true => say::line(format_args!("{id}")),
        false => Ok(()),
    }
}

fn carry_out(outside: &Outside, build: &Build, mut bases: Bases, quiet: bool) -> Result<String> {
    let mut log: Box<dyn Write + Send> = match quiet {
        true => Box::new(std::io::sink()),
        false => Box::new(std::io::stdout()),
    };
    let laid = outside.build(build, &mut bases, &mut log)?;
    Ok(bases.store.load_as(&laid.layout, &build.tags)?)
}

/// An empty directory, for builds that have no context; gone with this.
fn tempfile() -> Nothing {
    let name = format!("leme-build-{}", std::process::id());
    Nothing(std::env::temp_dir().join(name))
}

struct Nothing(PathBuf);

impl Nothing {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Nothing {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn build(args: &BuildArgs, nothing: &Path) -> Result<Build> {
    let stdin = Path::new("-");
    let context = match args.context == stdin {
        true => {
            std::fs::create_dir(nothing).context("make an empty context")?;
            nothing.to_owned()
        }
        false => args.context.clone(),
    };
    let shown = context.display().to_string();
    let context = context.canonicalize().with_context(|| format!("read the context {shown}"))?;
    if !context.is_dir() {
        bail!("the context {shown} is no directory");
    }
    let dockerfile = match &args.file {
        _ if args.context == stdin => Dockerfile::Bytes(standard_input()?),
        Some(file) if file == stdin => Dockerfile::Bytes(standard_input()?),
        Some(file) => dockerfile(file, &context)?,
        None => Dockerfile::default(),
    };
    for tag in &args.tags {
        Reference::parse(tag)
            .ok_or_else(|| anyhow!("invalid tag {tag:?}: invalid reference format"))?;
    }
    Ok(Build {
        context,
        dockerfile,
        build_args: pairs(&args.build_args, |name| std::env::var(name).ok()),
        target: args.target.clone(),
        labels: pairs(&args.labels, |_| Some(String::new())),
        tags: args.tags.clone(),
        no_cache: args.no_cache,
        pull: args.pull,
        secrets: args.secrets.iter().map(|text| secret(text)).collect::<Result<_>>()?,
        ssh: args.ssh.iter().map(|text| agent(text)).collect::<Result<_>>()?,
        network: if args.network == "none" { Network::None } else { Network::Default },
        platform: args.platform.clone(),
        source_date_epoch: match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(text) => Some(text.parse().context("SOURCE_DATE_EPOCH is no number of seconds")?),
            Err(_) => None,
        },
        ..Build::default()
    })
}

/// A Dockerfile that is named: as it lies in the context, or its text.
fn dockerfile(file: &Path, context: &Path) -> Result<Dockerfile> {
    let shown = file.display();
    let found = file.canonicalize().with_context(|| format!("read the Dockerfile {shown}"))?;
    match found.strip_prefix(context) {
        Ok(within) => Ok(Dockerfile::Path(within.to_owned())),
        Err(_) => Ok(Dockerfile::Bytes(read(&found)?)),
    }
}

fn standard_input() -> Result<Vec<u8>> {
    let mut text = Vec::new();
    std::io::stdin().take(FILE).read_to_end(&mut text).context("read standard input")?;
    Ok(text)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).with_context(|| format!("read {}", path.display()))?;
    file.take(FILE).read_to_end(&mut bytes).with_context(|| format!("read {}", path.display()))?;
    Ok(bytes)
}

fn pairs(texts: &[String], otherwise: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => otherwise(text).map(|value| (text.clone(), value)),
    };
    texts.iter().filter_map(pair).collect()
}

fn secret(text: &str) -> Result<Secret> {
    let (mut id, mut source, mut variable) = (None, None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => source = Some(PathBuf::from(value)),
            Some(("env", value)) => variable = Some(value.to_owned()),
            Some(("type", "file" | "env")) => {}
            _ => bail!("--secret {text:?}: {field:?} is not id=, src= or env="),
        }
    }
    let id = id.with_context(|| format!("--secret {text:?} has no id="))?;
    let content = match (source, variable) {
        (Some(path), _) => read(&path)?,
        (None, variable) => {
            let name = variable.unwrap_or_else(|| id.clone());
            let value = std::env::var_os(&name);
            let value = value.with_context(|| format!("--secret {text:?}: ${name} is not set"))?;
            value.into_encoded_bytes()
        }
    };
    Ok(Secret { id, content })
}

fn agent(text: &str) -> Result<SshAgent> {
    let (id, socket) = match text.split_once('=') {
        Some((id, socket)) => (id, PathBuf::from(socket)),
        None => {
            let socket =
                std::env::var_os("SSH_AUTH_SOCK").context("--ssh: SSH_AUTH_SOCK is not set")?;
            (text, PathBuf::from(socket))
        }
    };
    Ok(SshAgent { id: id.to_owned(), socket })
}

/// Bases out of the node's store, or of registries by way of it.
struct Bases {
    store: ImageStore,
    puller: Puller,
    logins: Credentials,
    handle: Handle,
}

impl Layouts for Bases {
    fn lay_out(&mut self, reference: &str, pull: bool, into: &Path) -> Result<String, String> {
        let told = |error: leme_host::images::ImageError| error.to_string();
        let found = self.store.resolve(reference).map_err(told)?;
        // What was loaded or built here is newer than what any registry has of that name.
        let name = Reference::parse(reference).map(|reference| reference.name);
        let own = found
            .filter(|image| !pull || !name.is_some_and(|name| image.came_from_registry(&name)));
        let id = match own {
            Some(image) => image.id,
            None => {
                let pulled = self.puller.pull(&self.store, reference, &self.logins);
                self.handle.block_on(pulled).map_err(|error| error.to_string())?.id
            }
        };
        self.store.lay_out(&id, None, into).map_err(told)?;
        Ok(id)
    }
}
