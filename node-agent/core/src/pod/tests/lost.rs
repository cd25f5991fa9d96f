//! Pods whose runtime has forgotten them: what the API knows decides.

use super::*;

/// A pod as the API has it after its node was taken down: the states of its containers by name, init containers by
/// an `i` in front.
fn remembered(spec: serde_json::Value, states: &[(&str, i32, serde_json::Value)]) -> Pod {
    let mut pod = pod(spec);
    let status = |(name, restarts, state): &(&str, i32, serde_json::Value)| {
        json!({"name": name, "restartCount": restarts, "image": "i", "imageID": "sha256:1",
            "containerID": format!("leme://{name}-old"), "ready": false, "state": state})
    };
    let (inits, mains): (Vec<_>, Vec<_>) = states.iter().partition(|(n, ..)| n.starts_with('i'));
    pod.status = serde_json::from_value(json!({"phase": "Running",
        "initContainerStatuses": inits.into_iter().map(status).collect::<Vec<_>>(),
        "containerStatuses": mains.into_iter().map(status).collect::<Vec<_>>()}))
    .unwrap();
    pod
}

fn ended(code: i32) -> serde_json::Value {
    let reason = if code == 0 { "Completed" } else { "Error" };
    json!({"terminated": {"exitCode": code, "reason": reason, "containerID": "leme://x",
        "startedAt": "2023-11-14T22:00:00Z", "finishedAt": "2023-11-14T22:01:00Z"}})
}

fn runs() -> serde_json::Value {
    json!({"running": {"startedAt": "2023-11-14T22:00:00Z"}})
}

