//! `codegen`: makes the field table of the kinds from OpenAPI v2 documents that one points it at; with `--protobuf`, the
//! table of protobuf numbers (`numbers`).
//!
//! Knows: where the facts stand in those documents, which types are wanted, the text form of the table. Copies names and
//! properties of fields, never descriptions. Kubernetes types come from the Kubernetes document; the OpenShift document
//! adds its own types. What Go writes for a field that is not set is the `types.go` files' to say (`numbers`), defaults
//! besides that the OpenShift document's: the other leaves both out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use crate::internal;
use crate::numbers::{self, Structs};
use crate::packages::PACKAGES;
use crate::root;

pub(crate) const TABLE: &str = "apis/kinds/src/fields.txt";
const INTERNAL: &str = "apiserver/strategy/src/internal.txt";
const NUMBERS: &str = "apiserver/server/src/protobuf/numbers.txt";
const USAGE: &str = "codegen --kubernetes SWAGGER.json --metrics OPENAPI.json --openshift OPENAPI.json --go DIR | codegen --protobuf DIR | codegen --internal DIR";

/// Definitions that are scalars of the table, not objects.
const SCALARS: &[(&str, &str)] = &[
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "quantity"),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "int-or-string"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "time"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "micro-time"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Duration", "string"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "raw"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "raw"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "raw"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray", "raw"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", "raw"),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
        "raw",
    ),
];

/// `codegen --kubernetes SWAGGER.json --metrics OPENAPI.json --openshift OPENAPI.json --go DIR` writes the field table,
/// `codegen --protobuf DIR` the table of numbers, `codegen --internal DIR` that of upstream's own types. What nodes and pods
/// use is not in the Kubernetes document, for another server of theirs serves it: `--metrics` is that one's.
pub fn run(args: &[String]) -> Result<()> {
    if let [flag, directory] = args
        && flag == "--internal"
    {
        return write(INTERNAL, &internal::table(Path::new(directory))?);
    }
    let (mut kubernetes, mut metrics, mut openshift) = (None, None, None);
    let (mut go, mut protobuf) = (None, None);
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let path = args.next().with_context(|| format!("{flag} needs a path"))?;
        match flag.as_str() {
            "--kubernetes" => kubernetes = Some(path),
            "--metrics" => metrics = Some(path),
            "--openshift" => openshift = Some(path),
            "--go" => go = Some(path),
            "--protobuf" => protobuf = Some(path),
            _ => bail!(USAGE),
        }
    }
    match (kubernetes, metrics, openshift, go, protobuf) {
        (Some(kubernetes), Some(metrics), Some(openshift), Some(go), None) => {
            let mut both = definitions(metrics)?;
            both.extend(definitions(kubernetes)?);
            let documents = Documents {
                kubernetes: both,
                openshift: definitions(openshift)?,
                go: numbers::structs(Path::new(go))?,
            };
            write(TABLE, &documents.table()?)
        }
        (None, None, None, None, Some(directory)) => {
            let path = root().join(TABLE);
            let fields = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            write(NUMBERS, &numbers::table(&fields, Path::new(directory))?)
        }
        _ => bail!(USAGE),
    }
}

