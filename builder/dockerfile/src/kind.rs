//! What instructions there are.
//!
//! Knows: what each says. Refuses to know: how it is written, values of variables.

use crate::image::Health;

/// An instruction where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Its line in the file, from one.
    pub line: usize,
    /// As it is written, on one line, with its name in capitals.
    pub text: String,
    /// What it is.
    pub kind: Kind,
}

/// What an instruction says. Variables are not replaced yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A stage begins.
    From {
        /// The base: an image, a stage, or `scratch`.
        image: String,
        /// The stage's name, in small letters.
        name: Option<String>,
        /// `--platform`
        platform: Option<String>,
    },
    /// Arguments with their defaults.
    Arg(Vec<(String, Option<String>)>),
    /// Variables.
    Env(Vec<(String, String)>),
    /// Labels.
    Label(Vec<(String, String)>),
    /// Who wrote it.
    Maintainer(String),
    /// `ADD` and `COPY`.
    Copy(Transfer),
    /// A command that is run.
    Run(Run),
    /// What a container runs, or the arguments of its entry point.
    Cmd(Command),
    /// What a container runs.
    Entrypoint(Command),
    /// The shell of commands that are no lists.
    Shell(Vec<String>),
    /// Ports.
    Expose(Vec<String>),
    /// Who runs it.
    User(String),
    /// Places for volumes.
    Volume(Vec<String>),
    /// The directory from here on.
    Workdir(String),
    /// The signal that stops a container.
    Stopsignal(String),
    /// An instruction for those who build on this image.
    Onbuild(String),
    /// How a container is looked after.
    Healthcheck(Health),
}

/// A here-document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it, and its file's name.
    pub name: String,
    /// Whether variables in it are replaced.
    pub expand: bool,
    /// Whether tabs at the beginning of its lines are left out.
    pub chomp: bool,
    /// Its lines.
    pub text: String,
}

impl Heredoc {
    /// What it says, without the tabs that it may do without.
    pub fn content(&self) -> String {
        match self.chomp {
            false => self.text.clone(),
            true => self.text.split_inclusive('\n').map(|l| l.trim_start_matches('\t')).collect(),
        }
    }
}

/// A command: a list of words, or a line for the shell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The words; one, the line, if it is for the shell.
    pub words: Vec<String>,
    /// Whether it is for the shell.
    pub shell: bool,
    /// Documents that it announces.
    pub documents: Vec<Heredoc>,
}

/// A `RUN`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// What is run.
    pub command: Command,
    /// Each `--mount`, as it is written.
    pub mounts: Vec<String>,
    /// `--network`
    pub network: Option<String>,
    /// `--security`
    pub security: Option<String>,
}

/// An `ADD` or a `COPY`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Whether it is an `ADD`.
    pub add: bool,
    /// What is copied.
    pub sources: Vec<Source>,
    /// Where to.
    pub target: String,
    /// `--from`: a stage or an image.
    pub from: Option<String>,
    /// `--chown`
    pub chown: Option<String>,
    /// `--chmod`
    pub chmod: Option<String>,
    /// `--link`
    pub link: bool,
    /// `--parents`
    pub parents: bool,
    /// Each `--exclude`.
    pub excludes: Vec<String>,
    /// `--checksum`
    pub checksum: Option<String>,
    /// `--keep-git-dir`
    pub keep_git_dir: Option<bool>,
    /// `--unpack`
    pub unpack: Option<bool>,
}

/// Something that is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path, maybe with wildcards, or of an `ADD` a URL.
    Path(String),
    /// A document of the Dockerfile.
    Text(Heredoc),
}
