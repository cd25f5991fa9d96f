//! What each kind of object uses of quotas.
//!
//! Knows: pods, services, claims, and how everything else is counted. Refuses to know: how much there may be.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use leme_meta::quantity::Quantity;
use leme_registry::json;
use serde_json::Value;

use crate::resources::{self, Amounts};
use crate::volumes::class;

/// What pods use by these names.
const OF_PODS: [&str; 11] = [
    "count/pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];
/// What every container has to say where a quota limits it.
const REQUIRED: [&str; 6] =
    ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const OF_SERVICES: [&str; 4] =
    ["count/services", "services", "services.nodeports", "services.loadbalancers"];
const OF_CLAIMS: [&str; 3] =
    ["count/persistentvolumeclaims", "persistentvolumeclaims", "requests.storage"];
/// Ends of the names of what claims of one class use.
const OF_CLASS: [&str; 2] = [
    ".storageclass.storage.k8s.io/requests.storage",
    ".storageclass.storage.k8s.io/persistentvolumeclaims",
];
/// Resources that are counted by their own name as well.
const NAMED: [&str; 4] = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];

/// The resource whose objects use what has a name in quotas: group and plural.
pub(super) fn resource_of(name: &str) -> Option<(String, String)> {
    let core = |plural: &str| Some((String::new(), plural.to_owned()));
    if let Some(resource) = name.strip_prefix("count/") {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        return Some((group.to_owned(), plural.to_owned()));
    }
    if NAMED.contains(&name) {
        return core(name);
    }
    let fits = |plural| {
        let evaluator = Evaluator::of("", plural);
        evaluator.matches(name).then(|| core(plural)).flatten()
    };
    ["services", "persistentvolumeclaims", "pods"].into_iter().find_map(fits)
}

/// How the objects of a resource count.
pub(super) enum Evaluator {
    Pods,
    Services,
    Claims,
    /// One each, by these names.
    Count(Vec<String>),
}

impl Evaluator {
    pub(super) fn of(group: &str, plural: &str) -> Evaluator {
        match (group, plural) {
            ("", "pods") => Evaluator::Pods,
            ("", "services") => Evaluator::Services,
            ("", "persistentvolumeclaims") => Evaluator::Claims,
            ("", plural) if NAMED.contains(&plural) => {
                Evaluator::Count(vec![format!("count/{plural}"), plural.to_owned()])
            }
            ("", plural) => Evaluator::Count(vec![format!("count/{plural}")]),
            (group, plural) => Evaluator::Count(vec![format!("count/{plural}.{group}")]),
        }
    }

