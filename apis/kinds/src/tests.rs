//! Tests of the table as a whole.

use std::collections::BTreeSet;

use leme_meta::schema;
use serde_json::{Value, json};

use super::*;

mod defined;
mod groups;
pub(crate) mod mutants;
mod surface;
mod workloads;

fn now() -> jiff::Timestamp {
    "2026-01-01T01:00:00Z".parse().expect("a time")
}

/// The cells of an object, wide ones included.
pub(crate) fn row(kind: &str, object: &Value) -> Vec<String> {
    let kind = by_word(kind).expect(kind);
    kind.table_columns()
        .map(|column| match column.cell(object, now()) {
            Value::String(text) => text,
            other => other.to_string(),
        })
        .collect()
}

#[test]
fn every_row_is_complete() {
    let mut names = BTreeSet::new();
    for kind in builtin() {
        assert!(names.insert((&kind.group, &kind.version, &kind.plural)), "{} twice", kind.plural);
        assert!(schemas().get(&kind.schema).is_some(), "no schema of {}", kind.plural);
        let listed = kind.verbs.contains(&"list") && kind.storage != Storage::Virtual;
        let list = schemas().get(&format!("{}List", kind.schema));
        assert!(!listed || list.is_some(), "{}", kind.plural);
        // A plural alone is that of the first group that has it.
        let full = format!("{}.{}", kind.plural, kind.group);
        assert_eq!(by_word(&full).map(|row| &row.kind), Some(&kind.kind));
        let by_name = by_word(&kind.kind.to_uppercase()).map(|row| &row.kind);
        assert!(by_name == Some(&kind.kind) || kind.storage == Storage::Virtual);
        // No cell trips over an object that holds nothing.
        let word = format!("{}.{}", kind.plural, kind.group);
        assert_eq!(row(&word, &json!({})).len(), kind.table_columns().count());
        for field in kind.selectable.iter() {
            field.read(&json!({}));
        }
    }
}

/// Clients take the last resource of a kind for the one that its objects are made at.
#[test]
fn of_two_resources_of_a_kind_the_kept_one_counts() {
    let (group, version) = ("template.openshift.io", "v1");
    let kept = by_kind(group, version, "Template").expect("a row");
    assert_eq!(kept.plural, "templates");
    let last = builtin().filter(|kind| kind.group == group && kind.kind == "Template").last();
    assert_eq!(last.expect("a row").plural, "templates");
}

#[test]
fn words_find_rows() {
    for (word, plural) in [
        ("po", Some("pods")),
        ("Pods", Some("pods")),
        ("dc", Some("deploymentconfigs")),
        ("template", Some("templates")),
        ("processedtemplates", Some("processedtemplates")),
        ("routes.route.openshift.io", Some("routes")),
        ("routes.example.com", None),
        ("nothing", None),
    ] {
        assert_eq!(by_word(word).map(|row| &*row.plural), plural, "{word}");
    }
}

#[test]
fn the_field_table_knows_what_patches_need() {
    let field = |name: &str, field: &str| {
        let def = schemas().get(name).expect(name);
        def.field(field).expect(field).clone()
    };
    let ports = field("io.k8s.api.core.v1.ServiceSpec", "ports");
    assert_eq!(ports.merge_key.as_deref(), Some("port"));
    assert_eq!(ports.map_keys, ["port", "protocol"]);
    let volumes = field("io.k8s.api.core.v1.PodSpec", "volumes");
    assert!(volumes.patch.merge && volumes.patch.retain_keys);
    let template = field("com.github.openshift.api.apps.v1.DeploymentConfigSpec", "template");
    let type_ = template.type_.element_ref().map(|name| &**name);
    assert_eq!(type_, Some("io.k8s.api.core.v1.PodTemplateSpec"));
}

