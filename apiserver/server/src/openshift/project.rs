//! Projects asked for, and projects that shall go.
//!
//! Knows: who may have a project by which name, and that one is made of a template. Refuses to know: what makes a
//! namespace valid, and who sees which.

use http::HeaderMap;
use leme_access::{Attributes, Identity};
use leme_meta::gvk::split_api_version;
use leme_meta::quote;
use leme_meta::status::{Cause, Details};
use leme_meta::{Gvr, Status};
use leme_registry::{DeleteOptions, Target, json};
use serde_json::{Value, json};

use super::template::processed;
use crate::admit;
use crate::answer::Answer;
use crate::api::Api;
use crate::negotiate::Representation;
use crate::present;
use crate::request::{ResourceRequest, Verb};
use crate::write::{Input, WriteOptions, create, delete, options, written};

const GROUP: &str = "project.openshift.io";
const RBAC: &str = "rbac.authorization.k8s.io";
/// Names that nobody may ask for, and beginnings of such.
const RESERVED: [&str; 3] = ["openshift", "kubernetes", "kube"];
const RESERVED_PREFIXES: [&str; 3] = ["openshift-", "kubernetes-", "kube-"];
/// Where the template is that the cluster's configuration names.
const CONFIGURATION: &str = "openshift-config";

impl Api {
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

    /// Whether who asks may ask for a project. Of what was asked for nothing is kept.
    pub(super) fn may_request_project(
        &self,
        request: &ResourceRequest,
        who: &Identity,
        wanted: Representation,
    ) -> Result<Answer, Status> {
        let what = Attributes {
            verb: "create".to_owned(),
            group: GROUP.to_owned(),
            resource: request.kind.plural.to_string(),
            ..Attributes::default()
        };
        if admit::decide(&self.policies.load(), who, &what).is_ok() {
            let may = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
            return present::document(wanted.encoding, 200, &may);
        }
        let one = Gvr { resource: "projectrequest".to_owned(), ..request.gvr() };
        let mut refused = Status::forbidden(&one, "", "");
        let message = json::text(&self.settings()?, &["spec", "projectRequestMessage"]).to_owned();
        match message.is_empty() {
            true => refused.message = "You may not request a new project via this API.".to_owned(),
            false => {
                let cause = Cause { message: message.clone(), ..Cause::default() };
                let details = Details {
                    kind: "ProjectRequest".to_owned(),
                    causes: vec![cause],
                    ..Details::default()
                };
                (refused.message, refused.details) = (message, Some(Box::new(details)));
            }
        }
        Err(refused)
    }

    /// A project for whoever asks for one.
    pub(super) async fn request_project(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let kind = &request.kind;
        let Input { who, headers, body, wanted } = input;
        let decoded = options::question(kind, &headers, body, options)?;
        let wish = self.new_view(request, decoded.value, options)?;
        let projects = super::kind(GROUP, "projects")?;
        let one = Gvr { resource: "project".to_owned(), ..projects.gvr() };
        let name = json::text(&wish, &["metadata", "name"]);
        reserved(name).map_err(|why| Status::forbidden(&one, name, &why))?;
        self.catch_up(None).await?;
        if self.known(super::kind("", "namespaces")?, "", name)?.is_some() {
            return Err(Status::already_exists(&one, name));
        }
        let (project, others) = self.parts_of_project(&wish, &who.user)?;
        let to_make = ResourceRequest::of(Verb::Create, projects, "", "");
        let body = create::kept(&to_make, Target::Main, project)?;
        let (made, warnings) =
            self.create_object(&to_make, options.writer(), body, options).await?;
        if !options.dry_run {
            for object in others {
                if let Err(why) = self.make_in_project(name, object, options).await {
                    tracing::warn!(project = name, error = %why, "what belongs into a project cannot be made; it goes again");
                    let gone = ResourceRequest::of(Verb::Delete, projects, "", name);
                    let _ = self.delete_object(&gone, &DeleteOptions::default()).await?;
                    return Err(why);
                }
            }
        }
        written(&to_make, wanted, 201, made, &[decoded.warnings, warnings].concat())
    }

