//! What the router says of a Route in `status.ingress`. Pure: the difference between what is written and what should be.

use super::RouterConfig;
use super::admit::Refusal;
use super::route::RouteInfo;
use serde_json::{Value, json};

/// The new `status.ingress`, or `None` when the present one says it already. Entries of other routers stay as they are.
pub(super) fn ingress(
    route: &RouteInfo,
    verdict: &Result<(), Refusal>,
    config: &RouterConfig,
    (now, seconds): (&str, i64),
) -> Option<Vec<Value>> {
    let ours = |entry: &&Value| entry["routerName"] == config.router_name.as_str();
    let mut wanted = entry(route, verdict, config, seconds);
    let present: Vec<&Value> = route.ingress.iter().filter(ours).collect();
    let admitted = present.first().and_then(|entry| condition(entry));
    let same = admitted.filter(|old| old["status"] == wanted["conditions"][0]["status"]);
    let since = same.and_then(|old| old["lastTransitionTime"].as_str()).unwrap_or(now);
    wanted["conditions"][0]["lastTransitionTime"] = since.into();
    if let [present] = present[..]
        && *present == wanted
    {
        return None;
    }
    let mut all = Vec::with_capacity(route.ingress.len() + 1);
    let mut wanted = Some(wanted);
    for entry in &route.ingress {
        match entry["routerName"] == config.router_name.as_str() {
            true => all.extend(wanted.take()),
            false => all.push(entry.clone()),
        }
    }
    all.extend(wanted);
    Some(all)
}

fn condition(entry: &Value) -> Option<&Value> {
    entry["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Admitted")
}

/// Our entry, without the time of its condition.
fn entry(
    route: &RouteInfo,
    verdict: &Result<(), Refusal>,
    config: &RouterConfig,
    now: i64,
) -> Value {
    let certificate = route.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
    let doubts = certificate.and_then(|certificate| certificate.doubts(&route.host, now));
    let remarks: Vec<String> = route.options.ignored.iter().cloned().chain(doubts).collect();
    let condition = match verdict {
        Ok(()) if remarks.is_empty() => json!({"type": "Admitted", "status": "True"}),
        Ok(()) => {
            json!({"type": "Admitted", "status": "True", "message": remarks.join("; ")})
        }
        Err(refusal) => json!({
            "type": "Admitted", "status": "False", "reason": refusal.reason, "message": refusal.message
        }),
    };
    let mut entry = json!({
        "host": route.host,
        "routerName": config.router_name,
        "wildcardPolicy": if route.wildcard { "Subdomain" } else { "None" },
        "conditions": [condition],
    });
    if let Some(name) = config.canonical_hostname.as_ref().filter(|name| !name.is_empty()) {
        entry["routerCanonicalHostname"] = name.as_str().into();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(ingress: Value) -> RouteInfo {
        let object = json!({"metadata": {"name": "r", "namespace": "n"},
            "spec": {"host": "x.test"}, "status": {"ingress": ingress}});
        RouteInfo::of(&serde_json::from_value(object).unwrap(), "")
    }

    fn config() -> RouterConfig {
        RouterConfig {
            listeners: Vec::new(),
            secure: None,
            router_name: "default".into(),
            canonical_hostname: Some("router.test".into()),
            domain: "apps.test".into(),
            cluster_domain: "cluster.local".into(),
            address: None,
            ..RouterConfig::default()
        }
    }

    #[test]
    fn written_once() {
        let first = ingress(&route(json!([])), &Ok(()), &config(), ("T1", 0)).unwrap();
        assert_eq!(
            first,
            [
                json!({"host": "x.test", "routerName": "default", "routerCanonicalHostname": "router.test",
                "wildcardPolicy": "None",
                "conditions": [{"type": "Admitted", "status": "True", "lastTransitionTime": "T1"}]})
            ]
        );
        assert_eq!(ingress(&route(json!(first)), &Ok(()), &config(), ("T2", 0)), None);
    }

    #[test]
    fn others_stay_and_times_follow_the_status() {
        let other = json!({"routerName": "other", "host": "x.test"});
        let before = ingress(&route(json!([])), &Ok(()), &config(), ("T1", 0)).unwrap();
        let both = json!([other, before[0]]);
        let refusal = |message: &str| Err(Refusal { reason: "No", message: message.into() });
        let refused = ingress(&route(both), &refusal("a"), &config(), ("T2", 0)).unwrap();
        assert_eq!(refused[0], other);
        assert_eq!(refused[1]["conditions"][0]["lastTransitionTime"], "T2");
        let reworded =
            ingress(&route(json!(refused)), &refusal("b"), &config(), ("T3", 0)).unwrap();
        assert_eq!(reworded[1]["conditions"][0]["message"], "b");
        assert_eq!(reworded[1]["conditions"][0]["lastTransitionTime"], "T2");
    }
}
