//! `leme delete`: by name, by label or by file; waits until the objects are gone unless told otherwise.

use std::time::Duration;

use anyhow::{Result, bail};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::api::{self, Api, ApiError, JSON};
use crate::args::{DeleteArgs, DryRun};
use crate::choose::{self, Alone, Chosen};
use crate::resource::Resource;
use crate::{connect, say};

/// Runs the command.
pub async fn run(args: &DeleteArgs) -> Result<()> {
    let api = connect::connect(&args.connect).await?;
    let flag = args.connect.namespace.as_deref();
    let victims = match choose::objects(&api, &args.chosen, flag, Alone::Refused).await {
        Ok(victims) => victims,
        Err(error) => match error.downcast::<ApiError>() {
            Ok(error) if error.is_not_found() && args.ignore_not_found => return Ok(()),
            Ok(error) => return Err(error.into()),
            Err(error) => return Err(error),
        },
    };
    if victims.is_empty() {
        say::note("No resources found");
    }
    let mut deleted = Vec::new();
    let outcome =
        choose::each(&victims, async |victim: &Chosen| match delete(&api, victim, args).await {
            Ok(uid) => {
                say::line(told(victim, args))?;
                deleted.push((victim.clone(), uid));
                Ok(())
            }
            Err(error) if error.is_not_found() && args.ignore_not_found => Ok(()),
            Err(error) => Err(error.into()),
        })
        .await;
    if args.wait && args.dry_run == DryRun::None {
        for (victim, uid) in &deleted {
            gone(&api, &victim.kind, &victim.namespace, &victim.name, uid, args.timeout).await?;
        }
    }
    outcome
}

fn told(victim: &Chosen, args: &DeleteArgs) -> String {
    if args.output.is_some() {
        return victim.shown();
    }
    let how = if args.force { "force deleted" } else { "deleted" };
    format!("{} {:?} {how}{}", victim.kind.word(), victim.name, args.dry_run.note())
}

async fn delete(api: &Api, victim: &Chosen, args: &DeleteArgs) -> Result<String, ApiError> {
    let uid = |value: &Value| value.as_str().map(str::to_owned);
    if args.dry_run == DryRun::Client {
        return Ok(uid(&victim.get(api).await?["metadata"]["uid"]).unwrap_or_default());
    }
    let policy = args.cascade.policy();
    let mut options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
    let forced = if args.force { Some(0) } else { args.now.then_some(1) };
    // Less than none: as long as each object itself says.
    if let Some(grace) = args.grace_period.or(forced).filter(|grace| *grace >= 0) {
        options["gracePeriodSeconds"] = grace.into();
    }
    let path = format!("{}{}", victim.path(None), api::query(&[("dryRun", args.dry_run.query())]));
    let answer = api.call("DELETE", &path, JSON, JSON, Some(&options)).await?;
    Ok(uid(&answer["metadata"]["uid"])
        .or_else(|| uid(&answer["details"]["uid"]))
        .unwrap_or_default())
}

/// Waits until the object with this uid (any, if empty) is gone.
pub async fn gone(
    api: &Api,
    kind: &Resource,
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
            what = kind.shown(name),
        ),
    }
}
