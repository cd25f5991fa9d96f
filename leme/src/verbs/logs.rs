//! `leme logs`: the logs of containers, as they are or as they come: of a pod, of an object's pods, of those with labels.

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use leme_meta::Object;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::api::{self, Api, JSON};
use crate::args::LogsArgs;
use crate::{connect, pods, say, targets};

/// Bytes read at once.
const PIECE: usize = 16 * 1024;
/// Lines shown of each of many pods, unless another number is asked for.
const FEW: i64 = 10;
/// The container that a pod would have asked.
const DEFAULT: &str = "kubectl.kubernetes.io/default-container";

/// One container's log.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    pod: String,
    container: String,
    /// Where it is asked for, if it is not the pod that is asked: of the rollouts of a DeploymentConfig.
    of: Option<String>,
}

/// Runs the command.
pub async fn run(args: &LogsArgs) -> Result<()> {
    let api = connect::connect(&args.connect).await?;
    let sources = sources(&api, args).await?;
    if let [one] = sources.as_slice() {
        let stream = open(&api, args, one).await?;
        return if args.prefix { lines(stream, &prefix(one)).await } else { copy(stream).await };
    }
    if !args.follow {
        for one in &sources {
            let stream = open(&api, args, one).await?;
            if args.prefix { lines(stream, &prefix(one)).await? } else { copy(stream).await? }
        }
        return Ok(());
    }
    ensure!(
        sources.len() <= args.max_log_requests,
        "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests to increase the limit",
        sources.len(),
        args.max_log_requests
    );
    let follow = async |one: &Source| {
        let prefix = if args.prefix { prefix(one) } else { String::new() };
        lines(open(&api, args, one).await?, &prefix).await
    };
    let mut all: FuturesUnordered<_> = sources.iter().map(follow).collect();
    while let Some(ended) = all.next().await {
        ended?;
    }
    Ok(())
}

fn prefix(one: &Source) -> String {
    format!("[pod/{}/{}] ", one.pod, one.container)
}

/// The logs that are meant, in the order of their pods.
async fn sources(api: &Api, args: &LogsArgs) -> Result<Vec<Source>> {
    let found = match (&args.selector, &args.pod) {
        (Some(selector), _) => {
            let query = api::query(&[("labelSelector", Some(selector))]);
            let (items, _) = api.list(pods::kind(api).await?, Some(&api.namespace), &query).await?;
            items.into_iter().map(Object).collect()
        }
        (None, Some(word)) if args.all_pods => {
            let (kind, name) = targets::parse_one(std::slice::from_ref(word), api.served().await?)?;
            pods::of(api, &kind, &name).await?
        }
        (None, Some(word)) => {
            if let Some(source) = rollouts(api, args, word).await? {
                return Ok(vec![source]);
            }
            let name = pods::one(api, word).await?;
            let path = pods::kind(api).await?.object(&api.namespace, &name, "");
            vec![Object(api.get(&path, JSON).await?)]
        }
        (None, None) => bail!("expected 'logs (POD | TYPE/NAME) [CONTAINER_NAME]'"),
    };
    if found.is_empty() {
        say::note(format_args!("No resources found in {} namespace.", api.namespace));
    }
    let mut sources = Vec::new();
    for pod in &found {
        sources.extend(of_pod(pod, args)?);
    }
    Ok(sources)
}

/// The log of what a DeploymentConfig rolls out, which the server has: of the rollout itself until it is done.
async fn rollouts(api: &Api, args: &LogsArgs, word: &str) -> Result<Option<Source>> {
    if !word.contains('/') {
        return Ok(None);
    }
    let (kind, name) = targets::parse_one(&[word.to_owned()], api.served().await?)?;
    if (&*kind.group, &*kind.kind) != ("apps.openshift.io", "DeploymentConfig") {
        return Ok(None);
    }
    let container = args.container.as_ref().or(args.of_container.as_ref());
    let of = Some(kind.object(&api.namespace, &name, "log"));
    Ok(Some(Source { pod: name, container: container.cloned().unwrap_or_default(), of }))
}

