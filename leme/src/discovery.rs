//! Which kinds a server serves, as people name them, and which ones a definition adds.
//!
//! Knows: plurals, singulars, short names, categories. Refuses to know: any kind by name, and how a server tells of its kinds.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use leme_client::{Client, Discovery, Error};
use serde_json::Value;

use crate::resource::{ApiResource, Kind, of_row};

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
    pub async fn ask(client: &Client) -> Result<Served, Error> {
        // What is behind another server that is away is missing, not all.
        let served = Discovery::new(client.clone(), |_| true).ask().await?;
        Ok(Served { list: served.kinds })
    }

    /// The kinds that this program serves itself.
    pub fn builtin() -> Served {
        let rows = leme_kinds::builtin().map(|row| Arc::new(of_row(row)));
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

/// The kinds that a CustomResourceDefinition defines.
pub fn defined(object: &Value) -> Vec<Kind> {
    let spec = &object["spec"];
    if object["kind"] != "CustomResourceDefinition" {
        return Vec::new();
    }
    let names = &spec["names"];
    let kind = text(&names["kind"]);
    let of = |version: &Value| {
        Arc::new(ApiResource {
            group: text(&spec["group"]),
            version: text(&version["name"]),
            kind: kind.clone(),
            plural: text(&names["plural"]),
            singular: names["singular"].as_str().map_or_else(|| kind.to_lowercase(), str::to_owned),
            short_names: texts(&names["shortNames"]),
            categories: texts(&names["categories"]),
            namespaced: spec["scope"] == "Namespaced",
            verbs: leme_kinds::VERBS.iter().map(|verb| (*verb).to_owned()).collect(),
            subresources: Vec::new(),
        })
    };
    let versions = spec["versions"].as_array().into_iter().flatten();
    versions.filter(|version| version["served"] == true).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn whales() -> Served {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let whale = |group: &str, version: &str| ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: "Whale".to_owned(),
            plural: "whales".to_owned(),
            singular: "whale".to_owned(),
            short_names: texts(&["wh"]),
            categories: texts(&["sea", "all"]),
            namespaced: true,
            verbs: texts(&["get", "list"]),
            subresources: texts(&["scale"]),
        };
        let reviews = ApiResource {
            plural: "reviews".to_owned(),
            short_names: Vec::new(),
            categories: Vec::new(),
            verbs: texts(&["create"]),
            ..whale("land.io", "v1")
        };
        let all = [whale("sea.io", "v2"), whale("sea.io", "v1"), whale("land.io", "v1"), reviews];
        Served { list: all.into_iter().map(Arc::new).collect() }
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
