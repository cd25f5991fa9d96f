//! The main job: one command brings the sample up, another takes it down, and it resumes.

use std::collections::BTreeSet;

use leme_live::{Host, leme, until};

fn url(output: &str) -> String {
    output.lines().find(|line| line.starts_with("http://")).expect("a URL").to_owned()
}

fn pods_that_answer(host: &Host, url: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for _ in 0..60 {
        let body = host.get(url).ok();
        let name = body.lines().find_map(|line| line.strip_prefix("pod: ")).expect("a pod's name");
        names.insert(name.to_owned());
    }
    names
}

#[test]
fn the_sample_is_served_and_resumes() {
    let host = Host::new();
    host.load_sample();
    let manifest = Host::manifest("hello.yaml");
    let url = url(&host.up(&format!("-f {manifest}")).ok());
    let names = pods_that_answer(&host, &url);
    assert_eq!(names.len(), 3, "{names:?}");

    let body = host.get(&url).ok();
    assert!(body.contains("Hello from Leme") && body.contains("motd: Fair winds."), "{body}");
    assert!(body.contains("secret: sha256:") && !body.contains("not-so-secret"), "{body}");

    let all = host.kubectl("get all -n hello").run().ok();
    for name in &names {
        assert!(all.contains(&format!("pod/{name}")), "{all}");
    }
    assert!(all.contains("replicationcontroller/hello") && all.contains("service/hello"), "{all}");
    assert!(all.contains("route.route.openshift.io/hello"), "{all}");

    let again = host.up("").fails(1);
    assert!(again.contains("is in use by leme"), "{again}");
    // Red when another cluster may start beside: it takes the bridge for its own, and away with it.
    let other = host.folder().join("other").display().to_string();
    let beside = format!("up --data-dir {other} --listen 127.0.0.1:7443");
    let refused = host.program(leme()).words(&beside).run().fails(1);
    assert!(refused.contains("another cluster has its nodes in this network"), "{refused}");
    assert_eq!(pods_that_answer(&host, &url), names);

    let uid = host.kubectl("get pods -n hello -o jsonpath={.items[0].metadata.uid}").run().ok();
    let cgroups = host.cgroups_of_pod(&uid);
    assert!(!cgroups.is_empty(), "pods run in cgroups of their own");
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
    assert!(cgroups.iter().all(|cgroup| !cgroup.exists()), "{cgroups:?}");

    let resumed = url_of_resumed(&host, &manifest);
    assert_eq!(resumed, url);
    // The status of before the stop still says Ready while the last of them is being started again.
    until("the same pods answer after a resume", || pods_that_answer(&host, &url) == names);

    host.kubectl(&format!("delete -f {manifest}")).run().ok();
    until("the namespace is gone", || host.kubectl("get namespace hello").run().code != 0);
    host.leme("down --purge").run().ok();
    assert!(!host.data().exists());
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

fn url_of_resumed(host: &Host, manifest: &str) -> String {
    url(&host.up(&format!("-f {manifest}")).ok())
}

#[test]
fn containers_outlive_a_killed_leme() {
    let host = Host::new();
    host.load_sample();
    let manifest = Host::manifest("hello.yaml");
    let url = url(&host.up(&format!("-f {manifest}")).ok());
    let starts =
        "get pods -n hello -o jsonpath={.items[*].status.containerStatuses[0].containerID}";
    let before = host.kubectl(starts).run().ok();
    host.kill_leme();
    host.up("").ok();
    assert_eq!(pods_that_answer(&host, &url).len(), 3);
    assert_eq!(host.kubectl(starts).run().ok(), before, "the same containers as before the kill");

    host.kill_leme();
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}
