//! LimitRanger: containers, pods and claims within the bounds of their namespace, and with its defaults.
//!
//! Knows: what a LimitRange says. Refuses to know: whether it contradicts itself.

use leme_meta::Status;
use leme_meta::quantity::Quantity;
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

use crate::resources::{self, Amounts};
use crate::{Facts, PlugIn, Seen, creates_pod, resizes_pod};

const RANGES: Seen = Seen { group: "", version: "v1", plural: "limitranges" };
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "LimitRanger",
    about: |asked| {
        let writes = asked.operation != Operation::Delete;
        creates_pod(asked)
            || resizes_pod(asked)
            || writes && asked.is_of("", "persistentvolumeclaims")
    },
    sees: &[RANGES],
    mutate: |asked, object, _, facts| {
        if creates_pod(asked) {
            for range in facts.list(&RANGES, asked.namespace)? {
                fill(object, &range);
            }
        }
        Ok(())
    },
    validate,
    ..PlugIn::NONE
};

fn validate(
    asked: &Asked,
    new: Option<&Value>,
    old: Option<&Value>,
    facts: &dyn Facts,
) -> Result<(), Status> {
    let pod = creates_pod(asked) || resizes_pod(asked);
    let going = |old: &Value| json::at(old, &["metadata", "deletionTimestamp"]).is_some();
    let Some(new) = new.filter(|_| !old.is_some_and(going)) else { return Ok(()) };
    for range in facts.list(&RANGES, asked.namespace)? {
        let mut errors = Vec::new();
        for limit in json::list(&range, &["spec", "limits"]) {
            match json::text(limit, &["type"]) {
                "Container" if pod => of_containers(new, limit, &mut errors),
                "Pod" if pod => of_pod(new, limit, &mut errors),
                "PersistentVolumeClaim" if !pod => {
                    of_claim(new, limit, &mut errors);
                }
                _ => {}
            }
        }
        if let Some(why) = aggregate(errors) {
            return Err(asked.forbidden(&why));
        }
    }
    Ok(())
}

/// Several errors as one, each said once.
fn aggregate(errors: Vec<String>) -> Option<String> {
    let mut said: Vec<String> = Vec::new();
    for error in errors {
        if !said.contains(&error) {
            said.push(error);
        }
    }
    match said.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// The two maps that a container gets, what each is called, and the map of a limit that fills it.
const DEFAULTS: [(&str, &str, &str); 2] =
    [("requests", "request", "defaultRequest"), ("limits", "limit", "default")];

/// Gives the containers of a pod what they do not say, and says so in an annotation.
fn fill(pod: &mut Value, range: &Value) {
    let mut defaults = [Amounts::new(), Amounts::new()];
    let limits = json::list(range, &["spec", "limits"]);
    for limit in limits.iter().filter(|limit| json::text(limit, &["type"]) == "Container") {
        for (into, (_, _, map)) in defaults.iter_mut().zip(DEFAULTS) {
            into.extend(resources::amounts(limit.get(map)));
        }
    }
    let mut told = Vec::new();
    for (field, word) in [("containers", "container"), ("initContainers", "init container")] {
        for container in json::list_mut(pod, &["spec", field]) {
            for ((map, called, _), defaults) in DEFAULTS.iter().zip(&defaults) {
                let known = resources::amounts(json::at(container, &["resources", map]));
                let missing: Amounts = defaults
                    .iter()
                    .filter(|(name, _)| !known.contains_key(*name))
                    .map(|(name, amount)| (name.clone(), *amount))
                    .collect();
                if missing.is_empty() {
                    continue;
                }
                let names: Vec<&str> = missing.keys().map(String::as_str).collect();
                let name = json::text(container, &["name"]);
                told.push(format!("{} {called} for {word} {name}", names.join(", ")));
                let into = json::child(json::child(container, "resources"), map);
                for (name, amount) in &missing {
                    json::set(into, name, amount.to_string());
                }
            }
        }
    }
    if !told.is_empty() {
        let text = format!("LimitRanger plugin set: {}", told.join("; "));
        json::set(json::child(json::child(pod, "metadata"), "annotations"), ANNOTATION, text);
    }
}

/// What of something is held to bounds: its kind as limits call it, what it asks for and what it is limited to.
struct Held<'a> {
    kind: &'a str,
    requests: Amounts,
    limits: Amounts,
}

