//! Default classes, finalizers of volumes, claims that grow, taints of new nodes.

use super::*;

fn storage(name: &str, created: &str, is_default: bool) -> Value {
    let mark = if is_default { "true" } else { "false" };
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "p",
        "metadata": { "name": name, "creationTimestamp": created,
            "annotations": { "storageclass.kubernetes.io/is-default-class": mark } },
    })
}

fn claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "c", "namespace": "ns" },
        "spec": { "resources": { "requests": { "storage": "1Gi" } } },
    })
}

#[test]
fn a_claim_without_class_gets_the_youngest_default() {
    let known = [
        storage("old", "2026-01-01T00:00:00Z", true),
        storage("b", "2026-01-02T00:00:00Z", true),
        storage("a", "2026-01-02T00:00:00Z", true),
        storage("none", "2026-01-03T00:00:00Z", false),
    ];
    let class = |known: &[Value], claim: &Value| {
        create(known, claim).expect("admitted")["spec"]["storageClassName"].clone()
    };
    assert_eq!(class(&known, &claim()), "a");
    assert_eq!(class(&known[3..], &claim()), Value::Null);
    let mut own = claim();
    own["spec"]["storageClassName"] = "".into();
    assert_eq!(class(&known, &own), "");
    let mut own = claim();
    own["metadata"]["annotations"] = json!({ "volume.beta.kubernetes.io/storage-class": "x" });
    assert_eq!(class(&known, &own), Value::Null);
}

#[test]
fn an_ingress_without_class_gets_the_default() {
    let default = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": { "name": "front", "annotations": { "ingressclass.kubernetes.io/is-default-class": "true" } },
    });
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "i" }, "spec": {},
    });
    let new = create(std::slice::from_ref(&default), &ingress).expect("admitted");
    assert_eq!(new["spec"]["ingressClassName"], "front");
    let mut old = ingress;
    old["metadata"]["annotations"] = json!({ "kubernetes.io/ingress.class": "x" });
    let new = create(&[default], &old).expect("admitted");
    assert_eq!(new["spec"], json!({}));
}

#[test]
fn claims_and_volumes_are_kept_while_they_are_in_use() {
    let new = create(&[], &claim()).expect("admitted");
    assert_eq!(new["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    assert_eq!(create(&[], &new), Ok(new.clone()));
    let volume = json!({ "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": { "name": "v", "finalizers": ["x/y"] } });
    let new = create(&[], &volume).expect("admitted");
    assert_eq!(new["metadata"]["finalizers"], json!(["x/y", "kubernetes.io/pv-protection"]));
}

#[test]
fn a_claim_grows_where_its_class_allows_it() {
    let mut growing = storage("growing", "2026-01-01T00:00:00Z", false);
    growing["allowVolumeExpansion"] = true.into();
    let known = [growing, storage("fixed", "2026-01-01T00:00:00Z", false)];
    let chain = Chain::new(Objects::of(&known), &[]);
    let resize = |class: &str, phase: &str, size: &str| {
        let mut old = claim();
        old["spec"]["storageClassName"] = class.into();
        old["status"] = json!({ "phase": phase });
        let mut new = old.clone();
        new["spec"]["resources"]["requests"]["storage"] = size.into();
        let done = chain.validate(&asked(Operation::Update, &old), Some(&new), Some(&old));
        done.map_err(|status| status.message)
    };
    let refused = |why: &str| Err(format!("persistentvolumeclaims \"c\" is forbidden: {why}"));
    let fixed = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    assert_eq!(resize("growing", "Bound", "2Gi"), Ok(()));
    assert_eq!(resize("fixed", "Bound", "1Gi"), Ok(()));
    assert_eq!(resize("fixed", "Bound", "2Gi"), refused(fixed));
    assert_eq!(resize("", "Bound", "2Gi"), refused(fixed));
    let pending = refused("Only bound persistent volume claims can be expanded");
    assert_eq!(resize("growing", "Pending", "2Gi"), pending);
}

#[test]
fn a_new_node_takes_no_pods_yet() {
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" } });
    let new = create(&[], &node).expect("admitted");
    let taint = json!({ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" });
    assert_eq!(new["spec"]["taints"], json!([taint]));
    assert_eq!(create(&[], &new), Ok(new.clone()));
}
