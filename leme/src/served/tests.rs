//! The rules, held against pictures.

use serde_json::json;

use super::*;

type Kept = ((&'static str, &'static str), Value);

const PODS: (&str, &str) = ("", "pods");
const EVENTS: (&str, &str) = ("", "events");

/// An object of a kind that has a rule.
fn typed(mut object: Value) -> Object {
    let kind = object["kind"].as_str().unwrap_or("Pod").to_owned();
    let group = RULES.iter().find(|(_, known, _)| *known == kind).map_or("", |(group, ..)| group);
    object["apiVersion"] = leme_meta::gvk::api_version(group, "v1").into();
    Object(object)
}

/// A lister of objects of kinds that have rules, and of others.
fn still<const N: usize>(objects: [Kept; N]) -> Lister {
    Lister::still(objects.map(|(kind, object)| match object["kind"].is_string() {
        true => (kind, typed(object).0),
        false => (kind, object),
    }))
}

fn works(text: &str) -> State {
    State::Works(text.to_owned())
}

fn waits(text: &str) -> State {
    State::Waits(text.to_owned())
}

fn failed(text: &str) -> State {
    State::Failed(text.to_owned())
}

#[test]
fn an_autoscaler_works_if_it_can_scale() {
    let check = |conditions: Value, expected: State| {
        let scaler = json!({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
            "status": {"currentReplicas": 2, "desiredReplicas": 3, "conditions": conditions}});
        assert_eq!(state(&typed(scaler), &still([])), expected, "{conditions}");
    };
    let able =
        |status: &str| json!({"type": "AbleToScale", "status": status, "message": "no target"});
    let active =
        |status: &str| json!({"type": "ScalingActive", "status": status, "message": "no metrics"});
    check(json!([]), waits("not looked at yet"));
    check(json!([able("False")]), waits("no target"));
    check(json!([able("True"), active("False")]), works("but does not scale: no metrics"));
    check(json!([able("True"), active("True")]), works("2 replicas, 3 wanted"));
}

/// What the API holds when a cluster is resumed: counts and slices are from before the stop, the pod has said already
/// that it is not ready. Red when the counts are believed: `up` says that all is served while nothing is.
#[test]
fn what_a_pod_says_of_itself_counts_more_than_what_others_counted() {
    let check = |ready: &str, works: bool| {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "p1",
            "ownerReferences": [{"uid": "rc1"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
        let slice = json!({"metadata": {"name": "s-1", "namespace": "n",
                "labels": {"kubernetes.io/service-name": "s"}},
            "endpoints": [{"conditions": {"ready": true}, "targetRef": {"uid": "p1"}}]});
        let lister = still([(PODS, pod), (("discovery.k8s.io", "endpointslices"), slice)]);
        let service = json!({"kind": "Service", "metadata": {"name": "s", "namespace": "n"},
            "spec": {"selector": {"a": "b"}, "clusterIP": "10.0.0.1"}});
        let controller = json!({"kind": "ReplicationController",
            "metadata": {"name": "r", "namespace": "n", "uid": "rc1", "generation": 1},
            "spec": {"replicas": 1},
            "status": {"replicas": 1, "readyReplicas": 1, "observedGeneration": 1}});
        for object in [service, controller] {
            let state = state(&typed(object), &lister);
            assert_eq!(matches!(state, State::Works(_)), works, "{ready}: {state:?}");
        }
    };
    check("True", true);
    check("False", false);
}

/// Red when what has no rule works: a Job that has failed did.
#[test]
fn a_job_works_when_it_is_complete_and_a_build_too() {
    let check = |kind: &str, spec: Value, status: Value, expected: State| {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "ownerReferences": [{"uid": "j"}]},
            "status": {"phase": "Failed", "message": "no room"}});
        let object = json!({"kind": kind, "spec": spec, "status": status,
            "metadata": {"name": "j", "uid": "j"}});
        let lister = still([(PODS, pod)]);
        assert_eq!(judged(&typed(object), &lister), expected);
    };
    let is = |type_: &str, message: &str| json!({"succeeded": 1, "conditions": [{"type": type_, "status": "True", "message": message}]});
    let two = || json!({"completions": 2});
    check("Job", two(), is("Complete", ""), works("1/2 completed"));
    let why = "too often: pod p: it has failed: no room";
    check("Job", two(), is("Failed", "too often"), failed(why));
    check("Job", two(), is("Suspended", ""), waits("1/2 completed: it is suspended"));
    check("Job", json!({}), json!({}), waits("0 completed: pod p: it has failed: no room"));
    check("Build", json!({}), json!({"phase": "New"}), waits("New"));
    check("Build", json!({}), json!({"phase": "Complete"}), works(""));
    check("Build", json!({}), json!({}), waits("New"));
    for phase in ["Failed", "Error", "Cancelled"] {
        let status = json!({"phase": phase, "message": "no source"});
        check("Build", json!({}), status, failed(&format!("{phase}: no source")));
    }
}

