//! Containers that are added to a pod that runs.

use super::*;

/// The pod of a world with these containers added.
fn add_to(world: &mut World, containers: serde_json::Value) {
    let mut pod = world.machine.pod.as_ref().clone();
    pod.spec.as_mut().unwrap().ephemeral_containers =
        Some(serde_json::from_value(containers).unwrap());
    world.event(Event::Spec(Arc::new(pod)));
}

/// How many containers have been started.
fn starts(world: &mut World) -> usize {
    let count = world.log.iter().filter(|line| line.starts_with("start ")).count();
    world.quiet();
    count
}

// Red when a machine's slots are those it began with: nothing was ever started.
#[test]
fn is_started_once_and_changes_nothing_of_the_pod() {
    let mut world = World::new(one(json!({})));
    world.wake().quiet();
    add_to(&mut world, json!([{"name": "d", "image": "j", "targetContainerName": "c"}]));
    world
        .said(&[
            "start d #0 in s0",
            "event Pulled: Container image \"i\" already present on machine",
            "event Created: Created container: d",
            "event Started: Started container d",
        ])
        .status("Running ready=True c:running/0 d:running/0");
    world.exit("d", 3).status("Running ready=True c:running/0 d:Error(3)/0").quiet();
    world.after(1000).said(&[]);
    assert_eq!(world.machine.next_wake(), None);
    let status = world.machine.status("10.1.1.1", world.now);
    let mut added = status.ephemeral_container_statuses.unwrap();
    let added = added.remove(0);
    assert_eq!((added.ready, added.started, added.restart_count), (false, None, 0));
    add_to(&mut world, json!([{"name": "e", "image": "j"}, {"name": "d", "image": "j"}]));
    world.status("Running ready=True c:running/0 e:running/0 d:Error(3)/0");
    // A new sandbox is for what makes up the pod.
    world.quiet().event(Event::Observed(Observed::default()));
    assert_eq!(starts(&mut world), 1);
    world.status("Running ready=True c:running/1<137 e:ContainerStatusUnknown(137)/0 d:Error(3)/0");
}

#[test]
fn ends_with_the_pod_and_does_not_keep_it() {
    let mut world =
        World::new(json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}));
    world.wake().quiet();
    add_to(&mut world, json!([{"name": "d", "image": "j"}]));
    world.quiet().exit("c", 0).said(&["event Killing: Stopping container d", "stop d1 in 30s"]);
    world.exit("d", 137).said(&["tear down s0"]);
    world.status("Succeeded ready=False c:Completed(0)/0 d:Error(137)/0");
}

#[test]
fn does_not_wait_for_the_containers_of_the_pod() {
    let mut world = World::new(json!({"initContainers": [{"name": "i", "image": "i"}],
        "containers": [{"name": "c", "image": "i"}]}));
    world.wake().quiet();
    add_to(&mut world, json!([{"name": "d", "image": "j"}]));
    world.status("Pending ready=False i:running/0 c:PodInitializing/0 d:running/0");
    let (_, _, message) = world.condition("ContainersReady");
    assert_eq!(message, "containers with unready status: [c]");
}

// Red when a container that is added is looked at by nobody: it would run with what the node refuses to pods.
#[test]
fn never_runs_what_the_node_refuses_and_leaves_the_pod_alone() {
    let mut world = World::new(one(json!({})));
    world.wake().quiet();
    let profile = json!({"type": "Localhost", "localhostProfile": "p"});
    add_to(
        &mut world,
        json!([{"name": "d", "image": "j", "securityContext": {"appArmorProfile": profile}}]),
    );
    assert_eq!(world.log.len(), 1, "{:?}", world.log);
    assert!(world.log[0].starts_with("event Failed: Error: "), "{:?}", world.log);
    assert!(world.log[0].contains("spec.ephemeralContainers[0].securityContext.appArmorProfile"));
    world.quiet().status("Running ready=True c:running/0 d:CreateContainerConfigError/0");
    world.event(Event::Changed).after(1000).said(&[]);
}

#[test]
fn what_ran_before_the_agent_did_is_not_started_again() {
    let added = ["d", "e", "f"].map(|name| json!({"name": name, "image": "j"}));
    let mut pod =
        pod(json!({"containers": [{"name": "c", "image": "i"}], "ephemeralContainers": added}));
    pod.status = serde_json::from_value(json!({"ephemeralContainerStatuses": [
        {"name": "e", "image": "j", "imageID": "", "ready": false, "restartCount": 0,
         "state": {"terminated": {"exitCode": 4, "reason": "Error", "containerID": "leme://gone"}}},
    ]}))
    .unwrap();
    let observed = Observed {
        sandboxes: vec![sandbox("s0", SandboxState::Ready)],
        containers: vec![
            container("c0", "c", 0, ContainerState::Running, 0),
            container("d0", "d", 0, ContainerState::Exited, 1),
        ],
    };
    let mut world = World::with(pod, &observed);
    world.wake();
    assert_eq!(starts(&mut world), 1);
    world.status("Running ready=True c:running/0 d:Error(1)/0 e:Error(4)/0 f:running/0");
}

// Red when a status does not say which specification it is about.
#[test]
fn a_status_says_of_which_generation_it_is() {
    let mut world = World::new(one(json!({})));
    let mut pod = world.machine.pod.as_ref().clone();
    pod.metadata.generation = Some(7);
    world.wake().event(Event::Spec(Arc::new(pod)));
    let status = world.machine.status("10.1.1.1", world.now);
    assert_eq!(status.observed_generation, Some(7));
    assert!(status.conditions.unwrap().iter().all(|c| c.observed_generation == Some(7)));
}
