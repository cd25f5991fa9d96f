//! Transcripts of the pod machine: events on the left, effects on the right, no clock.

mod added;
mod adopted;
mod lost;
mod probes;
mod resized;
mod restarts;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::backoff::add;
use crate::cri::{ContainerState, SandboxState};
use crate::refuse::Policy;

/// A pod with a runtime that does at once what it is told.
struct World {
    machine: PodMachine,
    now: Timestamp,
    ids: u32,
    log: Vec<String>,
}

fn pod(spec: serde_json::Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}))
    .unwrap()
}

fn container(
    id: &str,
    name: &str,
    attempt: u32,
    state: ContainerState,
    code: i32,
) -> ContainerStatus {
    let annotations = BTreeMap::from([(crate::config::IMAGE.to_owned(), "i".to_owned())]);
    ContainerStatus {
        id: id.into(),
        sandbox_id: "s0".into(),
        name: name.into(),
        attempt,
        state,
        pid: 1,
        created_at: 1,
        started_at: 0,
        finished_at: 0,
        exit_code: code,
        oom_killed: false,
        reason: String::new(),
        message: String::new(),
        image: "i".into(),
        image_id: "sha256:1".into(),
        log_path: String::new(),
        labels: BTreeMap::new(),
        annotations,
    }
}

fn sandbox(id: &str, state: SandboxState) -> SandboxStatus {
    SandboxStatus {
        id: id.into(),
        pod: Default::default(),
        attempt: 0,
        state,
        ip: "10.0.0.9".into(),
        created_at: 1,
        labels: BTreeMap::new(),
    }
}

impl World {
    fn new(spec: serde_json::Value) -> Self {
        Self::with(pod(spec), &Observed::default())
    }

    fn with(pod: Pod, observed: &Observed) -> Self {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let machine = PodMachine::new(Arc::new(pod), observed, &Policy::default(), now);
        Self { machine, now, ids: 0, log: Vec::new() }
    }

    /// Takes an event in; volumes, sandboxes, starts and tear-downs succeed at once.
    fn event(&mut self, event: Event) -> &mut Self {
        let mut effects = self.machine.step(event, self.now);
        for _ in 0..50 {
            let mut answers = Vec::new();
            for effect in effects.drain(..) {
                self.log.push(show(&effect));
                match effect {
                    Effect::PrepareVolumes => answers.push(Event::Volumes(Ok(()))),
                    Effect::RunSandbox { attempt } => {
                        answers
                            .push(Event::Sandbox(Ok((format!("s{attempt}"), "10.0.0.9".into()))));
                    }
                    Effect::StartContainer { name, attempt, .. } => {
                        let id = format!("{name}{}", self.ids);
                        self.ids += 1;
                        let mut status = container(&id, &name, attempt, ContainerState::Running, 0);
                        let asked = self.machine.to_run(&name).unwrap();
                        let given = crate::resources::text(asked.resources.as_ref());
                        let annotations = [
                            (crate::config::IMAGE, asked.image.unwrap()),
                            (crate::config::RESOURCES, given),
                        ];
                        status.annotations.extend(annotations.map(|(k, v)| (k.to_owned(), v)));
                        answers.push(Event::Started { name, result: Ok(status) });
                    }
                    Effect::TearDown { .. } => answers.push(Event::TornDown(Ok(()))),
                    _ => {}
                }
            }
            for answer in answers {
                effects.extend(self.machine.step(answer, self.now));
            }
        }
        self
    }

    fn wake(&mut self) -> &mut Self {
        self.event(Event::Wake)
    }

    fn after(&mut self, seconds: i64) -> &mut Self {
        self.now = add(self.now, SignedDuration::from_secs(seconds));
        self.wake()
    }

    fn exit(&mut self, name: &str, code: i32) -> &mut Self {
        let slot = self.machine.slots.iter().find(|s| s.name == name).unwrap();
        let id = slot.current_id().unwrap().to_owned();
        let attempt = slot.next - 1;
        self.event(Event::Exited(container(&id, name, attempt, ContainerState::Exited, code)))
    }

    fn probed(&mut self, name: &str, kind: Kind, outcome: Outcome) -> &mut Self {
        let slot = self.machine.slots.iter().find(|s| s.name == name).unwrap();
        let id = slot.current_id().unwrap().to_owned();
        self.event(Event::Probed { name: name.into(), id, kind, outcome })
    }

