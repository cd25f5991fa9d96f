//! Which kinds a server serves, learned from its discovery documents: the aggregated ones, or one by one from servers that
//! have no others.
//!
//! Knows: the documents, and how people name kinds. Refuses to know: any kind by name.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use futures::future::try_join_all;
use leme_meta::gvk::{api_version, split_api_version};
use serde_json::Value;

use crate::api::{Api, ApiError, JSON};
use crate::resource::{Kind, Resource};

/// The aggregated documents, newest first, then the plain ones.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// Every kind that a server serves: groups in its order, each with its preferred version first.
#[derive(Clone, Debug, Default)]
pub struct Served {
    list: Vec<Kind>,
}

impl Served {
    /// Asks the server.
    ///
    /// # Errors
    /// When it does not answer, or not with a discovery document.
    pub async fn ask(api: &Api) -> Result<Served, ApiError> {
        let (core, groups) =
            futures::try_join!(api.get("/api", AGGREGATED), api.get("/apis", AGGREGATED))?;
        let mut list = Vec::new();
        for root in [core, groups] {
            match root["kind"].as_str() {
                Some("APIGroupDiscoveryList") => list.extend(aggregated(&root)),
                _ => list.extend(one_by_one(api, &root).await?),
            }
        }
        Ok(Served { list })
    }

    /// The kinds that this program serves itself.
    pub fn builtin() -> Served {
        let rows = leme_kinds::builtin().map(|row| Arc::new(Resource::from(&**row)));
        Served { list: rows.collect() }
    }

    /// Every kind, in the server's order.
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.list.iter()
    }

    /// The same and one more, unless it is there already.
    pub fn and(&mut self, kind: Kind) {
        if self.by_kind(&kind.group, &kind.version, &kind.kind).is_none() {
            self.list.push(kind);
        }
    }

    /// The kind of an object. Of several of one name, one whose objects can be read again.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Kind> {
        let is =
            |known: &&Kind| known.group == group && known.version == version && known.kind == kind;
        let mut found = self.iter().filter(is);
        let first = found.next()?;
        if first.can("get") {
            Some(first)
        } else {
            found.find(|kind| kind.can("get")).or(Some(first))
        }
    }

    /// The kind of a group and plural resource, in its preferred version.
    pub fn by_resource(&self, group: &str, plural: &str) -> Option<&Kind> {
        self.iter().find(|kind| kind.group == group && kind.plural == plural)
    }

    /// The kind that a person's word names: plural, singular, short name or kind, in any case; alone, as `word.group`, or
    /// as `word.version.group`.
    ///
    /// # Errors
    /// When there is none, in kubectl's words.
    pub fn by_word(&self, word: &str) -> Result<&Kind> {
        let lower = word.to_ascii_lowercase();
        let mut parts = lower.splitn(3, '.');
        let name = parts.next().unwrap_or_default();
        let found = match (parts.next(), parts.next()) {
            (Some(version), Some(group)) => self
                .matching(name, |kind| kind.version == version && kind.group == group)
                .or_else(|| self.in_group(name, &format!("{version}.{group}"))),
            (Some(group), None) => self.in_group(name, group),
            (None, _) => self.matching(name, |_| true),
        };
        found.ok_or_else(|| anyhow!("the server doesn't have a resource type {word:?}"))
    }

    /// By the whole name of a group, or by its beginning.
    fn in_group(&self, name: &str, group: &str) -> Option<&Kind> {
        self.matching(name, |kind| kind.group == group)
            .or_else(|| self.matching(name, |kind| kind.group.starts_with(group)))
    }

    fn matching(&self, name: &str, within: impl Fn(&Kind) -> bool) -> Option<&Kind> {
        self.iter().filter(|kind| within(kind)).find(|kind| {
            // What is answered at once may share its kind with what is kept: then it has only its plural for itself.
            let by_kind = (kind.can("get") || kind.can("list"))
                && (kind.singular == name || kind.kind.eq_ignore_ascii_case(name));
            kind.plural == name || by_kind || kind.short_names.iter().any(|short| short == name)
        })
    }

    /// The kinds that a word names: those of a category, or the one.
    ///
    /// # Errors
    /// As [`Served::by_word`].
    pub fn named(&self, word: &str) -> Result<Vec<Kind>> {
        let of = |kind: &&Kind| kind.can("list") && kind.categories.iter().any(|c| c == word);
        let mut category: Vec<Kind> = Vec::new();
        for kind in self.iter().filter(of) {
            if !category.iter().any(|known| known.is(kind)) {
                category.push(kind.clone());
            }
        }
        if category.is_empty() { Ok(vec![self.by_word(word)?.clone()]) } else { Ok(category) }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A field that is not set means the one of the list's group and version.
fn or(value: &Value, default: &str) -> String {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or(default).to_owned()
}

/// The kinds of an `APIGroupDiscoveryList`.
fn aggregated(root: &Value) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for item in list(&root["items"]) {
        let group = text(&item["metadata"]["name"]);
        for version in list(&item["versions"]) {
            let number = text(&version["version"]);
            for resource in list(&version["resources"]) {
                let Some(kind) = resource["responseKind"]["kind"].as_str() else { continue };
                kinds.push(Arc::new(Resource {
                    group: group.clone(),
                    version: number.clone(),
                    kind: kind.to_owned(),
                    plural: text(&resource["resource"]),
                    singular: or(&resource["singularResource"], &kind.to_lowercase()),
                    short_names: texts(&resource["shortNames"]),
                    categories: texts(&resource["categories"]),
                    namespaced: resource["scope"] == "Namespaced",
                    verbs: texts(&resource["verbs"]),
                    subresources: list(&resource["subresources"])
                        .map(|sub| text(&sub["subresource"]))
                        .collect(),
                }));
            }
        }
    }
    kinds
}

