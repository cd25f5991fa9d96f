//! The discovery documents, new and old, as far as they are read. What is missing or null is empty: Go writes either.

use std::sync::Arc;

use leme_meta::gvk::{api_version, split_api_version};
use serde::{Deserialize, Deserializer};

use super::Served;
use crate::served::ApiResource;

/// What is read of `null` is what is read of nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// `/api` or `/apis`: an `APIGroupDiscoveryList`, `APIVersions` or an `APIGroupList`.
#[derive(Deserialize)]
pub(super) struct Root {
    kind: RootKind,
    #[serde(default, deserialize_with = "or_default")]
    items: Vec<Aggregated>,
    #[serde(default, deserialize_with = "or_default")]
    versions: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    groups: Vec<Group>,
}

/// What is none of them says nothing of what is served, least of all that nothing is.
#[derive(Clone, Copy, Deserialize, PartialEq)]
enum RootKind {
    #[serde(rename = "APIGroupDiscoveryList")]
    Aggregated,
    #[serde(rename = "APIVersions", alias = "APIGroupList")]
    Plain,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default, deserialize_with = "or_default", rename = "preferredVersion")]
    preferred: GroupVersion,
    #[serde(default, deserialize_with = "or_default")]
    versions: Vec<GroupVersion>,
}

#[derive(Default, Deserialize)]
struct GroupVersion {
    #[serde(default, rename = "groupVersion")]
    group_version: String,
}

/// A group with all its versions.
#[derive(Deserialize)]
struct Aggregated {
    #[serde(default, deserialize_with = "or_default")]
    metadata: Name,
    #[serde(default, deserialize_with = "or_default")]
    versions: Vec<AggregatedVersion>,
}

#[derive(Default, Deserialize)]
struct Name {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct AggregatedVersion {
    #[serde(default)]
    version: String,
    #[serde(default)]
    freshness: String,
    #[serde(default, deserialize_with = "or_default")]
    resources: Vec<AggregatedResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AggregatedResource {
    #[serde(default)]
    resource: String,
    #[serde(default, deserialize_with = "or_default")]
    response_kind: Kind,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    singular_resource: String,
    #[serde(default, deserialize_with = "or_default")]
    verbs: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    short_names: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    categories: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    subresources: Vec<Subresource>,
}

#[derive(Default, Deserialize)]
struct Kind {
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
struct Subresource {
    #[serde(default)]
    subresource: String,
}

/// An `APIResourceList`.
#[derive(Deserialize)]
pub(super) struct ResourceList {
    #[serde(deserialize_with = "or_default")]
    resources: Vec<PlainResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlainResource {
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    singular_name: String,
    #[serde(default, deserialize_with = "or_default")]
    verbs: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    short_names: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    categories: Vec<String>,
}

/// The singular name, which older servers leave out.
fn singular(said: String, kind: &str) -> String {
    if said.is_empty() { kind.to_lowercase() } else { said }
}

impl Root {
    pub(super) fn is_aggregated(&self) -> bool {
        self.kind == RootKind::Aggregated
    }

    /// Takes in the groups of an aggregated document.
    pub(super) fn read(self, served: &mut Served) {
        for Aggregated { metadata, versions } in self.items {
            for of in versions {
                if of.freshness == "Stale" {
                    let version = api_version(&metadata.name, &of.version);
                    served.unread.insert(version, "its server does not answer".to_owned());
                    continue;
                }
                let named =
                    of.resources.into_iter().filter(|one| !one.response_kind.kind.is_empty());
                served.kinds.extend(named.map(|one| {
                    Arc::new(ApiResource {
                        group: metadata.name.clone(),
                        version: of.version.clone(),
                        singular: singular(one.singular_resource, &one.response_kind.kind),
                        kind: one.response_kind.kind,
                        plural: one.resource,
                        short_names: one.short_names,
                        categories: one.categories,
                        namespaced: one.scope == "Namespaced",
                        verbs: one.verbs,
                        subresources: one
                            .subresources
                            .into_iter()
                            .map(|sub| sub.subresource)
                            .collect(),
                    })
                }));
            }
        }
    }

    /// The path and `apiVersion` of everything that an older document lists, each group's preferred version first.
    pub(super) fn versions(&self) -> Vec<(String, String)> {
        let core = self.versions.iter().map(|version| (format!("/api/{version}"), version.clone()));
        let groups = self.groups.iter().flat_map(|group| {
            let preferred = &group.preferred.group_version;
            let all = group.versions.iter().map(|version| &version.group_version);
            let others = all.filter(move |other| *other != preferred);
            std::iter::once(preferred).chain(others).filter(|version| !version.is_empty())
        });
        core.chain(groups.map(|version| (format!("/apis/{version}"), version.clone()))).collect()
    }
}

impl ResourceList {
    /// What is listed, subresources included.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.resources.iter().map(|one| one.name.as_str())
    }

    /// Takes in the resources, of this `apiVersion`.
    pub(super) fn read(self, of: &str, served: &mut Served) {
        let (group, version) = split_api_version(of);
        let mut kinds: Vec<ApiResource> = Vec::new();
        for one in self.resources {
            match one.name.split_once('/') {
                Some((plural, sub)) => {
                    if let Some(kind) = kinds.iter_mut().find(|kind| kind.plural == plural) {
                        kind.subresources.push(sub.to_owned());
                    }
                }
                None => kinds.push(ApiResource {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    singular: singular(one.singular_name, &one.kind),
                    kind: one.kind,
                    plural: one.name,
                    short_names: one.short_names,
                    categories: one.categories,
                    namespaced: one.namespaced,
                    verbs: one.verbs,
                    subresources: Vec::new(),
                }),
            }
        }
        served.kinds.extend(kinds.into_iter().map(Arc::new));
    }
}
