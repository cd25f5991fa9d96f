//! Which objects of a collection a request means: its prefix, label selector and field selector.
//!
//! Knows: the cache's index. Refuses to know: objects' JSON.

use std::sync::Arc;

use leme_access::{Attributes, Identity, Policy};
use leme_kinds::Kind;
use leme_meta::quote;
use leme_meta::selector::{FieldSelector, LabelSelector};
use leme_meta::{FieldError, Path, Status, query};
use leme_store::cache::{Cached, Event, Kind as Change};

use crate::kept::Owner;
use crate::request::{Kept, ResourceRequest};

/// Which objects of a collection a request means.
pub(crate) struct Selection {
    prefix: String,
    labels: LabelSelector,
    fields: FieldSelector,
    kept: Kept,
    /// Whose objects alone are meant.
    owner: Option<Owner>,
    /// Who sees but what they may get, and the policy that says what that is.
    viewer: Option<(Identity, Arc<Policy>)>,
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
            fields.requirements().iter().find(|one| !offered(&request.kind, &one.path))
        {
            return Err(Status::bad_request(not_offered(&request.kind, &unknown.path)));
        }
        let kept = request.kept.clone();
        let owner = kept.owner(request.who.as_ref());
        let everything =
            label_text.is_empty() && field_text.is_empty() && !request.kept.is_personal();
        // Until somebody says what holds nobody may get anything.
        let who = || request.who.clone().unwrap_or_default();
        let viewer = kept.is_by_right().then(|| (who(), Arc::default()));
        Ok(Selection { prefix: request.prefix(), labels, fields, kept, owner, viewer, everything })
    }

    /// From now on this holds, where each sees but what they may get.
    pub fn under(&mut self, policy: Arc<Policy>) {
        if let Some((_, held)) = &mut self.viewer {
            *held = policy;
        }
    }

    /// The storage prefix of all that can match.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether all is meant.
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether the selectors match; the prefix is not looked at.
    pub fn matches(&self, object: &Cached) -> bool {
        self.everything
            || (self.owner.as_ref().is_none_or(|owner| owner.owns(object))
                && self.viewer.as_ref().is_none_or(|viewer| self.may_get(viewer, object))
                && self.labels.matches(|key| object.index.label(key))
                && self.fields_match(object))
    }

    /// Whether an object was meant before a change, and whether it is after it.
    pub fn around(&self, event: &Event) -> (bool, bool) {
        if !event.object.key.starts_with(self.prefix()) {
            return (false, false);
        }
        let now = event.kind != Change::Deleted && self.matches(&event.object);
        let before = match (&event.previous, event.kind) {
            (_, Change::Added) => false,
            (Some(previous), _) => self.matches(previous),
            (None, _) => self.matches(&event.object),
        };
        (before, now)
    }

    /// A namespace is also in itself.
    fn may_get(&self, (who, policy): &(Identity, Arc<Policy>), object: &Cached) -> bool {
        let name = object.index.name.to_string();
        let what = Attributes {
            verb: "get".to_owned(),
            group: self.kept.kind.group.to_string(),
            resource: self.kept.kind.plural.to_string(),
            namespace: name.clone(),
            name,
            ..Attributes::default()
        };
        leme_access::sees(who, &what, policy)
    }

    fn fields_match(&self, object: &Cached) -> bool {
        self.fields.requirements().iter().all(|requirement| {
            let value = object.index.field(self.kept.field(&requirement.path)).unwrap_or("");
            (value == requirement.value) == requirement.equal
        })
    }
}

fn offered(kind: &Kind, field: &str) -> bool {
    field == "metadata.name"
        || (field == "metadata.namespace" && (kind.namespaced() || has_usual_fields(kind)))
        || kind.selectable.iter().any(|offered| offered.path == field)
}

/// Whether the kind has no fields of its own to select by: those of metadata go for it, in other words than where it has.
fn has_usual_fields(kind: &Kind) -> bool {
    kind.custom.is_none() && kind.selectable.is_empty()
}