/// Red when an old build counts, or a configuration works whose newest build has failed.
#[test]
fn a_configuration_works_as_its_newest_build_does() {
    const BUILDS: (&str, &str) = ("build.openshift.io", "builds");
    let build = |number: &str, phase: &str| {
        (
            BUILDS,
            json!({"metadata": {"name": format!("b-{number}"), "namespace": "", "uid": number,
            "annotations": {"openshift.io/build.number": number},
            "ownerReferences": [{"apiVersion": "build.openshift.io/v1", "kind": "BuildConfig", "name": "b", "uid": "b"}]},
            "status": {"phase": phase}}),
        )
    };
    let config = typed(json!({"kind": "BuildConfig", "metadata": {"name": "b", "uid": "b"}}));
    let two = |last: &str| still([build("9", "Failed"), build("10", last)]);
    assert_eq!(judged(&config, &still([])), works(""));
    assert_eq!(judged(&config, &two("Complete")), works("build b-10 is complete"));
    assert_eq!(judged(&config, &two("Running")), waits("build b-10: Running"));
    assert_eq!(judged(&config, &two("Error")), failed("build b-10: Error"));
}

#[test]
fn a_deployment_works_when_nothing_of_an_older_template_is_left() {
    let check = |spec: Value, status: Value, ready: &str, expected: State| {
        let owned = |kind: &str, name: &str, owner: &str| {
            json!({"kind": kind, "metadata": {"name": name, "namespace": "n", "uid": name,
                "ownerReferences": [{"uid": owner}]}})
        };
        let mut pod = owned("Pod", "d-1-a", "d-1");
        pod["status"] = json!({"phase": "Running", "conditions": [
            {"type": "Ready", "status": ready, "message": "not yet"}]});
        let set = owned("ReplicaSet", "d-1", "d");
        let lister = still([(("apps", "replicasets"), set), (PODS, pod)]);
        let mut object = json!({"kind": "Deployment", "spec": spec, "status": status,
            "metadata": {"name": "d", "namespace": "n", "uid": "d", "generation": 2}});
        object["spec"]["replicas"] = 1.into();
        assert_eq!(judged(&typed(object), &lister), expected);
    };
    let status = |replicas: i64, updated: i64, seen: i64| {
        json!({"replicas": replicas, "updatedReplicas": updated, "availableReplicas": 1,
            "observedGeneration": seen})
    };
    check(json!({}), status(1, 1, 2), "True", works("1/1 available"));
    check(json!({}), status(1, 1, 2), "False", waits("0/1 available: pod d-1-a: not yet"));
    check(json!({}), status(2, 1, 2), "True", waits("1/1 available, 1 up to date"));
    check(json!({}), status(1, 1, 1), "True", waits("1/1 available"));
    let paused = json!({"paused": true});
    let waits_paused = waits("1/1 available, 0 up to date: it is paused");
    check(paused.clone(), status(1, 0, 2), "True", waits_paused.clone());
    // Given up on, which what is wanted since then does not share, nor what is paused.
    let late = |seen: i64| {
        let mut late = status(1, 0, seen);
        late["conditions"] = json!([{"type": "Progressing", "status": "False",
            "reason": "ProgressDeadlineExceeded", "message": "timed out"}]);
        late
    };
    let why = "1/1 available, 0 up to date: ProgressDeadlineExceeded: timed out";
    check(json!({}), late(2), "True", failed(why));
    check(json!({}), late(1), "True", waits("1/1 available, 0 up to date"));
    check(paused, late(2), "True", waits_paused);
}

