//! Questions in OpenShift's own kinds about which constraints would let a pod in, and as what.
//!
//! Knows: whom each question is about and what an answer looks like. Refuses to know: constraints, which admission knows.

use leme_access::Identity;
use leme_admission::scc::{self, Review};
use leme_meta::{FieldError, Gvk, Path, Status, quote, schema};
use leme_registry::{json, names};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::api::Api;
use crate::request::ResourceRequest;
use crate::write::{Input, WriteOptions, options, written};

impl Api {
    /// POST of a question about a pod: answered at once, in its own kind.
    pub(super) fn asked_for_constraints(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let kind = &request.kind;
        let decoded = options::question(kind, &input.headers, input.body, options)?;
        let mut question = decoded.value;
        schema::apply_defaults(leme_kinds::schemas(), &kind.schema, &mut question);
        let errors = check(&kind.plural, &mut question);
        if !errors.is_empty() {
            let kind = Gvk { group: String::new(), ..kind.gvk() };
            return Err(Status::invalid(&kind, "", &errors));
        }
        let namespace = &request.namespace;
        let status = match &*kind.plural {
            "podsecuritypolicyreviews" => self.accounts_reviewed(namespace, &question)?,
            plural => {
                let template = &question["spec"]["template"];
                let account = json::text(template, &["spec", "serviceAccountName"]);
                let who = match plural {
                    "podsecuritypolicyselfsubjectreviews" => Some(input.who.clone()),
                    _ => subject(&question),
                };
                let account = (!account.is_empty()).then(|| of_account(namespace, account));
                let who: Vec<Identity> = who.into_iter().chain(account).collect();
                self.first_of(self.reviewed(namespace, template, &who)?)
            }
        };
        json::set(&mut question, "status", status);
        schema::apply_defaults(leme_kinds::schemas(), &kind.schema, &mut question);
        written(request, input.wanted, 201, question.into(), &decoded.warnings)
    }

    /// What each of the constraints that somebody may use makes of a pod.
    fn reviewed(
        &self,
        namespace: &str,
        template: &Value,
        who: &[Identity],
    ) -> Result<Vec<Review>, Status> {
        scc::review(namespace, template, who, self.admission.facts())?.map_err(Status::internal)
    }

    /// The first that lets it in; whether one before it did not is told as well.
    fn first_of(&self, reviews: Vec<Review>) -> Value {
        let mut status = json!({});
        for review in reviews {
            match review.is_let_in() {
                false => json::set(&mut status, "reason", review.status()["reason"].clone()),
                true => return leme_meta::patch::merge(&status, review.status()),
            }
        }
        status
    }

    /// Which accounts may have the pod, and by which constraints.
    fn accounts_reviewed(&self, namespace: &str, question: &Value) -> Result<Value, Status> {
        let (spec, template) = (&question["spec"], &question["spec"]["template"]);
        let named = json::list(spec, &["serviceAccountNames"]).iter().filter_map(Value::as_str);
        let mut names: Vec<&str> = named.collect();
        if names.is_empty() {
            let own = json::text(template, &["spec", "serviceAccountName"]);
            names.push(if own.is_empty() { "default" } else { own });
        }
        let accounts = super::kind("", "serviceaccounts")?;
        let mut missing = Vec::new();
        for name in &names {
            if self.known(accounts, namespace, name)?.is_none() {
                let why = format!("serviceaccount {} not found", quote(name));
                missing.push(format!("unable to retrieve ServiceAccount {name}: {why}"));
            }
        }
        match missing.as_slice() {
            [] => {}
            [one] => return Err(Status::bad_request(one.clone())),
            all => return Err(Status::bad_request(format!("[{}]", all.join(", ")))),
        }
        let mut allowed = Vec::new();
        for name in names {
            let who = [of_account(namespace, name)];
            // Where nothing was allotted nothing is told.
            let reviews = scc::review(namespace, template, &who, self.admission.facts())?;
            let reviews = reviews.unwrap_or_default();
            for mut one in reviews.into_iter().filter(Review::is_let_in).map(Review::into_status) {
                json::set(&mut one, "name", name);
                allowed.push(one);
            }
        }
        Ok(json!({ "allowedServiceAccounts": allowed }))
    }
}

fn of_account(namespace: &str, name: &str) -> Identity {
    Identity::of_service_account(namespace, name, "")
}

/// Whom a question names.
fn subject(question: &Value) -> Option<Identity> {
    let user = json::text(question, &["spec", "user"]).to_owned();
    let groups = json::list(question, &["spec", "groups"]).iter().filter_map(Value::as_str);
    let groups: Vec<String> = groups.map(str::to_owned).collect();
    (!user.is_empty() || !groups.is_empty()).then(|| Identity {
        user,
        groups,
        ..Identity::default()
    })
}

/// Gives the pod of a question its defaults; all that is wrong with the question.
fn check(plural: &str, question: &mut Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let mut errors = leme_strategy::pod_in_question(json::child(question, "spec"), &path);
    let text = |path: &[&str]| json::text(question, path);
    if plural == "podsecuritypolicysubjectreviews"
        && subject(question).is_none()
        && text(&["spec", "template", "spec", "serviceAccountName"]).is_empty()
    {
        let why = "at least one of user, groups or serviceAccountName must be specified";
        errors.push(FieldError::required(&path.child("user"), why));
    }
    for (index, name) in json::list(question, &["spec", "serviceAccountNames"]).iter().enumerate() {
        let name = name.as_str().unwrap_or("");
        let wrong = names::dns1123_subdomain(name);
        if !wrong.is_empty() {
            let at = path.child("serviceAccountNames").index(index);
            let why = if name.is_empty() { String::new() } else { wrong.join(", ") };
            errors.push(FieldError::invalid(&at, name, &why));
        }
    }
    let metadata = question.get("metadata").cloned().unwrap_or(Value::Null);
    let said = json::entries(&metadata, &[]).any(|(field, _)| {
        !matches!(field, "namespace" | "managedFields") && !json::unset(&metadata, field)
    });
    if said {
        errors.push(FieldError::invalid(&Path::new("metadata"), &metadata, "must be empty"));
    }
    errors
}
