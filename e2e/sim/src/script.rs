//! Scripts: a command a line, each answered in the transcript, with the Events that followed from it. What is applied stands
//! in a file, or in the indented lines after `apply`.

use std::fmt::Write;

use leme_kinds::Kind;
use leme_meta::gvk::split_api_version;
use leme_meta::local_path::{ROOM, ROOT};
use leme_registry::{DeleteOptions, Propagation, Target};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::controllers::Fault;
use crate::kinds::{by_kind, by_word};
use crate::node::FakeNode;
use crate::show;

/// Runs a script; `read` gives the text of a file that it names. The error names the line.
pub fn run(script: &str, read: &dyn Fn(&str) -> std::io::Result<String>) -> Result<String, String> {
    run_on(&mut Cluster::new(), script, read)
}

/// Runs a script on a cluster.
pub fn run_on(
    cluster: &mut Cluster,
    script: &str,
    read: &dyn Fn(&str) -> std::io::Result<String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut lines = script.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            let _ = writeln!(out, "{line}");
            continue;
        }
        let _ = writeln!(out, "> {line}");
        let mut inside = String::new();
        while let Some((_, text)) = lines.next_if(|(_, text)| text.starts_with("  ")) {
            let _ = writeln!(inside, "{text}");
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let said = match &*words {
            ["apply"] => apply(cluster, &inside),
            ["patch", kind, name, ..] => {
                let changes = line.splitn(4, ' ').nth(3).unwrap_or("");
                patch(cluster, kind, name, changes)
            }
            words => command(cluster, words, read),
        };
        let said = said.map_err(|error| format!("line {}: {error}", number + 1))?;
        out.push_str(&said);
        cluster.settle();
        for note in cluster.notes.drain(..) {
            let kind = if note.warning { "Warning" } else { "Normal" };
            let _ = writeln!(
                out,
                "  {} {kind} {} {}: {}",
                note.at, note.about, note.reason, note.message
            );
        }
    }
    Ok(out)
}

fn command(
    cluster: &mut Cluster,
    words: &[&str],
    read: &dyn Fn(&str) -> std::io::Result<String>,
) -> Result<String, String> {
    match words {
        ["add-node", name, rest @ ..] => add_node(cluster, name, rest),
        ["kill-node", name] => with_node(cluster, name, |node, _| node.kill()),
        ["start-node", name] => with_node(cluster, name, |node, _| node.start()),
        ["apply", file] => apply(cluster, &read(file).map_err(|error| format!("{file}: {error}"))?),
        ["scale", kind, name, replicas] => scale(cluster, kind, name, replicas),
        ["delete", kind, name] => delete(cluster, kind, name, Propagation::Background),
        ["delete", kind, name, "orphan"] => delete(cluster, kind, name, Propagation::Orphan),
        ["delete", kind, name, "foreground"] => {
            delete(cluster, kind, name, Propagation::Foreground)
        }
        ["crash-container", prefix, rest @ ..] => {
            crash(cluster, prefix, rest.first().unwrap_or(&"1"))
        }
        ["crash-loop", prefix] => {
            cluster.nodes.values_mut().for_each(|node| node.crashing.push((*prefix).to_owned()));
            Ok(String::new())
        }
        ["unready", prefix] => {
            cluster.nodes.values_mut().for_each(|node| node.unready.push((*prefix).to_owned()));
            Ok(String::new())
        }
        ["ready", prefix] => {
            cluster.nodes.values_mut().for_each(|node| node.unready.retain(|one| one != prefix));
            Ok(String::new())
        }
        ["certify-services"] => {
            cluster.certify_services();
            Ok(String::new())
        }
        ["fault", fault, after] => set_fault(cluster, fault, after),
        ["heal", prefix] => {
            cluster.nodes.values_mut().for_each(|node| node.crashing.retain(|one| one != prefix));
            Ok(String::new())
        }
        ["load", labels, amount] => {
            crate::load::set(&mut cluster.api, labels, amount)?;
            Ok(String::new())
        }
        ["tick", time] => {
            cluster.tick(seconds(time)?);
            Ok(String::new())
        }
        ["conditions", word, name] => conditions(cluster, word, name),
        ["show", word, rest @ ..] => {
            let kind = by_word(word).ok_or_else(|| format!("no kind {word:?}"))?;
            let objects = cluster.api.list(kind, Some("default"));
            Ok(show::table(kind, &objects, rest == ["-o", "wide"], cluster.api.now))
        }
        _ => Err("unknown command".to_owned()),
    }
}

fn seconds(text: &str) -> Result<i64, String> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(format!("{text:?} is not a time such as 10s, 5m or 1h")),
    };
    number
        .parse::<i64>()
        .map(|number| number * factor)
        .map_err(|_| format!("{text:?} is not a time"))
}

fn add_node(cluster: &mut Cluster, name: &str, options: &[&str]) -> Result<String, String> {
    let mut amounts = json!({ "cpu": "4", "memory": "8Gi", "pods": "110" });
    let mut annotations = json!({});
    let mut labels = json!({ "kubernetes.io/hostname": name });
    let mut disks = None;
    for option in options {
        let (key, value) =
            option.split_once('=').ok_or_else(|| format!("{option:?} is not KEY=VALUE"))?;
        match key {
            "room" => {
                annotations[ROOT] = value.into();
                labels[ROOM] = "true".into();
            }
            "csi" => {
                annotations[leme_plan::attach::MANAGED] = "true".into();
                disks = Some(value.parse::<i64>().map_err(|_| format!("{value:?} is no number"))?);
            }
            _ => amounts[key] = value.into(),
        }
    }
    let kind = by_kind("", "v1", "Node").ok_or("no kind Node")?;
    let body = json!({
        "metadata": { "name": name, "annotations": annotations, "labels": labels },
        "status": { "capacity": amounts, "allocatable": amounts },
    });
    cluster.api.create(kind, "", body.clone()).map_err(|status| status.message)?;
    let changes = json!({ "status": body["status"] });
    cluster.api.patch(kind, "", name, Target::Status, &changes).map_err(|status| status.message)?;
    if let Some(count) = disks {
        let kind = by_kind("storage.k8s.io", "v1", "CSINode").ok_or("no kind CSINode")?;
        let body = json!({ "metadata": { "name": name }, "spec": { "drivers": [
            { "name": "disk.example", "nodeID": name, "allocatable": { "count": count } } ] } });
        cluster.api.create(kind, "", body).map_err(|status| status.message)?;
    }
    let number = cluster.nodes.len() + 1;
    cluster.nodes.insert(name.to_owned(), FakeNode::new(name, number));
    Ok(String::new())
}

