//! POST of a question that is answered at once: who am I, may I, may they, what may I.
//!
//! Knows: what each question holds and what an answer looks like. Refuses to know: the rules; access has them.

use leme_access::{Attributes, Identity, Policy, Verdict};
use leme_meta::{FieldError, Path, Status};
use leme_registry::json;
use serde_json::{Value, json};

use super::{Input, WriteOptions, options, written};
use crate::answer::Answer;
use crate::api::Api;
use crate::request::ResourceRequest;
use crate::tokens::ISSUER;

/// Fills in the status of a question, asked by somebody in a namespace.
type Answerer = fn(question: &mut Value, asking: &Asking<'_>) -> Result<(), Vec<FieldError>>;

/// Who asks, where, and by which policy they are answered.
struct Asking<'a> {
    api: &'a Api,
    who: &'a Identity,
    namespace: &'a str,
    policy: &'a Policy,
}

const QUESTIONS: &[(&str, Answerer)] = &[
    ("LocalSubjectAccessReview", local_access),
    ("SelfSubjectAccessReview", own_access),
    ("SelfSubjectReview", own_identity),
    ("SelfSubjectRulesReview", own_rules),
    ("SubjectAccessReview", access),
    ("TokenReview", token),
];

impl Api {
    /// POST of an object of a kind of which none is kept.
    pub(super) async fn review(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let kind = &request.kind;
        let answerer = QUESTIONS.iter().find(|(name, _)| *name == kind.kind);
        let (_, answerer) = answerer.ok_or_else(Status::no_such_path)?;
        let Input { who, headers, body, wanted } = input;
        let decoded = options::question(kind, &headers, body, options)?;
        let mut question = decoded.value;
        json::child(&mut question, "metadata");
        let asks_nothing = json::text(&question, &["spec", "token"]).is_empty();
        if kind.kind == "TokenReview" && asks_nothing {
            let message = "token is required for TokenReview in authentication";
            return Err(Status::bad_request(message));
        }
        self.known.prepare(json::text(&question, &["spec", "token"])).await;
        leme_meta::schema::apply_defaults(leme_kinds::schemas(), &kind.schema, &mut question);
        if kind.kind == "SelfSubjectRulesReview"
            && json::text(&question, &["spec", "namespace"]).is_empty()
        {
            return Err(Status::bad_request("no namespace on request"));
        }
        let policy = self.policies.load();
        let asking =
            Asking { api: self, who: &who, namespace: &request.namespace, policy: &policy };
        answerer(&mut question, &asking)
            .map_err(|errors| Status::invalid(&kind.gvk(), "", &errors))?;
        written(request, wanted, 201, question.into(), &decoded.warnings)
    }
}

fn own_identity(question: &mut Value, asking: &Asking<'_>) -> Result<(), Vec<FieldError>> {
    let user = user_info(asking.who);
    json::set(question, "status", json!({ "userInfo": user }));
    Ok(())
}

fn user_info(who: &Identity) -> Value {
    let mut user = json!({ "username": who.user, "groups": who.groups });
    if !who.uid.is_empty() {
        user["uid"] = who.uid.as_str().into();
    }
    if !who.extra.is_empty() {
        user["extra"] = json!(who.extra);
    }
    user
}

fn token(question: &mut Value, asking: &Asking<'_>) -> Result<(), Vec<FieldError>> {
    let audiences = json::list(question, &["spec", "audiences"]).iter().filter_map(Value::as_str);
    let mut audiences: Vec<&str> = audiences.collect();
    if audiences.is_empty() {
        audiences.push(ISSUER);
    }
    let status = match asking.api.owner_of(json::text(question, &["spec", "token"]), &audiences) {
        Ok((who, audiences)) => {
            let user = user_info(&who);
            json!({ "authenticated": true, "user": user, "audiences": audiences })
        }
        Err(why) => json!({ "error": format!("[invalid bearer token, {why}]"), "user": {} }),
    };
    json::set(question, "status", status);
    Ok(())
}

fn own_access(question: &mut Value, asking: &Asking<'_>) -> Result<(), Vec<FieldError>> {
    refused(attributes_errors(question))?;
    decide(question, asking.who, asking.policy);
    Ok(())
}

fn access(question: &mut Value, asking: &Asking<'_>) -> Result<(), Vec<FieldError>> {
    let mut errors = attributes_errors(question);
    errors.extend(subject_errors(question));
    refused(errors)?;
    let subject = subject(question);
    decide(question, &subject, asking.policy);
    Ok(())
}

fn local_access(question: &mut Value, asking: &Asking<'_>) -> Result<(), Vec<FieldError>> {
    let namespace = asking.namespace;
    let spec = Path::new("spec");
    let mut errors = attributes_errors(question);
    errors.extend(subject_errors(question));
    let resource = json::at(question, &["spec", "resourceAttributes"]);
    let asked = resource.map(|resource| json::text(resource, &["namespace"]));
    if let Some(asked) = asked.filter(|asked| *asked != namespace) {
        let at = spec.child("resourceAttributes").child("namespace");
        errors.push(FieldError::invalid(&at, asked, "must match metadata.namespace"));
    }
    if let Some(paths) = json::at(question, &["spec", "nonResourceAttributes"]) {
        let at = spec.child("nonResourceAttributes");
        errors.push(FieldError::invalid(&at, paths, "disallowed on this kind of request"));
    }
    refused(errors)?;
    json::set(json::child(question, "metadata"), "namespace", namespace);
    let subject = subject(question);
    decide(question, &subject, asking.policy);
    Ok(())
}

