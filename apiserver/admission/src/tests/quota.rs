//! Quotas: what counts in which, what is too much, and what is used of all.

use super::*;
use crate::quota::{Census, charged, counted, is_observed, resources_of};

/// A quota that has been counted: limits, use, and the rest of its spec.
fn quota(hard: Value, used: Value, spec: Value) -> Value {
    let mut quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "q", "namespace": "ns" },
        "spec": spec, "status": { "hard": hard, "used": used },
    });
    quota["spec"]["hard"] = quota["status"]["hard"].clone();
    quota
}

/// What is used after a create, or the reason of its refusal; nothing if the quota has no part in it.
fn charge(quota: &Value, object: &Value) -> Result<Option<Value>, String> {
    let asked = asked(Operation::Create, object);
    let prefix = format!("{} {:?} is forbidden: ", asked.kind.gvr().resource, asked.name);
    let prefix = match &*asked.kind.group {
        "" => prefix,
        group => prefix.replacen(' ', &format!(".{group} "), 1),
    };
    charged(&asked, object, None, std::slice::from_ref(quota))
        .map(|mut all| all.remove(&0))
        .map_err(|status| status.message.strip_prefix(&prefix).expect("forbidden").to_owned())
}

fn pod_with(resources: Value) -> Value {
    let mut pod = pod();
    pod["spec"]["containers"][0]["resources"] = resources;
    pod
}

fn small() -> Value {
    pod_with(json!({ "requests": { "cpu": "100m", "memory": "1Gi" }, "limits": { "cpu": "1" } }))
}

fn service(spec: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s", "namespace": "ns" }, "spec": spec })
}

fn claim(class: &str, size: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "c", "namespace": "ns" },
        "spec": { "storageClassName": class, "resources": { "requests": { "storage": size } } },
    })
}

#[test]
fn pods_are_charged_with_what_they_ask_for() {
    let hard = json!({ "pods": "2", "requests.cpu": "1", "limits.cpu": "2", "memory": "4Gi", "secrets": "1" });
    let used = json!({ "pods": "1", "requests.cpu": "500m", "limits.cpu": "1", "memory": "1Gi", "secrets": "1" });
    let expected = json!({ "pods": "2", "requests.cpu": "600m", "limits.cpu": "2", "memory": "2Gi", "secrets": "1" });
    assert_eq!(charge(&quota(hard, used, json!({})), &small()), Ok(Some(expected)));
}

#[test]
fn too_much_is_refused_with_all_that_is_too_much() {
    let hard = json!({ "pods": "2", "requests.cpu": "1", "memory": "1Gi" });
    let used = json!({ "pods": "2", "requests.cpu": "100m", "memory": "512Mi" });
    assert_eq!(
        charge(&quota(hard, used, json!({})), &small()),
        Err("exceeded quota: q, requested: memory=1Gi,pods=1, used: memory=512Mi,pods=2, limited: memory=1Gi,pods=2".to_owned())
    );
}

#[test]
fn what_is_limited_has_to_be_said() {
    let limited =
        json!({ "limits.memory": "1Gi", "requests.cpu": "1", "requests.ephemeral-storage": "1Gi" });
    let quota = quota(limited.clone(), limited, json!({}));
    let mut pod = pod();
    pod["spec"]["initContainers"] =
        json!([{ "name": "i", "image": "x", "resources": { "requests": { "cpu": "1" } } }]);
    let why = "failed quota: q: must specify limits.memory for: c,i; requests.cpu for: c";
    assert_eq!(charge(&quota, &pod), Err(why.to_owned()));
    pod["spec"]["resources"] = json!({ "limits": { "a.test/b": "1" } });
    assert_eq!(charge(&quota, &pod), Err(why.to_owned()), "not what a pod may ask for");
    // Red when the pod has to say each.
    pod["spec"]["resources"] = json!({ "requests": { "cpu": "1" } });
    let why = "exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=1, limited: requests.cpu=1";
    assert_eq!(charge(&quota, &pod), Err(why.to_owned()), "the pod as a whole says");
}

#[test]
fn a_quota_that_has_not_been_counted_refuses() {
    let quota =
        quota(json!({ "pods": "2", "requests.cpu": "1" }), json!({ "pods": "0" }), json!({}));
    let why = "status unknown for quota: q, resources: pods,requests.cpu";
    assert_eq!(charge(&quota, &small()), Err(why.to_owned()));
    let mut unseen = quota;
    unseen["status"] = json!({});
    assert_eq!(charge(&unseen, &small()), Ok(None), "no status limits nothing");
}

