//! Request targets as Go's server takes them: some clients send characters as they are that are to be written as escapes.
//!
//! Knows: where the target of a request stands in HTTP/1.1, and what hyper refuses in it. Refuses to know: what targets
//! mean. In HTTP/2 a target is compressed: what is refused there resets its stream.

use tokio::io::ReadBuf;

/// The longest word that is taken for a method.
const METHOD: u8 = 16;

/// Where in a request the next byte stands.
#[derive(Clone, Copy, Debug, Default)]
enum At {
    /// In its method, of which so much has come.
    Method(u8),
    Target,
    /// Beyond its target.
    #[default]
    Beyond,
}

impl At {
    fn after(self, byte: u8) -> At {
        match (self, byte) {
            // Lines may be empty before the first.
            (At::Method(0), b'\r' | b'\n') => self,
            (At::Method(length), b'A'..=b'Z') if length < METHOD => At::Method(length + 1),
            (At::Method(1..), b' ') => At::Target,
            (At::Target, b' ' | b'\r' | b'\n') | (At::Method(_), _) => At::Beyond,
            (at, _) => at,
        }
    }
}

/// Escapes what is read of targets.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    at: At,
    /// What was read and has not been passed on.
    left: Vec<u8>,
}

impl Targets {
    /// Passes on what is left; whether there was something.
    pub(crate) fn give(&mut self, into: &mut ReadBuf<'_>) -> bool {
        let size = self.left.len().min(into.remaining());
        into.put_slice(&self.left[..size]);
        self.left.drain(..size);
        size > 0
    }

    /// Escapes what has been read from a place on; `begins` says that a request begins there.
    pub(crate) fn escape(&mut self, into: &mut ReadBuf<'_>, from: usize, begins: bool) {
        if begins {
            self.at = At::Method(0);
        }
        let read = &into.filled()[from..];
        let Some(first) = self.first_refused(read) else { return };
        let mut escaped = read[..first].to_vec();
        for byte in &read[first..] {
            if matches!(self.at, At::Target) && is_refused(*byte) {
                escaped.extend(format!("%{byte:02X}").bytes());
            } else {
                self.at = self.at.after(*byte);
                escaped.push(*byte);
            }
        }
        self.left = escaped;
        into.set_filled(from);
        self.give(into);
    }

    /// Where the first byte is that is to be escaped; the place is that of this byte then.
    fn first_refused(&mut self, read: &[u8]) -> Option<usize> {
        for (index, byte) in read.iter().enumerate() {
            match self.at {
                At::Beyond => return None,
                At::Target if is_refused(*byte) => return Some(index),
                at => self.at = at.after(*byte),
            }
        }
        None
    }
}

/// What no target may hold as it is, or where it means something else than in Go.
fn is_refused(byte: u8) -> bool {
    matches!(byte, b'"' | b'#' | b'<' | b'>' | b'`' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of pieces that are read one after another, each a request's beginning or not.
    fn read(pieces: &[(&str, bool)], room: usize) -> String {
        let (mut targets, mut out) = (Targets::default(), Vec::new());
        for (piece, begins) in pieces {
            let mut space = vec![0; piece.len() + 3];
            let mut into = ReadBuf::new(&mut space);
            into.put_slice(b"abc");
            into.put_slice(piece.as_bytes());
            targets.escape(&mut into, 3, *begins);
            out.extend(&into.filled()[3..]);
            loop {
                let mut space = vec![0; room];
                let mut into = ReadBuf::new(&mut space);
                if !targets.give(&mut into) {
                    break;
                }
                out.extend(into.filled());
            }
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_targets_are_escaped() {
        let head = "GET /a<b?q=\"x>`#é HTTP/1.1\r\nx-y: <\"é\r\n\r\n<body>";
        let want = "GET /a%3Cb?q=%22x%3E%60%23%C3%A9 HTTP/1.1\r\nx-y: <\"é\r\n\r\n<body>";
        for room in [1, 7, 4096] {
            assert_eq!(read(&[(head, true)], room), want);
            assert_eq!(read(&[("\r\n", true), (head, false)], room), format!("\r\n{want}"));
            let split = [("GE", true), ("T /a", false), ("<", false), ("b HTTP/1.1\r\n<", false)];
            assert_eq!(read(&split, room), "GET /a%3Cb HTTP/1.1\r\n<");
        }
        for other in ["{\"a\": \"<b>\"}", "get /<", "GET\r\n<", "ABCDEFGHIJKLMNOPQ /<", " <", "<"] {
            assert_eq!(read(&[(other, true)], 9), other);
        }
        assert_eq!(read(&[(head, false)], 9), head);
    }
}
