//! What constraints make of pods, which of them are taken, and what is told when none fits.

use leme_access::{Policy, bootstrap};
use leme_registry::User;

use super::*;
use crate::scc::{allotted, standard};

/// A project with the standard constraints, and the rights that a binding gives besides those of every cluster.
struct Project {
    objects: Objects,
    policy: Arc<Policy>,
}

impl Project {
    fn new(changed: &[Value], binding: Option<(&str, Value)>) -> Project {
        let mut project = namespace("ns");
        for (name, value) in allotted::annotations(3) {
            project["metadata"]["annotations"][name] = value.into();
        }
        let mut all = vec![project];
        all.extend(standard::all().map(|(_, one)| one));
        all.extend_from_slice(changed);
        let mut policy = bootstrap::policy();
        if let Some((role, subject)) = binding {
            let binding = json!({ "subjects": [subject],
                "roleRef": { "kind": "ClusterRole", "name": format!("system:openshift:scc:{role}") } });
            policy = policy.with("RoleBinding", ("ns", "more"), Some(&binding));
        }
        Project { objects: Objects::of(&all), policy: Arc::new(policy) }
    }

    /// What becomes of a pod of the account `builder` that somebody makes or changes, or why nothing does.
    fn write(&self, groups: &[&str], pod: &Value, old: Option<&Value>) -> Result<Value, String> {
        self.write_at("", groups, pod, old)
    }

    fn write_at(
        &self,
        subresource: &str,
        groups: &[&str],
        pod: &Value,
        old: Option<&Value>,
    ) -> Result<Value, String> {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let extra = BTreeMap::new();
        let user = User { name: "jo", uid: "", groups: &groups, extra: &extra };
        let operation = if old.is_some() { Operation::Update } else { Operation::Create };
        let asked = Asked { user: Some(user), subresource, ..asked(operation, pod) };
        let off = ["ServiceAccount", "NamespaceLifecycle", "PodSecurity"];
        let chain = Chain::new(self, &off);
        let mut new = pod.clone();
        let done = chain.mutate(&asked, &mut new, old);
        let done = done.and_then(|()| chain.validate(&asked, Some(&new), old));
        done.map(|()| new).map_err(|status| status.message)
    }

    fn create(&self, pod: &Value) -> Result<Value, String> {
        self.write(&["system:authenticated"], pod, None)
    }
}

impl Facts for &Project {
    fn get(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, Status> {
        self.objects.get(of, namespace, name)
    }

    fn list(&self, of: &Seen, namespace: &str) -> Result<Vec<Arc<Value>>, Status> {
        self.objects.list(of, namespace)
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }
}

fn of_builder(spec: &Value) -> Value {
    let mut pod = pod();
    pod["spec"]["serviceAccountName"] = "builder".into();
    pod["spec"] = leme_meta::patch::merge(&pod["spec"], spec);
    pod
}

fn builder() -> Value {
    json!({ "kind": "ServiceAccount", "namespace": "ns", "name": "builder" })
}

fn taken(pod: &Value) -> &str {
    pod["metadata"]["annotations"]["openshift.io/scc"].as_str().unwrap_or("")
}

#[test]
fn a_pod_of_a_project_gets_users_of_its_own() {
    let project = Project::new(&[], None);
    let pod = project.create(&of_builder(&json!({}))).expect("let in");
    assert_eq!(
        pod["metadata"]["annotations"],
        json!({
            "openshift.io/scc": "restricted-v2",
            "security.openshift.io/validated-scc-subject-type": "serviceaccount",
            "seccomp.security.alpha.kubernetes.io/pod": "runtime/default",
        })
    );
    assert_eq!(
        pod["spec"]["securityContext"],
        json!({ "fsGroup": 1_000_030_000, "seLinuxOptions": { "level": "s0:c6,c0" },
            "seccompProfile": { "type": "RuntimeDefault" } })
    );
    assert_eq!(
        pod["spec"]["containers"][0]["securityContext"],
        json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
            "runAsNonRoot": true, "runAsUser": 1_000_030_000 })
    );
    // Elsewhere nothing is made of pods.
    let plain = of_builder(&json!({ "hostNetwork": true }));
    assert_eq!(
        create(&[], &{ pod_of_default(&plain) }).map(|pod| taken(&pod).to_owned()),
        Ok(String::new())
    );
}

fn pod_of_default(pod: &Value) -> Value {
    let mut pod = pod.clone();
    pod["spec"]["serviceAccountName"] = Value::Null;
    pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "x".into();
    pod
}

