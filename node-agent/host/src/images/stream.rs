//! The stream of an archive: what it is compressed with, and whether it is one.
//!
//! Knows: first bytes. Refuses to know: what is in it.

use std::io::{self, BufRead, BufReader, Read};

use super::ImageError;

/// Bytes of a header in a tar file, and where in it the sum of them all stands.
const BLOCK: usize = 512;
const SUM: std::ops::Range<usize> = 148..156;
const NO_ARCHIVE: &str = "it is no archive of images: that is a tar file, compressed or not, as `docker save` writes it or with an OCI layout in it";

/// The tar file in a stream, whatever it is compressed with.
pub(super) fn open_archive<'a>(
    stream: impl Read + 'a,
    limit: u64,
) -> Result<impl Read + 'a, ImageError> {
    let mut content = decompress(stream, limit)?;
    let mut first = Vec::new();
    content.by_ref().take(BLOCK as u64).read_to_end(&mut first).map_err(damaged)?;
    match begins_archive(&first) {
        true => Ok(io::Cursor::new(first).chain(content)),
        false => Err(ImageError::Invalid(NO_ARCHIVE.into())),
    }
}

/// Whether a tar file can begin so: with a header whose sum is right, or with the blank one at its end.
pub(super) fn begins_archive(first: &[u8]) -> bool {
    let Some(sum) = first.get(SUM).filter(|_| first.len() == BLOCK) else { return false };
    let digits = |byte: &&u8| matches!(byte, b'0'..=b'7');
    let octal = |told: u32, byte: &u8| told.wrapping_mul(8).wrapping_add(u32::from(byte - b'0'));
    let told = sum.iter().skip_while(|byte| **byte == b' ').take_while(digits).fold(0, octal);
    let all: u32 = first.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = sum.iter().map(|byte| u32::from(*byte)).sum();
    all == 0 || all - own + u32::from(b' ') * SUM.len() as u32 == told
}

/// What is said of an archive that cannot be read on: no bytes of it.
pub(super) fn damaged(error: io::Error) -> ImageError {
    let own = [io::ErrorKind::UnexpectedEof, io::ErrorKind::Other].contains(&error.kind());
    match own {
        true => ImageError::Invalid("the archive is damaged, or not there as a whole".into()),
        false => error.into(),
    }
}

/// Takes gzip or zstd off a stream, told by its first bytes, and ends with an error after `limit` bytes.
pub(super) fn decompress<'a>(stream: impl Read + 'a, limit: u64) -> io::Result<Box<dyn Read + 'a>> {
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let start = stream.fill_buf()?;
    let inner: Box<dyn Read + 'a> = if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(stream))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::Decoder::with_buffer(stream)?)
    } else {
        Box::new(stream)
    };
    Ok(Box::new(Bounded { inner, left: limit }))
}

struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(length as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "larger than allowed after decompression")
        })?;
        Ok(length)
    }
}
