//! `leme logs`: a container's log, as it is or as it comes.

use anyhow::{Context, Result, anyhow};
use http::Request;
use leme_kinds::Kind;
use leme_meta::Object;
use leme_meta::selector::LabelSelector;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::api::{self, Api, ApiError};
use crate::args::LogsArgs;
use crate::{connect, say, targets};

/// Bytes read at once.
const PIECE: usize = 16 * 1024;

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
    copy(stream.compat()).await
}

async fn copy(mut log: impl AsyncRead + Unpin) -> Result<()> {
    let mut out = tokio::io::stdout();
    let mut piece = vec![0; PIECE];
    loop {
        let count = log.read(&mut piece).await.context("read the log")?;
        if count == 0 {
            return Ok(());
        }
        say::written(out.write_all(&piece[..count]).await)?;
        say::written(out.flush().await)?;
    }
}

/// The first pod, by name, that an object's selector selects.
async fn first_pod(api: &Api, pods: &'static Kind, word: &str) -> Result<String> {
    let (kind, name) = targets::parse_one(&[word.to_owned()])?;
    if kind.plural == pods.plural {
        return Ok(name);
    }
    let path = api::path(kind, Some(&api.namespace), Some(&name), None);
    let object = Object(api.get(&path, api::JSON).await?);
    let selector = selector(&object).map_err(|why| anyhow!("{word} {why}; name a pod"))?;
    let text = selector.to_string();
    let query = api::query(&[("labelSelector", Some(&text))]);
    let (items, _) = api.list(pods, Some(&api.namespace), &query).await?;
    let mut names: Vec<String> =
        items.into_iter().map(|item| Object(item).name().to_owned()).collect();
    names.sort();
    names.into_iter().next().with_context(|| format!("{word} has no pods"))
}

/// The pods of an object: plain labels, as Services and ReplicationControllers have them, or a selector of the newer form.
fn selector(object: &Object) -> Result<LabelSelector, String> {
    let none = || "has no selector".to_owned();
    let found =
        object.at(&["spec", "selector"]).filter(|found| found.is_object()).ok_or_else(none)?;
    let selector =
        if ["matchLabels", "matchExpressions"].iter().any(|field| found.get(field).is_some()) {
            LabelSelector::from_json(found)?
        } else {
            let pairs = found.as_object().into_iter().flatten();
            LabelSelector::from_map(
                pairs.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))),
            )
        };
    // An empty selector would be every pod of the namespace.
    if selector.is_empty() { Err(none()) } else { Ok(selector) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(found: Value) -> String {
        match selector(&Object(json!({"spec": {"selector": found}}))) {
            Ok(selector) => selector.to_string(),
            Err(why) => why,
        }
    }

    /// Red when every selector is read as plain labels: `matchLabels` then selects all pods of the namespace.
    #[test]
    fn selectors_of_both_forms() {
        assert_eq!(check(json!({"app": "web"})), "app=web");
        assert_eq!(check(json!({"matchLabels": {"app": "web"}})), "app=web");
        let expressions = json!([{"key": "tier", "operator": "In", "values": ["a", "b"]}]);
        assert_eq!(check(json!({"matchExpressions": expressions})), "tier in (a,b)");
        for none in [json!({}), json!({"matchLabels": {}}), Value::Null] {
            assert_eq!(check(none), "has no selector");
        }
    }
}
