//! Amounts of resources by name: what containers and pods ask for, and sums of it.
//!
//! Knows: how the parts of a pod add up. Refuses to know: limits of any kind.

use std::collections::BTreeMap;

use leme_meta::quantity::Quantity;
use leme_registry::json;
use serde_json::{Map, Value};

/// Amounts by the name of the resource.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// A quantity from JSON: text, or a bare number.
pub(crate) fn parse(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// The amounts of a map; what is no quantity is left out.
pub(crate) fn amounts(map: Option<&Value>) -> Amounts {
    let entries = json::entries(map.unwrap_or(&Value::Null), &[]);
    entries.filter_map(|(name, value)| Some((name.to_owned(), parse(value)?))).collect()
}

/// Amounts as they are written.
pub(crate) fn written(amounts: &Amounts) -> Value {
    let entries = amounts.iter().map(|(name, amount)| (name.clone(), amount.to_string().into()));
    Value::Object(entries.collect::<Map<String, Value>>())
}

/// Whether two maps say the same.
pub(crate) fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    amounts(one) == amounts(other)
}

/// Adds amounts; what is beyond every bound stays at what it was.
pub(crate) fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = match to.get(name) {
            Some(known) => known.checked_add(amount).unwrap_or(*known),
            None => *amount,
        };
        to.insert(name.clone(), sum);
    }
}

/// Takes the greater amount of each.
fn raise(to: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        if to.get(name).is_none_or(|known| amount > known) {
            to.insert(name.clone(), *amount);
        }
    }
}

/// Whether a pod as a whole may ask for it.
pub(crate) fn is_of_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// What a pod asks for in one of `requests` and `limits`, its overhead left aside: the sum of its containers or what its
/// start needs at most, whichever is more, unless the pod as a whole says.
pub(crate) fn of_pod(spec: &Value, which: &str) -> Amounts {
    let of = |container: &Value| amounts(json::at(container, &["resources", which]));
    let mut running = Amounts::new();
    for container in json::list(spec, &["containers"]) {
        add(&mut running, &of(container));
    }
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in json::list(spec, &["initContainers"]) {
        let mut need = of(container);
        if json::text(container, &["restartPolicy"]) == "Always" {
            add(&mut running, &need);
            add(&mut sidecars, &need);
            need = sidecars.clone();
        } else {
            add(&mut need, &sidecars);
        }
        raise(&mut starting, &need);
    }
    raise(&mut running, &starting);
    for (name, amount) in amounts(json::at(spec, &["resources", which])) {
        if is_of_pods(&name) {
            running.insert(name, amount);
        }
    }
    running
}
