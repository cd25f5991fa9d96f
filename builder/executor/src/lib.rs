//! Images out of Dockerfiles.
//!
//! An [`Executor`] runs as the root of a user namespace, [`Outside`] makes one. Knows: steps, layers, what earlier builds did. Refuses to
//! know: registries, pods, who asked for the image.

mod api;
mod build;
mod caches;
mod commands;
mod copies;
mod copy;
mod helper;
mod inside;
mod instructions;
mod key;
mod mode;
mod namespace;
mod output;
mod pack;
mod program;
mod session;
mod state;
mod step;
mod tree;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use leme_host::images::ImageStore;

pub use api::{
    Bases, Build, BuildError, BuildLimits, Built, Dockerfile, Format, Network, Secret, SshAgent,
    Step,
};
pub use session::{Laid, Layouts, Outside};

/// Acts as the helper that carries out a step if `args` (with the program's name first) ask for it. Must be called before
/// any thread exists, by every program that has an [`Executor`].
pub fn helper_main(args: &[OsString]) -> Option<ExitCode> {
    helper::main(args).or_else(|| session::main(args))
}

/// Carries builds out. Several may share a store, in one process or in many.
#[derive(Clone, Debug)]
pub struct Executor {
    /// Where layers, images and the cache are; owned by the namespace's root.
    pub store: ImageStore,
    /// A program whose `main` calls [`helper_main`]; `/proc/self/exe` for this one.
    pub program: PathBuf,
}

impl Executor {
    /// With a store, and this program as its own helper.
    pub fn new(store: ImageStore) -> Executor {
        Executor { store, program: PathBuf::from("/proc/self/exe") }
    }

    /// Builds an image. Blocks until it is there; `log` gets what buildah prints: a line for each step, and what its command
    /// prints.
    ///
    /// # Errors
    /// Why there is no image; the store has no part of one then.
    pub fn build(
        &self,
        build: &Build,
        bases: &mut dyn Bases,
        log: &mut (dyn Write + Send),
    ) -> Result<Built, BuildError> {
        build::run(self, build, bases, log)
    }
}
