//! TaintNodesByCondition: a new node takes no pods until it has been found ready.
//!
//! Knows: the taint. Refuses to know: who takes it away.

use leme_registry::json;
use serde_json::json;

use crate::PlugIn;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "TaintNodesByCondition",
    about: |asked| asked.creates("", "nodes"),
    mutate: |_, node, _, _| {
        let mut taints = json::list(node, &["spec", "taints"]).to_vec();
        let has = taints.iter().any(|taint| {
            json::text(taint, &["key"]) == NOT_READY
                && json::text(taint, &["effect"]) == "NoSchedule"
        });
        if !has {
            taints.push(json!({ "key": NOT_READY, "effect": "NoSchedule" }));
            json::set(json::child(node, "spec"), "taints", taints);
        }
        Ok(())
    },
    ..PlugIn::NONE
};
