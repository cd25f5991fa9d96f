//! A build from outside of a user namespace: the same program started again becomes the root of one, and builds there.
//!
//! What goes in and out are layouts that are believed by their digests. Knows: both ends of that talk. Refuses to know:
//! registries, which store an image ends up in.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};

use leme_host::files;
use leme_host::images::ImageStore;
use nix::sys::signal::Signal;
use rustix::fs::{FlockOperation, flock};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use crate::api::{Bases, Build, BuildError, Built};
use crate::{Executor, inside, namespace};

/// The hidden first argument that makes a program the root of a build's namespace.
pub(crate) const WORD: &str = "build-namespace";
/// Bytes of a line of the talk at most.
const LINE: u64 = 128 << 20;

/// Who has images for builds, as layouts of which a build takes what it needs.
pub trait Layouts {
    /// Lays an image out in the directory `into`, and says its id. With `pull` a registry is asked even if it is there.
    ///
    /// # Errors
    /// Why there is none, in one line.
    fn lay_out(&mut self, reference: &str, pull: bool, into: &Path) -> Result<String, String>;
}

/// Builds that are asked for from outside of a user namespace.
#[derive(Clone, Debug)]
pub struct Outside {
    /// A directory for builds alone. It is made, and given to users that nobody else is.
    pub directory: PathBuf,
    /// A program whose `main` calls [`crate::helper_main`]; `/proc/self/exe` for this one.
    pub program: PathBuf,
}

/// What was built, as a layout that is there until this is dropped.
#[derive(Debug)]
pub struct Laid {
    /// What was built.
    pub built: Built,
    /// The layout's directory; no link in the way of it was followed.
    pub layout: PathBuf,
    _opened: OwnedFd,
    _exchange: Exchange,
}

#[derive(Debug, Serialize, Deserialize)]
struct Begin {
    build: Build,
    store: PathBuf,
    bases: PathBuf,
    out: String,
}

#[derive(Debug, Serialize, Deserialize)]
enum Asked {
    Base { reference: String, pull: bool },
    Built(Built),
    Failed(String),
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Base { name: String, id: String },
    None(String),
}

/// A directory for one build's images; gone with this.
#[derive(Debug)]
struct Exchange {
    bases: PathBuf,
    out: PathBuf,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        for path in [&self.bases, &self.out] {
            let _ = files::remove_tree(path);
        }
    }
}

struct Inner(Child);

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Outside {
    /// Builds an image. Blocks until it is laid out; `log` gets what buildah prints.
    ///
    /// # Errors
    /// Why there is no image.
    pub fn build(
        &self,
        build: &Build,
        layouts: &mut dyn Layouts,
        log: &mut (dyn Write + Send),
    ) -> Result<Laid, BuildError> {
        let store = self.store()?;
        let _held = self.hold(&store)?;
        let name = files::random_hex(8)?;
        let exchange = Exchange {
            bases: self.directory.join(format!("bases-{name}")),
            out: store.join(format!("out-{name}")),
        };
        fs::create_dir(&exchange.bases)?;
        let begin = Begin {
            build: Build { context: fs::canonicalize(&build.context)?, ..build.clone() },
            store: store.clone(),
            bases: exchange.bases.clone(),
            out: format!("out-{name}"),
        };
        let built = self.talk(&begin, layouts, log)?;
        // Whoever is in the namespace may have put anything there.
        let opened = rustix::fs::openat2(
            inside::root(&store)?,
            begin.out.as_str(),
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
            rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_SYMLINKS,
        )
        .map_err(io::Error::from)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&opened);
        let layout = PathBuf::from(format!("/proc/self/fd/{number}"));
        Ok(Laid { built, layout, _opened: opened, _exchange: exchange })
    }

    /// The directory that belongs to the namespace's root.
    fn store(&self) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.directory)?;
        let directory = fs::canonicalize(&self.directory)?;
        let store = directory.join("store");
        if !store.exists() {
            let made = directory.join(format!(".new-{}", files::random_hex(4)?));
            fs::create_dir(&made)?;
            if nix::unistd::geteuid().is_root() {
                let first = namespace::first_user()?;
                std::os::unix::fs::chown(&made, Some(first), Some(first))?;
            }
            // Whoever was first has made it.
            if fs::rename(&made, &store).is_err() {
                let _ = fs::remove_dir(&made);
            }
        }
        Ok(store)
    }

    /// Says that somebody builds here; whoever is alone takes away what killed ones have left.
    fn hold(&self, store: &Path) -> io::Result<fs::File> {
        let lock =
            fs::File::options().create(true).append(true).open(self.directory.join("lock"))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            for (directory, begin) in [(&*self.directory, "bases-"), (store, "out-")] {
                for entry in fs::read_dir(directory)?.flatten() {
                    if entry.file_name().to_string_lossy().starts_with(begin) {
                        files::remove_tree(&entry.path())?;
                    }
                }
            }
        }
        flock(&lock, FlockOperation::LockShared)?;
        Ok(lock)
    }

    fn talk(
        &self,
        begin: &Begin,
        layouts: &mut dyn Layouts,
        log: &mut (dyn Write + Send),
    ) -> Result<Built, BuildError> {
        let (ours, theirs) = UnixStream::pair()?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        let mut command = Command::new(&self.program);
        command.arg(WORD).stdin(OwnedFd::from(theirs)).stdout(writer);
        let inner = Inner(command.spawn()?);
        drop(command);
        say(&ours, begin)?;
        std::thread::scope(|scope| {
            let printing = scope.spawn(move || print(reader, log));
            let built = answer(&ours, begin, layouts);
            if built.is_err() {
                drop(inner);
            }
            let _ = printing.join();
            built
        })
    }
}