#[test]
fn a_service_gets_its_defaults() {
    let mut service = json!({"spec": {"ports": [{"port": 80}]}});
    schema::apply_defaults(schemas(), "io.k8s.api.core.v1.Service", &mut service);
    assert_eq!(service["spec"]["ports"][0]["protocol"], "TCP");
    assert_eq!(service["status"], json!({"loadBalancer": {}}));
}

#[test]
fn pods_print_their_state_in_one_word() {
    let status = |spec: Value, status: Value, metadata: Value| {
        let pod = json!({"metadata": metadata, "spec": spec, "status": status});
        let cells = row("pods", &pod);
        (cells[1].clone(), cells[2].clone(), cells[3].clone())
    };
    let check = |spec: Value, pod_status: Value, want: (&str, &str, &str)| {
        let (ready, state, restarts) = status(spec, pod_status, json!({}));
        assert_eq!((ready.as_str(), state.as_str(), restarts.as_str()), want);
    };
    let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    check(two.clone(), json!({"phase": "Pending"}), ("0/2", "Pending", "0"));
    check(
        two.clone(),
        json!({"phase": "Running", "containerStatuses": [
            {"ready": true, "restartCount": 3, "state": {"running": {}},
             "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}}},
            {"restartCount": 0, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        ]}),
        ("1/2", "CrashLoopBackOff", "3 (5m ago)"),
    );
    check(
        two.clone(),
        json!({"phase": "Failed", "containerStatuses": [
            {"state": {"terminated": {"exitCode": 3}}},
        ]}),
        ("0/2", "ExitCode:3", "0"),
    );
    check(
        two.clone(),
        json!({"phase": "Running", "containerStatuses": [
            {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
            {"ready": true, "state": {"running": {}}},
        ]}),
        ("1/2", "NotReady", "0"),
    );
    check(two.clone(), json!({"phase": "Failed", "reason": "Evicted"}), ("0/2", "Evicted", "0"));
    let init = json!({
        "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
        "containers": [{"name": "a"}],
    });
    check(
        init.clone(),
        json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "i", "restartCount": 2, "state": {"waiting": {"reason": "PodInitializing"}}},
        ]}),
        ("0/2", "Init:0/2", "2"),
    );
    check(
        init.clone(),
        json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}},
        ]}),
        ("0/2", "Init:Error", "0"),
    );
    check(
        init,
        json!({"phase": "Running",
            "initContainerStatuses": [
                {"name": "i", "state": {"terminated": {"exitCode": 0}}},
                {"name": "s", "started": true, "ready": true, "state": {"running": {}}},
            ],
            "containerStatuses": [{"ready": true, "state": {"running": {}}}],
        }),
        ("2/2", "Running", "0"),
    );
    let deleting = json!({"deletionTimestamp": "2026-01-01T00:59:00Z"});
    assert_eq!(status(two, json!({"phase": "Running"}), deleting).1, "Terminating");
}

