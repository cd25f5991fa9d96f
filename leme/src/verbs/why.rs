//! `leme why`: what an object is waiting for, followed down to whom it depends on.

use std::collections::HashSet;

use anyhow::{Result, bail};
use leme_meta::Object;
use serde_json::Value;

use crate::api::Api;
use crate::args::WhyArgs;
use crate::follow::Lister;
use crate::progress::{self, told};
use crate::served::{self, Cause};
use crate::{connect, say, targets};

/// Runs the command.
pub async fn run(args: &WhyArgs) -> Result<()> {
    let api = connect::connect(&args.connect).await?;
    let served = api.served().await?;
    let (kind, name) = targets::parse_one(&args.what, served)?;
    // Reached once before following, so that a cluster that is down is said at once.
    if api.find(&kind, &api.namespace, &name).await?.is_none() {
        bail!("Error from server (NotFound): {} {name:?} not found", kind.qualified());
    }
    // Events about what has no namespace are in another than one's own.
    let within = kind.namespaced.then_some(api.namespace.as_str());
    let mut lister = Lister::follow(&api, &progress::kinds_to_explain(served, &kind), within);
    while !lister.complete() {
        lister.changed().await;
    }
    if let Some(error) = lister.refused(&kind) {
        bail!("{error}");
    }
    let Some(object) = lister.get(&kind, &api.namespace, &name) else {
        bail!("Error from server (NotFound): {} {name:?} not found", kind.qualified());
    };
    let mut lines = explained(object, &kind.shown(&name), &lister);
    if served::state(object, &lister).trouble().is_some() {
        lines.extend(away(&api).await);
    }
    for (plural, why) in lister.all_refused() {
        lines.push(format!("{plural} were not looked at: {why}"));
    }
    say::line(lines.join("\n"))
}

/// Parts of the control plane that do not work, and why: whoever waits may wait for them. Where a server does not tell,
/// nothing is said.
async fn away(api: &Api) -> Vec<String> {
    // Servers warn of the kind itself, which nobody has asked for here.
    let client = api.client.clone().on_warning(|_| {});
    let told = client.get("/api/v1/componentstatuses").await.unwrap_or_default();
    let all = told["items"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter_map(ill).collect()
}

/// Why a component does not work, if it says so.
fn ill(component: &Value) -> Option<String> {
    let conditions = component["conditions"].as_array()?;
    let healthy = conditions.iter().find(|one| one["type"] == "Healthy")?;
    let (name, why) = (component["metadata"]["name"].as_str()?, healthy["message"].as_str()?);
    (healthy["status"] != "True").then(|| format!("the {name} does not work: {why}"))
}

/// Deepest chain of owners and causes shown.
const MAX_DEPTH: usize = 8;
/// Events shown of each object: the last ones.
const EVENTS: usize = 3;

/// What is to be said of an object, line by line.
fn explained(object: &Object, shown: &str, lister: &Lister) -> Vec<String> {
    let mut told = Explanation { lister, lines: Vec::new(), seen: HashSet::new() };
    told.explain(object, shown, 0);
    told.lines
}

struct Explanation<'a> {
    lister: &'a Lister,
    lines: Vec<String>,
    /// What has been explained: what several depend on is explained once.
    seen: HashSet<&'a str>,
}

impl<'a> Explanation<'a> {
    fn say(&mut self, depth: usize, line: &str) {
        self.lines.push(format!("{}{line}", "  ".repeat(depth)));
    }

    fn explain(&mut self, object: &'a Object, shown: &str, depth: usize) {
        let lister = self.lister;
        let state = served::state(object, lister);
        self.say(depth, &told(shown, &state));
        if !self.seen.insert(object.uid()) {
            return;
        }
        let finalizers = object.at(&["metadata", "finalizers"]).and_then(|list| list.as_array());
        if let Some(finalizers) = finalizers.filter(|_| object.is_deleting()) {
            let list: Vec<&str> = finalizers.iter().filter_map(|one| one.as_str()).collect();
            self.say(depth + 1, &format!("held by finalizers: {}", list.join(", ")));
        }
        let events = served::events(object, lister);
        for event in &events[events.len().saturating_sub(EVENTS)..] {
            let text = |field: &str| event[field].as_str().unwrap_or("");
            let count = event["count"].as_i64().filter(|count| *count > 1);
            let times = count.map(|count| format!(" (x{count})")).unwrap_or_default();
            let (type_, reason, message) = (text("type"), text("reason"), text("message"));
            self.say(depth + 1, &format!("{type_} {reason}: {message}{times}"));
        }
        if depth >= MAX_DEPTH {
            return;
        }
        for (shown, part) in served::parts(object, lister) {
            if served::state(part, lister).trouble().is_some() {
                self.explain(part, &shown, depth + 1);
            }
        }
        if state.trouble().is_some() {
            self.follow(object, depth + 1);
        }
    }