    pub(super) fn is_plain_count(&self) -> bool {
        matches!(self, Evaluator::Count(_))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Evaluator::Pods => {
                let extended = || name.starts_with("requests.") && is_extended(&name[9..]);
                let huge =
                    || name.starts_with("hugepages-") || name.starts_with("requests.hugepages-");
                OF_PODS.contains(&name) || huge() || extended()
            }
            Evaluator::Services => OF_SERVICES.contains(&name),
            Evaluator::Claims => {
                OF_CLAIMS.contains(&name) || OF_CLASS.iter().any(|end| name.ends_with(end))
            }
            Evaluator::Count(names) => names.iter().any(|known| known == name),
        }
    }

    /// The names among these that its objects use.
    pub(super) fn matching(&self, hard: &Amounts) -> BTreeSet<String> {
        hard.keys().filter(|name| self.matches(name)).cloned().collect()
    }

    /// What an object uses. Without a time it counts as being there.
    pub(super) fn usage(&self, object: &Value, now: Option<Timestamp>) -> Amounts {
        match self {
            Evaluator::Pods => of_pod(object, now),
            Evaluator::Services => of_service(object),
            Evaluator::Claims => of_claim(object),
            Evaluator::Count(names) => {
                names.iter().map(|name| (name.clone(), Quantity::from_units(1))).collect()
            }
        }
    }

    /// What an object has to say and does not.
    pub(super) fn constraints(
        &self,
        names: &BTreeSet<String>,
        object: &Value,
    ) -> Result<(), String> {
        if !matches!(self, Evaluator::Pods) {
            return Ok(());
        }
        // Where the pod as a whole says anything, its containers need not.
        if says_as_a_whole(object.get("spec").unwrap_or(&Value::Null)) {
            return Ok(());
        }
        let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for field in ["containers", "initContainers"] {
            for container in json::list(object, &["spec", field]) {
                let said = requests_and_limits(container);
                for name in names.iter().filter(|name| REQUIRED.contains(&name.as_str())) {
                    if !said.contains_key(name) {
                        missing.entry(name).or_default().insert(json::text(container, &["name"]));
                    }
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let each = missing.iter().map(|(name, of)| {
            let of: Vec<&str> = of.iter().copied().collect();
            format!("{name} for: {}", of.join(","))
        });
        Err(format!("must specify {}", each.collect::<Vec<_>>().join("; ")))
    }

    /// Whether an object is in all scopes of a quota.
    pub(super) fn in_scopes(&self, quota: &Value, object: &Value) -> bool {
        let flags = json::list(quota, &["spec", "scopes"])
            .iter()
            .all(|scope| self.in_scope(scope.as_str().unwrap_or(""), "Exists", &[], object));
        let selectors = json::list(quota, &["spec", "scopeSelector", "matchExpressions"]);
        flags
            && selectors.iter().all(|selector| {
                let values = json::list(selector, &["values"]);
                let [scope, operator] =
                    ["scopeName", "operator"].map(|field| json::text(selector, &[field]));
                self.in_scope(scope, operator, values, object)
            })
    }

    fn in_scope(&self, scope: &str, operator: &str, values: &[Value], object: &Value) -> bool {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        match (self, scope) {
            (Evaluator::Pods, "Terminating") => is_terminating(spec),
            (Evaluator::Pods, "NotTerminating") => !is_terminating(spec),
            (Evaluator::Pods, "BestEffort") => is_best_effort(spec),
            (Evaluator::Pods, "NotBestEffort") => !is_best_effort(spec),
            (Evaluator::Pods, "CrossNamespacePodAffinity") => looks_elsewhere(spec),
            (Evaluator::Pods, "PriorityClass") => {
                selects(operator, values, &[json::text(spec, &["priorityClassName"])])
            }
            (Evaluator::Claims, "VolumeAttributesClass") => {
                let of_status =
                    |path: &[&str]| json::text(object, &[&["status"], path].concat()).to_owned();
                let wanted = json::text(spec, &["volumeAttributesClassName"]);
                let current = of_status(&["currentVolumeAttributesClassName"]);
                let target = of_status(&["modifyVolumeStatus", "targetVolumeAttributesClassName"]);
                selects(operator, values, &[wanted, &current, &target])
            }
            _ => false,
        }
    }
}

/// Whether one of the classes of an object, of which it may have none, is selected.
fn selects(operator: &str, values: &[Value], classes: &[&str]) -> bool {
    let named: Vec<&str> = classes.iter().copied().filter(|class| !class.is_empty()).collect();
    let listed = |class: &&str| values.iter().any(|value| value == class);
    match operator {
        "Exists" => !named.is_empty(),
        "DoesNotExist" => named.is_empty(),
        "In" => named.iter().any(listed),
        "NotIn" => !named.iter().any(listed),
        _ => false,
    }
}

/// Whether a resource is one that somebody besides Kubernetes gives out.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

fn requests_and_limits(of: &Value) -> Amounts {
    let read = |which: &str| resources::amounts(json::at(of, &["resources", which]));
    compute(&read("requests"), &read("limits"))
}

/// What requests and limits come to by the names of quotas.
fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut usage = Amounts::from([("pods".to_owned(), Quantity::from_units(1))]);
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(request) = requests.get(name) {
            usage.insert(name.to_owned(), *request);
            usage.insert(format!("requests.{name}"), *request);
        }
        if let Some(limit) = limits.get(name) {
            usage.insert(format!("limits.{name}"), *limit);
        }
    }
    for (name, request) in requests {
        let huge = name.starts_with("hugepages-");
        if huge {
            usage.insert(name.clone(), *request);
        }
        if huge || is_extended(name) {
            usage.insert(format!("requests.{name}"), *request);
        }
    }
    usage
}

fn of_pod(pod: &Value, now: Option<Timestamp>) -> Amounts {
    let one = Quantity::from_units(1);
    let mut usage = Amounts::from([("count/pods".to_owned(), one)]);
    if now.is_some_and(|now| is_over(pod, now)) {
        return usage;
    }
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let [mut requests, mut limits] =
        ["requests", "limits"].map(|which| resources::of_pod(spec, which));
    let mut overhead = resources::amounts(spec.get("overhead"));
    resources::add(&mut requests, &overhead);
    overhead.retain(|name, _| limits.contains_key(name));
    resources::add(&mut limits, &overhead);
    usage.extend(compute(&requests, &limits));
    usage
}

