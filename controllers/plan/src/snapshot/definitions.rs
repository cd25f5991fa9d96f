//! The definitions of the kinds, as clients know them.

use serde_json::{Map, Value, json};

use super::kinds::GROUP;

/// Where upstream approved of these kinds in a protected group.
const APPROVED: &str = "https://github.com/kubernetes-csi/external-snapshotter/pull/955";
const SIZE: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// All of them.
pub fn definitions() -> Vec<Value> {
    vec![classes(), snapshots(), contents()]
}

struct Names {
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    scope: &'static str,
}

fn definition(names: &Names, columns: &[(&str, &str, &str)], schema: Value, status: bool) -> Value {
    let Names { kind, plural, short, scope } = names;
    let age = ("Age", "date", ".metadata.creationTimestamp");
    let columns = columns.iter().chain([&age]);
    let columns: Vec<Value> = columns
        .map(|(name, kind, path)| json!({ "name": name, "type": kind, "jsonPath": path }))
        .collect();
    let subresources = if status { json!({ "status": {} }) } else { json!({}) };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{GROUP}"),
            "annotations": { "api-approved.kubernetes.io": APPROVED } },
        "spec": {
            "group": GROUP, "scope": scope,
            "names": { "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                "singular": kind.to_lowercase(), "shortNames": short },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "additionalPrinterColumns": columns, "subresources": subresources,
                "schema": { "openAPIV3Schema": schema } }],
        },
    })
}

fn text() -> Value {
    json!({ "type": "string" })
}

/// Text that stays as it is once it is there.
fn fixed(name: &str) -> Value {
    let message = format!("{name} is immutable");
    json!({ "type": "string",
        "x-kubernetes-validations": [{ "rule": "self == oldSelf", "message": message }] })
}

fn kept(name: &str) -> Value {
    json!({ "rule": format!("!has(oldSelf.{name}) || has(self.{name})"),
        "message": format!("{name} is required once set") })
}

/// Of two fields exactly one.
fn either(one: &str, other: &str, rules: [&str; 2], message: &str) -> Value {
    let (first, second) = (rules[0], rules[1]);
    let only = |yes: &str, no: &str| format!("(has(self.{yes}) && !has(self.{no}))");
    let rule = format!("{} || {}", only(first, second), only(second, first));
    json!({ "type": "object", "properties": { one: fixed(one), other: fixed(other) },
        "x-kubernetes-validations": [kept(one), kept(other),
            { "rule": rule, "message": message }] })
}

fn whole(own: &[(&str, Value)], required: &[&str]) -> Value {
    let mut properties = Map::new();
    properties.insert("apiVersion".to_owned(), text());
    properties.insert("kind".to_owned(), text());
    properties.insert("metadata".to_owned(), json!({ "type": "object" }));
    properties.extend(own.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())));
    json!({ "type": "object", "properties": properties, "required": required })
}

fn trouble() -> Value {
    json!({ "type": "object", "properties": {
        "time": { "type": "string", "format": "date-time" }, "message": text() } })
}

fn policy() -> Value {
    json!({ "type": "string", "enum": ["Delete", "Retain"] })
}

fn classes() -> Value {
    let names = Names {
        kind: "VolumeSnapshotClass",
        plural: "volumesnapshotclasses",
        short: &["vsclass", "vsclasses"],
        scope: "Cluster",
    };
    let columns =
        [("Driver", "string", ".driver"), ("DeletionPolicy", "string", ".deletionPolicy")];
    let parameters = json!({ "type": "object", "additionalProperties": text() });
    let own = [("deletionPolicy", policy()), ("driver", text()), ("parameters", parameters)];
    definition(&names, &columns, whole(&own, &["deletionPolicy", "driver"]), false)
}