    fn delete(&mut self, grace: i64) -> &mut Self {
        let mut pod = self.machine.pod.as_ref().clone();
        let meta = &mut pod.metadata;
        meta.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.now));
        meta.deletion_grace_period_seconds = Some(grace);
        self.event(Event::Spec(Arc::new(pod)))
    }

    /// The effects since the last call.
    fn said(&mut self, want: &[&str]) -> &mut Self {
        let got = std::mem::take(&mut self.log);
        assert_eq!(got, want, "effects");
        self
    }

    fn quiet(&mut self) -> &mut Self {
        self.log.clear();
        self
    }

    /// Phase, readiness and containers in one line.
    fn status(&mut self, want: &str) -> &mut Self {
        let status = self.machine.status("10.1.1.1", self.now);
        let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready").unwrap();
        let mut line = format!("{} ready={}", status.phase.unwrap(), ready.status);
        let inits = status.init_container_statuses.into_iter().flatten();
        let added = status.ephemeral_container_statuses.into_iter().flatten();
        for c in inits.chain(status.container_statuses.into_iter().flatten()).chain(added) {
            let state = c.state.unwrap();
            let text = match (state.waiting, state.running, state.terminated) {
                (Some(w), ..) => w.reason.unwrap(),
                (_, Some(_), _) => "running".into(),
                (.., Some(t)) => format!("{}({})", t.reason.unwrap(), t.exit_code),
                _ => "nothing".into(),
            };
            let last = c.last_state.and_then(|l| l.terminated).map(|t| format!("<{}", t.exit_code));
            line += &format!(" {}:{text}/{}{}", c.name, c.restart_count, last.unwrap_or_default());
        }
        assert_eq!(line, want);
        self
    }

    fn condition(&mut self, kind: &str) -> (String, String, String) {
        let status = self.machine.status("10.1.1.1", self.now);
        let found = status.conditions.into_iter().flatten().find(|c| c.type_ == kind).unwrap();
        (found.status, found.reason.unwrap_or_default(), found.message.unwrap_or_default())
    }
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::PrepareVolumes => "volumes".into(),
        Effect::RunSandbox { attempt } => format!("sandbox {attempt}"),
        Effect::StartContainer { name, attempt, sandbox } => {
            format!("start {name} #{attempt} in {sandbox}")
        }
        Effect::StopContainer { id, grace, pre_stop, .. } => {
            let hook = if pre_stop.is_some() { " after hook" } else { "" };
            format!("stop {id} in {}s{hook}", grace.as_secs())
        }
        Effect::RemoveContainer { id } => format!("remove {id}"),
        Effect::PostStart { id, .. } => format!("post-start {id}"),
        Effect::Probe { id, kind, .. } => format!("probe {} {id}", kind.title()),
        Effect::TearDown { sandbox } => {
            format!("tear down {}", sandbox.as_deref().unwrap_or("-"))
        }
        Effect::RemoveSandbox { id } => format!("remove sandbox {id}"),
        Effect::Emit(notice) => format!("event {}: {}", notice.reason, notice.message),
        Effect::DeleteFromApi => "delete".into(),
        Effect::Forget => "forget".into(),
    }
}

fn one(more: serde_json::Value) -> serde_json::Value {
    let mut container = json!({"name": "c", "image": "i"});
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"containers": [container]})
}

// Red when a pod over its limit runs on.
#[test]
fn is_evicted_when_it_uses_too_much() {
    let message = "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ";
    let mut world = World::new(one(json!({})));
    world.wake().quiet();
    world
        .event(Event::Evicted(message.into()))
        .said(&[
            &format!("event Evicted: {message}"),
            "event Killing: Stopping container c",
            "stop c0 in 1s",
        ])
        .status("Running ready=True c:running/0")
        .event(Event::Evicted(message.into()))
        .said(&[])
        .exit("c", 137)
        .said(&["tear down s0"])
        .status("Failed ready=False c:Error(137)/0");
    let status = world.machine.status("10.1.1.1", world.now);
    assert_eq!(status.reason.as_deref(), Some("Evicted"));
    assert_eq!(status.message.as_deref(), Some(message));
    assert!(!world.machine.volumes_ready());
    world.after(3600).said(&[]).delete(30).said(&["delete"]);
}

#[test]
fn comes_up_and_goes_down() {
    World::new(one(json!({})))
        .status("Pending ready=False c:ContainerCreating/0")
        .wake()
        .said(&[
            "volumes",
            "sandbox 0",
            "start c #0 in s0",
            "event Pulled: Container image \"i\" already present on machine",
            "event Created: Created container: c",
            "event Started: Started container c",
        ])
        .status("Running ready=True c:running/0")
        .delete(30)
        .said(&["event Killing: Stopping container c", "stop c0 in 30s"])
        .delete(5)
        .said(&["stop c0 in 5s"])
        .exit("c", 0)
        .said(&["tear down s0", "delete"])
        .status("Succeeded ready=False c:Completed(0)/0")
        .wake()
        .said(&[])
        .event(Event::Gone)
        .said(&["forget"]);
}

