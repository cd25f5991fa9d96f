//! The CRI log format: `TIME STREAM TAG CONTENT`, one entry a line.
//!
//! Knows: entries, partial lines, where the last lines of a file begin. Refuses to know: who reads.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use jiff::Timestamp;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Time as written.
    pub time: &'a str,
    /// The line goes on in the next entry of the stream.
    pub partial: bool,
    /// What was printed, without newline.
    pub content: &'a [u8],
}

/// Reads a line without its newline; `None` if it is not an entry.
pub fn parse(line: &[u8]) -> Option<Entry<'_>> {
    let mut fields = line.splitn(4, |b| *b == b' ');
    let time = std::str::from_utf8(fields.next()?).ok()?;
    let stream = fields.next()?;
    if stream != b"stdout" && stream != b"stderr" {
        return None;
    }
    let tag = fields.next()?;
    let partial = tag.split(|b| *b == b':').any(|t| t == b"P");
    Some(Entry { time, partial, content: fields.next().unwrap_or_default() })
}

impl Entry<'_> {
    /// Whether it was written at `since` or later. A time that cannot be read is let through.
    pub fn is_since(&self, since: Timestamp) -> bool {
        self.time.parse::<Timestamp>().map_or(true, |at| at >= since)
    }
}

/// Where the last `lines` lines of a file begin.
pub fn tail_offset(file: &mut File, lines: u64) -> io::Result<u64> {
    const BLOCK: u64 = 64 * 1024;
    let end = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(end);
    }
    let mut at = end;
    let mut newlines = 0u64;
    let mut buffer = Vec::new();
    while at > 0 {
        let start = at.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        file.by_ref().take(at - start).read_to_end(&mut buffer)?;
        for (index, byte) in buffer.iter().enumerate().rev() {
            let position = start + index as u64;
            // The newline that ends the file ends its last line; it does not begin one.
            if *byte == b'\n' && position + 1 != end {
                newlines += 1;
                if newlines == lines {
                    return Ok(position + 1);
                }
            }
        }
        at = start;
    }
    Ok(0)
}

/// What a container printed last: at most so many lines and bytes.
pub fn tail(path: &Path, lines: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let start = tail_offset(&mut file, lines)?;
    // Time stamps and tags are shorter than 64 bytes an entry.
    let most = bytes + lines * 64;
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(start.max(end.saturating_sub(most))))?;
    let mut text = Vec::new();
    file.take(most).read_to_end(&mut text)?;
    let mut out = Vec::new();
    for entry in text.split(|b| *b == b'\n').filter_map(parse) {
        out.extend_from_slice(entry.content);
        if !entry.partial {
            out.push(b'\n');
        }
    }
    let cut = out.len().saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
    Ok(out.split_off(cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        let entry = parse(b"2026-01-01T00:00:00.5Z stdout P a b").unwrap();
        assert_eq!((entry.partial, entry.content), (true, b"a b".as_slice()));
        assert!(entry.is_since("2026-01-01T00:00:00Z".parse().unwrap()));
        assert!(!entry.is_since("2026-01-01T00:00:01Z".parse().unwrap()));
        assert_eq!(parse(b"2026-01-01T00:00:00Z stderr F ").unwrap().content, b"");
        assert_eq!(parse(b"2026-01-01T00:00:00Z stderr F").unwrap().content, b"");
        assert_eq!(parse(b"garbage"), None);
        assert_eq!(parse(b"\xff\xfe stdout F x"), None);
    }

    #[test]
    fn finds_the_tail() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let line = |n: usize| format!("2026-01-01T00:00:00Z stdout F line {n}\n");
        let text: String = (0..5000).map(line).collect();
        std::fs::write(&path, &text).unwrap();
        let check = |lines, want: String| {
            let start = tail_offset(&mut File::open(&path).unwrap(), lines).unwrap();
            assert_eq!(&text[usize::try_from(start).unwrap()..], want);
        };
        check(0, String::new());
        check(1, line(4999));
        check(3, (4997..5000).map(line).collect());
        check(9999, text.clone());
        assert_eq!(tail(&path, 2, 2048).unwrap(), b"line 4998\nline 4999\n");
        assert_eq!(tail(&path, 2, 5).unwrap(), b"4999\n");
    }
}
