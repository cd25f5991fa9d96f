//! Plug-ins that are asked only where somebody says so, and the file that says what is asked of plug-ins.

use leme_access::Policy;
use leme_registry::User;

use super::*;
use crate::pod_security::{Level, Version};
use crate::{Config, Settings};

/// Objects, and a role of whoever writes.
struct World(Objects, Arc<Policy>);

impl Facts for &World {
    fn get(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, Status> {
        self.0.get(of, namespace, name)
    }

    fn list(&self, of: &Seen, namespace: &str) -> Result<Vec<Arc<Value>>, Status> {
        self.0.list(of, namespace)
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.1)
    }
}

impl World {
    fn new(annotations: &Value, rules: &Value) -> World {
        let mut space = namespace("ns");
        space["metadata"]["annotations"] = annotations.clone();
        let role = json!({ "rules": rules });
        let binding = json!({ "roleRef": { "kind": "ClusterRole", "name": "r" },
            "subjects": [{ "kind": "User", "name": "jo" }] });
        let policy = Policy::default().with("ClusterRole", ("", "r"), Some(&role));
        let policy = policy.with("ClusterRoleBinding", ("", "r"), Some(&binding));
        World(Objects::of(&[space]), Arc::new(policy))
    }

    fn write(&self, plug_in: &str, new: &Value, old: Option<&Value>) -> Result<Value, String> {
        let (groups, extra) = ([], BTreeMap::new());
        let user = User { name: "jo", uid: "", groups: &groups, extra: &extra };
        let operation = if old.is_some() { Operation::Update } else { Operation::Create };
        let asked = Asked { user: Some(user), ..asked(operation, new) };
        let on = Config::named(&[plug_in.to_owned()]).unwrap_or_default();
        let off = vec!["ServiceAccount", "DefaultTolerationSeconds"];
        let chain = Chain::of(self, &Config { on, off, ..Config::default() });
        let mut made = new.clone();
        let done = chain.mutate(&asked, &mut made, old);
        let done = done.and_then(|()| chain.validate(&asked, Some(&made), old));
        done.map(|()| made).map_err(|status| status.message)
    }
}

#[test]
fn images_are_always_pulled_where_that_is_asked() {
    let world = World::new(&json!({}), &json!([]));
    let mut mine = pod();
    mine["spec"]["containers"][0]["imagePullPolicy"] = "Never".into();
    mine["spec"]["volumes"] = json!([{ "name": "v", "image": { "reference": "r" } }]);
    let made = world.write("AlwaysPullImages", &mine, None).unwrap();
    assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(made["spec"]["volumes"][0]["image"]["pullPolicy"], "Always");
    let mut label = mine.clone();
    label["metadata"]["labels"] = json!({ "a": "b" });
    let kept = world.write("AlwaysPullImages", &label, Some(&mine)).unwrap();
    assert_eq!(kept["spec"]["containers"][0]["imagePullPolicy"], "Never");
    // Elsewhere it is as it is written.
    let made = world.write("", &mine, None).unwrap();
    assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "Never");
}

#[test]
fn the_pods_of_a_namespace_go_where_it_says() {
    let key = "scheduler.alpha.kubernetes.io/node-selector";
    let world = World::new(&json!({ key: "disk=fast, zone=a" }), &json!([]));
    let mut mine = pod();
    mine["spec"]["nodeSelector"] = json!({ "zone": "a", "own": "x" });
    let made = world.write("PodNodeSelector", &mine, None).unwrap();
    assert_eq!(made["spec"]["nodeSelector"], json!({ "disk": "fast", "zone": "a", "own": "x" }));
    mine["spec"]["nodeSelector"] = json!({ "zone": "b" });
    assert_eq!(
        world.write("PodNodeSelector", &mine, None),
        Err("pods \"p\" is forbidden: pod node label selector conflicts with its namespace node label selector".to_owned())
    );
    let world = World::new(&json!({ key: "a" }), &json!([]));
    assert!(world.write("PodNodeSelector", &pod(), None).unwrap_err().contains("invalid selector"));
}

#[test]
fn the_pods_of_a_namespace_tolerate_what_it_says() {
    let tolerations = |list: Value| Value::from(list.to_string());
    let world = World::new(
        &json!({
            "scheduler.alpha.kubernetes.io/defaultTolerations":
                tolerations(json!([{ "key": "a", "operator": "Exists" }])),
            "scheduler.alpha.kubernetes.io/tolerationsWhitelist":
                tolerations(json!([{ "key": "a", "operator": "Exists" }, { "key": "b", "operator": "Equal", "value": "1" }])),
        }),
        &json!([]),
    );
    let made = world.write("PodTolerationRestriction", &pod(), None).unwrap();
    assert_eq!(made["spec"]["tolerations"], json!([{ "key": "a", "operator": "Exists" }]));
    let mut mine = pod();
    mine["spec"]["tolerations"] = json!([{ "key": "b", "operator": "Equal", "value": "1" }]);
    assert!(world.write("PodTolerationRestriction", &mine, None).is_ok());
    mine["spec"]["tolerations"][0]["value"] = "2".into();
    assert_eq!(
        world.write("PodTolerationRestriction", &mine, None),
        Err("pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist".to_owned())
    );
}