    /// Says where the trouble of an object comes from.
    fn follow(&mut self, object: &'a Object, depth: usize) {
        for cause in served::causes(object, self.lister) {
            match cause {
                Cause::Object(shown, object) => {
                    if !matches!(served::state(object, self.lister), served::State::Works(_)) {
                        self.explain(object, &shown, depth);
                    }
                }
                Cause::Said(line) => self.say(depth, &line),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_component_that_works_is_not_told_of() {
        let component = |status: &str| {
            let healthy =
                json!({"type": "Healthy", "status": status, "message": "nobody is there"});
            json!({"metadata": {"name": "scheduler"}, "conditions": [healthy]})
        };
        let told = Some("the scheduler does not work: nobody is there".to_owned());
        assert_eq!(ill(&component("False")), told);
        assert_eq!(ill(&component("Unknown")), told);
        assert_eq!(ill(&component("True")), None);
        assert_eq!(ill(&json!({})), None);
    }

    /// Red when the chain ends at the pod, and when its claim is told of once for each pod.
    #[test]
    fn a_trouble_is_followed_to_its_cause() {
        let typed = |api_version: &str, kind: &str, name: &str, owner: &str, rest: Value| {
            let mut object = json!({"apiVersion": api_version, "kind": kind,
                "metadata": {"name": name, "namespace": "n", "uid": name, "ownerReferences": [{"uid": owner}]}});
            for (key, value) in rest.as_object().unwrap() {
                object[key] = value.clone();
            }
            object
        };
        let pod = |name: &str| {
            let pending = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "message": "its claim is not bound"}]});
            let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
            let rest = json!({"spec": {"volumes": volumes}, "status": pending});
            (("", "pods"), typed("v1", "Pod", name, "web-1", rest))
        };
        let event = |message: &str, second: u32| {
            (
                ("", "events"),
                json!({"metadata": {"name": message}, "involvedObject": {"uid": "data"}, "type": "Normal",
                "reason": "FailedBinding", "message": message, "lastTimestamp": format!("2026-01-01T00:00:0{second}Z")}),
            )
        };
        let deployment =
            typed("apps/v1", "Deployment", "web", "", json!({"spec": {"replicas": 2}}));
        let set = typed("apps/v1", "ReplicaSet", "web-1", "web", json!({"spec": {"replicas": 2}}));
        let claim = json!({"spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}});
        let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": "fast", "uid": "fast"}});
        let lister = Lister::still([
            (("apps", "replicasets"), set),
            (
                ("", "persistentvolumeclaims"),
                typed("v1", "PersistentVolumeClaim", "data", "", claim),
            ),
            (("storage.k8s.io", "storageclasses"), class),
            pod("a"),
            pod("b"),
            event("third", 3),
            event("first", 1),
            event("fourth", 4),
            event("second", 2),
        ]);
        let expected = "\
deployment.apps/web waits: 0/2 available, 0 up to date: pod a: its claim is not bound
  replicaset/web-1 waits: 0/2 ready: pod a: its claim is not bound
    pod/a waits: its claim is not bound
      persistentvolumeclaim/data waits: Pending: fourth
        Normal FailedBinding: second
        Normal FailedBinding: third
        Normal FailedBinding: fourth
        there is no persistentvolume
    pod/b waits: its claim is not bound
      persistentvolumeclaim/data waits: Pending: fourth";
        let lines = explained(&Object(deployment), "deployment.apps/web", &lister);
        assert_eq!(lines.join("\n"), expected);
    }
}
