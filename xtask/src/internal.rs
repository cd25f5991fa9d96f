//! `codegen --internal DIR`: makes the table of the types that Kubernetes works with itself, from its `types.go` and that
//! of `k8s.io/api/core/v1`: the fields of each in Go's order, with the names that the API has for them.
//!
//! Knows: the shape of those files, which types are wanted. Copies names of types and fields, never comments.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};

const HEADER: &str = "# The fields of the types that upstream works with itself, in Go's order, and the names that the API has for them. `+type` stands for its\n\
                      # fields, inlined; `?`: left out when it is empty. Written by `cargo xtask codegen --internal DIR`; do not edit.\n";

/// What is told apart in messages; what these types mention comes with them.
const WANTED: [&str; 4] =
    ["EphemeralContainer", "PersistentVolumeClaimSpec", "PersistentVolumeSource", "PodSpec"];

/// The API's own types among them, of which Go leaves out what is empty.
const OF_API: &str = "LabelSelector matchLabels?=matchLabels:{}string matchExpressions?=matchExpressions:[]LabelSelectorRequirement\n\
                        LabelSelectorRequirement key=key:string operator=operator:string values?=values:[]string\n\
                        ObjectMeta labels?=labels:{}string annotations?=annotations:{}string\n";

/// Fields that the API has elsewhere: in the spec of the pod itself.
const ELSEWHERE: (&str, [&str; 5]) = (
    "PodSecurityContext",
    ["HostNetwork", "HostPID", "HostIPC", "ShareProcessNamespace", "HostUsers"],
);

/// A field: its name in Go, its type, and its name in JSON if it has one there. A struct that is inlined has no name.
struct Field {
    name: String,
    type_: String,
    json: String,
}

/// The structs of a file and what its other types are.
#[derive(Default)]
struct File {
    structs: BTreeMap<String, Vec<Field>>,
    others: BTreeMap<String, String>,
}

/// The table, from the files under `directory`, which is laid out by import path.
pub(crate) fn table(directory: &Path) -> Result<String> {
    let read = |path: &str| -> Result<File> {
        let path = directory.join(path).join("types.go");
        let text = std::fs::read_to_string(&path);
        file(&text.with_context(|| format!("cannot read {}", path.display()))?)
    };
    let own = read("k8s.io/kubernetes/pkg/apis/core")?;
    let served = read("k8s.io/api/core/v1")?;
    let mut wanted: Vec<String> = WANTED.map(str::to_owned).to_vec();
    let (mut seen, mut lines) = (BTreeSet::new(), BTreeMap::new());
    while let Some(name) = wanted.pop() {
        if seen.insert(name.clone()) {
            let line = line(&name, &own, &served, &mut wanted).with_context(|| name.clone())?;
            lines.insert(name, line);
        }
    }
    Ok(format!("{HEADER}{OF_API}{}", lines.into_values().collect::<String>()))
}

fn line(name: &str, own: &File, served: &File, wanted: &mut Vec<String>) -> Result<String> {
    let mut out = name.to_owned();
    for field in own.structs.get(name).context("no such struct")? {
        if field.type_ == "metav1.ObjectMeta" {
            // Of a template for claims, which has no more of it.
            out.push_str(" +metadata.ObjectMeta");
            continue;
        }
        if field.name.is_empty() {
            out.push_str(&format!(" +{}", field.type_));
            wanted.push(field.type_.clone());
            continue;
        }
        let known = served.structs.get(name).into_iter().flatten();
        let json = match known.clone().find(|known| known.name == field.name) {
            Some(known) => known.json.clone(),
            None if ELSEWHERE.0 == name && ELSEWHERE.1.contains(&&*field.name) => {
                let mut letters = field.name.chars();
                let first = letters.next().unwrap_or_default().to_ascii_lowercase();
                format!("{first}{}", letters.as_str())
            }
            None => bail!("the API has no field {}", field.name),
        };
        let type_ = type_of(&field.type_, own, wanted);
        out.push_str(&format!(" {}={json}:{type_}", field.name));
    }
    out.push('\n');
    Ok(out)
}