#[test]
fn who_gives_an_owner_has_the_rights_that_takes() {
    let rule = |verb: &str, resource: &str| json!({ "verbs": [verb], "apiGroups": ["", "apps"], "resources": [resource] });
    let mut owned = pod();
    owned["metadata"]["ownerReferences"] = json!([
        { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "blockOwnerDeletion": true }]);
    let write = |rules: Value, old: Option<&Value>| {
        let world = World::new(&json!({}), &rules);
        world.write("OwnerReferencesPermissionEnforcement", &owned, old).map(drop)
    };
    let refused = |why: &str| Err(format!("pods \"p\" is forbidden: {why}: , <nil>"));
    assert_eq!(
        write(json!([]), None),
        refused("cannot set an ownerRef on a resource you can't delete")
    );
    assert_eq!(
        write(json!([rule("delete", "pods")]), None),
        refused(
            "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
        )
    );
    let both = json!([rule("delete", "pods"), rule("update", "replicasets/finalizers")]);
    assert_eq!(write(both, None), Ok(()));
    // Nothing is asked where owners stay.
    assert_eq!(write(json!([]), Some(&owned.clone())), Ok(()));
    owned["metadata"]["ownerReferences"][0]["kind"] = "Odd".into();
    let world = World::new(&json!({}), &json!([rule("delete", "pods")]));
    let refused = world.write("OwnerReferencesPermissionEnforcement", &owned, None).unwrap_err();
    assert!(
        refused.contains("cannot find RESTMapping for APIVersion apps/v1 Kind Odd"),
        "{refused}"
    );
}

#[test]
fn a_file_says_what_is_asked_of_pods() {
    let file = |of: Value| {
        json!({ "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
            "plugins": [{ "name": "PodSecurity", "configuration": of }] })
    };
    let of = |more: Value| {
        let base = json!({ "apiVersion": "pod-security.admission.config.k8s.io/v1",
            "kind": "PodSecurityConfiguration" });
        Settings::read(&file(leme_meta::patch::merge(&base, &more)))
    };
    let read = of(json!({
        "defaults": { "enforce": "baseline", "enforce-version": "v1.30", "warn": "restricted" },
        "exemptions": { "namespaces": ["kube-system"], "usernames": ["jo"], "runtimeClasses": ["vm"] },
    }))
    .unwrap()
    .pod_security;
    assert_eq!(
        (read.defaults.enforce.level, read.defaults.enforce.version),
        (Level::Baseline, Version::Minor(30))
    );
    assert_eq!(read.defaults.warn.level, Level::Restricted);
    assert_eq!(
        (read.namespaces, read.users, read.runtime_classes),
        (vec!["kube-system".to_owned()], vec!["jo".to_owned()], vec!["vm".to_owned()])
    );
    let wrong = |of: Result<Settings, String>| of.unwrap_err();
    assert_eq!(
        wrong(of(json!({ "defaults": { "enforce": "x" } }))),
        "PodSecurity: defaults: enforce: must be one of privileged, baseline, restricted"
    );
    assert_eq!(
        wrong(of(json!({ "exemptions": { "users": [] } }))),
        "PodSecurity: exemptions: users is not known"
    );
    assert_eq!(
        wrong(Settings::read(&json!({}))),
        "expected a AdmissionConfiguration of apiserver.config.k8s.io/v1"
    );
    let other = json!({ "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
        "plugins": [{ "name": "EventRateLimit" }] });
    assert_eq!(wrong(Settings::read(&other)), "EventRateLimit: only PodSecurity is configured");
}

/// Red when somebody builds by a strategy that is not theirs, or who has it already may not change anything else.
#[test]
fn each_strategy_is_a_right_of_its_own() {
    let docker = json!([{ "verbs": ["create"], "apiGroups": ["build.openshift.io"], "resources": ["builds/docker"] }]);
    let config = |strategy: Value| {
        json!({ "apiVersion": "build.openshift.io/v1", "kind": "BuildConfig",
            "metadata": { "name": "b", "namespace": "ns" }, "spec": { "strategy": strategy } })
    };
    let world = World::new(&json!({}), &docker);
    let mine = config(json!({ "dockerStrategy": {} }));
    assert!(world.write("", &mine, None).is_ok());
    let custom = config(json!({ "customStrategy": {} }));
    let refused =
        "buildconfigs.build.openshift.io \"b\" is forbidden: build strategy Custom is not allowed";
    assert_eq!(world.write("", &custom, None).unwrap_err(), refused);
    assert_eq!(world.write("", &custom, Some(&mine)).unwrap_err(), refused);
    let mut label = custom.clone();
    label["metadata"]["labels"] = json!({ "a": "b" });
    assert!(world.write("", &label, Some(&custom)).is_ok());
    let optimized =
        config(json!({ "dockerStrategy": { "imageOptimizationPolicy": "SkipLayers" } }));
    assert!(world.write("", &optimized, None).is_err());
}
