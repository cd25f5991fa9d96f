//! Questions of access in OpenShift's own kinds: may they, who may, what may they.
//!
//! Knows: what each question holds and what an answer looks like. Refuses to know: the rules; access has them.

use leme_access::{Attributes, Identity, Policy, PolicyRule, Verdict};
use leme_meta::{FieldError, Path, Status, schema};
use leme_registry::json;
use serde_json::{Value, json};

use crate::admit;
use crate::answer::Answer;
use crate::api::Api;
use crate::request::ResourceRequest;
use crate::write::{Input, WriteOptions, options, written};

impl Api {
    /// POST of a question: answered at once, in a kind of its own or its own.
    pub(super) fn asked_for_access(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let kind = &request.kind;
        let decoded = options::question(kind, &input.headers, input.body, options)?;
        let mut question = decoded.value;
        schema::apply_defaults(leme_kinds::schemas(), &kind.schema, &mut question);
        let policy = self.policies.load();
        let about = (&question, &input.who, request.namespace.as_str());
        let answered = match &*kind.plural {
            "subjectaccessreviews" | "localsubjectaccessreviews" => {
                may_they(request, about, &policy)
            }
            "resourceaccessreviews" | "localresourceaccessreviews" => {
                who_may(request, about, &policy)
            }
            "selfsubjectrulesreviews" => {
                Ok(what_may(kind, &input.who, &request.namespace, &policy))
            }
            "subjectrulesreviews" => {
                Ok(what_may(kind, &subject(&question, "spec"), &request.namespace, &policy))
            }
            _ => Err(Status::no_such_path()),
        }?;
        written(request, input.wanted, 201, answered.into(), &decoded.warnings)
    }
}

/// A question, who asks it, and in which namespace.
type About<'a> = (&'a Value, &'a Identity, &'a str);

/// All that is wrong with what a question asks about.
fn check(request: &ResourceRequest, question: &Value) -> Result<(), Status> {
    let text = |field: &str| json::text(question, &[field]);
    let mut errors = Vec::new();
    if text("verb").is_empty() {
        errors.push(FieldError::required(&Path::new("verb"), ""));
    }
    if json::flag(question, &["isNonResourceURL"]) {
        if text("path").is_empty() {
            errors.push(FieldError::required(&Path::new("path"), ""));
        }
        for (field, word) in [
            ("resource", "resource"),
            ("resourceAPIGroup", "group"),
            ("resourceAPIVersion", "version"),
            ("resourceName", "resourceName"),
            ("namespace", "namespace"),
        ] {
            if !text(field).is_empty() {
                let why = format!("{word} may not be specified with non resource URLs");
                errors.push(FieldError::invalid(&Path::new(word), text(field), &why));
            }
        }
    } else if text("resource").is_empty() {
        errors.push(FieldError::required(&Path::new("resource"), ""));
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&request.kind.gvk(), "", &errors)) }
}

/// The namespace that a question is about: that of its path, if it has one.
fn namespace_of(question: &Value, own: &str) -> Result<String, Status> {
    let asked = json::text(question, &["namespace"]);
    if !own.is_empty() && !asked.is_empty() && asked != own {
        let why = format!("namespace must be: {own}");
        let error = FieldError::invalid(&Path::new("namespace"), asked, &why);
        return Err(Status::new(500, "", error.to_string()));
    }
    Ok(if own.is_empty() { asked } else { own }.to_owned())
}

fn attributes(question: &Value, namespace: &str) -> Attributes {
    let text = |field: &str| json::text(question, &[field]).to_owned();
    if json::flag(question, &["isNonResourceURL"]) {
        return Attributes { verb: text("verb"), path: text("path"), ..Attributes::default() };
    }
    let all = text("resource");
    let (resource, subresource) = all.split_once('/').unwrap_or((&all, ""));
    Attributes {
        verb: text("verb"),
        group: text("resourceAPIGroup"),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: text("resourceName"),
        ..Attributes::default()
    }
}

/// Whoever asks about a namespace by the path of none must be allowed to ask there.
fn may_ask(policy: &Policy, who: &Identity, resource: &str, namespace: &str) -> Result<(), Status> {
    let attributes = Attributes {
        verb: "create".to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        ..Attributes::default()
    };
    admit::decide(policy, who, &attributes).map(drop)
}

/// Whom a question is about; nobody if it does not say.
fn subject(question: &Value, part: &str) -> Identity {
    let of = if part.is_empty() { question } else { question.get(part).unwrap_or(&Value::Null) };
    let groups = json::list(of, &["groups"]).iter().filter_map(Value::as_str);
    Identity {
        user: json::text(of, &["user"]).to_owned(),
        groups: groups.map(str::to_owned).collect(),
        ..Identity::default()
    }
}

fn may_they(
    request: &ResourceRequest,
    (question, who, own): About<'_>,
    policy: &Policy,
) -> Result<Value, Status> {
    check(request, question)?;
    let namespace = namespace_of(question, own)?;
    let mut about = subject(question, "");
    if about.user.is_empty() && about.groups.is_empty() {
        about = who.clone();
    } else if own.is_empty() {
        may_ask(policy, who, "localsubjectaccessreviews", &namespace)?;
    }
    let verdict = leme_access::authorize(&about, &attributes(question, &namespace), policy);
    let mut answer = json!({
        "kind": "SubjectAccessReviewResponse", "apiVersion": request.kind.api_version(),
        "allowed": verdict.is_allowed(),
    });
    if !namespace.is_empty() {
        answer["namespace"] = namespace.into();
    }
    match verdict {
        Verdict::Deny(why) if !why.is_empty() => answer["reason"] = why.into(),
        Verdict::Allow(Some(grant)) => answer["reason"] = grant.to_string().into(),
        _ => {}
    }
    Ok(answer)
}

fn who_may(
    request: &ResourceRequest,
    (question, who, own): About<'_>,
    policy: &Policy,
) -> Result<Value, Status> {
    check(request, question)?;
    let namespace = namespace_of(question, own)?;
    if own.is_empty() {
        may_ask(policy, who, "localresourceaccessreviews", &namespace)?;
    }
    let leme_access::Allowed { users, groups } = policy.who_may(&attributes(question, &namespace));
    let mut answer = json!({
        "kind": "ResourceAccessReviewResponse", "apiVersion": request.kind.api_version(),
        "users": users, "groups": groups, "evalutionError": "",
    });
    if !namespace.is_empty() {
        answer["namespace"] = namespace.into();
    }
    Ok(answer)
}

fn what_may(kind: &leme_kinds::Kind, who: &Identity, namespace: &str, policy: &Policy) -> Value {
    let (rules, errors) = policy.rules(who, namespace);
    let rule = |rule: &PolicyRule| {
        let mut one = json!({
            "verbs": rule.verbs, "attributeRestrictions": null, "apiGroups": rule.groups,
            "resources": rule.resources,
        });
        if !rule.names.is_empty() {
            one["resourceNames"] = json!(rule.names);
        }
        if !rule.paths.is_empty() {
            one["nonResourceURLs"] = json!(rule.paths);
        }
        one
    };
    let mut status = json!({ "rules": rules.iter().map(rule).collect::<Vec<Value>>() });
    if !errors.is_empty() {
        status["evaluationError"] = errors.join(", ").into();
    }
    let mut answer = json!({ "kind": kind.kind, "apiVersion": kind.api_version(), "status": status, "spec": {} });
    schema::apply_defaults(leme_kinds::schemas(), &kind.schema, &mut answer);
    answer
}
