//! The pods that an object of any kind stands for: those that it selects, or else those that it owns.
//!
//! Knows: selectors, the selector of a scale, owners. Refuses to know: any kind but pods by name.

use anyhow::{Context, Result, bail};
use leme_meta::Object;
use leme_meta::selector::LabelSelector;
use serde_json::Value;

use crate::api::{self, Api, JSON};
use crate::resource::Kind;
use crate::{say, targets};

/// The kind of pods.
///
/// # Errors
/// When the server serves none.
pub async fn kind(api: &Api) -> Result<&Kind> {
    api.served().await?.by_word("pods")
}

/// The pod that a word means: its name, or KIND/NAME of it or of what stands for several, of which the first is taken.
///
/// # Errors
/// When there is no such object, or it has no pods.
pub async fn one(api: &Api, word: &str) -> Result<String> {
    if !word.contains('/') {
        return Ok(word.to_owned());
    }
    let (kind, name) = targets::parse_one(&[word.to_owned()], api.served().await?)?;
    if kind.is(self::kind(api).await?) {
        return Ok(name);
    }
    let pods = of(api, &kind, &name).await?;
    let first = pods.first().with_context(|| format!("{word} has no pods"))?.name().to_owned();
    if pods.len() > 1 {
        say::note(format_args!("Found {} pods, using pod/{first}", pods.len()));
    }
    Ok(first)
}

/// The pods of an object, best first: what runs before what waits, what is ready before what is not, old before new.
///
/// # Errors
/// When there is no such object, or nothing says which pods are its.
pub async fn of(api: &Api, kind: &Kind, name: &str) -> Result<Vec<Object>> {
    let object = Object(api.get(&kind.object(&api.namespace, name, ""), JSON).await?);
    let selector = match selector(&object) {
        Ok(selector) => Some(selector.to_string()),
        Err(_) => scaled(api, kind, name).await?,
    };
    let pods = self::kind(api).await?;
    let query = api::query(&[("labelSelector", selector.as_deref())]);
    let (items, _) = api.list(pods, Some(&api.namespace), &query).await?;
    let owned = |pod: &Object| {
        let owners = pod.at(&["metadata", "ownerReferences"]).and_then(Value::as_array);
        owners.into_iter().flatten().any(|owner| owner["uid"].as_str() == Some(object.uid()))
    };
    let all = items.into_iter().map(Object);
    let mut found: Vec<Object> = all.filter(|pod| selector.is_some() || owned(pod)).collect();
    if found.is_empty() && selector.is_none() {
        bail!("{} has no selector and owns no pods; name a pod", kind.shown(name));
    }
    found.sort_by_cached_key(rank);
    Ok(found)
}

/// The selector that the scale of an object tells, if its kind has one.
async fn scaled(api: &Api, kind: &Kind, name: &str) -> Result<Option<String>> {
    if !kind.has("scale") {
        return Ok(None);
    }
    let path = kind.object(&api.namespace, name, "scale");
    let scale = api.get(&path, JSON).await?;
    let text = scale["status"]["selector"].as_str().filter(|text| !text.is_empty());
    Ok(text.map(str::to_owned))
}

fn rank(pod: &Object) -> (bool, usize, bool, String, String) {
    let phase = pod.text(&["status", "phase"]);
    let phase = ["Running", "Unknown", "Pending"].iter().position(|known| *known == phase);
    (
        pod.text(&["spec", "nodeName"]).is_empty(),
        phase.unwrap_or(usize::MAX),
        !crate::served::condition(pod, "Ready").is_some_and(|(ready, _)| ready),
        pod.text(&["metadata", "creationTimestamp"]).to_owned(),
        pod.name().to_owned(),
    )
}

/// The pods of an object: plain labels, as Services and ReplicationControllers have them, or a selector of the newer form.
pub fn selector(object: &Object) -> Result<LabelSelector, String> {
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
    use serde_json::json;

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

    #[test]
    fn the_pod_that_serves_is_the_best() {
        let pod = |name: &str, node: &str, phase: &str, ready: &str| {
            Object(json!({"metadata": {"name": name}, "spec": {"nodeName": node}, "status": {
                "phase": phase, "conditions": [{"type": "Ready", "status": ready}]}}))
        };
        let mut pods = [
            pod("a", "", "Pending", "False"),
            pod("b", "n", "Pending", "False"),
            pod("c", "n", "Running", "False"),
            pod("d", "n", "Running", "True"),
        ];
        pods.sort_by_cached_key(rank);
        assert_eq!(pods.iter().map(Object::name).collect::<String>(), "dcba");
    }
}