fn two(policy: &str) -> serde_json::Value {
    json!({"restartPolicy": policy,
        "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]})
}

fn started(world: &World) -> Vec<&str> {
    world.log.iter().map(String::as_str).filter(|line| line.starts_with("start ")).collect()
}

/// Red when a container without a record starts as if it had never run.
#[test]
fn what_never_restarts_does_not_run_again() {
    let pod = remembered(two("Never"), &[("a", 0, ended(0)), ("b", 0, runs())]);
    let mut world = World::with(pod, &Observed::default());
    world.wake().said(&["tear down -"]);
    world.status("Failed ready=False a:Completed(0)/0 b:ContainerStatusUnknown(137)/0");
    let status = world.machine.status("", world.now);
    let shown = status.container_statuses.unwrap().remove(0);
    let terminated = shown.state.unwrap().terminated.unwrap();
    assert_eq!(shown.container_id.as_deref(), Some("leme://x"));
    assert_eq!(terminated.finished_at.unwrap().0.to_string(), "2023-11-14T22:01:00Z");
    // Both had come to their end, and nobody was told of the second any more.
    let pod = remembered(two("Never"), &[("a", 0, ended(0)), ("b", 0, ended(0))]);
    let mut world = World::with(pod, &Observed::default());
    world.wake().said(&["tear down -"]);
    world.status("Succeeded ready=False a:Completed(0)/0 b:Completed(0)/0");
}

#[test]
fn the_restart_policy_decides_what_runs_again() {
    let world = |policy: &str| {
        let pod = remembered(two(policy), &[("a", 2, ended(0)), ("b", 0, runs())]);
        let mut world = World::with(pod, &Observed::default());
        world.wake();
        world
    };
    let mut failed = world("OnFailure");
    assert_eq!(started(&failed), ["start b #1 in s0"]);
    failed.status("Running ready=False a:Completed(0)/2 b:running/1<137");
    let mut always = world("Always");
    assert_eq!(started(&always), ["start a #3 in s0", "start b #1 in s0"]);
    always.status("Running ready=True a:running/3<0 b:running/1<137");
}

/// What was waiting to start again does so, and what came before is not forgotten.
#[test]
fn a_crash_loop_goes_on() {
    let mut pod =
        remembered(one(json!({})), &[("c", 3, json!({"waiting": {"reason": "CrashLoopBackOff"}}))]);
    pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0].last_state =
        serde_json::from_value(ended(7)).unwrap();
    let mut world = World::with(pod, &Observed::default());
    world.wake();
    assert_eq!(started(&world), ["start c #4 in s0"]);
    world.status("Running ready=True c:running/4<7");
}

fn with_inits(policy: &str) -> serde_json::Value {
    json!({"restartPolicy": policy,
        "initContainers": [{"name": "i", "image": "i"},
            {"name": "is", "image": "i", "restartPolicy": "Always"}],
        "containers": [{"name": "a", "image": "i"}]})
}

#[test]
fn init_containers_run_again_only_where_the_pod_does() {
    let states = [("i", 0, ended(0)), ("is", 0, runs()), ("a", 0, runs())];
    let mut never = World::with(remembered(with_inits("Never"), &states), &Observed::default());
    never.wake().said(&["tear down -"]);
    never.status(
        "Failed ready=False i:Completed(0)/0 is:ContainerStatusUnknown(137)/0 \
         a:ContainerStatusUnknown(137)/0",
    );
    // In a new sandbox its init containers come first. Red when the main container does not wait for them.
    let mut always = World::with(remembered(with_inits("Always"), &states), &Observed::default());
    always.wake();
    assert_eq!(started(&always), ["start i #1 in s0"]);
    always.quiet().exit("i", 0);
    assert_eq!(started(&always), ["start is #1 in s0", "start a #1 in s0"]);
    always.status("Running ready=True i:Completed(0)/1<0 is:running/1<137 a:running/1<137");
    // The API lets none leave a good end: it is shown as it was until it has run again.
    let mut failure =
        World::with(remembered(with_inits("OnFailure"), &states), &Observed::default());
    failure.wake();
    assert_eq!(started(&failure), ["start i #1 in s0"]);
    failure.status(
        "Running ready=False i:Completed(0)/1<0 is:ContainerStatusUnknown(137)/0 \
         a:ContainerStatusUnknown(137)/0",
    );
}

/// An init container that was under way with restartPolicy Never: the pod has failed.
#[test]
fn a_lost_init_container_fails_a_pod_that_never_restarts() {
    let waits = json!({"waiting": {"reason": "PodInitializing"}});
    let states = [("i", 0, runs()), ("is", 0, waits.clone()), ("a", 0, waits)];
    let mut pod = remembered(with_inits("Never"), &states);
    for status in pod.status.as_mut().unwrap().container_statuses.iter_mut().flatten() {
        status.container_id = None;
    }
    let mut world = World::with(pod, &Observed::default());
    world.wake().said(&["tear down -"]);
    assert_eq!(world.machine.status("", world.now).phase.as_deref(), Some("Failed"));
}

/// A sandbox lost while the agent runs: with restartPolicy Never no init container leaves its end.
#[test]
fn a_lost_sandbox_runs_no_init_container_of_a_pod_that_never_restarts() {
    let spec = json!({"restartPolicy": "Never",
        "initContainers": [{"name": "i", "image": "i"}],
        "containers": [{"name": "a", "image": "i"}]});
    let mut world = World::new(spec);
    world.wake().exit("i", 0).quiet().event(Event::Observed(Observed::default()));
    assert!(started(&world).is_empty(), "{:?}", world.log);
    world.status("Failed ready=False i:Completed(0)/0 a:ContainerStatusUnknown(137)/0");
}

/// A pod that the API calls ended keeps what the API knows of its containers.
#[test]
fn an_ended_pod_keeps_its_statuses() {
    let mut pod = remembered(two("Never"), &[("a", 0, ended(0)), ("b", 0, ended(3))]);
    pod.status.as_mut().unwrap().phase = Some("Failed".into());
    let mut world = World::with(pod, &Observed::default());
    world.wake().said(&[]);
    world.status("Failed ready=False a:Completed(0)/0 b:Error(3)/0");
}
