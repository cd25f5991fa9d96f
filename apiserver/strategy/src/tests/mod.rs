//! Behaviour of the kinds through the write path.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use leme_access::Policy;
use leme_admission::{Chain, Facts, Seen};
use leme_kinds::{Kind, Kinds, Storage, by_kind};
use leme_meta::gvk::split_api_version;
use leme_meta::{Status, schema};
use leme_registry::{
    Allocator, Context, DeleteOptions, Deletion, Target, User, Write, Writer, json as read,
};
use serde_json::{Value, json};

mod admission;
mod amounts;
mod apps;
mod autoscaling;
mod batch;
mod certificates;
mod data;
mod devices;
mod ephemeral;
mod extensions;
mod flowcontrol;
mod images;
mod limits;
mod manifests;
pub(crate) mod mutants;
mod mutating_policies;
mod networking;
mod openshift;
mod people;
mod pod;
mod pod_rules;
mod pod_status;
mod policy;
mod rbac;
mod requests;
mod resize;
mod rest;
mod robust;
mod security;
mod service;
mod storage;
mod template;
mod traits;
mod views;
mod volumes;
mod warnings;
mod workloads;

/// Hands out addresses and ports from a fixed start; everything that ends in 9 is taken.
#[derive(Default)]
struct Numbers {
    given: i64,
}

impl Allocator for Numbers {
    fn cluster_ip(&mut self, requested: Option<&str>) -> Result<String, String> {
        match requested {
            Some(ip) if ip.ends_with('9') => Err("provided IP is already allocated".to_owned()),
            Some(ip) => Ok(ip.to_owned()),
            None => {
                self.given += 1;
                Ok(format!("10.96.0.{}", self.given))
            }
        }
    }

    fn node_port(&mut self, requested: Option<i64>) -> Result<i64, String> {
        match requested {
            Some(port) if port % 10 == 9 => Err("provided port is already allocated".to_owned()),
            Some(port) => Ok(port),
            None => {
                self.given += 1;
                Ok(30_000 + self.given)
            }
        }
    }
}

/// The few objects that admission finds: the namespace, its account, the system's classes.
struct Known;

impl Facts for Known {
    fn get(&self, of: &Seen, _: &str, name: &str) -> Result<Option<Arc<Value>>, Status> {
        let found = match (of.plural, name) {
            ("namespaces", "ns") | ("runtimeclasses", _) => {
                Some(json!({ "metadata": { "name": name } }))
            }
            ("serviceaccounts", "default") => Some(json!({
                "metadata": { "name": name }, "automountServiceAccountToken": false,
            })),
            ("priorityclasses", "system-node-critical") => Some(json!({
                "metadata": { "name": name }, "value": 2_000_001_000,
                "preemptionPolicy": "PreemptLowerPriority",
            })),
            _ => None,
        };
        Ok(found.map(Arc::new))
    }

    fn list(&self, _: &Seen, _: &str) -> Result<Vec<Arc<Value>>, Status> {
        Ok(Vec::new())
    }

    /// Whoever writes here may do everything.
    fn policy(&self) -> Arc<Policy> {
        let role = json!({ "rules": [
            { "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] },
            { "verbs": ["*"], "nonResourceURLs": ["*"] },
        ] });
        let binding = json!({ "roleRef": { "kind": "ClusterRole", "name": "all" },
            "subjects": [{ "kind": "Group", "name": "dev" }] });
        let policy = Policy::default().with("ClusterRole", ("", "all"), Some(&role));
        Arc::new(policy.with("ClusterRoleBinding", ("", "all"), Some(&binding)))
    }
}

/// Whether objects that are made with the fields of each row are refused as it says, or created.
#[track_caller]
fn all(make: impl Fn(&Value) -> Value, rows: &[(Value, &[&str])]) {
    for (fields, errors) in rows {
        let result = create(make(fields));
        match errors {
            [] => assert!(result.is_ok(), "{fields}: {result:?}"),
            errors => assert_eq!(causes(&result.expect_err("refused")), *errors, "{fields}"),
        }
    }
}

static ADMISSION: LazyLock<Chain<Known>> =
    LazyLock::new(|| Chain::new(Known, &["PersistentVolumeClaimResize"]));

fn row(body: &Value) -> &'static Kind {
    let text = |field: &str| body[field].as_str().expect(field);
    kind(text("apiVersion"), text("kind"))
}

fn kind(api_version: &str, name: &str) -> &'static Kind {
    let (group, version) = split_api_version(api_version);
    by_kind(group, version, name).expect("row")
}

/// The kind as which the objects of a kind are kept.
fn kept(kind: &Kind) -> &Kind {
    match kind.storage {
        Storage::As(group, version, plural) => {
            Kinds::builtin().by_resource(group, version, plural).expect("kept")
        }
        Storage::Own | Storage::Virtual => kind,
    }
}

/// Who asks in these tests.
fn jo() -> User<'static> {
    static GROUPS: LazyLock<Vec<String>> = LazyLock::new(|| vec!["dev".to_owned()]);
    static EXTRA: BTreeMap<String, Vec<String>> = BTreeMap::new();
    User { name: "jo", uid: "7", groups: &GROUPS, extra: &EXTRA }
}

