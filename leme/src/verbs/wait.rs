//! `leme wait`: until a condition holds, until objects are gone, until they exist, until they work.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use leme_meta::Object;
use leme_meta::jsonpath::{self, Template};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::api::Api;
use crate::args::WaitArgs;
use crate::choose::{self, Alone, Chosen};
use crate::follow::Lister;
use crate::served::{self, State};
use crate::verbs::delete;
use crate::{connect, progress, say};

/// What to wait for.
enum For {
    /// A condition has a status.
    Condition { type_: String, status: String },
    /// A path leads to a value; to any, if none is said.
    Path { text: String, path: Template, value: Option<String> },
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
    if let Some(rest) = text.strip_prefix("jsonpath=") {
        return path(rest);
    }
    match text {
        "delete" => Ok(For::Delete),
        "create" => Ok(For::Create),
        "served" => Ok(For::Served),
        _ => bail!(
            "--for={text} is not understood: use condition=TYPE[=STATUS], jsonpath=PATH[=VALUE], delete, create or served"
        ),
    }
}

/// Reads `{.a.b}` or `{.a.b}=VALUE`; the braces and the first point may be missing.
fn path(text: &str) -> Result<For> {
    let (path, value) = match text.rfind('}') {
        Some(end) => (&text[..=end], text[end + 1..].strip_prefix('=')),
        None => text.split_once('=').map_or((text, None), |(path, value)| (path, Some(value))),
    };
    let braced = match path.starts_with('{') {
        true => path.to_owned(),
        false => format!("{{.{}}}", path.strip_prefix('.').unwrap_or(path)),
    };
    let template = jsonpath::parse(&braced).map_err(anyhow::Error::msg)?;
    let value = value.map(|value| value.trim_matches(['"', '\'']).to_owned());
    Ok(For::Path { text: path.to_owned(), path: template, value })
}

/// Runs the command.
pub async fn run(args: &WaitArgs) -> Result<()> {
    let wanted = parse(&args.for_)?;
    let api = connect::connect(&args.connect).await?;
    let deadline = Instant::now() + args.timeout;
    let flag = args.connect.namespace.as_deref();
    let chosen = choose::objects(&api, &args.chosen, flag, Alone::Refused).await?;
    ensure!(!chosen.is_empty() || matches!(wanted, For::Delete), "no matching resources found");
    for one in chosen {
        match &wanted {
            For::Delete => delete::gone(&api, &one, "", args.timeout).await?,
            wanted => until(&api, &one, wanted, deadline, args.timeout).await?,
        }
        say::line(format_args!("{} {}", one.shown(), met(&wanted)))?;
    }
    Ok(())
}

fn met(wanted: &For) -> &'static str {
    match wanted {
        For::Delete => "deleted",
        For::Served => "served",
        For::Condition { .. } | For::Path { .. } | For::Create => "condition met",
    }
}

async fn until(
    api: &Api,
    one: &Chosen,
    wanted: &For,
    deadline: Instant,
    timeout: Duration,
) -> Result<()> {
    // Events about what has no namespace are in another than one's own.
    let kind = &one.kind;
    let namespace = kind.namespaced.then_some(one.namespace.as_str());
    let kinds = match wanted {
        For::Served => progress::kinds_for(api.served().await?, [kind]),
        _ => vec![kind.clone()],
    };
    let mut lister = Lister::follow(api, &kinds, namespace);
    let mut why = String::from("the API server does not answer");
    let waiting = async {
        loop {
            lister.changed_within(served::again(&lister)).await;
            if !lister.complete() {
                continue;
            }
            if let Some(error) = lister.refused(kind) {
                bail!("{error}");
            }
            match lister.get(kind, &one.namespace, &one.name) {
                None if matches!(wanted, For::Create) => {
                    "it does not exist yet".clone_into(&mut why)
                }
                None => bail!(
                    "Error from server (NotFound): {} {:?} not found",
                    kind.qualified(),
                    one.name
                ),
                Some(object) if let Some(failed) = failed(object, wanted, &lister) => {
                    bail!("{}", progress::told(&one.shown(), &failed))
                }
                Some(object) => match holds(object, wanted, &lister) {
                    None => return Ok(()),
                    Some(missing) => why = missing,
                },
            }
        }
    };
    match timeout_at(deadline, waiting).await {
        Ok(result) => result,
        Err(_) => {
            bail!("timed out after {}s waiting for {}: {why}", timeout.as_secs(), one.shown())
        }
    }
}

/// The state of what is to work and has failed for good.
fn failed(object: &Object, wanted: &For, lister: &Lister) -> Option<State> {
    let state = matches!(wanted, For::Served).then(|| served::state(object, lister));
    state.filter(|state| matches!(state, State::Failed(_)))
}

/// What is still missing, or `None`.
fn holds(object: &Object, wanted: &For, lister: &Lister) -> Option<String> {
    match wanted {
        For::Create | For::Delete => None,
        For::Served => served::state(object, lister).trouble(),
        For::Path { text, path, value } => {
            let found = path.all(&object.0).unwrap_or_default();
            let shown: Vec<String> = found.into_iter().map(shown).collect();
            match value {
                Some(value) if shown.iter().all(|found| found == value) && !shown.is_empty() => {
                    None
                }
                None if !shown.is_empty() => None,
                _ => Some(format!("{text} is {:?}", shown.join(","))),
            }
        }
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

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(text: &str, object: Value) -> Option<String> {
        let lister = Lister::still([]);
        match parse(text) {
            Ok(wanted) => holds(&Object(object), &wanted, &lister),
            Err(error) => Some(error.to_string()),
        }
    }

    #[test]
    fn what_is_waited_for() {
        let running = || json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        for text in [
            "condition=ready",
            "condition=Ready=true",
            "jsonpath={.status.phase}=Running",
            "jsonpath=.status.phase=Running",
            "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True",
            "jsonpath={.status.phase}",
        ] {
            assert_eq!(check(text, running()), None, "{text}");
        }
        let wrong = check("jsonpath={.status.phase}=Failed", running());
        assert_eq!(wrong.as_deref(), Some("{.status.phase} is \"Running\""));
        assert!(check("jsonpath={.status.none}", running()).is_some());
        assert!(check("condition=Done", running()).is_some());
        assert!(check("Ready", running()).is_some_and(|why| why.contains("is not understood")));
    }
}
