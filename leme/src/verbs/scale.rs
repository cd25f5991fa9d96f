//! `leme scale`: writes the scale subresource of any kind that has one.

use anyhow::{Result, ensure};
use http::Method;
use serde_json::json;

use crate::api::{Api, JSON, MERGE_PATCH};
use crate::args::ScaleArgs;
use crate::choose::{self, Alone, Chosen};
use crate::{connect, say};

/// Runs the command.
pub async fn run(args: &ScaleArgs) -> Result<()> {
    let api = connect::connect(&args.connect).await?;
    let flag = args.connect.namespace.as_deref();
    let chosen = choose::objects(&api, &args.chosen, flag, Alone::Refused).await?;
    ensure!(!chosen.is_empty(), "no objects passed to scale");
    choose::each(&chosen, async |one: &Chosen| {
        scale(&api, one, args).await?;
        say::line(format_args!("{} scaled", one.shown()))
    })
    .await
}

async fn scale(api: &Api, one: &Chosen, args: &ScaleArgs) -> Result<()> {
    let path = one.path(Some("scale"));
    let mut patch = json!({"spec": {"replicas": args.replicas}});
    if args.current_replicas.is_some() || args.resource_version.is_some() {
        let present = api.get(&path, JSON).await?;
        let replicas = present["spec"]["replicas"].as_u64().unwrap_or(0);
        if let Some(expected) = args.current_replicas {
            ensure!(
                u64::from(expected) == replicas,
                "Expected replicas to be {expected}, was {replicas}"
            );
        }
        let version = present["metadata"]["resourceVersion"].as_str().unwrap_or("");
        if let Some(expected) = &args.resource_version {
            ensure!(
                expected == version,
                "Expected resource version to be {expected}, was {version}"
            );
        }
        // What was looked at is what is changed.
        patch["metadata"] = json!({"resourceVersion": version});
    }
    api.call(Method::PATCH, &path, MERGE_PATCH, Some(&patch)).await?;
    Ok(())
}