fn with_node(
    cluster: &mut Cluster,
    name: &str,
    act: impl FnOnce(&mut FakeNode, &mut Cluster),
) -> Result<String, String> {
    let mut node = cluster.nodes.remove(name).ok_or_else(|| format!("no node {name:?}"))?;
    act(&mut node, cluster);
    cluster.nodes.insert(name.to_owned(), node);
    Ok(String::new())
}

fn crash(cluster: &mut Cluster, prefix: &str, code: &str) -> Result<String, String> {
    let code: i32 = code.parse().map_err(|_| format!("{code:?} is not an exit code"))?;
    let mut ended = 0;
    for name in cluster.nodes.keys().cloned().collect::<Vec<_>>() {
        with_node(cluster, &name, |node, cluster| ended += node.crash(cluster, prefix, code))?;
    }
    if ended == 0 {
        Err(format!("no container of a pod {prefix}* runs"))
    } else {
        Ok(String::new())
    }
}

fn apply(cluster: &mut Cluster, text: &str) -> Result<String, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    let mut out = String::new();
    for body in documents.into_iter().filter(|body| !body.is_null()) {
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let (api_version, name) = (text(&body["apiVersion"]), text(&body["metadata"]["name"]));
        let (group, version) = split_api_version(&api_version);
        let kind = by_kind(group, version, &text(&body["kind"]))
            .ok_or_else(|| format!("no kind {}", body["kind"]))?;
        let namespace = namespace(kind);
        let (result, done) = if cluster.api.get(kind, namespace, &name).is_some() {
            (cluster.api.patch(kind, namespace, &name, Target::Main, &body), "configured")
        } else {
            (cluster.api.create(kind, namespace, body), "created")
        };
        match result {
            Ok(_) => drop(writeln!(out, "{}/{name} {done}", kind.singular)),
            Err(status) => drop(writeln!(out, "{}/{name}: {}", kind.singular, status.message)),
        }
    }
    Ok(out)
}

fn namespace(kind: &Kind) -> &'static str {
    if kind.namespaced() { "default" } else { "" }
}

fn scale(cluster: &mut Cluster, word: &str, name: &str, replicas: &str) -> Result<String, String> {
    let kind = by_word(word).ok_or_else(|| format!("no kind {word:?}"))?;
    let replicas: i64 = replicas.parse().map_err(|_| format!("{replicas:?} is not a number"))?;
    let changes = json!({ "spec": { "replicas": replicas } });
    let result = cluster.api.patch(kind, namespace(kind), name, Target::Main, &changes);
    result.map(|_| format!("{}/{name} scaled\n", kind.singular)).map_err(|status| status.message)
}

fn patch(cluster: &mut Cluster, word: &str, name: &str, text: &str) -> Result<String, String> {
    let kind = by_word(word).ok_or_else(|| format!("no kind {word:?}"))?;
    let changes: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let result = cluster.api.patch(kind, namespace(kind), name, Target::Main, &changes);
    Ok(match result {
        Ok(_) => format!("{}/{name} patched\n", kind.singular),
        Err(status) => format!("{}/{name}: {}\n", kind.singular, status.message),
    })
}

/// What an object says of itself.
fn conditions(cluster: &Cluster, word: &str, name: &str) -> Result<String, String> {
    let kind = by_word(word).ok_or_else(|| format!("no kind {word:?}"))?;
    let found = cluster.api.get(kind, namespace(kind), name);
    let found = found.ok_or_else(|| format!("no {word}/{name}"))?;
    let mut out = String::new();
    for one in found["status"]["conditions"].as_array().into_iter().flatten() {
        let text = |field: &str| one[field].as_str().unwrap_or("");
        let _ = writeln!(
            out,
            "{}={} {}: {}",
            text("type"),
            text("status"),
            text("reason"),
            text("message")
        );
    }
    Ok(out)
}

/// What happens to the controllers after so many more actions.
fn set_fault(cluster: &mut Cluster, fault: &str, after: &str) -> Result<String, String> {
    let fault = match fault {
        "crash" => Fault::Crash,
        "freeze" => Fault::Freeze,
        "hide" => Fault::Hide,
        _ => return Err(format!("{fault:?} is not crash, freeze or hide")),
    };
    let after = after.parse().map_err(|_| format!("{after:?} is not a number"))?;
    cluster.fault = Some((fault, after));
    Ok(String::new())
}

fn delete(
    cluster: &mut Cluster,
    word: &str,
    name: &str,
    propagation: Propagation,
) -> Result<String, String> {
    let kind = by_word(word).ok_or_else(|| format!("no kind {word:?}"))?;
    let options = DeleteOptions { propagation, ..DeleteOptions::default() };
    let result = cluster.api.delete(kind, namespace(kind), name, &options);
    result.map(|_| format!("{}/{name} deleted\n", kind.singular)).map_err(|status| status.message)
}