#[test]
fn the_blocks_of_namespaces_and_their_labels() {
    let of = |block| allotted::annotations(block).map(|(_, value)| value);
    assert_eq!(of(0), ["1000000000/10000", "1000000000/10000", "s0:c1,c0"]);
    assert_eq!(of(1)[2], "s0:c3,c2");
    assert_eq!(of(99_999)[0], "1999990000/10000");
    for block in [0, 7, 99_999] {
        let mut project = namespace("ns");
        project["metadata"]["annotations"] =
            json!({ allotted::annotations(block)[0].0: of(block)[0] });
        assert_eq!(allotted::block_of(&project), Some(block));
    }
}

#[test]
fn who_may_use_more_gets_the_first_that_fits() {
    let host = of_builder(&json!({ "hostNetwork": true }));
    let root = of_builder(&json!({ "securityContext": { "runAsUser": 0 } }));
    let by_account = Project::new(&[], Some(("hostnetwork-v2", builder())));
    assert_eq!(taken(&by_account.create(&host).unwrap()), "hostnetwork-v2");
    assert_eq!(taken(&by_account.create(&of_builder(&json!({}))).unwrap()), "restricted-v2");
    let anyuid = Project::new(&[], Some(("anyuid", builder())));
    // It comes first, whatever is asked for.
    let made = anyuid.create(&root).unwrap();
    assert_eq!(
        (taken(&made), &made["spec"]["securityContext"]["runAsUser"]),
        ("anyuid", &json!(0))
    );
    assert_eq!(taken(&anyuid.create(&of_builder(&json!({}))).unwrap()), "anyuid");
    let required = |name: &str| {
        let mut pod = of_builder(&json!({}));
        pod["metadata"]["annotations"] = json!({ "openshift.io/required-scc": name });
        anyuid.create(&pod).map(|pod| taken(&pod).to_owned())
    };
    assert_eq!(required("restricted-v2"), Ok("restricted-v2".to_owned()));
    assert_eq!(
        required("x"),
        Err("pods \"p\" is forbidden: failed to retrieve the required SCC \"x\": securitycontextconstraints.security.openshift.io \"x\" not found".to_owned())
    );
    assert_eq!(
        required("privileged"),
        Err("pods \"p\" is forbidden: unable to validate against any security context constraint: provider \"privileged\": Forbidden: not usable by user or serviceaccount".to_owned())
    );
    // Administrators by a group that constraints name, or by a right.
    let admin = Project::new(&[], None);
    let made =
        admin.write(&["system:masters"], &of_builder(&json!({ "hostPID": true })), None).unwrap();
    let by = &made["metadata"]["annotations"]["security.openshift.io/validated-scc-subject-type"];
    assert_eq!((taken(&made), by), ("hostaccess", &json!("user")));
}

#[test]
fn what_fits_nowhere_is_told_of_each_that_was_tried() {
    let project = Project::new(&[], None);
    let spec = json!({ "hostNetwork": true, "containers": [
        { "name": "c", "image": "i", "ports": [{ "hostPort": 80 }],
          "securityContext": { "runAsUser": 0, "privileged": true } }] });
    let refused = project.create(&of_builder(&spec)).unwrap_err();
    let words = "pods \"p\" is forbidden: unable to validate against any security context constraint: [provider \"anyuid\": Forbidden: not usable by user or serviceaccount, provider restricted-v2: .spec.securityContext.hostNetwork: Invalid value: true: Host network is not allowed to be used, ";
    assert!(refused.starts_with(words), "{refused}");
    for part in [
        "provider restricted-v2: .containers[0].runAsUser: Invalid value: 0: must be in the ranges: [1000030000, 1000039999]",
        "provider restricted-v2: .containers[0].privileged: Invalid value: true: Privileged containers are not allowed",
        "provider restricted-v2: .containers[0].containers[0].hostPort: Invalid value: 80: Host ports are not allowed to be used",
        "provider restricted-v3: .spec.securityContext.hostUsers: Invalid value: null: Host Users must be set to false",
        "provider \"privileged\": Forbidden: not usable by user or serviceaccount]",
    ] {
        assert!(refused.contains(part), "{part} is not in {refused}");
    }
    // In the order in which they are tried.
    let order = [
        "anyuid",
        "restricted-v2",
        "restricted-v3",
        "restricted",
        "nested-container",
        "nonroot-v2",
        "nonroot",
        "hostmount-anyuid",
        "hostmount-anyuid-v2",
        "hostnetwork-v2",
        "hostnetwork",
        "hostaccess",
        "privileged",
    ];
    let place = |name: &str| {
        let told = [format!("provider \"{name}\": "), format!("provider {name}: ")];
        told.iter().find_map(|told| refused.find(told)).expect(name)
    };
    assert!(order.map(place).is_sorted(), "{refused}");
}

