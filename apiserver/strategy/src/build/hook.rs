//! Web hooks: what a service that keeps source says has changed there, as the build that is to be made of it.
//!
//! Knows: the events of each kind of service, which secret a hook takes, and which branch is built. Refuses to know: how
//! events arrive.

use leme_meta::quote;
use leme_meta::{Gvr, Status};
use leme_registry::json;
use serde_json::{Value, json};

/// What a hook has come to.
#[derive(Debug, PartialEq)]
pub enum Hooked {
    /// A build is to be made by this request; the text is a warning, often empty.
    Build(Box<Value>, String),
    /// No build; the text says why, and is empty where upstream says nothing.
    Nothing(String),
}

/// A kind of service that calls.
struct Service {
    /// The last part of the path.
    name: &'static str,
    /// Type of the trigger, and its field.
    trigger: &'static str,
    /// Heading of the cause, and its field.
    cause: (&'static str, &'static str),
    /// The header fields that name the event, and how they are called in errors.
    events: &'static [&'static str],
    missing: &'static str,
}

const SERVICES: [Service; 4] = [
    Service {
        name: "generic",
        trigger: "Generic",
        cause: ("Generic WebHook", "genericWebHook"),
        events: &[],
        missing: "",
    },
    Service {
        name: "github",
        trigger: "GitHub",
        cause: ("GitHub WebHook", "githubWebHook"),
        events: &["x-github-event", "x-gogs-event"],
        missing: "X-GitHub-Event or X-Gogs-Event",
    },
    Service {
        name: "gitlab",
        trigger: "GitLab",
        cause: ("GitLab WebHook", "gitlabWebHook"),
        events: &["x-gitlab-event"],
        missing: "X-Gitlab-Event",
    },
    Service {
        name: "bitbucket",
        trigger: "Bitbucket",
        cause: ("Bitbucket WebHook", "bitbucketWebHook"),
        events: &["x-event-key"],
        missing: "X-Event-Key",
    },
];

/// What arrived: a header field by its name in small letters, and the body.
pub struct Event<'a> {
    /// The text of a header field, empty if it is not there.
    pub header: &'a dyn Fn(&str) -> String,
    /// The body.
    pub body: &'a [u8],
}

/// The secret and the kind of service that the path after `webhooks` names.
pub fn parts(path: &str) -> Result<(&str, &str), Status> {
    let mut parts = path.split('/');
    let (Some(secret), Some(service), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Status::bad_request(format!("unexpected hook subpath {path}")));
    };
    if SERVICES.iter().any(|known| known.name == service) {
        return Ok((secret, service));
    }
    let resource = "buildconfighook".to_owned();
    let hooks = Gvr { group: "build.openshift.io".to_owned(), version: "v1".to_owned(), resource };
    Err(Status::not_found(&hooks, service))
}

/// The refusal of whoever does not know the secret, and of whoever asks for what is not there: they are told the same.
pub fn refused(name: &str, service: &str) -> Status {
    Status::new(
        401,
        "Unauthorized",
        format!(
            "the webhook {service} for {name} did not accept your secret",
            service = quote(&service),
            name = quote(&name)
        ),
    )
}

/// The trigger of a configuration that takes a secret; `kept` finds the one that a Secret holds.
pub fn trigger<'a>(
    config: &'a Value,
    service: &str,
    secret: &str,
    kept: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Option<&'a Value> {
    let known = SERVICES.iter().find(|known| known.name == service)?;
    json::list(config, &["spec", "triggers"])
        .iter()
        .filter(|trigger| json::text(trigger, &["type"]) == known.trigger)
        .filter_map(|trigger| json::at(trigger, &[known.name]))
        .find(|hook| {
            let own = json::text(hook, &["secret"]);
            let reference = json::text(hook, &["secretReference", "name"]);
            (!own.is_empty() && same(own.as_bytes(), secret.as_bytes()))
                || (!reference.is_empty()
                    && kept(reference).is_some_and(|kept| same(&kept, secret.as_bytes())))
        })
}

/// Whether two secrets are the same; how long it takes does not say how much of them is.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |seen, (one, other)| seen | (one ^ other));
    one.len() == other.len() && differing == 0
}

