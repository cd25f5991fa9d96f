//! Who wakes the service authority: Services that ask for a certificate, ConfigMaps that ask for the bundle, and namespaces,
//! each of which gets one.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use leme_lister::{AnyLister, Key};
use leme_plan::Plan;
use leme_plan::serving_cert::{
    BUNDLE_MAP, Observed, inject, names, plan, publish, secret_name, service_name, wants_bundle,
};
use serde::de::DeserializeOwned;

use crate::Settings;
use crate::controller::Controller;
use crate::view::{Answer, Blocked, Question, View};
use crate::watch::Watch;

const SECRET: (&str, &str) = ("v1", "Secret");
const MAP: (&str, &str) = ("v1", "ConfigMap");

/// Wakes the Service that a Secret was made for, and those that have asked for one of its name.
fn by_secrets() -> Watch {
    Watch::on_meta(SECRET.0, SECRET.1, |change, wake| {
        let (space, name) = change.key;
        for service in change.both().filter_map(|meta| service_name(&meta.0)) {
            wake((space.clone(), service.to_owned()));
        }
        // Only one that goes makes room.
        if change.new.is_some() {
            return;
        }
        for service in change.cache.services.list() {
            let meta = &service.metadata;
            let here = meta.namespace.as_deref() == Some(space.as_str());
            if here && secret_name(&service) == Some(name.as_str()) {
                wake((space.clone(), meta.name.clone().unwrap_or_default()));
            }
        }
    })
}

/// An object of which the cache has the metadata alone, as the API has it.
fn whole<K: DeserializeOwned>(
    view: &View<'_>,
    (api_version, kind): (&str, &str),
    key: &Key,
) -> Result<Option<K>, Blocked> {
    let Some(all) = view.cache.other(api_version, kind) else { return Ok(None) };
    let live = view.live(all.resource(), &key.0, &key.1)?;
    let read = |object: &serde_json::Value| serde_json::from_value(object.clone());
    live.map(read).transpose().map_err(|error| Blocked::Failed(error.to_string()))
}

pub(crate) fn services(settings: &Settings) -> Controller {
    let watches = vec![Watch::itself::<Service>(), by_secrets()];
    let authority = settings.service_authority.clone();
    Controller::new("service-serving-cert-controller", watches, move |view, key| {
        let service = view.cache.services.get(&key.0, &key.1);
        let (Some((authority, domain)), Some(service)) = (authority.clone(), service) else {
            return Ok(Plan::default());
        };
        let Some(name) = secret_name(&service) else { return Ok(Plan::default()) };
        let secret = whole::<Secret>(view, SECRET, &(key.0.clone(), name.to_owned()))?;
        let failure = view.failure.cloned();
        let mut seen = Observed { service, secret, authority, domain, made: None, failure };
        if seen.needs(view.now) {
            let names = names(&seen.service, &seen.domain);
            let uid = seen.service.metadata.uid.clone().unwrap_or_default();
            seen.made = match view.ask(Question::Certificate { names, uid })? {
                Ok(Answer::Certificate(made)) => Some(made.clone()),
                Ok(_) => None,
                Err(refusal) => return Err(Blocked::Failed(refusal.message.clone())),
            };
        }
        Ok(plan(&seen, view.now))
    })
}

pub(crate) fn maps(settings: &Settings) -> Controller {
    let asking = Watch::on_meta(MAP.0, MAP.1, |change, wake| {
        if change.new.is_some_and(|meta| wants_bundle(&meta.0)) {
            wake(change.key.clone());
        }
    });
    let authority = settings.service_authority.clone();
    Controller::new("service-ca-bundle-controller", vec![asking], move |view, key| {
        let Some((authority, _)) = &authority else { return Ok(Plan::default()) };
        let map = whole::<ConfigMap>(view, MAP, key)?;
        Ok(map.map(|map| inject(&map, &authority.bundle)).unwrap_or_default())
    })
}

pub(crate) fn namespaces(settings: &Settings) -> Controller {
    let by_map = Watch::on_meta(MAP.0, MAP.1, |change, wake| {
        if change.key.1 == BUNDLE_MAP {
            wake((String::new(), change.key.0.clone()));
        }
    });
    let watches = vec![Watch::itself::<Namespace>(), by_map];
    let signs = settings.service_authority.is_some();
    Controller::new("service-ca-publisher", watches, move |view, key| {
        if !signs {
            return Ok(Plan::default());
        }
        let all = view.cache.other(MAP.0, MAP.1);
        let has_map = all.is_some_and(|all| all.get(&key.1, BUNDLE_MAP).is_some());
        Ok(publish(view.cache.namespaces.get("", &key.1).as_deref(), has_map))
    })
}
