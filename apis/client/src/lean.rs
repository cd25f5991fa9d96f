//! Objects without who owns their fields, which is often a third of them and which programs that keep objects never look at.
//!
//! Knows: JSON text as servers write it. Refuses to know: kinds.

use std::borrow::Cow;
use std::ops::Range;

/// What stands before the list of an object's metadata, as servers write it.
const NAME: &str = "\"managedFields\":";

/// The text of an object without the list of owners, of which is said where it is. One that has spaces where servers
/// write none stays as it is.
pub(crate) fn without_owners<'a>(json: &'a str, list: &Range<usize>) -> Cow<'a, str> {
    stripped(json, list).map_or(Cow::Borrowed(json), Cow::Owned)
}

/// Where a part of a text is.
pub(crate) fn place(json: &str, part: &str) -> Range<usize> {
    let at = part.as_ptr().addr().saturating_sub(json.as_ptr().addr());
    at..at + part.len()
}

fn stripped(json: &str, list: &Range<usize>) -> Option<String> {
    json.get(list.clone())?;
    let (before, after) = (json.get(..list.start)?.strip_suffix(NAME)?, json.get(list.end..)?);
    let (before, after) = match before.bytes().next_back()? {
        b',' => (&before[..before.len() - 1], after),
        b'{' => (before, after.strip_prefix(',').unwrap_or(after)),
        _ => return None,
    };
    Some([before, after].concat())
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::mirror::Head;

    // Red when a comma is left, or a bracket in a text counts.
    #[test]
    fn the_list_goes_and_all_else_stays() {
        let list =
            json!([{"manager": "a ] \\\" [ b", "fieldsV1": {"f:data": {".": {}, "f:x]": {}}}}]);
        for metadata in [
            json!({}),
            json!({"managedFields": list}),
            json!({"name": "x", "managedFields": list}),
            json!({"managedFields": list, "name": "x"}),
            json!({"annotations": {"a": ",\"managedFields\":[1]"}, "managedFields": list, "name": "x"}),
            json!({"annotations": {"a": "managedFields"}, "managedFields": []}),
        ] {
            let whole = json!({"kind": "X", "metadata": metadata, "data": {"text": "]}"}});
            let mut less = whole.clone();
            less["metadata"].as_object_mut().unwrap().remove("managedFields");
            let text = whole.to_string();
            let text = RawValue::from_string(text).unwrap();
            let found = Head::of(&text).without_owners(&text).into_owned();
            let found: Value = serde_json::from_str(&found).unwrap();
            assert_eq!(found, less, "of {text}");
        }
    }

    // Red when a place is taken for right that is another text's.
    #[test]
    fn what_is_elsewhere_stays() {
        for text in ["", "{\"managedFields\":[", "\"managedFields\":[]", "{\"managedFields\":ü[]]"]
        {
            for (start, end) in (0..20).flat_map(|start| (0..24).map(move |end| (start, end))) {
                let less = without_owners(text, &(start..end));
                assert!(
                    less == text || less.starts_with('{') && less.len() < text.len(),
                    "{text}: {less}"
                );
            }
        }
    }
}
