//! The pod of a build, in OpenShift's shape: what fetches the input, what completes the Dockerfile, what builds.
//!
//! Knows: containers, what they are given, where secrets and ConfigMaps are mounted. Refuses to know: what the builder does.
//! The pod has users of its own, and the builder's image has on each node what building needs and nothing of that node.

use serde_json::{Value, json};

use super::run::Observed;
use super::{Build, OF_BUILD, list, text};
use crate::hashes::{fnv1a, letters};

/// Where constraints are enforced these let the builder be the root of its own users; it asks for nothing else of them.
const CONSTRAINTS: &str = "openshift.io/required-scc";
/// The variable that tells the node whose cache the builder has: it goes with the namespace, not with its name.
const CACHE: &str = "LEME_BUILD_CACHE";
/// The image that every node has.
pub const IMAGE: &str = "leme.io/builder:latest";
/// Where the input is, shared by the containers.
pub const WORK: &str = "/tmp/build";
/// How long a build may take that does not say it, in seconds: a week.
const DEADLINE: i64 = 604_800;
/// Where secrets of a kind are mounted.
pub const SOURCE_SECRET: &str = "/var/run/secrets/openshift.io/source";
/// Credentials to push with.
pub const PUSH_SECRET: &str = "/var/run/secrets/openshift.io/push";
/// Credentials to pull with.
pub const PULL_SECRET: &str = "/var/run/secrets/openshift.io/pull";
/// Credentials to pull an image with whose content is input; a number follows.
pub const IMAGE_SECRETS: &str = "/var/run/secrets/openshift.io/source-image";
/// Secrets of the account, each by its name: those of them that hold credentials for registries are tried last.
pub const ACCOUNT_SECRETS: &str = "/var/run/secrets/openshift.io/account";
/// Secrets that are input, each by its name.
pub const INPUT_SECRETS: &str = "/var/run/secrets/openshift.io/build";
/// ConfigMaps that are input, each by its name.
pub const INPUT_MAPS: &str = "/var/run/configs/openshift.io/build";
/// Volumes that the user's steps see, each by its name.
pub const VOLUMES: &str = "/var/run/openshift.io/volumes";
/// Variables whose values come from elsewhere, each with its number in the strategy's list.
pub const VALUE: &str = "BUILD_VALUE_";
/// Variables of the strategy that the builder itself has.
const TRUSTED: [&str; 11] = [
    "BUILD_LOGLEVEL",
    "GIT_SSL_NO_VERIFY",
    "GIT_LFS_SKIP_SMUDGE",
    "LANG",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SOURCE_DATE_EPOCH",
];

/// Volumes, where a container has them, and the variables that say so.
#[derive(Default)]
struct Mounts {
    volumes: Vec<Value>,
    mounts: Vec<Value>,
    env: Vec<Value>,
}

impl Mounts {
    fn add(&mut self, name: &str, path: &str, source: (&str, Value)) {
        let name = volume_name(name);
        if !self.volumes.iter().any(|one| one["name"] == name.as_str()) {
            self.volumes.push(json!({ "name": name, source.0: source.1 }));
        }
        self.mounts.push(json!({ "name": name, "mountPath": path, "readOnly": true }));
    }

    /// A secret, if one is named; the variable is not set if it has no name.
    fn secret(&mut self, of: Option<&Value>, suffix: &str, path: &str, variable: &str) {
        let name = of.map_or("", |of| text(of, "/name"));
        if name.is_empty() {
            return;
        }
        let source = json!({ "secretName": name, "defaultMode": 0o600 });
        self.add(&format!("{name}-{suffix}"), path, ("secret", source));
        if !variable.is_empty() {
            self.env.push(json!({ "name": variable, "value": path }));
        }
    }

    /// What an account has; what is gone by then is not waited for.
    fn of_account(&mut self, names: &[String]) {
        for name in names {
            let source = json!({ "secretName": name, "defaultMode": 0o600, "optional": true });
            let path = format!("{ACCOUNT_SECRETS}/{name}");
            self.add(&format!("{name}-account"), &path, ("secret", source));
        }
    }
}

/// A name of an object as one of a volume: a label, told apart by a number where it has to be cut.
fn volume_name(name: &str) -> String {
    let plain: String = name.replace('.', "-");
    if plain.len() <= 63 {
        return plain;
    }
    let digest = letters(fnv1a(plain.bytes()));
    let head: String = plain.chars().take(62 - digest.len()).collect();
    format!("{head}-{digest}")
}

fn variable(name: &str, value: impl Into<Value>) -> Value {
    json!({ "name": name, "value": value.into() })
}

