//! Taints and tolerations: which pods a taint keeps or drives away.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Taint, Toleration};

use crate::common::{after, until};

/// Whether a toleration tolerates a taint.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    match text(&toleration.operator).as_str() {
        "" | "Equal" => text(&toleration.value) == text(&taint.value),
        "Exists" => true,
        _ => false,
    }
}

/// The first of the taints with such an effect that no toleration tolerates.
pub fn untolerated<'a>(
    taints: &'a [Taint],
    tolerations: &[Toleration],
    effects: &[&str],
) -> Option<&'a Taint> {
    let mut counting = taints.iter().filter(|taint| effects.contains(&taint.effect.as_str()));
    counting.find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// When a pod has to leave a node for its NoExecute taints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It may stay.
    Never,
    /// After this long.
    In(Duration),
}

/// When a pod with these tolerations has to leave a node with these taints.
pub fn leave(tolerations: &[Toleration], taints: &[Taint], now: Timestamp) -> Leave {
    let mut leave = Leave::Never;
    for taint in taints.iter().filter(|taint| taint.effect == "NoExecute") {
        let matching: Vec<&Toleration> =
            tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if matching.is_empty() {
            return Leave::In(Duration::ZERO);
        }
        let Some(seconds) = matching.iter().filter_map(|one| one.toleration_seconds).min() else {
            continue;
        };
        let since = taint.time_added.as_ref().map_or(now, |time| time.0);
        let left = until(after(since, seconds.max(0)), now);
        leave = match leave {
            Leave::In(known) => Leave::In(known.min(left)),
            Leave::Never => Leave::In(left),
        };
    }
    leave
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn check(tolerations: serde_json::Value, expected: Leave) {
        let tolerations: Vec<Toleration> = serde_json::from_value(tolerations).unwrap();
        let taint = Taint {
            key: "lost".to_owned(),
            effect: "NoExecute".to_owned(),
            time_added: Some(Time(Timestamp::UNIX_EPOCH)),
            value: None,
        };
        let now = after(Timestamp::UNIX_EPOCH, 100);
        assert_eq!(leave(&tolerations, &[taint], now), expected);
    }

    #[test]
    fn the_shortest_toleration_counts_and_none_is_at_once() {
        use serde_json::json;
        check(json!([]), Leave::In(Duration::ZERO));
        check(json!([{"operator": "Exists"}]), Leave::Never);
        check(
            json!([{"key": "lost", "operator": "Exists", "tolerationSeconds": 300}]),
            Leave::In(Duration::from_secs(200)),
        );
        check(
            json!([{"operator": "Exists"}, {"key": "lost", "operator": "Exists", "tolerationSeconds": 30}]),
            Leave::In(Duration::ZERO),
        );
        check(
            json!([{"key": "lost", "effect": "NoSchedule", "operator": "Exists"}]),
            Leave::In(Duration::ZERO),
        );
    }
}