#[test]
fn what_the_older_constraints_would_let_in_is_told() {
    let refused = Project::new(&[], None)
        .create(&of_builder(&json!({ "containers": [{ "name": "c", "image": "i",
            "securityContext": { "allowPrivilegeEscalation": true } }] })))
        .unwrap_err();
    assert!(refused.contains("no access to scc/restricted: Forbidden: the pod fails to validate against the `restricted-v2` security context constraint, but would validate successfully against the `restricted` security context constraint"), "{refused}");
}

#[test]
fn a_pod_that_changes_stays_within_its_constraints() {
    let project = Project::new(&[], Some(("anyuid", builder())));
    let user = ["system:authenticated"];
    let mut plain = of_builder(&json!({}));
    plain["metadata"]["annotations"] = json!({ "openshift.io/required-scc": "restricted-v2" });
    let old = project.create(&plain).unwrap();
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({ "a": "b" });
    assert_eq!(
        project.write(&user, &new, Some(&old)).map(|new| taken(&new).to_owned()),
        Ok("restricted-v2".to_owned())
    );
    new["metadata"]["annotations"]["openshift.io/required-scc"] = "anyuid".into();
    assert_eq!(
        project.write(&user, &new, Some(&old)),
        Err("pods \"p\" is forbidden: invalid change of required security context constraint annotation: openshift.io/required-scc".to_owned())
    );
    // A container to look in gets what the others have; one that asks for more does not come.
    let mut new = old.clone();
    new["spec"]["ephemeralContainers"] = json!([{ "name": "e", "image": "i" }]);
    let done = project.write_at("ephemeralcontainers", &user, &new, Some(&old)).unwrap();
    assert_eq!(
        done["spec"]["ephemeralContainers"][0]["securityContext"]["runAsUser"],
        1_000_030_000
    );
    new["spec"]["ephemeralContainers"][0]["securityContext"] = json!({ "privileged": true });
    assert!(project.write_at("ephemeralcontainers", &user, &new, Some(&old)).is_err());
    // The garbage collector is not asked.
    let old = project.write(&["system:masters"], &host(), None).expect("let in");
    let mut going = old.clone();
    going["metadata"]["finalizers"] = json!(["orphan"]);
    assert!(project.write(&user, &going, Some(&old)).is_ok());
    going["metadata"]["labels"] = json!({ "a": "b" });
    assert!(project.write(&user, &going, Some(&old)).is_err());
}

fn host() -> Value {
    of_builder(&json!({ "hostNetwork": true, "hostPID": true }))
}

/// What pods ask for, and which constraints let them have it.
const MATRIX: &str = "
nothing: anyuid hostaccess hostmount-anyuid hostmount-anyuid-v2 hostnetwork hostnetwork-v2 nonroot nonroot-v2 privileged restricted restricted-v2
own users: anyuid hostaccess hostmount-anyuid hostmount-anyuid-v2 hostnetwork hostnetwork-v2 nested-container nonroot nonroot-v2 privileged restricted restricted-v2 restricted-v3
host network: hostaccess hostnetwork hostnetwork-v2 privileged
host processes: hostaccess privileged
host memory: hostaccess privileged
host port: hostaccess hostnetwork hostnetwork-v2 privileged
host path: hostaccess hostmount-anyuid hostmount-anyuid-v2 privileged
nfs: hostmount-anyuid hostmount-anyuid-v2 privileged
privileged: privileged
root: anyuid hostmount-anyuid hostmount-anyuid-v2 privileged
user 1500: anyuid hostmount-anyuid hostmount-anyuid-v2 nonroot nonroot-v2 privileged
user 1500 of its own: anyuid hostmount-anyuid hostmount-anyuid-v2 nested-container nonroot nonroot-v2 privileged restricted-v3
low ports: hostnetwork-v2 nonroot-v2 privileged restricted-v2
administration: privileged
no seccomp: privileged
seccomp: hostnetwork-v2 nonroot-v2 privileged restricted-v2
escalation: anyuid hostaccess hostmount-anyuid hostmount-anyuid-v2 hostnetwork nonroot privileged restricted
group of files: anyuid hostmount-anyuid hostmount-anyuid-v2 nonroot nonroot-v2 privileged
groups: anyuid hostaccess hostmount-anyuid hostmount-anyuid-v2 nonroot nonroot-v2 privileged restricted restricted-v2
label: hostmount-anyuid-v2 privileged
kernel: privileged
";

