//! YAML in requests, read as Go's libraries read it.
//!
//! Knows: that of a key which is there twice the last counts, and what is said of it. Refuses to know: objects.

mod words;

use std::collections::HashSet;
use std::fmt;

use leme_meta::{quote, whole_numbers};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Error, Options, Spanned};

/// What Go's library says before what is wrong with YAML.
pub(crate) const UNCONVERTED: &str = "error converting YAML to JSON";

/// A document of YAML, or of the JSON that it contains: the first, whatever comes after it.
pub(crate) fn value(bytes: &[u8]) -> Result<Value, String> {
    let read = match serde_saphyr::from_slice_with_options(bytes, options()) {
        Err(error) if is_about_another(&error) => {
            let mut left = bytes;
            serde_saphyr::read_with_options(&mut left, options()).next().unwrap_or(Err(error))
        }
        read => read,
    };
    let mut value = read.map_err(|error| words::told(&error, bytes))?;
    whole_numbers(&mut value);
    Ok(value)
}

/// Whether an error says that there is more than one document.
fn is_about_another(error: &Error) -> bool {
    matches!(error.without_snippet(), Error::MultipleDocuments { .. })
}

/// As Go's decoder reads it: `0644` is a file mode.
fn options() -> Options {
    serde_saphyr::options! { legacy_octal_numbers: true, duplicate_keys: DuplicateKeyPolicy::LastWins }
}

/// What is said of every key that is there twice, in the order in which values end.
pub(crate) fn doubled(bytes: &[u8]) -> Vec<String> {
    let read: Result<Doubled, Error> = serde_saphyr::from_slice_with_options(bytes, options());
    read.map(|doubled| doubled.told).unwrap_or_default()
}

/// All of that as one error.
pub(crate) fn error(doubled: &[String]) -> String {
    format!("yaml: unmarshal errors:\n  {}", doubled.join("\n  "))
}

/// A node of which only the doubled keys are kept, and the line of its first key.
#[derive(Default)]
struct Doubled {
    told: Vec<String>,
    line: Option<u64>,
}

impl<'de> Deserialize<'de> for Doubled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Doubled, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Doubled;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any node")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Doubled, E> {
        Ok(Doubled::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Doubled, E> {
        Ok(Doubled::default())
    }

    fn visit_i128<E>(self, _: i128) -> Result<Doubled, E> {
        Ok(Doubled::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Doubled, E> {
        Ok(Doubled::default())
    }

    fn visit_u128<E>(self, _: u128) -> Result<Doubled, E> {
        Ok(Doubled::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Doubled, E> {
        Ok(Doubled::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Doubled, E> {
        Ok(Doubled::default())
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Doubled, E> {
        Ok(Doubled::default())
    }

    fn visit_none<E>(self) -> Result<Doubled, E> {
        Ok(Doubled::default())
    }

    fn visit_unit<E>(self) -> Result<Doubled, E> {
        Ok(Doubled::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, node: D) -> Result<Doubled, D::Error> {
        Doubled::deserialize(node)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, node: D) -> Result<Doubled, D::Error> {
        IgnoredAny::deserialize(node).map(|_| Doubled::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Doubled, A::Error> {
        let mut found = Doubled::default();
        while let Some(item) = items.next_element::<Doubled>()? {
            found.told.extend(item.told);
            found.line = found.line.or(item.line);
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Doubled, A::Error> {
        let (mut found, mut seen) = (Doubled::default(), HashSet::new());
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let own = key.referenced.line();
            let value: Doubled = entries.next_value()?;
            found.told.extend(value.told);
            found.line = found.line.or(Some(own));
            if seen.contains(&key.value) {
                // A value that begins on the next line is told to be there.
                let line = value.line.unwrap_or(own);
                found
                    .told
                    .push(format!("line {line}: key {} already set in map", quote(&key.value)));
            } else {
                seen.insert(key.value);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red with only the first key told.
    #[test]
    fn every_doubled_key_is_told_with_its_line_and_the_last_counts() {
        let text = b"a: 1\nb:\n  c: [x, {k: 1, k: 2}]\n  c: null\nn: 0644\na:\n  z: true\nt: 1.5\n";
        let told = [
            "line 3: key \"k\" already set in map",
            "line 4: key \"c\" already set in map",
            "line 7: key \"a\" already set in map",
        ];
        assert_eq!(doubled(text), told);
        let read = value(text).unwrap();
        assert_eq!(
            read,
            serde_json::json!({ "a": { "z": true }, "b": { "c": null }, "n": 420, "t": 1.5 })
        );
        assert_eq!(
            error(&doubled(b"a: 1\na: 2\n")),
            "yaml: unmarshal errors:\n  line 2: key \"a\" already set in map"
        );
        let deep: String = (0..1_400).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        assert!(doubled(deep.as_bytes()).is_empty());
        assert!(doubled(b"a: [").is_empty() && doubled(b"{\"a\": {\"b\": \"c\"}}").is_empty());
        assert!(!value(b"a: [").unwrap_err().contains('\n'));
    }
}
