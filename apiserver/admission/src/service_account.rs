//! ServiceAccount: every pod acts as one that is there.
//!
//! Knows: which account a pod that says none gets, and what of the account it gets with it: where its token is. Refuses to
//! know: tokens.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use leme_meta::{Status, names, quote};
use leme_registry::{Asked, Operation, json, shown_name};
use serde_json::{Value, json};

use crate::{Facts, PlugIn, Seen, creates_pod};

const ACCOUNTS: Seen = Seen { group: "", version: "v1", plural: "serviceaccounts" };
const DEFAULT: &str = "default";
const MIRROR: &str = "kubernetes.io/config.mirror";
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "ServiceAccount",
    about: |asked| creates_pod(asked) || adds_containers(asked),
    sees: &[ACCOUNTS],
    awaits: |asked, pod| {
        // A controller makes it in every new namespace.
        let of_default =
            creates_pod(asked) && !is_mirror(pod) && matches!(named(pod), "" | DEFAULT);
        of_default.then_some((ACCOUNTS, DEFAULT))
    },
    mutate: |asked, pod, _, facts| {
        if !creates_pod(asked) {
            return Ok(());
        }
        if is_mirror(pod) {
            return of_mirror(asked, pod);
        }
        let name = match named(pod) {
            "" => DEFAULT.to_owned(),
            name => name.to_owned(),
        };
        let spec = json::child(pod, "spec");
        json::set(spec, "serviceAccountName", name.as_str());
        json::set(spec, "serviceAccount", name.as_str());
        let account = account(asked, &name, facts)?;
        let secrets = json::list(&account, &["imagePullSecrets"]);
        if json::list(spec, &["imagePullSecrets"]).is_empty() && !secrets.is_empty() {
            json::set(spec, "imagePullSecrets", secrets.to_vec());
        }
        if automounts(spec, &account) {
            let seed = [asked.namespace, shown_name(asked.name, pod)].join("/");
            mount_token(json::child(pod, "spec"), &seed);
        }
        Ok(())
    },
    validate: |asked, pod, _, facts| {
        let Some(pod) = pod else { return Ok(()) };
        if creates_pod(asked) && is_mirror(pod) {
            return of_mirror(asked, pod);
        }
        let account = account(asked, named(pod), facts)?;
        let enforced = match json::text(&account, &["metadata", "annotations", ENFORCE]) {
            "1" | "t" | "T" | "true" | "TRUE" | "True" if creates_pod(asked) => {
                mountable(pod, &account)
            }
            "1" | "t" | "T" | "true" | "TRUE" | "True" => {
                of_containers(pod, &["ephemeralContainers"], &mounts(&account))
            }
            _ => Ok(()),
        };
        enforced.map_err(|why| asked.forbidden(&why))
    },
    ..PlugIn::NONE
};

/// Where a pod finds its token, the authority of the API, and its namespace.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the volume with them is called, before something by chance.
const TOKEN_VOLUME: &str = "kube-api-access-";
/// How long the token is good, in seconds: an hour, and what it takes to notice.
const TOKEN_LIFE: i64 = 3607;

/// Whether a pod gets a token: it may say so itself, or its account does.
fn automounts(spec: &Value, account: &Value) -> bool {
    let said = |of: &Value| of.get("automountServiceAccountToken").and_then(Value::as_bool);
    said(spec).or_else(|| said(account)).unwrap_or(true)
}

/// Five letters for a name, by chance as far as people can tell.
fn letters(seed: &str) -> String {
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    let mut number = hasher.finish();
    let letters = names::SUFFIX_ALPHABET;
    let count = letters.len() as u64;
    let next = |_| {
        let letter = letters[(number % count) as usize];
        number /= count;
        char::from(letter)
    };
    (0..5).map(next).collect()
}

