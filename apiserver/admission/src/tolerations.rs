//! DefaultTolerationSeconds: a pod stays for a while on a node that is not ready or not reachable, where it does not say.
//!
//! Knows: tolerations, and which of two says more. Refuses to know: taints of any node.

use leme_registry::{Operation, json};
use serde_json::{Value, json};

use crate::PlugIn;

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "DefaultTolerationSeconds",
    about: |asked| asked.operation != Operation::Delete && asked.is_of("", "pods"),
    mutate: |_, pod, _, _| {
        let spec = json::child(pod, "spec");
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            tolerate(spec, key);
        }
        Ok(())
    },
    ..PlugIn::NONE
};

fn tolerate(spec: &mut Value, key: &str) {
    let tolerated = json::list(spec, &["tolerations"]).iter().any(|toleration| {
        let own = json::text(toleration, &["key"]);
        (own.is_empty() || own == key)
            && matches!(json::text(toleration, &["effect"]), "" | "NoExecute")
    });
    if tolerated {
        return;
    }
    let mut list = json::list(spec, &["tolerations"]).to_vec();
    list.push(json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }));
    json::set(spec, "tolerations", list);
}

/// Both lists in order, without what another of them says as well.
pub(crate) fn merged(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (index, one) in all.iter().enumerate() {
        let said = merged.iter().any(|other| covers(other, one))
            || all[index + 1..].iter().any(|other| other != one && covers(other, one));
        if !said {
            merged.push((*one).clone());
        }
    }
    merged
}

/// Whether one toleration tolerates all that another does.
pub(crate) fn covers(wide: &Value, narrow: &Value) -> bool {
    let text = |toleration: &Value, field: &str| json::text(toleration, &[field]).to_owned();
    if wide == narrow {
        return true;
    }
    let (key, operator, effect) = (text(wide, "key"), text(wide, "operator"), text(wide, "effect"));
    if text(narrow, "key") != key && (!key.is_empty() || operator != "Exists") {
        return false;
    }
    if text(narrow, "effect") != effect && !effect.is_empty() {
        return false;
    }
    if effect == "NoExecute"
        && let Some(seconds) = json::int(wide, &["tolerationSeconds"])
        && json::int(narrow, &["tolerationSeconds"]).is_none_or(|other| other > seconds)
    {
        return false;
    }
    match operator.as_str() {
        "" | "Equal" => {
            text(narrow, "operator") == "Equal" && text(narrow, "value") == text(wide, "value")
        }
        "Exists" => true,
        _ => false,
    }
}