#[test]
fn sets_work_when_their_pods_are_of_the_newest_template() {
    let check = |kind: &str, spec: Value, status: Value, ready: &str, expected: State| {
        let pod = json!({"kind": "Pod", "metadata": {"name": "s-0", "namespace": "n", "uid": "p",
                "ownerReferences": [{"uid": "s"}]},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": ready, "message": "not yet"}]}});
        let lister = still([(PODS, pod)]);
        let mut object = json!({"kind": kind, "spec": spec, "status": status,
            "metadata": {"name": "s", "namespace": "n", "uid": "s", "generation": 2}});
        object["status"]["observedGeneration"] = 2.into();
        assert_eq!(judged(&typed(object), &lister), expected);
    };
    let counted =
        |updated: i64| json!({"replicas": 1, "readyReplicas": 1, "updatedReplicas": updated});
    let rolling = json!({"replicas": 1, "updateStrategy": {"type": "RollingUpdate"}});
    let held = json!({"replicas": 1, "updateStrategy": {"rollingUpdate": {"partition": 1}}});
    let kind = "StatefulSet";
    check(kind, rolling.clone(), counted(1), "True", works("1/1 ready"));
    check(kind, rolling.clone(), counted(0), "True", waits("1/1 ready, 0 up to date"));
    check(kind, rolling, counted(1), "False", waits("0/1 ready: pod s-0: not yet"));
    check(kind, held, counted(0), "True", works("1/1 ready"));
    let counted = |updated: i64| json!({"desiredNumberScheduled": 1, "numberAvailable": 1, "updatedNumberScheduled": updated});
    let deletes = json!({"updateStrategy": {"type": "OnDelete"}});
    let kind = "DaemonSet";
    check(kind, json!({}), counted(1), "True", works("1/1 available"));
    check(kind, json!({}), counted(0), "True", waits("1/1 available, 0 up to date"));
    check(kind, json!({}), counted(1), "False", waits("0/1 available: pod s-0: not yet"));
    check(kind, deletes, counted(0), "True", works("1/1 available"));
}

/// Red when it waits for ever.
#[test]
fn a_rollout_that_has_failed_ends_a_deployment_config() {
    let check = |reason: &str, expected: State| {
        let object = json!({"kind": "DeploymentConfig", "spec": {"replicas": 1},
            "metadata": {"name": "d", "uid": "d", "generation": 1},
            "status": {"observedGeneration": 1, "latestVersion": 1, "replicas": 0, "conditions": [{"type": "Progressing",
                "status": "False", "reason": reason, "message": "d-1 has failed progressing"}]}});
        assert_eq!(judged(&typed(object), &still([])), expected);
    };
    let why = "0/1 ready: ProgressDeadlineExceeded: d-1 has failed progressing";
    check("ProgressDeadlineExceeded", failed(why));
    check("ReplicationControllerCreateError", waits("0/1 ready"));
}

#[test]
fn a_config_that_was_never_rolled_out_says_why() {
    let check = |triggers: Value, expected: &str| {
        let object = json!({"kind": "DeploymentConfig", "metadata": {"name": "d", "generation": 1},
            "spec": {"replicas": 1, "triggers": triggers},
            "status": {"observedGeneration": 1, "latestVersion": 0, "replicas": 0}});
        assert_eq!(judged(&typed(object), &still([])), waits(expected));
    };
    let image = json!([{"type": "ImageChange", "imageChangeParams": {"from": {"name": "app:1"}}}]);
    check(image, "0/1 ready: no image has the tag app:1 yet");
    let asked = "its rollouts have to be asked for (deploymentconfigs/instantiate)";
    check(json!([]), &format!("0/1 ready: it has no trigger, so that {asked}"));
    check(json!([{"type": "ConfigChange"}]), "0/1 ready");
}

// Red when the pods of the rollout before are taken for those of the one that goes on.
#[test]
fn a_config_works_when_its_newest_rollout_is_done() {
    let check = |test: bool, (replicas, updated): (i64, i64), reason: &str, expected: State| {
        let object = json!({"kind": "DeploymentConfig", "spec": {"replicas": 1, "test": test},
            "metadata": {"name": "d", "namespace": "n", "uid": "d", "generation": 1},
            "status": {"observedGeneration": 1, "latestVersion": 2, "replicas": replicas, "readyReplicas": replicas,
                "updatedReplicas": updated,
                "conditions": [{"type": "Progressing", "status": "True", "reason": reason}]}});
        let hook = json!({"kind": "Pod", "metadata": {"name": "d-2-hook-pre", "namespace": "n",
            "labels": {"openshift.io/deployer-pod-for.name": "d-2"}}, "status": {"phase": "Pending"}});
        assert_eq!(judged(&typed(object), &still([(PODS, hook)])), expected);
    };
    check(false, (1, 1), "NewReplicationControllerAvailable", works("1/1 ready"));
    check(false, (1, 0), "NewReplicationControllerAvailable", works("1/1 ready"));
    let why = "1/1 ready, 0 up to date: pod d-2-hook-pre: Pending";
    check(false, (1, 0), "NewReplicationControllerCreated", waits(why));
    check(true, (0, 0), "NewReplicationControllerAvailable", works("the test is over"));
    check(true, (0, 0), "ReplicationControllerUpdated", waits("0/1 ready"));
}

/// Red when a rollout that waits for its hook ends at the configuration, or is led to the hook of another one.
#[test]
fn a_config_is_followed_to_the_pods_of_its_rollout() {
    let config = json!({"kind": "DeploymentConfig", "apiVersion": "apps.openshift.io/v1",
        "metadata": {"name": "d", "namespace": "n"}, "status": {"latestVersion": 2}});
    let hook = |name: &str, of: &str| {
        json!({"kind": "Pod", "metadata": {"name": name, "namespace": "n", "uid": name,
            "labels": {"openshift.io/deployer-pod-for.name": of}}})
    };
    let lister = still([(PODS, hook("d-2-hook-pre", "d-2")), (PODS, hook("d-1-hook-pre", "d-1"))]);
    let shown: Vec<String> = causes(&Object(config), &lister)
        .into_iter()
        .map(|cause| match cause {
            Cause::Object(shown, _) => shown,
            Cause::Said(words) => words,
        })
        .collect();
    assert_eq!(shown, ["pod/d-2-hook-pre"]);
}

/// Red when such a pod waits for "a node" as if that came of itself.
#[test]
fn a_pod_that_is_left_to_another_scheduler_says_so() {
    let check = |scheduler: &str, expected: &str| {
        let object = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"schedulerName": scheduler},
            "status": {"phase": "Pending"}});
        assert_eq!(judged(&typed(object), &still([])), waits(expected));
    };
    check("mine", "scheduler mine, to which it is left, has not given it a node");
    check("default-scheduler", "Pending");
}