/// The pod of a build whose images are `whole`'s, and whose account has some secrets.
pub(super) fn made(build: &Build, whole: &Value, seen: &Observed) -> Value {
    let secrets = &seen.secrets;
    let (field, strategy) = build.strategy().unwrap_or(("dockerStrategy", &Value::Null));
    let mut env = environment(build, whole, field, strategy);
    env.push(variable(CACHE, seen.namespace.as_str()));
    let mut shape =
        Shape { whole, env, volumes: vec![json!({ "name": "buildworkdir", "emptyDir": {} })] };
    let mut mounts = main_mounts(whole, field, strategy);
    mounts.of_account(secrets);
    let (name, step) = match field {
        "sourceStrategy" => ("sti-build", "sti-build"),
        "customStrategy" => ("custom-build", ""),
        _ => ("docker-build", "docker-build"),
    };
    let mut init = Vec::new();
    if field != "customStrategy" {
        init = shape.before(build, secrets);
    }
    let mut main = shape.container(name, step, mounts);
    if field == "customStrategy" {
        main["image"] = text(whole, "/spec/strategy/customStrategy/from/name").into();
        main.as_object_mut().map(|main| main.remove("command"));
        let always = strategy.get("forcePull").and_then(Value::as_bool) == Some(true);
        main["imagePullPolicy"] = if always { "Always" } else { "IfNotPresent" }.into();
    }
    let spec = whole.pointer("/spec").unwrap_or(&Value::Null);
    let mut pod_spec = json!({
        "serviceAccountName": build.account(),
        "hostUsers": false,
        "restartPolicy": "Never",
        "activeDeadlineSeconds":
            spec.get("completionDeadlineSeconds").and_then(Value::as_i64).unwrap_or(DEADLINE),
        "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
        "initContainers": init, "containers": [main], "volumes": shape.volumes,
    });
    if let Some(selector) = spec.get("nodeSelector").filter(|one| one.is_object()) {
        pod_spec["nodeSelector"] = selector.clone();
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": build.pod_name(), "namespace": build.namespace(),
            "labels": { OF_BUILD: label(build.name()) }, "annotations": { OF_BUILD: build.name(), CONSTRAINTS: "privileged" },
            "ownerReferences": [{
                "apiVersion": "build.openshift.io/v1", "kind": "Build", "name": build.name(),
                "uid": build.metadata.uid, "controller": true,
            }],
        },
        "spec": pod_spec,
    })
}

/// A name as the value of a label.
fn label(name: &str) -> &str {
    let end = name.char_indices().nth(63).map_or(name.len(), |(at, _)| at);
    name[..end].trim_end_matches(['-', '.', '_'])
}

struct Shape<'a> {
    whole: &'a Value,
    env: Vec<Value>,
    volumes: Vec<Value>,
}

impl Shape<'_> {
    fn container(&mut self, name: &str, step: &str, given: Mounts) -> Value {
        let mut mounts = vec![json!({ "name": "buildworkdir", "mountPath": WORK })];
        mounts.extend(given.mounts);
        for volume in given.volumes {
            if !self.volumes.iter().any(|known| known["name"] == volume["name"]) {
                self.volumes.push(volume);
            }
        }
        let env: Vec<Value> = self.env.iter().cloned().chain(given.env).collect();
        let mut made = json!({
            "name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent",
            "command": ["/leme", "builder", step], "env": env, "volumeMounts": mounts,
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
            },
        });
        if let Some(resources) = self.whole.pointer("/spec/resources").filter(|one| one.is_object())
        {
            made["resources"] = resources.clone();
        }
        made
    }

    /// What comes before the build itself.
    fn before(&mut self, build: &Build, secrets: &[String]) -> Vec<Value> {
        let mut init = Vec::new();
        let source = self.whole.pointer("/spec/source").cloned().unwrap_or_default();
        let has = |field: &str| source.get(field).is_some_and(|one| !one.is_null());
        if has("git") || has("binary") {
            let mut mounts = Mounts::default();
            let secret = source.get("sourceSecret");
            mounts.secret(secret, "source", SOURCE_SECRET, "SOURCE_SECRET_PATH");
            let mut clone = self.container("git-clone", "git-clone", mounts);
            if build.is_binary() {
                clone["stdin"] = true.into();
                clone["stdinOnce"] = true.into();
            }
            init.push(clone);
        }
        let images = list(&source, "/images");
        if !images.is_empty() {
            let mut mounts = Mounts::default();
            for (number, image) in images.iter().enumerate() {
                let (suffix, path) =
                    (format!("source-image{number}"), format!("{IMAGE_SECRETS}/{number}"));
                let variable = format!("PULL_SOURCE_DOCKERCFG_PATH_{number}");
                mounts.secret(image.get("pullSecret"), &suffix, &path, &variable);
            }
            let strategy = self.whole.pointer("/spec/strategy");
            let fields = ["dockerStrategy", "sourceStrategy"];
            let pull = fields.iter().find_map(|field| strategy?.get(field)?.get("pullSecret"));
            mounts.secret(pull, "pull", PULL_SECRET, "PULL_DOCKERCFG_PATH");
            mounts.of_account(secrets);
            init.push(self.container("extract-image-content", "extract-image-content", mounts));
        }
        init.push(self.container("manage-dockerfile", "manage-dockerfile", Mounts::default()));
        init
    }
}

