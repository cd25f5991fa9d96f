//! On what ground a pod may be evicted, and what its budget says of it.

use super::*;
use crate::eviction::{Ground, disrupted, ground};

fn running(ready: &str) -> Value {
    json!({
        "metadata": { "name": "p", "labels": { "app": "a" } },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] },
    })
}

fn budget(status: Value) -> Value {
    json!({
        "metadata": { "name": "b", "generation": 1 },
        "spec": { "selector": { "matchLabels": { "app": "a" } } }, "status": status,
    })
}

fn counted(healthy: i64, desired: i64, allowed: i64) -> Value {
    json!({ "observedGeneration": 1, "currentHealthy": healthy, "desiredHealthy": desired, "disruptionsAllowed": allowed })
}

#[test]
fn a_budget_is_for_what_runs() {
    let met = budget(counted(2, 2, 0));
    let of = |pod: &Value, budgets: &[Value]| ground(pod, budgets).expect("one");
    let own = Ground::Budget("b".to_owned());
    assert_eq!(of(&running("True"), std::slice::from_ref(&met)), own);
    assert_eq!(of(&running("False"), std::slice::from_ref(&met)), Ground::AsSeen);
    let short = budget(counted(1, 2, 0));
    assert_eq!(of(&running("False"), std::slice::from_ref(&short)), own);
    let mut always = short;
    always["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow".into();
    assert_eq!(of(&running("False"), &[always]), Ground::AsSeen);
    for (pointer, value, expected) in [
        ("/status/phase", json!("Succeeded"), Ground::Nothing),
        ("/status/phase", json!("Pending"), Ground::AsSeen),
        ("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"), Ground::Nothing),
        ("/metadata/labels", json!({ "app": "b" }), Ground::Nothing),
        ("/metadata/labels", json!({}), Ground::Nothing),
    ] {
        let mut pod = running("True");
        let (parent, field) = pointer.rsplit_once('/').expect("a path");
        pod.pointer_mut(parent).expect("parent")[field] = value;
        assert_eq!(of(&pod, std::slice::from_ref(&met)), expected, "{pointer}");
    }
    let status = ground(&running("True"), &[met.clone(), met]).expect_err("two");
    assert_eq!(
        (status.code, status.message.as_str()),
        (
            500,
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    );
}

#[test]
fn a_budget_says_what_it_allows() {
    let now = "2026-01-01T00:00:00Z".parse().expect("a time");
    let status = disrupted(&budget(counted(3, 1, 2)), "p", now).expect("allowed");
    let mut expected = counted(3, 1, 1);
    expected["disruptedPods"] = json!({ "p": "2026-01-01T00:00:00Z" });
    assert_eq!(status, expected);
    let status = disrupted(&budget(counted(2, 1, 1)), "p", now).expect("allowed");
    assert_eq!(
        status["conditions"],
        json!([{ "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z" }])
    );
    let refusal = |status: Value| {
        let refused = disrupted(&budget(status), "p", now).expect_err("refused");
        let details = refused.details.expect("details");
        let cause = details.causes.first().map(|cause| cause.message.clone()).unwrap_or_default();
        (refused.code, details.retry_after_seconds, refused.message, cause)
    };
    let violates = "Cannot evict pod as it would violate the pod's disruption budget.";
    let condition = |reason: &str| {
        let mut status = counted(3, 2, 0);
        status["conditions"] = json!([{ "type": "DisruptionAllowed", "status": "False", "reason": reason, "message": "m" }]);
        status
    };
    for (status, retry, cause) in [
        (json!({}), 10, "The disruption budget b is still being processed by the server."),
        (counted(2, 2, 0), 0, "The disruption budget b needs 2 healthy pods and has 2 currently"),
        (counted(3, 2, 0), 0, "The disruption budget b does not allow evicting pods currently"),
        (
            condition("SyncFailed"),
            0,
            "The disruption budget b does not allow evicting pods currently because it failed sync: m",
        ),
        (
            condition("Other"),
            0,
            "The disruption budget b does not allow evicting pods currently (Other): m",
        ),
    ] {
        assert_eq!(refusal(status), (429, retry, violates.to_owned(), cause.to_owned()));
    }
    let (code, _, message, _) = refusal(counted(0, 0, -1));
    assert_eq!(
        (code, message.as_str()),
        (403, "poddisruptionbudget.policy \"b\" is forbidden: pdb disruptions allowed is negative")
    );
}
