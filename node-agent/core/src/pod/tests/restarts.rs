//! Containers with restart policies and rules of their own.

use super::*;

/// Red when the pod's policy alone decides.
#[test]
fn containers_have_restart_policies_of_their_own() {
    let check = |policy: &str, own: serde_json::Value, code, want: &str| {
        let mut spec = one(own);
        spec["restartPolicy"] = policy.into();
        let mut world = World::new(spec);
        world.wake().exit("c", code).status(want);
    };
    let own = |policy: &str| json!({"restartPolicy": policy});
    let (ran, failed) =
        ("Succeeded ready=False c:Completed(0)/0", "Failed ready=False c:Error(3)/0");
    let again = "Running ready=True c:running/1<3";
    check("Always", own("Never"), 0, ran);
    check("Always", own("Never"), 3, failed);
    check("Always", own("OnFailure"), 0, ran);
    check("Never", own("OnFailure"), 3, again);
    check("Never", own("Always"), 0, "Running ready=True c:running/1<0");
    let ruled = |operator: &str| {
        let rule = json!({"action": "Restart", "exitCodes": {"operator": operator, "values": [3]}});
        json!({"restartPolicy": "Never", "restartPolicyRules": [rule]})
    };
    check("Always", ruled("In"), 3, again);
    check("Always", ruled("In"), 4, "Failed ready=False c:Error(4)/0");
    check("Always", ruled("NotIn"), 3, failed);
    check("Always", ruled("NotIn"), 4, "Running ready=True c:running/1<4");
}

/// Red when an init container follows the pod, when its own policy says otherwise, or when a rule starts one that did
/// its work.
#[test]
fn init_containers_have_restart_policies_of_their_own() {
    let world = |policy: &str, own: serde_json::Value| {
        let mut init = own;
        init.as_object_mut()
            .unwrap()
            .extend([("name".to_owned(), json!("a")), ("image".to_owned(), json!("i"))]);
        let mut world = World::new(json!({"restartPolicy": policy, "initContainers": [init],
            "containers": [{"name": "c", "image": "i"}]}));
        world.wake();
        world
    };
    let failed = "Failed ready=False a:Error(1)/0 c:PodInitializing/0";
    let again = "Pending ready=False a:running/1<1 c:PodInitializing/0";
    world("Always", json!({"restartPolicy": "Never"})).exit("a", 1).status(failed);
    world("Never", json!({"restartPolicy": "OnFailure"})).exit("a", 1).status(again);
    let rules = json!([{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [7]}}]);
    let ruled = json!({"restartPolicy": "Never", "restartPolicyRules": rules});
    world("Never", ruled.clone()).exit("a", 1).status(again);
    world("Never", ruled.clone())
        .exit("a", 7)
        .status("Failed ready=False a:Error(7)/0 c:PodInitializing/0");
    world("Never", ruled).exit("a", 0).status("Running ready=True a:Completed(0)/0 c:running/0");
}

/// Red when one container that never starts again ends a pod where others do.
#[test]
fn a_pod_runs_while_one_of_its_containers_does() {
    let mut world = World::new(json!({"restartPolicy": "Never", "containers": [
        {"name": "c", "image": "i"}, {"name": "d", "image": "i", "restartPolicy": "Always"}]}));
    world.wake().exit("c", 0).exit("d", 0);
    world.status("Running ready=False c:Completed(0)/0 d:running/1<0");
}

/// Red when the class is worked out anew: it does not change, whatever made it.
#[test]
fn the_class_of_a_pod_stays() {
    let class = |known: Option<&str>| {
        let mut pod = pod(one(json!({})));
        pod.status = Some(serde_json::from_value(json!({"qosClass": known})).unwrap());
        let mut world = World::with(pod, &Observed::default());
        world.machine.status("10.1.1.1", world.now).qos_class
    };
    assert_eq!(class(Some("Burstable")).as_deref(), Some("Burstable"));
    assert_eq!(class(None).as_deref(), Some("BestEffort"));
}
