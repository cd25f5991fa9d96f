//! The priority levels and flow schemas that every cluster has.
//!
//! Knows: which there are, as Kubernetes ships them. Refuses to know: requests.

use serde_json::{Value, json};

use super::{Keep, Wanted};

/// A level: name, concurrency shares, percentage to lend, and the queues with how many of them a flow may use.
type Level = (&'static str, u32, u32, Option<(u32, u32)>);

const LEVELS: [Level; 7] = [
    ("catch-all", 5, 0, None),
    ("system", 30, 33, Some((64, 6))),
    ("node-high", 40, 25, Some((64, 6))),
    ("leader-election", 10, 0, Some((16, 4))),
    ("workload-high", 40, 50, Some((128, 6))),
    ("workload-low", 100, 90, Some((128, 6))),
    ("global-default", 20, 50, Some((128, 6))),
];

/// What is there whatever anybody says of it.
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

/// Whose requests a schema is about.
enum Who {
    Groups(&'static [&'static str]),
    Users(&'static [&'static str]),
    /// Every account in `kube-system`, and users.
    Accounts(&'static [&'static str]),
}

/// Which requests it is about.
enum What {
    All,
    /// Verbs, and resources by group, with whether also those outside of namespaces.
    Some(&'static [(&'static [&'static str], &'static str, &'static [&'static str], bool)]),
    /// Paths that are read.
    Paths(&'static [&'static str]),
}

struct Schema {
    name: &'static str,
    level: &'static str,
    precedence: u32,
    /// What flows are told apart by; empty for not at all.
    by: &'static str,
    who: Who,
    what: What,
}

const ANYBODY: Who = Who::Groups(&["system:unauthenticated", "system:authenticated"]);
const BY_USER: &str = "ByUser";
const BY_NAMESPACE: &str = "ByNamespace";
const COORDINATION: &str = "coordination.k8s.io";

const fn all(
    name: &'static str,
    level: &'static str,
    precedence: u32,
    by: &'static str,
    who: Who,
) -> Schema {
    Schema { name, level, precedence, by, who, what: What::All }
}

const SCHEMAS: [Schema; 11] = [
    all("exempt", "exempt", 1, "", Who::Groups(&["system:masters"])),
    all("catch-all", "catch-all", 10000, BY_USER, ANYBODY),
    all("system-nodes", "system", 500, BY_USER, Who::Groups(&["system:nodes"])),
    Schema {
        name: "system-node-high",
        level: "node-high",
        precedence: 400,
        by: BY_USER,
        who: Who::Groups(&["system:nodes"]),
        what: What::Some(&[
            (&["*"], "", &["nodes", "nodes/status"], true),
            (&["*"], COORDINATION, &["leases"], false),
        ]),
    },
    Schema {
        name: "probes",
        level: "exempt",
        precedence: 2,
        by: "",
        who: ANYBODY,
        what: What::Paths(&["/healthz", "/readyz", "/livez"]),
    },
    Schema {
        name: "system-leader-election",
        level: "leader-election",
        precedence: 100,
        by: BY_USER,
        who: Who::Accounts(&["system:kube-controller-manager", "system:kube-scheduler"]),
        what: What::Some(&[(&["get", "create", "update"], COORDINATION, &["leases"], false)]),
    },
    all(
        "kube-controller-manager",
        "workload-high",
        800,
        BY_NAMESPACE,
        Who::Users(&["system:kube-controller-manager"]),
    ),
    all(
        "kube-scheduler",
        "workload-high",
        800,
        BY_NAMESPACE,
        Who::Users(&["system:kube-scheduler"]),
    ),
    all("kube-system-service-accounts", "workload-high", 900, BY_NAMESPACE, Who::Accounts(&[])),
    all(
        "service-accounts",
        "workload-low",
        9000,
        BY_USER,
        Who::Groups(&["system:serviceaccounts"]),
    ),
    all("global-default", "global-default", 9900, BY_USER, ANYBODY),
];