#[test]
fn other_kinds_print_as_upstream_does() {
    let created = "2026-01-01T00:55:00Z";
    let check = |kind: &str, object: Value, want: &[&str]| assert_eq!(row(kind, &object), want);
    check(
        "svc",
        json!({
            "metadata": {"name": "web", "creationTimestamp": created},
            "spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "selector": {"b": "2", "a": "1"},
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]},
        }),
        &["web", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP", "5m", "a=1,b=2"],
    );
    check(
        "ep",
        json!({
            "metadata": {"name": "web", "creationTimestamp": created},
            "subsets": [{"ports": [{"port": 80}],
                "addresses": [{"ip": "::1"}, {"ip": "b"}, {"ip": "c"}, {"ip": "d"}]}],
        }),
        &["web", "[::1]:80,b:80,c:80 + 1 more...", "5m"],
    );
    check(
        "node",
        json!({
            "metadata": {"name": "n", "creationTimestamp": created,
                "labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "master"}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                "nodeInfo": {"kubeletVersion": "v1.33.0"}},
        }),
        &[
            "n",
            "Ready,SchedulingDisabled",
            "master,worker",
            "5m",
            "v1.33.0",
            "10.0.0.1",
            "<none>",
            "<unknown>",
            "<unknown>",
            "<unknown>",
        ],
    );
    check(
        "ev",
        json!({
            "metadata": {"name": "e"},
            "type": "Normal", "reason": "Pulled", "message": " done\n", "count": 2,
            "involvedObject": {"kind": "Pod", "name": "p"},
            "source": {"component": "kubelet", "host": "n"},
            "firstTimestamp": created, "lastTimestamp": "2026-01-01T00:59:00Z",
        }),
        &["60s", "Normal", "Pulled", "pod/p", "", "kubelet, n", "done", "5m", "2", "e"],
    );
    check(
        "route",
        json!({
            "metadata": {"name": "r"},
            "spec": {"host": "a.test", "to": {"name": "x", "weight": 2}, "wildcardPolicy": "None",
                "alternateBackends": [{"name": "y", "weight": 1}],
                "tls": {"termination": "edge", "insecureEdgeTerminationPolicy": "Redirect"}},
            "status": {"ingress": [
                {"host": "a.test", "conditions": [{"type": "Admitted", "status": "True"}]}]},
        }),
        &["r", "a.test", "", "x(66%),y(33%)", "<all>", "edge/Redirect", "None"],
    );
    check(
        "dc",
        json!({
            "metadata": {"name": "d"},
            "spec": {"replicas": 2, "test": true, "triggers": [
                {"type": "ImageChange", "imageChangeParams": {"automatic": true,
                    "containerNames": ["a"], "from": {"kind": "ImageStreamTag", "name": "i:1"}}},
                {"type": "ConfigChange"}]},
            "status": {"latestVersion": 3, "updatedReplicas": 1},
        }),
        &["d", "3", "2 (during test)", "1", "config,image(a:i:1)"],
    );
}

#[test]
fn builds_and_image_streams_print_as_openshift_does() {
    let check = |kind: &str, object: Value, want: &[&str]| assert_eq!(row(kind, &object), want);
    check(
        "builds",
        json!({
            "metadata": {"name": "b-1"},
            "spec": {"source": {"git": {"ref": "main"}}, "strategy": {"dockerStrategy": {}},
                "revision": {"git": {"commit": "0123456789abcdef0123456789abcdef01234567"}}},
            "status": {"phase": "Failed", "reason": "PushFailed", "duration": 90_000_000_000_i64,
                "startTimestamp": "2026-01-01T00:55:00Z"},
        }),
        &["b-1", "Docker", "Git@0123456", "Failed (PushFailed)", "5 minutes ago", "1m30s"],
    );
    check(
        "bc",
        json!({
            "metadata": {"name": "b"},
            "spec": {"source": {"binary": {}}, "strategy": {"sourceStrategy": {}}},
            "status": {"lastVersion": 3},
        }),
        &["b", "Source", "Binary", "3"],
    );
    let tag = |name: &str| json!({"tag": name, "items": [{"created": "2026-01-01T00:58:30Z"}]});
    let stream = |tags: &[&str]| {
        let tags: Vec<Value> = tags.iter().map(|name| tag(name)).collect();
        json!({
            "metadata": {"name": "i"},
            "status": {"dockerImageRepository": "r/i", "tags": tags},
        })
    };
    check(
        "is",
        stream(&["z", "1.9", "1.10", "latest", "1.10.1"]),
        &["i", "r/i", "latest,1.10,1.9,1.10.1,z", "About a minute ago"],
    );
    check("is", stream(&[]), &["i", "r/i", "", ""]);
    let long = |letter: &str| letter.repeat(30);
    let (a, b) = (long("a"), long("b"));
    check(
        "is",
        stream(&[&b, &a]),
        &["i", "r/i", &format!("{a} + 1 more..."), "About a minute ago"],
    );
}

