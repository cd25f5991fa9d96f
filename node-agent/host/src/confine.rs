//! A process that becomes a command with no more rights than a container's: user, capabilities, system calls.
//!
//! Knows: the order in which they are given up. Refuses to know: why it is run, where its root file system came from. For a
//! single-threaded process that is the root of its user namespace.

use std::ffi::CString;
use std::io;

use libcontainer::capabilities::{drop_privileges, reset_effective};
use libcontainer::seccomp::initialize_seccomp;
use libcontainer::syscall::syscall::create_syscall;
use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{LinuxCapabilities, LinuxSeccomp};

use crate::helper::search;
use crate::spec::users::Identity;
use crate::spec::{SecurityInput, SpecError, capabilities, seccomp};

/// What a container may do by default.
pub struct Confinement {
    capabilities: LinuxCapabilities,
    profile: LinuxSeccomp,
}

impl Confinement {
    /// The default capabilities and the default system calls.
    ///
    /// # Errors
    /// When the tables of them are wrong.
    pub fn of_containers(identity: &Identity) -> Result<Confinement, SpecError> {
        let security = SecurityInput::default();
        Ok(Confinement {
            capabilities: capabilities::set(&security, identity.uid == 0)?,
            profile: seccomp::default_profile(&security)?,
        })
    }

    /// Gives everything else up and becomes a command; what is told is why it did not.
    pub fn exec(self, identity: &Identity, words: &[String], env: &[String]) -> String {
        let become_it = || -> Result<std::convert::Infallible, String> {
            let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH="));
            let name = words.first().filter(|name| !name.is_empty());
            let name = name.ok_or("exec: no command specified")?;
            let program = search(name, path.unwrap_or(crate::spec::DEFAULT_PATH))?;
            let text = |text: &String| {
                CString::new(text.as_str()).map_err(|_| "exec: an argument holds a NUL byte")
            };
            let words = words.iter().map(text).collect::<Result<Vec<_>, _>>()?;
            let env = env.iter().map(text).collect::<Result<Vec<_>, _>>()?;
            let path = CString::new(program.as_os_str().as_encoded_bytes())
                .map_err(|_| "exec: the path holds a NUL byte")?;
            self.give_up(identity).map_err(|error| format!("cannot confine it: {error}"))?;
            crate::sys::reset_signals();
            let Err(error) = nix::unistd::execve(&path, &words, &env);
            Err(format!("exec {:?}: {}", program.display(), error.desc()))
        };
        let Err(why) = become_it();
        why
    }

    fn give_up(&self, identity: &Identity) -> io::Result<()> {
        let calls = create_syscall();
        let groups: Vec<Gid> = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        match nix::unistd::setgroups(&groups) {
            // In a namespace that nobody with rights has made, groups are as they were.
            Err(nix::errno::Errno::EPERM) if groups_are_denied() => {}
            done => done?,
        }
        // What may be given up is kept until the last, and so has to stay with another user.
        nix::sys::prctl::set_keepcaps(true)?;
        let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
        nix::unistd::setresgid(gid, gid, gid)?;
        nix::unistd::setresuid(uid, uid, uid)?;
        nix::sys::prctl::set_keepcaps(false)?;
        reset_effective(calls.as_ref()).map_err(io::Error::other)?;
        // While there is the capability to do so: otherwise nobody in it could become another user.
        initialize_seccomp(&self.profile).map_err(io::Error::other)?;
        drop_privileges(&self.capabilities, calls.as_ref()).map_err(io::Error::other)
    }
}

fn groups_are_denied() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}
