//! PodSecurity: a namespace says by its labels how much of the host its pods may have.
//!
//! Knows: which writes are held against the labels, who is exempt, what is only warned of. Refuses to know: what the
//! levels mean.

mod baseline;
mod checks;
mod level;
mod restricted;

use std::collections::BTreeMap;

use leme_meta::{Status, quote};
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

pub use checks::Pod;
#[cfg(test)]
pub(crate) use checks::{details, violations};
pub use level::{Level, LevelVersion, Policy, Version};

use crate::lifecycle::NAMESPACES;
use crate::{Facts, PlugIn, Seen, changes_pod};

const PODS: Seen = Seen { group: "", version: "v1", plural: "pods" };
/// So many pods of a namespace are looked at when more is asked of it.
const MOST_PODS: usize = 3000;

/// What a cluster asks of pods besides the labels of their namespaces, and of whom nothing is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is asked where labels are silent.
    pub defaults: Policy,
    /// Namespaces of which nothing is asked.
    pub namespaces: Vec<String>,
    /// Users of whom nothing is asked.
    pub users: Vec<String>,
    /// Classes of runtime whose pods may do everything.
    pub runtime_classes: Vec<String>,
}

impl Settings {
    /// Nothing is asked but what labels say, and nobody is exempt.
    pub const NONE: Settings = Settings {
        defaults: Policy::NONE,
        namespaces: Vec::new(),
        users: Vec::new(),
        runtime_classes: Vec::new(),
    };

    fn is_exempt(&self, asked: &Asked) -> bool {
        let user = asked.user.map_or("", |user| user.name);
        let among =
            |all: &[String], one: &str| !one.is_empty() && all.iter().any(|other| other == one);
        among(&self.namespaces, asked.namespace) || among(&self.users, user)
    }

    fn is_exempt_pod(&self, pod: &Pod) -> bool {
        let class = json::text(pod.spec, &["runtimeClassName"]);
        !class.is_empty() && self.runtime_classes.iter().any(|one| one == class)
    }
}

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "PodSecurity",
    about: |asked| is_of_namespaces(asked) || changes_pod(asked) || template(asked).is_some(),
    sees: &[NAMESPACES, PODS],
    validate: |asked, new, old, facts| {
        let Some(new) = new else { return Ok(()) };
        if is_of_namespaces(asked) {
            return labels(asked, new, old, &facts.settings().pod_security);
        }
        if changes_pod(asked) {
            return enforce(asked, new, old, facts);
        }
        Ok(())
    },
    warn: |asked, new, old, facts| {
        if is_of_namespaces(asked) {
            return of_namespace(asked, new, old, facts);
        }
        let of = match template(asked) {
            Some(path) => json::at(new, path).map(Pod::of),
            None => is_significant(new, old).then(|| Pod::of(new)),
        };
        of.and_then(|pod| warning(asked, &pod, facts)).into_iter().collect()
    },
    ..PlugIn::NONE
};

/// Where the kinds that make pods keep what these shall be.
const TEMPLATES: [(&str, &str, &[&str]); 8] = [
    ("", "podtemplates", &["template"]),
    ("", "replicationcontrollers", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
];

fn template(asked: &Asked) -> Option<&'static [&'static str]> {
    let of = TEMPLATES.iter().find(|(group, plural, _)| asked.is_of(group, plural));
    of.filter(|_| asked.operation != Operation::Delete).map(|(_, _, path)| *path)
}

fn is_of_namespaces(asked: &Asked) -> bool {
    asked.operation != Operation::Delete && asked.is_of("", "namespaces")
}

/// What is asked of the pods of a namespace.
fn policy(asked: &Asked, facts: &dyn Facts) -> Result<Policy, Status> {
    let namespace = facts.get(&NAMESPACES, "", asked.namespace)?.ok_or_else(|| {
        Status::internal(format!("failed to lookup namespace {}", quote(asked.namespace)))
    })?;
    Ok(Policy::of(&namespace, facts.settings().pod_security.defaults).0)
}

/// Whether a write makes something else of a pod: it is new, gets other images or more containers.
fn is_significant(new: &Value, old: Option<&Value>) -> bool {
    let Some(old) = old else { return true };
    let list = |pod, field| json::list(pod, &["spec", field]);
    let image = |container| json::text(container, &["image"]);
    let differs = |field| {
        let (new, old) = (list(new, field), list(old, field));
        new.len() != old.len() || new.iter().zip(old).any(|(new, old)| image(new) != image(old))
    };
    let before = json::first_by_name(list(old, "ephemeralContainers"));
    let is_other =
        |new| before.get(json::text(new, &["name"])).is_none_or(|old| image(old) != image(new));
    differs("containers")
        || differs("initContainers")
        || list(new, "ephemeralContainers").iter().any(is_other)
}

/// Refuses a pod that has more of the host than its namespace allows.
fn enforce(
    asked: &Asked,
    new: &Value,
    old: Option<&Value>,
    facts: &dyn Facts,
) -> Result<(), Status> {
    let (settings, pod) = (&facts.settings().pod_security, Pod::of(new));
    if settings.is_exempt(asked) {
        return Ok(());
    }
    let asks = policy(asked, facts)?.enforce;
    if asks.level == Level::Privileged || !is_significant(new, old) || settings.is_exempt_pod(&pod)
    {
        return Ok(());
    }
    let found = checks::violations(asks, &pod);
    if found.is_empty() {
        return Ok(());
    }
    let why =
        format!("violates PodSecurity {}: {}", quote(&asks.to_string()), checks::details(&found));
    Err(asked.forbidden(&why))
}