#[test]
fn deleted_before_it_ran() {
    let mut world = World::new(one(json!({})));
    world.delete(30).said(&["tear down -", "delete"]).event(Event::Gone).said(&["forget"]);
}

#[test]
fn crash_loop() {
    let mut world = World::new(one(json!({})));
    world.wake().quiet().exit("c", 1);
    assert_eq!(world.log[0], "start c #1 in s0", "the first restart is immediate");
    world.status("Running ready=True c:running/1<1").quiet().exit("c", 2);
    world
        .said(&["event BackOff: Back-off restarting failed container c in pod p_n(u)"])
        .status("Running ready=False c:CrashLoopBackOff/1<2")
        .after(9)
        .said(&[])
        .after(1);
    assert_eq!(world.log[..2], ["remove c0".to_owned(), "start c #2 in s0".to_owned()]);
}

#[test]
fn another_image_is_tried_at_once() {
    let mut world = World::new(one(json!({})));
    world.wake().exit("c", 1).exit("c", 1).status("Running ready=False c:CrashLoopBackOff/1<1");
    let mut pod = world.machine.pod.as_ref().clone();
    pod.spec.as_mut().unwrap().containers[0].image = Some("j".into());
    world.quiet().event(Event::Spec(Arc::new(pod)));
    assert_eq!(world.log[..2], ["remove c0".to_owned(), "start c #2 in s0".to_owned()]);
}

#[test]
fn restart_policies() {
    let check = |policy: &str, code, want: &str| {
        let mut spec = one(json!({}));
        spec["restartPolicy"] = policy.into();
        let mut world = World::new(spec);
        world.wake().exit("c", code).status(want);
    };
    check("Never", 0, "Succeeded ready=False c:Completed(0)/0");
    check("Never", 3, "Failed ready=False c:Error(3)/0");
    check("OnFailure", 0, "Succeeded ready=False c:Completed(0)/0");
    check("OnFailure", 3, "Running ready=True c:running/1<3");
    check("Always", 0, "Running ready=True c:running/1<0");
}

#[test]
fn init_containers_come_in_order() {
    let mut world = World::new(json!({
        "initContainers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}],
        "containers": [{"name": "c", "image": "i"}]}));
    world.wake().status("Pending ready=False a:running/0 b:PodInitializing/0 c:PodInitializing/0");
    let (status, reason, message) = world.condition("Initialized");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ContainersNotInitialized"));
    assert_eq!(message, "containers with incomplete status: [a b]");
    world.exit("a", 0).exit("b", 0);
    world.status("Running ready=True a:Completed(0)/0 b:Completed(0)/0 c:running/0");
    assert_eq!(world.condition("Initialized").0, "True");
}

#[test]
fn failed_init_fails_the_pod() {
    let mut world = World::new(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "a", "image": "i"}],
        "containers": [{"name": "c", "image": "i"}]}));
    world.wake().exit("a", 1).status("Failed ready=False a:Error(1)/0 c:PodInitializing/0");
}

#[test]
fn sidecars_outlive_the_rest() {
    let mut world = World::new(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "a", "image": "i", "restartPolicy": "Always"}],
        "containers": [{"name": "c", "image": "i"}]}));
    world.wake().status("Running ready=True a:running/0 c:running/0").quiet();
    world.exit("c", 0).said(&["event Killing: Stopping container a", "stop a0 in 30s"]);
    world.exit("a", 143).status("Succeeded ready=False a:Error(143)/0 c:Completed(0)/0");
}

/// Red when what has not been read yet counts as failures: the first fault after it is then waited out for a minute.
#[test]
fn waiting_to_hear_of_something_is_no_failure() {
    let mut machine = World::new(one(json!({}))).machine;
    let now = Timestamp::UNIX_EPOCH;
    machine.step(Event::Wake, now);
    for _ in 0..9 {
        machine.step(Event::Volumes(Err(String::new())), now);
        let again = machine.step(Event::Changed, now);
        assert!(matches!(again[..], [Effect::PrepareVolumes]), "{again:?}");
    }
    machine.step(Event::Volumes(Err("no disk".into())), now);
    assert_eq!(machine.next_wake(), Some(add(now, SignedDuration::from_secs(2))));
}

