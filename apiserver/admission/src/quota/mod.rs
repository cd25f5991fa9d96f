//! ResourceQuota: what a namespace may use in all.
//!
//! Knows: which quotas an object counts in, what it uses of them, and when that is too much. Refuses to know: how what is
//! used comes to be stored, and when it is counted anew.

mod usage;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use leme_meta::Status;
use leme_meta::quantity::Quantity;
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

use crate::resources::{self, Amounts};
use crate::{PlugIn, Seen, resizes_pod};
use usage::Evaluator;

/// The quotas.
pub const QUOTAS: Seen = Seen { group: "", version: "v1", plural: "resourcequotas" };

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "ResourceQuota",
    about: is_counted,
    sees: &[QUOTAS],
    validate: |asked, new, old, facts| {
        let Some(new) = new else { return Ok(()) };
        charged(asked, new, old, &facts.list(&QUOTAS, asked.namespace)?).map(drop)
    },
    ..PlugIn::NONE
};

/// Whether a write can change what is used of a quota.
fn is_counted(asked: &Asked) -> bool {
    let core = asked.kind.group.is_empty();
    let plural = &*asked.kind.plural;
    let is_event = plural == "events" && (core || asked.kind.group == "events.k8s.io");
    resizes_pod(asked)
        || !asked.namespace.is_empty()
            && asked.subresource.is_empty()
            && match asked.operation {
                Operation::Create => !is_event,
                Operation::Update => {
                    core && matches!(plural, "services" | "persistentvolumeclaims")
                }
                Operation::Delete => false,
            }
}

/// What each quota of a namespace is used to once a write is carried out, by its place in the list; quotas of which
/// nothing more is used are left out. Refuses what a quota does not allow.
pub fn charged(
    asked: &Asked,
    new: &Value,
    old: Option<&Value>,
    quotas: &[impl Borrow<Value>],
) -> Result<BTreeMap<usize, Value>, Status> {
    if quotas.is_empty() {
        return Ok(BTreeMap::new());
    }
    let evaluator = Evaluator::of(&asked.kind.group, &asked.kind.plural);
    let mut interesting = Vec::new();
    for (index, quota) in quotas.iter().enumerate() {
        let quota = quota.borrow();
        let names = evaluator.matching(&hard(quota));
        if names.is_empty() || !evaluator.in_scopes(quota, new) {
            continue;
        }
        let name = json::text(quota, &["metadata", "name"]);
        evaluator
            .constraints(&names, new)
            .map_err(|why| asked.forbidden(&format!("failed quota: {name}: {why}")))?;
        let used = used(quota);
        if names.iter().any(|name| !used.contains_key(name)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let names = names.join(",");
            return Err(
                asked.forbidden(&format!("status unknown for quota: {name}, resources: {names}"))
            );
        }
        interesting.push((index, quota));
    }
    if interesting.is_empty() {
        return Ok(BTreeMap::new());
    }
    let whole = evaluator.usage(new, None);
    let negative: Vec<&str> = whole
        .iter()
        .filter(|(_, amount)| amount.is_negative())
        .map(|(name, _)| name.as_str())
        .collect();
    if !negative.is_empty() {
        return Err(asked.forbidden(&format!(
            "quota usage is negative for resource(s): {}",
            negative.join(",")
        )));
    }
    let mut charged = BTreeMap::new();
    for (index, quota) in interesting {
        let mut delta = whole.clone();
        if let Some(old) = old.filter(|old| evaluator.in_scopes(quota, old)) {
            subtract(&mut delta, &evaluator.usage(old, None));
        }
        let hard = hard(quota);
        delta.retain(|name, amount| !amount.is_zero() && hard.contains_key(name));
        if !delta.is_empty() {
            charged.insert(index, used_with(asked, quota, &hard, &delta)?);
        }
    }
    Ok(charged)
}

/// Takes amounts away; what does not exceed them is left out.
fn subtract(from: &mut Amounts, less: &Amounts) {
    for (name, amount) in less {
        let left = from.get(name).and_then(|now| now.checked_sub(amount));
        match left.filter(|left| !left.is_negative()) {
            Some(left) => from.insert(name.clone(), left),
            None => from.remove(name),
        };
    }
}

/// What a quota is used to with so much more, unless that is too much.
fn used_with(
    asked: &Asked,
    quota: &Value,
    hard: &Amounts,
    delta: &Amounts,
) -> Result<Value, Status> {
    let used = used(quota);
    let mut sum = used.clone();
    resources::add(&mut sum, delta);
    let exceeded: BTreeSet<&str> =
        delta.keys().filter(|name| sum.get(*name) > hard.get(*name)).map(String::as_str).collect();
    if exceeded.is_empty() {
        return Ok(resources::written(&sum));
    }
    let shown = |amounts: &Amounts| {
        let some = amounts.iter().filter(|(name, _)| exceeded.contains(name.as_str()));
        some.map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
    };
    Err(asked.forbidden(&format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        json::text(quota, &["metadata", "name"]),
        shown(delta),
        shown(&used),
        shown(hard)
    )))
}

/// What a quota limits: what its status says, for only that has been counted.
fn hard(quota: &Value) -> Amounts {
    resources::amounts(json::at(quota, &["status", "hard"]))
}

fn used(quota: &Value) -> Amounts {
    resources::amounts(json::at(quota, &["status", "used"]))
}

/// Objects that a count needs: all of a resource in the namespace, or only how many there are.
pub trait Census {
    /// The objects of a resource.
    fn objects(&self, group: &str, plural: &str) -> Vec<Value>;
    /// How many there are.
    fn count(&self, group: &str, plural: &str) -> usize;
}

/// The resources whose objects count in a quota, as group and plural.
pub fn resources_of(quota: &Value) -> BTreeSet<(String, String)> {
    let names = json::entries(quota, &["spec", "hard"]);
    names.filter_map(|(name, _)| usage::resource_of(name)).collect()
}

/// Whether the status of a quota is of its spec, and says what is used of all that is counted.
pub fn is_observed(quota: &Value) -> bool {
    let used = used(quota);
    let spec = resources::amounts(json::at(quota, &["spec", "hard"]));
    spec == hard(quota)
        && spec.keys().all(|name| usage::resource_of(name).is_none() || used.contains_key(name))
}

/// The status of a quota as of now.
pub fn counted(quota: &Value, census: &dyn Census, now: jiff::Timestamp) -> Value {
    let hard = resources::amounts(json::at(quota, &["spec", "hard"]));
    let mut used = Amounts::new();
    for (group, plural) in resources_of(quota) {
        let evaluator = Evaluator::of(&group, &plural);
        let names = evaluator.matching(&hard);
        let mut sum: Amounts =
            names.iter().map(|name| (name.clone(), Quantity::from_units(0))).collect();
        if evaluator.is_plain_count() {
            let counts = !has_scopes(quota);
            let count = if counts { census.count(&group, &plural) } else { 0 };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            for amount in sum.values_mut() {
                *amount = Quantity::from_units(count);
            }
        } else {
            for object in census.objects(&group, &plural) {
                if evaluator.in_scopes(quota, &object) {
                    resources::add(&mut sum, &evaluator.usage(&object, Some(now)));
                }
            }
        }
        sum.retain(|name, _| names.contains(name));
        used.extend(sum);
    }
    serde_json::json!({ "hard": resources::written(&hard), "used": resources::written(&used) })
}

fn has_scopes(quota: &Value) -> bool {
    !json::list(quota, &["spec", "scopes"]).is_empty()
        || !json::list(quota, &["spec", "scopeSelector", "matchExpressions"]).is_empty()
}
