//! What the server serves, told to clients: groups, versions, resources, in the plain and the aggregated form.
//!
//! Knows: the discovery documents. Refuses to know: any kind; all comes from the kinds that are served. The documents of a set
//! of kinds never change, so they are made once, with their ETags.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use leme_kinds::{Kind, Kinds, Subresource};
use leme_meta::Status;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::answer::{self, Answer};
use crate::body::Body;
use crate::negotiate::{self, Accepted};
use crate::ordered;
use crate::query::Query;

const PLAIN: &str = "application/json";
const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2BETA1: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// A document with its entity tag.
#[derive(Clone)]
pub(crate) struct Document {
    media_type: &'static str,
    bytes: Bytes,
    etag: HeaderValue,
}

impl Document {
    fn new(media_type: &'static str, value: &Value) -> Document {
        let bytes = ordered::document(value);
        Document { media_type, etag: etag(&bytes), bytes }
    }

    fn answer(&self, headers: &HeaderMap, pretty: bool) -> Answer {
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| *tag == self.etag);
        let mut answer = if known {
            answer::with_body(304, self.media_type, Body::empty())
        } else {
            let bytes = if pretty { indented(&self.bytes) } else { self.bytes.clone() };
            answer::with_body(200, self.media_type, Body::whole(bytes))
        };
        answer.headers_mut().insert(header::ETAG, self.etag.clone());
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        answer
    }
}

/// JSON for people to read.
fn indented(json: &Bytes) -> Bytes {
    serde_json::from_slice(json).map_or_else(|_| json.clone(), |value| ordered::pretty(&value))
}

/// A strong entity tag of some bytes.
pub(crate) fn etag(bytes: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02X}")).collect();
    HeaderValue::from_str(&format!("\"{hex}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// `/api` or `/apis` in its three forms.
struct Root {
    plain: Document,
    v2: Document,
    v2beta1: Document,
}

impl Root {
    fn answer(&self, headers: &HeaderMap, pretty: bool) -> Result<Answer, Status> {
        for entry in Accepted::all(headers).iter().filter(|entry| entry.json()) {
            let aggregated = entry.parameter("g") == "apidiscovery.k8s.io"
                && entry.parameter("as") == "APIGroupDiscoveryList";
            let pretty = pretty || entry.parameter("pretty") == "1";
            match (aggregated, entry.parameter("v")) {
                (true, "v2") => return Ok(self.v2.answer(headers, pretty)),
                (true, "v2beta1") => return Ok(self.v2beta1.answer(headers, pretty)),
                (false, _) if entry.parameter("as").is_empty() => {
                    return Ok(self.plain.answer(headers, pretty));
                }
                _ => {}
            }
        }
        Err(negotiate::not_acceptable())
    }
}

/// Every discovery document.
pub(crate) struct Discovery {
    core: Root,
    groups: Root,
    group: Vec<(String, Document)>,
    resources: Vec<(String, String, Document)>,
}

impl Discovery {
    /// Makes the documents. `scale` says which version a kind's scale subresource shows, `address` where the server is.
    pub fn new(kinds: &Kinds, scale: impl Fn(&Kind) -> &'static str, address: &str) -> Discovery {
        let all = groups(kinds);
        let named: Vec<_> = all.iter().filter(|(group, _)| !group.is_empty()).collect();
        let core: Vec<_> = all.iter().filter(|(group, _)| group.is_empty()).collect();
        let versions: Vec<&str> =
            core.iter().flat_map(|(_, versions)| versions.iter().copied()).collect();
        let core_plain = json!({
            "kind": "APIVersions",
            "versions": versions,
            "serverAddressByClientCIDRs": [
                { "clientCIDR": "0.0.0.0/0", "serverAddress": address },
            ],
        });
        let group_list: Vec<Value> =
            named.iter().map(|(group, versions)| group_entry(group, versions)).collect();
        let groups_plain =
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": group_list });
        let root = |plain: &Value, groups: &[&Group]| Root {
            plain: Document::new(PLAIN, plain),
            v2: Document::new(V2, &aggregated("apidiscovery.k8s.io/v2", kinds, groups, &scale)),
            v2beta1: Document::new(
                V2BETA1,
                &aggregated("apidiscovery.k8s.io/v2beta1", kinds, groups, &scale),
            ),
        };
        let mut group = Vec::new();
        let mut resources = Vec::new();
        for (name, versions) in &all {
            let mut document = group_entry(name, versions);
            document["kind"] = "APIGroup".into();
            document["apiVersion"] = "v1".into();
            group.push(((*name).to_owned(), Document::new(PLAIN, &document)));
            for version in versions {
                let list = resource_list(kinds, name, version, &scale);
                let document = Document::new(PLAIN, &list);
                resources.push(((*name).to_owned(), (*version).to_owned(), document));
            }
        }
        Discovery {
            core: root(&core_plain, &core),
            groups: root(&groups_plain, &named),
            group,
            resources,
        }
    }

    /// The document at a path, if it is one of discovery's.
    pub fn at(
        &self,
        segments: &[&str],
        headers: &HeaderMap,
        query: &Query,
    ) -> Option<Result<Answer, Status>> {
        let pretty = negotiate::pretty(query.get("pretty"), headers);
        let resources = |group: &str, version: &str| {
            self.resources
                .iter()
                .find(|(g, v, _)| *g == group && *v == version)
                .map(|(_, _, document)| document)
        };
        let document = match segments {
            ["api"] => return Some(self.core.answer(headers, pretty)),
            ["apis"] => return Some(self.groups.answer(headers, pretty)),
            ["api", version] => resources("", version)?,
            ["apis", group] if !group.is_empty() => {
                &self.group.iter().find(|(name, _)| name == group)?.1
            }
            ["apis", group, version] if !group.is_empty() => resources(group, version)?,
            _ => return None,
        };
        Some(Ok(document.answer(headers, pretty)))
    }

    /// Every path that has a document, for the root listing.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = vec!["/api".to_owned(), "/apis".to_owned()];
        for (group, version, _) in &self.resources {
            if group.is_empty() {
                paths.push(format!("/api/{version}"));
            } else {
                paths.push(format!("/apis/{group}"));
                paths.push(format!("/apis/{group}/{version}"));
            }
        }
        paths.sort();
        paths.dedup();
        paths
    }
}

/// A group and its versions.
type Group<'a> = (&'a str, Vec<&'a str>);

/// Groups in the order of the kinds, each with its versions in that order.
fn groups(kinds: &Kinds) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for row in kinds.iter() {
        match groups.iter_mut().find(|(group, _)| *group == row.group) {
            Some((_, versions)) if versions.contains(&&*row.version) => {}
            Some((_, versions)) => versions.push(&row.version),
            None => groups.push((&row.group, vec![&row.version])),
        }
    }
    groups
}

