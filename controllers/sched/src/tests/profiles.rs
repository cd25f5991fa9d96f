//! Profiles: what each of their fields changes, and what is refused.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::Config;
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::selector::Selector;
use crate::testing::{cluster, info, node, place};
use crate::volumes::VolumeFacts;

fn document(profile: Value) -> Value {
    json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "profiles": [profile]})
}

fn profile(profile: Value) -> Arc<Profile> {
    let config = Config::read(&document(profile)).unwrap();
    config.profile(None).unwrap().clone()
}

/// A profile that no score but one counts for.
fn scored_by(name: &str, config: Value) -> Arc<Profile> {
    let score = json!({"disabled": [{"name": "*"}], "enabled": [{"name": name, "weight": 5}]});
    profile(json!({"plugins": {"score": score}, "pluginConfig": config}))
}

/// The node that a pod goes to, or the reasons why it goes to none.
fn decide(mut one: crate::Cluster, pod: PodInfo) -> String {
    match one.schedule(&pod, &VolumeFacts::default()) {
        Ok(node) => node,
        Err(why) => why.to_string(),
    }
}

#[test]
fn the_document_of_nothing_is_the_default_profile() {
    assert_eq!(*profile(json!({})), Profile::default());
    let both = json!([{"schedulerName": "default-scheduler"}, {"schedulerName": "packed"}]);
    let mut written = document(json!({}));
    written["profiles"] = both;
    let config = Config::read(&written).unwrap();
    for (asked, expected) in [
        (None, Some("default-scheduler")),
        (Some(""), Some("default-scheduler")),
        (Some("packed"), Some("packed")),
        (Some("other"), None),
    ] {
        assert_eq!(config.profile(asked).map(|one| one.name), expected);
    }
}

