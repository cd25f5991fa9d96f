//! One change as it lies in the database, with checksums of its own: the database checks its pages only after a crash.
//!
//! Layout, little-endian: magic (4), checksum of the rest of the head and of the key (4), revision (8), create revision
//! or 0 for a deletion (8), revision of the key's previous change or 0 (8), length of the key (4), length of the value
//! (4), checksum of the value (4), key, value. The head has a checksum of its own so that an object whose value is
//! damaged still has a name. Format 1 had none of that: kind (1 byte: 1 put, 2 delete), create revision (8), previous
//! (8), length of the key (4), key, value; such records are read, never written. Knows nothing else.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Change, Entry};

/// What every record starts with. No byte of it is a kind of format 1, nor one bit away from one.
pub(super) const MAGIC: [u8; 4] = [0xa7, b'L', b'r', 0xec];
/// Length of what stands before the key.
pub(super) const HEAD: usize = 44;
/// No key is longer: two names of 253 bytes and what stands around them.
pub(super) const LONGEST_KEY: usize = 1024;
const OLD_HEAD: usize = 21;
const OLD_PUT: u8 = 1;
const OLD_DELETE: u8 = 2;

/// A change, borrowed from the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) revision: u64,
    /// Revision of the key's creation; 0: this is a deletion.
    pub(super) created: u64,
    /// Revision of the key's previous change; 0: none.
    pub(super) previous: u64,
    pub(super) key: Cow<'a, str>,
    /// Empty if it is lost.
    pub(super) value: &'a [u8],
}

/// How far a record can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is as it was written.
    Whole,
    /// It is as it was written but for one bit of its head, which is right again.
    Mended,
    /// It is of format 1: nobody can say.
    Unchecked,
    /// Its value is not what was written, and has been left out.
    ValueLost,
}

impl<'a> Record<'a> {
    /// What is written down of a change.
    pub(super) fn of(change: &'a Change) -> Self {
        let revision = change.revision();
        match change {
            Change::Put { entry, previous } => Record {
                revision,
                created: entry.create_revision,
                previous: previous.unwrap_or(0),
                key: Cow::Borrowed(&entry.key),
                value: &entry.value,
            },
            Change::Delete { previous, .. } => Record {
                revision,
                created: 0,
                previous: previous.mod_revision,
                key: Cow::Borrowed(&previous.key),
                value: &[],
            },
        }
    }

    pub(super) fn len(&self) -> usize {
        HEAD + self.key.len() + self.value.len()
    }

    /// Writes the record into exactly [`Record::len`] bytes.
    pub(super) fn write(&self, out: &mut [u8]) {
        let number = |out: &mut [u8], at: usize, n: u64| {
            out[at..at + 8].copy_from_slice(&n.to_le_bytes());
        };
        let short = |out: &mut [u8], at: usize, n: u32| {
            out[at..at + 4].copy_from_slice(&n.to_le_bytes());
        };
        out[..4].copy_from_slice(&MAGIC);
        number(out, 8, self.revision);
        number(out, 16, self.created);
        number(out, 24, self.previous);
        short(out, 32, self.key.len() as u32);
        short(out, 36, self.value.len() as u32);
        short(out, 40, crc32fast::hash(self.value));
        let (key, value) = out[HEAD..].split_at_mut(self.key.len());
        key.copy_from_slice(self.key.as_bytes());
        value.copy_from_slice(self.value);
        let head = crc32fast::hash(&out[8..HEAD + self.key.len()]);
        short(out, 4, head);
    }

    /// The record that `revision` wrote, as far as it can be trusted; `None` if not even its key can be told.
    pub(super) fn read(revision: u64, bytes: &'a [u8]) -> Option<(Self, Trust)> {
        if let Some(read) = Self::checked(bytes) {
            return Some(read).filter(|(record, _)| record.revision == revision);
        }
        match bytes.first() {
            Some(&(OLD_PUT | OLD_DELETE)) => {
                Self::old(revision, bytes).map(|record| (record, Trust::Unchecked))
            }
            _ => Self::mended(revision, bytes),
        }
    }