/// What an event asks for.
pub fn extract(
    config: &Value,
    hook: &Value,
    service: &str,
    event: &Event<'_>,
) -> Result<Hooked, Status> {
    let known =
        SERVICES.iter().find(|known| known.name == service).ok_or_else(Status::no_such_path)?;
    if known.events.is_empty() {
        return generic(config, hook, event);
    }
    let content_type = (event.header)("content-type");
    let media_type = media_type(&content_type).ok_or_else(|| {
        let why = "mime: no media type";
        Status::bad_request(format!("non-parseable Content-Type {content_type} ({why})"))
    })?;
    if media_type != "application/json" {
        return Err(Status::bad_request(format!("unsupported Content-Type {content_type}")));
    }
    let name = known.events.iter().map(|field| (event.header)(field)).find(|name| !name.is_empty());
    let name = name.ok_or_else(|| Status::bad_request(format!("missing {}", known.missing)))?;
    let body = || -> Result<Value, Status> {
        serde_json::from_slice(event.body).map_err(|error| Status::bad_request(error.to_string()))
    };
    let (branch, revision) = match (service, name.as_str()) {
        ("github", "ping") => return Ok(Hooked::Nothing(String::new())),
        ("github", "push") => github(&body()?),
        ("gitlab", "Push Hook") => gitlab(&body()?)?,
        ("bitbucket", "repo:push") => bitbucket(&body()?)?,
        ("bitbucket", "repo:refs_changed") => bitbucket_server(&body()?)?,
        ("bitbucket", other) => {
            return Err(Status::bad_request(format!("Unknown Bitbucket X-Event-Key {other}")));
        }
        (_, other) => {
            return Err(Status::bad_request(format!("Unknown {} {other}", known.missing)));
        }
    };
    if !is_built(config, &branch) {
        return Ok(Hooked::Nothing(String::new()));
    }
    Ok(Hooked::Build(Box::new(asked(config, known, Some(revision))), String::new()))
}

fn media_type(text: &str) -> Option<String> {
    let first = text.split(';').next()?.trim().to_ascii_lowercase();
    (!first.is_empty()).then_some(first)
}

/// The request for a build, with its cause.
fn asked(config: &Value, service: &Service, revision: Option<Value>) -> Value {
    let mut cause = json!({ "secret": "<secret>" });
    let mut request = json!({
        "kind": "BuildRequest", "apiVersion": "build.openshift.io/v1",
        "metadata": { "name": json::text(config, &["metadata", "name"]) },
    });
    if let Some(revision) = revision {
        cause["revision"] = revision.clone();
        request["revision"] = revision;
    }
    let (message, field) = service.cause;
    request["triggeredBy"] = json!([{ "message": message, field: cause }]);
    request
}

/// Whether a branch is the one that a configuration builds.
fn is_built(config: &Value, branch: &str) -> bool {
    let bare = |name: &str| name.strip_prefix("refs/heads/").unwrap_or(name).to_owned();
    let own = match json::text(config, &["spec", "source", "git", "ref"]) {
        "" => "master",
        own => own,
    };
    bare(own) == bare(branch)
}

fn git(commit: &str, author: Value, committer: Value, message: &str) -> Value {
    let mut git = json!({ "author": author, "committer": committer });
    for (field, text) in [("commit", commit), ("message", message)] {
        if !text.is_empty() {
            git[field] = text.into();
        }
    }
    json!({ "type": "Git", "git": git })
}

/// Who made a commit, as a revision says it.
fn user(of: &Value) -> Value {
    let mut user = json!({});
    for field in ["name", "email"] {
        if !json::text(of, &[field]).is_empty() {
            user[field] = json::text(of, &[field]).into();
        }
    }
    user
}

fn github(event: &Value) -> (String, Value) {
    let text = |path: &[&str]| json::text(event, path);
    let of = |part: &str| user(json::at(event, &["head_commit", part]).unwrap_or(&Value::Null));
    let revision = git(
        text(&["head_commit", "id"]),
        of("author"),
        of("committer"),
        text(&["head_commit", "message"]),
    );
    (text(&["ref"]).to_owned(), revision)
}

