//! `leme delete`: by name, by label or by file; waits until the objects are gone unless told otherwise.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures::StreamExt;
use leme_kinds::Kind;
use serde_json::{Value, json};

use crate::api::{self, Api, ApiError, JSON};
use crate::args::DeleteArgs;
use crate::targets::{self, Target};
use crate::verbs::apply;
use crate::{connect, documents, say};

/// One object to delete.
struct Victim {
    kind: &'static Kind,
    namespace: String,
    name: String,
}

/// Runs the command.
pub async fn run(args: &DeleteArgs) -> Result<()> {
    ensure!(!args.what.is_empty() || !args.files.is_empty(), "name objects, or files with -f");
    let api = connect::connect(&args.connect).await?;
    let victims = victims(&api, args).await?;
    let mut deleted = Vec::new();
    let mut failures = Vec::new();
    for victim in victims {
        match delete(&api, &victim, args.grace_period).await {
            Ok(uid) => {
                say::line(format_args!("{} deleted", quoted(&victim)))?;
                deleted.push((victim, uid));
            }
            Err(error) if error.is_not_found() && args.ignore_not_found => {}
            Err(error) => failures.push(error.to_string()),
        }
    }
    if args.wait {
        for (victim, uid) in &deleted {
            gone(&api, victim.kind, &victim.namespace, &victim.name, uid, args.timeout).await?;
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

fn quoted(victim: &Victim) -> String {
    let shown = documents::shown(victim.kind, "");
    format!("{} {:?}", shown.trim_end_matches('/'), victim.name)
}

async fn victims(api: &Api, args: &DeleteArgs) -> Result<Vec<Victim>> {
    if !args.files.is_empty() {
        let mut found = documents::read(&args.files)?;
        apply::settle_namespaces(api, &mut found, args.connect.namespace.as_deref())?;
        let victim =
            |d: documents::Document| Victim { kind: d.kind, namespace: d.namespace, name: d.name };
        return Ok(found.into_iter().map(victim).collect());
    }
    let mut victims = Vec::new();
    for Target { kind, name } in targets::parse(&args.what)? {
        match (name, &args.selector) {
            (Some(name), None) => {
                victims.push(Victim { kind, namespace: api.namespace.clone(), name })
            }
            (None, Some(selector)) => {
                let query = api::query(&[("labelSelector", Some(selector))]);
                for item in api.list(kind, Some(&api.namespace), &query).await?.0 {
                    let text =
                        |field: &str| item["metadata"][field].as_str().unwrap_or("").to_owned();
                    victims.push(Victim { kind, namespace: text("namespace"), name: text("name") });
                }
            }
            (Some(_), Some(_)) => bail!("names and --selector exclude each other"),
            (None, None) => bail!("name the objects, or choose them with --selector"),
        }
    }
    Ok(victims)
}

async fn delete(
    api: &Api,
    victim: &Victim,
    grace: Option<i64>,
) -> std::result::Result<String, ApiError> {
    let path = api::path(victim.kind, Some(&victim.namespace), Some(&victim.name), None);
    let mut options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
    if let Some(grace) = grace {
        options["gracePeriodSeconds"] = grace.into();
    }
    let answer = api.call("DELETE", &path, JSON, JSON, Some(&options)).await?;
    let uid = |value: &Value| value.as_str().map(str::to_owned);
    Ok(uid(&answer["metadata"]["uid"])
        .or_else(|| uid(&answer["details"]["uid"]))
        .unwrap_or_default())
}

/// Waits until the object with this uid (any, if empty) is gone.
pub async fn gone(
    api: &Api,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    uid: &str,
    timeout: Duration,
) -> Result<()> {
    let waiting = async {
        loop {
            let found = api.find(kind, namespace, name).await?;
            let Some(object) = found else { return Ok::<(), ApiError>(()) };
            if !uid.is_empty() && object["metadata"]["uid"].as_str() != Some(uid) {
                return Ok(());
            }
            let selector = format!("metadata.name={name}");
            let query = api::query(&[
                ("watch", Some("1")),
                ("fieldSelector", Some(&selector)),
                ("resourceVersion", object["metadata"]["resourceVersion"].as_str()),
                ("timeoutSeconds", Some("60")),
            ]);
            let path = format!("{}{query}", api::path(kind, Some(namespace), None, None));
            let mut events = api.watch(&path, JSON).await?;
            while let Some(event) = events.next().await {
                match event {
                    Ok((type_, _)) if type_ == "DELETED" => break,
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        }
    };
    match tokio::time::timeout(timeout, waiting).await {
        Ok(result) => Ok(result?),
        Err(_) => bail!(
            "timed out after {}s: {what} still exists; see what holds it: leme why {what}",
            timeout.as_secs(),
            what = documents::shown(kind, name),
        ),
    }
}
