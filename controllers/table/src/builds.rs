//! Builds and their configurations: both are woken by their own changes and by those of the ImageStreams that they name; a
//! build by its pod, and by the builds whose turn comes before; a configuration by its builds.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use leme_lister::key_of;
use leme_plan::build::{Build, BuildConfig, config, run};
use leme_plan::image_stream::ImageStream;

use crate::cache::{CONFIG, Cache, resource};
use crate::controller::Controller;
use crate::view::{Blocked, View};
use crate::watch::Watch;

pub(crate) fn configs() -> Controller {
    let watches = vec![
        Watch::itself::<BuildConfig>(),
        Watch::on::<Build>(|change, wake| {
            let name = change.last().map(|build| build.config()).filter(|name| !name.is_empty());
            if let Some(name) = name {
                wake((change.key.0.clone(), name.to_owned()));
            }
        }),
        Watch::on::<ImageStream>(|change, wake| {
            let key = (change.key.0.as_str(), change.key.1.as_str());
            let follows = |one: &BuildConfig| config::streams_of(one).any(|stream| stream == key);
            for one in change.cache.build_configs.filter(follows) {
                wake(key_of(&one.metadata));
            }
        }),
    ];
    Controller::new("buildconfig-controller", watches, |view, key| {
        let cache = view.cache;
        let config = cache.build_configs.get(&key.0, &key.1);
        let followed = config.iter().flat_map(|config| config::streams_of(config));
        let streams = followed.filter_map(|(space, name)| cache.streams.get(space, name)).collect();
        let builds = cache.builds.found_by(CONFIG, &format!("{}/{}", key.0, key.1));
        Ok(config::plan(&config::Observed { config, builds, streams }))
    })
}

pub(crate) fn builds() -> Controller {
    let watches = vec![
        Watch::on::<Build>(|change, wake| {
            wake(change.key.clone());
            for build in change.both() {
                for other in others(change.cache, build) {
                    wake(key_of(&other.metadata));
                }
            }
        }),
        Watch::owned::<Pod, Build>(|_, _| false),
        Watch::on::<ImageStream>(|change, wake| {
            let key = (change.key.0.as_str(), change.key.1.as_str());
            let waits =
                |one: &Build| one.is_new() && run::streams_of(one).any(|stream| stream == key);
            for one in change.cache.builds.filter(waits) {
                wake(key_of(&one.metadata));
            }
        }),
    ];
    Controller::new("build-controller", watches, |view, key| {
        let cache = view.cache;
        let build = cache.builds.get(&key.0, &key.1);
        let pod = build.as_ref().and_then(|build| cache.pods.get(&key.0, &build.pod_name()));
        let named = build.iter().flat_map(|build| run::streams_of(build));
        let streams = named.filter_map(|(space, name)| cache.streams.get(space, name)).collect();
        let others = build.as_ref().map(|build| others(cache, build)).unwrap_or_default();
        let failure = view.failure.cloned();
        let begins = build.as_ref().filter(|build| build.is_new() && pod.is_none());
        let secrets = match begins {
            Some(build) => secrets_of(view, &key.0, build.account())?,
            None => Vec::new(),
        };
        let namespace = cache.namespaces.get("", &key.0);
        let namespace = namespace.and_then(|one| one.metadata.uid.clone()).unwrap_or_default();
        let seen = run::Observed { build, namespace, others, pod, secrets, streams, failure };
        Ok(run::plan(&seen, view.now))
    })
}

/// The names of the Secrets that an account has.
fn secrets_of(view: &View<'_>, namespace: &str, name: &str) -> Result<Vec<String>, Blocked> {
    let Some(accounts) = leme_kinds::by_resource("", "v1", "serviceaccounts") else {
        return Ok(Vec::new());
    };
    let account = view.live(&resource(accounts), namespace, name)?;
    let lists = ["secrets", "imagePullSecrets"].into_iter();
    let all = lists.filter_map(|list| account?.get(list)?.as_array()).flatten();
    let names = all.filter_map(|one| one.get("name")?.as_str()).map(str::to_owned);
    Ok(names.collect::<BTreeSet<String>>().into_iter().collect())
}

/// The other builds of a build's configuration that are not over.
fn others(cache: &Cache, build: &Build) -> Vec<std::sync::Arc<Build>> {
    let namespace = build.metadata.namespace.as_deref().unwrap_or("");
    let name = build.config();
    if name.is_empty() {
        return Vec::new();
    }
    let mut found = cache.builds.found_by(CONFIG, &format!("{namespace}/{name}"));
    found.retain(|other| other.metadata.uid != build.metadata.uid && !other.is_over());
    found
}
