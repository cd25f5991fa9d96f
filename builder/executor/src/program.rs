//! This program as something that can be run and not written to.
//!
//! Knows: that a running program can be opened through `/proc` by what it runs. Refuses to know: what it is run for.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use leme_host::sys::open_readonly_program;

/// Opens a program through a read-only mount.
pub(crate) fn open(program: &Path) -> io::Result<OwnedFd> {
    match open_readonly_program(program) {
        Ok(opened) => Ok(opened),
        // Begun in another mount namespace it is there by its path, if that still means it.
        Err(_) => {
            let path = std::fs::read_link(program)?;
            let number =
                |path: &Path| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
            match number(&path)? == number(program)? {
                true => open_readonly_program(&path),
                false => Err(io::Error::other("the program is another by now")),
            }
        }
    }
}
