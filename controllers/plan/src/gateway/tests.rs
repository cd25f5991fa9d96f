//! What is made, and that the table of definitions is whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use leme_meta::gateway::{DEFINITIONS, MADE};
use serde_json::{Value, json};

use super::{SetupObserved, definitions, plan_setup};
use crate::action::Action;

fn look(defined: bool, served: bool, annotations: Value) -> Vec<Action> {
    let system = json!({ "metadata": { "name": "kube-system", "annotations": annotations } });
    let seen = SetupObserved {
        nodes: true,
        system: Some(Arc::new(serde_json::from_value(system).unwrap())),
        defined: DEFINITIONS.iter().filter(|_| defined).map(|name| (*name).to_owned()).collect(),
        served,
        classes: BTreeSet::new(),
    };
    plan_setup(&seen, Timestamp::UNIX_EPOCH).actions
}

#[test]
fn what_gateways_need_is_made_once() {
    assert_eq!(look(false, false, json!({})).len(), 12);
    assert_eq!(look(true, false, json!({})).len(), 0);
    assert_eq!(look(true, true, json!({})).len(), 2);
    assert_eq!(look(false, false, json!({ MADE: "true" })).len(), 0);
}

/// Red when the table cannot be read, a name in it stands for nothing, or a kind is there that the names leave out.
#[test]
fn the_table_is_whole() {
    let all = definitions();
    let names: Vec<String> = all.iter().map(|one| one.name().to_owned()).collect();
    assert_eq!(names, DEFINITIONS);
    for one in &all {
        let text = one.0.to_string();
        assert!(!text.contains("$ref") && !text.contains(":null"), "{}", one.name());
        let versions = one.0["spec"]["versions"].as_array().unwrap();
        assert_eq!(versions.iter().filter(|version| version["storage"] == true).count(), 1);
    }
}
