//! Where the input of a build comes from.
//!
//! Knows: git, binary, inline Dockerfile, images, secrets and config maps. Refuses to know: how any is fetched.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use super::validate::{image_ref, leaves, secret_ref};
use crate::check::{self, Errors};

const MAX_DOCKERFILE: usize = 60_000;
const BAD_FILE: &str = "file name may not contain slashes or relative path segments and must be a valid POSIX filename";

/// Checks the source of a build spec against its strategy.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    let source = spec.get("source").unwrap_or(&Value::Null);
    let path = path.child("source");
    let uses = |strategy: &str| json::at(spec, &["strategy", strategy]).is_some();
    let has = |input: &str| json::at(source, &[input]).is_some();
    let docker = uses("dockerStrategy");
    if docker
        && !uses("jenkinsPipelineStrategy")
        && !["git", "binary", "dockerfile", "images"].into_iter().any(has)
    {
        let why =
            "must provide a value for at least one source input(git, binary, dockerfile, images).";
        errors.push(FieldError::invalid(&path, "", why));
    }
    if has("git") && has("binary") && !uses("customStrategy") {
        for (field, other) in [("git", "binary"), ("binary", "git")] {
            let why = format!("may not be set when {other} is also set");
            errors.push(FieldError::invalid(&path.child(field), "", &why));
        }
        return;
    }
    git(source, &path.child("git"), errors);
    binary(source, &path.child("binary").child("asFile"), errors);
    if json::text(source, &["dockerfile"]).len() > MAX_DOCKERFILE {
        let why = format!("must be smaller than {MAX_DOCKERFILE} bytes");
        errors.push(FieldError::invalid(&path.child("dockerfile"), "", &why));
    }
    images(source, &path.child("images"), errors);
    let from_repository = json::at(spec, &["strategy", "jenkinsPipelineStrategy"])
        .is_some_and(|strategy| json::unset(strategy, "jenkinsfile"));
    if from_repository && !has("git") {
        let why =
            "must be set when using Jenkins Pipeline strategy with Jenkinsfile from a git repo";
        errors.push(FieldError::invalid(&path.child("git"), "", why));
    }
    for (field, kind, what) in
        [("secrets", "secret", "secret"), ("configMaps", "configMap", "configMap")]
    {
        for (index, entry) in json::list(source, &[field]).iter().enumerate() {
            file_source(entry, kind, what, docker, &path.child(field).index(index), errors);
        }
    }
    secret_ref(source, "sourceSecret", &path, errors);
    let directory = json::text(source, &["contextDir"]);
    if leaves(directory) {
        let why = "context dir must not be a relative path";
        errors.push(FieldError::invalid(&path.child("contextDir"), directory, why));
    }
}

fn git(source: &Value, path: &Path, errors: &mut Errors) {
    let Some(git) = json::at(source, &["git"]) else { return };
    let uri = check::required(git, "uri", path, errors);
    if uri.contains(char::is_control) {
        let why = "invalid control character in URL";
        errors.push(FieldError::invalid(&path.child("uri"), uri, why));
    }
}

fn binary(source: &Value, path: &Path, errors: &mut Errors) {
    let file = json::text(source, &["binary", "asFile"]);
    let name = file.trim_start_matches('/');
    if !file.is_empty()
        && (matches!(name, "" | ".") || name.starts_with("..") || name.contains(['/', '\\']))
    {
        errors.push(FieldError::invalid(path, file, BAD_FILE));
    }
}

fn images(source: &Value, path: &Path, errors: &mut Errors) {
    let list = json::list(source, &["images"]);
    for (index, image) in list.iter().enumerate() {
        let path = path.index(index);
        image_ref(image.get("from").unwrap_or(&Value::Null), &path.child("from"), errors);
        secret_ref(image, "pullSecret", &path, errors);
        if json::unset(image, "paths") && json::unset(image, "as") {
            for field in ["paths", "as"] {
                errors
                    .push(FieldError::required(&path.child(field), "must specify 'paths' or 'as'"));
            }
        }
        for (index, entry) in json::list(image, &["paths"]).iter().enumerate() {
            copied(entry, &path.child("paths").index(index), errors);
        }
    }
    let mut seen = HashSet::new();
    for (index, image) in list.iter().enumerate() {
        for (position, name) in json::list(image, &["as"]).iter().enumerate() {
            let at = path.index(index).child("as").index(position);
            let name = name.as_str().unwrap_or("");
            if name.is_empty() {
                errors.push(FieldError::invalid(&at, "", "must not be empty"));
            } else if !seen.insert(name) {
                errors.push(FieldError::duplicate(&at, name));
            }
        }
    }
}

fn copied(entry: &Value, path: &Path, errors: &mut Errors) {
    let from = check::required(entry, "sourcePath", path, errors);
    let to = check::required(entry, "destinationDir", path, errors);
    if !from.starts_with('/') {
        errors.push(FieldError::invalid(
            &path.child("sourcePath"),
            from,
            "must be an absolute path",
        ));
    }
    let at = path.child("destinationDir");
    if to.starts_with('/') {
        errors.push(FieldError::invalid(&at, to, "must be a relative path"));
    }
    if leaves(to) {
        errors.push(FieldError::invalid(&at, to, "destination dir cannot start with '..'"));
    }
}

fn file_source(
    entry: &Value,
    kind: &str,
    what: &str,
    docker: bool,
    path: &Path,
    errors: &mut Errors,
) {
    let name = json::text(entry, &[kind, "name"]);
    if name.is_empty() {
        errors.push(FieldError::required(&path.child(kind), ""));
    }
    if !names::dns1123_subdomain(name).is_empty() {
        errors.push(FieldError::invalid(
            &path.child(kind),
            entry,
            &format!("must be valid {what} name"),
        ));
    }
    let to = json::text(entry, &["destinationDir"]);
    let at = path.child("destinationDir");
    if leaves(to) {
        errors.push(FieldError::invalid(&at, to, "destination dir cannot start with '..'"));
    }
    if docker && to.starts_with('/') {
        let why = "for the docker strategy the destinationDir has to be relative path";
        errors.push(FieldError::invalid(&at, to, why));
    }
}
