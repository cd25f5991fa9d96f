//! Pods that were there before, come back otherwise, or may not run at all.

use super::*;

#[test]
fn adopts_what_runs() {
    let observed = Observed {
        sandboxes: vec![sandbox("s0", SandboxState::Ready)],
        containers: vec![
            container("old", "c", 2, ContainerState::Exited, 1),
            container("new", "c", 3, ContainerState::Running, 0),
        ],
    };
    let mut world = World::with(pod(one(json!({}))), &observed);
    world.wake().said(&["volumes"]).status("Running ready=True c:running/3<1");
    world.event(Event::Observed(observed)).said(&[]);
}

#[test]
fn makes_a_lost_sandbox_anew() {
    let mut world = World::new(one(json!({})));
    world.wake().quiet();
    world.event(Event::Observed(Observed {
        sandboxes: vec![sandbox("s0", SandboxState::NotReady)],
        containers: vec![container("c0", "c", 0, ContainerState::Exited, 137)],
    }));
    let log: Vec<&str> = world.log.iter().map(String::as_str).collect();
    assert_eq!(
        log[..4],
        [
            "event SandboxChanged: Pod sandbox changed, it will be killed and re-created.",
            "sandbox 1",
            "remove sandbox s0",
            "start c #1 in s1",
        ]
    );
    world.status("Running ready=True c:running/1<137");
}

#[test]
fn an_ended_pod_stays_ended() {
    let mut ended = pod(one(json!({})));
    ended.status = serde_json::from_value(json!({"phase": "Failed", "reason": "Evicted"})).unwrap();
    let mut world = World::with(ended, &Observed::default());
    world.wake().said(&[]);
    let status = world.machine.status("10.1.1.1", world.now);
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref()),
        (Some("Failed"), Some("Evicted"))
    );
}

#[test]
fn an_orphan_goes() {
    let observed = Observed {
        sandboxes: vec![sandbox("s0", SandboxState::Ready)],
        containers: vec![container("x", "c", 0, ContainerState::Running, 0)],
    };
    let mut bare = pod(json!({"containers": []}));
    bare.spec = None;
    let mut world = World::with(bare.clone(), &Observed::default());
    world.machine = PodMachine::orphan(Arc::new(bare), &observed, world.now);
    world.wake().said(&["event Killing: Stopping container c", "stop x in 2s"]);
    world.exit("c", 137).said(&["tear down s0", "forget"]);
}

#[test]
fn late_answers_are_ignored() {
    let mut world = World::new(one(json!({"readinessProbe": {"exec": {"command": ["x"]}}})));
    world.wake().quiet();
    for id in ["", "old"] {
        world.event(Event::Probed {
            name: "c".into(),
            id: id.into(),
            kind: Kind::Readiness,
            outcome: Outcome::Success,
        });
    }
    world.event(Event::Exited(container("old", "c", 0, ContainerState::Exited, 1)));
    world.event(Event::TornDown(Ok(())));
    world.event(Event::Sandbox(Ok(("s9".into(), String::new()))));
    world.said(&["remove sandbox s9"]).status("Running ready=False c:running/0");
}

/// Red when `must_stop` does not look at the refusal: the sandbox is made.
#[test]
fn a_refused_pod_never_runs() {
    let mut world = World::new(json!({"hostPID": true, "containers": [{"name": "c"}]}));
    let why = "Pod requires node features that are not available: spec.hostPID \
               (containers have a process namespace of their own)";
    world.wake().said(&[&format!("event PodFeatureUnsupported: {why}"), "tear down -"]);
    let status = world.machine.status("10.1.1.1", world.now);
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(status.reason.as_deref(), Some("PodFeatureUnsupported"));
    assert_eq!(status.message, Some(format!("Pod was rejected: {why}")));
    assert_eq!((status.container_statuses, status.init_container_statuses), (None, None));
    world.after(60).said(&[]).delete(30).said(&["delete"]).event(Event::Gone).said(&["forget"]);
}

/// A pod of an earlier version of this program that this one refuses.
#[test]
fn a_refused_pod_that_runs_is_stopped() {
    let observed = Observed {
        sandboxes: vec![sandbox("s0", SandboxState::Ready)],
        containers: vec![container("x", "c", 0, ContainerState::Running, 0)],
    };
    let spec = json!({"hostIPC": true, "containers": [{"name": "c", "image": "i"}]});
    let mut world = World::with(pod(spec), &observed);
    world.wake().status("Running ready=True c:running/0");
    assert_eq!(world.log[1..], ["event Killing: Stopping container c", "stop x in 30s"]);
    world
        .quiet()
        .exit("c", 143)
        .said(&["tear down s0"])
        .status("Failed ready=False c:Error(143)/0");
}
