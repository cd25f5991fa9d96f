//! An object read for its index: all of it is checked, and what nothing is selected by is not kept.
//!
//! Knows: which metadata every index has; that other selectable fields are never in lists of the spec, which are most of
//! a pod, nor in that of who owns what.
//! Refuses to know: kinds.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What the index of every object is made of, and the revision that one may have.
const ALWAYS: [&str; 6] =
    ["name", "namespace", "uid", "labels", "deletionTimestamp", "resourceVersion"];

/// Of the document what indices are made of: with other selectable `fields` all but the lists in its `spec` and who owns
/// its fields, without them some metadata. An error for whatever is not JSON.
pub(super) fn outline(json: &[u8], fields: bool) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let part = if fields { Part::Document } else { Part::Bare };
    let value = Outline(part).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Where in a document a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It is the whole.
    Document,
    Metadata,
    /// It is the whole, of which only metadata is kept.
    Bare,
    BareMetadata,
    /// A part whose lists are left out.
    Spec,
    Other,
}

/// A value of which only the outline is kept.
struct Outline(Part);

impl<'de> DeserializeSeed<'de> for Outline {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Outline {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        if self.0 == Part::Spec {
            while items.next_element_seed(Checked)?.is_some() {}
        } else {
            while let Some(item) = items.next_element_seed(Outline(Part::Other))? {
                list.push(item);
            }
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            let part = match (self.0, &*key) {
                (Part::Document, "spec") | (Part::Metadata, "managedFields") => Some(Part::Spec),
                (Part::Document, "metadata") => Some(Part::Metadata),
                (Part::Bare, "metadata") => Some(Part::BareMetadata),
                (Part::BareMetadata, key) => ALWAYS.contains(&key).then_some(Part::Other),
                (Part::Bare, _) => None,
                (Part::Document | Part::Metadata, _) => Some(Part::Other),
                (part, _) => Some(part),
            };
            match part {
                Some(part) => {
                    let value = entries.next_value_seed(Outline(part))?;
                    map.insert(key.into_owned(), value);
                }
                None => entries.next_value_seed(Checked)?,
            }
        }
        Ok(Value::Object(map))
    }
}

/// The name of a member.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Cow<'de, str>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// A value that is looked through as if it were kept: what could not be read is an error here as well.
struct Checked;

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Checked)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_key_seed(Checked)?.is_some() {
            entries.next_value_seed(Checked)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn emptied(value: &mut Value) {
        match value {
            Value::Array(list) => list.clear(),
            Value::Object(map) => map.values_mut().for_each(emptied),
            _ => {}
        }
    }

    #[test]
    fn only_lists_of_the_spec_and_of_owners_are_left_out() {
        let document = json!({
            "metadata": { "finalizers": ["a"], "spec": ["b"], "managedFields": [{ "manager": "m" }] },
            "spec": { "nodeName": "n", "containers": [{ "name": "c" }], "to": { "name": "t", "of": [1] } },
            "status": { "podIPs": [{ "ip": "1.2.3.4" }], "spec": [1] },
        });
        let mut expected = document.clone();
        emptied(&mut expected["spec"]);
        emptied(&mut expected["metadata"]["managedFields"]);
        assert_eq!(outline(document.to_string().as_bytes(), true).unwrap(), expected);
    }

    #[test]
    fn some_metadata_is_enough_without_fields() {
        let mut metadata = json!({ "name": "a", "uid": "b", "labels": { "c": "d" } });
        let expected = json!({ "metadata": metadata });
        metadata["annotations"] = json!({ "e": "f" });
        let document = json!({ "data": { "g": ["h"] }, "metadata": metadata, "spec": { "i": 1 } });
        assert_eq!(outline(document.to_string().as_bytes(), false).unwrap(), expected);
    }

    proptest! {
        /// Red when what is left out is stepped over unread: half a surrogate pair, or a number that is none.
        #[test]
        fn what_is_left_out_is_checked(
            part in r#"[\[\]{}",:\\u a1eE9.+-]{0,12}|"\\\\ud8[0-9]{2}"|1e9{1,3}|"[\x80-\xff]""#,
            raw: Vec<u8>,
        ) {
            for part in [part.as_bytes(), &raw] {
                let text = [br#"{"spec":{"list":["#, part, b"]}}"].concat();
                let whole: Result<Value, _> = serde_json::from_slice(&text);
                for fields in [true, false] {
                    prop_assert_eq!(outline(&text, fields).is_ok(), whole.is_ok(), "{}", String::from_utf8_lossy(&text));
                }
            }
        }
    }

    #[test]
    fn nothing_unreadable_passes() {
        for part in [r#""\ud800""#, "1e999", "01", "\"\u{1}\"", r#"{"\ud800":1}"#] {
            let text = format!(r#"{{"spec":{{"list":[{part}]}}}}"#);
            assert!(outline(text.as_bytes(), true).is_err(), "{part}");
            assert!(outline(text.as_bytes(), false).is_err(), "{part}");
        }
        assert!(outline(b"{\"spec\":[\"\xff\"]}", false).is_err());
        assert!(outline(b"{} x", false).is_err());
    }
}