/// Red when what nobody acts on works, and when the table of these kinds does not count.
#[test]
fn what_nobody_acts_on_is_stored() {
    let check = |api_version: &str, kind: &str, expected: State| {
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}});
        assert_eq!(state(&Object(object), &still([])), expected, "{kind}");
    };
    let enforced = || State::Stored("nothing in this cluster enforces it yet");
    check("networking.k8s.io/v1", "NetworkPolicy", enforced());
    check("rbac.authorization.k8s.io/v1", "RoleBinding", works(""));
    check("v1", "ConfigMap", works(""));
    let own = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "status": {"conditions": [{"type": "Available", "status": "True"}]}});
    assert_eq!(state(&Object(own), &still([])), works(""));
    // Of another group by the same name.
    check("sea.io/v1", "Ingress", works(""));
    check("sea.io/v1", "Service", works(""));
}

/// Red when an Ingress works before anybody serves it, and when nobody says whose it is to serve.
#[test]
fn an_ingress_waits_for_a_router_and_for_its_services() {
    let ingress = |status: Value| {
        typed(json!({"kind": "Ingress", "metadata": {"name": "i", "namespace": "n"},
            "spec": {"ingressClassName": "leme", "rules": [{"host": "x.test", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web"}}}]}}]},
            "status": status}))
    };
    let none = "no router of the class leme has taken it";
    assert_eq!(judged(&ingress(json!({})), &still([])), waits(none));
    let told = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    let bare = judged(&ingress(told.clone()), &still([]));
    assert_eq!(bare, waits("Service web has no ready endpoints"));
    let slice = json!({"kind": "EndpointSlice", "metadata": {"name": "web-1", "namespace": "n",
        "labels": {"kubernetes.io/service-name": "web"}}, "endpoints": [{"conditions": {"ready": true}}]});
    let slices = ("discovery.k8s.io", "endpointslices");
    let there = || (slices, slice.clone());
    assert_eq!(judged(&ingress(told.clone()), &still([there()])), works("192.0.2.1"));
    // A port that the Service does not have.
    let mut odd = ingress(told.clone());
    let backend = "/spec/rules/0/http/paths/0/backend/service/port";
    *odd.0.pointer_mut("/spec/rules/0/http/paths/0/backend/service").unwrap() =
        json!({"name": "web", "port": {"number": 81}});
    assert!(odd.0.pointer(backend).is_some());
    let service = json!({"kind": "Service", "metadata": {"name": "web", "namespace": "n"},
        "spec": {"ports": [{"port": 80}]}});
    let both = still([there(), (("", "services"), service)]);
    assert_eq!(judged(&odd, &both), waits("Service web has no port 81"));
    // A rule that is not served, as long as the router says so.
    let mut refused = ingress(told);
    refused.0["metadata"]["uid"] = "i".into();
    let event = json!({"type": "Warning", "reason": "HostAlreadyClaimed", "message": "x.test/: no",
        "involvedObject": {"uid": "i"}, "lastTimestamp": "2026-01-01T00:00:00Z"});
    let at = |now: &str| judged(&refused, &still([there(), (EVENTS, event.clone())]).at(now));
    assert_eq!(at("2026-01-01T00:05:00Z"), waits("HostAlreadyClaimed: x.test/: no"));
    assert_eq!(at("2026-01-01T00:06:00Z"), works("192.0.2.1"));
}

/// Red when a Route works whose port nobody listens on.
#[test]
fn a_route_waits_for_its_port() {
    let route = |port: Value| {
        typed(json!({"kind": "Route", "metadata": {"name": "r", "namespace": "n"},
            "spec": {"host": "x.test", "to": {"name": "web"}, "port": {"targetPort": port}},
            "status": {"ingress": [{"conditions": [{"type": "Admitted", "status": "True"}]}]}}))
    };
    let slice = json!({"kind": "EndpointSlice", "metadata": {"name": "web-1", "namespace": "n",
        "labels": {"kubernetes.io/service-name": "web"}}, "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"conditions": {"ready": true}}]});
    let lister = still([(("discovery.k8s.io", "endpointslices"), slice)]);
    for (port, expected) in [
        (json!("http"), works("x.test")),
        (json!(8080), works("x.test")),
        (json!("8080"), works("x.test")),
        (json!("grpc"), waits("no endpoint of Service web has a port grpc")),
        (json!(81), waits("no endpoint of Service web has a port 81")),
    ] {
        assert_eq!(judged(&route(port), &lister), expected);
    }
}

fn running(started: &str, last: Value, probe: Value) -> Value {
    json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "p"},
        "spec": {"containers": [{"name": "c", "readinessProbe": probe}]},
        "status": {"phase": "Running", "podIP": "10.0.0.9",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "c", "restartCount": i32::from(!last.is_null()),
                "state": {"running": {"startedAt": started}}, "lastState": {"terminated": last}}]}})
}