/// What is said of a field that nothing is selected by.
fn not_offered(kind: &Kind, field: &str) -> String {
    if has_usual_fields(kind) {
        return format!(
            "{field} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            field = quote(&field)
        );
    }
    format!("field label not supported: {field}")
}

/// A 422 for a list parameter, as upstream words those.
fn list_options_invalid(errors: &[FieldError]) -> Status {
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

const EXACT: &str = "Exact";
const NOT_OLDER_THAN: &str = "NotOlderThan";

/// Which revision a list or watch shall be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// `None`: the newest; 0: any.
    pub revision: Option<u64>,
    pub matching: Match,
}

impl Version {
    /// Reads `resourceVersion`, and `resourceVersionMatch` where it is one that is known.
    pub fn of(request: &ResourceRequest) -> Result<Version, Status> {
        let revision = request.query.get("resourceVersion").map(revision).transpose()?;
        let matching = match request.query.get("resourceVersionMatch") {
            Some(EXACT) => Match::Exact,
            Some(NOT_OLDER_THAN) => Match::NotOlderThan,
            _ => Match::Unset,
        };
        Ok(Version { revision, matching })
    }

    /// Of a list: what makes no sense for one is refused.
    pub fn of_list(request: &ResourceRequest) -> Result<Version, Status> {
        let query = &request.query;
        let path = Path::new("resourceVersionMatch");
        let mut errors = Vec::new();
        if let Some(word) = query.get("resourceVersionMatch") {
            let revision = query.get("resourceVersion");
            let cases = [
                (
                    revision.is_none(),
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ),
                (
                    query.get("continue").is_some(),
                    "resourceVersionMatch is forbidden when continue is provided",
                ),
                (
                    word == EXACT && revision == Some("0"),
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ),
            ];
            let wrong = cases.iter().filter(|(wrong, _)| *wrong);
            errors.extend(wrong.map(|(_, detail)| FieldError::forbidden(&path, detail)));
            if word != EXACT && word != NOT_OLDER_THAN {
                let known = [EXACT, NOT_OLDER_THAN, ""];
                errors.push(FieldError::not_supported(&path, word, &known));
            }
        }
        if query.has("sendInitialEvents") {
            let detail = "sendInitialEvents is forbidden for list";
            errors.push(FieldError::forbidden(&Path::new("sendInitialEvents"), detail));
        }
        if errors.is_empty() { Version::of(request) } else { Err(list_options_invalid(&errors)) }
    }

    /// Of a watch: what makes no sense for one is refused.
    pub fn of_watch(request: &ResourceRequest) -> Result<Version, Status> {
        let query = &request.query;
        let path = Path::new("resourceVersionMatch");
        let word = query.get("resourceVersionMatch");
        let initial = query.has("sendInitialEvents");
        let cases = [
            (
                initial && word != Some(NOT_OLDER_THAN),
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
            (
                !initial && word.is_some(),
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
            (
                word.is_some() && query.get("continue").is_some(),
                "resourceVersionMatch is forbidden when continue is provided",
            ),
        ];
        let wrong = cases.iter().filter(|(wrong, _)| *wrong);
        let mut errors: Vec<FieldError> =
            wrong.map(|(_, detail)| FieldError::forbidden(&path, detail)).collect();
        if let Some(word) = word.filter(|word| *word != NOT_OLDER_THAN) {
            errors.push(FieldError::not_supported(&path, word, &[NOT_OLDER_THAN]));
        }
        if errors.is_empty() { Version::of(request) } else { Err(list_options_invalid(&errors)) }
    }
}

/// The number of a resourceVersion. The 422 is the storage's upstream: it names no kind.
fn revision(text: &str) -> Result<u64, Status> {
    query::uint(text).map_err(|detail| {
        let error = FieldError::invalid(&Path::new("resourceVersion"), text, &detail);
        Status::new(422, "Invalid", error.to_string())
    })
}
