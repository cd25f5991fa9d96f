//! Who may do what, a sentence each.

use crate::{Attributes, Identity, Verdict, authorize, forbidden};

fn member(user: &str, group: &str) -> Identity {
    Identity::of_certificate(user, [group.to_owned()])
}

/// A request as `verb group/resource/subresource namespace/name`, with `-` for what is empty; or `verb /path`.
fn request(text: &str) -> Attributes {
    let (verb, rest) = text.split_once(' ').expect("verb");
    let mut what = Attributes { verb: verb.to_owned(), ..Attributes::default() };
    if rest.starts_with('/') {
        what.path = rest.to_owned();
        return what;
    }
    let (resource, place) = rest.split_once(' ').unwrap_or((rest, "-/-"));
    let filled = |text: Option<&str>| text.filter(|text| *text != "-").unwrap_or("").to_owned();
    let mut parts = resource.split('/');
    (what.group, what.resource, what.subresource) =
        (filled(parts.next()), filled(parts.next()), filled(parts.next()));
    let mut parts = place.split('/');
    (what.namespace, what.name) = (filled(parts.next()), filled(parts.next()));
    what
}

#[track_caller]
fn allowed(who: &Identity, requests: &[&str]) {
    for text in requests {
        assert_eq!(authorize(who, &request(text)), Verdict::Allow, "{text}");
    }
}

#[track_caller]
fn denied(who: &Identity, requests: &[&str]) {
    for text in requests {
        assert!(matches!(authorize(who, &request(text)), Verdict::Deny(_)), "{text}");
    }
}

#[test]
fn masters_may_do_everything() {
    allowed(
        &member("admin", "system:masters"),
        &["delete -/nodes -/a", "post /anything", "create x.y/zs/w a/b"],
    );
}

#[test]
fn an_agent_writes_its_own_node_and_lease() {
    let agent = member("system:node:a", "system:nodes");
    allowed(
        &agent,
        &[
            "create -/nodes",
            "patch -/nodes/status -/a",
            "get -/nodes -/b",
            "watch -/pods",
            "patch -/pods/status ns/p",
            "delete -/pods ns/p",
            "get -/secrets ns/s",
            "create -/events ns/-",
            "update coordination.k8s.io/leases kube-node-lease/a",
            "create coordination.k8s.io/leases kube-node-lease/-",
            "patch snapshot.storage.k8s.io/volumesnapshotcontents/status -/c",
            "patch storage.k8s.io/csinodes -/a",
            "get /api/v1",
            "get /healthz",
        ],
    );
    denied(
        &agent,
        &[
            "patch -/nodes/status -/b",
            "delete -/nodes -/a",
            "update -/pods ns/p",
            "update -/secrets ns/s",
            "create -/pods/binding ns/p",
            "update coordination.k8s.io/leases kube-node-lease/b",
            "update coordination.k8s.io/leases ns/a",
            "patch storage.k8s.io/csinodes -/b",
            "create snapshot.storage.k8s.io/volumesnapshotcontents -/c",
            "post /api",
        ],
    );
    let why = authorize(&agent, &request("patch -/nodes/status -/b"));
    assert_eq!(why, Verdict::Deny("node \"a\" is not allowed to modify node \"b\"".to_owned()));
}

#[test]
fn the_name_of_a_node_counts_only_in_its_group() {
    denied(&member("system:node:a", "people"), &["watch -/pods"]);
    denied(&member("system:node:", "system:nodes"), &["watch -/pods"]);
}

#[test]
fn the_scheduler_binds_and_the_controllers_keep() {
    let scheduler = member("system:kube-scheduler", "x");
    allowed(
        &scheduler,
        &[
            "create -/pods/binding ns/p",
            "watch -/nodes",
            "patch -/pods/status ns/p",
            "list storage.k8s.io/storageclasses",
            "watch policy/poddisruptionbudgets",
            "watch apps/replicasets",
            "update coordination.k8s.io/leases kube-system/kube-scheduler",
        ],
    );
    denied(&scheduler, &["create -/pods ns/p", "get -/secrets ns/s", "update -/nodes -/a"]);
    let controllers = member("system:kube-controller-manager", "x");
    allowed(
        &controllers,
        &[
            "create -/pods ns/p",
            "update -/namespaces/finalize -/ns",
            "delete route.openshift.io/routes ns/r",
            "update apps.openshift.io/deploymentconfigs/scale ns/d",
            "deletecollection -/configmaps ns/-",
            "update discovery.k8s.io/endpointslices ns/e",
            "create events.k8s.io/events ns/-",
            "update apps/deployments/finalizers ns/d",
            "create rbac.authorization.k8s.io/rolebindings ns/-",
            "create apiextensions.k8s.io/customresourcedefinitions -/-",
            "create snapshot.storage.k8s.io/volumesnapshotcontents -/-",
        ],
    );
    denied(
        &controllers,
        &[
            "create -/nodes",
            "create -/pods/exec ns/p",
            "create rbac.authorization.k8s.io/clusterrolebindings -/-",
        ],
    );
}

#[test]
fn everybody_known_may_look_around_and_nobody_else() {
    let known = member("jo", "people");
    allowed(
        &known,
        &["get /api", "get /apis/route.openshift.io/v1", "get /openapi/v3", "get /version"],
    );
    denied(&known, &["list -/pods ns/-", "get /metrics", "get /apix", "post /api"]);
    let nobody = Identity::anonymous();
    allowed(&nobody, &["get /healthz", "get /readyz/etcd", "get /version"]);
    denied(&nobody, &["get /api", "get /healthzz", "list -/pods ns/-"]);
    let account = Identity::of_service_account("ns", "default", "u");
    denied(&account, &["get -/secrets ns/s"]);
    allowed(&account, &["get /api", "create authorization.k8s.io/selfsubjectaccessreviews"]);
}

#[test]
fn a_refusal_says_who_what_and_where() {
    let jo = member("jo", "people");
    let say = |text: &str| forbidden(&jo, &request(text), "").message;
    assert_eq!(
        say("list -/pods y/-"),
        "pods is forbidden: User \"jo\" cannot list resource \"pods\" in API group \"\" in the namespace \"y\""
    );
    assert_eq!(
        say("get route.openshift.io/routes/status y/r"),
        "routes.route.openshift.io \"r\" is forbidden: User \"jo\" cannot get resource \"routes/status\" in API group \"route.openshift.io\" in the namespace \"y\""
    );
    assert_eq!(
        say("delete -/nodes -/a"),
        "nodes \"a\" is forbidden: User \"jo\" cannot delete resource \"nodes\" in API group \"\" at the cluster scope"
    );
    assert_eq!(say("get /metrics"), "forbidden: User \"jo\" cannot get path \"/metrics\"");
}