/// A type in the words of the table: `*` a pointer, `[]` a list, `{}` a map from text.
fn type_of(type_: &str, own: &File, wanted: &mut Vec<String>) -> String {
    if let Some(target) = type_.strip_prefix('*') {
        return format!("*{}", type_of(target, own, wanted));
    }
    if type_ == "[]byte" {
        return "bytes".to_owned();
    }
    if let Some(element) = type_.strip_prefix("[]") {
        return format!("[]{}", type_of(element, own, wanted));
    }
    if let Some(value) = type_.strip_prefix("map[").and_then(|rest| Some(rest.split_once(']')?.1)) {
        return format!("{{}}{}", type_of(value, own, wanted));
    }
    match type_ {
        "int32" | "int64" | "int" => "int".to_owned(),
        "string" | "bool" => type_.to_owned(),
        "types.UID" => "string".to_owned(),
        "resource.Quantity" => "quantity".to_owned(),
        "intstr.IntOrString" => "int-or-string".to_owned(),
        "metav1.LabelSelector" => "LabelSelector".to_owned(),
        name => match own.others.get(name) {
            Some(other) => type_of(other, own, wanted),
            None => {
                wanted.push(name.to_owned());
                name.to_owned()
            }
        },
    }
}

fn file(text: &str) -> Result<File> {
    let mut file = File::default();
    let mut open: Option<(String, Vec<Field>)> = None;
    for line in text.lines().map(str::trim) {
        if let Some((_, fields)) = &mut open {
            if line == "}" {
                file.structs.extend(open.take());
            } else if !line.starts_with("//") {
                fields.extend(field(line));
            }
            continue;
        }
        let Some(declared) = line.strip_prefix("type ") else { continue };
        let words: Vec<&str> = declared.split_ascii_whitespace().collect();
        match words.as_slice() {
            [name, "struct", "{"] => open = Some(((*name).to_owned(), Vec::new())),
            [name, type_] => {
                file.others.insert((*name).to_owned(), (*type_).to_owned());
            }
            _ => {}
        }
    }
    if file.structs.is_empty() {
        bail!("no struct in the file");
    }
    Ok(file)
}

/// ``Name *string `json:"name,omitempty"` ``, or a struct that is inlined.
fn field(line: &str) -> Option<Field> {
    let (left, tags) = line.split_once('`').unwrap_or((line, ""));
    let left = left.split("//").next().unwrap_or(left);
    let json = tags.split("json:\"").nth(1).and_then(|rest| rest.split([',', '"']).next());
    let json = json.unwrap_or_default().to_owned();
    let words: Vec<&str> = left.split_ascii_whitespace().collect();
    let (name, type_) = match words.as_slice() {
        [name, type_] => (*name, *type_),
        [type_] => ("", *type_),
        _ => return None,
    };
    Some(Field { name: name.to_owned(), type_: type_.to_owned(), json })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_names_that_the_api_has_for_them() {
        let own = file(
            "type Mode string\ntype All map[Name]resource.Quantity\n\ntype PodSpec struct {\n\t// One.\n\tVolumes []Volume\n\
             \tMode *Mode // why\n\tTotal All\n}\n\ntype Volume struct {\n\tName string\n\tSource\n}\n\
             type Source struct {\n\tOdd *int64\n}\n",
        );
        let served = file(
            "type PodSpec struct {\n\tVolumes []Volume `json:\"volumes,omitempty\"`\n\tMode Mode `json:\"mode\"`\n\
             \tTotal All `json:\"total\"`\n}\ntype Volume struct {\n\tName string `json:\"name\"`\n}\n\
             type Source struct {\n\tOdd *int64 `json:\"oddOne\"`\n}\n",
        );
        let (own, served) = (own.expect("a file"), served.expect("a file"));
        let mut wanted = Vec::new();
        let pod = line("PodSpec", &own, &served, &mut wanted).expect("a line");
        assert_eq!(
            pod,
            "PodSpec Volumes=volumes:[]Volume Mode=mode:*string Total=total:{}quantity\n"
        );
        assert_eq!(wanted, ["Volume"]);
        let volume = line("Volume", &own, &served, &mut wanted).expect("a line");
        assert_eq!(volume, "Volume Name=name:string +Source\n");
        assert_eq!(line("Source", &own, &served, &mut wanted).unwrap(), "Source Odd=oddOne:*int\n");
        assert!(file("").is_err());
    }
}
