//! Archives that are no images: what `ADD` unpacks.
//!
//! Knows: that a tar file has a header whose sum is right. Refuses to know: where they come from.

use std::io::{self, Read};
use std::path::Path;

use super::stream::{begins_archive, decompress};
use super::unpack::{Attributes, Limits, invalid, unpack_for};

/// Beginnings of what docker unpacks and we do not.
const OTHERS: &[(&[u8], &str)] = &[(b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz")];

/// Whether a stream is a tar file, compressed or not.
///
/// # Errors
/// When it cannot be read, or is compressed in a way that is not supported.
pub fn is_archive(mut stream: impl Read, limits: Limits) -> io::Result<bool> {
    let mut first = Vec::new();
    stream.by_ref().take(8).read_to_end(&mut first)?;
    if let Some((_, name)) = OTHERS.iter().find(|(begins, _)| first.starts_with(begins)) {
        return Err(invalid(&format!("unpacking what {name} has compressed is not supported")));
    }
    let whole = io::Cursor::new(first).chain(stream);
    let mut block = Vec::new();
    let read = decompress(whole, limits.bytes)?.take(512).read_to_end(&mut block);
    // What only begins like an archive is none.
    Ok(read.is_ok() && block.iter().any(|byte| *byte != 0) && begins_archive(&block))
}

/// Unpacks a tar file into a directory, within a user namespace; never out of it.
///
/// # Errors
/// When it is damaged, leads out of the directory, or is more than the limits say.
pub fn unpack_archive(stream: impl Read, into: &Path, limits: Limits) -> io::Result<()> {
    let stream = decompress(stream, limits.bytes)?;
    unpack_for(Attributes::Namespace, stream, into, &[], limits)
}
