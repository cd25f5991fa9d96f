//! Stock kubectl applies: by itself and by the server, several managers of one object, sets that are pruned.

use leme_live::{Finished, Host, until};

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {app: web}}\nspec:\n  \
    replicas: 1\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
    spec: {containers: [{name: c, image: \"leme/sample:latest\"}]}\n";

/// A control plane without nodes: nothing runs, all is kept.
fn host() -> Host {
    let host = Host::new();
    host.up("--no-node").ok();
    host
}

fn map(name: &str, data: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{set: one}}}}\ndata: {data}\n---\n"
    )
}

/// Who owns fields of an object, but for the controllers, which write when they get to it; in the order of their names.
fn managers(host: &Host, object: &str) -> String {
    let path =
        "jsonpath={range .metadata.managedFields[*]}{.manager}/{.operation}/{.subresource};{end}";
    let told = host.kubectl(&format!("get {object} -o")).arg(path).run().ok();
    let mut entries: Vec<&str> = told.split_inclusive(';').collect();
    entries.retain(|entry| !entry.starts_with("kube-controller-manager/"));
    entries.sort_unstable();
    entries.concat()
}

fn apply(host: &Host, options: &str, yaml: &str) -> Finished {
    host.kubectl(&format!("apply -f - {options}")).run_with(yaml)
}

#[test]
fn two_managers_apply_one_object() {
    let host = host();
    let minor = host.kubectl_minor();
    let server = "--server-side --field-manager";
    let made = apply(&host, &format!("{server}=one"), DEPLOYMENT).ok();
    assert_eq!(made, "deployment.apps/web serverside-applied\n");
    let three = DEPLOYMENT.replace("replicas: 1", "replicas: 3");
    let refused = apply(&host, &format!("{server}=two"), &three).fails(1);
    assert!(
        refused.contains("Apply failed with 1 conflict: conflict with \"one\": .spec.replicas")
            && refused.contains("--force-conflicts"),
        "{refused}"
    );
    apply(&host, &format!("{server}=two --force-conflicts"), &three).ok();
    assert_eq!(managers(&host, "deployment web"), "one/Apply/;two/Apply/;");
    let replicas = || host.kubectl("get deployment web -o jsonpath={.spec.replicas}").run().ok();
    assert_eq!(replicas(), "3");
    // The one does not say replicas any more, and keeps the rest.
    apply(&host, &format!("{server}=one"), &DEPLOYMENT.replace("  replicas: 1\n", "")).ok();
    assert_eq!(replicas(), "3");

    // Since 1.21 it does not show them unless it is told to.
    let shown = host.kubectl("get deployment web -o yaml").run().ok();
    assert_eq!(shown.contains("managedFields"), minor < 21, "{shown}");
    let all = if minor < 21 { "" } else { "--show-managed-fields" };
    let shown = host.kubectl(&format!("get deployment web -o yaml {all}")).run().ok();
    assert!(shown.contains("managedFields") && shown.contains("f:replicas: {}"), "{shown}");

    let same = host.kubectl("diff --server-side --field-manager=two -f -").run_with(&three);
    assert_eq!((same.code, same.stdout.as_str()), (0, ""), "{}", same.stderr);
    let five = three.replace("replicas: 3", "replicas: 5");
    let diff = host.kubectl("diff --server-side --field-manager=two -f -").run_with(&five);
    assert_eq!(diff.code, 1, "{}", diff.stderr);
    assert!(diff.stdout.contains("-  replicas: 3\n+  replicas: 5\n"), "{}", diff.stdout);
    let dry = apply(&host, &format!("{server}=two --dry-run=server"), &five).ok();
    assert_eq!(dry, "deployment.apps/web serverside-applied (server dry run)\n");
    assert_eq!(replicas(), "3");

    host.kubectl("scale deployment web --replicas=4").run().ok();
    assert_eq!(managers(&host, "deployment web"), "kubectl/Update/scale;one/Apply/;two/Apply/;");
    if minor >= 24 {
        let patch = r#"{"status":{"collisionCount":1}}"#;
        let words = "patch deployment web --subresource=status --type=merge -p";
        host.kubectl(words).arg(patch).run().ok();
        assert!(managers(&host, "deployment web").contains("kubectl-patch/Update/status;"));
    }
    host.kubectl("edit deployment web")
        .env("KUBE_EDITOR", "sed -i s/RollingUpdate/Recreate/;/rollingUpdate:/,+2d")
        .run();
    assert!(managers(&host, "deployment web").contains("kubectl"));

    let unknown = DEPLOYMENT.replace("replicas: 1", "replica: 1");
    let unknown = apply(&host, &format!("{server}=one"), &unknown).fails(1);
    // Older ones find out by themselves.
    let word =
        if minor < 25 { "unknown field \"replica\"" } else { "field not declared in schema" };
    assert!(unknown.contains(word), "{unknown}");
}

