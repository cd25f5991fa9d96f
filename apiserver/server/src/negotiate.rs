//! Which representation a client wants of an answer: the first one in its `Accept` header that is served.
//!
//! Knows: media types and their parameters. Refuses to know: how a representation is made.

use http::HeaderMap;
use leme_meta::Status;

/// How much of each object a Table row carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    #[default]
    Metadata,
    Object,
}

/// A representation of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The objects themselves, from the cache's bytes.
    Plain,
    /// `meta.k8s.io/v1` Table.
    Table,
    /// `meta.k8s.io/v1` PartialObjectMetadata, or its list.
    Metadata,
}

/// One entry of an `Accept` header.
pub(crate) struct Accepted<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Accepted<'a> {
    /// The entries in the client's order; an absent header accepts JSON.
    pub fn all(headers: &'a HeaderMap) -> Vec<Accepted<'a>> {
        let values =
            headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let entries: Vec<Accepted<'a>> = values
            .flat_map(|value| value.split(','))
            .filter(|entry| !entry.trim().is_empty())
            .map(|entry| {
                let mut parts = entry.split(';').map(str::trim);
                let media = parts.next().unwrap_or("");
                Accepted {
                    media,
                    parameters: parts.filter_map(|part| part.split_once('=')).collect(),
                }
            })
            .collect();
        if entries.is_empty() {
            vec![Accepted { media: "*/*", parameters: Vec::new() }]
        } else {
            entries
        }
    }

    /// A parameter of the entry, or `""`.
    pub fn parameter(&self, name: &str) -> &'a str {
        self.parameters.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    /// Whether the entry takes JSON.
    pub fn json(&self) -> bool {
        matches!(self.media, "application/json" | "application/*" | "*/*")
    }
}

/// What a client is told whose types are all unknown.
pub(crate) fn not_acceptable() -> Status {
    Status::not_acceptable("only the following media types are accepted: application/json")
}

/// The shape of objects that the client prefers; `list` for collections and watches of them.
pub(crate) fn shape(headers: &HeaderMap, list: bool) -> Result<Shape, Status> {
    for entry in Accepted::all(headers).iter().filter(|entry| entry.json()) {
        let meta_v1 = entry.parameter("g") == "meta.k8s.io" && entry.parameter("v") == "v1";
        match (entry.parameter("as"), meta_v1) {
            ("", _) => return Ok(Shape::Plain),
            ("Table", true) => return Ok(Shape::Table),
            ("PartialObjectMetadata", true) => return Ok(Shape::Metadata),
            ("PartialObjectMetadataList", true) if list => return Ok(Shape::Metadata),
            _ => {}
        }
    }
    Err(not_acceptable())
}

/// The `includeObject` parameter of Table requests.
pub(crate) fn include(text: Option<&str>) -> Result<Include, Status> {
    match text {
        None | Some("Metadata") => Ok(Include::Metadata),
        Some("None") => Ok(Include::None),
        Some("Object") => Ok(Include::Object),
        Some(other) => {
            Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, list: bool, expected: Option<Shape>) {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert("accept", accept.parse().unwrap());
        }
        assert_eq!(shape(&headers, list).ok(), expected, "{accept}");
    }

    #[test]
    fn the_first_served_type_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        check("", false, Some(Shape::Plain));
        check("*/*", false, Some(Shape::Plain));
        check(table, true, Some(Shape::Table));
        check(
            "application/json;as=Table;v=v9;g=meta.k8s.io, application/json",
            true,
            Some(Shape::Plain),
        );
        check("application/vnd.kubernetes.protobuf, application/json", true, Some(Shape::Plain));
        check("application/vnd.kubernetes.protobuf", true, None);
        check(
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            true,
            Some(Shape::Metadata),
        );
        check("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", false, None);
        check("application/json;stream=watch", true, Some(Shape::Plain));
    }
}
