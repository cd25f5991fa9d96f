//! What a step is asked for and what comes of it.
//!
//! Knows: plain data. Refuses to know: how it is done.

use std::path::PathBuf;

use leme_dockerfile::mount::Mount;
use serde::{Deserialize, Serialize};

/// A step.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Run(Box<Run>),
    Copy(Box<Copy>),
    Digest(Box<Sources>),
    Directory(Box<Directory>),
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// A command ended so.
    Ended(i32),
    /// It is done.
    Done,
    /// The digest of sources.
    Digest(String),
    /// A source means nothing.
    Missing(String),
    /// It could not be done.
    Failed(String),
}

/// A root file system: layers, and where its changes go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Root {
    /// The topmost first.
    pub(crate) layers: Vec<PathBuf>,
    /// A directory for the step alone: `upper`, `work`, `root`, `empty`, `stubs` are in it.
    pub(crate) scratch: PathBuf,
}

/// Where files come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum From {
    /// A directory.
    Directory(PathBuf),
    /// The layers of a stage or an image, the topmost first.
    Layers(Vec<PathBuf>),
}

/// Sources of a copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sources {
    /// Their root.
    pub(crate) from: From,
    /// An empty directory to mount it on, and another one.
    pub(crate) scratch: PathBuf,
    /// Paths, maybe with wildcards.
    pub(crate) paths: Vec<String>,
    /// The ignore file.
    pub(crate) ignore: Option<Vec<u8>>,
    /// What else is left out.
    pub(crate) exclude: Vec<String>,
}

/// A copy.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Copy {
    pub(crate) root: Root,
    pub(crate) sources: Option<Sources>,
    /// Files with a text: name and content.
    pub(crate) texts: Vec<(String, Vec<u8>)>,
    /// Where to, from the root on; a `/` at its end says that it is a directory.
    pub(crate) target: String,
    pub(crate) chown: Option<String>,
    pub(crate) chmod: Option<String>,
    /// Whether files keep their owners if nobody is said.
    pub(crate) keeps_owners: bool,
    /// Whether directories above a source are made as well.
    pub(crate) parents: bool,
    /// Whether archives are unpacked.
    pub(crate) unpack: bool,
    /// Bytes that may be copied or unpacked.
    pub(crate) most: u64,
}

/// A directory that is to be there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Directory {
    pub(crate) root: Root,
    pub(crate) path: String,
    /// The image's user, who owns what is made.
    pub(crate) user: String,
}

/// A command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) root: Root,
    pub(crate) words: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) directory: String,
    pub(crate) user: String,
    pub(crate) no_network: bool,
    pub(crate) mounts: Vec<RunMount>,
    /// A script of the Dockerfile: its name below `/dev/pipes`, and its text.
    pub(crate) script: Option<(String, String)>,
}

/// A mount of a command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunMount {
    pub(crate) mount: Mount,
    /// Where to, from the root on.
    pub(crate) target: String,
    pub(crate) content: Content,
    /// A directory for it alone.
    pub(crate) scratch: PathBuf,
}

/// What is mounted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Content {
    /// Files from somewhere.
    Files(From),
    /// A directory of the store.
    Cache(PathBuf),
    /// Memory.
    Memory,
    /// A file in memory.
    Secret(Vec<u8>),
    /// A socket.
    Socket(PathBuf),
}
