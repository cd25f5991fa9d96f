//! Images from a registry: Debian's, with a password, for pods and by hand.

use std::fs;
use std::path::PathBuf;

use leme_live::{Host, Program, sample_image, tool, until};
use serde_json::Value;

/// `let-in:let-me-in`, as htpasswd has it.
const PASSWORDS: &str = "let-in:$2y$05$abcdefghijklmnopqrstuu3Jd./u/rH1RxB6auX5v7gLP6uWhKCgG\n";
const REGISTRY: &str = "127.0.0.1:5000";

/// Debian's registry inside the host, which lets one user in.
fn registry(host: &mut Host) {
    let folder = host.folder().join("registry");
    fs::create_dir_all(folder.join("data")).unwrap();
    fs::write(folder.join("passwords"), PASSWORDS).unwrap();
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {0}/data}}}}\n\
         http: {{addr: \"{REGISTRY}\"}}\nauth: {{htpasswd: {{realm: test, path: {0}/passwords}}}}\n",
        folder.display()
    );
    fs::write(folder.join("config.yml"), config).unwrap();
    let program = host.program(tool("docker-registry", "docker-registry"));
    let child = program.arg("serve").arg(folder.join("config.yml")).spawn();
    host.keep(child);
    until("the registry answers", || {
        curl(host).arg(format!("http://{REGISTRY}/v2/")).run().code == 0
    });
}

fn curl(host: &Host) -> Program {
    host.program(tool("curl", "curl")).words("-sSf -u let-in:let-me-in")
}

/// Puts the sample's image into the registry, under a name of two parts and a tag.
fn push(host: &Host, name: &str, tag: &str) {
    let layout = host.folder().join("layout");
    fs::create_dir_all(&layout).unwrap();
    host.program(tool("tar", "tar"))
        .arg("-xf")
        .arg(sample_image())
        .arg("-C")
        .arg(&layout)
        .run()
        .ok();
    let blob =
        |digest: &str| layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    let read = |path: PathBuf| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let manifest = text(&read(layout.join("index.json"))["manifests"][0]["digest"]);
    let described = read(blob(&manifest));
    let layers = described["layers"].as_array().unwrap();
    for one in layers.iter().chain([&described["config"]]) {
        let digest = text(&one["digest"]);
        let begun = curl(host).words("-X POST -D - -o /dev/null");
        let begun = begun.arg(format!("http://{REGISTRY}/v2/{name}/blobs/uploads/")).run().ok();
        let to = begun.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap().trim();
        let put = curl(host).words("-X PUT -H content-type:application/octet-stream --data-binary");
        put.arg(format!("@{}", blob(&digest).display()))
            .arg(format!("{to}&digest={digest}"))
            .run()
            .ok();
    }
    let put = curl(host)
        .words("-X PUT -H content-type:application/vnd.oci.image.manifest.v1+json --data-binary");
    let put = put.arg(format!("@{}", blob(&manifest).display()));
    put.arg(format!("http://{REGISTRY}/v2/{name}/manifests/{tag}")).run().ok();
}

fn pod(name: &str, image: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  {more}\n  containers:\n  - {{name: c, image: {image}}}\n"
    )
}

fn waiting(host: &Host, pod: &str) -> (String, String) {
    let of = |field: &str| {
        let path = format!("{{.status.containerStatuses[0].state.waiting.{field}}}");
        host.kubectl(&format!("get pod {pod} -o jsonpath={path}")).run().ok()
    };
    (of("reason"), of("message"))
}