fn print(reader: OwnedFd, log: &mut (dyn Write + Send)) {
    let mut reader = fs::File::from(reader);
    let mut buffer = vec![0u8; 64 << 10];
    // Who cannot print goes on reading: the build does not hang for it.
    let mut prints = true;
    while let Ok(length) = reader.read(&mut buffer) {
        if length == 0 {
            return;
        }
        prints = prints && log.write_all(&buffer[..length]).and_then(|()| log.flush()).is_ok();
    }
}

fn answer(
    socket: &UnixStream,
    begin: &Begin,
    layouts: &mut dyn Layouts,
) -> Result<Built, BuildError> {
    let mut lines = BufReader::new(socket);
    let mut count = 0;
    loop {
        match hear(&mut lines)? {
            Some(Asked::Base { reference, pull }) => {
                count += 1;
                let name = count.to_string();
                let into = begin.bases.join(&name);
                let laid = layouts.lay_out(&reference, pull, &into);
                let answer = match laid {
                    Ok(id) => Answer::Base { name, id },
                    Err(why) => Answer::None(why),
                };
                say(socket, &answer)?;
            }
            Some(Asked::Built(built)) => return Ok(built),
            Some(Asked::Failed(why)) => return Err(BuildError::Inside(why)),
            None => {
                let why = "the build's own process has ended without a word";
                return Err(io::Error::other(why).into());
            }
        }
    }
}

fn say(mut socket: &UnixStream, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    socket.write_all(&line)
}

fn hear<T: for<'de> Deserialize<'de>>(lines: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    lines.take(LINE).read_until(b'\n', &mut line)?;
    match line.is_empty() {
        true => Ok(None),
        false => Ok(Some(serde_json::from_slice(&line)?)),
    }
}

/// Acts as the root of a build's namespace if the arguments ask for it.
pub(crate) fn main(args: &[OsString]) -> Option<ExitCode> {
    if args.get(1).is_none_or(|word| word != WORD) {
        return None;
    }
    let served = (|| {
        nix::sys::prctl::set_pdeathsig(Some(Signal::SIGKILL))?;
        let socket = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?);
        let null = fs::File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&null)?;
        let said = match inner(&socket) {
            Ok(built) => Asked::Built(built),
            Err(error) => Asked::Failed(error.to_string()),
        };
        say(&socket, &said)
    })();
    Some(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{WORD}: {error}");
            ExitCode::FAILURE
        }
    })
}

fn inner(socket: &UnixStream) -> Result<Built, BuildError> {
    let mut lines = BufReader::new(socket);
    let begin: Begin = hear(&mut lines)?.ok_or_else(|| io::Error::other("nobody asks"))?;
    let Begin { mut build, store, bases, out } = begin;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let places = namespace::enter(&store, &build.context, &bases)?;
    // It was given up with the users of before.
    nix::sys::prctl::set_pdeathsig(Some(Signal::SIGKILL)).map_err(io::Error::from)?;
    build.context = places.context;
    let store = ImageStore::open_in_namespace(&places.store)?;
    let executor = Executor::new(store.clone());
    let mut bases = Asking { socket, lines, bases: places.bases, store: store.clone() };
    let mut log = io::stdout();
    let built = executor.build(&build, &mut bases, &mut log)?;
    store.lay_out(&built.id, None, &places.store.join(out))?;
    Ok(built)
}

/// Bases as somebody outside has them.
struct Asking<'a> {
    socket: &'a UnixStream,
    lines: BufReader<&'a UnixStream>,
    bases: PathBuf,
    store: ImageStore,
}

impl Bases for Asking<'_> {
    fn get(&mut self, reference: &str, pull: bool) -> Result<String, String> {
        let mut ask = || -> io::Result<Answer> {
            say(self.socket, &Asked::Base { reference: reference.to_owned(), pull })?;
            hear(&mut self.lines)?.ok_or_else(|| io::Error::other("nobody answers"))
        };
        match ask().map_err(|error| error.to_string())? {
            Answer::None(why) => Err(why),
            Answer::Base { name, id } => {
                let known = self.store.resolve(&id).map_err(|error| error.to_string())?;
                if known.is_none() {
                    self.store.load(&self.bases.join(name)).map_err(|error| error.to_string())?;
                }
                Ok(id)
            }
        }
    }
}