/// What the container that builds is given: credentials, and secrets and ConfigMaps that are input.
fn main_mounts(whole: &Value, field: &str, strategy: &Value) -> Mounts {
    let mut mounts = Mounts::default();
    let push = whole.pointer("/spec/output/pushSecret");
    mounts.secret(push, "push", PUSH_SECRET, "PUSH_DOCKERCFG_PATH");
    mounts.secret(strategy.get("pullSecret"), "pull", PULL_SECRET, "PULL_DOCKERCFG_PATH");
    if field == "customStrategy" {
        for one in list(strategy, "/secrets") {
            mounts.secret(one.get("secretSource"), "secret", text(one, "/mountPath"), "");
        }
        let source = whole.pointer("/spec/source/sourceSecret");
        mounts.secret(source, "source", SOURCE_SECRET, "SOURCE_SECRET_PATH");
        return mounts;
    }
    for one in list(whole, "/spec/source/secrets") {
        let path = format!("{INPUT_SECRETS}/{}", text(one, "/secret/name"));
        mounts.secret(one.get("secret"), "build", &path, "");
    }
    for one in list(whole, "/spec/source/configMaps") {
        let name = text(one, "/configMap/name");
        let source = ("configMap", json!({ "name": name, "defaultMode": 0o600 }));
        mounts.add(&format!("{name}-build"), &format!("{INPUT_MAPS}/{name}"), source);
    }
    for one in list(strategy, "/volumes") {
        let name = text(one, "/name");
        let source = match text(one, "/source/type") {
            "Secret" => ("secret", one.pointer("/source/secret")),
            "ConfigMap" => ("configMap", one.pointer("/source/configMap")),
            _ => ("csi", one.pointer("/source/csi")),
        };
        let source = (source.0, source.1.cloned().unwrap_or_default());
        mounts.add(&format!("{name}-user-build-volume"), &format!("{VOLUMES}/{name}"), source);
    }
    mounts
}

/// The variables of every container.
fn environment(build: &Build, whole: &Value, field: &str, strategy: &Value) -> Vec<Value> {
    let mut shown = whole.clone();
    shown["kind"] = "Build".into();
    shown["apiVersion"] = "build.openshift.io/v1".into();
    let own = list(strategy, "/env");
    // The values of fields are known here, those of secrets and ConfigMaps only where the pod runs.
    let resolved: Vec<Value> = own.iter().map(|one| of_field(build, one)).collect();
    if let Some(strategy) = shown.pointer_mut(&format!("/spec/strategy/{field}"))
        && !resolved.is_empty()
    {
        strategy["env"] = resolved.clone().into();
    }
    let mut env = vec![variable("BUILD", shown.to_string()), variable("LANG", "C.utf8")];
    let source = whole.pointer("/spec/source").unwrap_or(&Value::Null);
    for (name, pointer) in [
        ("SOURCE_REPOSITORY", "/git/uri"),
        ("SOURCE_URI", "/git/uri"),
        ("SOURCE_CONTEXT_DIR", "/contextDir"),
        ("SOURCE_REF", "/git/ref"),
    ] {
        if !text(source, pointer).is_empty() {
            env.push(variable(name, text(source, pointer)));
        }
    }
    let custom = field == "customStrategy";
    if custom {
        let (registry, image) = output(text(whole, "/spec/output/to/name"));
        env.push(variable("OUTPUT_REGISTRY", registry));
        env.push(variable("OUTPUT_IMAGE", image));
    }
    for (number, one) in resolved.iter().enumerate() {
        let name = text(one, "/name");
        if custom || (TRUSTED.contains(&name) && one.get("valueFrom").is_none()) {
            env.retain(|known| known["name"] != name);
            env.push(one.clone());
        } else if let Some(from) = one.get("valueFrom") {
            env.push(json!({ "name": format!("{VALUE}{number}"), "valueFrom": from }));
        }
    }
    env
}

/// A variable with the value of the build's field that it names, if it names one.
fn of_field(build: &Build, variable: &Value) -> Value {
    let path = text(variable, "/valueFrom/fieldRef/fieldPath");
    if path.is_empty() {
        return variable.clone();
    }
    let (whole, key) = match path.split_once("['").map(|(head, key)| (head, key.strip_suffix("']")))
    {
        Some((head, key)) => (head, key),
        None => (path, None),
    };
    let pointer = format!("/{}", whole.replace('.', "/"));
    let found = build.whole.pointer(&pointer);
    let found = key.map_or(found, |key| found.and_then(|map| map.get(key)));
    let value = match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    json!({ "name": variable["name"], "value": value })
}

/// An image's registry and the rest of its name.
fn output(image: &str) -> (&str, &str) {
    match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("", image),
    }
}