/// Each field is refused by name that is wrong, or that nothing comes of.
#[test]
fn what_is_not_carried_out_is_refused() {
    let check = |written: Value, expected: &str| {
        let error = Config::read(&written).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    let plugins = |point: &str, set: Value| document(json!({"plugins": {point: set}}));
    let args =
        |name: &str, args: Value| document(json!({"pluginConfig": [{"name": name, "args": args}]}));
    check(json!({"apiVersion": "v1", "kind": "Pod"}), "expected a KubeSchedulerConfiguration");
    check(json!({"kind": "KubeSchedulerConfiguration"}), "missing field `apiVersion`");
    let with = |field: &str, value: Value| {
        let mut document = document(json!({}));
        document[field] = value;
        document
    };
    check(with("extenders", json!([{}])), "unknown field `extenders`");
    check(with("parallelism", json!(4)), "unknown field `parallelism`");
    check(with("leaderElection", json!({"leaderElect": false})), "leaderElection.leaderElect");
    check(
        with("percentageOfNodesToScore", json!(101)),
        "percentageOfNodesToScore: not in valid range",
    );
    check(
        with("podInitialBackoffSeconds", json!(0)),
        "podInitialBackoffSeconds: must be greater than 0",
    );
    check(with("podMaxBackoffSeconds", json!(0)), "podMaxBackoffSeconds: must be greater than 0");
    check(
        with("podInitialBackoffSeconds", json!(20)),
        "podMaxBackoffSeconds: must be greater than or equal",
    );
    check(
        with("profiles", json!([{}, {}])),
        "profiles[1].schedulerName: Duplicate value: \"default-scheduler\"",
    );
    check(document(json!({"schedulerName": ""})), "profiles[0].schedulerName: Required value");
    check(plugins("reserve", json!({})), "unknown field `reserve`");
    check(
        plugins("filter", json!({"disabled": [{"name": "Mine"}]})),
        "plugins.filter.disabled[0].name: there is no plugin Mine",
    );
    check(
        plugins("filter", json!({"enabled": [{"name": "ImageLocality"}]})),
        "there is no plugin ImageLocality",
    );
    check(
        plugins("multiPoint", json!({"disabled": [{"name": "DefaultBinder"}]})),
        "DefaultBinder cannot be disabled",
    );
    check(
        plugins("score", json!({"enabled": [{"name": "ImageLocality", "weight": -1}]})),
        "the weight of ImageLocality",
    );
    check(
        args("VolumeBinding", json!({"bindTimeoutSeconds": 5})),
        "arguments of VolumeBinding are not carried out",
    );
    check(
        args("NodeAffinity", json!({"kind": "PodArgs"})),
        "pluginConfig[0].args.kind: expected NodeAffinityArgs",
    );
    check(args("InterPodAffinity", json!({"hardPodAffinityWeight": 101})), "not in valid range");
    let strategy = |strategy: Value| args("NodeResourcesFit", json!({"scoringStrategy": strategy}));
    check(strategy(json!({"type": "Best"})), "scoringStrategy.type: Unsupported value");
    check(
        strategy(json!({"type": "RequestedToCapacityRatio"})),
        "requestedToCapacityRatio: Required value",
    );
    let ratio = |shape: Value| {
        strategy(
            json!({"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": shape}}),
        )
    };
    check(ratio(json!([])), "at least one point");
    check(
        ratio(json!([{"utilization": 5, "score": 1}, {"utilization": 5, "score": 2}])),
        "increasing order",
    );
    check(ratio(json!([{"utilization": 5, "score": 11}])), "score not in [0-10]");
    let constraint =
        json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
    check(
        args("PodTopologySpread", json!({"defaultConstraints": [constraint]})),
        "defaultingType is System",
    );
    check(
        args(
            "PodTopologySpread",
            json!({"defaultConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "x"}], "defaultingType": "List"}),
        ),
        "maxSkew greater than zero",
    );
}

#[test]
fn a_filter_that_is_off_refuses_nobody() {
    let closed = || cluster(&[node("a", "4", json!({"spec": {"unschedulable": true}}))]);
    assert!(decide(closed(), info("p", json!({}))).contains("were unschedulable"));
    for point in ["filter", "multiPoint"] {
        let off = json!({"disabled": [{"name": "NodeUnschedulable"}]});
        let open = profile(json!({"plugins": {point: off}}));
        assert_eq!(decide(closed(), info("p", json!({})).under(&open)), "a");
    }
    let all_off = profile(json!({"plugins": {"filter": {"disabled": [{"name": "*"}]}}}));
    let full =
        json!({"spec": {"unschedulable": true, "taints": [{"key": "k", "effect": "NoSchedule"}]}});
    let pod = json!({"spec": {"nodeSelector": {"no": "such"}, "containers": [{"name": "c",
        "ports": [{"hostPort": 80, "containerPort": 80}], "resources": {"requests": {"cpu": "9"}}}],
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "k", "labelSelector": {"matchLabels": {"a": "b"}}}]}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule"}]}});
    assert_eq!(decide(cluster(&[node("a", "4", full)]), info("p", pod).under(&all_off)), "a");
    let back = profile(json!({"plugins": {"filter":
        {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit"}]}}}));
    let big =
        json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "9"}}}]}});
    assert!(decide(closed(), info("p", big).under(&back)).contains("Insufficient cpu"));
    let none = profile(json!({"plugins": {"postFilter": {"disabled": [{"name": "*"}]}}}));
    assert!(!none.preempts && Profile::default().preempts);
}

/// Two nodes, of which `a` is in use.
fn used_and_unused() -> crate::Cluster {
    let mut one = cluster(&[node("a", "4", json!({})), node("b", "4", json!({}))]);
    place(&mut one, "there", "a", json!({}));
    one
}

#[test]
fn nodes_are_rated_as_the_profile_wants() {
    let rated = |strategy: Value| {
        let config = json!([{"name": "NodeResourcesFit", "args": {"scoringStrategy": strategy}}]);
        decide(
            used_and_unused(),
            info("p", json!({})).under(&scored_by("NodeResourcesFit", config)),
        )
    };
    assert_eq!(rated(json!({"type": "LeastAllocated"})), "b");
    assert_eq!(rated(json!({"type": "MostAllocated"})), "a");
    let by_memory = json!([{"name": "memory", "weight": 2}]);
    assert_eq!(
        rated(json!({"type": "MostAllocated", "resources": by_memory})),
        "a",
        "what it is taken to use counts"
    );
    let line = |shape: Value| {
        rated(
            json!({"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": shape}}),
        )
    };
    let up = json!([{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]);
    assert_eq!(line(up), "a");
    let down = json!([{"utilization": 0, "score": 10}, {"utilization": 100, "score": 0}]);
    assert_eq!(line(down), "b");
}

