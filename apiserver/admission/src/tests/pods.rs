//! Accounts, priorities, tolerations and runtimes of pods.

use super::*;

fn account() -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default", "namespace": "ns" } })
}

fn class(name: &str, value: i64) -> Value {
    json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": name },
        "value": value, "preemptionPolicy": "PreemptLowerPriority",
    })
}

fn pod_of(spec: Value) -> Value {
    let mut pod = pod();
    for (field, value) in spec.as_object().expect("a map") {
        pod["spec"][field] = value.clone();
    }
    pod
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').expect("a path");
    object.pointer_mut(parent).expect("parent")[field] = value;
    object
}

#[track_caller]
fn refused(objects: &[Value], pod: &Value, why: &str) {
    assert_eq!(create(objects, pod), Err(format!("pods \"p\" is forbidden: {why}")));
}

#[test]
fn a_bare_pod_gets_what_admission_adds() {
    let silent = with(account(), "/automountServiceAccountToken", json!(false));
    let spec = create(&[silent], &pod()).expect("admitted")["spec"].clone();
    let expected = json!({
        "containers": [{ "name": "c", "image": "nginx" }],
        "serviceAccountName": "default", "serviceAccount": "default",
        "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
        "tolerations": [
            { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
            { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
        ],
    });
    assert_eq!(spec, expected);
}

/// Red when whoever brings a mount of its own gets another, or a pod that wants no token gets one.
#[test]
fn a_pod_finds_its_token_where_clients_look_for_it() {
    const AT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    let mount = |name: &str| json!({ "name": name, "readOnly": true, "mountPath": AT });
    let own = json!({ "name": "own", "mountPath": AT });
    let pod = pod_of(json!({
        "initContainers": [{ "name": "i" }],
        "containers": [{ "name": "c" }, { "name": "d", "volumeMounts": [own] }],
    }));
    let spec = create(&[account()], &pod).expect("admitted")["spec"].clone();
    let volume = &spec["volumes"][0];
    let name = volume["name"].as_str().unwrap();
    let letters = name.strip_prefix("kube-api-access-").unwrap();
    assert_eq!(letters.len(), 5);
    assert_eq!(
        volume["projected"],
        json!({ "defaultMode": 420, "sources": [
            { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt",
                "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            { "downwardAPI": { "items": [{ "path": "namespace",
                "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } }] } },
        ] })
    );
    let mounts = |list: &str, at: usize| spec[list][at]["volumeMounts"].clone();
    assert_eq!(mounts("initContainers", 0), json!([mount(name)]));
    assert_eq!(mounts("containers", 0), json!([mount(name)]));
    assert_eq!(mounts("containers", 1), json!([own]));

    let volumes = |account: Value, spec: Value| {
        create(&[account], &pod_of(spec)).expect("admitted")["spec"]["volumes"].clone()
    };
    let silent = with(account(), "/automountServiceAccountToken", json!(false));
    let (no, yes) = (json!(false), json!(true));
    let say = |said: &Value| json!({ "automountServiceAccountToken": said });
    assert_eq!(volumes(account(), say(&no)), Value::Null);
    assert_eq!(volumes(silent.clone(), json!({})), Value::Null);
    assert!(volumes(silent, say(&yes)).is_array());
}

#[test]
fn an_account_has_to_be_there_and_gives_its_secrets_for_images() {
    refused(
        &[],
        &pod(),
        "error looking up service account ns/default: serviceaccount \"default\" not found",
    );
    let own = pod_of(json!({ "serviceAccountName": "builder" }));
    refused(
        &[account()],
        &own,
        "error looking up service account ns/builder: serviceaccount \"builder\" not found",
    );
    // What has no name yet is called by what its name will begin with.
    let mut unnamed = pod();
    unnamed["metadata"] = json!({ "generateName": "web-" });
    let why = create(&[], &unnamed).expect_err("refused");
    assert!(why.starts_with("pods \"web-\" is forbidden: error looking up"), "{why}");

    let builder = with(account(), "/metadata/name", json!("builder"));
    let builder = with(builder, "/imagePullSecrets", json!([{ "name": "pull" }]));
    let new = create(std::slice::from_ref(&builder), &own).expect("admitted");
    assert_eq!(new["spec"]["serviceAccount"], "builder");
    assert_eq!(new["spec"]["imagePullSecrets"], json!([{ "name": "pull" }]));
    let own = with(own, "/spec/imagePullSecrets", json!([{ "name": "mine" }]));
    let new = create(&[builder], &own).expect("admitted");
    assert_eq!(new["spec"]["imagePullSecrets"], json!([{ "name": "mine" }]));
}

#[test]
fn an_account_may_bound_the_secrets_that_its_pods_use() {
    let strict = with(
        account(),
        "/metadata/annotations",
        json!({ "kubernetes.io/enforce-mountable-secrets": "true" }),
    );
    let strict = with(strict, "/secrets", json!([{ "name": "ok" }]));
    let volume = |name: &str| {
        pod_of(json!({ "volumes": [{ "name": "v", "secret": { "secretName": name } }] }))
    };
    assert!(create(std::slice::from_ref(&strict), &volume("ok")).is_ok());
    refused(
        std::slice::from_ref(&strict),
        &volume("other"),
        "volume with secret.secretName=\"other\" is not allowed because service account default does not reference that secret",
    );
    let key = json!({ "secretKeyRef": { "name": "other", "key": "k" } });
    let env = json!([{ "name": "c", "env": [{ "name": "E", "valueFrom": key }] }]);
    refused(
        std::slice::from_ref(&strict),
        &pod_of(json!({ "containers": env })),
        "container c with envVar E referencing secret.secretName=\"other\" is not allowed because service account default does not reference that secret",
    );
    let from = json!([{ "name": "i", "envFrom": [{ "secretRef": { "name": "other" } }] }]);
    refused(
        std::slice::from_ref(&strict),
        &pod_of(json!({ "initContainers": from })),
        "init container i with envFrom referencing secret.secretName=\"other\" is not allowed because service account default does not reference that secret",
    );
    refused(
        &[strict],
        &pod_of(json!({ "imagePullSecrets": [{ "name": "other" }] })),
        "imagePullSecrets[0].name=\"other\" is not allowed because service account default does not reference that imagePullSecret",
    );
}

// Red when the account is asked about new pods only: a Secret that no container may use came in by a later one.
#[test]
fn a_container_that_is_added_uses_only_secrets_of_the_account() {
    let strict = with(
        account(),
        "/metadata/annotations",
        json!({ "kubernetes.io/enforce-mountable-secrets": "true" }),
    );
    let strict = with(strict, "/secrets", json!([{ "name": "ok" }]));
    let chain = Chain::new(Objects::of(&[namespace("ns"), strict]), &[]);
    let added = |secret: &str| {
        let from = json!([{ "secretRef": { "name": secret } }]);
        let debug = json!([{ "name": "d", "envFrom": from }]);
        let pod = pod_of(json!({ "serviceAccountName": "default", "ephemeralContainers": debug }));
        let old = pod_of(json!({ "serviceAccountName": "default" }));
        let asked = Asked { subresource: "ephemeralcontainers", ..asked(Operation::Update, &old) };
        let mut new = pod.clone();
        chain.mutate(&asked, &mut new, Some(&old)).expect("admitted");
        assert_eq!(new, pod);
        chain.validate(&asked, Some(&new), Some(&old)).map_err(|status| status.message)
    };
    assert_eq!(added("ok"), Ok(()));
    let why = "pods \"p\" is forbidden: ephemeral container d with envFrom referencing secret.secretName=\"other\" is not allowed because service account default does not reference that secret";
    assert_eq!(added("other"), Err(why.to_owned()));
}

#[test]
fn a_mirror_pod_uses_nothing_of_the_cluster() {
    let mirror = |spec: Value| {
        let mut pod = pod_of(spec);
        pod["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
        pod
    };
    let new = create(&[], &mirror(json!({}))).expect("admitted");
    assert_eq!(new["spec"].get("serviceAccountName"), None);
    let secret = json!({ "volumes": [{ "name": "v", "secret": { "secretName": "s" } }] });
    let token = json!({ "volumes": [{ "name": "v",
        "projected": { "sources": [{ "serviceAccountToken": { "path": "t" } }] } }] });
    for (spec, why) in [
        (json!({ "serviceAccountName": "a" }), "reference service accounts"),
        (secret, "reference secrets"),
        (json!({ "imagePullSecrets": [{ "name": "s" }] }), "reference secrets"),
        (token, "use ServiceAccountToken volume projections"),
    ] {
        refused(&[account()], &mirror(spec), &format!("a mirror pod may not {why}"));
    }
}

#[test]
fn a_class_gives_a_pod_its_priority() {
    let mut polite = class("polite", 7);
    polite["preemptionPolicy"] = "Never".into();
    let known = [account(), class("high", 1000), polite];
    let of = |spec: Value| create(&known, &pod_of(spec)).map(|pod| pod["spec"].clone());
    let high = of(json!({ "priorityClassName": "high" })).expect("admitted");
    assert_eq!(
        (&high["priority"], &high["preemptionPolicy"]),
        (&json!(1000), &json!("PreemptLowerPriority"))
    );
    let polite = of(json!({ "priorityClassName": "polite", "priority": 7 })).expect("admitted");
    assert_eq!((&polite["priority"], &polite["preemptionPolicy"]), (&json!(7), &json!("Never")));
    let from = "from the given PriorityClass name";
    for (spec, why) in [
        (
            json!({ "priorityClassName": "nonexist" }),
            "no PriorityClass with name nonexist was found".to_owned(),
        ),
        (
            json!({ "priority": 5 }),
            format!(
                "the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 {from}"
            ),
        ),
        (
            json!({ "priorityClassName": "polite", "preemptionPolicy": "PreemptLowerPriority" }),
            format!(
                "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission controller computed Never {from}"
            ),
        ),
    ] {
        refused(&known, &pod_of(spec), &why);
    }
    // The default class, of several the lowest.
    let mut defaults = [class("a", 30), class("b", 20)];
    for class in &mut defaults {
        class["globalDefault"] = true.into();
    }
    let [a, b] = defaults;
    let new = create(&[account(), a, b], &pod()).expect("admitted");
    assert_eq!(
        (&new["spec"]["priorityClassName"], &new["spec"]["priority"]),
        (&json!("b"), &json!(20))
    );
}

#[test]
fn one_class_at_most_is_the_default() {
    let mut first = class("first", 1);
    first["globalDefault"] = true.into();
    let mut second = class("second", 2);
    assert!(create(&[first.clone()], &second).is_ok());
    second["globalDefault"] = true.into();
    assert!(create(&[], &second).is_ok());
    assert_eq!(
        create(&[first.clone()], &second),
        Err("priorityclasses.scheduling.k8s.io \"second\" is forbidden: PriorityClass first is already marked as default. Only one default can exist".to_owned())
    );
    let chain = Chain::new(Objects::of(&[first.clone()]), &[]);
    assert_eq!(
        chain.validate(&asked(Operation::Update, &first), Some(&first), Some(&first)),
        Ok(())
    );
    assert!(
        chain.validate(&asked(Operation::Update, &second), Some(&second), Some(&second)).is_err()
    );
}

#[test]
fn the_classes_of_the_system_stay() {
    let chain = Chain::new(Objects::default(), &[]);
    let delete = |name| {
        let class = class(name, 1);
        chain
            .validate(&asked(Operation::Delete, &class), None, Some(&class))
            .map_err(|status| status.message)
    };
    assert_eq!(delete("mine"), Ok(()));
    assert_eq!(
        delete("system-node-critical"),
        Err("priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority class and cannot be deleted".to_owned())
    );
}

#[test]
fn an_update_may_leave_out_what_admission_has_set() {
    let silent = with(account(), "/automountServiceAccountToken", json!(false));
    let old = create(&[silent], &pod()).expect("admitted");
    let chain = Chain::new(Objects::default(), &[]);
    let mut new = pod();
    new["spec"]["serviceAccountName"] = "default".into();
    new["spec"]["serviceAccount"] = "default".into();
    chain.mutate(&asked(Operation::Update, &old), &mut new, Some(&old)).expect("admitted");
    assert_eq!(new, old);
}

fn runtime() -> Value {
    json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": "vm" }, "handler": "vm",
        "overhead": { "podFixed": { "cpu": "250m" } },
        "scheduling": {
            "nodeSelector": { "vm": "yes" },
            "tolerations": [{ "key": "vm", "operator": "Exists" }, { "key": "vm", "operator": "Exists", "effect": "NoSchedule" }],
        },
    })
}

#[test]
fn a_runtime_costs_and_chooses_nodes() {
    let known = [account(), runtime()];
    let of = |spec: Value| create(&known, &pod_of(spec)).map(|pod| pod["spec"].clone());
    let spec =
        of(json!({ "runtimeClassName": "vm", "nodeSelector": { "a": "b" } })).expect("admitted");
    assert_eq!(spec["overhead"], json!({ "cpu": "250m" }));
    assert_eq!(spec["nodeSelector"], json!({ "a": "b", "vm": "yes" }));
    let tolerations = spec["tolerations"].as_array().expect("a list");
    assert_eq!(
        tolerations.len(),
        3,
        "one of the class says all that the other does: {tolerations:?}"
    );
    assert!(of(json!({ "runtimeClassName": "vm", "overhead": { "cpu": "0.25" } })).is_ok());
    for (spec, why) in [
        (json!({ "runtimeClassName": "no" }), "pod rejected: RuntimeClass \"no\" not found"),
        (
            json!({ "runtimeClassName": "vm", "overhead": { "cpu": "1" } }),
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            json!({ "overhead": { "cpu": "1" } }),
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            json!({ "runtimeClassName": "vm", "nodeSelector": { "vm": "no" } }),
            "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no",
        ),
    ] {
        refused(&known, &pod_of(spec), why);
    }
}

#[test]
fn what_must_not_wait_is_not_waited_for() {
    let chain = Chain::new(Objects::of(&[namespace("ns")]), &[]);
    let bare = pod();
    let asked = asked(Operation::Create, &bare);
    assert_eq!(chain.awaited(&asked, &bare).map(|(_, name)| name), Some("default"));
    let own = pod_of(json!({ "serviceAccountName": "builder" }));
    assert_eq!(chain.awaited(&asked, &own), None);
    let chain = Chain::new(Objects::of(&[namespace("ns"), account()]), &[]);
    assert_eq!(chain.awaited(&asked, &bare), None);
    let chain = Chain::new(Objects::default(), &[]);
    assert_eq!(chain.awaited(&asked, &bare), None, "in a namespace that is not there");
}