fn asks(what: &str) -> Value {
    let container = |says: Value| {
        let container = json!({ "name": "c", "image": "i" });
        json!({ "containers": [leme_meta::patch::merge(&container, &says)] })
    };
    let context = |says: Value| container(json!({ "securityContext": says }));
    let shared = |says: Value| json!({ "securityContext": says });
    match what {
        "nothing" => json!({}),
        "own users" => json!({ "hostUsers": false }),
        "host network" => json!({ "hostNetwork": true }),
        "host processes" => json!({ "hostPID": true }),
        "host memory" => json!({ "hostIPC": true }),
        "host port" => container(json!({ "ports": [{ "hostPort": 80 }] })),
        "host path" => json!({ "volumes": [{ "name": "v", "hostPath": { "path": "/" } }] }),
        "nfs" => json!({ "volumes": [{ "name": "v", "nfs": {} }] }),
        "privileged" => context(json!({ "privileged": true })),
        "root" => shared(json!({ "runAsUser": 0 })),
        "user 1500" => context(json!({ "runAsUser": 1500 })),
        "user 1500 of its own" => {
            json!({ "hostUsers": false, "securityContext": { "runAsUser": 1500 } })
        }
        "low ports" => context(json!({ "capabilities": { "add": ["NET_BIND_SERVICE"] } })),
        "administration" => context(json!({ "capabilities": { "add": ["SYS_ADMIN"] } })),
        "no seccomp" => context(json!({ "seccompProfile": { "type": "Unconfined" } })),
        "seccomp" => shared(json!({ "seccompProfile": { "type": "RuntimeDefault" } })),
        "escalation" => context(json!({ "allowPrivilegeEscalation": true })),
        "group of files" => shared(json!({ "fsGroup": 5 })),
        "groups" => shared(json!({ "supplementalGroups": [5] })),
        "label" => shared(json!({ "seLinuxOptions": { "level": "s0:c9,c8" } })),
        "kernel" => shared(json!({ "sysctls": [{ "name": "kernel.msgmax", "value": "1" }] })),
        other => panic!("{other}"),
    }
}

#[test]
fn each_of_the_standard_constraints_lets_in_what_it_says() {
    let project = Project::new(&[], None);
    for line in MATRIX.trim().lines() {
        let (what, expected) = line.split_once(": ").expect("line");
        let fits = |name: &&str| {
            let mut pod = of_builder(&asks(what));
            pod["metadata"]["annotations"] = json!({ "openshift.io/required-scc": *name });
            let made = project.write(&["system:masters"], &pod, None);
            if let Ok(made) = &made {
                assert_eq!(taken(made), *name);
            }
            made.is_ok()
        };
        let mut names: Vec<&str> = standard::all().map(|(name, _)| name).filter(fits).collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), expected, "{what}");
    }
}

#[test]
fn older_words_for_seccomp_and_levels_in_another_order_are_understood() {
    let project = Project::new(&[], None);
    let fits = |annotations: Value, spec: Value| {
        let mut pod = of_builder(&spec);
        pod["metadata"]["annotations"] = annotations;
        project.create(&pod)
    };
    let of_pod = "seccomp.security.alpha.kubernetes.io/pod";
    let made = fits(json!({ of_pod: "docker/default" }), json!({})).expect("let in");
    assert_eq!(made["spec"]["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let refused = fits(json!({ of_pod: "localhost/x" }), json!({})).unwrap_err();
    let words = "pod.metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: Forbidden: localhost/x is not an allowed seccomp profile. Valid values are [runtime/default]";
    assert!(refused.contains(words), "{refused}");
    let level = |level: &str| {
        fits(json!({}), json!({ "securityContext": { "seLinuxOptions": { "level": level } } }))
    };
    assert!(level("s0:c0,c6").is_ok());
    let refused = level("s0:c0,c7").unwrap_err();
    let words = "provider restricted-v2: .spec.securityContext.seLinuxOptions.level: Invalid value: \"s0:c0,c7\": must be s0:c6,c0";
    assert!(refused.contains(words), "{refused}");
}
