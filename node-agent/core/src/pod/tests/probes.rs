//! What probes and hooks decide.

use super::*;

#[test]
fn readiness_decides_ready() {
    let probe = json!({"readinessProbe": {"exec": {"command": ["x"]}, "failureThreshold": 1}});
    let mut world = World::new(one(probe));
    world.wake().status("Running ready=False c:running/0");
    let (_, reason, message) = world.condition("ContainersReady");
    assert_eq!(reason, "ContainersNotReady");
    assert_eq!(message, "containers with unready status: [c]");
    assert_eq!(world.log.last().unwrap(), "probe Readiness c0");
    world.probed("c", Kind::Readiness, Outcome::Success).status("Running ready=True c:running/0");
    world.quiet().after(10).probed("c", Kind::Readiness, Outcome::Failure("no".into()));
    world
        .said(&["probe Readiness c0", "event Unhealthy: Readiness probe failed: no"])
        .status("Running ready=False c:running/0");
}

#[test]
fn liveness_restarts() {
    let mut spec =
        one(json!({"livenessProbe": {"exec": {"command": ["x"]}, "failureThreshold": 1}}));
    spec["terminationGracePeriodSeconds"] = 7.into();
    let mut world = World::new(spec);
    world.wake().quiet().probed("c", Kind::Liveness, Outcome::Failure("dead".into()));
    world.said(&[
        "event Unhealthy: Liveness probe failed: dead",
        "event Killing: Container c failed liveness probe, will be restarted",
        "stop c0 in 7s",
    ]);
    world.exit("c", 137).status("Running ready=True c:running/1<137");
}

#[test]
fn startup_holds_the_others_back() {
    let probe = json!({"exec": {"command": ["x"]}});
    let mut world = World::new(one(
        json!({"startupProbe": probe, "livenessProbe": probe, "readinessProbe": probe}),
    ));
    world.wake();
    assert_eq!(world.log.last().unwrap(), "probe Startup c0");
    world.quiet().probed("c", Kind::Startup, Outcome::Success);
    world.said(&["probe Readiness c0", "probe Liveness c0"]);
}

/// Red when a container is ready before its hook has come to a good end, or while it is stopped because it has not.
#[test]
fn a_container_is_ready_only_after_its_post_start() {
    let spec = json!({"containers": [{"name": "c", "image": "i",
        "lifecycle": {"postStart": {"exec": {"command": ["x"]}}}}]});
    let hooked = |result| Event::Hooked { name: "c".into(), id: "c0".into(), result };
    let mut world = World::new(spec.clone());
    world.wake().status("Running ready=False c:running/0");
    world.event(hooked(Ok(()))).status("Running ready=True c:running/0");
    let mut world = World::new(spec);
    world.wake().quiet().event(hooked(Err("no".into())));
    world.status("Running ready=False c:running/0");
    assert!(world.log.iter().any(|line| line.starts_with("stop c0")), "{:?}", world.log);
}

/// Red when a warning is told as a failure, or not at all.
#[test]
fn a_probe_that_warns_succeeds_and_says_so() {
    let mut world = World::new(json!({"containers": [{"name": "c", "image": "i",
        "readinessProbe": {"httpGet": {"port": 80}}}]}));
    world.wake().quiet();
    world.probed("c", Kind::Readiness, Outcome::Warning("elsewhere".into()));
    world.said(&["event ProbeWarning: Readiness probe warning: elsewhere"]);
    world.status("Running ready=True c:running/0");
}
