//! What pods ask for, and how amounts are written and compared.
//!
//! Knows: what a pod says as a whole. Refuses to know: limits of any kind.

pub(crate) use leme_registry::amounts::{Amounts, add, amounts, of_containers, parse};
use leme_registry::json;
use serde_json::{Map, Value};

/// Amounts as they are written.
pub(crate) fn written(amounts: &Amounts) -> Value {
    let entries = amounts.iter().map(|(name, amount)| (name.clone(), amount.to_string().into()));
    Value::Object(entries.collect::<Map<String, Value>>())
}

/// Whether two maps say the same.
pub(crate) fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    amounts(one) == amounts(other)
}

/// Whether a pod as a whole may ask for it.
pub(crate) fn is_of_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// What a pod asks for in one of `requests` and `limits`, its overhead left aside: the sum of its containers or what its
/// start needs at most, whichever is more, unless the pod as a whole says.
pub(crate) fn of_pod(spec: &Value, which: &str) -> Amounts {
    let mut running = of_containers(spec, which);
    for (name, amount) in amounts(json::at(spec, &["resources", which])) {
        if is_of_pods(&name) {
            running.insert(name, amount);
        }
    }
    running
}