#[test]
fn scopes_say_which_pods_count() {
    let within = |spec: Value, pod: &Value| {
        let quota = quota(json!({ "pods": "1" }), json!({ "pods": "0" }), spec);
        charge(&quota, pod).expect("admitted").is_some()
    };
    let scope = |name: &str| json!({ "scopes": [name] });
    let (bare, small) = (pod(), small());
    let (mut whole, mut pages) = (pod(), small.clone());
    whole["spec"]["resources"] = json!({ "limits": { "memory": "1Mi" } });
    pages["spec"]["resources"] = json!({ "limits": { "hugepages-2Mi": "2Mi" } });
    let mut ends = pod();
    ends["spec"]["activeDeadlineSeconds"] = 5.into();
    let mut high = pod();
    high["spec"]["priorityClassName"] = "high".into();
    let mut elsewhere = pod();
    elsewhere["spec"]["affinity"] = json!({ "podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{ "namespaces": ["x"], "topologyKey": "k" }] } });
    let selector = |operator: &str, values: Value| {
        let one = json!({ "scopeName": "PriorityClass", "operator": operator, "values": values });
        json!({ "scopeSelector": { "matchExpressions": [one] } })
    };
    for (spec, pod, expected) in [
        (scope("BestEffort"), &bare, true),
        (scope("BestEffort"), &small, false),
        (scope("BestEffort"), &whole, false),
        (scope("BestEffort"), &pages, true),
        (scope("NotBestEffort"), &bare, false),
        (scope("NotBestEffort"), &small, true),
        (scope("Terminating"), &ends, true),
        (scope("Terminating"), &bare, false),
        (scope("NotTerminating"), &ends, false),
        (scope("NotTerminating"), &bare, true),
        (scope("CrossNamespacePodAffinity"), &elsewhere, true),
        (scope("CrossNamespacePodAffinity"), &bare, false),
        (scope("PriorityClass"), &high, true),
        (scope("PriorityClass"), &bare, false),
        (selector("In", json!(["high", "low"])), &high, true),
        (selector("In", json!(["low"])), &high, false),
        (selector("NotIn", json!(["low"])), &high, true),
        (selector("NotIn", json!(["high"])), &high, false),
        (selector("NotIn", json!(["high"])), &bare, true),
        (selector("Exists", json!([])), &high, true),
        (selector("DoesNotExist", json!([])), &high, false),
        (selector("DoesNotExist", json!([])), &bare, true),
    ] {
        assert_eq!(within(spec.clone(), pod), expected, "{spec}");
    }
    // What is no pod is in no scope of pods.
    let quota = quota(json!({ "services": "0" }), json!({ "services": "0" }), scope("BestEffort"));
    assert_eq!(charge(&quota, &service(json!({}))), Ok(None));
}

#[test]
fn services_claims_and_everything_else_count() {
    let all = |names: &[&str], amount: &str| {
        Value::Object(names.iter().map(|name| ((*name).to_owned(), amount.into())).collect())
    };
    let names = ["count/services", "services", "services.loadbalancers", "services.nodeports"];
    let of_services = quota(all(&names, "9"), all(&names, "0"), json!({}));
    let ports = json!([{ "port": 1 }, { "port": 2, "nodePort": 30001 }]);
    for (spec, expected) in [
        (json!({ "ports": ports }), ["1", "1", "0", "0"]),
        (json!({ "type": "NodePort", "ports": ports }), ["1", "1", "0", "2"]),
        (json!({ "type": "LoadBalancer", "ports": ports }), ["1", "1", "1", "2"]),
        (
            json!({ "type": "LoadBalancer", "ports": ports, "allocateLoadBalancerNodePorts": false }),
            ["1", "1", "1", "1"],
        ),
    ] {
        let used = charge(&of_services, &service(spec)).expect("admitted").expect("charged");
        assert_eq!(names.map(|name| used[name].clone()), expected.map(Value::from));
    }

    let names = [
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims",
        "gold.storageclass.storage.k8s.io/requests.storage",
        "persistentvolumeclaims",
        "requests.storage",
    ];
    let of_claims = quota(all(&names, "9Gi"), all(&names, "0"), json!({}));
    let used =
        |class| charge(&of_claims, &claim(class, "2Gi")).expect("admitted").expect("charged");
    let gold = used("gold");
    assert_eq!(names.map(|name| gold[name].clone()), ["1", "2Gi", "1", "2Gi"].map(Value::from));
    let other = used("other");
    assert_eq!(names.map(|name| other[name].clone()), ["0", "0", "1", "2Gi"].map(Value::from));

    let deployment =
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" } });
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" } });
    for (name, object) in
        [("count/deployments.apps", &deployment), ("secrets", &secret), ("count/secrets", &secret)]
    {
        let full = quota(json!({ name: "1" }), json!({ name: "1" }), json!({}));
        let why =
            format!("exceeded quota: q, requested: {name}=1, used: {name}=1, limited: {name}=1");
        assert_eq!(charge(&full, object), Err(why));
    }
}

#[test]
fn devices_and_huge_pages_count_as_requested() {
    let hard = json!({ "requests.example.com/gpu": "1", "hugepages-2Mi": "4Mi" });
    let used = json!({ "requests.example.com/gpu": "0", "hugepages-2Mi": "0" });
    let of = |gpus: &str| {
        pod_with(json!({ "requests": { "example.com/gpu": gpus, "hugepages-2Mi": "2Mi" } }))
    };
    let quota = quota(hard, used, json!({}));
    let expected = json!({ "requests.example.com/gpu": "1", "hugepages-2Mi": "2Mi" });
    assert_eq!(charge(&quota, &of("1")), Ok(Some(expected)));
    assert!(charge(&quota, &of("2")).is_err());
}

#[test]
fn an_update_is_charged_with_what_it_uses_more() {
    let names = json!({ "requests.storage": "3Gi", "persistentvolumeclaims": "1" });
    let used = json!({ "requests.storage": "2Gi", "persistentvolumeclaims": "1" });
    let quota = quota(names, used, json!({}));
    let old = claim("gold", "2Gi");
    let asked = asked(Operation::Update, &old);
    let update = |new: &Value| {
        charged(&asked, new, Some(&old), std::slice::from_ref(&quota))
            .map(|mut all| all.remove(&0))
            .map_err(|status| status.message)
    };
    assert_eq!(update(&old), Ok(None));
    assert_eq!(update(&claim("gold", "1Gi")), Ok(None));
    let expected = json!({ "requests.storage": "3Gi", "persistentvolumeclaims": "1" });
    assert_eq!(update(&claim("gold", "3Gi")), Ok(Some(expected)));
    let why = "exceeded quota: q, requested: requests.storage=2Gi, used: requests.storage=2Gi, limited: requests.storage=3Gi";
    assert!(update(&claim("gold", "4Gi")).expect_err("refused").ends_with(why));
}

/// A namespace with some pods and twelve of everything else.
struct Crowd(Vec<Value>);

impl Census for Crowd {
    fn objects(&self, _: &str, plural: &str) -> Vec<Value> {
        if plural == "pods" { self.0.clone() } else { Vec::new() }
    }

    fn count(&self, _: &str, _: &str) -> usize {
        12
    }
}

#[test]
fn what_is_used_is_counted() {
    let now = "2026-01-01T01:00:00Z".parse().expect("a time");
    let mut over = small();
    over["status"] = json!({ "phase": "Succeeded" });
    let mut late = small();
    late["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    late["metadata"]["deletionGracePeriodSeconds"] = 30.into();
    let mut going = late.clone();
    going["metadata"]["deletionTimestamp"] = "2026-01-01T01:00:00Z".into();
    let census = Crowd(vec![small(), small(), over, late, going]);
    let hard = json!({
        "pods": "5", "count/pods": "9", "requests.cpu": "1", "count/deployments.apps": "3",
        "configmaps": "20", "services": "1", "unheard.of": "1",
    });
    let mut quota = quota(hard.clone(), json!({}), json!({}));
    quota["status"] = json!({});
    assert!(!is_observed(&quota));
    let status = counted(&quota, &census, now);
    assert_eq!(
        status,
        json!({ "hard": hard, "used": {
            "pods": "3", "count/pods": "5", "requests.cpu": "300m", "count/deployments.apps": "12",
            "configmaps": "12", "services": "0",
        } })
    );
    quota["status"] = status;
    assert!(is_observed(&quota));
    quota["spec"]["hard"]["pods"] = "6".into();
    assert!(!is_observed(&quota));
    let watched: Vec<String> = resources_of(&quota)
        .into_iter()
        .map(|(group, plural)| format!("{plural}.{group}"))
        .collect();
    assert_eq!(watched, ["configmaps.", "pods.", "services.", "deployments.apps"]);

    // Only what is in the scope.
    quota["spec"] = json!({ "hard": { "pods": "5" }, "scopes": ["BestEffort"] });
    assert_eq!(counted(&quota, &census, now)["used"], json!({ "pods": "0" }));
}

#[test]
fn some_writes_use_nothing() {
    let chain = Chain::new(Objects::default(), &[]);
    let (pod, service) = (pod(), service(json!({})));
    let event = json!({ "apiVersion": "v1", "kind": "Event", "metadata": { "name": "e" } });
    for (operation, object, subresource, expected) in [
        (Operation::Create, &pod, "", true),
        (Operation::Create, &pod, "binding", false),
        (Operation::Create, &event, "", false),
        (Operation::Create, &namespace("n"), "", false),
        (Operation::Update, &pod, "", false),
        (Operation::Update, &service, "", true),
        (Operation::Update, &service, "status", false),
        (Operation::Delete, &pod, "", false),
    ] {
        let asked = Asked { subresource, ..asked(operation, object) };
        assert_eq!(chain.is_charged(&asked), expected, "{operation:?} {object} {subresource}");
    }
}
