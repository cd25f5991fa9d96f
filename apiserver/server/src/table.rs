//! Objects as the rows of a Table, or cut down to their metadata: what `kubectl get` and metadata clients ask for.
//!
//! Knows: the two documents of `meta.k8s.io`, whose versions differ in name alone. Refuses to know: kinds; columns and cells come from the kind table.

use jiff::Timestamp;
use leme_kinds::{Kind, Subresource};
use leme_meta::Status;
use leme_store::cache::Cached;
use serde_json::{Value, json};

use crate::negotiate::Include;
use crate::request::Kept;

/// The stored object as JSON. The cache holds only what has once been decoded.
pub(crate) fn decoded(object: &Cached) -> Result<Value, Status> {
    serde_json::from_slice(&object.json)
        .map_err(|error| Status::internal(format!("{}: {error}", object.key)))
}

/// The object cut down to its metadata.
pub(crate) fn partial(mut object: Value, version: &str) -> Value {
    let metadata = object.get_mut("metadata").map(Value::take).unwrap_or_else(|| json!({}));
    json!({ "kind": "PartialObjectMetadata", "apiVersion": version, "metadata": metadata })
}

/// The column definitions of the Table of a kind, or of what a subresource shows of it.
pub(crate) fn columns(kind: &Kind, shown: Option<Subresource>) -> Value {
    let columns = kind.columns_of(shown).map(|column| {
        json!({
            "name": column.name,
            "type": column.type_,
            "format": column.format,
            "description": "",
            "priority": column.priority,
        })
    });
    Value::Array(columns.collect())
}

/// The row of an object as it is kept: also the columns of a view are those of the kept object.
pub(crate) fn row(
    (kind, kept): (&Kind, &Kept),
    shown: Option<Subresource>,
    object: Value,
    include: Include,
    now: Timestamp,
    version: &str,
) -> Value {
    let cells: Vec<Value> =
        kind.columns_of(shown).map(|column| column.cell(&object, now)).collect();
    match include {
        Include::None => json!({ "cells": cells, "object": null }),
        Include::Metadata => json!({ "cells": cells, "object": partial(object, version) }),
        Include::Object => json!({ "cells": cells, "object": kept.to_served(object) }),
    }
}

/// A Table of rows, with column definitions unless they are told to be known.
pub(crate) fn table(
    columns: Option<Value>,
    metadata: Value,
    rows: Vec<Value>,
    version: &str,
) -> Value {
    json!({
        "kind": "Table",
        "apiVersion": version,
        "metadata": metadata,
        "columnDefinitions": columns.unwrap_or_else(|| json!([])),
        "rows": rows,
    })
}
