//! The cluster's own registry: what is pushed there with an account's token runs, where it may.

use std::fs;

use leme_live::{Host, leme, tool, until};

const HOST: &str = "image-registry.openshift-image-registry.svc:5000";

fn pod(namespace: &str, name: &str, policy: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  containers:\n  \
         - {{name: c, image: \"{HOST}/shop/app:v1\", imagePullPolicy: {policy}}}\n"
    )
}

fn waiting(host: &Host, pod: &str) -> (String, String) {
    let of = |field: &str| {
        let path = format!("{{.status.containerStatuses[0].state.waiting.{field}}}");
        host.kubectl(&format!("get pod -n other {pod} -o jsonpath={path}")).run().ok()
    };
    (of("reason"), of("message"))
}

#[test]
fn what_an_account_pushes_runs_where_it_may() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    let data = host.data();
    let kubectl = |words: &str| host.kubectl(words).run().ok();
    for words in [
        "create namespace shop",
        "create namespace other",
        "create serviceaccount pusher -n shop",
        "create rolebinding push -n shop --clusterrole=system:image-builder --serviceaccount=shop:pusher",
        "create rolebinding pull -n shop --clusterrole=system:image-puller --group=system:serviceaccounts:shop",
    ] {
        kubectl(words);
    }
    let token = kubectl("create token pusher -n shop");
    let logins = host.folder().join("logins.json");
    let image = |words: &str| {
        let words = format!("image {words} --data-dir {}", data.display());
        host.program(leme()).words(&words).arg("--authfile").arg(&logins)
    };
    fs::write(&logins, "{}").unwrap();
    let sample = "leme/sample:latest";
    let refused = image(&format!("push {sample} {HOST}/shop/app:v1")).run().fails(1);
    assert!(refused.contains("401"), "{refused}");
    let wrong = image(&format!("login {HOST} -u x --password-stdin")).run_with("wrong").fails(1);
    assert!(wrong.contains("401"), "{wrong}");
    image(&format!("login {HOST} -u x --password-stdin")).run_with(&token).ok();
    let pushed = image(&format!("push {sample} {HOST}/shop/app:v1")).run().ok();
    assert!(pushed.contains("sha256:"), "{pushed}");
    let denied = image(&format!("push {sample} {HOST}/other/app:v1")).run().fails(1);
    assert!(denied.contains("403"), "{denied}");

    // The push made the stream, which says where it is, and an image that its tag means.
    let repository =
        kubectl("get imagestream -n shop app -o jsonpath={.status.dockerImageRepository}");
    assert_eq!(repository, format!("{HOST}/shop/app"));
    let digest = kubectl("get imagestreamtag -n shop app:v1 -o jsonpath={.image.metadata.name}");
    assert!(pushed.contains(&digest), "{pushed} {digest}");

    // It runs in its project, by its account, and nowhere else, whatever is on the node already.
    host.kubectl("apply -f -").run_with(&pod("shop", "one", "IfNotPresent")).ok();
    kubectl("wait -n shop --for=condition=Ready pod/one --timeout=60s");
    let id = kubectl("get pod -n shop one -o jsonpath={.status.containerStatuses[0].imageID}");
    assert_eq!(id, format!("{HOST}/shop/app@{digest}"));
    for (name, policy, reasons) in [
        ("absent", "IfNotPresent", ["ErrImagePull", "ImagePullBackOff"]),
        ("never", "Never", ["ErrImageNeverPull", "ErrImageNeverPull"]),
    ] {
        host.kubectl("apply -f -").run_with(&pod("other", name, policy)).ok();
        until("it is refused", || reasons.contains(&&*waiting(&host, name).0));
    }
    assert!(waiting(&host, "absent").1.contains("may not pull from shop/app"));
    kubectl(
        "create rolebinding theirs -n shop --clusterrole=system:image-puller --group=system:serviceaccounts:other",
    );
    host.kubectl("apply -f -").run_with(&pod("other", "may", "IfNotPresent")).ok();
    kubectl("wait -n other --for=condition=Ready pod/may --timeout=60s");
    host.kubectl("apply -f -").run_with(&pod("other", "too", "Never")).ok();
    kubectl("wait -n other --for=condition=Ready pod/too --timeout=60s");

    // The Service leads there, and its certificate is the cluster's.
    let service =
        "get service -n openshift-image-registry image-registry -o jsonpath={.spec.clusterIP}";
    let address = kubectl(service);
    let asked = || {
        host.program(tool("curl", "curl"))
            .words("-s -o /dev/null -w %{http_code} --cacert")
            .arg(data.join("pki/ca.crt"))
            .arg("--resolve")
            .arg(format!("{HOST}:{address}"))
            .arg(format!("https://{HOST}/v2/"))
            .run()
    };
    until("the Service is reached", || asked().stdout.trim() == "401");

    host.leme("down --purge").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}
