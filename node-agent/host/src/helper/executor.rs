//! The last step of a container's process: finding the program and becoming it.
//!
//! Runs inside the container, as the container's user. Knows: `PATH`. Refuses to know: everything outside.

use std::ffi::CString;
use std::fs;
use std::os::fd::RawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use oci_spec::runtime::{LinuxSeccomp, Spec};

/// Executes the spec's program and says on `errors` (a close-on-exec descriptor) why it could not.
#[derive(Clone)]
pub(super) struct Launch {
    errors: RawFd,
    seccomp: Option<LinuxSeccomp>,
    /// Whether what cannot be executed is said before anything is made of it.
    early: bool,
}

impl Launch {
    /// A container's own program: a container whose program is not there is made, and ends when it is started.
    pub(super) fn container(errors: RawFd) -> Launch {
        Launch { errors, seccomp: None, early: false }
    }

    /// A command that joins a container: the runtime applies a container's own profile, but not theirs.
    pub(super) fn command(errors: RawFd, seccomp: Option<LinuxSeccomp>) -> Launch {
        Launch { errors, seccomp, early: true }
    }

    /// Loads the profile. The process has given its capabilities up by now, so it must also give up gaining any.
    fn apply_seccomp(&self) -> Result<(), String> {
        let Some(profile) = &self.seccomp else { return Ok(()) };
        nix::sys::prctl::set_no_new_privs()
            .map_err(|error| format!("set no_new_privs: {error}"))?;
        libcontainer::seccomp::initialize_seccomp(profile)
            .map(drop)
            .map_err(|error| format!("seccomp: {error}"))
    }
}

impl Executor for Launch {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let failed = |message: String| {
            crate::sys::write_raw(self.errors, message.as_bytes());
            ExecutorError::Other(message)
        };
        let (program, args) = find(spec).map_err(failed)?;
        let path =
            CString::new(program.as_os_str().as_encoded_bytes()).map_err(|_| failed(nul_byte()))?;
        let args: Vec<CString> = args
            .iter()
            .map(|arg| CString::new(arg.as_str()))
            .collect::<Result<_, _>>()
            .map_err(|_| failed(nul_byte()))?;
        crate::sys::reset_signals();
        self.apply_seccomp().map_err(failed)?;
        let Err(error) = nix::unistd::execv(&path, &args);
        Err(failed(format!("exec {:?}: {}", program.display(), error.desc())))
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        if !self.early {
            return Ok(());
        }
        find(spec).map(drop).map_err(ExecutorValidationError::ArgValidationError)
    }
}

fn nul_byte() -> String {
    "exec: an argument holds a NUL byte".to_owned()
}

fn find(spec: &Spec) -> Result<(PathBuf, &[String]), String> {
    let process = spec.process().as_ref();
    let args = process.and_then(|p| p.args().as_deref()).unwrap_or_default();
    let Some(name) = args.first().filter(|name| !name.is_empty()) else {
        return Err("exec: no command specified".into());
    };
    let env = process.and_then(|p| p.env().as_deref()).unwrap_or_default();
    let path = env
        .iter()
        .rev()
        .find_map(|entry| entry.strip_prefix("PATH="))
        .unwrap_or(crate::spec::DEFAULT_PATH);
    search(name, path).map(|program| (program, args))
}

pub(crate) fn search(name: &str, path: &str) -> Result<PathBuf, String> {
    if name.contains('/') {
        return match executable(Path::new(name)) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(reason) => Err(format!("exec: {name:?}: {reason}")),
        };
    }
    let mut denied = false;
    for directory in path.split(':') {
        let candidate = Path::new(if directory.is_empty() { "." } else { directory }).join(name);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(reason) => denied |= reason == DENIED,
        }
    }
    Err(format!(
        "exec: {name:?}: {}",
        if denied { DENIED } else { "executable file not found in $PATH" }
    ))
}

const DENIED: &str = "permission denied";

fn executable(path: &Path) -> Result<(), &'static str> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err("is a directory"),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => Err(DENIED),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(DENIED),
        Err(_) => Err("no such file or directory"),
    }
}
