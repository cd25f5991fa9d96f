//! What pods have to do, and so what they use: a script says how much there is to do for the pods that have some labels, and
//! those that run share it.
//!
//! Knows: the document in which a metrics server tells of it. Refuses to know: who reads it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use leme_meta::selector::LabelSelector;
use leme_plan::pods;
use serde_json::{Value, json};

use crate::api::Api;

/// How much there is to do for some pods, in thousandths of a CPU.
pub(crate) struct Load {
    labels: String,
    selector: LabelSelector,
    milli: u64,
}

/// Says how much there is to do for the pods of these labels.
pub(crate) fn set(api: &mut Api, labels: &str, amount: &str) -> Result<(), String> {
    let milli = amount.strip_suffix('m').and_then(|number| number.parse().ok());
    let milli = milli.ok_or_else(|| format!("{amount:?} is not an amount such as 250m"))?;
    let selector = LabelSelector::parse(labels)?;
    api.loads.retain(|load| load.labels != labels);
    api.loads.push(Load { labels: labels.to_owned(), selector, milli });
    Ok(())
}

fn has(pod: &Pod, selector: &LabelSelector) -> bool {
    let labels = pod.metadata.labels.as_ref();
    selector.matches(|key| labels.and_then(|all| all.get(key)).map(String::as_str))
}

/// What the pods of these labels use, as a list. What nothing is said of uses nothing that is known.
pub(crate) fn used(api: &Api, namespace: &str, labels: &str) -> Value {
    let all = api.typed::<Pod>(Some(namespace));
    let running: Vec<_> = all.iter().filter(|pod| pods::phase(pod) == "Running").collect();
    let wanted = LabelSelector::parse(labels).unwrap_or_else(|_| LabelSelector::nothing());
    let items = running.iter().filter(|pod| has(pod, &wanted)).filter_map(|pod| {
        let load = api.loads.iter().find(|load| has(pod, &load.selector))?;
        let sharing = running.iter().filter(|one| has(one, &load.selector)).count();
        let each = load.milli / u64::try_from(sharing).unwrap_or(1).max(1);
        Some(shown(pod, each, api.now))
    });
    json!({ "items": items.collect::<Vec<Value>>() })
}

fn shown(pod: &Pod, milli: u64, now: Timestamp) -> Value {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    // The first does all of it.
    let used = containers.enumerate().map(|(at, container)| {
        let milli = if at == 0 { milli } else { 0 };
        json!({ "name": container.name, "usage": { "cpu": format!("{milli}m"), "memory": "1Mi" } })
    });
    json!({
        "metadata": { "name": pod.metadata.name, "namespace": pod.metadata.namespace },
        "timestamp": leme_meta::time::seconds(now),
        "window": "15s",
        "containers": used.collect::<Vec<Value>>(),
    })
}