/// Red when a pod works as soon as it says that it is ready: one that crashes does so for an instant, again and again.
#[test]
fn a_container_that_nobody_probes_must_prove_that_it_goes_on() {
    let check = |now: &str, last: Value, probe: Value, expected: State, left: Option<u64>| {
        let pod = running("2026-01-01T00:01:00Z", last, probe);
        let lister = still([(PODS, pod.clone())]).at(now);
        assert_eq!(state(&typed(pod), &lister), expected, "{now}");
        assert_eq!(again(&lister).map(|left| left.as_secs()), left, "{now}");
    };
    let started = waits("container c has just been started, and has no readiness probe");
    check("2026-01-01T00:01:00Z", Value::Null, Value::Null, started.clone(), Some(2));
    check("2026-01-01T00:01:01Z", Value::Null, Value::Null, started, Some(1));
    check("2026-01-01T00:01:02Z", Value::Null, Value::Null, works("10.0.0.9"), None);
    check("2026-01-01T00:01:00Z", Value::Null, json!({}), works("10.0.0.9"), None);
    // Clocks differ.
    check("2026-01-01T00:00:30Z", Value::Null, Value::Null, works("10.0.0.9"), None);
    let crashed = |start: &str| {
        json!({"exitCode": 3, "reason": "Error", "startedAt": start,
            "finishedAt": "2026-01-01T00:00:50Z"})
    };
    let (short, long) = (crashed("2026-01-01T00:00:46Z"), crashed("2026-01-01T00:00:30Z"));
    let restarted = "container c has just been restarted: it ended with exit code 3 after 4s";
    check("2026-01-01T00:01:05Z", short.clone(), Value::Null, waits(restarted), Some(1));
    let told = "10.0.0.9; container c has been restarted once, the last time after exit code 3";
    check("2026-01-01T00:01:06Z", short.clone(), Value::Null, works(told), None);
    check("2026-01-01T00:01:02Z", long, Value::Null, works(told), None);
    check("2026-01-01T00:01:00Z", short, json!({}), works(told), None);
}

