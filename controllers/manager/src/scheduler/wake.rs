//! What the scheduler's loop is woken by.

use leme_controller_runtime::Key;
use leme_controllers::Cache;
use leme_sched::VolumeChange;
use tokio::sync::mpsc::UnboundedSender;

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
    cache.volumes.on_change(Box::new(move |_, _, _| any(&to)));
    let to = sender.clone();
    cache.classes.on_change(Box::new(move |_, _, _| any(&to)));
    let to = sender.clone();
    cache.claims.on_change(Box::new(move |key, _, _| {
        let (namespace, name) = key.clone();
        drop(to.send(Wake::Volume(VolumeChange::Claim(namespace, name))));
    }));
}