fn group_entry(group: &str, versions: &[&str]) -> Value {
    let entries: Vec<Value> = versions
        .iter()
        .map(|version| {
            json!({ "groupVersion": leme_meta::gvk::api_version(group, version), "version": version })
        })
        .collect();
    json!({ "name": group, "preferredVersion": entries.first(), "versions": entries })
}

fn rows<'a>(kinds: &'a Kinds, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Kind> {
    let rows = kinds.iter().filter(move |row| row.group == group && row.version == version);
    rows.map(|row| &**row)
}

/// What changes when a kind comes to be stored in another version.
fn storage_version_hash(row: &Kind) -> String {
    let version = row.custom.as_ref().map_or(&row.version, |custom| &custom.kept_version);
    let digest = Sha256::digest(format!("{}/{version}/{}", row.group, row.kind));
    STANDARD.encode(&digest[..8])
}

/// The group, version and kind that a subresource speaks.
fn spoken<'a>(
    row: &'a Kind,
    sub: Subresource,
    scale: &impl Fn(&Kind) -> &'static str,
) -> (&'a str, &'a str, &'a str) {
    match sub {
        Subresource::Scale => {
            let (group, version) = leme_meta::gvk::split_api_version(scale(row));
            (group, version, "Scale")
        }
        of if let Some(posted) = of.posted() => (posted.group, posted.version, posted.kind),
        Subresource::Exec | Subresource::Attach | Subresource::PortForward | Subresource::Proxy => {
            ("", "v1", sub.options(row).unwrap_or(&row.kind))
        }
        other => (&row.group, &row.version, other.kind(row).unwrap_or(&row.kind)),
    }
}

fn resource_list(
    kinds: &Kinds,
    group: &str,
    version: &str,
    scale: &impl Fn(&Kind) -> &'static str,
) -> Value {
    let mut list = Vec::new();
    for row in rows(kinds, group, version) {
        let mut entry = json!({
            "name": row.plural,
            "singularName": row.singular,
            "namespaced": row.namespaced(),
            "kind": row.kind,
            "verbs": row.verbs,
            "storageVersionHash": storage_version_hash(row),
        });
        for (field, words) in [("shortNames", &row.short_names), ("categories", &row.categories)] {
            if !words.is_empty() {
                entry[field] = words.as_slice().into();
            }
        }
        list.push(entry);
        for sub in row.subresources.iter() {
            let (sub_group, sub_version, kind) = spoken(row, *sub, scale);
            let mut entry = json!({
                "name": format!("{}/{}", row.plural, sub.name()),
                "singularName": "",
                "namespaced": row.namespaced(),
                "kind": kind,
                "verbs": sub.verbs(),
            });
            if (sub_group, sub_version) != (group, version) {
                entry["group"] = sub_group.into();
                entry["version"] = sub_version.into();
            }
            list.push(entry);
        }
    }
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": leme_meta::gvk::api_version(group, version),
        "resources": list,
    })
}

fn aggregated(
    api_version: &str,
    kinds: &Kinds,
    groups: &[&Group],
    scale: &impl Fn(&Kind) -> &'static str,
) -> Value {
    let kind_of = |(group, version, kind): (&str, &str, &str)| json!({ "group": group, "version": version, "kind": kind });
    let resource = |row: &Kind| {
        let mut entry = json!({
            "resource": row.plural,
            "responseKind": kind_of((&row.group, &row.version, &row.kind)),
            "scope": if row.namespaced() { "Namespaced" } else { "Cluster" },
            "singularResource": row.singular,
            "verbs": row.verbs,
        });
        for (field, words) in [("shortNames", &row.short_names), ("categories", &row.categories)] {
            if !words.is_empty() {
                entry[field] = words.as_slice().into();
            }
        }
        if !row.subresources.is_empty() {
            let subs: Vec<Value> = row
                .subresources
                .iter()
                .map(|sub| {
                    let kind = kind_of(spoken(row, *sub, scale));
                    json!({ "subresource": sub.name(), "responseKind": kind, "verbs": sub.verbs() })
                })
                .collect();
            entry["subresources"] = subs.into();
        }
        entry
    };
    let items: Vec<Value> = groups
        .iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = rows(kinds, group, version).map(resource).collect();
                    json!({ "version": version, "resources": resources, "freshness": "Current" })
                })
                .collect();
            let mut metadata = json!({});
            if !group.is_empty() {
                metadata["name"] = (*group).into();
            }
            json!({ "metadata": metadata, "versions": versions })
        })
        .collect();
    json!({ "kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items })
}