#[test]
fn why_a_pod_does_not_work() {
    let check = |status: Value, expected: State| {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "uid": "p"}, "status": status});
        assert_eq!(state(&typed(pod), &still([])), expected);
    };
    let ended = |code: i64, reason: &str| {
        json!([{"name": "ok", "state": {"terminated": {"exitCode": 0}}},
            {"name": "c", "state": {"terminated": {"exitCode": code, "reason": reason}}}])
    };
    let of = |code, reason| json!({"phase": "Failed", "containerStatuses": ended(code, reason)});
    check(of(1, "Error"), failed("container c ended with exit code 1"));
    check(of(137, "OOMKilled"), failed("container c ended with exit code 137 (OOMKilled)"));
    let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "no memory"});
    check(evicted, failed("Evicted: no memory"));
    let back_off = json!({"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}}}]});
    let why = "container c: CrashLoopBackOff: back-off 40s; \
        container c has been restarted 4 times, the last time after exit code 2";
    check(back_off, waits(why));
}

fn event(name: &str, time: &str, version: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "n", "resourceVersion": version},
        "involvedObject": {"uid": "p"}, "message": name, "lastTimestamp": time})
}

/// Red when times are compared as text, and when those of one second are in no order.
#[test]
fn events_are_in_the_order_of_their_last_time() {
    let mut micro = event("micro", "", "3");
    micro["lastTimestamp"] = Value::Null;
    micro["eventTime"] = "2026-01-01T00:00:05.250000Z".into();
    let mut series = event("series", "2026-01-01T00:00:01Z", "20");
    series["series"] = json!({"lastObservedTime": "2026-01-01T00:00:09.000000Z"});
    let all = [
        event("late", "2026-01-01T00:00:06Z", "1"),
        series,
        event("tenth", "2026-01-01T00:00:05Z", "10"),
        event("ninth", "2026-01-01T00:00:05Z", "9"),
        micro,
    ];
    let names = |events: Vec<&Value>| {
        let name = |event: &Value| event["message"].as_str().unwrap().to_owned();
        events.into_iter().map(name).collect::<Vec<_>>()
    };
    let expected = ["micro", "ninth", "tenth", "late", "series"];
    assert_eq!(names(in_order(&all)), expected);
    let lister = still(all.map(|event| (EVENTS, event)));
    let pod = typed(json!({"kind": "Pod", "metadata": {"uid": "p"}}));
    assert_eq!(names(events(&pod, &lister)), expected);
}

