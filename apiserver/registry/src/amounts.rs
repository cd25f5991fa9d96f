//! Amounts of resources by name, and sums of what the containers of a pod ask for.
//!
//! Knows: how the parts of a pod add up. Refuses to know: limits of any kind, and what a pod says as a whole.

use std::collections::BTreeMap;

use leme_meta::quantity::Quantity;
use serde_json::Value;

use crate::json;

/// Amounts by the name of the resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// A quantity from JSON: text, or a bare number.
pub fn parse(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// The amounts of a map; what is no quantity is left out.
pub fn amounts(map: Option<&Value>) -> Amounts {
    let entries = json::entries(map.unwrap_or(&Value::Null), &[]);
    entries.filter_map(|(name, value)| Some((name.to_owned(), parse(value)?))).collect()
}

/// Adds amounts; what is beyond every bound stays at what it was.
pub fn add(to: &mut Amounts, more: &Amounts) {
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

/// What the containers of a pod ask for together in one of `requests` and `limits`: the sum of those that run beside each
/// other, or what its start needs at most, whichever is more.
pub fn of_containers(spec: &Value, which: &str) -> Amounts {
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
    running
}