fn of_pod(pod: &Object, args: &LogsArgs) -> Result<Vec<Source>> {
    let source = |container: &str| Source {
        pod: pod.name().to_owned(),
        container: container.to_owned(),
        of: None,
    };
    if let Some(container) = args.container.as_ref().or(args.of_container.as_ref()) {
        return Ok(vec![source(container)]);
    }
    let names = |field: &str| -> Vec<&str> {
        let list = pod.at(&["spec", field]).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|container| container["name"].as_str()).collect()
    };
    let (init, own, later) =
        (names("initContainers"), names("containers"), names("ephemeralContainers"));
    if args.all_containers {
        return Ok(init.into_iter().chain(own).chain(later).map(source).collect());
    }
    let wanted = pod.annotations().find(|(key, _)| *key == DEFAULT).map(|(_, name)| name);
    let known = wanted.filter(|name| own.contains(name));
    let first = own.first().with_context(|| format!("pod {:?} has no containers", pod.name()))?;
    if known.is_none() && own.len() + init.len() + later.len() > 1 {
        let others = init.iter().map(|name| format!("{name} (init)"));
        let others = others.chain(later.iter().map(|name| format!("{name} (ephem)")));
        let all: Vec<String> = own.iter().map(|name| (*name).to_owned()).chain(others).collect();
        say::note(format_args!("Defaulted container {first:?} out of: {}", all.join(", ")));
    }
    Ok(vec![source(known.unwrap_or(first))])
}

async fn open(
    api: &Api,
    args: &LogsArgs,
    source: &Source,
) -> Result<impl AsyncRead + Unpin + use<>> {
    let flag = |set: bool| set.then_some("true");
    let few = args.selector.as_ref().map(|_| FEW);
    // Less than none: all.
    let tail = args.tail.or(few).filter(|lines| *lines >= 0).map(|lines| lines.to_string());
    let since = args.since.map(|since| since.as_secs().max(1).to_string());
    let limit = args.limit_bytes.map(|limit| limit.to_string());
    let query = api::query(&[
        ("container", Some(source.container.as_str()).filter(|name| !name.is_empty())),
        ("follow", flag(args.follow)),
        ("previous", flag(args.previous)),
        ("timestamps", flag(args.timestamps)),
        ("tailLines", tail.as_deref()),
        ("sinceSeconds", since.as_deref()),
        ("sinceTime", args.since_time.as_deref()),
        ("limitBytes", limit.as_deref()),
    ]);
    let path = match &source.of {
        Some(path) => path.clone(),
        None => pods::kind(api).await?.object(&api.namespace, &source.pod, "log"),
    };
    let stream = api.client.stream(&format!("{path}{query}"), "*/*").await?;
    Ok(Box::pin(stream.compat()))
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

/// Line by line, so that those of several do not mix.
async fn lines(log: impl AsyncRead + Unpin, prefix: &str) -> Result<()> {
    let mut out = tokio::io::stdout();
    let mut log = BufReader::new(log);
    let mut line = prefix.as_bytes().to_vec();
    while log.read_until(b'\n', &mut line).await.context("read the log")? > 0 {
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        say::written(out.write_all(&line).await)?;
        say::written(out.flush().await)?;
        line.truncate(prefix.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use serde_json::json;

    fn check(words: &str) -> String {
        let words = ["leme", "logs"].into_iter().chain(words.split_whitespace());
        let Command::Logs(args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("another command");
        };
        let pod =
            Object(json!({"metadata": {"name": "p", "annotations": {DEFAULT: "b"}}, "spec": {
            "initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}]}}));
        let sources = of_pod(&pod, &args).unwrap();
        sources.into_iter().map(|source| source.container).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn containers_are_chosen() {
        assert_eq!(check("p"), "b");
        assert_eq!(check("p a"), "a");
        assert_eq!(check("p -c i"), "i");
        assert_eq!(check("p --all-containers"), "i a b");
    }
}
