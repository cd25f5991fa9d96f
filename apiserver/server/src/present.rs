//! Documents as the client wants to see them: whole, cut down to metadata, or as a Table; as JSON, YAML or protobuf.
//!
//! Knows: how each is made of a value. Refuses to know: what was asked for and whether it may be seen.

use bytes::Bytes;
use jiff::Timestamp;
use leme_kinds::Subresource;
use leme_meta::{Status, managed};
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::body::Body;
use crate::negotiate::{self, Encoding, Form, Offer, Representation, Shape};
use crate::request::{ResourceRequest, Verb};
use crate::{ordered, protobuf, table};

/// What can be had as the answer to a request.
pub(crate) fn offer(request: &ResourceRequest) -> Offer<'_> {
    let form = match request.verb {
        Verb::Watch => Form::Watch,
        Verb::List | Verb::DeleteCollection => Form::List,
        _ => Form::Object,
    };
    // What is only carried out has no rows, nor has what can only be asked, as a review.
    let carried_out = request.subresource.is_some_and(|sub| {
        !matches!(
            sub,
            Subresource::Status
                | Subresource::Scale
                | Subresource::Finalize
                | Subresource::EphemeralContainers
                | Subresource::Resize
        )
    });
    Offer {
        form,
        kind: &request.kind.kind,
        protobuf: protobuf::has(&request.kind.schema),
        table: !carried_out && request.kind.verbs != ["create"],
    }
}

/// The representation that a request asks for; 406 if it is not to be had.
pub(crate) fn wanted(
    request: &ResourceRequest,
    headers: &http::HeaderMap,
) -> Result<Representation, Status> {
    let offer = offer(request);
    let mut wanted = negotiate::representation(headers, offer)?;
    if wanted.encoding == Encoding::Json
        && offer.form != Form::Watch
        && negotiate::pretty(request.query.get("pretty"), headers)
    {
        wanted.encoding = Encoding::Pretty;
    }
    if matches!(wanted.shape, Shape::Table(_)) {
        negotiate::include(request.query.get("includeObject"))?;
    }
    Ok(wanted)
}

/// An object, and its text where that is at hand.
pub(crate) struct Object {
    /// Its sets of owned fields may be text.
    pub value: Value,
    /// What the value is written as.
    pub json: Option<Bytes>,
}

impl From<Value> for Object {
    fn from(value: Value) -> Object {
        Object { value, json: None }
    }
}

/// One object as it is kept, or the Status that stands for it, as the client wants to see it.
pub(crate) fn object(
    request: &ResourceRequest,
    wanted: Representation,
    code: u16,
    object: impl Into<Object>,
) -> Result<Answer, Status> {
    let Object { mut value, json } = object.into();
    let json = json.filter(|json| request.kept.as_served(json));
    if let (Shape::Plain, Encoding::Json, Some(json)) = (wanted.shape, wanted.encoding, json) {
        return Ok(answer::json(code, json));
    }
    managed::show(&mut value);
    let shown = match wanted.shape {
        // A Status tells what became of the request, whatever was to be shown.
        _ if value["kind"] == "Status" => value,
        Shape::Plain => request.kept.to_served(value),
        Shape::Metadata(version) => table::partial(value, version),
        Shape::Table(version) => {
            let include = negotiate::include(request.query.get("includeObject"))?;
            // What is not kept, or only tried, has none.
            let metadata = match &value["metadata"]["resourceVersion"] {
                Value::Null => json!({}),
                revision => json!({ "resourceVersion": revision }),
            };
            let (kind, shown) = (&request.kind, request.subresource);
            let row =
                table::row((kind, &request.kept), shown, value, include, Timestamp::now(), version);
            table::table(Some(table::columns(kind, shown)), metadata, vec![row], version)
        }
    };
    document(wanted.encoding, code, &shown)
}

/// A list of objects as they are kept, as the client wants to see it.
pub(crate) fn list(
    request: &ResourceRequest,
    shape: Shape,
    metadata: &Value,
    values: impl Iterator<Item = Result<Value, Status>>,
) -> Result<Value, Status> {
    let (kind, api_version, items) = match shape {
        Shape::Table(version) => {
            let include = negotiate::include(request.query.get("includeObject"))?;
            let now = Timestamp::now();
            let kind = (&*request.kind, &request.kept);
            let row = |value: Result<Value, Status>| {
                Ok(table::row(kind, None, value?, include, now, version))
            };
            let rows: Result<Vec<Value>, Status> = values.map(row).collect();
            let columns = Some(table::columns(&request.kind, None));
            return Ok(table::table(columns, metadata.clone(), rows?, version));
        }
        Shape::Metadata(version) => {
            let items = values.map(|value| Ok(table::partial(value?, version)));
            let items: Result<Vec<Value>, Status> = items.collect();
            ("PartialObjectMetadataList".to_owned(), version.to_owned(), items?)
        }
        Shape::Plain => {
            let items = values.map(|value| Ok(request.kept.to_served(value?)));
            let items: Result<Vec<Value>, Status> = items.collect();
            (request.kind.list_kind(), request.kind.api_version(), items?)
        }
    };
    Ok(json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items }))
}

/// A whole document in an encoding.
pub(crate) fn document(encoding: Encoding, code: u16, value: &Value) -> Result<Answer, Status> {
    let bytes = encoded(encoding, value)?;
    Ok(answer::with_body(code, encoding.media_type(), Body::whole(bytes)))
}

/// A document's bytes.
pub(crate) fn encoded(encoding: Encoding, value: &Value) -> Result<Bytes, Status> {
    match encoding {
        Encoding::Json => Ok(ordered::document(value)),
        Encoding::Pretty => Ok(ordered::pretty(value)),
        Encoding::Yaml => serde_saphyr::to_string(value).map(Bytes::from).map_err(Status::internal),
        Encoding::Protobuf => {
            let bytes = protobuf::encode(value).map(Bytes::from);
            bytes.ok_or_else(protobuf::not_encoded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(yaml: &Bytes) -> Value {
        let json = crate::body::to_json("application/yaml", yaml.clone());
        serde_json::from_slice(&json.unwrap_or_else(|error| panic!("{error}: {yaml:?}"))).unwrap()
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back_from_yaml(text in "[ a-z\n:#'\"|>é-]{0,200}", key in "[a-z:# -]{1,9}") {
            let value = json!({ "kind": "List", "items": [text, { key: text }] });
            let yaml = encoded(Encoding::Yaml, &value).unwrap();
            proptest::prop_assert_eq!(back(&yaml), value, "{:?}", yaml);
        }
    }

    // Clients of YAML 1.1 read words as truth values and leading zeros as octal.
    #[test]
    fn text_stays_text_in_yaml() {
        let texts = [
            "yes",
            "no",
            "on",
            "off",
            "y",
            "true",
            "null",
            "~",
            "",
            "0644",
            "1e3",
            "1_0",
            "0x1f",
            "12:30:45",
            "2026-01-02",
            "a: b",
            "- a",
            "a\nb",
            "# c",
        ];
        let value = json!({ "kind": "List", "items": texts });
        let yaml = encoded(Encoding::Yaml, &value).unwrap();
        assert_eq!(back(&yaml), value, "{}", String::from_utf8_lossy(&yaml));
        let text = String::from_utf8(yaml.to_vec()).unwrap();
        for word in ["yes", "no", "on", "off", "y", "0644"] {
            assert!(!text.lines().any(|line| line == format!("- {word}")), "{word}: {text}");
        }
    }
}
