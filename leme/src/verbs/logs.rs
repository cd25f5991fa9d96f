//! `leme logs`: a container's log, as it is or as it comes.

use anyhow::{Context, Result};
use http::Request;
use leme_kinds::Kind;
use leme_meta::Object;
use leme_meta::selector::LabelSelector;
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::api::{self, Api, ApiError};
use crate::args::LogsArgs;
use crate::{connect, targets};

/// Runs the command.
pub async fn run(args: &LogsArgs) -> Result<()> {
    let api = connect::connect(&args.connect).await?;
    let pods = targets::kind("pods")?;
    let pod = match args.pod.contains('/') {
        false => args.pod.clone(),
        true => first_pod(&api, pods, &args.pod).await?,
    };
    let flag = |set: bool| set.then_some("true");
    let tail = args.tail.map(|lines| lines.to_string());
    let query = api::query(&[
        ("container", args.container.as_deref()),
        ("follow", flag(args.follow)),
        ("previous", flag(args.previous)),
        ("timestamps", flag(args.timestamps)),
        ("tailLines", tail.as_deref()),
    ]);
    let path = api::path(pods, Some(&api.namespace), Some(&pod), Some("log"));
    let request =
        Request::get(format!("{path}{query}")).body(Vec::new()).context("build the request")?;
    let stream = api.client.request_stream(request).await.map_err(ApiError::from)?;
    tokio::io::copy(&mut stream.compat(), &mut tokio::io::stdout())
        .await
        .context("copy the log")?;
    Ok(())
}

/// The first pod, by name, that an object's selector selects.
async fn first_pod(api: &Api, pods: &'static Kind, word: &str) -> Result<String> {
    let (kind, name) = targets::parse_one(&[word.to_owned()])?;
    if kind.plural == pods.plural {
        return Ok(name);
    }
    let path = api::path(kind, Some(&api.namespace), Some(&name), None);
    let object = Object(api.get(&path, api::JSON).await?);
    let selector = object.at(&["spec", "selector"]).and_then(|selector| selector.as_object());
    let selector = selector.with_context(|| format!("{word} has no selector; name a pod"))?;
    let pairs = selector.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let text = LabelSelector::from_map(pairs).to_string();
    let query = api::query(&[("labelSelector", Some(&text))]);
    let (items, _) = api.list(pods, Some(&api.namespace), &query).await?;
    let mut names: Vec<String> =
        items.into_iter().map(|item| Object(item).name().to_owned()).collect();
    names.sort();
    names.into_iter().next().with_context(|| format!("{word} has no pods"))
}
