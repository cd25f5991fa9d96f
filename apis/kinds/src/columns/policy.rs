//! Columns of budgets for disruptions.

use serde_json::Value;

use super::{AGE, int, number, shown};
use crate::Column;

pub(crate) const POD_DISRUPTION_BUDGET: &[Column] = &[
    shown("Min Available", |budget, _| limit(budget, "/spec/minAvailable").into()),
    shown("Max Unavailable", |budget, _| limit(budget, "/spec/maxUnavailable").into()),
    number("Allowed Disruptions", |budget, _| int(budget, "/status/disruptionsAllowed").into()),
    AGE,
];

/// A number or a percentage.
fn limit(budget: &Value, pointer: &str) -> String {
    match budget.pointer(pointer) {
        None | Some(Value::Null) => "N/A".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(number) => number.to_string(),
    }
}