/// Red when the scheduler writes under the name of the controllers.
#[test]
fn every_part_writes_under_its_own_name() {
    let host = host();
    apply(&host, "", DEPLOYMENT).ok();
    let pods = || host.kubectl("get pods -o name").run().ok();
    until("the pod is made", || !pods().is_empty());
    let pod = pods().trim().to_owned();
    until("the pod is looked at", || managers(&host, &pod) == "kube-scheduler/Update/status;");
    let event = "get events --field-selector reason=FailedScheduling -o name";
    until("the pod is told of", || !host.kubectl(event).run().ok().is_empty());
    let event = host.kubectl(event).run().ok();
    assert_eq!(managers(&host, event.lines().next().unwrap()), "kube-scheduler/Update/;");
}

#[test]
fn an_object_goes_over_from_one_way_of_applying_to_the_other() {
    let host = host();
    let one = map("a", "{k: v, l: w}");
    assert_eq!(apply(&host, "", &one).ok(), "configmap/a created\n");
    assert_eq!(apply(&host, "", &one).ok(), "configmap/a unchanged\n");
    assert_eq!(managers(&host, "configmap a"), "kubectl-client-side-apply/Update/;");
    let two = map("a", "{k: x}");
    assert_eq!(apply(&host, "--server-side", &two).ok(), "configmap/a serverside-applied\n");
    if host.kubectl_minor() < 26 {
        // It does not know that way: what it applied once stays its own.
        let both = "kubectl-client-side-apply/Update/;kubectl/Apply/;";
        return assert_eq!(managers(&host, "configmap a"), both);
    }
    // What was applied last time is applied once more, by a manager of its own.
    assert_eq!(managers(&host, "configmap a"), "kubectl-last-applied/Apply/;kubectl/Apply/;");
    let data = || host.kubectl("get configmap a -o jsonpath={.data}").run().ok();
    assert_eq!(data(), r#"{"k":"x"}"#);
    // And back: the annotation has been kept up to date.
    apply(&host, "", &two).ok();
    assert_eq!(data(), r#"{"k":"x"}"#);
    assert_eq!(apply(&host, "", &one).ok(), "configmap/a configured\n");
    assert_eq!(data(), r#"{"k":"v","l":"w"}"#);
}

#[test]
fn what_a_set_no_longer_has_is_pruned() {
    let host = host();
    let both = map("a", "{k: v}") + &map("b", "{k: v}");
    let names = || host.kubectl("get configmaps -l set=one -o name").run().ok();
    apply(&host, "", &both).ok();
    assert_eq!(names(), "configmap/a\nconfigmap/b\n");
    let minor = host.kubectl_minor();
    let list = if minor < 26 { "whitelist" } else { "allowlist" };
    let options = format!("--prune -l set=one --prune-{list}=core/v1/ConfigMap");
    let pruned = apply(&host, &options, &map("a", "{k: v}")).ok();
    assert!(pruned.contains("configmap/b pruned"), "{pruned}");
    assert_eq!(names(), "configmap/a\n");
    if minor < 27 {
        return; // It has no sets.
    }
    let set = |yaml: &str| {
        host.kubectl("apply -f - -n default --prune --applyset=shop")
            .env("KUBECTL_APPLYSET", "true")
            .run_with(yaml)
            .ok()
    };
    host.kubectl("delete configmaps -l set=one").run().ok();
    set(&both);
    assert_eq!(names(), "configmap/a\nconfigmap/b\n");
    let pruned = set(&map("b", "{k: v}"));
    assert!(pruned.contains("configmap/a pruned"), "{pruned}");
    assert_eq!(names(), "configmap/b\n");
    let set = host.kubectl("get secret shop -o jsonpath={.metadata.annotations}").run().ok();
    assert!(set.contains("applyset.kubernetes.io/tooling"), "{set}");
}