/// What whoever writes a pod, or what makes pods, is warned of.
fn warning(asked: &Asked, pod: &Pod, facts: &dyn Facts) -> Option<String> {
    let settings = &facts.settings().pod_security;
    if settings.is_exempt(asked) || settings.is_exempt_pod(pod) {
        return None;
    }
    let asks = policy(asked, facts).ok()?.warn;
    let found = checks::violations(asks, pod);
    let said = || {
        format!(
            "would violate PodSecurity {}: {}",
            quote(&asks.to_string()),
            checks::details(&found)
        )
    };
    (!found.is_empty()).then(said)
}

/// Refuses labels that cannot be read, but where they could not be read before.
fn labels(
    asked: &Asked,
    new: &Value,
    old: Option<&Value>,
    settings: &Settings,
) -> Result<(), Status> {
    let (_, wrong) = Policy::of(new, settings.defaults);
    let before = old.map(|old| Policy::of(old, settings.defaults).1);
    let texts = |errors: &[leme_meta::FieldError]| -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    };
    if wrong.is_empty() || before.is_some_and(|before| texts(&before) == texts(&wrong)) {
        return Ok(());
    }
    Err(Status::invalid(&asked.kind.gvk(), asked.name, &wrong))
}

/// What of the pods that are there is not as a namespace asks from now on.
fn of_namespace(asked: &Asked, new: &Value, old: Option<&Value>, facts: &dyn Facts) -> Vec<String> {
    let settings = &facts.settings().pod_security;
    let policy = Policy::of(new, settings.defaults).0;
    let (name, asks) = (json::text(new, &["metadata", "name"]), policy.enforce);
    let is_exempt = settings.namespaces.iter().any(|one| one == name);
    if let Some(old) = old {
        let before = Policy::of(old, settings.defaults).0.enforce;
        let is_relaxed = asks.version == before.version && asks.level <= before.level;
        if asks == before || asks.level == Level::Privileged || is_relaxed {
            return Vec::new();
        }
        if !is_exempt {
            return of_pods(name, asks, facts);
        }
    }
    match is_exempt && asked.subresource.is_empty() {
        true => ignored(name, new, &policy, settings).into_iter().collect(),
        false => Vec::new(),
    }
}

/// What an exempt namespace asks in vain.
fn ignored(name: &str, namespace: &Value, policy: &Policy, settings: &Settings) -> Option<String> {
    let same = |one: LevelVersion, other: LevelVersion| {
        one == other || (one.level, other.level) == (Level::Privileged, Level::Privileged)
    };
    let Policy { enforce, audit, warn } = settings.defaults;
    let modes = [
        ("enforce", policy.enforce, enforce),
        ("audit", policy.audit, audit),
        ("warn", policy.warn, warn),
    ];
    if modes.iter().all(|(_, one, other)| same(*one, *other))
        || modes.iter().all(|(_, one, _)| one.level == Level::Privileged)
    {
        return None;
    }
    let says = |mode: &str| {
        ["", "-version"].iter().any(|end| {
            let label = format!("pod-security.kubernetes.io/{mode}{end}");
            json::at(namespace, &["metadata", "labels", &label]).is_some()
        })
    };
    let said: Vec<String> = modes
        .iter()
        .filter(|(mode, one, _)| one.level != Level::Privileged && says(mode))
        .map(|(mode, one, _)| format!("{mode}={one}"))
        .collect();
    Some(format!(
        "namespace {} is exempt from Pod Security, and the policy ({}) will be ignored",
        quote(name),
        said.join(", ")
    ))
}

/// What of the pods that are there is not as it is asked from now on, of so many pods as one looks at.
fn of_pods(namespace: &str, asks: LevelVersion, facts: &dyn Facts) -> Vec<String> {
    let Ok((pods, total)) = facts.some(&PODS, namespace, MOST_PODS) else {
        return vec!["failed to list pods while checking new PodSecurity enforce level".to_owned()];
    };
    // By what is wrong: the first pod, and how many.
    let mut found: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    for object in &pods {
        let pod = Pod::of(object);
        if facts.settings().pod_security.is_exempt_pod(&pod) {
            continue;
        }
        let wrong = checks::violations(asks, &pod);
        if wrong.is_empty() {
            continue;
        }
        let name = json::text(object, &["metadata", "name"]);
        let (first, count) = found.entry(checks::reasons(&wrong)).or_insert((name, 0));
        *first = name.min(first);
        *count += 1;
    }
    let mut said = Vec::new();
    if pods.len() < total {
        said.push(format!(
            "new PodSecurity enforce level only checked against the first {} of {total} existing pods",
            pods.len()
        ));
    }
    if !found.is_empty() {
        said.push(format!(
            "existing pods in namespace {} violate the new PodSecurity enforce level {}",
            quote(namespace),
            quote(&asks.to_string())
        ));
    }
    let mut of_each: Vec<String> = found
        .into_iter()
        .map(|(why, (first, count))| match count {
            1 => format!("{first}: {why}"),
            2 => format!("{first} (and 1 other pod): {why}"),
            _ => format!("{first} (and {} other pods): {why}", count - 1),
        })
        .collect();
    of_each.sort();
    said.extend(of_each);
    said
}