/// The last line of the field table, which tells what stands above it.
fn seal(lines: &str) -> String {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(PRIME);
    format!("# sum {:016x}\n", lines.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// Whether the field table is as it was written: no line of it is lost or bent.
pub(crate) fn is_sealed(table: &str) -> bool {
    let last = table.trim_end().rfind('\n').map_or(0, |end| end + 1);
    let (lines, last) = table.split_at(last);
    seal(lines) == last
}

fn write(path: &str, text: &str) -> Result<()> {
    let path = root().join(path);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn definitions(path: &str) -> Result<Map<String, Value>> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {path}"))?;
    let mut document: Value =
        serde_json::from_slice(&text).with_context(|| format!("{path} is not JSON"))?;
    match document.get_mut("definitions").map(Value::take) {
        Some(Value::Object(definitions)) => Ok(definitions),
        _ => bail!("{path} has no definitions"),
    }
}

struct Documents {
    kubernetes: Map<String, Value>,
    openshift: Map<String, Value>,
    go: Structs,
}

impl Documents {
    fn table(&self) -> Result<String> {
        let named = PACKAGES
            .iter()
            .flat_map(|(_, prefix, names)| names.iter().map(move |name| format!("{prefix}{name}")));
        let listed =
            self.kubernetes.keys().chain(self.openshift.keys()).filter(|name| self.is_list(name));
        let mut wanted: Vec<String> = named.chain(listed.cloned()).collect();
        let mut types = BTreeMap::new();
        let mut seen = BTreeSet::new();
        while let Some(name) = wanted.pop() {
            if seen.insert(name.clone()) {
                let lines = self.type_lines(&name, &mut wanted)?;
                types.insert(short_name(&name)?, lines);
            }
        }
        let mut table = String::from(
            "# The fields of every type. Written by `cargo xtask codegen`; do not edit.\n",
        );
        for (alias, prefix, _) in PACKAGES {
            table.push_str(&format!("prefix {alias} {prefix}\n"));
        }
        for lines in types.values() {
            table.push_str(lines);
        }
        table.push_str(&seal(&table));
        Ok(table)
    }

    /// Whether a type is the list of a kind, in a package that is wanted.
    fn is_list(&self, name: &str) -> bool {
        let Some(kind) = name.strip_suffix("List") else { return false };
        let known = self.kubernetes.contains_key(kind) || self.openshift.contains_key(kind);
        known && !kind.starts_with(META) && short_name(name).is_ok_and(|name| !name.contains('.'))
    }

    fn type_lines(&self, name: &str, wanted: &mut Vec<String>) -> Result<String> {
        let definition = self
            .kubernetes
            .get(name)
            .or_else(|| self.openshift.get(name))
            .with_context(|| format!("no definition of {name}"))?;
        let atomic = match definition.get("x-kubernetes-map-type").and_then(Value::as_str) {
            Some("atomic") => " atomic",
            _ => "",
        };
        let mut lines = format!("type {}{atomic}\n", short_name(name)?);
        let required: BTreeSet<&str> = texts(definition.get("required")).collect();
        let properties = definition.get("properties").and_then(Value::as_object);
        for (field, property) in properties.into_iter().flatten() {
            let mark = if required.contains(field.as_str()) { "!" } else { "" };
            let type_ = field_type(property, wanted).with_context(|| format!("{name}.{field}"))?;
            let attributes = attributes(property);
            let default = self.default(name, field, &type_)?;
            let omit = if self.is_left_out(name, field, &type_)? { "?" } else { "" };
            lines.push_str(&format!(" {field}{omit}{mark} {type_}{attributes}{default}\n"));
        }
        Ok(lines)
    }

    /// Whether a field that is sent empty is as if it had not been sent. Objects, and what is written in ways of its own, are
    /// never empty.
    fn is_left_out(&self, name: &str, field: &str, type_: &str) -> Result<bool> {
        let scalar = matches!(type_, "string" | "bool" | "int32" | "int64" | "number" | "bytes");
        let holds = scalar || type_.starts_with(['[', '{']);
        let name = short_name(name)?;
        let told_apart = TOLD_APART.contains(&(&*name, field));
        Ok(holds && !told_apart && numbers::leaves_out(&self.go, &name, field))
    }

    /// The default of a field; a list, a map or a time that Go never leaves out is null where there is none.
    fn default(&self, name: &str, field: &str, type_: &str) -> Result<String> {
        if matches!(type_, "raw" | "quantity" | "int-or-string" | "bytes") {
            return Ok(String::new());
        }
        // A struct in Go, which writes its own zero as null.
        let is_time = matches!(type_, "time" | "micro-time");
        let found = self.openshift.get(name).and_then(|definition| {
            ["properties", field, "default"]
                .iter()
                .try_fold(definition, |value, step| value.get(step))
        });
        let found = found.filter(|_| !is_time);
        let zero = match type_ {
            "string" => "\"\"",
            "bool" => "false",
            "int32" | "int64" | "number" => "0",
            _ if is_time || type_.starts_with(['[', '{']) => "null",
            _ => "{}",
        };
        let default = found.map_or(zero.to_owned(), Value::to_string);
        let defined = name.starts_with(DEFINED)
            || (zero == "null" && DEFINED_TOO.iter().any(|one| name.starts_with(one)));
        if defined && default == zero {
            return Ok(String::new());
        }
        let is_struct = is_time || zero == "{}";
        let written = numbers::writes_zero(&self.go, &short_name(name)?, field, is_struct);
        Ok(match written {
            // A zero that was filled in is left out again when it is written.
            Some(false) if default == zero => String::new(),
            None if found.is_none() => String::new(),
            _ => format!(" ={default}"),
        })
    }
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Fields of which upstream's defaults or checks tell an empty list from none before either is left out.
const TOLD_APART: [(&str, &str); 2] =
    [("a2:HPAScalingRules", "policies"), ("ne:ServiceCIDRSpec", "cidrs")];

/// The package whose kinds are defined by CustomResourceDefinitions where they come from: what is not sent stays away.
const DEFINED: &str = "com.github.openshift.api.config.v1.";

/// Types of other such kinds: of these a program fills in the zeros, but no nulls.
const DEFINED_TOO: [&str; 5] = [
    "com.github.openshift.api.authorization.v1.GroupRestriction",
    "com.github.openshift.api.authorization.v1.ServiceAccountRestriction",
    "com.github.openshift.api.authorization.v1.UserRestriction",
    "com.github.openshift.api.quota.v1.",
    "com.github.openshift.api.security.v1.",
];

/// The package of metadata, which has no kinds of its own.
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

fn short_name(name: &str) -> Result<String> {
    PACKAGES
        .iter()
        .find_map(|(alias, prefix, _)| Some(format!("{alias}:{}", name.strip_prefix(prefix)?)))
        .with_context(|| format!("no prefix for {name}"))
}

fn field_type(property: &Value, wanted: &mut Vec<String>) -> Result<String> {
    let text = |field: &str| property.get(field).and_then(Value::as_str).unwrap_or("");
    if let Some(name) = text("$ref").strip_prefix("#/definitions/") {
        if let Some((_, scalar)) = SCALARS.iter().find(|(known, _)| *known == name) {
            return Ok((*scalar).to_owned());
        }
        wanted.push(name.to_owned());
        return short_name(name);
    }
    Ok(match (text("type"), text("format")) {
        ("string", "byte") => "bytes".to_owned(),
        ("string", "date-time") => "time".to_owned(),
        ("string", "int-or-string") => "int-or-string".to_owned(),
        ("string", _) => "string".to_owned(),
        ("boolean", _) => "bool".to_owned(),
        ("integer", "int32") => "int32".to_owned(),
        ("integer", _) => "int64".to_owned(),
        ("number", _) => "number".to_owned(),
        ("array", _) => {
            let items = property.get("items").context("a list with no items")?;
            format!("[]{}", field_type(items, wanted)?)
        }
        ("object", _) => match property.get("additionalProperties") {
            Some(values @ Value::Object(_)) => format!("{{}}{}", field_type(values, wanted)?),
            _ => "raw".to_owned(),
        },
        (other, _) => bail!("no type of the table for {other:?}"),
    })
}

fn attributes(property: &Value) -> String {
    let text = |field: &str| property.get(field).and_then(Value::as_str);
    let mut out = String::new();
    match text("x-kubernetes-list-type") {
        Some("map") => {
            let keys: Vec<&str> = texts(property.get("x-kubernetes-list-map-keys")).collect();
            out.push_str(&format!(" list=map:{}", keys.join(",")));
        }
        Some(list_type) => out.push_str(&format!(" list={list_type}")),
        None => {}
    }
    if text("x-kubernetes-map-type") == Some("atomic") {
        out.push_str(" atomic");
    }
    if let Some(strategy) = text("x-kubernetes-patch-strategy") {
        out.push_str(&format!(" patch={strategy}"));
    }
    if let Some(key) = text("x-kubernetes-patch-merge-key") {
        out.push_str(&format!(" key={key}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_go_never_leaves_out_has_a_default() {
        let go = "type Event struct {
	Seen metav1.Time `json:\"seen,omitempty\" protobuf:\"bytes,1,opt,name=seen\"`
	Made metav1.MicroTime `json:\"made,omitempty,omitzero\" protobuf:\"bytes,2,opt,name=made\"`
	Gone *metav1.Time `json:\"gone\" protobuf:\"bytes,3,opt,name=gone\"`
	Names []string `json:\"names\" protobuf:\"bytes,4,rep,name=names\"`
	Word string `json:\"word,omitempty\" protobuf:\"bytes,5,opt,name=word\"`
}
";
        let documents = Documents {
            kubernetes: Map::new(),
            openshift: Map::new(),
            go: numbers::of_text("c", go).expect("structs"),
        };
        for (field, type_, default) in [
            ("seen", "time", " =null"),
            ("made", "micro-time", ""),
            ("gone", "time", ""),
            ("names", "[]string", " =null"),
            ("word", "string", ""),
        ] {
            let found = documents.default("io.k8s.api.core.v1.Event", field, type_);
            assert_eq!(found.expect("a default"), default, "{field}");
        }
        let times = Documents {
            openshift: Map::from_iter([(
                "io.k8s.api.core.v1.Event".to_owned(),
                json!({ "properties": { "seen": { "default": {} } } }),
            )]),
            ..documents
        };
        assert_eq!(times.default("io.k8s.api.core.v1.Event", "seen", "time").unwrap(), " =null");
    }
}
