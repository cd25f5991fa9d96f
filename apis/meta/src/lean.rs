//! Less than whole objects: the metadata alone.
//!
//! Knows: JSON text as servers write it. Refuses to know: kinds.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The metadata of an object. Nothing is read that comes after it.
///
/// # Errors
/// There is none, or it is not of this type.
pub fn metadata<'de, M: Deserialize<'de>>(json: &'de str) -> Result<M, serde_json::Error> {
    let mut found = None;
    let read = UpToMetadata(&mut found).deserialize(&mut serde_json::Deserializer::from_str(json));
    // Whoever stops amidst an object is told that it has not ended.
    found.map_or_else(|| Err(read.err().unwrap_or_else(|| Error::missing_field("metadata"))), Ok)
}

struct UpToMetadata<'a, M>(&'a mut Option<M>);

impl<'de, M: Deserialize<'de>> DeserializeSeed<'de> for UpToMetadata<'_, M> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, M: Deserialize<'de>> Visitor<'de> for UpToMetadata<'_, M> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key::<String>()? {
            if name == "metadata" {
                *self.0 = Some(entries.next_value()?);
                return Ok(());
            }
            entries.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    // Red when what follows is asked to be right, or what is not there reads as empty.
    #[test]
    fn metadata_is_read_and_nothing_after_it() {
        let read = |text: &str| metadata::<Value>(text).map_err(|error| error.to_string());
        assert_eq!(
            read(r#"{"kind":"X","metadata":{"name":"x"},"data":{"a":1}}"#),
            Ok(json!({"name": "x"}))
        );
        assert_eq!(read(r#"{"metadata":{"name":"x"}, nonsense"#), Ok(json!({"name": "x"})));
        assert!(read(r#"{"kind":"X"}"#).unwrap_err().contains("missing field `metadata`"));
        assert!(read(r#"{"kind":"X","metadata":{"name":"#).unwrap_err().starts_with("EOF"));
        assert!(read("[]").unwrap_err().starts_with("invalid type: sequence, expected an object"));
    }
}