#[test]
fn pods_have_their_images_pulled_from_a_registry() {
    let mut host = Host::new();
    registry(&mut host);
    push(&host, "team/app", "v1");
    host.up("").ok();
    let image = format!("{REGISTRY}/team/app:v1");

    // Nobody may have it who does not say who they are.
    host.kubectl("apply -f -").run_with(&pod("stranger", &image, "restartPolicy: Always")).ok();
    until("it is refused", || {
        matches!(&*waiting(&host, "stranger").0, "ErrImagePull" | "ImagePullBackOff")
    });
    let why = waiting(&host, "stranger").1;
    assert!(why.contains("401 Unauthorized") && why.contains("authentication required"), "{why}");

    let login = format!(
        "create secret docker-registry pull --docker-server={REGISTRY} --docker-username=let-in --docker-password=let-me-in"
    );
    host.kubectl(&login).run().ok();
    let known = pod("known", &image, "imagePullSecrets: [{name: pull}]");
    host.kubectl("apply -f -").run_with(&known).ok();
    host.kubectl("wait --for=condition=Ready pod/known --timeout=60s").run().ok();
    let id =
        host.kubectl("get pod known -o jsonpath={.status.containerStatuses[0].imageID}").run().ok();
    assert!(id.starts_with(&format!("{REGISTRY}/team/app@sha256:")), "{id}");
    let events =
        "get events --field-selector involvedObject.name=known -o jsonpath={.items[*].message}";
    until("the pull is told", || {
        let told = host.kubectl(events).run().ok();
        told.contains(&format!("Pulling image \"{image}\""))
            && told.contains(&format!("Successfully pulled image \"{image}\" in "))
    });
    // Red when what one may have is everybody's once it is on the node.
    host.kubectl("delete pod stranger --timeout=30s").run().ok();
    host.kubectl("apply -f -").run_with(&pod("stranger", &image, "restartPolicy: Always")).ok();
    until("it is refused again", || waiting(&host, "stranger").1.contains("401 Unauthorized"));
    let never = format!("run never --image {image} --image-pull-policy Never");
    host.kubectl(&never).run().ok();
    until("Never is no way around", || waiting(&host, "never").0 == "ErrImageNeverPull");
    let again = pod("again", &image, "imagePullSecrets: [{name: pull}]");
    host.kubectl("apply -f -").run_with(&again).ok();
    host.kubectl("wait --for=condition=Ready pod/again --timeout=60s").run().ok();

    // One that is asked for and not there, and a pod that is deleted while it waits.
    let absent = format!("{REGISTRY}/team/app:v2");
    let gone = pod("gone", &absent, "imagePullSecrets: [{name: pull}]");
    host.kubectl("apply -f -").run_with(&gone).ok();
    until("it is missed", || waiting(&host, "gone").1.contains("manifest unknown"));
    host.kubectl("delete pod gone --timeout=30s").run().ok();
    host.kubectl("apply -f -")
        .run_with(&pod("odd", "No:Name:At/All", "restartPolicy: Always"))
        .ok();
    until("its name is none", || waiting(&host, "odd").0 == "InvalidImageName");

    host.leme("down --purge").run().ok();
    let mut left = host.leftovers();
    // It is the test's own, and ends with the host.
    left.retain(|one| !one.contains("/docker-registry serve "));
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn images_are_pulled_by_hand() {
    let mut host = Host::new();
    registry(&mut host);
    push(&host, "team/app", "v1");
    let image = format!("{REGISTRY}/team/app:v1");
    let data = host.data().display().to_string();
    let pull = |more: &str| {
        host.program(leme_live::leme())
            .words(&format!("image pull {image} --data-dir {data} {more}"))
            .run()
    };
    let refused = pull("").fails(1);
    assert!(
        refused.contains("401 Unauthorized") && refused.trim().lines().count() == 1,
        "{refused}"
    );
    assert!(!host.data().exists(), "nothing stays of it");
    let logins = host.folder().join("logins.yaml");
    let text = format!(
        "configs:\n  \"{REGISTRY}\":\n    auth: {{username: let-in, password: let-me-in}}\n"
    );
    fs::write(&logins, text).unwrap();
    let option = format!("--private-registry {}", logins.display());
    assert!(pull(&option).ok().starts_with("pulled "));
    assert!(pull(&option).ok().contains("it was there"));
    let listed =
        host.program(leme_live::leme()).words(&format!("image ls --data-dir {data}")).run().ok();
    assert!(listed.contains(&image), "{listed}");
}