#[test]
fn roles_and_bindings_print_as_upstream_does() {
    let created = "2026-01-01T00:55:00Z";
    let role = json!({"metadata": {"name": "r", "creationTimestamp": created}});
    assert_eq!(row("clusterroles", &role), ["r", created]);
    let binding = json!({
        "metadata": {"name": "b", "creationTimestamp": created},
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [
            {"kind": "User", "name": "a"},
            {"kind": "Group", "name": "g"},
            {"kind": "User", "name": "b"},
            {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
        ],
    });
    assert_eq!(row("rolebindings", &binding), ["b", "ClusterRole/view", "5m", "a, b", "g", "n/s"]);
}

#[test]
fn what_extends_the_api_prints_as_upstream_does() {
    let metadata = json!({"name": "x", "creationTimestamp": "2026-01-01T00:55:00Z"});
    let check = |kind: &str, mut object: Value, want: &[&str]| {
        object["metadata"] = metadata.clone();
        assert_eq!(row(kind, &object), want);
    };
    check("validatingwebhookconfigurations", json!({"webhooks": [{}, {}]}), &["x", "2", "5m"]);
    let policy = |spec: Value| json!({ "spec": spec });
    check("validatingadmissionpolicies", policy(json!({})), &["x", "0", "<unset>", "5m"]);
    check(
        "validatingadmissionpolicies",
        policy(json!({"validations": [{}], "paramKind": {"apiVersion": "a/v1", "kind": "K"}})),
        &["x", "1", "a/v1/K", "5m"],
    );
    check(
        "mutatingadmissionpolicies",
        policy(json!({"mutations": [{}, {}], "paramKind": {"apiVersion": "a/v1", "kind": "K"}})),
        &["x", "2", "a/v1/K", "5m"],
    );
    let selector = json!({"matchLabels": {"a": "b"},
        "matchExpressions": [{"key": "k", "operator": "In", "values": ["c", "d"]}]});
    for (reference, shown) in [
        (json!({"name": "n"}), "*/n"),
        (json!({"name": "n", "namespace": "s"}), "s/n"),
        (
            json!({ "selector": selector }),
            "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,Values:[c d],},},}",
        ),
    ] {
        for kind in ["mutatingadmissionpolicybindings", "validatingadmissionpolicybindings"] {
            let binding = policy(json!({"policyName": "p", "paramRef": reference}));
            check(kind, binding, &["x", "p", shown, "5m"]);
        }
    }
    let service = |condition: Value| {
        json!({"spec": {"service": {"namespace": "n", "name": "s"}},
            "status": {"conditions": [condition]}})
    };
    check("apiservices", json!({}), &["x", "Local", "Unknown", "5m"]);
    check(
        "apiservices",
        service(json!({"type": "Available", "status": "False", "reason": "MissingEndpoints"})),
        &["x", "n/s", "False (MissingEndpoints)", "5m"],
    );
    check(
        "apiservices",
        service(json!({"type": "Available", "status": "True", "reason": "Passed"})),
        &["x", "n/s", "True", "5m"],
    );
}

#[test]
fn templates_print_as_openshift_does() {
    let template = |description: &str, parameters: Value| {
        json!({"metadata": {"name": "t", "annotations": {"description": description}},
            "objects": [{}, {}], "parameters": parameters})
    };
    let long = "d".repeat(90);
    for (object, want) in [
        (template("", json!([])), ["t", "", "0 (all set)", "2"]),
        (
            template("one\ntwo", json!([{"value": "v"}, {"generate": "expression"}])),
            ["t", "one...", "2 (1 generated)", "2"],
        ),
        (
            template(&long, json!([{"generate": "expression"}, {}])),
            ["t", &format!("{}...", &long[..77]), "2 (1 blank)", "2"],
        ),
    ] {
        assert_eq!(row("templates", &object), want);
    }
    let instance =
        json!({"metadata": {"name": "i"}, "spec": {"template": {"metadata": {"name": "t"}}}});
    assert_eq!(row("templateinstances", &instance), ["i", "t"]);
}

#[test]
fn people_and_their_grants_print_as_openshift_does() {
    let created = "2026-01-01T00:55:00Z";
    let check = |kind: &str, object: Value, want: &[&str]| assert_eq!(row(kind, &object), want);
    check(
        "users",
        json!({"metadata": {"name": "u", "uid": "1"}, "fullName": "U", "identities": ["a:u", "b:u"]}),
        &["u", "1", "U", "a:u, b:u"],
    );
    check("groups", json!({"metadata": {"name": "g"}, "users": ["a", "b"]}), &["g", "a, b"]);
    check(
        "identities",
        json!({"metadata": {"name": "a:u"}, "providerName": "a", "providerUserName": "u",
            "user": {"name": "u", "uid": "1"}}),
        &["a:u", "a", "u", "u", "1"],
    );
    let client = |age: Value| {
        json!({"metadata": {"name": "c"}, "secret": "s", "redirectURIs": ["https://a", "https://b"],
            "accessTokenMaxAgeSeconds": age})
    };
    for (age, shown) in
        [(json!(null), "default"), (json!(0), "unexpiring"), (json!(86_400), "24h0m0s")]
    {
        check("oauthclients", client(age), &["c", "s", "false", shown, "https://a,https://b"]);
    }
    let token = json!({"metadata": {"name": "t", "creationTimestamp": created}, "userName": "u",
        "clientName": "c", "redirectURI": "https://a", "scopes": ["user:full"], "expiresIn": 300});
    check(
        "oauthaccesstokens",
        token.clone(),
        &["t", "u", "c", created, "2026-01-01 01:00:00 +0000 UTC", "https://a", "user:full"],
    );
    check("oauthclientauthorizations", token, &["t", "u", "c", "user:full"]);
    check(
        "images",
        json!({"metadata": {"name": "sha256:1"}, "dockerImageReference": "r/i@sha256:1"}),
        &["sha256:1", "r/i@sha256:1"],
    );
}

#[test]
fn constraints_and_ranges_print_as_openshift_does() {
    let constraints = json!({
        "metadata": {"name": "anyuid"}, "allowPrivilegedContainer": false, "priority": 10,
        "seLinuxContext": {"type": "MustRunAs"}, "runAsUser": {"type": "RunAsAny"},
        "fsGroup": {"type": "RunAsAny"}, "supplementalGroups": {"type": "RunAsAny"},
        "readOnlyRootFilesystem": false, "volumes": ["configMap", "secret"],
    });
    assert_eq!(
        row("scc", &constraints),
        [
            "anyuid",
            "false",
            "<no value>",
            "MustRunAs",
            "RunAsAny",
            "RunAsAny",
            "RunAsAny",
            "10",
            "false",
            "[\"configMap\",\"secret\"]",
        ]
    );
    let range = json!({"metadata": {"name": "r"}, "range": "1-2", "data": "AQL/"});
    assert_eq!(row("rangeallocations", &range), ["r", "1-2", "0x0102ff"]);
}

#[test]
fn fields_are_read_for_selectors() {
    let read = |kind: &str, path: &str, object: Value| {
        let kind = by_word(kind).expect(kind);
        let field = kind.selectable.iter().find(|field| field.path == path).expect(path);
        field.read(&object)
    };
    assert_eq!(read("pods", "spec.hostNetwork", json!({})), "false");
    assert_eq!(read("pods", "spec.nodeName", json!({"spec": {"nodeName": "n"}})), "n");
    assert_eq!(read("rc", "status.replicas", json!({})), "0");
    assert_eq!(read("events", "source", json!({"reportingComponent": "c"})), "c");
    assert_eq!(read("builds", "podName", json!({"metadata": {"name": "b"}})), "b-build");
}
