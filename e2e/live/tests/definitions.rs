//! Kinds of one's own with stock kubectl: defined, used, explained, kept over a restart, and taken away again.

use leme_live::{Host, until};

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: crontabs.stable.example.com
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            description: When what runs.
            type: object
            required: [cronSpec]
            properties:
              cronSpec: {type: string, description: "The times, as cron has them."}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 1}
          status:
            type: object
            properties:
              replicas: {type: integer}
              conditions:
                type: array
                items: {type: object, x-kubernetes-preserve-unknown-fields: true}
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Times, type: string, jsonPath: .spec.cronSpec}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
"#;

fn tab(name: &str) -> String {
    format!(
        "{{\"apiVersion\":\"stable.example.com/v1\",\"kind\":\"CronTab\",\"metadata\":{{\"name\":\"{name}\"}},\
         \"spec\":{{\"cronSpec\":\"* * * * 5\"}}}}"
    )
}

#[test]
fn kinds_come_are_used_and_go() {
    let host = Host::new();
    host.up("--no-node").ok();
    let kubectl = |words: &str| host.kubectl(words).run();
    host.kubectl("apply -f -").run_with(DEFINITION).ok();
    kubectl("wait --for=condition=established crd/crontabs.stable.example.com --timeout=10s").ok();
    host.kubectl("create -f -").run_with(&tab("one")).ok();

    let resources = kubectl("api-resources --api-group=stable.example.com --no-headers").ok();
    let words: Vec<&str> = resources.split_whitespace().collect();
    assert_eq!(words, ["crontabs", "ct", "stable.example.com/v1", "true", "CronTab"]);
    let shown = kubectl("get ct").ok();
    assert!(shown.starts_with("NAME   TIMES       AGE\none    * * * * 5"), "{shown}");
    assert!(kubectl("get all").ok().contains("crontab.stable.example.com/one"));
    let explained = kubectl("explain crontab.spec").ok();
    assert!(
        explained.contains("When what runs.")
            && explained.contains("cronSpec\t<string> -required-"),
        "{explained}"
    );
    kubectl("scale ct one --replicas=3").ok();
    assert_eq!(kubectl("get ct one -o jsonpath={.spec.replicas}").ok(), "3");
    let wrong = kubectl("scale ct one --replicas=11").fails(1);
    assert!(wrong.contains("should be less than or equal to 10"), "{wrong}");
    let unknown = tab("two").replace("cronSpec", "cronSpex");
    let refused = host.kubectl("create -f -").run_with(&unknown).fails(1);
    // Older ones find out by themselves, in words of their own.
    assert!(refused.contains("unknown field") && refused.contains("cronSpex"), "{refused}");
    let mut one: serde_json::Value =
        serde_json::from_str(&kubectl("get ct one -o json").ok()).unwrap();
    one["status"] = serde_json::json!({"conditions": [{"type": "Ready", "status": "True"}]});
    let status = "/apis/stable.example.com/v1/namespaces/default/crontabs/one/status";
    let replaced = host.kubectl(&format!("replace --raw {status} -f -"));
    replaced.run_with(&one.to_string()).ok();
    kubectl("wait --for=condition=Ready ct/one --timeout=10s").ok();

    // It is there after a restart.
    host.leme("down").run().ok();
    host.up("--no-node").ok();
    assert_eq!(kubectl("get ct one -o jsonpath={.spec.replicas}").ok(), "3");

    // Owners of any kind, and namespaces, take along what is theirs.
    let uid = kubectl("get ct one -o jsonpath={.metadata.uid}").ok();
    let owner = format!(
        "{{\"apiVersion\":\"stable.example.com/v1\",\"kind\":\"CronTab\",\"name\":\"one\",\"uid\":\"{uid}\"}}"
    );
    let owned = format!("\"metadata\":{{\"name\":\"owned\",\"ownerReferences\":[{owner}]}}");
    let map = format!("{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",{owned}}}");
    host.kubectl("create -f -").run_with(&map).ok();
    let inner = tab("inner").replace("\"metadata\":{\"name\":\"inner\"}", &owned);
    host.kubectl("create -f -").run_with(&inner).ok();
    kubectl("create namespace full").ok();
    let held = tab("held")
        .replace("\"name\":\"held\"", "\"name\":\"held\",\"finalizers\":[\"example.com/hold\"]");
    host.kubectl("create -n full -f -").run_with(&held).ok();
    kubectl("delete namespace full --wait=false").ok();
    kubectl("delete ct one").ok();
    until("what it owned is gone", || {
        kubectl("get configmap,ct -o name").ok().lines().all(|line| !line.ends_with("/owned"))
    });
    until("the namespace waits for its object", || {
        kubectl("get namespace full -o jsonpath={.status.conditions}")
            .ok()
            .contains("crontabs.stable.example.com")
    });
    kubectl("patch ct held -n full --type=merge -p {\"metadata\":{\"finalizers\":null}}").ok();
    until("the namespace is gone", || !kubectl("get namespaces").ok().contains("full"));

    // And the definition takes along all of its objects.
    host.kubectl("create -f -").run_with(&tab("last")).ok();
    kubectl("delete crd crontabs.stable.example.com").ok();
    let none = kubectl("get ct").fails(1);
    // kubectl remembers for a while which kinds there are.
    let words = ["doesn't have a resource type", "could not find the requested resource"];
    assert!(words.iter().any(|word| none.contains(word)), "{none}");
    host.kubectl("apply -f -").run_with(DEFINITION).ok();
    kubectl("wait --for=condition=established crd/crontabs.stable.example.com --timeout=10s").ok();
    assert_eq!(kubectl("get crontabs -o name").ok(), "");
}