/// Whether a pod has ended, or should have.
fn is_over(pod: &Value, now: Timestamp) -> bool {
    if matches!(json::text(pod, &["status", "phase"]), "Succeeded" | "Failed") {
        return true;
    }
    let grace = json::int(pod, &["metadata", "deletionGracePeriodSeconds"]);
    let deleted = json::text(pod, &["metadata", "deletionTimestamp"]).parse::<Timestamp>();
    match (grace, deleted) {
        (Some(grace), Ok(deleted)) => {
            deleted.checked_add(SignedDuration::from_secs(grace)).is_ok_and(|due| due < now)
        }
        _ => false,
    }
}

fn is_terminating(spec: &Value) -> bool {
    json::int(spec, &["activeDeadlineSeconds"]).is_some_and(|seconds| seconds >= 0)
}

/// Whether a pod as a whole asks for anything that a pod may ask for.
fn says_as_a_whole(spec: &Value) -> bool {
    ["requests", "limits"].iter().any(|which| {
        json::entries(spec, &["resources", which]).any(|(name, _)| resources::is_of_pods(name))
    })
}

/// Whether nothing in a pod asks for CPU or memory. Of one that asks as a whole, the containers do not count.
fn is_best_effort(spec: &Value) -> bool {
    let asks = |of: &Value| {
        ["requests", "limits"].iter().any(|which| {
            let amounts = resources::amounts(json::at(of, &["resources", which]));
            ["cpu", "memory"].iter().any(|name| {
                amounts.get(*name).is_some_and(|amount| !amount.is_zero() && !amount.is_negative())
            })
        })
    };
    if says_as_a_whole(spec) {
        return !asks(spec);
    }
    let containers = ["containers", "initContainers"];
    !containers.iter().flat_map(|field| json::list(spec, &[field])).any(asks)
}

/// Whether a pod's affinity is about pods of other namespaces.
fn looks_elsewhere(spec: &Value) -> bool {
    let elsewhere = |term: &Value| {
        !json::list(term, &["namespaces"]).is_empty()
            || json::at(term, &["namespaceSelector"]).is_some()
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|which| {
        let of = |field: &str| json::list(spec, &["affinity", which, field]);
        of("requiredDuringSchedulingIgnoredDuringExecution").iter().any(elsewhere)
            || of("preferredDuringSchedulingIgnoredDuringExecution")
                .iter()
                .any(|term| term.get("podAffinityTerm").is_some_and(elsewhere))
    })
}

fn of_service(service: &Value) -> Amounts {
    let ports = json::list(service, &["spec", "ports"]);
    let given = ports.iter().filter(|port| json::int(port, &["nodePort"]).unwrap_or(0) != 0);
    let (ports, given) = (ports.len(), given.count());
    let suppressed = json::at(service, &["spec", "allocateLoadBalancerNodePorts"])
        .is_some_and(|allocate| *allocate == false);
    let (node_ports, balancers) = match json::text(service, &["spec", "type"]) {
        "NodePort" => (ports, 0),
        "LoadBalancer" if suppressed => (given, 1),
        "LoadBalancer" => (ports, 1),
        _ => (0, 0),
    };
    let amount = |count: usize| Quantity::from_units(i64::try_from(count).unwrap_or(i64::MAX));
    Amounts::from([
        ("count/services".to_owned(), amount(1)),
        ("services".to_owned(), amount(1)),
        ("services.nodeports".to_owned(), amount(node_ports)),
        ("services.loadbalancers".to_owned(), amount(balancers)),
    ])
}

fn of_claim(claim: &Value) -> Amounts {
    let one = Quantity::from_units(1);
    let mut usage = Amounts::from([
        ("count/persistentvolumeclaims".to_owned(), one),
        ("persistentvolumeclaims".to_owned(), one),
    ]);
    let class = class(claim);
    let [of_class, in_class] = OF_CLASS.map(|end| format!("{class}{end}"));
    if !class.is_empty() {
        usage.insert(in_class, one);
    }
    let read = |path: &[&str]| json::at(claim, path).and_then(resources::parse);
    let asked = read(&["spec", "resources", "requests", "storage"]);
    let given = read(&["status", "allocatedResources", "storage"]);
    let storage = match (asked, given) {
        (Some(asked), Some(given)) if given > asked => Some(given),
        (asked, _) => asked,
    };
    if let Some(storage) = storage {
        usage.insert("requests.storage".to_owned(), storage);
        if !class.is_empty() {
            usage.insert(of_class, storage);
        }
    }
    usage
}
