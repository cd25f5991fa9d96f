//! What of each strategy is no function, held against a list of it as text: whoever drops or bends such a line of a strategy
//! meets a line of the list.

use std::collections::BTreeSet;

use leme_kinds::Kind;
use leme_registry::{Strategy, meta};
use serde_json::json;

use super::{context, kept};
use crate::TABLE;

/// A line for each kind: the words that hold of it, and the texts that it has.
const TRAITS: &str = include_str!("traits.txt");

fn row(group: &str, name: &str) -> &'static Kind {
    let mut rows = leme_kinds::builtin().filter(|row| row.group == group && row.kind == name);
    rows.next().expect("row")
}

fn has_status(kind: &Kind) -> bool {
    let type_ = leme_kinds::schemas().get(&kind.schema).expect("type");
    type_.field("status").is_some()
}

/// Whether a view is written by the strategy, and no other, of the kind as which its objects are kept.
fn is_as_kept(kind: &Kind, own: &Strategy) -> bool {
    let of = kept(kind);
    !std::ptr::eq(of, kind) && std::ptr::eq(crate::of(of), own)
}

/// Whether who makes an object says what its status is.
fn status_of_a_create(own: &Strategy, kind: &Kind) -> bool {
    let mut new = json!({ "metadata": { "name": "x" }, "status": { "x": "y" } });
    (own.prepare_create)(&mut new, &context(kind, "x"));
    new["status"].get("x").is_some()
}

/// Whether who writes an object, and no subresource, says what its status is.
fn status_of_an_update(own: &Strategy, kind: &Kind) -> bool {
    let object = |x: &str| json!({ "metadata": { "name": "x" }, "status": { "x": x } });
    let mut new = object("new");
    (own.prepare_update)(&mut new, &object("old"), &context(kind, "x"));
    new["status"]["x"] == "new"
}

/// The metadata that a write of the status leaves as it is.
fn left_by_status(own: &Strategy, kind: &Kind) -> Vec<&'static str> {
    let object = |x: &str| {
        json!({ "spec": {}, "status": {}, "metadata": {
            "name": "x", "labels": { "x": x }, "annotations": { "x": x }, "finalizers": [x],
            "ownerReferences": [{ "name": x }], "managedFields": [{ "manager": x }],
        } })
    };
    let (old, mut new) = (object("old"), object("new"));
    (own.prepare_status)(&mut new, &old, &context(kind, "x"));
    let is_left = |field: &&str| new["metadata"].get(field) == old["metadata"].get(field);
    let fields = ["labels", "annotations", "finalizers", "ownerReferences", "managedFields"];
    fields.into_iter().filter(is_left).collect()
}

/// Names of which each rule takes some.
const NAMES: [&str; 11] = [
    "a",
    "a.b",
    "1a",
    "cluster",
    "A",
    "a_b",
    "a:b",
    "a@b",
    "a/b",
    "10.0.0.1",
    "sha256~0123456789012345678901234567890123456789012",
];

type Rule = fn(&str, bool) -> Vec<String>;

/// Rules that several kinds have, and what the list calls them.
const RULES: [(&str, Rule); 2] = [("segment", meta::segment_name), ("label", meta::label_name)];

/// Those names that a rule takes.
fn taken(rule: Rule) -> String {
    let taken = NAMES.into_iter().filter(|name| rule(name, false).is_empty());
    taken.collect::<Vec<&str>>().join(",")
}

fn line(group: &str, name: &str, own: &Strategy) -> String {
    let kind = row(group, name);
    let words = [
        (own.generation.is_some(), "generation"),
        (own.create_on_update, "create-on-update"),
        (!own.unconditional_update, "updates-need-version"),
        (own.returns_deleted, "returns-deleted"),
        (own.orphan_by_default, "orphans"),
        (own.is_heartbeat, "heartbeat"),
        (own.finalize.is_some(), "finalize"),
        (own.bind.is_some(), "bind"),
        (own.approval.is_some(), "approval"),
        (own.ephemeral_containers.is_some(), "ephemeral-containers"),
        (own.resize.is_some(), "resize"),
        (is_as_kept(kind, own), "as-kept"),
        (has_status(kind) && status_of_a_create(own, kind), "creates-status"),
        (has_status(kind) && status_of_an_update(own, kind), "updates-status"),
    ];
    let mut parts = vec![if group.is_empty() { "core" } else { group }.to_owned(), name.to_owned()];
    parts.extend(words.iter().filter(|(holds, _)| *holds).map(|(_, word)| (*word).to_owned()));
    let names = taken(own.name);
    if names != taken(Strategy::PLAIN.name) {
        let known = RULES.iter().find(|(_, rule)| taken(*rule) == names);
        parts.push(format!("names={}", known.map_or(names.as_str(), |(rule, _)| rule)));
    }
    if let Some(scale) = own.scale {
        parts.push(format!("scale={} {:?}", scale.api_version, scale.implicit_label));
        parts.push(format!("map={} selector={}", scale.selector_map, scale.label_selector));
    }
    if own.kept_by_status != Strategy::PLAIN.kept_by_status {
        let kept: Vec<String> = own.kept_by_status.iter().map(|path| path.join(".")).collect();
        parts.push(format!("status-keeps={}", kept.join(",")));
    }
    let left = left_by_status(own, kind);
    if !left.is_empty() {
        parts.push(format!("status-leaves={}", left.join(",")));
    }
    if !own.deprecated.is_empty() {
        parts.push(format!("warns: {}", own.deprecated));
    }
    parts.join(" ")
}

#[test]
fn the_strategies_are_what_the_list_says() {
    let seen = super::mutants::seen;
    let made: BTreeSet<String> =
        TABLE.iter().map(|(group, name, own)| line(group, name, seen(group, name, own))).collect();
    let listed: BTreeSet<String> = TRAITS.lines().map(str::to_owned).collect();
    let missing: Vec<_> = made.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&made).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "traits.txt and the strategies differ.\nIn the strategies only: {missing:#?}\nIn traits.txt only: {gone:#?}"
    );
}
