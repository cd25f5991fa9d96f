//! `leme delete`: by name, by label or by file; waits until the objects are gone unless told otherwise.

use std::time::Duration;

use anyhow::{Result, bail};
use http::Method;
use leme_client::Error;
use leme_meta::Object;
use serde_json::{Value, json};

use crate::api::{self, Api, JSON};
use crate::args::{DeleteArgs, DryRun};
use crate::choose::{self, Alone, Chosen};
use crate::{connect, follow, say};

/// Runs the command.
pub async fn run(args: &DeleteArgs) -> Result<()> {
    let api = connect::connect(&args.connect).await?;
    let flag = args.connect.namespace.as_deref();
    let victims = match choose::objects(&api, &args.chosen, flag, Alone::Refused).await {
        Ok(victims) => victims,
        Err(error) => match error.downcast::<Error>() {
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
            gone(&api, victim, uid, args.timeout).await?;
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

async fn delete(api: &Api, victim: &Chosen, args: &DeleteArgs) -> Result<String, Error> {
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
    let answer = api.call(Method::DELETE, &path, JSON, Some(&options)).await?;
    Ok(uid(&answer["metadata"]["uid"])
        .or_else(|| uid(&answer["details"]["uid"]))
        .unwrap_or_default())
}

/// Waits until the object with this uid (any, if empty) is gone.
pub async fn gone(api: &Api, one: &Chosen, uid: &str, timeout: Duration) -> Result<()> {
    let waiting = async {
        // Who may see this one object may not have to see others.
        if api.find(&one.kind, &one.namespace, &one.name).await?.is_none() {
            return Ok(());
        }
        let is_another = |found: &Object| !uid.is_empty() && found.uid() != uid;
        follow::until(api, one, |found| Ok(found.is_none_or(is_another).then_some(()))).await
    };
    match tokio::time::timeout(timeout, waiting).await {
        Ok(result) => result,
        Err(_) => bail!(
            "timed out after {}s: {what} still exists; see what holds it: leme why {what}",
            timeout.as_secs(),
            what = one.shown(),
        ),
    }
}
