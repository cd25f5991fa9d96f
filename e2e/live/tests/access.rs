//! Who may do what: pods that talk to the API with their account's token, people who are made by roles and bindings.

use leme_live::{Host, until};

/// An account that may look at pods, a pod that acts as it with the programs of this machine, and somebody who leads a
/// namespace.
const TEAM: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: bot}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: looks}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: bot-looks}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: looks}
subjects: [{kind: ServiceAccount, name: bot}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: jo-leads}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: jo}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  serviceAccountName: bot
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: leme/sample:latest
    imagePullPolicy: IfNotPresent
    command: [sleep, "6544"]
    volumeMounts:
    - {name: usr, mountPath: /usr, readOnly: true}
    - {name: lib, mountPath: /lib, readOnly: true}
    - {name: lib64, mountPath: /lib64, readOnly: true}
  volumes:
  - {name: usr, hostPath: {path: /usr}}
  - {name: lib, hostPath: {path: /usr/lib}}
  - {name: lib64, hostPath: {path: /usr/lib64}}
"#;

/// Red when pods do not reach the API, when their token is not believed, or when it lets them do more than their role says.
#[test]
fn a_pod_does_at_the_api_what_its_account_may() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    host.kubectl("apply -f -").run_with(TEAM).ok();
    host.kubectl("wait --for=condition=Ready pod/client --timeout=60s").run().ok();
    let kubectl = leme_live::kubectl();
    let within = |words: &str| {
        let program = host.kubectl("exec client --").arg(&kubectl);
        program.words("--cache-dir=/tmp/cache").words(words).run()
    };
    assert_eq!(within("get pods -o name").ok().trim(), "pod/client");
    let refused = within("get secrets").fails(1);
    let why = "secrets is forbidden: User \"system:serviceaccount:default:bot\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\"";
    assert!(refused.contains(why), "{refused}");
    assert!(within("delete pod client").fails(1).contains("cannot delete resource \"pods\""));
    assert!(within("get pods -n kube-system").fails(1).contains("namespace \"kube-system\""));
    assert_eq!(within("auth can-i list pods").ok().trim(), "yes");
    within("auth can-i list secrets").fails(1);
    // Flags keep kubectl from looking where it is; what it may learn of the kinds it learns first.
    let at = "/var/run/secrets/kubernetes.io/serviceaccount";
    let told = format!(
        "{} --server=https://kubernetes.default.svc --certificate-authority={at}/ca.crt \
         --token=$(cat {at}/token) --cache-dir=/tmp/cache get pods",
        kubectl.display()
    );
    let as_admin = format!("{told} && {told} --as=kubernetes-admin --as-group=system:masters");
    let refused = host.kubectl("exec client -- sh -c").arg(as_admin).run().fails(1);
    assert!(refused.contains("cannot impersonate resource \"users\""), "{refused}");

    // What it is told is as true for everybody who asks.
    let listed =
        host.kubectl("auth can-i --list --as=system:serviceaccount:default:bot").run().ok();
    assert!(listed.contains("pods") && listed.contains("[get list]"), "{listed}");
    host.kubectl("delete sa bot").run().ok();
    until("the token of an account that is gone is refused", || {
        within("get pods").fails(1).contains("Unauthorized")
    });
}

/// Red when somebody who leads a namespace makes more of themselves than that, or reaches into another one.
#[test]
fn nobody_hands_out_what_they_have_not() {
    let host = Host::new();
    host.up("--no-node").ok();
    host.kubectl("apply -f -").run_with(TEAM).ok();
    let jo = |words: &str| host.kubectl(words).arg("--as=jo").run();
    until("what an admin may has been put together", || {
        host.kubectl("auth can-i create deployments --as=jo").run().code == 0
    });
    jo("create deployment web --image=x").ok();
    jo("create rolebinding ann --clusterrole=view --user=ann").ok();
    jo("create role own --verb=get --resource=configmaps").ok();
    let refused = jo("create rolebinding boss --clusterrole=cluster-admin --user=jo").fails(1);
    let why = "rolebindings.rbac.authorization.k8s.io \"boss\" is forbidden: user \"jo\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:";
    assert!(refused.contains(why), "{refused}");
    assert!(refused.contains("{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}"), "{refused}");
    let refused = jo("create role nodes --verb=get --resource=nodes").fails(1);
    assert!(
        refused.contains("{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\"]}"),
        "{refused}"
    );
    for words in [
        "get pods -n kube-system",
        "get nodes",
        "create clusterrolebinding boss --clusterrole=view --user=jo",
        "get secrets -n kube-system",
        "create namespace more",
    ] {
        assert!(jo(words).fails(1).contains("forbidden"), "{words}");
    }
    let ann = |words: &str| host.kubectl(words).arg("--as=ann").run();
    ann("get deployments").ok();
    assert!(ann("get secrets").fails(1).contains("forbidden"));
}
