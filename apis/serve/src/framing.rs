//! Heads that say twice how long a request is. hyper takes such a request by its chunks and forgets that a length was there;
//! whoever stands in front may have gone by the length, and takes what comes behind it for somebody else's. So hyper is given
//! a head that it refuses: 400, and the end.
//!
//! Knows: where the names of header fields stand in HTTP/1.1. Refuses to know: everything else that may be wrong with a head.
//! Behind a request in chunks, further ones that were sent before its answer are looked at no more: where they begin is known
//! to who reads the chunks alone. Each of those is taken by its chunks, as hyper does.

/// The names that matter, in lower case, up to their colon.
const CHUNKS: &[u8] = b"transfer-encoding:";
const LENGTH: &[u8] = b"content-length:";
const UPGRADE: &[u8] = b"upgrade:";
/// The longest of them.
const LONGEST: usize = CHUNKS.len();

/// Where in a request the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the first line.
    Start,
    /// In a line of which nothing matters any more.
    Rest,
    /// At the beginning of a field, of which so much has come.
    Name(usize),
    /// In the value of a length.
    Digits,
    /// In a body, of which so much is to come.
    Body(u64),
    /// Where nobody looks.
    #[default]
    Beyond,
}

/// Looks at heads as they come.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    at: At,
    /// The beginning of a field that has not come whole.
    name: [u8; LONGEST],
    length: Option<u64>,
    chunks: bool,
    upgrade: bool,
}

impl Framing {
    /// Looks at what was read, and spoils the head that says both; `begins` says that a request begins there.
    pub(crate) fn check(&mut self, read: &mut [u8], begins: bool) {
        if begins {
            *self = Framing { at: At::Start, ..Framing::default() };
        }
        let mut index = 0;
        while index < read.len() {
            match self.at {
                At::Beyond => return,
                At::Body(left) => {
                    let rest = u64::try_from(read.len() - index).unwrap_or(u64::MAX);
                    if rest < left {
                        self.at = At::Body(left - rest);
                        return;
                    }
                    index += usize::try_from(left).unwrap_or(usize::MAX);
                    *self = Framing { at: At::Start, ..Framing::default() };
                    continue;
                }
                At::Rest => match line_end(&read[index..]) {
                    Some(line) => {
                        index += line;
                        self.at = At::Name(0);
                    }
                    None => return,
                },
                _ => {
                    if self.step(read[index]) {
                        // No name holds this byte.
                        read[index] = 0;
                        self.at = At::Beyond;
                        return;
                    }
                }
            }
            index += 1;
        }
    }

    /// Takes one byte of a head; whether it is the one too many.
    fn step(&mut self, byte: u8) -> bool {
        match (self.at, byte) {
            // Lines may be empty before the first.
            (At::Start, b'\r' | b'\n') => {}
            (At::Start, _) => self.at = At::Rest,
            (At::Name(0), b'\n') => self.at = self.end(),
            (At::Name(0), b'\r') => {}
            (At::Name(length), byte) => return self.named(length, byte),
            (At::Digits, b'\n') => self.at = At::Name(0),
            (At::Digits, digit @ b'0'..=b'9') => {
                let length = self.length.unwrap_or(0);
                self.length = Some(length.saturating_mul(10).saturating_add((digit - b'0').into()));
            }
            _ => {}
        }
        false
    }

    /// Takes a further byte of a field's name.
    fn named(&mut self, length: usize, byte: u8) -> bool {
        let Some(place) = self.name.get_mut(length) else {
            self.at = if byte == b'\n' { At::Name(0) } else { At::Rest };
            return false;
        };
        *place = byte.to_ascii_lowercase();
        let name = &self.name[..=length];
        self.at = match byte {
            b'\n' => At::Name(0),
            _ if name == CHUNKS => {
                self.chunks = true;
                At::Rest
            }
            // The same length again is no other.
            _ if name == LENGTH => {
                self.length = Some(0);
                At::Digits
            }
            _ if name == UPGRADE => {
                self.upgrade = true;
                At::Rest
            }
            _ if [CHUNKS, LENGTH, UPGRADE].iter().any(|one| one.starts_with(name)) => {
                At::Name(length + 1)
            }
            _ => At::Rest,
        };
        self.chunks && self.length.is_some()
    }

    /// Where the byte after a head stands.
    fn end(&self) -> At {
        match self.length {
            _ if self.chunks || self.upgrade => At::Beyond,
            Some(length) => At::Body(length),
            None => At::Body(0),
        }
    }
}

/// Where the line ends.
fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether something of it was spoilt, read in pieces of so many bytes, the first of which begins a request.
    fn is_spoilt(text: &str, size: usize) -> bool {
        let (mut framing, mut begins) = (Framing::default(), true);
        let mut read = text.as_bytes().to_vec();
        for piece in read.chunks_mut(size) {
            framing.check(piece, std::mem::take(&mut begins));
        }
        read != text.as_bytes()
    }

    /// Red when a length before or behind the chunks is passed over, in any request of a connection.
    #[test]
    fn both_are_refused_and_either_is_not() {
        let (length, chunks) = ("Content-Length: 5\r\n", "transfer-Encoding: chunked\r\n");
        let head = |fields: &str| format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        for size in [1, 3, 7, 4096] {
            for both in [
                head(&format!("{length}{chunks}")),
                head(&format!("{chunks}X: y\r\n{length}")),
                head(&format!("{length}{length}{chunks}")),
                format!("\r\n{}", head(&format!("{chunks}{length}"))),
                format!("{}hello{}", head(length), head(&format!("{chunks}{length}"))),
                format!("{}{}", head(""), head(&format!("{chunks}{length}"))),
            ] {
                assert!(is_spoilt(&both, size), "{size}: {both}");
            }
            for fine in [
                head(length),
                head(chunks),
                head(&format!("{length}X-Transfer-Encoding: chunked\r\n")),
                head(&format!("X: transfer-encoding: a\r\n{length}")),
                format!("{}{chunks}{length}", head("Content-Length: 400\r\n")),
                format!("{}{chunks}{length}", head("Upgrade: websocket\r\n")),
                format!("{}5\r\n{length}\r\n0\r\n\r\n", head(chunks)),
                format!("{}{}", head(""), head(length)),
            ] {
                assert!(!is_spoilt(&fine, size), "{size}: {fine}");
            }
        }
    }
}
