//! ServiceAccount: every pod acts as one that is there.
//!
//! Knows: which account a pod that says none gets, and what of the account it gets with it. Refuses to know: tokens; no
//! volume with one is added, for no node can fill it.

use std::collections::HashSet;

use std::sync::Arc;

use leme_meta::{Status, quote};
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

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
};

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
