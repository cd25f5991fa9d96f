//! Which objects of a collection a request means: its prefix, label selector and field selector.
//!
//! Knows: the cache's index. Refuses to know: objects' JSON.

use leme_kinds::Kind;
use leme_meta::selector::{FieldSelector, LabelSelector};
use leme_meta::{FieldError, Path, Status};
use leme_store::cache::Cached;

use crate::request::ResourceRequest;

/// Which objects of a collection a request means.
pub(crate) struct Selection {
    prefix: String,
    labels: LabelSelector,
    fields: FieldSelector,
    everything: bool,
}

impl Selection {
    /// The selection of a request; a selector that cannot be parsed, or names a field that the kind does not offer, is
    /// a 400.
    pub fn of(request: &ResourceRequest) -> Result<Selection, Status> {
        let label_text = request.query.get("labelSelector").unwrap_or("");
        let field_text = request.query.get("fieldSelector").unwrap_or("");
        let labels = LabelSelector::parse(label_text).map_err(Status::bad_request)?;
        let fields = FieldSelector::parse(field_text).map_err(Status::bad_request)?;
        if let Some(unknown) =
            fields.requirements().iter().find(|one| !offered(request.kind, &one.path))
        {
            return Err(Status::bad_request(format!(
                "field label not supported: {}",
                unknown.path
            )));
        }
        let everything = label_text.is_empty() && field_text.is_empty();
        Ok(Selection { prefix: request.prefix(), labels, fields, everything })
    }

    /// The storage prefix of all that can match.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether no selector was given.
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether the selectors match; the prefix is not looked at.
    pub fn matches(&self, object: &Cached) -> bool {
        self.everything
            || (self.labels.matches(|key| object.index.label(key)) && self.fields_match(object))
    }

    fn fields_match(&self, object: &Cached) -> bool {
        self.fields.requirements().iter().all(|requirement| {
            let value = object.index.field(&requirement.path).unwrap_or("");
            (value == requirement.value) == requirement.equal
        })
    }
}

fn offered(kind: &Kind, field: &str) -> bool {
    field == "metadata.name"
        || (field == "metadata.namespace" && kind.namespaced())
        || kind.selectable.iter().any(|offered| offered.path == field)
}

/// A 422 for a list parameter, as upstream words those.
pub(crate) fn list_options_invalid(errors: &[FieldError]) -> Status {
    let kind = leme_meta::Gvk {
        group: "meta.k8s.io".to_owned(),
        version: "v1".to_owned(),
        kind: "ListOptions".to_owned(),
    };
    Status::invalid(&kind, "", errors)
}

/// What `resourceVersionMatch` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Unset,
    Exact,
    NotOlderThan,
}

/// Which revision a list or watch shall be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// `None`: the newest; 0: any.
    pub revision: Option<u64>,
    pub matching: Match,
}

impl Version {
    /// Reads `resourceVersion` and `resourceVersionMatch`.
    pub fn of(request: &ResourceRequest) -> Result<Version, Status> {
        let revision = match request.query.get("resourceVersion") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                let detail = "strconv.ParseUint: parsing: invalid syntax";
                list_options_invalid(&[FieldError::invalid(
                    &Path::new("resourceVersion"),
                    text,
                    detail,
                )])
            })?),
        };
        let path = Path::new("resourceVersionMatch");
        let matching = match request.query.get("resourceVersionMatch") {
            None => Match::Unset,
            Some("Exact") => Match::Exact,
            Some("NotOlderThan") => Match::NotOlderThan,
            Some(other) => {
                let known = ["Exact", "NotOlderThan", ""];
                return Err(list_options_invalid(&[FieldError::not_supported(
                    &path, other, &known,
                )]));
            }
        };
        Ok(Version { revision, matching })
    }

    /// Refuses the combinations that make no sense for a list.
    pub fn check_list(self, continued: bool) -> Result<Version, Status> {
        let path = Path::new("resourceVersionMatch");
        let detail = match (self.matching, self.revision) {
            (Match::Unset, _) => return Ok(self),
            (_, _) if continued => "resourceVersionMatch is forbidden when continue is provided",
            (_, None) => "resourceVersionMatch is forbidden unless resourceVersion is provided",
            (Match::Exact, Some(0)) => {
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""
            }
            _ => return Ok(self),
        };
        Err(list_options_invalid(&[FieldError::forbidden(&path, detail)]))
    }
}