fn context<'a>(kind: &'a Kind, name: &'a str) -> Context<'a> {
    Context {
        kind: kept(kind),
        strategy: crate::of(kind),
        namespace: if kind.namespaced() { "ns" } else { "" },
        name,
        user: Some(jo()),
        now: "2026-01-02T03:04:05Z".parse().expect("time"),
        uid: "u".to_owned(),
        suffix: "abcde".to_owned(),
        dry_run: false,
        route_domain: "apps.test",
        registry_host: None,
        service_network: ([10, 96, 0, 0].into(), 16),
        admission: &*ADMISSION,
    }
}

const TESTER: Writer = Writer::Manager("tester");

/// What a client is told about an object that it writes.
fn warned(object: &Value, old: Option<&Value>) -> Vec<String> {
    (crate::of(row(object)).warn)(object, old)
}

/// An object without the list of who owns its fields.
fn unowned(mut object: Value) -> Value {
    read::remove(read::child(&mut object, "metadata"), "managedFields");
    object
}

/// A body as the write path gets it: without what its kind does not have, quantities in their form, a view as what it is
/// kept as.
fn handed_on(kind: &Kind, mut body: Value) -> Result<Value, Status> {
    let schemas = leme_kinds::schemas();
    let found = schema::check(schemas, &kind.schema, &body);
    if let Some(wrong) = found.type_errors.first() {
        let Kind { kind, version, .. } = kind;
        return Err(Status::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: {}",
            wrong.decoded
        )));
    }
    schema::prune(schemas, &kind.schema, &mut body);
    if let Some(view) = crate::view(kind) {
        (view.to_kept)(&mut body).map_err(Status::bad_request)?;
    }
    Ok(body)
}

/// What a create stores, but for who owns what.
fn create(body: Value) -> Result<Value, Status> {
    let kind = row(&body);
    let body = handed_on(kind, body)?;
    leme_registry::create(&context(kind, ""), TESTER, body, &mut Numbers::default()).map(unowned)
}

#[track_caller]
fn created(body: Value) -> Value {
    create(body).unwrap_or_else(|status| panic!("refused: {status}"))
}

/// What an update of `old`, changed so, writes.
fn update(target: Target, old: &Value, change: impl FnOnce(&mut Value)) -> Result<Write, Status> {
    update_as(row(old), target, old, change)
}

/// The same of what is kept as `old`, by the kind that it is served as.
fn update_as(
    kind: &Kind,
    target: Target,
    old: &Value,
    change: impl FnOnce(&mut Value),
) -> Result<Write, Status> {
    let mut new = old.clone();
    if let Some(view) = crate::view(kind) {
        (view.to_served)(&mut new);
    }
    change(&mut new);
    new["metadata"]["resourceVersion"] = "7".into();
    let is_scale = target == Target::Scale;
    let new = if is_scale { new } else { handed_on(kind, new)? };
    let name = old["metadata"]["name"].as_str().unwrap_or("");
    let context = context(kind, name);
    leme_registry::update(&context, target, TESTER, new, (old, 7), &mut Numbers { given: 50 })
}

#[track_caller]
fn updated(old: &Value, change: impl FnOnce(&mut Value)) -> Value {
    match update(Target::Main, old, change) {
        Ok(Write::Put(new)) => new,
        other => panic!("not a put: {other:?}"),
    }
}

fn delete(old: &Value, grace: Option<i64>) -> Deletion {
    delete_as(row(old), old, grace)
}

fn delete_as(kind: &Kind, old: &Value, grace: Option<i64>) -> Deletion {
    let options = DeleteOptions { grace_period_seconds: grace, ..DeleteOptions::default() };
    let name = old["metadata"]["name"].as_str().unwrap_or("");
    leme_registry::delete(&context(kind, name), &options, old, 7).expect("accepted")
}

fn causes(status: &Status) -> Vec<String> {
    let details = status.details.as_ref().expect("details");
    details.causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

/// Asserts that an object is refused with exactly these errors.
#[track_caller]
fn check<T: std::fmt::Debug>(result: Result<T, Status>, errors: &[&str]) {
    let status = result.expect_err("refused");
    // What is told of a change behind the message is another test's.
    let told: Vec<String> = causes(&status)
        .iter()
        .filter_map(|one| one.split("\n@@ ").next().map(str::to_owned))
        .collect();
    assert_eq!(told, errors);
}

/// An object with fields set: `("spec.type", value)`.
fn with(mut object: Value, changes: &[(&str, Value)]) -> Value {
    for (path, value) in changes {
        let pointer = format!("/{}", path.replace('.', "/"));
        match object.pointer_mut(&pointer) {
            Some(slot) => *slot = value.clone(),
            None => {
                let (parent, field) = pointer.rsplit_once('/').expect("path");
                object.pointer_mut(parent).expect("parent")[field] = value.clone();
            }
        }
    }
    object
}

/// The smallest pod.
fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
        "spec": { "containers": [{ "name": "c", "image": "nginx" }] },
    })
}
