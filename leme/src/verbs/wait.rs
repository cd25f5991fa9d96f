//! `leme wait`: until a condition holds, until objects are gone, until they exist, until they work.

use std::time::Duration;

use anyhow::{Result, bail};
use leme_kinds::Kind;
use leme_meta::Object;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::api::Api;
use crate::args::WaitArgs;
use crate::follow::Picture;
use crate::served::{self, State};
use crate::verbs::delete;
use crate::{connect, documents, progress, say, targets};

/// What to wait for.
enum For {
    /// A condition has a status.
    Condition { type_: String, status: String },
    /// The object is gone.
    Delete,
    /// The object exists.
    Create,
    /// The object works.
    Served,
}

fn parse(text: &str) -> Result<For> {
    if let Some(rest) = text.strip_prefix("condition=") {
        let (type_, status) = rest.split_once('=').unwrap_or((rest, "true"));
        return Ok(For::Condition { type_: type_.to_owned(), status: status.to_owned() });
    }
    match text {
        "delete" => Ok(For::Delete),
        "create" => Ok(For::Create),
        "served" => Ok(For::Served),
        _ => bail!(
            "--for={text} is not understood: use condition=TYPE[=STATUS], delete, create or served"
        ),
    }
}

/// Runs the command.
pub async fn run(args: &WaitArgs) -> Result<()> {
    let wanted = parse(&args.for_)?;
    let objects = targets::parse_named(&args.what)?;
    let api = connect::connect(&args.connect).await?;
    let deadline = Instant::now() + args.timeout;
    for (kind, name) in objects {
        let shown = documents::shown(kind, &name);
        match &wanted {
            For::Delete => {
                delete::gone(&api, kind, &api.namespace, &name, "", args.timeout).await?
            }
            wanted => until(&api, kind, &name, wanted, deadline, args.timeout).await?,
        }
        say::line(format_args!("{shown} {}", met(&wanted)))?;
    }
    Ok(())
}

fn met(wanted: &For) -> &'static str {
    match wanted {
        For::Delete => "deleted",
        For::Served => "served",
        For::Condition { .. } | For::Create => "condition met",
    }
}

async fn until(
    api: &Api,
    kind: &'static Kind,
    name: &str,
    wanted: &For,
    deadline: Instant,
    timeout: Duration,
) -> Result<()> {
    // Events about what has no namespace are in another than one's own.
    let namespace = kind.namespaced().then_some(api.namespace.as_str());
    let mut picture = Picture::follow(api, &progress::kinds_for([kind]), namespace);
    let mut why = String::from("the API server does not answer");
    let waiting = async {
        loop {
            picture.changed().await;
            if !picture.complete() {
                continue;
            }
            if let Some(error) = picture.refused(kind) {
                bail!("{error}");
            }
            match picture.get(kind, &api.namespace, name) {
                None if matches!(wanted, For::Create) => {
                    "it does not exist yet".clone_into(&mut why)
                }
                None => bail!("Error from server (NotFound): {} {name:?} not found", kind.plural),
                Some(object) => match holds(object, wanted, &picture) {
                    None => return Ok(()),
                    Some(missing) => why = missing,
                },
            }
        }
    };
    match timeout_at(deadline, waiting).await {
        Ok(result) => result,
        Err(_) => bail!(
            "timed out after {}s waiting for {}: {why}",
            timeout.as_secs(),
            documents::shown(kind, name)
        ),
    }
}

/// What is still missing, or `None`.
fn holds(object: &Object, wanted: &For, picture: &Picture) -> Option<String> {
    match wanted {
        For::Create | For::Delete => None,
        For::Served => match served::state(object, picture) {
            State::Works(_) => None,
            State::Waits(why) => Some(why),
        },
        For::Condition { type_, status } => {
            let conditions = object.at(&["status", "conditions"]).and_then(Value::as_array);
            let found = conditions.into_iter().flatten().find(|condition| {
                condition["type"].as_str().is_some_and(|found| found.eq_ignore_ascii_case(type_))
            });
            let Some(found) = found else { return Some(format!("there is no condition {type_}")) };
            let now = found["status"].as_str().unwrap_or("");
            let message = found["message"].as_str().unwrap_or("");
            (!now.eq_ignore_ascii_case(status)).then(|| format!("{type_} is {now}: {message}"))
        }
    }
}