#[test]
fn says_what_is_missing() {
    let check = |error: StartError, reason: &str, message: &str| {
        let mut machine = World::new(one(json!({}))).machine;
        let now = Timestamp::UNIX_EPOCH;
        machine.step(Event::Wake, now);
        machine.step(Event::Volumes(Ok(())), now);
        machine.step(Event::Sandbox(Ok(("s0".into(), "1.1.1.1".into()))), now);
        machine.step(Event::Started { name: "c".into(), result: Err(error) }, now);
        let status = machine.status("10.1.1.1", now).container_statuses.unwrap().remove(0);
        let waiting = status.state.unwrap().waiting.unwrap();
        assert_eq!(waiting.reason.as_deref(), Some(reason));
        assert_eq!(waiting.message.unwrap_or_default(), message);
        let again = machine.step(Event::Changed, now);
        assert!(matches!(again[0], Effect::StartContainer { .. }), "{again:?}");
    };
    check(StartError::NoImage("m".into()), "ErrImagePull", "m");
    check(StartError::NeverPull("m".into()), "ErrImageNeverPull", "m");
    check(
        StartError::Config("secret \"x\" not found".into()),
        "CreateContainerConfigError",
        "secret \"x\" not found",
    );
    check(StartError::Loading, "ContainerCreating", "");
}

#[test]
fn deadline_fails_the_pod() {
    let mut spec = one(json!({}));
    spec["activeDeadlineSeconds"] = 60.into();
    let mut world = World::new(spec);
    world.wake().quiet().after(60).exit("c", 143).status("Failed ready=False c:Error(143)/0");
    let status = world.machine.status("10.1.1.1", world.now);
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
}

/// Red when only the exit code decides: the next container starts, the pod succeeds.
#[test]
fn out_of_memory_is_a_failure_whatever_the_exit_code() {
    let killed = |world: &World, name: &str| {
        let slot = world.machine.slots.iter().find(|s| s.name == name).unwrap();
        let (id, attempt) = (slot.current_id().unwrap(), slot.next - 1);
        let status = container(id, name, attempt, ContainerState::Exited, 0);
        Event::Exited(ContainerStatus { oom_killed: true, ..status })
    };
    let spec = |policy: &str| {
        json!({"restartPolicy": policy, "initContainers": [{"name": "a", "image": "i"}],
            "containers": [{"name": "c", "image": "i"}]})
    };
    let mut world = World::new(spec("Never"));
    world.wake();
    let event = killed(&world, "a");
    world.event(event).status("Failed ready=False a:OOMKilled(0)/0 c:PodInitializing/0");
    let mut world = World::new(spec("OnFailure"));
    world.wake();
    let event = killed(&world, "a");
    world.event(event).status("Pending ready=False a:running/1<0 c:PodInitializing/0");
    world.exit("a", 0);
    let event = killed(&world, "c");
    world.event(event).status("Running ready=True a:Completed(0)/1<0 c:running/1<0");
    let mut world = World::new(spec("Never"));
    world.wake().exit("a", 0);
    let event = killed(&world, "c");
    world.event(event).status("Failed ready=False a:Completed(0)/0 c:OOMKilled(0)/0");
    // While it was being deleted, too.
    let mut world = World::new(spec("Always"));
    world.wake().exit("a", 0).delete(30);
    let event = killed(&world, "c");
    world.event(event).status("Failed ready=False a:Completed(0)/0 c:OOMKilled(0)/0");
}

/// Red when a start that takes another's place is shown as such: waiting, not ready, its last run forgotten.
#[test]
fn another_image_shows_no_moment_between() {
    let mut world = World::new(one(json!({})));
    world.wake().exit("c", 3).status("Running ready=True c:running/1<3");
    let mut pod = world.machine.pod.as_ref().clone();
    pod.spec.as_mut().unwrap().containers[0].image = Some("j".into());
    let now = world.now;
    let effects = world.machine.step(Event::Spec(Arc::new(pod)), now);
    assert!(matches!(&effects[1], Effect::StopContainer { id, .. } if id == "c1"), "{effects:?}");
    world.status("Running ready=True c:running/1<3");
    // Red when the image is the specification's: that container does not run yet.
    let shown = world.machine.status("", now).container_statuses.unwrap();
    assert_eq!(shown[0].image, "i");
    let ended = container("c1", "c", 1, ContainerState::Exited, 143);
    let effects = world.machine.step(Event::Exited(ended), now);
    let started = |e: &Effect| matches!(e, Effect::StartContainer { attempt: 2, .. });
    assert!(effects.iter().any(started), "{effects:?}");
    world.status("Running ready=True c:running/1<3");
    let mut status = container("c2", "c", 2, ContainerState::Running, 0);
    status.annotations.insert(crate::config::IMAGE.to_owned(), "j".into());
    let result = Ok(status);
    world.machine.step(Event::Started { name: "c".into(), result }, now);
    world.status("Running ready=True c:running/2<143");
}