fn said(object: Value, lister: &Lister) -> Vec<String> {
    let told = |cause: Cause| match cause {
        Cause::Object(shown, _) => shown,
        Cause::Said(line) => line,
    };
    causes(&typed(object), lister).into_iter().map(told).collect()
}

/// Red when the trouble of a Service ends at its endpoints.
#[test]
fn a_service_waits_for_its_pods() {
    let service = json!({"kind": "Service", "metadata": {"name": "s", "namespace": "n"},
        "spec": {"selector": {"a": "b", "c": "d"}}});
    let pod = |labels: Value| {
        json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "p", "labels": labels},
            "status": {"phase": "Pending", "containerStatuses": [{"name": "c",
                "state": {"waiting": {"reason": "ErrImageNeverPull"}}}]}})
    };
    let check = |labels: Value, why: &str, causes: &[&str]| {
        let lister = still([(PODS, pod(labels))]);
        assert_eq!(state(&typed(service.clone()), &lister), waits(why));
        assert_eq!(said(service.clone(), &lister), causes);
    };
    let none = "no ready endpoints: no pod has the labels a=b,c=d";
    check(json!({"a": "b"}), none, &[]);
    let why = "no ready endpoints: pod p: container c: ErrImageNeverPull";
    check(json!({"a": "b", "c": "d", "e": "f"}), why, &["pod/p"]);
    let route = json!({"kind": "Route", "metadata": {"namespace": "n"},
        "spec": {"to": {"name": "s"}, "alternateBackends": [{"name": "t"}]}});
    let lister = still([(("", "services"), service.clone())]);
    assert_eq!(said(route, &lister), ["service/s", "service/t does not exist"]);
}

/// Red when the trouble of a pod ends at its claims, or that of a claim at "Pending".
#[test]
fn a_pod_waits_for_its_claims_and_a_claim_for_a_volume() {
    let pod = json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n"}, "spec": {"volumes": [
        {"name": "a", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "b", "ephemeral": {}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "none"}}, {"name": "d", "emptyDir": {}}]}});
    let claim = |spec: Value| {
        json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "n"},
            "spec": spec})
    };
    let made =
        json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "p-b", "namespace": "n"}});
    const CLAIMS: (&str, &str) = ("", "persistentvolumeclaims");
    let lister = still([(CLAIMS, claim(json!({}))), (CLAIMS, made)]);
    let word = "persistentvolumeclaim";
    let missing = format!("{word}/none does not exist");
    assert_eq!(said(pod, &lister), [format!("{word}/data"), format!("{word}/p-b"), missing]);

    let volume = |name: &str, spec: Value| {
        (("", "persistentvolumes"), json!({"metadata": {"name": name}, "spec": spec}))
    };
    let class = (("storage.k8s.io", "storageclasses"), json!({"metadata": {"name": "fast"}}));
    let asked =
        json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}});
    let of_class = |name: &str| {
        let mut spec = asked.clone();
        spec["storageClassName"] = name.into();
        claim(spec)
    };
    let none =
        ["it asks for no storage class, and none is the default", "there is no persistentvolume"];
    assert_eq!(said(claim(asked.clone()), &still([])), none);
    let unknown =
        ["storageclass.storage.k8s.io/slow does not exist", "there is no persistentvolume"];
    assert_eq!(said(of_class("slow"), &still([class.clone()])), unknown);
    let known = ["storageclass.storage.k8s.io/fast", "there is no persistentvolume"];
    assert_eq!(said(of_class("fast"), &still([class])), known);
    let lister = still([
        volume("a", json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]})),
        volume("b", json!({"capacity": {"storage": "9Gi"}, "accessModes": ["ReadOnlyMany"]})),
        volume("c", json!({"claimRef": {"namespace": "m", "name": "x"}})),
        volume("d", json!({"storageClassName": "fast"})),
    ]);
    let why = [
        none[0],
        "persistentvolume/a does not fit: it has 1Gi, and 5Gi are asked for",
        "persistentvolume/b does not fit: it does not offer ReadWriteOnce",
        "persistentvolume/c does not fit: it is for claim m/x",
        "persistentvolume/d does not fit: its storage class is \"fast\", and none is asked for",
    ];
    assert_eq!(said(claim(asked.clone()), &lister), why);
    // Whose volume is made with its first pod needs nothing more.
    let mut late = of_class("fast");
    (late["metadata"]["uid"], late["status"]) = ("u".into(), json!({"phase": "Pending"}));
    let event = json!({"involvedObject": {"uid": "u"}, "reason": "WaitForFirstConsumer",
        "message": "waiting for first consumer to be created before binding"});
    let works = State::Works("gets its volume with its first pod".to_owned());
    assert_eq!(state(&typed(late), &still([(("", "events"), event)])), works);
    let lost = json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"volumeName": "v"}, "status": {"phase": "Lost"}});
    let why = "Lost: PersistentVolume v, to which it was bound, is gone";
    assert_eq!(state(&typed(lost), &still([])), failed(why));
}

