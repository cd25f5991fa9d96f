//! `leme why`: what an object is waiting for, followed down to whom it depends on.

use anyhow::{Result, bail};
use leme_meta::Object;

use crate::args::WhyArgs;
use crate::follow::Picture;
use crate::served::{self, State};
use crate::{connect, progress, say, targets};

/// Runs the command.
pub async fn run(args: &WhyArgs) -> Result<()> {
    let api = connect::connect(&args.connect).await?;
    let served = api.served().await?;
    let (kind, name) = targets::parse_one(&args.what, served)?;
    // Reached once before following, so that a cluster that is down is said at once.
    if api.find(&kind, &api.namespace, &name).await?.is_none() {
        bail!("Error from server (NotFound): {} {name:?} not found", kind.qualified());
    }
    // Events about what has no namespace are in another than one's own.
    let within = kind.namespaced.then_some(api.namespace.as_str());
    let mut picture = Picture::follow(&api, &progress::kinds_for(served, [&kind]), within);
    while !picture.complete() {
        picture.changed().await;
    }
    if let Some(error) = picture.refused(&kind) {
        bail!("{error}");
    }
    let Some(object) = picture.get(&kind, &api.namespace, &name) else {
        bail!("Error from server (NotFound): {} {name:?} not found", kind.qualified());
    };
    let mut lines = Vec::new();
    explain(object, &kind.shown(&name), 0, &picture, &mut lines);
    for (plural, why) in picture.all_refused() {
        lines.push(format!("{plural} were not looked at: {why}"));
    }
    say::line(lines.join("\n"))
}

/// Deepest chain of owners shown.
const MAX_DEPTH: usize = 8;

fn explain(object: &Object, shown: &str, depth: usize, picture: &Picture, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    match served::state(object, picture) {
        State::Works(word) if word.is_empty() => lines.push(format!("{indent}{shown} works")),
        State::Works(word) => lines.push(format!("{indent}{shown} works: {word}")),
        State::Waits(why) => lines.push(format!("{indent}{shown} waits: {why}")),
    }
    if let Some(finalizers) =
        object.at(&["metadata", "finalizers"]).and_then(|list| list.as_array())
        && object.is_deleting()
    {
        let list: Vec<&str> =
            finalizers.iter().filter_map(|finalizer| finalizer.as_str()).collect();
        lines.push(format!("{indent}  held by finalizers: {}", list.join(", ")));
    }
    for event in served::events(object, picture).into_iter().rev().take(3) {
        let text = |field: &str| event[field].as_str().unwrap_or("");
        let count = event["count"].as_i64().filter(|count| *count > 1);
        let times = count.map(|count| format!(" (x{count})")).unwrap_or_default();
        lines.push(format!(
            "{indent}  {} {}: {}{times}",
            text("type"),
            text("reason"),
            text("message")
        ));
    }
    if depth >= MAX_DEPTH {
        return;
    }
    for (shown, child) in served::parts(object, picture) {
        if matches!(served::state(child, picture), State::Waits(_)) {
            explain(child, &shown, depth + 1, picture, lines);
        }
    }
}
