//! SecurityContextConstraints: in a namespace that was allotted its users, a pod gets what the first constraints give
//! that it fits and that it or its maker may use.
//!
//! Knows: which constraints are tried, who may use them, what of a pod they may change when. Refuses to know: who allots
//! users to namespaces.

pub mod allotted;
mod assign;
mod check;
mod order;
mod review;
pub mod standard;
mod volumes;

use std::sync::Arc;

use leme_access::{Attributes, Identity};
use leme_meta::field::{FieldError, Path};
use leme_meta::{Status, quote};
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

pub use review::{Review, review};

use crate::escalation::{identity, only_for_its_end};
use crate::lifecycle::NAMESPACES;
use crate::{Facts, PlugIn, Seen, changes_pod};

const GROUP: &str = "security.openshift.io";
const CONSTRAINTS: Seen =
    Seen { group: GROUP, version: "v1", plural: "securitycontextconstraints" };
/// The constraints that a pod was found to fit.
const FITS: &str = "openshift.io/scc";
/// Those that it must fit and no others.
const REQUIRED: &str = "openshift.io/required-scc";
/// Whether it may use them by itself, or its maker may.
const BY: &str = "security.openshift.io/validated-scc-subject-type";

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "security.openshift.io/SecurityContextConstraint",
    about: changes_pod,
    sees: &[CONSTRAINTS, NAMESPACES],
    mutate: |asked, pod, old, facts| {
        let Some(namespace) = constrained(asked, pod, old, facts)? else { return Ok(()) };
        let required = annotation(pod, REQUIRED).to_owned();
        if old.is_some_and(|old| annotation(old, REQUIRED) != required) {
            let why = format!(
                "invalid change of required security context constraint annotation: {REQUIRED}"
            );
            return Err(asked.forbidden(&why));
        }
        let may = match asked.operation {
            Operation::Create => May::Pod,
            _ if asked.subresource == "ephemeralcontainers" => May::EphemeralContainers,
            _ => May::Nothing,
        };
        let tried = Tried { asked, namespace: &namespace, required: &required, first: "", may };
        let fits = tried.fitting(pod, facts)?.map_err(|errors| asked.forbidden(&told(&errors)))?;
        *pod = fits.pod;
        let annotations = json::child(json::child(pod, "metadata"), "annotations");
        json::set(annotations, FITS, fits.name);
        json::set(annotations, BY, fits.by);
        Ok(())
    },
    validate: |asked, pod, old, facts| {
        let Some(pod) = pod else { return Ok(()) };
        let Some(namespace) = constrained(asked, pod, old, facts)? else { return Ok(()) };
        let (required, first) = (annotation(pod, REQUIRED), annotation(pod, FITS));
        if !required.is_empty() && required != first {
            let why = format!("required scc/{required} does not match the suggested scc/{first}");
            return Err(asked.forbidden(&why));
        }
        let tried = Tried { asked, namespace: &namespace, required, first, may: May::Nothing };
        let fits = tried.fitting(pod, facts)?;
        fits.map(drop).map_err(|errors| asked.forbidden(&told(&errors)))
    },
    ..PlugIn::NONE
};

fn annotation<'a>(pod: &'a Value, name: &str) -> &'a str {
    json::text(pod, &["metadata", "annotations", name])
}

/// The namespace of a pod, if constraints count there and for the write.
fn constrained(
    asked: &Asked,
    pod: &Value,
    old: Option<&Value>,
    facts: &dyn Facts,
) -> Result<Option<Arc<Value>>, Status> {
    let namespace = facts.get(&NAMESPACES, "", asked.namespace)?;
    let namespace = namespace.filter(|namespace| allotted::is_constrained(namespace));
    let is_windows = json::text(pod, &["spec", "os", "name"]) == "windows";
    let is_same = || only_for_its_end(pod, old);
    Ok(namespace.filter(|_| !is_windows && !is_same()))
}

/// Everything that is wrong, once each.
fn told(errors: &[FieldError]) -> String {
    let mut said: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let error = error.to_string();
        if !said.contains(&error) {
            said.push(error);
        }
    }
    let said = match said.as_slice() {
        [one] => one.clone(),
        all => format!("[{}]", all.join(", ")),
    };
    format!("unable to validate against any security context constraint: {said}")
}

/// What of the security of a container counts: its own, else the pod's.
fn effective<'a>(container: &'a Value, shared: &'a Value, field: &str) -> Option<&'a Value> {
    json::at(container, &["securityContext", field]).or_else(|| json::at(shared, &[field]))
}

/// What may be made of a pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum May {
    Pod,
    EphemeralContainers,
    Nothing,
}

/// One try of a pod.
struct Tried<'a> {
    asked: &'a Asked<'a>,
    namespace: &'a Value,
    required: &'a str,
    /// What is tried first.
    first: &'a str,
    may: May,
}

/// What a pod fits.
struct Fits {
    pod: Value,
    name: String,
    by: &'static str,
}

