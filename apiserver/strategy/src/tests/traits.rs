//! What of each strategy is no function, held against a list of it as text: whoever drops or bends such a line of a strategy
//! meets a line of the list.

use std::collections::BTreeSet;

use leme_registry::Strategy;

use crate::TABLE;

/// A line for each kind: the words that hold of it, and the texts that it has.
const TRAITS: &str = include_str!("traits.txt");

fn line(group: &str, name: &str, own: &Strategy) -> String {
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
    ];
    let mut parts = vec![if group.is_empty() { "core" } else { group }.to_owned(), name.to_owned()];
    parts.extend(words.iter().filter(|(holds, _)| *holds).map(|(_, word)| (*word).to_owned()));
    if let Some(scale) = own.scale {
        parts.push(format!("scale={} {:?}", scale.api_version, scale.implicit_label));
        parts.push(format!("map={} selector={}", scale.selector_map, scale.label_selector));
    }
    if own.kept_by_status != Strategy::PLAIN.kept_by_status {
        let kept: Vec<String> = own.kept_by_status.iter().map(|path| path.join(".")).collect();
        parts.push(format!("status-keeps={}", kept.join(",")));
    }
    if !own.deprecated.is_empty() {
        parts.push(format!("warns: {}", own.deprecated));
    }
    parts.join(" ")
}

#[test]
fn the_strategies_are_what_the_list_says() {
    let seen = |group, name, own| super::mutants::seen(group, name, own);
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