impl Held<'_> {
    fn check(&self, limit: &Value, errors: &mut Vec<String>) {
        let each = |map: &str| resources::amounts(limit.get(map));
        for (name, bound) in each("min") {
            errors.extend(self.min(&name, &bound));
        }
        for (name, bound) in each("max") {
            errors.extend(self.max(&name, &bound));
        }
        for (name, bound) in each("maxLimitRequestRatio") {
            errors.extend(self.ratio(&name, &bound));
        }
    }

    fn min(&self, name: &str, bound: &Quantity) -> Option<String> {
        let said = format!("minimum {name} usage per {} is {bound}", self.kind);
        let (request, limit) = (self.requests.get(name), self.limits.get(name));
        match (request, limit) {
            (None, _) => Some(format!("{said}.  No request is specified")),
            (Some(request), _) if request < bound => {
                Some(format!("{said}, but request is {request}"))
            }
            (_, Some(limit)) if limit < bound => Some(format!("{said}, but limit is {limit}")),
            _ => None,
        }
    }

    fn max(&self, name: &str, bound: &Quantity) -> Option<String> {
        let said = format!("maximum {name} usage per {} is {bound}", self.kind);
        let (request, limit) = (self.requests.get(name), self.limits.get(name));
        match (limit, request) {
            (None, _) => Some(format!("{said}.  No limit is specified")),
            (Some(limit), _) if limit > bound => Some(format!("{said}, but limit is {limit}")),
            (_, Some(request)) if request > bound => {
                Some(format!("{said}, but request is {request}"))
            }
            _ => None,
        }
    }

    /// Of what has no limits, only what it asks for.
    fn max_request(&self, name: &str, bound: &Quantity) -> Option<String> {
        let said = format!("maximum {name} usage per {} is {bound}", self.kind);
        match self.requests.get(name) {
            None => Some(format!("{said}.  No request is specified")),
            Some(request) if request > bound => Some(format!("{said}, but request is {request}")),
            _ => None,
        }
    }

    fn ratio(&self, name: &str, bound: &Quantity) -> Option<String> {
        let said = format!("{name} max limit to request ratio per {} is {bound}", self.kind);
        let some =
            |amounts: &Amounts| amounts.get(name).copied().filter(|amount| !amount.is_zero());
        let Some(request) = some(&self.requests) else {
            return Some(format!("{said}, but no request is specified or request is 0"));
        };
        let Some(limit) = some(&self.limits) else {
            return Some(format!("{said}, but no limit is specified or limit is 0"));
        };
        let ratio = thousandths(&limit) / thousandths(&request);
        let most = thousandths(bound) / 1000.0;
        (ratio > most).then(|| format!("{said}, but provided ratio is {ratio:.6}"))
    }
}

#[expect(clippy::cast_precision_loss, reason = "upstream compares ratios so as well")]
fn thousandths(amount: &Quantity) -> f64 {
    amount.milli() as f64
}

fn of_containers(pod: &Value, limit: &Value, errors: &mut Vec<String>) {
    for container in
        ["containers", "initContainers"].iter().flat_map(|field| json::list(pod, &["spec", field]))
    {
        let of = |which: &str| resources::amounts(json::at(container, &["resources", which]));
        let held = Held { kind: "Container", requests: of("requests"), limits: of("limits") };
        held.check(limit, errors);
    }
}

fn of_pod(pod: &Value, limit: &Value, errors: &mut Vec<String>) {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let of = |which: &str| resources::of_pod(spec, which);
    let held = Held { kind: "Pod", requests: of("requests"), limits: of("limits") };
    held.check(limit, errors);
}

fn of_claim(claim: &Value, limit: &Value, errors: &mut Vec<String>) {
    let requests = resources::amounts(json::at(claim, &["spec", "resources", "requests"]));
    let held = Held { kind: "PersistentVolumeClaim", requests, limits: Amounts::new() };
    for (name, bound) in resources::amounts(limit.get("min")) {
        errors.extend(held.min(&name, &bound));
    }
    for (name, bound) in resources::amounts(limit.get("max")) {
        errors.extend(held.max_request(&name, &bound));
    }
}