/// All of them.
pub(super) fn wanted() -> impl Iterator<Item = Wanted> {
    let exempt = json!({
        "type": "Exempt",
        "exempt": { "nominalConcurrencyShares": 0, "lendablePercent": 0 },
    });
    let levels = LEVELS.iter().map(|(name, shares, lent, queues)| {
        let response = match queues {
            None => json!({ "type": "Reject" }),
            Some((queues, hand)) => json!({
                "type": "Queue",
                "queuing": { "queues": queues, "handSize": hand, "queueLengthLimit": 50 },
            }),
        };
        let limited = json!({
            "nominalConcurrencyShares": shares,
            "lendablePercent": lent,
            "limitResponse": response,
        });
        (*name, json!({ "type": "Limited", "limited": limited }))
    });
    let levels = std::iter::once(("exempt", exempt)).chain(levels);
    let levels = levels
        .map(|(name, spec)| object("PriorityLevelConfiguration", LEVEL_PATH, name, spec, None));
    levels.chain(SCHEMAS.iter().map(schema))
}

const LEVEL_PATH: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";
const SCHEMA_PATH: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
/// Says whether a suggested object follows what the program ships.
pub(super) const FOLLOWS: &str = "apf.kubernetes.io/autoupdate-spec";

fn object(
    kind: &str,
    collection: &'static str,
    name: &'static str,
    spec: Value,
    condition: Option<Value>,
) -> Wanted {
    let object = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": kind,
        "metadata": { "name": name, "annotations": { FOLLOWS: "true" } },
        "spec": spec,
    });
    let keep = if MANDATORY.contains(&name) { Keep::Always } else { Keep::WhileItFollows };
    Wanted { collection: collection.into(), name: name.into(), object, condition, keep }
}

fn schema(schema: &Schema) -> Wanted {
    let every = ["*"];
    let resources = |verbs: &[&str], group: &str, resources: &[&str], outside: bool| {
        let mut rule = json!({
            "verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": every,
        });
        if outside {
            rule["clusterScope"] = true.into();
        }
        rule
    };
    let paths = |verb: &str, paths: &[&str]| json!([{ "verbs": [verb], "nonResourceURLs": paths }]);
    let mut rule = json!({ "subjects": subjects(&schema.who) });
    match schema.what {
        What::All => {
            rule["resourceRules"] = json!([resources(&every, "*", &every, true)]);
            rule["nonResourceRules"] = paths("*", &every);
        }
        What::Some(some) => {
            let rules = some
                .iter()
                .map(|(verbs, group, names, outside)| resources(verbs, group, names, *outside));
            rule["resourceRules"] = rules.collect();
        }
        What::Paths(some) => rule["nonResourceRules"] = paths("get", some),
    }
    let mut spec = json!({
        "priorityLevelConfiguration": { "name": schema.level },
        "matchingPrecedence": schema.precedence,
        "rules": [rule],
    });
    if !schema.by.is_empty() {
        spec["distinguisherMethod"] = json!({ "type": schema.by });
    }
    let found = format!(
        "This FlowSchema references the PriorityLevelConfiguration object named {:?} and it exists",
        schema.level
    );
    let condition =
        json!({ "type": "Dangling", "status": "False", "reason": "Found", "message": found });
    object("FlowSchema", SCHEMA_PATH, schema.name, spec, Some(condition))
}

fn subjects(who: &Who) -> Vec<Value> {
    let user = |name: &&str| json!({ "kind": "User", "user": { "name": name } });
    match who {
        Who::Groups(names) => {
            let group = |name: &&str| json!({ "kind": "Group", "group": { "name": name } });
            names.iter().map(group).collect()
        }
        Who::Users(names) => names.iter().map(user).collect(),
        Who::Accounts(users) => {
            let accounts = json!({
                "kind": "ServiceAccount",
                "serviceAccount": { "namespace": "kube-system", "name": "*" },
            });
            users.iter().map(user).chain([accounts]).collect()
        }
    }
}