fn own_rules(question: &mut Value, asking: &Asking<'_>) -> Result<(), Vec<FieldError>> {
    let namespace = json::text(question, &["spec", "namespace"]).to_owned();
    let (rules, errors) = asking.policy.rules(asking.who, &namespace);
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in &rules {
        if !rule.resources.is_empty() {
            let mut one = json!({
                "verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources,
            });
            if !rule.names.is_empty() {
                one["resourceNames"] = json!(rule.names);
            }
            resources.push(one);
        }
        if !rule.paths.is_empty() {
            paths.push(json!({ "verbs": rule.verbs, "nonResourceURLs": rule.paths }));
        }
    }
    let mut status = json!({
        "resourceRules": resources, "nonResourceRules": paths,
        "incomplete": asking.who.node().is_some(),
    });
    if !errors.is_empty() {
        status["evaluationError"] = errors.join(", ").into();
    }
    json::set(question, "status", status);
    Ok(())
}

fn refused(errors: Vec<FieldError>) -> Result<(), Vec<FieldError>> {
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn attributes_errors(question: &Value) -> Vec<FieldError> {
    let spec = Path::new("spec");
    let resource = json::at(question, &["spec", "resourceAttributes"]);
    let other = json::at(question, &["spec", "nonResourceAttributes"]);
    match (resource, other) {
        (Some(_), Some(other)) => vec![FieldError::invalid(
            &spec.child("nonResourceAttributes"),
            other,
            "cannot be specified in combination with resourceAttributes",
        )],
        (None, None) => vec![FieldError::invalid(
            &spec.child("resourceAttributes"),
            &Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )],
        _ => Vec::new(),
    }
}

fn subject_errors(question: &Value) -> Vec<FieldError> {
    let nobody = json::text(question, &["spec", "user"]).is_empty()
        && json::list(question, &["spec", "groups"]).is_empty();
    let at = Path::new("spec").child("user");
    let error = || FieldError::invalid(&at, "", "at least one of user or group must be specified");
    nobody.then(error).into_iter().collect()
}

/// Whom a question is about.
fn subject(question: &Value) -> Identity {
    told(question, "user")
}

/// Whom the `spec` of an object tells of, by the name in one of its fields.
pub(crate) fn told(object: &Value, name: &str) -> Identity {
    let texts = |list: &[Value]| {
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<String>>()
    };
    let extra = json::entries(object, &["spec", "extra"]);
    Identity {
        user: json::text(object, &["spec", name]).to_owned(),
        uid: json::text(object, &["spec", "uid"]).to_owned(),
        groups: texts(json::list(object, &["spec", "groups"])),
        extra: extra.map(|(key, list)| (key.to_owned(), texts(json::list(list, &[])))).collect(),
    }
}

/// What a question says that objects must have: a key with one value each.
fn selected(question: &Value, by: &str) -> Vec<(String, String)> {
    let all = json::list(question, &["spec", "resourceAttributes", by, "requirements"]).iter();
    let exact = |one: &Value| match json::list(one, &["values"]) {
        [value] if json::text(one, &["operator"]) == "In" => {
            Some((json::text(one, &["key"]).to_owned(), value.as_str()?.to_owned()))
        }
        _ => None,
    };
    all.filter_map(exact).collect()
}

fn decide(question: &mut Value, who: &Identity, policy: &Policy) {
    let of = |part: &str, field: &str| json::text(question, &["spec", part, field]).to_owned();
    let attributes = match json::at(question, &["spec", "resourceAttributes"]) {
        Some(_) => {
            let text = |field: &str| of("resourceAttributes", field);
            Attributes {
                verb: text("verb"),
                group: text("group"),
                resource: text("resource"),
                subresource: text("subresource"),
                namespace: text("namespace"),
                name: text("name"),
                path: String::new(),
                fields: selected(question, "fieldSelector"),
                labels: selected(question, "labelSelector"),
            }
        }
        None => Attributes {
            verb: of("nonResourceAttributes", "verb"),
            path: of("nonResourceAttributes", "path"),
            ..Attributes::default()
        },
    };
    let status = match leme_access::authorize(who, &attributes, policy) {
        Verdict::Allow(None) => json!({ "allowed": true }),
        Verdict::Allow(Some(grant)) => json!({ "allowed": true, "reason": grant.to_string() }),
        Verdict::Deny(why) if why.is_empty() => json!({ "allowed": false }),
        Verdict::Deny(why) => json!({ "allowed": false, "reason": why }),
    };
    json::set(question, "status", status);
}
