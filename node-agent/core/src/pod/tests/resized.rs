//! Pods that ask for other resources while they run.

use super::*;

fn asking(cpu: &str, generation: i64) -> Pod {
    let mut pod = pod(json!({"containers": [{"name": "c", "image": "i",
        "resources": {"requests": {"cpu": cpu}}}]}));
    pod.metadata.generation = Some(generation);
    pod
}

/// What the API is told of the condition and of the container.
fn told(world: &mut World) -> (Option<(String, String, i64)>, serde_json::Value) {
    let status = world.machine.status("10.1.1.1", world.now);
    let found = status.conditions.into_iter().flatten().find(|c| c.type_ == "PodResizePending");
    let condition = found.map(|c| {
        assert_eq!(c.status, "True");
        let text = |text: Option<String>| text.unwrap_or_default();
        (text(c.reason), text(c.message), c.observed_generation.unwrap_or_default())
    });
    let container = status.container_statuses.unwrap().remove(0);
    (condition, serde_json::to_value(container.resources).unwrap())
}

// Red when nobody says what a container was given: the change would be stored and nothing would come of it.
#[test]
fn a_change_of_resources_is_said_to_be_infeasible() {
    let mut world = World::with(asking("1", 1), &Observed::default());
    world.wake();
    let given = json!({"requests": {"cpu": "1"}});
    assert_eq!(told(&mut world), (None, given.clone()));
    world.quiet().event(Event::Spec(Arc::new(asking("2", 2)))).said(&[]);
    let why =
        "this node does not resize what runs: containers keep what they were started with: [c]";
    let pending = Some(("Infeasible".to_owned(), why.to_owned(), 2));
    assert_eq!(told(&mut world), (pending.clone(), given.clone()));
    // The next run of the container is given the same.
    world.exit("c", 1);
    assert_eq!(told(&mut world), (pending, given.clone()));
    let again = world.machine.to_run("c").unwrap();
    assert_eq!(serde_json::to_value(again.resources).unwrap(), given);
    world.event(Event::Spec(Arc::new(asking("1", 3))));
    assert_eq!(told(&mut world), (None, given));
}

#[test]
fn what_a_container_was_given_is_known_after_a_restart_of_the_agent() {
    let mut running = container("c0", "c", 0, ContainerState::Running, 0);
    let given = json!({"requests": {"cpu": "1"}});
    running.annotations.insert(crate::config::RESOURCES.to_owned(), given.to_string());
    let mut observed =
        Observed { sandboxes: vec![sandbox("s0", SandboxState::Ready)], containers: vec![running] };
    let mut world = World::with(asking("2", 2), &observed);
    assert_eq!(told(&mut world).1, given);
    assert!(told(&mut world).0.is_some());
    // One that was made before they were told: nothing is known, and nothing is said.
    observed.containers[0].annotations.remove(crate::config::RESOURCES);
    let mut world = World::with(asking("2", 2), &observed);
    assert_eq!(told(&mut world), (None, json!(null)));
}
