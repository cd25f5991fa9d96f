//! What holds for the spec of a definition.
//!
//! Knows: names, versions among each other, conversion, protected groups. Refuses to know: what one version says.

use leme_meta::quote;
use std::collections::HashSet;

use leme_kinds::custom;
use leme_kinds::naming::Condition;
use leme_meta::structural::GoJson;
use leme_meta::{FieldError, Path};
use leme_registry::meta::{self, Raw};
use leme_registry::{json, names};
use serde_json::Value;

use super::view::View;
use super::{names_fit, version};
use crate::admissionregistration::service;
use crate::check::{self, Errors};
use crate::url;

/// What a protected group's definitions are approved with.
const APPROVED: &str = "api-approved.kubernetes.io";

/// The versions of the conversion review that could be sent.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

pub(super) fn validate(view: &View, old: Option<&Value>) -> Errors {
    let path = Path::new("spec");
    let mut errors = Vec::new();
    group(view.spec, &path, &mut errors);
    check::required_one_of(view.spec, "scope", &path, &["Cluster", "Namespaced"], &mut errors);
    for (index, version) in view.versions.iter().enumerate() {
        if json::at(version, &["schema", "openAPIV3Schema"]).is_none() {
            let at = path.child("versions").index(index).child("schema").child("openAPIV3Schema");
            errors.push(FieldError::required(&at, ""));
        }
    }
    versions(view, &path, &mut errors);
    let stated = json::at(view.spec, &["names"]).unwrap_or(&Value::Null);
    for field in ["plural", "singular", "kind", "listKind"] {
        check::required(stated, field, &path.child("names"), &mut errors);
    }
    errors.extend(names_fit(stated, &path.child("names")));
    version::parts(view, &mut errors);
    conversion(view, old, &path.child("conversion"), &mut errors);
    errors
}

fn group(spec: &Value, path: &Path, errors: &mut Errors) {
    let group = check::required(spec, "group", path, errors);
    if group.is_empty() {
        return;
    }
    let wrong = names::dns1123_subdomain(group);
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(&path.child("group"), group, &wrong.join(",")));
    } else if !group.contains('.') {
        let why = "should be a domain with at least one dot";
        errors.push(FieldError::invalid(&path.child("group"), group, why));
    }
}

fn versions(view: &View, path: &Path, errors: &mut Errors) {
    let at = path.child("versions");
    let (mut seen, mut unique, mut storage) = (HashSet::new(), true, 0);
    for (index, version) in view.versions.iter().enumerate() {
        storage += usize::from(json::flag(version, &["storage"]));
        let name = json::text(version, &["name"]);
        unique &= seen.insert(name);
        let wrong = names::dns1035_label(name);
        if !wrong.is_empty() {
            let at = at.index(index).child("name");
            errors.push(FieldError::invalid(&at, name, &wrong.join(",")));
        }
        version::deprecation(version, &at.index(index), errors);
    }
    let all = internal(view);
    if !unique {
        let why = "must contain unique version names";
        errors.push(FieldError::invalid(&at, Raw(&all), why));
    }
    if storage != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(&at, Raw(&all), why));
    }
    let first = view.versions.first().map_or("", |version| json::text(version, &["name"]));
    let wrong = names::dns1035_label(first);
    if !first.is_empty() && !wrong.is_empty() {
        errors.push(FieldError::invalid(&path.child("version"), first, &wrong.join(",")));
    }
}

/// The versions as upstream's own form has them, for messages.
fn internal(view: &View) -> String {
    let part = |version: &Value, name: &str| match version.get(name).filter(|_| !view.common(name))
    {
        Some(part) => part.to_string(),
        None => "null".to_owned(),
    };
    let shown = |version: &Value| {
        let name = Value::from(json::text(version, &["name"]));
        let [served, storage, deprecated] =
            ["served", "storage", "deprecated"].map(|field| json::flag(version, &[field]));
        let said = version.get("deprecationWarning").unwrap_or(&Value::Null);
        let [schema, subresources, columns, fields] =
            ["schema", "subresources", "additionalPrinterColumns", "selectableFields"]
                .map(|field| part(version, field));
        format!(
            "{{\"Name\":{name},\"Served\":{served},\"Storage\":{storage},\"Deprecated\":{deprecated},\"DeprecationWarning\":{said},\"Schema\":{schema},\"Subresources\":{subresources},\"AdditionalPrinterColumns\":{columns},\"SelectableFields\":{fields}}}"
        )
    };
    let all: Vec<String> = view.versions.iter().map(shown).collect();
    if all.is_empty() { "null".to_owned() } else { format!("[{}]", all.join(",")) }
}