/// The kinds of the older documents: one that lists the versions, one for each of them.
async fn one_by_one(api: &Api, root: &Value) -> Result<Vec<Kind>, ApiError> {
    let core = texts(&root["versions"]).into_iter().map(|version| format!("/api/{version}"));
    let groups = list(&root["groups"]).flat_map(|group| {
        let preferred = text(&group["preferredVersion"]["groupVersion"]);
        let others = list(&group["versions"]).map(|version| text(&version["groupVersion"]));
        let others: Vec<String> = others.filter(|other| *other != preferred).collect();
        std::iter::once(preferred).chain(others).filter(|version| !version.is_empty())
    });
    let paths: Vec<String> = core.chain(groups.map(|version| format!("/apis/{version}"))).collect();
    let documents = try_join_all(paths.iter().map(|path| async move {
        match api.get(path, JSON).await {
            // What another server answers for may be away: its kinds are missing, not all.
            Err(ApiError::Status { code: 404 | 500..=599, .. }) => Ok(Value::Null),
            answer => answer,
        }
    }));
    Ok(documents.await?.iter().flat_map(resources).collect())
}

/// The kinds of an `APIResourceList`.
fn resources(document: &Value) -> Vec<Kind> {
    let (group, version) = split_api_version(document["groupVersion"].as_str().unwrap_or(""));
    let mut kinds: Vec<Resource> = Vec::new();
    for entry in list(&document["resources"]) {
        let name = text(&entry["name"]);
        match name.split_once('/') {
            Some((plural, sub)) => {
                if let Some(kind) = kinds.iter_mut().find(|kind| kind.plural == plural) {
                    kind.subresources.push(sub.to_owned());
                }
            }
            None => kinds.push(Resource {
                group: or(&entry["group"], group),
                version: or(&entry["version"], version),
                kind: text(&entry["kind"]),
                singular: or(&entry["singularName"], &text(&entry["kind"]).to_lowercase()),
                plural: name,
                short_names: texts(&entry["shortNames"]),
                categories: texts(&entry["categories"]),
                namespaced: entry["namespaced"] == true,
                verbs: texts(&entry["verbs"]),
                subresources: Vec::new(),
            }),
        }
    }
    kinds.into_iter().map(Arc::new).collect()
}