    /// Makes one of the objects of a project. One that is there already was made by whoever looks after projects.
    async fn make_in_project(
        &self,
        project: &str,
        object: Value,
        options: &WriteOptions,
    ) -> Result<(), Status> {
        let (said, kind) = (json::text(&object, &["apiVersion"]), json::text(&object, &["kind"]));
        let (group, version) = split_api_version(said);
        let kinds = self.served.load();
        let row = kinds.kinds.by_kind(group, version, kind);
        let row = row.ok_or_else(|| {
            Status::internal(format!(
                "mapping {said}, Kind={kind} failed: no matches for kind {kind:?}"
            ))
        })?;
        if !row.namespaced() {
            let why = format!(
                "{said}, Kind={kind} specified in project template is not namespace scoped"
            );
            return Err(Status::internal(why));
        }
        let request = ResourceRequest::of(Verb::Create, row, project, "");
        let decoded = options::object(row, &HeaderMap::new(), object.to_string().into(), options)?;
        let body = create::kept(&request, Target::Main, decoded.value)?;
        match self.create_object(&request, options.writer(), body, options).await {
            Err(status) if status.reason != "AlreadyExists" => {
                Err(Status::internal(status.message))
            }
            _ => Ok(()),
        }
    }

    /// The configuration of projects; nothing where nobody has written one.
    fn settings(&self) -> Result<Value, Status> {
        let found = self.known(super::kind("config.openshift.io", "projects")?, "", "cluster")?;
        Ok(found.unwrap_or_default())
    }

    /// The project that somebody asks for, and what is made in it.
    fn parts_of_project(&self, wish: &Value, user: &str) -> Result<(Value, Vec<Value>), Status> {
        let named = self.settings()?;
        let named = json::text(&named, &["spec", "projectRequestTemplate", "name"]);
        let kind = super::kind("template.openshift.io", "templates")?;
        let mut template = match named {
            "" => default_template(),
            name => self.must(kind, CONFIGURATION, name)?,
        };
        fill(&mut template, wish, user);
        let made = processed(kind, &template)?;
        let is_project = |object: &&Value| {
            let (group, _) = split_api_version(json::text(object, &["apiVersion"]));
            group == GROUP && json::text(object, &["kind"]) == "Project"
        };
        let (projects, others): (Vec<&Value>, Vec<&Value>) =
            json::list(&made, &["objects"]).iter().partition(is_project);
        let wrong = |why: &str| {
            let place = if named.is_empty() { "" } else { CONFIGURATION };
            Status::internal(format!(
                "the project template ({place}/{named}) is not correctly configured: must contain {why}"
            ))
        };
        match projects.as_slice() {
            [one] => Ok(((*one).clone(), others.into_iter().cloned().collect())),
            [] => Err(wrong("a project resource")),
            _ => Err(wrong("only one project resource")),
        }
    }
}

/// Gives the parameters of a template what is known of who asks for what.
fn fill(template: &mut Value, wish: &Value, user: &str) {
    let value = |parameter: &str| match parameter {
        "PROJECT_NAME" => Some(json::text(wish, &["metadata", "name"])),
        "PROJECT_DISPLAYNAME" => Some(json::text(wish, &["displayName"])),
        "PROJECT_DESCRIPTION" => Some(json::text(wish, &["description"])),
        "PROJECT_ADMIN_USER" | "PROJECT_REQUESTING_USER" => Some(user),
        _ => None,
    };
    let parameters = template.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        if let Some(value) = value(json::text(parameter, &["name"])) {
            json::set(parameter, "value", value);
        }
    }
}

/// What a project is made of where nobody has said otherwise: who asks for it administers it.
fn default_template() -> Value {
    let parameters = [
        "PROJECT_NAME",
        "PROJECT_DISPLAYNAME",
        "PROJECT_DESCRIPTION",
        "PROJECT_ADMIN_USER",
        "PROJECT_REQUESTING_USER",
    ];
    json!({
        "apiVersion": "template.openshift.io/v1", "kind": "Template",
        "metadata": { "name": "project-request", "namespace": "default" },
        "parameters": parameters.map(|name| json!({ "name": name })),
        "objects": [
            {
                "apiVersion": "project.openshift.io/v1", "kind": "Project",
                "metadata": {
                    "name": "${PROJECT_NAME}",
                    "annotations": {
                        "openshift.io/description": "${PROJECT_DESCRIPTION}",
                        "openshift.io/display-name": "${PROJECT_DISPLAYNAME}",
                        "openshift.io/requester": "${PROJECT_REQUESTING_USER}",
                    },
                },
            },
            {
                "apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding",
                "metadata": { "name": "admin", "namespace": "${PROJECT_NAME}" },
                "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": "admin" },
                "subjects": [{ "apiGroup": RBAC, "kind": "User", "name": "${PROJECT_ADMIN_USER}" }],
            },
        ],
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