/// Red when an image that nobody fetches is waited for like one that comes.
#[test]
fn an_absent_image_comes_by_hand_alone() {
    let pod = |reason: &str, message: &str| {
        json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "p1",
                "ownerReferences": [{"uid": "rs1"}]},
            "status": {"phase": "Pending", "containerStatuses": [
                {"name": "c", "state": {"waiting": {"reason": reason, "message": message}}}]}})
    };
    let set = json!({"kind": "ReplicaSet", "metadata": {"name": "s", "namespace": "n", "uid": "rs1",
        "ownerReferences": [{"uid": "d1"}]}});
    let deployment = typed(
        json!({"kind": "Deployment", "metadata": {"name": "d", "namespace": "n", "uid": "d1"}}),
    );
    let absent = "image \"nope\" is not on this node: load it with `leme image load FILE`";
    for (reason, message, expected) in [
        ("ErrImagePull", absent, Some(format!("pod/p: container c: {absent}"))),
        ("ErrImagePull", "connection refused", None),
        ("CrashLoopBackOff", absent, None),
    ] {
        let sets = ("apps", "replicasets");
        let lister = still([(sets, set.clone()), (PODS, pod(reason, message))]);
        assert_eq!(by_hand(&deployment, &lister), expected);
    }
}

/// Red when a claim that nobody can give a volume is waited for until the time is over, and when one is given up that a
/// volume is there for.
#[test]
fn a_claim_that_nobody_makes_a_volume_for_is_not_waited_for() {
    let claim = |class: &str| {
        Object(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "n", "uid": "data"}, "status": {"phase": "Pending"},
            "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}}}))
    };
    let event = |who: &str, reason: &str, message: &str| {
        (
            ("", "events"),
            json!({"metadata": {"name": "e"}, "involvedObject": {"uid": "data"}, "type": "Warning",
                "reason": reason, "message": message, "source": {"component": who},
                "lastTimestamp": "2026-01-01T00:00:00Z"}),
        )
    };
    let (binder, maker) = ("persistentvolume-controller", "local-path-provisioner");
    for (who, reason, message, never) in [
        (binder, "FailedBinding", "no persistent volumes available", true),
        (binder, "VolumeMismatch", "Cannot bind to requested volume", true),
        (binder, "ProvisioningFailed", "storageclass.storage.k8s.io \"fast\" not found", true),
        (binder, "ExternalProvisioning", "Waiting for a volume to be created", false),
        (maker, "ProvisioningFailed", "failed: claim Selector is not supported", true),
        (maker, "ProvisioningFailed", "failed: node \"a\" has no room for volumes", false),
        ("csi.example", "ProvisioningFailed", "failed: rpc error", false),
    ] {
        let lister = still([event(who, reason, message)]);
        let found = by_hand(&claim("fast"), &lister);
        assert_eq!(found, never.then(|| format!("{reason}: {message}")), "{who}");
    }
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"},
        "spec": {"storageClassName": "", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}});
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"}});
    let there =
        still([event(binder, "FailedBinding", "none"), (("", "persistentvolumes"), volume)]);
    assert_eq!(by_hand(&claim(""), &there), None);
    let there = still([
        event(binder, "ProvisioningFailed", "\"fast\" not found"),
        (("storage.k8s.io", "storageclasses"), class),
    ]);
    assert_eq!(by_hand(&claim("fast"), &there), None);
}
