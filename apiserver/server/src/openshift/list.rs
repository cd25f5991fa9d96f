//! Lists of views.
//!
//! Knows: the document, and selection by labels and names. Refuses to know: what is in it.

use jiff::Timestamp;
use leme_meta::Status;
use leme_meta::selector::{FieldSelector, LabelSelector};
use leme_registry::json;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::negotiate::{self, Representation, Shape};
use crate::request::ResourceRequest;
use crate::{present, table};

/// Those of the objects that a request selects.
pub(super) fn selected(
    request: &ResourceRequest,
    objects: Vec<Value>,
) -> Result<Vec<Value>, Status> {
    let text = |name| request.query.get(name).unwrap_or("");
    let labels = LabelSelector::parse(text("labelSelector")).map_err(Status::bad_request)?;
    let fields = FieldSelector::parse(text("fieldSelector")).map_err(Status::bad_request)?;
    for one in fields.requirements() {
        let known = ["metadata.name", "metadata.namespace"].contains(&one.path.as_str());
        if !known {
            return Err(Status::bad_request(format!("field label not supported: {}", one.path)));
        }
    }
    let matches = |object: &Value| {
        let label =
            |key: &str| json::at(object, &["metadata", "labels", key]).and_then(Value::as_str);
        let field = |path: &str| match path {
            "metadata.namespace" => json::text(object, &["metadata", "namespace"]),
            _ => json::text(object, &["metadata", "name"]),
        };
        labels.matches(label)
            && fields.requirements().iter().all(|one| (field(&one.path) == one.value) == one.equal)
    };
    Ok(objects.into_iter().filter(matches).collect())
}

/// A list of views as the client wants to see it.
pub(crate) fn shown(
    request: &ResourceRequest,
    wanted: Representation,
    objects: Vec<Value>,
) -> Result<Answer, Status> {
    let document = match wanted.shape {
        Shape::Table(version) => {
            let include = negotiate::include(request.query.get("includeObject"))?;
            let (kind, now) = ((&*request.kind, &request.kept), Timestamp::now());
            let rows = objects
                .into_iter()
                .map(|object| table::row(kind, None, object, include, now, version))
                .collect();
            table::table(Some(table::columns(&request.kind, None)), json!({}), rows, version)
        }
        Shape::Metadata(version) => {
            let items: Vec<Value> =
                objects.into_iter().map(|object| table::partial(object, version)).collect();
            json!({ "kind": "PartialObjectMetadataList", "apiVersion": version, "metadata": {}, "items": items })
        }
        Shape::Plain => {
            let (kind, version) = (request.kind.list_kind(), request.kind.api_version());
            let bare = |mut object: Value| {
                json::remove(&mut object, "kind");
                json::remove(&mut object, "apiVersion");
                object
            };
            let items: Vec<Value> = objects.into_iter().map(bare).collect();
            json!({ "kind": kind, "apiVersion": version, "metadata": {}, "items": items })
        }
    };
    present::document(wanted.encoding, 200, &document)
}
