//! Small files written whole: a reader sees the old content or the new, and a key is never readable by others.
//!
//! Knows: modes, fsync, rename. Refuses to know: what the files hold.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::PkiError;

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> PkiError + '_ {
    move |source| PkiError::File { path: path.to_owned(), source }
}

/// Creates the directory, or makes an existing one private.
pub(crate) fn directory(dir: &Path) -> Result<(), PkiError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).map_err(failed(dir))
}

/// The file's text, `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

/// Replaces the file in one step, durably.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let temporary = path.with_extension(format!("tmp{}", uuid::Uuid::new_v4().simple()));
    let fill = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        match path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    fill().map_err(|error| {
        // The rename did not happen or the directory's sync failed: nothing to keep either way.
        let _ = std::fs::remove_file(&temporary);
        failed(path)(error)
    })
}

/// The names in a directory.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, PkiError> {
    let entries = std::fs::read_dir(dir).map_err(failed(dir))?;
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let names: std::io::Result<Vec<Option<String>>> = names.collect();
    Ok(names.map_err(failed(dir))?.into_iter().flatten().collect())
}