/// The kinds that a CustomResourceDefinition defines.
pub fn defined(object: &Value) -> Vec<Kind> {
    let spec = &object["spec"];
    if object["kind"] != "CustomResourceDefinition" {
        return Vec::new();
    }
    let names = &spec["names"];
    let kind = text(&names["kind"]);
    let of = |version: &Value| {
        Arc::new(Resource {
            group: text(&spec["group"]),
            version: text(&version["name"]),
            kind: kind.clone(),
            plural: text(&names["plural"]),
            singular: or(&names["singular"], &kind.to_lowercase()),
            short_names: texts(&names["shortNames"]),
            categories: texts(&names["categories"]),
            namespaced: spec["scope"] == "Namespaced",
            verbs: leme_kinds::VERBS.iter().map(|verb| (*verb).to_owned()).collect(),
            subresources: Vec::new(),
        })
    };
    list(&spec["versions"]).filter(|version| version["served"] == true).map(of).collect()
}

/// Whether the server serves a kind by now.
///
/// # Errors
/// When it does not answer.
pub async fn is_served(api: &Api, kind: &Resource) -> Result<bool, ApiError> {
    let path = format!("/apis/{}", api_version(&kind.group, &kind.version));
    match api.get(&path, JSON).await {
        Ok(document) => Ok(list(&document["resources"]).any(|entry| entry["name"] == *kind.plural)),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn whales() -> Served {
        let whale = json!({"resource": "whales", "responseKind": {"kind": "Whale"}, "scope": "Namespaced",
            "singularResource": "whale", "shortNames": ["wh"], "categories": ["sea", "all"],
            "verbs": ["get", "list"], "subresources": [{"subresource": "scale"}]});
        let root = json!({"kind": "APIGroupDiscoveryList", "items": [
            {"metadata": {"name": "sea.io"}, "versions": [
                {"version": "v2", "resources": [whale]}, {"version": "v1", "resources": [whale]}]},
            {"metadata": {"name": "land.io"}, "versions": [{"version": "v1", "resources": [whale,
                {"resource": "reviews", "responseKind": {"kind": "Whale"}, "scope": "Cluster", "verbs": ["create"]}]}]},
        ]});
        Served { list: aggregated(&root) }
    }

    fn check(word: &str) -> String {
        match whales().by_word(word) {
            Ok(kind) => format!("{} {}", kind.plural, kind.api_version()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn kinds_are_named_in_every_way() {
        for word in
            ["whales", "whale", "Whale", "wh", "WH", "whales.sea.io", "whales.sea", "wh.v2.sea.io"]
        {
            assert_eq!(check(word), "whales sea.io/v2", "{word}");
        }
        assert_eq!(check("whales.v1.sea.io"), "whales sea.io/v1");
        assert_eq!(check("whale.land.io"), "whales land.io/v1");
        assert_eq!(check("reviews"), "reviews land.io/v1");
        assert_eq!(check("cats"), "the server doesn't have a resource type \"cats\"");
        assert_eq!(
            check("whales.v3.sea.io"),
            "the server doesn't have a resource type \"whales.v3.sea.io\""
        );
    }

    #[test]
    fn a_category_names_each_kind_once() {
        let named = whales().named("sea").unwrap();
        let named: Vec<String> = named.iter().map(|kind| kind.qualified()).collect();
        assert_eq!(named, ["whales.sea.io", "whales.land.io"]);
    }

    /// Red when the older documents are read by other names: both must come to the same.
    #[test]
    fn older_documents_say_the_same() {
        let document = json!({"groupVersion": "sea.io/v2", "resources": [
            {"name": "whales", "singularName": "whale", "kind": "Whale", "namespaced": true,
                "shortNames": ["wh"], "categories": ["sea", "all"], "verbs": ["get", "list"]},
            {"name": "whales/scale", "kind": "Scale", "group": "autoscaling", "version": "v1", "verbs": ["get"]}]});
        assert_eq!(resources(&document)[0], whales().list[0]);
        assert!(aggregated(&json!({"items": [1, {"versions": {}}]})).is_empty());
        assert!(resources(&json!([])).is_empty());
    }

    #[test]
    fn a_definition_defines_what_it_serves() {
        let names = json!({"kind": "Whale", "plural": "whales", "shortNames": ["wh"]});
        let versions = json!([{"name": "v1", "served": true}, {"name": "v0", "served": false}]);
        let spec =
            json!({"group": "sea.io", "scope": "Cluster", "names": names, "versions": versions});
        let defined = defined(&json!({"kind": "CustomResourceDefinition", "spec": spec}));
        assert_eq!(defined.len(), 1);
        assert_eq!((&*defined[0].singular, defined[0].namespaced), ("whale", false));
    }
}
