//! Workloads that follow tags by an annotation: woken by their own changes, and by those of the streams that they follow.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use leme_lister::{Key, key_of};
use leme_plan::ObjectRef;
use leme_plan::action::to_object;
use leme_plan::image_stream::ImageStream;
use leme_plan::image_triggers::{Observed, follows, plan, streams_of};
use serde_json::Value;

use crate::cache::{Cache, Kept};
use crate::controller::Controller;
use crate::watch::{Change, Wake, Watch};

pub(crate) fn controller() -> Controller {
    let watches = vec![
        by_itself::<Deployment>(),
        by_itself::<DaemonSet>(),
        by_itself::<StatefulSet>(),
        by_itself::<CronJob>(),
        Watch::on::<ImageStream>(|change, wake| {
            by_stream::<Deployment>(change, wake);
            by_stream::<DaemonSet>(change, wake);
            by_stream::<StatefulSet>(change, wake);
            by_stream::<CronJob>(change, wake);
        }),
    ];
    Controller::new("image-trigger-controller", watches, |view, key| {
        let mut seen = Observed::default();
        add::<Deployment>(view.cache, key, &mut seen);
        add::<DaemonSet>(view.cache, key, &mut seen);
        add::<StatefulSet>(view.cache, key, &mut seen);
        add::<CronJob>(view.cache, key, &mut seen);
        Ok(plan(&seen))
    })
}

/// Wakes by what follows tags.
fn by_itself<K: Kept>() -> Watch {
    Watch::on::<K>(|change, wake| {
        if change.new.is_some_and(|object| follows(object.meta())) {
            wake(change.key.clone());
        }
    })
}

fn by_stream<K: Kept>(change: &Change<'_, ImageStream>, wake: &Wake<'_>) {
    let is_followed = |object: &K| {
        follows(object.meta()) && streams_of(object.meta()).iter().any(|one| one == change.key)
    };
    for object in K::of(change.cache).filter(is_followed) {
        wake(key_of(object.meta()));
    }
}

/// Adds an object of a kind, and the streams that it follows.
fn add<K>(cache: &Cache, key: &Key, seen: &mut Observed)
where
    K: Kept
        + k8s_openapi::Resource
        + k8s_openapi::Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>
        + serde::Serialize,
{
    let Some(object) = K::of(cache).get(&key.0, &key.1).filter(|one| follows(one.meta())) else {
        return;
    };
    let streams = streams_of(object.meta());
    seen.streams.extend(streams.iter().filter_map(|(space, name)| cache.streams.get(space, name)));
    let value: Value = to_object(object.as_ref()).0;
    seen.objects.push((ObjectRef::to(object.as_ref()), value));
}