    /// A record that starts with the magic and whose head is what was written. More may follow it in `bytes`.
    pub(super) fn checked(bytes: &'a [u8]) -> Option<(Self, Trust)> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let key = rest.get(..short(head, 32)? as usize)?;
        if head[..4] != MAGIC || short(head, 4)? != head_checksum(head, key) {
            return None;
        }
        let value = rest[key.len()..].get(..short(head, 36)? as usize);
        let value = value.filter(|value| Some(crc32fast::hash(value)) == short(head, 40));
        let record = Self {
            revision: long(head, 8)?,
            created: long(head, 16)?,
            previous: long(head, 24)?,
            key: Cow::Borrowed(std::str::from_utf8(key).ok()?),
            value: value.unwrap_or_default(),
        };
        Some((record, if value.is_some() { Trust::Whole } else { Trust::ValueLost }))
    }

    /// The record if turning one bit of its head or key makes the head right: then that is what was written.
    fn mended(revision: u64, bytes: &'a [u8]) -> Option<(Self, Trust)> {
        let key = short(bytes, 32).map_or(0, |length| length as usize).min(LONGEST_KEY);
        let end = (HEAD + key).min(bytes.len());
        let mut copy = bytes.to_vec();
        for bit in 0..end * 8 {
            copy[bit / 8] ^= 1 << (bit % 8);
            if let Some((right, trust)) = Record::checked(&copy)
                && right.revision == revision
            {
                let Record { created, previous, .. } = right;
                let from = HEAD + right.key.len();
                let value = bytes.get(from..from + right.value.len())?;
                let key = Cow::Owned(right.key.into_owned());
                let trust = if trust == Trust::Whole { Trust::Mended } else { trust };
                return Some((Self { revision, created, previous, key, value }, trust));
            }
            copy[bit / 8] ^= 1 << (bit % 8);
        }
        None
    }

    fn old(revision: u64, bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(OLD_HEAD)?;
        let (created, previous) = (long(head, 1)?, long(head, 9)?);
        if head[0] != if created == 0 { OLD_DELETE } else { OLD_PUT } {
            return None;
        }
        let (key, value) = rest.split_at_checked(short(head, 17)? as usize)?;
        let key = Cow::Borrowed(std::str::from_utf8(key).ok()?);
        Some(Self { revision, created, previous, key, value })
    }

    pub(super) fn entry(&self, key: Arc<str>) -> Entry {
        let value = Bytes::copy_from_slice(self.value);
        Entry { key, value, create_revision: self.created, mod_revision: self.revision }
    }
}

fn head_checksum(head: &[u8], key: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[8..]);
    hasher.update(key);
    hasher.finalize()
}

fn short(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(record: &Record<'_>) -> Vec<u8> {
        let mut bytes = vec![0; record.len()];
        record.write(&mut bytes);
        bytes
    }

    fn sample() -> Record<'static> {
        let key = Cow::Borrowed("/registry/things/a");
        Record { revision: 9, created: 4, previous: 7, key, value: b"{\"metadata\":{}}" }
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote(
            revision: u64, created: u64, previous: u64, key in ".{0,20}", value: Vec<u8>
        ) {
            let key = Cow::Owned(key);
            let record = Record { revision, created, previous, key, value: &value };
            let bytes = written(&record);
            prop_assert_eq!(Record::read(revision, &bytes), Some((record, Trust::Whole)));
            prop_assert_eq!(Record::read(revision ^ 1, &bytes), None);
        }

        #[test]
        fn refuses_garbage(bytes: Vec<u8>) {
            let _ = Record::read(1, &bytes);
            prop_assert!(Record::read(1, &bytes[..bytes.len().min(OLD_HEAD - 1)]).is_none());
        }
    }

    /// Red when the value's checksum is not looked at, or one bit of a head makes the record unreadable.
    #[test]
    fn no_flipped_bit_is_believed() {
        let record = sample();
        let whole = written(&record);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (read, trust) = Record::read(9, &bytes).expect("the key is known");
            if trust == Trust::ValueLost {
                assert!(read.value.is_empty());
                assert_eq!((read.key, read.created, read.previous), (record.key.clone(), 4, 7));
            } else {
                assert_eq!((read, trust), (record.clone(), Trust::Mended), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_record_of_format_1_is_read() {
        let mut bytes = vec![OLD_PUT];
        bytes.extend(4u64.to_le_bytes());
        bytes.extend(7u64.to_le_bytes());
        bytes.extend(18u32.to_le_bytes());
        bytes.extend(b"/registry/things/a{\"metadata\":{}}");
        assert_eq!(Record::read(9, &bytes), Some((sample(), Trust::Unchecked)));
    }
}
