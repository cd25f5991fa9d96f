//! What the scheduler's loop is woken by, and how long it waits before it tries again.

use std::time::Duration;

use leme_controller_runtime::Key;
use leme_controllers::Cache;
use leme_sched::VolumeChange;
use tokio::sync::mpsc::UnboundedSender;

/// Before the second try to bind a pod; each further one waits twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LAST_DELAY: Duration = Duration::from_secs(10);

/// What happened; the objects themselves are read from the caches.
pub(super) enum Wake {
    Pod(Key),
    Node(String),
    Namespace(String),
    Volume(VolumeChange),
    Bound(Key),
    /// A binding, or making room, failed.
    Failed(Key),
    /// The delay after a failure is over, or what was told of the pod came too late.
    Again(Key),
}

/// Sends what changes in the cache from now on.
pub(super) fn listen(cache: &Cache, sender: &UnboundedSender<Wake>) {
    // A send fails only after the loop has ended, and then nobody needs it.
    let to = sender.clone();
    cache.pods.on_change(Box::new(move |key, _, _| drop(to.send(Wake::Pod(key.clone())))));
    let to = sender.clone();
    cache.nodes.on_change(Box::new(move |key, _, _| drop(to.send(Wake::Node(key.1.clone())))));
    let to = sender.clone();
    cache.namespaces.on_change(Box::new(move |key, _, _| {
        drop(to.send(Wake::Namespace(key.1.clone())));
    }));
    let any = |to: &UnboundedSender<Wake>| drop(to.send(Wake::Volume(VolumeChange::Volume)));
    let to = sender.clone();
    cache.volumes.on_change(Box::new(move |_, old, new| {
        any(&to);
        for volume in [old, new].into_iter().flatten() {
            let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone());
            if let Some((namespace, name)) = claim.and_then(|one| one.namespace.zip(one.name)) {
                drop(to.send(Wake::Volume(VolumeChange::Claim(namespace, name))));
            }
        }
    }));
    let to = sender.clone();
    cache.csi_nodes.on_change(Box::new(move |key, _, _| drop(to.send(Wake::Node(key.1.clone())))));
    let to = sender.clone();
    cache.classes.on_change(Box::new(move |_, _, _| any(&to)));
    let to = sender.clone();
    cache.claims.on_change(Box::new(move |key, _, _| {
        let (namespace, name) = key.clone();
        drop(to.send(Wake::Volume(VolumeChange::Claim(namespace, name))));
    }));
}

/// How long a pod waits whose binding failed so many times before.
pub(super) fn delay(times: u32) -> Duration {
    FIRST_DELAY.saturating_mul(1 << times.min(20)).min(LAST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red when every try waits as long as the first.
    #[test]
    fn each_refused_binding_waits_twice_as_long_up_to_a_bound() {
        let delays: Vec<u128> = (0..12).map(|times| delay(times).as_millis()).collect();
        let expected = [50, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000, 10_000];
        assert_eq!(delays, expected);
        assert_eq!(delay(u32::MAX), LAST_DELAY);
    }
}
