//! `metrics.k8s.io`: what nodes and pods use. Nothing of it is kept: who asks has the nodes asked.
//!
//! Knows: both kinds, as a metrics server shows them: who is there and of whom nothing is known is in no list. Refuses to
//! know: how nodes are asked.

mod nodes;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use http::HeaderMap;
use jiff::Timestamp;
use leme_kinds::{Kind, Scope};
use leme_meta::{Gvr, Quantity, Status, time};
use leme_registry::json;
use leme_store::cache::Cached;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::api::Api;
use crate::node_proxy::Endpoint;
use crate::openshift::list;
use crate::present;
use crate::request::{ResourceRequest, Verb};
use crate::selection::Selection;
use crate::table;
use nodes::{Told, Used};

pub(crate) use nodes::Usages;

/// Nodes that are asked side by side.
const AT_ONCE: usize = 32;

/// Whether a request is answered here.
pub(crate) fn answers(request: &ResourceRequest) -> bool {
    request.kind.group == "metrics.k8s.io"
}

impl Api {
    /// GET and LIST of what nodes and pods use.
    pub(crate) async fn usage(
        &self,
        request: &ResourceRequest,
        headers: &HeaderMap,
    ) -> Result<Answer, Status> {
        // What cannot be shown is not asked for.
        let wanted = present::wanted(request, headers)?;
        self.catch_up(None).await?;
        let measured = self.measured(request)?;
        let names: HashSet<&str> =
            measured.iter().filter_map(|one| node_of(request, one)).collect();
        let told = self.told(names).await?;
        let now = Timestamp::now();
        let shown = measured.iter().filter_map(|one| {
            let told = told.get(node_of(request, one)?)?;
            shown(&request.kind, one, told, now).transpose()
        });
        let mut shown = shown.collect::<Result<Vec<Value>, Status>>()?;
        if request.verb == Verb::List {
            return list::shown(request, wanted, shown);
        }
        let one = shown.pop().ok_or_else(|| unknown(request))?;
        present::object(request, wanted, 200, one)
    }

    /// The nodes or pods that a request means.
    fn measured(&self, request: &ResourceRequest) -> Result<Vec<Arc<Cached>>, Status> {
        let kind = leme_kinds::by_resource("", "v1", &request.kind.plural);
        let kind = kind.ok_or_else(Status::no_such_path)?;
        if request.verb == Verb::Get {
            let key = kind.key(&request.namespace, &request.name);
            let found = self.cache.get(&kind.prefix(None), &key);
            let found = found.ok_or_else(|| Status::not_found(&kind.gvr(), &request.name))?;
            return Ok(vec![found]);
        }
        let mut of = ResourceRequest::of(Verb::List, kind, &request.namespace, "");
        of.query = request.query.clone();
        let selection = Selection::of(&of)?;
        let snapshot = self.cache.snapshot(&kind.prefix(None)).ok_or_else(Status::no_such_path)?;
        let all = snapshot.range(selection.prefix(), "");
        Ok(all.filter(|object| selection.matches(object)).cloned().collect())
    }

    /// What the nodes of these names say.
    async fn told(&self, names: HashSet<&str>) -> Result<HashMap<String, Arc<Told>>, Status> {
        let kind = leme_kinds::by_resource("", "v1", "nodes").ok_or_else(Status::no_such_path)?;
        let prefix = kind.prefix(None);
        let node = |name: &str| self.cache.get(&prefix, &kind.key("", name));
        self.usages.keep(|name| node(name).is_some());
        let mut endpoints = Vec::new();
        for name in names {
            // One that has not told where its agent is does not answer.
            let found = node(name).map(|node| table::decoded(&node)).transpose()?;
            endpoints.extend(found.and_then(|node| Endpoint::of_node(&node).ok()));
        }
        let asked = endpoints.into_iter().map(|endpoint| async move {
            let told = self.usages.ask(&self.nodes, &endpoint).await?;
            Some((endpoint.name().to_owned(), told))
        });
        let answers = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
        Ok(answers.filter_map(|answer| async { answer }).collect().await)
    }
}

