//! Wakes what happens per namespace: its end, and what it is given at its start.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leme_controller_runtime::{Client, Queue, Resource};
use leme_kinds::builtin;
use leme_plan::{ObjectRef, namespace, project, service_account};
use serde_json::Value;

use crate::cache::{MetaHandler, Metadata, resolve, resource};
use crate::{Start, Wiring, controller};

pub(crate) fn life_cycle(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let waker = queue.clone();
    wiring.cache.namespaces.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
    let (waker, namespaces) = (queue.clone(), wiring.cache.namespaces.clone());
    let wake: MetaHandler = Arc::new(move |key, _, new| {
        let gone_or_going = new.is_none_or(|meta| meta.deletion_timestamp.is_some());
        let ending =
            || namespaces.get("", &key.0).is_some_and(|one| namespace::needs_content(&one));
        if gone_or_going && ending() {
            waker.add((String::new(), key.0.clone()));
        }
    });
    for cache in wiring.cache.all().into_iter().filter(|cache| cache.resource().namespaced) {
        cache.on_meta(wake.clone());
    }
    wiring.cache.kinds.on_come(Box::new(move |_, cache| cache.on_meta(wake.clone())));
    controller(wiring, "namespace-controller", queue, None, |wiring, key, _| async move {
        let found = wiring.cache.namespaces.get("", &key.1);
        let (mut content, mut unread) = (Vec::new(), BTreeMap::new());
        if found.as_ref().is_some_and(|one| namespace::needs_content(one)) {
            let client = wiring.executor.client();
            // Asked now: a kind that is not known of would keep its objects for good.
            let found = wiring.cache.kinds.found(client).await;
            let found = found.map_err(|error| error.message().to_owned())?;
            unread = found.unread;
            let kept = builtin().filter(|kind| kind.namespaced() && kind.is_kept());
            let others = found.best.into_iter().filter(|one| one.namespaced);
            for resource in kept.map(|kind| resource(kind)).chain(others) {
                content.push(look(client, &resource, &key.1).await);
            }
        }
        let seen = namespace::Observed { namespace: found, content, unread };
        Ok(namespace::plan(&seen, Timestamp::now()))
    })
}

/// What is left of a kind, asked at the API itself: a cache could be behind, and what it misses would be lost for good.
async fn look(client: &Client, resource: &Resource, namespace: &str) -> namespace::Content {
    let group = resource.api_version.split_once('/').map_or("", |(group, _)| group);
    let objects = match client.get(&resource.collection(namespace)).await {
        Ok(mut list) => metas(list["items"].take()).map_err(|error| error.to_string()),
        Err(refused) => Err(refused.message().to_owned()),
    };
    namespace::Content {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
        resource: format!("{}.{group}", resource.plural),
        objects,
    }
}

fn metas(items: Value) -> Result<Vec<ObjectMeta>, serde_json::Error> {
    let Value::Array(items) = items else { return Ok(Vec::new()) };
    items
        .into_iter()
        .map(|mut item| {
            let mut meta = item["metadata"].take();
            if let Some(fields) = meta.as_object_mut() {
                fields.remove("managedFields");
            }
            serde_json::from_value(meta)
        })
        .collect()
}

/// Wakes a namespace when it changes, or an object in it of one of these kinds and names.
fn wakes(wiring: &Wiring, watched: &[(&str, &str, &[&'static str])]) -> Arc<Queue> {
    let queue = Arc::new(Queue::default());
    let waker = queue.clone();
    wiring.cache.namespaces.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
    for (api_version, kind, names) in watched {
        let Some(cache) = wiring.cache.other(api_version, kind) else { continue };
        let (waker, names) = (queue.clone(), names.to_vec());
        cache.on_change(Box::new(move |key, _, _| {
            if names.contains(&key.1.as_str()) {
                waker.add((String::new(), key.0.clone()));
            }
        }));
    }
    queue
}

pub(crate) fn accounts(wiring: &Wiring) -> Start {
    let queue = wakes(
        wiring,
        &[("v1", "ServiceAccount", &["default"]), ("v1", "ConfigMap", &[service_account::ROOT_CA])],
    );
    controller(wiring, "serviceaccount-controller", queue, None, |wiring, key, _| async move {
        let cached = |kind: &str, name: &str| {
            wiring.cache.other("v1", kind).and_then(|all| all.get(&key.1, name))
        };
        let root_ca = wiring.config.root_ca.clone();
        let mut published = None;
        if let (Some(wanted), Some(map)) = (&root_ca, cached("ConfigMap", service_account::ROOT_CA))
        {
            let target = ObjectRef::of_meta("v1", "ConfigMap", &map.0);
            let path = resolve("v1", "ConfigMap")
                .map(|one| one.object(&key.1, &target.name, ""))
                .unwrap_or_default();
            published = match wiring.executor.client().get(&path).await {
                Ok(live) => Some((target, live["data"]["ca.crt"] == wanted.as_str())),
                Err(error) if error.is_not_found() => None,
                Err(other) => return Err(other.message().to_owned()),
            };
        }
        let seen = service_account::Observed {
            namespace: wiring.cache.namespaces.get("", &key.1),
            has_default: cached("ServiceAccount", "default").is_some(),
            root_ca,
            published,
        };
        Ok(service_account::plan(&seen, Timestamp::now()))
    })
}

/// What a namespace gets of OpenShift.
pub(crate) fn projects(wiring: &Wiring) -> Start {
    const ACCOUNT: (&str, &str) = ("v1", "ServiceAccount");
    const BINDING: (&str, &str) = ("rbac.authorization.k8s.io/v1", "RoleBinding");
    let queue = wakes(
        wiring,
        &[(ACCOUNT.0, ACCOUNT.1, &project::ACCOUNTS), (BINDING.0, BINDING.1, &project::BINDINGS)],
    );
    controller(wiring, "project-controller", queue, None, |wiring, key, _| async move {
        let there = async |(api_version, kind), names: &[&'static str]| {
            let Some(cache) = wiring.cache.other(api_version, kind) else { return Vec::new() };
            // Or else all is made again at each start, in vain.
            cache.synced().await;
            let has = |name: &&str| cache.get(&key.1, name).is_some();
            names.iter().copied().filter(has).collect()
        };
        let seen = project::Observed {
            namespace: wiring.cache.namespaces.get("", &key.1),
            accounts: there(ACCOUNT, &project::ACCOUNTS).await,
            bindings: there(BINDING, &project::BINDINGS).await,
        };
        Ok(project::plan(&seen, Timestamp::now()))
    })
}