fn conversion(view: &View, old: Option<&Value>, path: &Path, errors: &mut Errors) {
    let Some(conversion) = json::at(view.spec, &["conversion"]) else { return };
    check::required_one_of(conversion, "strategy", path, &["None", "Webhook"], errors);
    let client = json::at(conversion, &["webhook", "clientConfig"]);
    let reviews = json::list(conversion, &["webhook", "conversionReviewVersions"]);
    let at = path.child("webhookClientConfig");
    if json::text(conversion, &["strategy"]) != "Webhook" {
        let why = "should not be set when strategy is not set to Webhook";
        errors.extend(client.map(|_| FieldError::forbidden(&at, why)));
        if !reviews.is_empty() {
            errors.push(FieldError::forbidden(&path.child("conversionReviewVersions"), why));
        }
        return;
    }
    match client {
        None => {
            errors.push(FieldError::required(&at, "required when strategy is set to Webhook"));
        }
        Some(client) => called(client, &at, errors),
    }
    let recognized = old.is_none_or(|old| {
        let before =
            json::list(old, &["spec", "conversion", "webhook", "conversionReviewVersions"]);
        before.is_empty() || before.iter().any(known_review)
    });
    review_versions(reviews, recognized, &path.child("conversionReviewVersions"), errors);
    // What is kept in another version than this one could not be shown.
    let storage = view.versions.iter().find(|version| json::flag(version, &["storage"]));
    let storage = storage.map_or("", |version| json::text(version, &["name"]));
    let kept = old.map_or(&[][..], |old| json::list(old, &["status", "storedVersions"]));
    if let Some(other) = kept.iter().find(|version| **version != *storage) {
        let why = format!(
            "conversion webhooks are not called by this cluster yet, and there may be objects in version {other}"
        );
        errors.push(FieldError::invalid(&path.child("strategy"), "Webhook", &why));
    }
}

fn called(client: &Value, path: &Path, errors: &mut Errors) {
    let url = json::at(client, &["url"]).and_then(Value::as_str);
    match (url, json::at(client, &["service"])) {
        (Some(_), Some(_)) | (None, None) => {
            errors.push(FieldError::required(path, "exactly one of url or service is required"));
        }
        (Some(url), None) => url::webhook(url, &path.child("url"), errors),
        (None, Some(of)) => service(of, &path.child("service"), errors),
    }
}

fn known_review(version: &Value) -> bool {
    version.as_str().is_some_and(|version| REVIEWS.contains(&version))
}

fn review_versions(versions: &[Value], recognized: bool, path: &Path, errors: &mut Errors) {
    if versions.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let mut seen = HashSet::new();
    for (index, version) in versions.iter().enumerate() {
        let (at, version) = (path.index(index), version.as_str().unwrap_or(""));
        if seen.insert(version) {
            check::named(&at, version, &names::dns1035_label(version), errors);
        } else {
            errors.push(FieldError::invalid(&at, version, "duplicate version"));
        }
    }
    if recognized && !versions.iter().any(known_review) {
        let why = format!("must include at least one of {}", REVIEWS.join(", "));
        errors.push(FieldError::invalid(path, GoJson(&Value::Array(versions.to_vec())), &why));
    }
}

/// What an update may not change.
pub(super) fn immutable(new: &Value, old: &Value) -> Errors {
    let always = [&["spec", "group"][..], &["spec", "names", "plural"]];
    let established = [&["spec", "scope"][..], &["spec", "names", "kind"]];
    let established = established.into_iter().filter(|_| custom::established(old));
    established.chain(always).filter_map(|path| meta::immutable(new, old, path)).collect()
}

/// Whether a definition in a group of the community says who has approved it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Approval {
    Missing,
    Bypassed,
    Approved,
    Invalid,
}

impl Approval {
    fn why(self, stated: &str) -> String {
        let see = "see https://github.com/kubernetes/enhancements/pull/1111";
        match self {
            Approval::Missing => {
                format!("protected groups must have approval annotation {APPROVED:?}, {see}")
            }
            Approval::Bypassed => format!("not approved: {stated}", stated = quote(&stated)),
            Approval::Approved => format!("approved in {stated}"),
            Approval::Invalid => format!(
                "protected groups must have approval annotation {APPROVED:?} with either a URL or a reason starting with \"unapproved\", {see}"
            ),
        }
    }
}

fn is_community(definition: &Value) -> bool {
    let group = json::text(definition, &["spec", "group"]);
    ["k8s.io", "kubernetes.io"].iter().any(|domain| {
        group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

fn stated(definition: &Value) -> &str {
    json::text(definition, &["metadata", "annotations", APPROVED])
}

/// The condition of a definition in a group of the community.
pub fn conformant(definition: &Value) -> Option<Condition> {
    if !is_community(definition) {
        return None;
    }
    let state = approval_of(definition);
    let reason = match state {
        Approval::Missing => "MissingAnnotation",
        Approval::Bypassed => "UnapprovedAnnotation",
        Approval::Approved => "ApprovedAnnotation",
        Approval::Invalid => "InvalidAnnotation",
    };
    let (type_, fine) = ("KubernetesAPIApprovalPolicyConformant", state == Approval::Approved);
    Some(Condition::new(type_, fine, reason, &state.why(stated(definition))))
}

fn approval_of(definition: &Value) -> Approval {
    let annotation = stated(definition);
    let url =
        url::parse(annotation).is_ok_and(|url| !url.host.is_empty() && !url.scheme.is_empty());
    match annotation {
        "" => Approval::Missing,
        said if said.starts_with("unapproved") => Approval::Bypassed,
        _ if url => Approval::Approved,
        _ => Approval::Invalid,
    }
}

pub(super) fn approval(new: &Value, old: Option<&Value>) -> Option<FieldError> {
    let state = approval_of(new);
    if !is_community(new) || old.is_some_and(|old| approval_of(old) == state) {
        return None;
    }
    let path = Path::new("metadata").child("annotations").key(APPROVED);
    let why = state.why(stated(new));
    match state {
        Approval::Missing => Some(FieldError::required(&path, &why)),
        Approval::Invalid => Some(FieldError::invalid(&path, stated(new), &why)),
        Approval::Bypassed | Approval::Approved => None,
    }
}
