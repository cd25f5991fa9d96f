//! What happens per namespace: its end, and what it is given at its start.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leme_kinds::builtin;
use leme_lister::AnyLister;
use leme_meta::resource::Resource;
use leme_plan::{ObjectRef, namespace, project, service_account};
use serde_json::Value;

use crate::Settings;
use crate::cache::resource;
use crate::controller::Controller;
use crate::foreign::Found;
use crate::view::{Answer, Blocked, Question, Refusal, View};
use crate::watch::Watch;

pub(crate) fn life_cycle() -> Controller {
    let by_content = Watch::on_all(|change, wake| {
        let gone_or_going = change.new.is_none_or(|meta| meta.deletion_timestamp.is_some());
        if !change.namespaced || !gone_or_going {
            return;
        }
        let within = change.cache.namespaces.get("", &change.key.0);
        if within.is_some_and(|one| namespace::needs_content(&one)) {
            wake((String::new(), change.key.0.clone()));
        }
    });
    let watches = vec![Watch::itself::<Namespace>(), by_content];
    Controller::new("namespace-controller", watches, |view, key| {
        let found = view.cache.namespaces.get("", &key.1);
        let (mut content, mut unread) = (Vec::new(), BTreeMap::new());
        if found.as_ref().is_some_and(|one| namespace::needs_content(one)) {
            (content, unread) = look(view, &key.1)?;
        }
        let seen = namespace::Observed { namespace: found, content, unread };
        Ok(namespace::plan(&seen, view.now))
    })
}

/// What is left of each kind, asked at the API itself, as are the kinds: what a cache that is behind misses would be lost
/// for good, and a kind that is not known of would keep its objects.
fn look(
    view: &View<'_>,
    namespace: &str,
) -> Result<(Vec<namespace::Content>, BTreeMap<String, String>), Blocked> {
    let Found { best, unread, .. } = match view.ask(Question::Kinds)? {
        Ok(Answer::Kinds(found)) => found.clone(),
        Ok(Answer::Object(_) | Answer::Certificate(_)) => Found::default(),
        Err(refusal) => return Err(Blocked::Failed(refusal.message.clone())),
    };
    let kept = builtin().filter(|kind| kind.namespaced() && kind.is_kept());
    let others = best.into_iter().filter(|one| one.namespaced);
    let resources: Vec<Resource> = kept.map(|kind| resource(kind)).chain(others).collect();
    let each = |resource: &Resource| Question::Objects {
        resource: resource.clone(),
        namespace: namespace.to_owned(),
        labels: String::new(),
    };
    let answers = view.ask_all(resources.iter().map(each).collect())?;
    let content = resources.iter().zip(answers).map(|(resource, answer)| content(resource, answer));
    Ok((content.collect(), unread))
}

fn content(resource: &Resource, answer: &Result<Answer, Refusal>) -> namespace::Content {
    let group = resource.api_version.split_once('/').map_or("", |(group, _)| group);
    let objects = match answer {
        Ok(Answer::Object(list)) => metas(&list["items"]).map_err(|error| error.to_string()),
        Ok(Answer::Kinds(_) | Answer::Certificate(_)) => Err("the answer is no list".to_owned()),
        Err(refusal) => Err(refusal.message.clone()),
    };
    namespace::Content {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
        resource: format!("{}.{group}", resource.plural),
        objects,
    }
}

fn metas(items: &Value) -> Result<Vec<ObjectMeta>, serde_json::Error> {
    let each = |item: &Value| {
        let mut meta = item["metadata"].clone();
        if let Some(fields) = meta.as_object_mut() {
            fields.remove("managedFields");
        }
        serde_json::from_value(meta)
    };
    items.as_array().into_iter().flatten().map(each).collect()
}

const ACCOUNT: (&str, &str) = ("v1", "ServiceAccount");
const BINDING: (&str, &str) = ("rbac.authorization.k8s.io/v1", "RoleBinding");
const MAP: (&str, &str) = ("v1", "ConfigMap");

/// Wakes the namespace of an object of one of these names.
fn by_names((api_version, kind): (&'static str, &'static str), names: &'static [&str]) -> Watch {
    Watch::on_meta(api_version, kind, move |change, wake| {
        if names.contains(&change.key.1.as_str()) {
            wake((String::new(), change.key.0.clone()));
        }
    })
}

pub(crate) fn accounts(settings: &Settings) -> Controller {
    let watches = vec![
        Watch::itself::<Namespace>(),
        by_names(ACCOUNT, &["default"]),
        by_names(MAP, &[service_account::ROOT_CA]),
    ];
    let root_ca = settings.root_ca.clone();
    Controller::new("serviceaccount-controller", watches, move |view, key| {
        let cached = |kind: &str, name: &str| {
            view.cache.other("v1", kind).and_then(|all| Some((all, all.get(&key.1, name)?)))
        };
        let mut published = None;
        if let (Some(wanted), Some((all, map))) =
            (&root_ca, cached("ConfigMap", service_account::ROOT_CA))
        {
            let target = ObjectRef::of_meta("v1", "ConfigMap", &map.0);
            let live = view.live(all.resource(), &key.1, &target.name)?;
            published = live.map(|live| (target, live["data"]["ca.crt"] == wanted.as_str()));
        }
        let seen = service_account::Observed {
            namespace: view.cache.namespaces.get("", &key.1),
            has_default: cached("ServiceAccount", "default").is_some(),
            root_ca: root_ca.clone(),
            published,
        };
        Ok(service_account::plan(&seen, view.now))
    })
}

/// What a namespace gets of OpenShift.
pub(crate) fn projects() -> Controller {
    let watches = vec![
        Watch::itself::<Namespace>(),
        by_names(ACCOUNT, &project::ACCOUNTS),
        by_names(BINDING, &project::BINDINGS),
    ];
    Controller::new("project-controller", watches, |view, key| {
        let there = |(api_version, kind), names: &[&'static str]| {
            let has = |name: &&str| {
                let all = view.cache.other(api_version, kind);
                all.is_some_and(|all| all.get(&key.1, name).is_some())
            };
            names.iter().copied().filter(has).collect()
        };
        let seen = project::Observed {
            namespace: view.cache.namespaces.get("", &key.1),
            accounts: there(ACCOUNT, &project::ACCOUNTS),
            bindings: there(BINDING, &project::BINDINGS),
        };
        Ok(project::plan(&seen, view.now))
    })
}
