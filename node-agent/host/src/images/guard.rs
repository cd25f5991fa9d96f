//! Watches a tar stream on its way to the library that reads it: extension headers are held in memory whole, so their
//! size is bounded before that happens.
//!
//! Knows: tar's blocks. Refuses to know: what entries are for.

use std::io::{self, Read};

const BLOCK: usize = 512;
const MAX_EXTENSION: u64 = 1 << 20;

/// A reader that fails at an extension header larger than 1 MiB.
pub(super) struct Guard<R> {
    inner: R,
    /// The header block being collected.
    block: Vec<u8>,
    /// Bytes of content and padding still to come.
    content: u64,
    /// Content of the extension being passed, if it is one that may hold a size.
    extension: Option<Vec<u8>>,
    /// Size that the next entry has instead of its header's.
    next_size: Option<u64>,
    /// Whether the next block continues a sparse file's map, and the content that follows it.
    sparse_map: Option<u64>,
}

impl<R: Read> Guard<R> {
    pub(super) fn new(inner: R) -> Guard<R> {
        Guard {
            inner,
            block: Vec::with_capacity(BLOCK),
            content: 0,
            extension: None,
            next_size: None,
            sparse_map: None,
        }
    }

    fn watch(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.content > 0 {
                let here = usize::try_from(self.content).unwrap_or(usize::MAX).min(bytes.len());
                if let Some(extension) = &mut self.extension {
                    extension.extend_from_slice(&bytes[..here]);
                }
                self.content -= here as u64;
                bytes = &bytes[here..];
                if self.content == 0 {
                    self.end_of_content();
                }
                continue;
            }
            let here = (BLOCK - self.block.len()).min(bytes.len());
            self.block.extend_from_slice(&bytes[..here]);
            bytes = &bytes[here..];
            if self.block.len() == BLOCK {
                self.header()?;
                self.block.clear();
            }
        }
        Ok(())
    }

    fn end_of_content(&mut self) {
        if let Some(extension) = self.extension.take() {
            self.next_size = size_record(&extension).or(self.next_size);
        }
    }

    fn header(&mut self) -> io::Result<()> {
        if let Some(size) = self.sparse_map.take() {
            return match self.block[504] {
                0 => {
                    self.content = padded(size);
                    Ok(())
                }
                _ => {
                    self.sparse_map = Some(size);
                    Ok(())
                }
            };
        }
        if self.block.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let size = number(&self.block[124..136]);
        let kind = self.block[156];
        if matches!(kind, b'x' | b'g' | b'L' | b'K') {
            if size > MAX_EXTENSION {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a tar extension header is too large",
                ));
            }
            self.extension = (kind == b'x').then(Vec::new);
            self.content = padded(size);
            return Ok(());
        }
        let size = self.next_size.take().unwrap_or(size);
        match kind {
            b'S' if self.block[482] != 0 => self.sparse_map = Some(size),
            // Links and directories have no content, whatever their size field says, but the library reads it as theirs.
            _ => self.content = padded(size),
        }
        Ok(())
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.watch(&buffer[..length])?;
        Ok(length)
    }
}

fn padded(size: u64) -> u64 {
    size.checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX)
}

/// An octal field, or a binary one as marked by its first bit.
fn number(field: &[u8]) -> u64 {
    if field[0] & 0x80 != 0 {
        let tail = &field[field.len() - 8..];
        return tail.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    let digits = field
        .iter()
        .skip_while(|byte| **byte == b' ')
        .take_while(|byte| (b'0'..=b'7').contains(*byte));
    digits
        .fold(0u64, |value, digit| value.saturating_mul(8).saturating_add(u64::from(digit - b'0')))
}

/// The value of a `LENGTH size=VALUE\n` record.
fn size_record(extension: &[u8]) -> Option<u64> {
    let mut found = None;
    for line in extension.split(|byte| *byte == b'\n') {
        let text = line
            .split(|byte| *byte == b' ')
            .nth(1)
            .and_then(|record| record.strip_prefix(b"size="));
        found = text.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).or(found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(build: impl Fn(&mut tar::Builder<Vec<u8>>), expected: Result<usize, ()>) {
        let mut builder = tar::Builder::new(Vec::new());
        build(&mut builder);
        let bytes = builder.into_inner().unwrap();
        let read = |bytes: &[u8]| -> io::Result<usize> {
            let mut archive = tar::Archive::new(Guard::new(bytes));
            let mut count = 0;
            for entry in archive.entries()? {
                io::copy(&mut entry?, &mut io::sink())?;
                count += 1;
            }
            Ok(count)
        };
        assert_eq!(read(&bytes).map_err(drop), expected);
    }

    fn file(builder: &mut tar::Builder<Vec<u8>>, size: usize) {
        let mut header = tar::Header::new_gnu();
        header.set_size(size as u64);
        header.set_cksum();
        // What looks like a huge extension header must not be taken for one inside a file.
        let content: Vec<u8> = b"x77777777777".iter().copied().cycle().take(size).collect();
        builder.append(&header, content.as_slice()).unwrap();
    }

    #[test]
    fn passes_ordinary_archives() {
        check(
            |builder| [0, 1, 511, 512, 513, 70_000].iter().for_each(|size| file(builder, *size)),
            Ok(6),
        );
        let long = "d/".repeat(200) + "name";
        check(
            |builder| {
                builder
                    .append_pax_extensions([("SCHILY.xattr.user.a", b"size=99\n".as_slice())])
                    .unwrap();
                file(builder, 1000);
                let mut header = tar::Header::new_gnu();
                header.set_size(3);
                builder.append_data(&mut header, &long, b"abc".as_slice()).unwrap();
                file(builder, 700);
            },
            Ok(3),
        );
    }

    #[test]
    fn refuses_a_large_extension() {
        let large = vec![b'v'; 2 << 20];
        check(
            |builder| builder.append_pax_extensions([("comment", large.as_slice())]).unwrap(),
            Err(()),
        );
    }

    #[test]
    fn reads_sizes() {
        assert_eq!(number(b"00000000017\0"), 15);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1]), (2 << 32) + 1);
        assert_eq!(size_record(b"20 path=a\n16 size=1234\n"), Some(1234));
    }
}