impl Tried<'_> {
    /// The first constraints that a pod fits, or what keeps it from each.
    fn fitting(
        &self,
        pod: &Value,
        facts: &dyn Facts,
    ) -> Result<Result<Fits, Vec<FieldError>>, Status> {
        let all = self.candidates(facts)?;
        let (mut errors, mut tries) = (Vec::new(), Tries::default());
        for constraints in &all {
            let name = json::text(constraints, &["metadata", "name"]);
            tries.has_second |= name == "restricted-v2";
            let Some(by) = self.usable(pod, constraints, facts) else {
                let at = Path::new(&format!("provider {}", quote(name)));
                errors.push(FieldError::forbidden(&at, "not usable by user or serviceaccount"));
                if name == "restricted" {
                    tries.without_first = Some(constraints);
                }
                continue;
            };
            match fitted(constraints, pod) {
                Err(more) => errors.extend(more),
                Ok(fitted) if self.allows(pod, &fitted) => {
                    return Ok(Ok(Fits { pod: fitted, name: name.to_owned(), by }));
                }
                Ok(_) => {}
            }
        }
        if let Some(first) = tries.without_first.filter(|_| tries.has_second)
            && fitted(first, pod).is_ok()
        {
            let why = "the pod fails to validate against the `restricted-v2` security context constraint, but would validate successfully against the `restricted` security context constraint";
            errors.push(FieldError::forbidden(&Path::new("no access to scc/restricted"), why));
        }
        Ok(Err(errors))
    }

    /// The constraints that are tried, in their order, filled in with what the namespace was allotted.
    fn candidates(&self, facts: &dyn Facts) -> Result<Vec<Value>, Status> {
        let refused = |why: &str| self.asked.forbidden(why);
        let mut all = match self.required {
            "" => facts.list(&CONSTRAINTS, "")?,
            name => {
                let missing = || {
                    let name = quote(name);
                    refused(&format!(
                        "failed to retrieve the required SCC {name}: securitycontextconstraints.{GROUP} {name} not found"
                    ))
                };
                vec![facts.get(&CONSTRAINTS, "", name)?.ok_or_else(missing)?]
            }
        };
        if all.is_empty() {
            return Err(refused("no SecurityContextConstraints found in cluster"));
        }
        if json::at(self.namespace, &["metadata", "annotations", allotted::LABEL]).is_none() {
            let (name, label) = (quote(self.asked.namespace), allotted::LABEL);
            let why = format!("error fetching namespace {name}: unable to find annotation {label}");
            return Err(refused(&why));
        }
        order::sort(&mut all);
        all.sort_by_key(|one| json::text(one, &["metadata", "name"]) != self.first);
        let filled = all.iter().map(|one| allotted::filled(one, self.namespace));
        filled.collect::<Result<_, _>>().map_err(|why| refused(&why))
    }

    /// By whom constraints may be used: the pod's account, or who makes it.
    fn usable(&self, pod: &Value, constraints: &Value, facts: &dyn Facts) -> Option<&'static str> {
        let account = json::text(pod, &["spec", "serviceAccountName"]);
        let account = (!account.is_empty())
            .then(|| Identity::of_service_account(self.asked.namespace, account, ""));
        let may = |who: &Identity| may_use(who, constraints, self.asked.namespace, facts);
        if account.as_ref().is_some_and(may) {
            return Some("serviceaccount");
        }
        identity(self.asked).as_ref().is_some_and(may).then_some("user")
    }

    /// Whether a pod may become what fits.
    fn allows(&self, pod: &Value, fitted: &Value) -> bool {
        match self.may {
            May::Pod => true,
            May::Nothing => pod == fitted,
            May::EphemeralContainers => {
                let mut without = fitted.clone();
                json::keep(json::child(&mut without, "spec"), &pod["spec"], "ephemeralContainers");
                without == *pod
            }
        }
    }
}

/// What is told besides when nothing fits.
#[derive(Default)]
struct Tries<'a> {
    /// Whether `restricted-v2` was tried.
    has_second: bool,
    /// `restricted`, if it may not be used.
    without_first: Option<&'a Value>,
}

/// A pod with what constraints give, if it fits them then.
fn fitted(constraints: &Value, pod: &Value) -> Result<Value, Vec<FieldError>> {
    let name = json::text(constraints, &["metadata", "name"]);
    let mut fitted = pod.clone();
    assign::assign(constraints, &mut fitted);
    let errors = check::check(constraints, &fitted, &Path::new(&format!("provider {name}: ")));
    if errors.is_empty() { Ok(fitted) } else { Err(errors) }
}

/// Whether somebody may use constraints: they name them or a group of theirs, or a role allows it in the namespace.
fn may_use(who: &Identity, constraints: &Value, namespace: &str, facts: &dyn Facts) -> bool {
    let names =
        |field: &str, name: &str| json::list(constraints, &[field]).iter().any(|one| one == name);
    if names("users", &who.user) || who.groups.iter().any(|group| names("groups", group)) {
        return true;
    }
    let what = Attributes {
        verb: "use".to_owned(),
        group: GROUP.to_owned(),
        resource: CONSTRAINTS.plural.to_owned(),
        namespace: namespace.to_owned(),
        name: json::text(constraints, &["metadata", "name"]).to_owned(),
        ..Attributes::default()
    };
    leme_access::authorize(who, &what, &facts.policy()).is_allowed()
}
