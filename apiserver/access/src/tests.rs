//! Who may do what, a sentence each.

mod nodes;

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::{
    Attributes, Identity, Policy, PolicyRule, Verdict, authorize, bootstrap, forbidden, missing,
};

/// The policy of a new cluster.
static NEW: LazyLock<Policy> = LazyLock::new(bootstrap::policy);

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
        assert!(authorize(who, &request(text), &NEW).is_allowed(), "{text}");
    }
}

#[track_caller]
fn denied(who: &Identity, requests: &[&str]) {
    for text in requests {
        assert!(!authorize(who, &request(text), &NEW).is_allowed(), "{text}");
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
            "watch route.openshift.io/routes",
            "create events.k8s.io/events ns/-",
            "create -/serviceaccounts/token kube-system/job-controller",
            "update coordination.k8s.io/leases kube-system/kube-controller-manager",
        ],
    );
    denied(
        &controllers,
        &["create -/pods ns/p", "delete -/pods ns/p", "patch apps/deployments/status ns/d"],
    );
}

/// Red when controllers have one another's rights.
#[test]
fn every_controller_has_its_own_rights() {
    let of = |name: &str| Identity::of_service_account("kube-system", name, "");
    let rights = [
        ("replicaset-controller", "create -/pods ns/p"),
        ("deployment-controller", "patch apps/deployments/status ns/d"),
        ("namespace-controller", "update -/namespaces/finalize -/ns"),
        ("generic-garbage-collector", "delete route.openshift.io/routes ns/r"),
        ("endpointslice-controller", "update discovery.k8s.io/endpointslices ns/e"),
        ("deploymentconfig-controller", "patch apps.openshift.io/deploymentconfigs/status ns/d"),
        ("snapshot-controller", "create snapshot.storage.k8s.io/volumesnapshotcontents -/-"),
        ("service-ca-controller", "create -/secrets ns/-"),
        ("gateway-setup", "patch -/namespaces -/kube-system"),
    ];
    for (at, (name, own)) in rights.iter().enumerate() {
        allowed(&of(name), &[own]);
        let shared =
            ["generic-garbage-collector", "namespace-controller", "deploymentconfig-controller"];
        for (other, (_, right)) in rights.iter().enumerate() {
            if at != other && !shared.contains(name) {
                denied(&of(name), &[right]);
            }
        }
    }
    denied(
        &of("project-controller"),
        &[
            "create rbac.authorization.k8s.io/clusterrolebindings -/-",
            "bind rbac.authorization.k8s.io/clusterroles -/cluster-admin",
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
    allowed(&nobody, &["get /healthz", "get /readyz", "get /version"]);
    denied(&nobody, &["get /readyz/etcd", "get /api", "get /healthzz", "list -/pods ns/-"]);
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

fn role(kind: &str, name: &str, rules: Value) -> Value {
    json!({ "kind": kind, "metadata": { "name": name }, "rules": rules })
}

fn bound(role: (&str, &str), subjects: Value) -> Value {
    json!({ "roleRef": { "kind": role.0, "name": role.1 }, "subjects": subjects })
}

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Value {
    json!({ "verbs": verbs, "apiGroups": groups, "resources": resources })
}

/// Jo reads pods in `a` by a role of the cluster; the account `bot` of `b` may there scale everything and read one secret.
fn teams() -> Policy {
    let mut secret = rule(&["get"], &[""], &["secrets"]);
    secret["resourceNames"] = json!(["one"]);
    let reads = role("ClusterRole", "reads", json!([rule(&["get", "list"], &[""], &["pods"])]));
    let scales = json!([rule(&["*"], &["*"], &["*/scale"]), secret]);
    let jo = json!([{ "kind": "User", "name": "jo" }]);
    let bot = json!([{ "kind": "ServiceAccount", "name": "bot" }]);
    let lost = json!([{ "kind": "Group", "name": "lost" }]);
    Policy::default()
        .with("ClusterRole", ("", "reads"), Some(&reads))
        .with("Role", ("b", "scales"), Some(&role("Role", "scales", scales)))
        .with("RoleBinding", ("a", "jo-reads"), Some(&bound(("ClusterRole", "reads"), jo)))
        .with("RoleBinding", ("b", "bot"), Some(&bound(("Role", "scales"), bot)))
        .with("RoleBinding", ("b", "lost"), Some(&bound(("Role", "gone"), lost)))
}

#[track_caller]
fn said(policy: &Policy, who: &Identity, text: &str) -> String {
    match authorize(who, &request(text), policy) {
        Verdict::Allow(grant) => grant.map_or(String::new(), |grant| grant.to_string()),
        Verdict::Deny(why) => format!("no {why}"),
    }
}

#[test]
fn a_binding_allows_where_it_is_and_says_so() {
    let policy = teams();
    let jo = member("jo", "people");
    let yes = "RBAC: allowed by RoleBinding \"jo-reads/a\" of ClusterRole \"reads\" to User \"jo\"";
    assert_eq!(said(&policy, &jo, "list -/pods a/-"), yes);
    for text in ["list -/pods b/-", "list -/pods", "watch -/pods a/-", "get -/pods/log a/p"] {
        assert_eq!(said(&policy, &jo, text), "no ", "{text}");
    }
    let bot = Identity::of_service_account("b", "bot", "u");
    let yes =
        "RBAC: allowed by RoleBinding \"bot/b\" of Role \"scales\" to ServiceAccount \"bot/b\"";
    assert_eq!(said(&policy, &bot, "update apps/deployments/scale b/d"), yes);
    assert_eq!(said(&policy, &bot, "get -/secrets b/one"), yes);
    for text in ["get -/secrets b/two", "list -/secrets b/-", "update apps/deployments b/d"] {
        assert_eq!(said(&policy, &bot, text), "no ", "{text}");
    }
    let other = Identity::of_service_account("a", "bot", "u");
    assert_eq!(said(&policy, &other, "get -/secrets b/one"), "no ");
}

#[test]
fn a_role_that_is_gone_allows_nothing_and_is_named() {
    let why = said(&teams(), &member("x", "lost"), "get -/pods b/p");
    assert_eq!(why, "no RBAC: role.rbac.authorization.k8s.io \"gone\" not found");
}

/// Red when a change leaves what was before: a right that was taken back is still there.
#[test]
fn what_is_taken_back_is_gone() {
    let jo = member("jo", "people");
    let policy = teams();
    let gone = policy.with("RoleBinding", ("a", "jo-reads"), None);
    assert_eq!(said(&gone, &jo, "list -/pods a/-"), "no ");
    let other = bound(("ClusterRole", "reads"), json!([{ "kind": "User", "name": "ann" }]));
    let changed = policy.with("RoleBinding", ("a", "jo-reads"), Some(&other));
    assert_eq!(said(&changed, &jo, "list -/pods a/-"), "no ");
    assert!(said(&changed, &member("ann", "x"), "list -/pods a/-").starts_with("RBAC: allowed"));
    let empty = role("ClusterRole", "reads", json!([]));
    let emptied = policy.with("ClusterRole", ("", "reads"), Some(&empty));
    assert_eq!(said(&emptied, &jo, "list -/pods a/-"), "no ");
    assert_eq!(said(&policy.without("RoleBinding"), &jo, "list -/pods a/-"), "no ");
    assert!(said(&policy.without("Role"), &jo, "list -/pods a/-").starts_with("RBAC: allowed"));
    // What was decided by before does not change.
    assert!(said(&policy, &jo, "list -/pods a/-").starts_with("RBAC: allowed"));
}

#[test]
fn a_wildcard_is_one_only_where_it_stands_alone() {
    let odd = json!([
        rule(&["get"], &["apps*"], &["*"]),
        rule(&["ge*"], &[""], &["pods"]),
        rule(&["get"], &[""], &["pods/*"]),
        { "verbs": ["get"], "nonResourceURLs": ["/a*", "*b"] },
    ]);
    let all = json!([{ "kind": "Group", "name": "people" }]);
    let policy = Policy::default()
        .with("ClusterRole", ("", "odd"), Some(&role("ClusterRole", "odd", odd)))
        .with("ClusterRoleBinding", ("", "odd"), Some(&bound(("ClusterRole", "odd"), all)));
    let jo = member("jo", "people");
    for text in ["get apps/x a/b", "get -/pods a/b", "get -/pods/log a/b", "get /b", "get /xb"] {
        assert_eq!(said(&policy, &jo, text), "no ", "{text}");
    }
    assert!(said(&policy, &jo, "get /abc").starts_with("RBAC"));
}

fn rules(rules: Value) -> Box<[PolicyRule]> {
    PolicyRule::all(&json!({ "rules": rules }))
}

#[test]
fn what_is_not_held_is_told_thing_by_thing() {
    let own = rules(json!([
        rule(&["get", "list"], &[""], &["pods", "*/scale"]),
        { "verbs": ["get"], "nonResourceURLs": ["/healthz/*"] },
    ]));
    let more = rules(json!([
        rule(&["get", "delete", "watch"], &[""], &["pods"]),
        rule(&["get"], &["", "apps"], &["deployments/scale"]),
        { "verbs": ["get"], "nonResourceURLs": ["/healthz/a", "/metrics"] },
    ]));
    assert_eq!(
        missing(&own, &more),
        [
            "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" \"watch\"]}",
            "{APIGroups:[\"apps\"], Resources:[\"deployments/scale\"], Verbs:[\"get\"]}",
            "{NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}",
        ]
    );
    let mut named = rule(&["get"], &[""], &["secrets"]);
    named["resourceNames"] = json!(["one"]);
    let (one, all) = (rules(json!([named])), rules(json!([rule(&["get"], &[""], &["secrets"])])));
    assert!(missing(&all, &one).is_empty());
    assert_eq!(missing(&one, &all).len(), 1);
    assert!(missing(&PolicyRule::everything(), &more).is_empty());
}

/// Red when a role is taken apart without a bound: a megabyte of words makes 10^15 rights.
#[test]
fn a_role_that_names_very_much_is_refused_in_no_time() {
    let many: Vec<String> = (0..10_000).map(|number| format!("r{number}")).collect();
    let words: Vec<&str> = many.iter().map(String::as_str).collect();
    let all = rules(json!([rule(&words, &words, &words)]));
    assert_eq!(missing(&[], &all).len(), 1);
    assert!(missing(&PolicyRule::everything(), &all).is_empty());
}

#[test]
fn what_every_cluster_has_is_brought_up_to_date_and_what_was_added_stays() {
    let wanted = bootstrap::wanted();
    let of = |name: &str| &wanted.iter().find(|one| one.name == name).unwrap().object;
    let basic = of("system:basic-user");
    assert_eq!(bootstrap::reconciled(basic, basic), None);
    let mut own = basic.clone();
    own["rules"] = json!([rule(&["get"], &["x"], &["y"])]);
    let new = bootstrap::reconciled(&own, basic).unwrap();
    assert_eq!(new["rules"].as_array().unwrap().len(), 3);
    own["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false".into();
    assert_eq!(bootstrap::reconciled(&own, basic), None);
    let admins = wanted.iter().rfind(|one| one.name == "cluster-admin").unwrap();
    let mut nobody = admins.object.clone();
    nobody["subjects"] = Value::Null;
    let new = bootstrap::reconciled(&nobody, &admins.object).unwrap();
    assert_eq!(new["subjects"], admins.object["subjects"]);
    assert!(of("admin")["rules"].is_null() && of("view")["aggregationRule"].is_object());
}

/// Red when a role that may bind is read as a binding: somebody of that name would have rights.
#[test]
fn only_accounts_users_and_groups_that_are_meant_are_bound() {
    for one in crate::bootstrap::wanted() {
        let kind = one.object["kind"].as_str().unwrap_or("");
        if !kind.ends_with("Binding") {
            continue;
        }
        let role = one.object["roleRef"]["name"].as_str().unwrap_or("").to_owned();
        let known = crate::bootstrap::wanted().into_iter().any(|other| other.name == role);
        assert!(known, "{}: there is no role {role}", one.name);
    }
}

/// Red when the router, whose credential is on each node, may read any Secret.
#[test]
fn the_router_sees_certificates_and_no_other_secret() {
    let policy = crate::bootstrap::policy();
    let router = Identity::of_service_account("openshift-ingress", "router", "");
    let asks = |verb: &str, name: &str, fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(path, value)| ((*path).into(), (*value).into())).collect();
        let what = Attributes {
            verb: verb.into(),
            resource: "secrets".into(),
            name: name.into(),
            fields,
            ..Attributes::default()
        };
        crate::authorize(&router, &what, &policy).is_allowed()
    };
    assert!(asks("list", "", &[("type", "kubernetes.io/tls")]));
    assert!(asks("watch", "", &[("type", "kubernetes.io/tls")]));
    assert!(!asks("list", "", &[]));
    assert!(!asks("list", "", &[("type", "Opaque")]));
    assert!(!asks("get", "s", &[("type", "kubernetes.io/tls")]));
    assert!(!asks("delete", "s", &[("type", "kubernetes.io/tls")]));
}