#[test]
fn extended_resources_count_where_the_profile_says_so() {
    let gpus = |count: &str| json!({"status": {"allocatable": {"x.io/gpu": count}}});
    let ask = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"x.io/gpu": "2"}}}]}});
    let strategy =
        json!({"type": "MostAllocated", "resources": [{"name": "x.io/gpu", "weight": 1}]});
    let config = json!([{"name": "NodeResourcesFit", "args": {"scoringStrategy": strategy}}]);
    let packed = scored_by("NodeResourcesFit", config);
    let nodes = || cluster(&[node("a", "4", gpus("8")), node("b", "4", gpus("2"))]);
    assert_eq!(decide(nodes(), info("p", ask.clone()).under(&packed)), "b");
    for ignored in
        [json!({"ignoredResources": ["x.io/gpu"]}), json!({"ignoredResourceGroups": ["x.io"]})]
    {
        let ignoring =
            profile(json!({"pluginConfig": [{"name": "NodeResourcesFit", "args": ignored}]}));
        let bare = cluster(&[node("c", "4", json!({}))]);
        assert_eq!(decide(bare, info("p", ask.clone()).under(&ignoring)), "c");
    }
    assert!(
        decide(cluster(&[node("c", "4", json!({}))]), info("p", ask))
            .contains("Insufficient x.io/gpu")
    );
}

#[test]
fn a_profile_adds_an_affinity_of_its_own() {
    let labelled = |tier: &str| json!({"metadata": {"labels": {"tier": tier}}});
    let nodes = || cluster(&[node("a", "4", labelled("low")), node("b", "4", labelled("high"))]);
    let term = |value: &str| json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": [value]}]});
    let added = |affinity: Value| {
        profile(
            json!({"pluginConfig": [{"name": "NodeAffinity", "args": {"addedAffinity": affinity}}]}),
        )
    };
    let must = |value: &str| {
        added(
            json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term(value)]}}),
        )
    };
    assert_eq!(decide(nodes(), info("p", json!({})).under(&must("high"))), "b");
    let nowhere = decide(nodes(), info("p", json!({})).under(&must("none")));
    assert!(
        nowhere.contains("2 node(s) didn't match scheduler-enforced node affinity"),
        "{nowhere}"
    );
    let likes = json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term("high")}]});
    assert_eq!(decide(nodes(), info("p", json!({})).under(&added(likes))), "b");
}

#[test]
fn wishes_of_placed_pods_weigh_what_the_profile_says() {
    let zone = |zone: &str| json!({"metadata": {"labels": {"zone": zone}}});
    let terms = json!([{"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "p"}}}]);
    let fond = |wish: Value| {
        let mut one = cluster(&[node("a", "4", zone("x")), node("b", "4", zone("y"))]);
        place(&mut one, "there", "b", json!({"spec": {"affinity": {"podAffinity": wish}}}));
        one
    };
    let pod = || info("p", json!({"metadata": {"labels": {"app": "p"}}}));
    let with = |args: Value| {
        scored_by("InterPodAffinity", json!([{"name": "InterPodAffinity", "args": args}]))
    };
    let must = || json!({"requiredDuringSchedulingIgnoredDuringExecution": terms});
    assert_eq!(decide(fond(must()), pod().under(&with(json!({})))), "b");
    assert_eq!(decide(fond(must()), pod().under(&with(json!({"hardPodAffinityWeight": 0})))), "a");
    let may = || json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "podAffinityTerm": terms[0]}]});
    assert_eq!(decide(fond(may()), pod().under(&with(json!({})))), "b");
    let ignoring = with(json!({"ignorePreferredTermsOfExistingPods": true}));
    assert_eq!(decide(fond(may()), pod().under(&ignoring)), "a");
}

#[test]
fn a_profile_says_how_pods_are_spread_by_default() {
    let constraint = json!({"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"});
    let args = json!({"defaultingType": "List", "defaultConstraints": [constraint]});
    let strict = profile(json!({"pluginConfig": [{"name": "PodTopologySpread", "args": args}]}));
    let labelled = json!({"metadata": {"labels": {"app": "p"}}});
    let mut one = cluster(&[node("a", "9", json!({})), node("b", "1", json!({}))]);
    place(&mut one, "there", "a", labelled.clone());
    place(&mut one, "other", "b", json!({}));
    let selector = Selector::pairs(&[("app".to_owned(), "p".to_owned())].into());
    let pod = info("p", labelled).under(&strict).spread_by_default(&selector);
    let why = decide(one, pod);
    assert!(
        why.contains("didn't match pod topology spread constraints")
            && why.contains("Insufficient cpu"),
        "{why}"
    );
    let none = json!({"defaultingType": "List", "defaultConstraints": []});
    let loose = profile(json!({"pluginConfig": [{"name": "PodTopologySpread", "args": none}]}));
    assert!(info("p", json!({})).under(&loose).spread_by_default(&selector).spread.is_empty());
}