fn snapshots() -> Value {
    let names = Names {
        kind: "VolumeSnapshot",
        plural: "volumesnapshots",
        short: &["vs"],
        scope: "Namespaced",
    };
    let columns = [
        ("ReadyToUse", "boolean", ".status.readyToUse"),
        ("SourcePVC", "string", ".spec.source.persistentVolumeClaimName"),
        ("SourceSnapshotContent", "string", ".spec.source.volumeSnapshotContentName"),
        ("RestoreSize", "string", ".status.restoreSize"),
        ("SnapshotClass", "string", ".spec.volumeSnapshotClassName"),
        ("SnapshotContent", "string", ".status.boundVolumeSnapshotContentName"),
        ("CreationTime", "date", ".status.creationTime"),
    ];
    let source = either(
        "persistentVolumeClaimName",
        "volumeSnapshotContentName",
        ["volumeSnapshotContentName", "persistentVolumeClaimName"],
        "exactly one of volumeSnapshotContentName and persistentVolumeClaimName must be set",
    );
    let class = json!({ "type": "string", "x-kubernetes-validations": [{ "rule": "size(self) > 0",
        "message": "volumeSnapshotClassName must not be the empty string when set" }] });
    let spec = json!({ "type": "object", "required": ["source"],
        "properties": { "source": source, "volumeSnapshotClassName": class } });
    let status = json!({ "type": "object", "properties": {
        "boundVolumeSnapshotContentName": text(),
        "creationTime": { "type": "string", "format": "date-time" },
        "error": trouble(),
        "readyToUse": { "type": "boolean" },
        "restoreSize": { "type": "string", "pattern": SIZE, "x-kubernetes-int-or-string": true },
        "volumeGroupSnapshotName": text(),
    } });
    let schema = whole(&[("spec", spec), ("status", status)], &["spec"]);
    definition(&names, &columns, schema, true)
}

fn contents() -> Value {
    let names = Names {
        kind: "VolumeSnapshotContent",
        plural: "volumesnapshotcontents",
        short: &["vsc", "vscs"],
        scope: "Cluster",
    };
    let columns = [
        ("ReadyToUse", "boolean", ".status.readyToUse"),
        ("RestoreSize", "integer", ".status.restoreSize"),
        ("DeletionPolicy", "string", ".spec.deletionPolicy"),
        ("Driver", "string", ".spec.driver"),
        ("VolumeSnapshotClass", "string", ".spec.volumeSnapshotClassName"),
        ("VolumeSnapshot", "string", ".spec.volumeSnapshotRef.name"),
        ("VolumeSnapshotNamespace", "string", ".spec.volumeSnapshotRef.namespace"),
    ];
    let source = either(
        "snapshotHandle",
        "volumeHandle",
        ["volumeHandle", "snapshotHandle"],
        "exactly one of volumeHandle and snapshotHandle must be set",
    );
    let named = ["apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid"];
    let named: Map<String, Value> = named.iter().map(|name| ((*name).to_owned(), text())).collect();
    let reference = json!({ "type": "object", "properties": named, "x-kubernetes-map-type": "atomic",
        "x-kubernetes-validations": [{ "rule": "has(self.name) && has(self.__namespace__)",
            "message": "both spec.volumeSnapshotRef.name and spec.volumeSnapshotRef.namespace must be set" }] });
    let spec = json!({ "type": "object",
        "required": ["deletionPolicy", "driver", "source", "volumeSnapshotRef"],
        "properties": { "deletionPolicy": policy(), "driver": text(), "source": source,
            "sourceVolumeMode": fixed("sourceVolumeMode"),
            "volumeSnapshotClassName": text(), "volumeSnapshotRef": reference },
        "x-kubernetes-validations": [kept("sourceVolumeMode")] });
    let status = json!({ "type": "object", "properties": {
        "creationTime": { "type": "integer", "format": "int64" },
        "error": trouble(),
        "readyToUse": { "type": "boolean" },
        "restoreSize": { "type": "integer", "format": "int64", "minimum": 0 },
        "snapshotHandle": text(),
        "volumeGroupSnapshotHandle": text(),
    } });
    let schema = whole(&[("spec", spec), ("status", status)], &["spec"]);
    definition(&names, &columns, schema, true)
}