/// Gives every container the token that has nothing of its own in that place.
fn mount_token(spec: &mut Value, seed: &str) {
    let volumes = json::list(spec, &["volumes"]);
    let own = volumes.iter().map(|volume| json::text(volume, &["name"]));
    let own = own.filter(|name| name.starts_with(TOKEN_VOLUME)).map(str::to_owned).next();
    let name = own.clone().unwrap_or_else(|| format!("{TOKEN_VOLUME}{}", letters(seed)));
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        let Some(containers) = spec.get_mut(list).and_then(Value::as_array_mut) else { continue };
        for container in containers {
            let mounts = json::list(container, &["volumeMounts"]);
            if mounts.iter().any(|mount| json::text(mount, &["mountPath"]) == TOKEN_PATH) {
                continue;
            }
            let mut mounts = mounts.to_vec();
            mounts.push(json!({ "name": name, "readOnly": true, "mountPath": TOKEN_PATH }));
            json::set(container, "volumeMounts", mounts);
            needed = true;
        }
    }
    if needed && own.is_none() {
        let mut volumes = json::list(spec, &["volumes"]).to_vec();
        volumes.push(json!({ "name": name, "projected": { "defaultMode": 0o644, "sources": [
            { "serviceAccountToken": { "expirationSeconds": TOKEN_LIFE, "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt",
                "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            { "downwardAPI": { "items": [{ "path": "namespace",
                "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } }] } },
        ] } }));
        json::set(spec, "volumes", volumes);
    }
}

/// Whether a write adds containers to a pod that runs.
fn adds_containers(asked: &Asked) -> bool {
    asked.operation == Operation::Update && asked.is_below("", "pods", "ephemeralcontainers")
}

fn is_mirror(pod: &Value) -> bool {
    json::at(pod, &["metadata", "annotations", MIRROR]).is_some()
}

fn named(pod: &Value) -> &str {
    json::text(pod, &["spec", "serviceAccountName"])
}

fn account(asked: &Asked, name: &str, facts: &dyn Facts) -> Result<Arc<Value>, Status> {
    facts.get(&ACCOUNTS, asked.namespace, name)?.ok_or_else(|| {
        asked.forbidden(&format!(
            "error looking up service account {}/{name}: serviceaccount {} not found",
            asked.namespace,
            quote(name)
        ))
    })
}

/// A pod that only shows what a node runs by itself may use nothing of the cluster.
fn of_mirror(asked: &Asked, pod: &Value) -> Result<(), Status> {
    let refuse = |what: &str| Err(asked.forbidden(&format!("a mirror pod may not {what}")));
    if !named(pod).is_empty() {
        return refuse("reference service accounts");
    }
    if uses_secrets(pod) {
        return refuse("reference secrets");
    }
    let sources = json::list(pod, &["spec", "volumes"])
        .iter()
        .flat_map(|volume| json::list(volume, &["projected", "sources"]));
    if sources.into_iter().any(|source| json::at(source, &["serviceAccountToken"]).is_some()) {
        return refuse("use ServiceAccountToken volume projections");
    }
    Ok(())
}

/// Where sources of volumes name a Secret.
const VOLUME_SECRETS: &[&[&str]] = &[
    &["secret"],
    &["azureFile", "secretName"],
    &["cephfs", "secretRef"],
    &["cinder", "secretRef"],
    &["flexVolume", "secretRef"],
    &["rbd", "secretRef"],
    &["scaleIO", "secretRef"],
    &["iscsi", "secretRef"],
    &["storageos", "secretRef"],
    &["csi", "nodePublishSecretRef"],
];

fn uses_secrets(pod: &Value) -> bool {
    let of_volume = |volume: &Value| {
        VOLUME_SECRETS.iter().any(|path| json::at(volume, path).is_some())
            || json::list(volume, &["projected", "sources"])
                .iter()
                .any(|source| json::at(source, &["secret"]).is_some())
    };
    let of_container = |container: &Value| {
        let env = json::list(container, &["env"]).iter();
        let from = json::list(container, &["envFrom"]).iter();
        env.clone().any(|one| json::at(one, &["valueFrom", "secretKeyRef"]).is_some())
            || from.clone().any(|one| json::at(one, &["secretRef"]).is_some())
    };
    let containers = ["initContainers", "containers", "ephemeralContainers"];
    !json::list(pod, &["spec", "imagePullSecrets"]).is_empty()
        || containers.iter().flat_map(|field| json::list(pod, &["spec", field])).any(of_container)
        || json::list(pod, &["spec", "volumes"]).iter().any(of_volume)
}

fn names<'a>(object: &'a Value, field: &str) -> HashSet<&'a str> {
    json::list(object, &[field]).iter().map(|one| json::text(one, &["name"])).collect()
}

/// Says of a Secret, and of what uses it, why an account does not allow that.
fn mounts(account: &Value) -> impl Fn(&str, &str) -> Result<(), String> {
    let name = json::text(account, &["metadata", "name"]);
    let secrets = names(account, "secrets");
    move |secret, what| match secrets.contains(secret) {
        true => Ok(()),
        false => Err(format!(
            "{what} secret.secretName=\"{secret}\" is not allowed because service account {name} does not reference that secret"
        )),
    }
}

/// The same of all that containers of some lists use.
fn of_containers(
    pod: &Value,
    lists: &[&str],
    unless: &dyn Fn(&str, &str) -> Result<(), String>,
) -> Result<(), String> {
    let words = [
        ("initContainers", "init container"),
        ("containers", "container"),
        ("ephemeralContainers", "ephemeral container"),
    ];
    for (field, word) in words.into_iter().filter(|(field, _)| lists.contains(field)) {
        for container in json::list(pod, &["spec", field]) {
            let this = json::text(container, &["name"]);
            for env in json::list(container, &["env"]) {
                if let Some(key) = json::at(env, &["valueFrom", "secretKeyRef"]) {
                    let variable = json::text(env, &["name"]);
                    let what = format!("{word} {this} with envVar {variable} referencing");
                    unless(json::text(key, &["name"]), &what)?;
                }
            }
            for from in json::list(container, &["envFrom"]) {
                if let Some(secret) = json::at(from, &["secretRef"]) {
                    let what = format!("{word} {this} with envFrom referencing");
                    unless(json::text(secret, &["name"]), &what)?;
                }
            }
        }
    }
    Ok(())
}

/// Why a pod uses a Secret that its account, which says so, does not allow.
fn mountable(pod: &Value, account: &Value) -> Result<(), String> {
    let name = json::text(account, &["metadata", "name"]);
    let unless = mounts(account);
    for volume in json::list(pod, &["spec", "volumes"]) {
        if json::at(volume, &["secret"]).is_some() {
            unless(json::text(volume, &["secret", "secretName"]), "volume with")?;
        }
    }
    of_containers(pod, &["initContainers", "containers"], &unless)?;
    let pulled = names(account, "imagePullSecrets");
    for (index, secret) in json::list(pod, &["spec", "imagePullSecrets"]).iter().enumerate() {
        let secret = json::text(secret, &["name"]);
        if !pulled.contains(secret) {
            return Err(format!(
                "imagePullSecrets[{index}].name=\"{secret}\" is not allowed because service account {name} does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}
