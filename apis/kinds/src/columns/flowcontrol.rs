//! Columns of flowcontrol.apiserver.k8s.io.

use serde_json::Value;

use super::{AGE, NONE, int, list, shown, text, text_or};
use crate::Column;

pub(crate) const FLOW_SCHEMA: &[Column] = &[
    shown("PriorityLevel", |schema, _| {
        text(schema, "/spec/priorityLevelConfiguration/name").into()
    }),
    shown("MatchingPrecedence", |schema, _| int(schema, "/spec/matchingPrecedence").into()),
    shown("DistinguisherMethod", |schema, _| {
        text_or(schema, "/spec/distinguisherMethod/type", NONE).into()
    }),
    AGE,
    shown("MissingPL", |schema, _| {
        let mut conditions = list(schema, "/status/conditions").iter();
        let dangling = conditions.find(|condition| text(condition, "/type") == "Dangling");
        dangling.map_or("?", |condition| text(condition, "/status")).into()
    }),
];

pub(crate) const PRIORITY_LEVEL: &[Column] = &[
    shown("Type", |level, _| text(level, "/spec/type").into()),
    shown("NominalConcurrencyShares", |level, _| {
        number(level, "/spec/limited", "/nominalConcurrencyShares")
    }),
    shown("Queues", |level, _| number(level, QUEUING, "/queues")),
    shown("HandSize", |level, _| number(level, QUEUING, "/handSize")),
    shown("QueueLengthLimit", |level, _| number(level, QUEUING, "/queueLengthLimit")),
    AGE,
];

const QUEUING: &str = "/spec/limited/limitResponse/queuing";

/// A number of a part that need not be there.
fn number(level: &Value, part: &str, pointer: &str) -> Value {
    match level.pointer(part) {
        Some(part @ Value::Object(_)) => int(part, pointer).into(),
        _ => NONE.into(),
    }
}
