//! One change as it lies in the database.
//!
//! Layout, little-endian: kind (1 byte: 1 put, 2 delete), create revision (8), revision of the key's previous change
//! or 0 (8), length of the key (4), key, value. Knows nothing else.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Entry, StoreError};

const HEAD: usize = 21;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// A change, borrowed from the bytes it was read from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Revision of the key's creation; 0: this is a deletion.
    pub(super) created: u64,
    /// Revision of the key's previous change; 0: none.
    pub(super) previous: u64,
    pub(super) key: &'a str,
    pub(super) value: &'a [u8],
}

impl<'a> Record<'a> {
    pub(super) fn len(&self) -> usize {
        HEAD + self.key.len() + self.value.len()
    }

    /// Writes the record into exactly [`Record::len`] bytes.
    pub(super) fn write(&self, out: &mut [u8]) {
        out[0] = if self.created == 0 { DELETE } else { PUT };
        out[1..9].copy_from_slice(&self.created.to_le_bytes());
        out[9..17].copy_from_slice(&self.previous.to_le_bytes());
        out[17..HEAD].copy_from_slice(&(self.key.len() as u32).to_le_bytes());
        let (key, value) = out[HEAD..].split_at_mut(self.key.len());
        key.copy_from_slice(self.key.as_bytes());
        value.copy_from_slice(self.value);
    }

    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, StoreError> {
        Self::parse(bytes).ok_or_else(|| StoreError::Format("a record is damaged".into()))
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let number = |at: usize| Some(u64::from_le_bytes(head[at..at + 8].try_into().ok()?));
        let (created, previous) = (number(1)?, number(9)?);
        if head[0] != if created == 0 { DELETE } else { PUT } {
            return None;
        }
        let length = u32::from_le_bytes(head[17..HEAD].try_into().ok()?);
        let (key, value) = rest.split_at_checked(length as usize)?;
        Some(Self { created, previous, key: std::str::from_utf8(key).ok()?, value })
    }

    pub(super) fn entry(&self, key: Arc<str>, revision: u64) -> Entry {
        let value = Bytes::copy_from_slice(self.value);
        Entry { key, value, create_revision: self.created, mod_revision: revision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_what_it_wrote(created: u64, previous: u64, key in ".{0,20}", value: Vec<u8>) {
            let record = Record { created, previous, key: &key, value: &value };
            let mut bytes = vec![0; record.len()];
            record.write(&mut bytes);
            prop_assert_eq!(Record::read(&bytes).unwrap(), record);
        }

        #[test]
        fn refuses_garbage(bytes: Vec<u8>) {
            let _ = Record::read(&bytes);
            prop_assert!(Record::read(&bytes[..bytes.len().min(HEAD - 1)]).is_err());
        }
    }
}
