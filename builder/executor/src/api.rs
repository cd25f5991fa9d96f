//! What a build is asked for and what it answers.
//!
//! Knows: the words of `docker build`. Refuses to know: how a step is carried out, where an image goes afterwards.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A build: everything it depends on but the store and the bases.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Build {
    /// The directory that `COPY` and `ADD` read. No link leads out of it.
    pub context: PathBuf,
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// Values of `ARG`s. One that no `ARG` declares is told of in the output and otherwise ignored.
    pub build_args: BTreeMap<String, String>,
    /// The stage to be built; the last one if there is none.
    pub target: Option<String>,
    /// Labels that the image gets besides its own.
    pub labels: BTreeMap<String, String>,
    /// Variables that are appended to the built stage's environment, as an `ENV` after its `FROM` would.
    pub env: Vec<(String, String)>,
    /// Variables that the image gets at last, which no step sees: what they say makes no step another.
    pub last_env: Vec<(String, String)>,
    /// The image that takes the place of the last `FROM`'s.
    pub from: Option<String>,
    /// References that the image is known by in the store afterwards.
    pub tags: Vec<String>,
    /// Carry every step out, whatever is known of earlier builds.
    pub no_cache: bool,
    /// Ask registries for bases that the store has already.
    pub pull: bool,
    /// Directories that every `RUN` has at some path, to be read. What is in them is part of no layer and no key.
    pub volumes: Vec<(PathBuf, String)>,
    /// What `RUN --mount=type=secret` may ask for.
    pub secrets: Vec<Secret>,
    /// Sockets of agents that `RUN --mount=type=ssh` may ask for.
    pub ssh: Vec<SshAgent>,
    /// The network of `RUN`, where it does not say itself.
    pub network: Network,
    /// `os/architecture` that the image is for: another one than this machine's is refused.
    pub platform: Option<String>,
    /// The time, in seconds since the epoch, that the image and its files have: the same build makes the same bytes then.
    pub source_date_epoch: Option<i64>,
    /// The manifest's form.
    pub format: Format,
    /// What a build may take.
    pub limits: BuildLimits,
}

/// Where the Dockerfile is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Dockerfile {
    /// A path in the context.
    Path(PathBuf),
    /// Its text. There is no Dockerfile's own `.dockerignore` then.
    Bytes(Vec<u8>),
}

impl Default for Dockerfile {
    fn default() -> Dockerfile {
        Dockerfile::Path(PathBuf::from("Dockerfile"))
    }
}

/// A secret: it is in memory while a `RUN` that asks for it runs, and in no layer, history or key of the cache.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secret {
    /// Its name in `--mount=type=secret,id=NAME`.
    pub id: String,
    /// Its content.
    pub content: Vec<u8>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An agent that holds keys of SSH.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SshAgent {
    /// Its name in `--mount=type=ssh,id=NAME`; `default` where none is said.
    pub id: String,
    /// Its socket.
    pub socket: PathBuf,
}

/// Which network a `RUN` has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// That of the build.
    #[default]
    Default,
    /// A loopback of its own, and nothing else.
    None,
}

/// The form of the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// OCI's image manifest.
    #[default]
    Oci,
    /// Docker's, version 2 schema 2.
    Docker,
}

/// What a build may take.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct BuildLimits {
    /// How long it may take in all; no bound if there is none.
    pub deadline: Option<Duration>,
    /// Bytes of output that one `RUN` may print. What is more is left out, and that is said.
    pub output_bytes: u64,
    /// Bytes of what one `ADD` downloads or unpacks.
    pub add_bytes: u64,
    /// Bytes that the cache is brought back to at the end, the least recently used first.
    pub cache_bytes: u64,
}

impl Default for BuildLimits {
    fn default() -> BuildLimits {
        BuildLimits {
            deadline: None,
            output_bytes: 64 << 20,
            add_bytes: 8 << 30,
            cache_bytes: 10 << 30,
        }
    }
}

/// An image that is in the store now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// Its id, the digest of its configuration.
    pub id: String,
    /// The digest of its manifest.
    pub manifest: String,
    /// Bytes of manifest, configuration and layers as they are stored.
    pub size: u64,
    /// What was done for it, in order.
    pub steps: Vec<Step>,
}

/// A step of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The instruction as it stands in the Dockerfile.
    pub name: String,
    /// When it began.
    pub started: jiff::Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// Whether an earlier build had done it.
    pub cached: bool,
}

/// Who has images that a build begins with or copies from.
pub trait Bases {
    /// Makes the build's store have an image, and says its id. With `pull` a registry is asked even if it is there.
    ///
    /// # Errors
    /// Why there is none, in one line.
    fn get(&mut self, reference: &str, pull: bool) -> Result<String, String>;
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile is wrong; in docker's words, with the line.
    #[error("{0}")]
    Dockerfile(String),
    /// A base could not be had.
    #[error("{reference}: {why}")]
    Base {
        /// Which.
        reference: String,
        /// Why.
        why: String,
    },
    /// A command of the Dockerfile failed.
    #[error("building at STEP \"{step}\": while running runtime: exit status {code}")]
    Command {
        /// The instruction.
        step: String,
        /// How it ended; 128 and the signal if a signal ended it.
        code: i32,
    },
    /// A step could not be carried out.
    #[error("building at STEP \"{step}\": {why}")]
    Step {
        /// The instruction.
        step: String,
        /// Why.
        why: String,
    },
    /// It took longer than it may.
    #[error("the build took longer than {} s", .0.as_secs())]
    Deadline(Duration),
    /// What is not carried out, by its name.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// As it was said within the namespace of the build.
    #[error("{0}")]
    Inside(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] leme_host::images::ImageError),
    /// The disk, or the kernel.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
