//! POST of OpenShift's requests that leave something else behind than themselves: a template to process, a project asked
//! for.
//!
//! Knows: what each is answered with. Refuses to know: how templates are processed, what makes a namespace valid.

use leme_meta::quote;
use leme_meta::{Gvr, Status};
use leme_registry::json;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::api::Api;
use crate::present;
use crate::request::{ResourceRequest, Verb};
use crate::write::{Input, WriteOptions, delete, options, written};

/// Names that nobody may ask for, and beginnings of such.
const RESERVED: [&str; 3] = ["openshift", "kubernetes", "kube"];
const RESERVED_PREFIXES: [&str; 3] = ["openshift-", "kubernetes-", "kube-"];

impl Api {
    /// A Template with its parameters filled in; nothing is kept.
    pub(crate) fn process_template(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let kind = &request.kind;
        let Input { headers, body, wanted, .. } = input;
        let decoded = options::question(kind, &headers, body, options)?;
        let mut random = |below: usize| {
            let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
            usize::try_from(high % (below.max(1) as u64)).unwrap_or(0)
        };
        let processed =
            leme_strategy::process_template(&decoded.value, &mut random).map_err(|errors| {
                let name = json::text(&decoded.value, &["metadata", "name"]);
                Status::invalid(&kind.gvk(), name, &errors)
            })?;
        written(request, wanted, 201, processed.into(), &decoded.warnings)
    }

    /// DELETE of a project: its namespace goes, and what is told is that.
    pub(super) async fn delete_project(
        &self,
        request: &ResourceRequest,
        input: Input,
    ) -> Result<Answer, Status> {
        let options = delete::delete_options(request, &input.headers, input.body)?;
        let done = self.delete_object(request, &options).await?;
        done.ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
        present::object(request, input.wanted, 200, super::success(200))
    }

    /// A project for whoever asks for one.
    pub(crate) async fn request_project(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let kind = &request.kind;
        let Input { who, headers, body, wanted } = input;
        let decoded = options::question(kind, &headers, body, options)?;
        let wish = self.new_view(request, decoded.value, options)?;
        let projects = super::kind(&kind.group, "projects")?;
        let one = Gvr { resource: "project".to_owned(), ..projects.gvr() };
        let name = json::text(&wish, &["metadata", "name"]);
        reserved(name).map_err(|why| Status::forbidden(&one, name, &why))?;
        self.catch_up(None).await?;
        if self.known(super::kind("", "namespaces")?, "", name)?.is_some() {
            return Err(Status::already_exists(&one, name));
        }
        let project = ResourceRequest::of(Verb::Create, projects, "", "");
        let wished = namespace(&wish, &who.user);
        let writer = options.writer();
        let (made, warnings) = self.create_object(&project, writer, wished, options).await?;
        if !options.dry_run {
            let bindings = super::kind("rbac.authorization.k8s.io", "rolebindings")?;
            let binding = ResourceRequest::of(Verb::Create, bindings, name, "");
            // What a role does not enforce yet is told to who writes one, not to who asks for a project.
            self.create_object(&binding, writer, admin(name, &who.user), options).await?;
        }
        written(&project, wanted, 201, made, &[decoded.warnings, warnings].concat())
    }
}

/// Who asks for a project administers it.
fn admin(project: &str, user: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "admin", "namespace": project },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    })
}

fn reserved(name: &str) -> Result<(), String> {
    if RESERVED.contains(&name) {
        return Err(format!("cannot request a project with the name {name}", name = quote(&name)));
    }
    match RESERVED_PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
        Some(prefix) => {
            Err(format!("cannot request a project starting with {prefix}", prefix = quote(&prefix)))
        }
        None => Ok(()),
    }
}

/// The namespace that somebody asks for.
fn namespace(request: &Value, requester: &str) -> Value {
    let text = |field: &str| json::text(request, &[field]);
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": json::text(request, &["metadata", "name"]),
            "annotations": {
                "openshift.io/description": text("description"),
                "openshift.io/display-name": text("displayName"),
                "openshift.io/requester": requester,
            },
        },
    })
}