fn gitlab(event: &Value) -> Result<(String, Value), Status> {
    let commits = json::list(event, &["commits"]);
    // Upstream falls over what has none.
    let last = commits.last().ok_or_else(|| nothing(event))?;
    let author = user(last.get("author").unwrap_or(&Value::Null));
    let text = |field: &str| json::text(last, &[field]);
    let revision = git(text("id"), author.clone(), author, text("message"));
    Ok((json::text(event, &["ref"]).to_owned(), revision))
}

fn nothing(event: &Value) -> Status {
    Status::bad_request(format!("Unable to extract valid event from payload: {event}"))
}

fn bitbucket(event: &Value) -> Result<(String, Value), Status> {
    let change = json::list(event, &["push", "changes"]).first().ok_or_else(|| nothing(event))?;
    let commit = json::list(change, &["commits"]).first().ok_or_else(|| nothing(event))?;
    let author = user(&json!({ "name": json::text(commit, &["author", "username"]) }));
    let text = |field: &str| json::text(commit, &[field]);
    let revision = git(text("hash"), author.clone(), author, text("message"));
    // What was there before: of a branch that is gone nothing is there now.
    Ok((json::text(change, &["old", "name"]).to_owned(), revision))
}

fn bitbucket_server(event: &Value) -> Result<(String, Value), Status> {
    let change = json::list(event, &["changes"]).first().ok_or_else(|| nothing(event))?;
    let revision = git(json::text(change, &["toHash"]), json!({}), json!({}), "");
    Ok((json::text(change, &["ref", "displayId"]).to_owned(), revision))
}

fn generic(config: &Value, hook: &Value, event: &Event<'_>) -> Result<Hooked, Status> {
    let service = &SERVICES[0];
    let plain = |why: String| Ok(Hooked::Build(Box::new(asked(config, service, None)), why));
    let content_type = (event.header)("content-type");
    let media_type = media_type(&content_type).unwrap_or_default();
    let yaml = media_type == "application/yaml";
    if media_type != "application/json" && !yaml {
        let why = "invalid Content-Type on payload, ignoring payload and continuing with build";
        return plain(why.to_owned());
    }
    if event.body.is_empty() {
        return plain(String::new());
    }
    let body: Value = match serde_json::from_slice(event.body) {
        Ok(body) => body,
        Err(error) => {
            return plain(format!(
                "error unmarshalling payload: {error}, ignoring payload and continuing with build"
            ));
        }
    };
    let git = json::at(&body, &["git"]);
    let mut revision = None;
    let mut warning = String::new();
    if json::at(config, &["spec", "source", "git"]).is_some() {
        match git {
            None => {
                warning = "no git information found in payload, ignoring and continuing with build"
                    .to_owned();
            }
            Some(git) => match of_branches(config, git) {
                Ok(found) => revision = Some(found),
                Err(why) => return Ok(Hooked::Nothing(why)),
            },
        }
    }
    let mut request = asked(config, service, revision);
    let env = json::list(&body, &["env"]);
    if !env.is_empty() && json::flag(hook, &["allowEnv"]) {
        request["env"] = env.to_vec().into();
    }
    if let Some(options) = json::at(&body, &["dockerStrategyOptions"]) {
        request["dockerStrategyOptions"] = options.clone();
    }
    Ok(Hooked::Build(Box::new(request), warning))
}

/// The revision of the branch that is built, of those that an event names.
fn of_branches(config: &Value, event: &Value) -> Result<Value, String> {
    let revision = |of: &Value| {
        let who = |field: &str| user(of.get(field).unwrap_or(&Value::Null));
        git(
            json::text(of, &["commit"]),
            who("author"),
            who("committer"),
            json::text(of, &["message"]),
        )
    };
    let branch = |of: &Value| json::text(of, &["ref"]).to_owned();
    if json::at(event, &["refs"]).is_some() {
        let built = json::list(event, &["refs"]).iter().find(|one| is_built(config, &branch(one)));
        let own = json::text(config, &["spec", "source", "git", "ref"]);
        return built.map(revision).ok_or_else(|| {
            format!("skipping build. None of the supplied refs matched {own}", own = quote(&own))
        });
    }
    if is_built(config, &branch(event)) {
        return Ok(revision(event));
    }
    Err(format!(
        "skipping build. Branch reference from {} does not match configuration",
        quote(&branch(event))
    ))
}