/// The node that knows what an object uses.
fn node_of<'a>(request: &ResourceRequest, object: &'a Cached) -> Option<&'a str> {
    match request.kind.scope {
        Scope::Cluster => object.index.field("metadata.name"),
        Scope::Namespaced => object.index.field("spec.nodeName").filter(|node| !node.is_empty()),
    }
}

/// What an object uses, as it is shown; `None` where nothing is known of it.
fn shown(
    kind: &Kind,
    object: &Cached,
    told: &Told,
    now: Timestamp,
) -> Result<Option<Value>, Status> {
    let node = [(String::new(), told.node.clone())];
    let object = table::decoded(object)?;
    let parts: Vec<(String, Used)> = match kind.scope {
        Scope::Cluster => node.into_iter().filter_map(|(name, used)| Some((name, used?))).collect(),
        Scope::Namespaced => {
            told.pods.get(json::text(&object, &["metadata", "uid"])).cloned().unwrap_or_default()
        }
    };
    let Some(at) = parts.iter().map(|(_, used)| used.at).min() else { return Ok(None) };
    let window = parts.iter().filter_map(|(_, used)| Some(used.cpu?.1)).max();
    let mut metadata = json!({ "creationTimestamp": time::seconds(now) });
    for field in ["name", "namespace", "labels"] {
        if let Some(value) = json::at(&object, &["metadata", field]) {
            metadata[field] = value.clone();
        }
    }
    let mut shown = json!({
        "kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata,
        "timestamp": time::seconds(at), "window": seconds(window.unwrap_or(0)),
    });
    match kind.scope {
        Scope::Cluster => {
            shown["usage"] = parts.first().map(|(_, used)| usage(used)).unwrap_or_default();
        }
        Scope::Namespaced => {
            let container =
                |(name, used): &(String, Used)| json!({ "name": name, "usage": usage(used) });
            shown["containers"] = parts.iter().map(container).collect();
        }
    }
    Ok(Some(shown))
}

/// Quantities of what is used.
fn usage(used: &Used) -> Value {
    let mut usage = Map::new();
    let short = |text: String| Quantity::parse(&text).map_or(text, |short| short.to_string());
    if let Some((cpu, _)) = used.cpu {
        usage.insert("cpu".to_owned(), short(format!("{cpu}n")).into());
    }
    if let Some(bytes) = used.memory {
        // What is no whole number of KiB stays a plain number.
        let text = match bytes.is_multiple_of(1024) {
            true => short(format!("{}Ki", bytes / 1024)),
            false => bytes.to_string(),
        };
        usage.insert("memory".to_owned(), text.into());
    }
    Value::Object(usage)
}

/// A time as Go writes durations, to the thousandth of a second.
fn seconds(nanos: u64) -> String {
    let millis = nanos.saturating_add(500_000) / 1_000_000;
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let thousandths = format!(".{:03}", rest % 1000);
    let thousandths = thousandths.trim_end_matches('0').trim_end_matches('.');
    match minutes {
        0 => format!("{}{thousandths}s", rest / 1000),
        minutes => format!("{minutes}m{}{thousandths}s", rest / 1000),
    }
}

/// Nothing is known of what is there.
fn unknown(request: &ResourceRequest) -> Status {
    let singular = request.kind.kind.to_lowercase();
    let resource = Gvr { resource: singular, ..request.gvr() };
    match request.namespace.as_str() {
        "" => Status::not_found(&resource, &request.name),
        namespace => Status::not_found(&resource, &format!("{namespace}/{}", request.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_go_does() {
        for (nanos, text) in [
            (0, "0s"),
            (10_000_000_000, "10s"),
            (15_023_400_000, "15.023s"),
            (1_100_000_000, "1.1s"),
            (60_000_000_000, "1m0s"),
            (61_500_000_000, "1m1.5s"),
        ] {
            assert_eq!(seconds(nanos), text);
        }
        let used = |cpu, memory| usage(&Used { at: Timestamp::UNIX_EPOCH, cpu, memory });
        assert_eq!(
            used(Some((250_000_000, 1)), Some(4096)),
            json!({ "cpu": "250m", "memory": "4Ki" })
        );
        assert_eq!(
            used(Some((1_234_567, 1)), Some(3000)),
            json!({ "cpu": "1234567n", "memory": "3000" })
        );
        assert_eq!(used(None, None), json!({}));
    }
}
