//! Whose turn it is among the builds of a configuration.
//!
//! Knows: the three policies. Refuses to know: where the builds come from.

use std::sync::Arc;

use super::Build;

fn is_parallel(build: &Build) -> bool {
    build.policy() == "Parallel"
}

fn is_active(build: &Build) -> bool {
    matches!(build.phase(), "Pending" | "Running")
}

/// Whether a new build may start beside the others of its configuration.
pub(super) fn may_start(build: &Build, others: &[Arc<Build>]) -> bool {
    if build.config().is_empty() {
        return true;
    }
    if is_parallel(build) {
        return !others.iter().any(|other| is_active(other) && !is_parallel(other));
    }
    let earlier = |other: &Arc<Build>| other.phase() == "New" && other.number() < build.number();
    !others.iter().any(|other| is_active(other) || earlier(other))
}

/// The builds that a new one takes the place of: those of the same configuration that wait, if only the latest counts.
pub(super) fn overtaken<'a>(
    build: &'a Build,
    others: &'a [Arc<Build>],
) -> impl Iterator<Item = &'a Arc<Build>> {
    let only_latest = build.policy() == "SerialLatestOnly" && !build.config().is_empty();
    others.iter().filter(move |other| {
        let waits = matches!(other.phase(), "New" | "Pending");
        let cancelled = other.whole.pointer("/status/cancelled").and_then(|one| one.as_bool());
        only_latest && waits && other.number() < build.number() && cancelled != Some(true)
    })
}
