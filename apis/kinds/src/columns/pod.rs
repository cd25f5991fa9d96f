//! Columns of pods. The STATUS column folds phase, conditions and the state of every container into one word.

use jiff::Timestamp;
use leme_meta::time;
use serde_json::Value;

use super::{AGE, NONE, int, list, shown, text, text_or, wide};
use crate::Column;

pub(crate) const POD: &[Column] = &[
    shown("Ready", |pod, _| {
        let summary = Summary::of(pod);
        format!("{}/{}", summary.ready, summary.total).into()
    }),
    shown("Status", |pod, _| Summary::of(pod).reason.into()),
    shown("Restarts", |pod, now| Summary::of(pod).restarts_shown(now).into()),
    AGE,
    wide("IP", |pod, _| {
        text_or(pod, "/status/podIPs/0/ip", text_or(pod, "/status/podIP", NONE)).into()
    }),
    wide("Node", |pod, _| text_or(pod, "/spec/nodeName", NONE).into()),
    wide("Nominated Node", |pod, _| text_or(pod, "/status/nominatedNodeName", NONE).into()),
    wide("Readiness Gates", |pod, _| readiness_gates(pod).into()),
];

/// Restarts of some containers and when the last of them happened.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += int(status, "/restartCount");
        let finished = time::parse(text(status, "/lastState/terminated/finishedAt"));
        self.last = self.last.max(finished);
    }
}

/// A pod in one line.
struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: Restarts,
}

impl Summary {
    fn of(pod: &Value) -> Summary {
        let sidecars = list(pod, "/spec/initContainers").iter().filter(|one| restartable(one));
        let mut summary = Summary {
            ready: 0,
            total: list(pod, "/spec/containers").len() + sidecars.count(),
            reason: text_or(pod, "/status/reason", text(pod, "/status/phase")).to_owned(),
            restarts: Restarts::default(),
        };
        let gated = list(pod, "/status/conditions").iter().any(|condition| {
            text(condition, "/type") == "PodScheduled"
                && text(condition, "/reason") == "SchedulingGated"
        });
        if gated {
            "SchedulingGated".clone_into(&mut summary.reason);
        }
        let (initializing, of_sidecars) = summary.init(pod);
        if !initializing || condition_is_true(pod, "Initialized") {
            summary.restarts = of_sidecars;
            summary.main(pod);
        }
        summary.deletion(pod);
        summary
    }

    /// Folds in the init containers: whether they still hold the pod up, and the restarts of those that keep running.
    fn init(&mut self, pod: &Value) -> (bool, Restarts) {
        let specs = list(pod, "/spec/initContainers");
        let mut of_sidecars = Restarts::default();
        for (index, status) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
            let sidecar = specs
                .iter()
                .find(|spec| text(spec, "/name") == text(status, "/name"))
                .is_some_and(restartable);
            self.restarts.add(status);
            if sidecar {
                of_sidecars.add(status);
            }
            let ended = status.pointer("/state/terminated").filter(|state| state.is_object());
            if ended.is_some_and(|state| int(state, "/exitCode") == 0) {
                continue;
            }
            if sidecar && status.get("started") == Some(&Value::Bool(true)) {
                self.ready += usize::from(status.get("ready") == Some(&Value::Bool(true)));
                continue;
            }
            self.reason = match (ended, text(status, "/state/waiting/reason")) {
                (Some(state), _) => format!("Init:{}", ending(state)),
                (None, "" | "PodInitializing") => format!("Init:{index}/{}", specs.len()),
                (None, reason) => format!("Init:{reason}"),
            };
            return (true, of_sidecars);
        }
        (false, of_sidecars)
    }

    /// Folds in the main containers; the first of them that has something to say wins.
    fn main(&mut self, pod: &Value) {
        let mut running = false;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            self.restarts.add(status);
            let waiting = text(status, "/state/waiting/reason");
            let ended = status.pointer("/state/terminated").filter(|state| state.is_object());
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
            } else if let Some(state) = ended {
                self.reason = ending(state);
            } else if status.get("ready") == Some(&Value::Bool(true))
                && status.pointer("/state/running").is_some_and(Value::is_object)
            {
                running = true;
                self.ready += 1;
            }
        }
        if running && self.reason == "Completed" {
            let ready = condition_is_true(pod, "Ready");
            self.reason = if ready { "Running" } else { "NotReady" }.to_owned();
        }
    }

    fn deletion(&mut self, pod: &Value) {
        if pod.pointer("/metadata/deletionTimestamp").is_none_or(Value::is_null) {
            return;
        }
        if text(pod, "/status/reason") == "NodeLost" {
            "Unknown".clone_into(&mut self.reason);
        } else if !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut self.reason);
        }
    }

    fn restarts_shown(&self, now: Timestamp) -> String {
        match self.restarts {
            Restarts { count, last: Some(last) } if count != 0 => {
                format!("{count} ({} ago)", time::age(last, now))
            }
            Restarts { count, .. } => count.to_string(),
        }
    }
}

/// Whether an init container keeps running beside the main ones.
fn restartable(container: &Value) -> bool {
    text(container, "/restartPolicy") == "Always"
}

/// How a container ended: its reason, or its signal or exit code.
fn ending(state: &Value) -> String {
    match (text(state, "/reason"), int(state, "/signal")) {
        ("", 0) => format!("ExitCode:{}", int(state, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn condition_is_true(pod: &Value, kind: &str) -> bool {
    list(pod, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == kind)
        .is_some_and(|condition| text(condition, "/status") == "True")
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let open = gates.iter().filter(|gate| condition_is_true(pod, text(gate, "/conditionType")));
    format!("{}/{}", open.count(), gates.len())
}
