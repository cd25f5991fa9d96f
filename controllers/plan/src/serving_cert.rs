//! The service authority: certificates for Services that ask for one, in Secrets, as OpenShift's service CA operator makes
//! them; and the bundle that says whom to trust, in ConfigMaps that ask for it.
//!
//! Knows: upstream's annotations and words. Refuses to know: how certificates are made, and what is in them. Who signed one is
//! seen by the authority's own certificate, which stands behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};

use crate::action::{Action, ObjectRef};
use crate::namespace::is_ending;
use crate::{Failure, Plan};

/// Both ages of the annotations; what is asked for by either is done.
const AGES: [&str; 2] = ["service.beta.openshift.io/", "service.alpha.openshift.io/"];
const SECRET_NAME: &str = "serving-cert-secret-name";
const SIGNED_BY: &str = "serving-cert-signed-by";
const ERROR: &str = "serving-cert-generation-error";
const ERRORS: &str = "serving-cert-generation-error-num";
const OF_UID: &str = "originating-service-uid";
const OF_NAME: &str = "originating-service-name";
const EXPIRY: &str = "expiry";
const INJECT: &str = "inject-cabundle";
/// How often one that fails is tried.
const MOST_ERRORS: u32 = 10;
/// How long before its end a certificate is made anew.
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Where the bundle is in a ConfigMap.
pub const BUNDLE_KEY: &str = "service-ca.crt";
/// The ConfigMap that every namespace gets.
pub const BUNDLE_MAP: &str = "openshift-service-ca.crt";

/// Who signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its common name.
    pub name: String,
    /// Its certificate as PEM.
    pub certificate: String,
    /// Whom to trust as PEM: it, and the one before it.
    pub bundle: String,
}

/// A certificate that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// As PEM, with the authority's behind it.
    pub chain: String,
    /// As PEM.
    pub key: String,
    /// When it is over.
    pub expires: Timestamp,
}

/// What is seen of a Service.
#[derive(Debug)]
pub struct Observed {
    /// The Service.
    pub service: Arc<Service>,
    /// The Secret that it names, as the API itself has it.
    pub secret: Option<Secret>,
    /// Who signs.
    pub authority: Authority,
    /// The domain of the cluster's names.
    pub domain: String,
    /// A certificate for it, once that was needed and is made.
    pub made: Option<Made>,
    /// How the last round failed.
    pub failure: Option<Failure>,
}

fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    let all = meta.annotations.as_ref()?;
    let found = AGES.iter().find_map(|age| all.get(&format!("{age}{name}")))?;
    Some(found.as_str()).filter(|text| !text.is_empty())
}

/// The Secret that a Service asks for.
pub fn secret_name(service: &Service) -> Option<&str> {
    annotation(&service.metadata, SECRET_NAME)
}

/// The Service that a Secret was made for.
pub fn service_name(secret: &ObjectMeta) -> Option<&str> {
    annotation(secret, OF_NAME)
}

/// Whether a ConfigMap asks for the bundle.
pub fn wants_bundle(map: &ObjectMeta) -> bool {
    let all = map.annotations.as_ref();
    let asks = |age: &&str| {
        let value = all.and_then(|all| all.get(&format!("{age}{INJECT}")));
        value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    };
    AGES.iter().any(asks)
}

/// Whether annotations are kept that start like this.
pub fn is_concerned(annotation: &str) -> bool {
    AGES.iter().any(|age| annotation.starts_with(age))
}

/// The names that a Service's certificate is for.
pub fn names(service: &Service, domain: &str) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (name, space) = (text(&service.metadata.name), text(&service.metadata.namespace));
    let short = format!("{name}.{space}.svc");
    let long = format!("{short}.{domain}");
    let headless = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
    let wild = [format!("*.{short}"), format!("*.{long}")];
    let wild = wild.into_iter().filter(|_| headless == Some("None"));
    [short, long].into_iter().chain(wild).collect()
}

impl Observed {
    fn uid(&self) -> &str {
        self.service.metadata.uid.as_deref().unwrap_or("")
    }

    fn is_ours(&self, secret: &Secret) -> bool {
        annotation(&secret.metadata, OF_UID) == Some(self.uid())
    }

    fn errors(&self) -> u32 {
        let told = annotation(&self.service.metadata, ERRORS);
        told.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Whether a certificate has to be made.
    pub fn needs(&self, now: Timestamp) -> bool {
        match &self.secret {
            None => self.failure.is_none() || self.errors() < MOST_ERRORS,
            Some(secret) if !self.is_ours(secret) => false,
            Some(secret) => self.errors() < MOST_ERRORS && !self.is_current(secret, now),
        }
    }

    /// Whether what a Secret holds is of this authority, whole, and lasts.
    fn is_current(&self, secret: &Secret, now: Timestamp) -> bool {
        let text = |key: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(key));
            bytes.and_then(|bytes| std::str::from_utf8(&bytes.0).ok()).unwrap_or("")
        };
        let chain = text("tls.crt").trim_end();
        let leaf = chain.strip_suffix(self.authority.certificate.trim_end());
        let owned = secret.metadata.owner_references.iter().flatten();
        leaf.is_some_and(|leaf| leaf.contains("-----BEGIN CERTIFICATE-----"))
            && text("tls.key").contains("PRIVATE KEY-----")
            && owned.into_iter().any(|owner| owner.uid == self.uid())
            && expiry(secret).is_some_and(|expires| now < expires)
    }
}

/// When the certificate of a Secret is to be made anew.
fn expiry(secret: &Secret) -> Option<Timestamp> {
    let expires: Timestamp = annotation(&secret.metadata, EXPIRY)?.parse().ok()?;
    expires.checked_sub(RENEWED_BEFORE).ok()
}

/// What to do for a Service that asks for a certificate.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let (Some(name), false) =
        (secret_name(&seen.service), seen.service.metadata.deletion_timestamp.is_some())
    else {
        return plan;
    };
    let space = seen.service.metadata.namespace.as_deref().unwrap_or("");
    if let Some(secret) = seen.secret.as_ref().filter(|secret| !seen.is_ours(secret)) {
        let name = secret.metadata.name.as_deref().unwrap_or(name);
        let why =
            format!("secret {space}/{name} does not have corresponding service UID {}", seen.uid());
        fail(&mut plan, seen, &why);
        return plan;
    }
    let failure = seen.failure.as_ref().filter(|_| seen.needs(now));
    if let Some(failure) = failure {
        fail(&mut plan, seen, &failure.message);
    }
    match (&seen.made, &seen.secret) {
        (Some(made), None) => plan.act(Action::create(&secret(seen, name, made))),
        (Some(made), Some(held)) => {
            let wanted = secret(seen, name, made);
            let mut data = json!(wanted.data);
            // What else somebody has put there is taken out.
            for key in held.data.iter().flatten().map(|(key, _)| key) {
                if data.get(key).is_none() {
                    data[key] = Value::Null;
                }
            }
            let meta = &wanted.metadata;
            let patch = json!({"data": data, "metadata": {
                "annotations": meta.annotations, "ownerReferences": meta.owner_references,
            }});
            plan.act(Action::patch(ObjectRef::to(held), patch));
        }
        (None, _) => {}
    }
    let made = seen.made.as_ref().map(|made| made.expires.checked_sub(RENEWED_BEFORE));
    let due = made.and_then(Result::ok).or_else(|| seen.secret.as_ref().and_then(expiry));
    if let Some(left) = due.and_then(|due| Duration::try_from(due.duration_since(now)).ok()) {
        plan.again_in(left + Duration::from_secs(1));
    }
    // Told after it was done: a round that is cut short tells the next time.
    let done = seen.made.is_some() || seen.secret.is_some();
    if done && failure.is_none() {
        tell(&mut plan, seen);
    }
    plan
}

/// Says in the Service who signed, and that nothing is wrong any more.
fn tell(plan: &mut Plan, seen: &Observed) {
    let all = seen.service.metadata.annotations.as_ref();
    let has = |name: &str| all.and_then(|all| all.get(name));
    let mut changes = serde_json::Map::new();
    for age in AGES {
        let signed = format!("{age}{SIGNED_BY}");
        if has(&signed) != Some(&seen.authority.name) {
            changes.insert(signed, seen.authority.name.as_str().into());
        }
        for error in [ERROR, ERRORS].map(|name| format!("{age}{name}")) {
            if has(&error).is_some() {
                changes.insert(error, Value::Null);
            }
        }
    }
    annotate(plan, seen, changes);
}

/// Says in the Service what is wrong, as often as it may be tried.
fn fail(plan: &mut Plan, seen: &Observed, why: &str) {
    let errors = seen.errors();
    if errors >= MOST_ERRORS {
        return;
    }
    let mut changes = serde_json::Map::new();
    for age in AGES {
        changes.insert(format!("{age}{ERROR}"), why.into());
        changes.insert(format!("{age}{ERRORS}"), (errors + 1).to_string().into());
    }
    annotate(plan, seen, changes);
}

fn annotate(plan: &mut Plan, seen: &Observed, changes: serde_json::Map<String, Value>) {
    if !changes.is_empty() {
        let patch = json!({"metadata": {"annotations": changes}});
        plan.act(Action::patch(ObjectRef::to(&*seen.service).any_version(), patch));
    }
}

fn secret(seen: &Observed, name: &str, made: &Made) -> Secret {
    let service = &seen.service.metadata;
    let asked = service.annotations.as_ref();
    let [beta, alpha] = AGES;
    let is_beta = asked.is_some_and(|all| all.contains_key(&format!("{beta}{SECRET_NAME}")));
    let age = if is_beta { beta } else { alpha };
    let of = service.name.clone().unwrap_or_default();
    let mut annotations = BTreeMap::from([
        (format!("{age}{OF_UID}"), seen.uid().to_owned()),
        (format!("{age}{OF_NAME}"), of.clone()),
    ]);
    for age in AGES {
        let expires = made.expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        annotations.insert(format!("{age}{EXPIRY}"), expires);
    }
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        name: of,
        uid: seen.uid().to_owned(),
        ..OwnerReference::default()
    };
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = [("tls.crt", bytes(&made.chain)), ("tls.key", bytes(&made.key))];
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: service.namespace.clone(),
            annotations: Some(annotations),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data.map(|(key, bytes)| (key.to_owned(), bytes)).into()),
        ..Secret::default()
    }
}

/// What to do for a ConfigMap that asks for the bundle: it holds that and nothing else.
pub fn inject(map: &ConfigMap, bundle: &str) -> Plan {
    let mut plan = Plan::default();
    let held = map.data.iter().flatten();
    let mut data: serde_json::Map<String, Value> =
        held.clone().map(|(key, _)| (key.clone(), Value::Null)).collect();
    let is_whole = held.clone().eq(std::iter::once((&BUNDLE_KEY.to_owned(), &bundle.to_owned())));
    if wants_bundle(&map.metadata) && map.metadata.deletion_timestamp.is_none() && !is_whole {
        data.insert(BUNDLE_KEY.to_owned(), bundle.into());
        plan.act(Action::patch(ObjectRef::to(map), json!({ "data": data })));
    }
    plan
}

/// What a namespace gets: a ConfigMap that asks for the bundle.
pub fn publish(namespace: Option<&Namespace>, has_map: bool) -> Plan {
    let mut plan = Plan::default();
    if let Some(namespace) = namespace.filter(|one| !has_map && !is_ending(one)) {
        let [beta, _] = AGES;
        let asks = BTreeMap::from([(format!("{beta}{INJECT}"), "true".to_owned())]);
        let metadata = ObjectMeta {
            name: Some(BUNDLE_MAP.to_owned()),
            namespace: namespace.metadata.name.clone(),
            annotations: Some(asks),
            ..ObjectMeta::default()
        };
        plan.act(Action::create(&ConfigMap { metadata, ..ConfigMap::default() }));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "-----BEGIN CERTIFICATE-----\nauthority\n-----END CERTIFICATE-----\n";
    const LEAF: &str = "-----BEGIN CERTIFICATE-----\nleaf\n-----END CERTIFICATE-----\n";

    fn now() -> Timestamp {
        "2026-11-27T00:00:00Z".parse().unwrap()
    }

    fn observed(annotations: Value) -> Observed {
        let service = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u1",
            "resourceVersion": "7", "annotations": annotations}});
        let authority = Authority {
            name: "openshift-service-serving-signer@1".into(),
            certificate: CA.into(),
            bundle: CA.into(),
        };
        Observed {
            service: Arc::new(serde_json::from_value(service).unwrap()),
            secret: None,
            authority,
            domain: "cluster.local".into(),
            made: None,
            failure: None,
        }
    }

    fn asking() -> Observed {
        observed(json!({"service.beta.openshift.io/serving-cert-secret-name": "web-tls"}))
    }

    fn made() -> Made {
        Made {
            chain: format!("{LEAF}{CA}"),
            key: "-----BEGIN PRIVATE KEY-----\n".into(),
            expires: "2028-11-26T00:00:00Z".parse().unwrap(),
        }
    }

    fn created(plan: &Plan) -> Option<Secret> {
        plan.actions.iter().find_map(|action| match action {
            Action::Create { object, .. } => serde_json::from_value(object.0.clone()).ok(),
            _ => None,
        })
    }

    fn patches(plan: &Plan) -> Vec<&Value> {
        fn of(action: &Action) -> Option<&Value> {
            match action {
                Action::Patch { patch, .. } => Some(patch),
                _ => None,
            }
        }
        plan.actions.iter().filter_map(of).collect()
    }

    /// The Secret of a round, as the next one sees it.
    fn with_secret(change: impl FnOnce(&mut Secret)) -> Observed {
        let mut seen = Observed { made: Some(made()), ..asking() };
        let mut secret = created(&plan(&seen, now())).unwrap();
        change(&mut secret);
        (seen.made, seen.secret) = (None, Some(secret));
        seen
    }

    #[test]
    fn a_service_gets_what_it_asks_for() {
        let seen = asking();
        assert!(seen.needs(now()));
        assert_eq!(plan(&seen, now()).actions, [], "nothing is there yet");
        let plan = plan(&Observed { made: Some(made()), ..seen }, now());
        let secret = created(&plan).unwrap();
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
        let annotations = secret.metadata.annotations.unwrap();
        for (name, value) in [
            ("service.beta.openshift.io/originating-service-name", "web"),
            ("service.beta.openshift.io/originating-service-uid", "u1"),
            ("service.beta.openshift.io/expiry", "2028-11-26T00:00:00Z"),
            ("service.alpha.openshift.io/expiry", "2028-11-26T00:00:00Z"),
        ] {
            assert_eq!(annotations[name], value);
        }
        assert_eq!(annotations.len(), 4);
        assert_eq!(secret.metadata.owner_references.unwrap()[0].uid, "u1");
        let signed = &patches(&plan)[0]["metadata"]["annotations"];
        let name = "openshift-service-serving-signer@1";
        assert_eq!(signed["service.beta.openshift.io/serving-cert-signed-by"], name);
        assert_eq!(signed["service.alpha.openshift.io/serving-cert-signed-by"], name);
        assert!(!observed(json!({})).service.metadata.annotations.iter().flatten().any(|_| true));
    }

    /// Red when a certificate is kept that is not the authority's, is over soon, or is no certificate.
    #[test]
    fn what_is_not_whole_is_made_anew() {
        assert!(!with_secret(|_| {}).needs(now()));
        let later: Timestamp = "2028-11-01T00:00:00Z".parse().unwrap();
        assert!(with_secret(|_| {}).needs(later));
        let data = |key: &str, text: &str| {
            let (key, text) = (key.to_owned(), ByteString(text.as_bytes().to_vec()));
            with_secret(|secret| drop(secret.data.as_mut().unwrap().insert(key, text)))
        };
        assert!(data("tls.crt", &format!("{LEAF}{LEAF}")).needs(now()));
        assert!(data("tls.crt", CA).needs(now()));
        assert!(data("tls.key", "art").needs(now()));
        assert!(with_secret(|secret| secret.metadata.owner_references = None).needs(now()));
        let mut extra = data("more", "x");
        extra.made = Some(made());
        let plan = plan(&extra, now());
        assert_eq!(patches(&plan)[0]["data"]["more"], Value::Null);
    }

    /// Red when somebody else's Secret is written over, or upstream's words are others.
    #[test]
    fn a_secret_of_somebody_else_is_left_alone() {
        let other = |secret: &mut Secret| {
            let all = secret.metadata.annotations.as_mut().unwrap();
            all.insert("service.beta.openshift.io/originating-service-uid".into(), "u2".into());
        };
        let seen = with_secret(other);
        assert!(!seen.needs(now()));
        let told = plan(&seen, now());
        let told = &patches(&told)[0]["metadata"]["annotations"];
        assert_eq!(
            told["service.beta.openshift.io/serving-cert-generation-error"],
            "secret shop/web-tls does not have corresponding service UID u1"
        );
        assert_eq!(told["service.alpha.openshift.io/serving-cert-generation-error-num"], "1");
        let ten = json!({"service.beta.openshift.io/serving-cert-secret-name": "web-tls",
            "service.beta.openshift.io/serving-cert-generation-error-num": "10"});
        let enough = Observed { secret: seen.secret, ..observed(ten.clone()) };
        assert_eq!(plan(&enough, now()).actions, []);
        // Once it is gone, the certificate is made, and the error is taken back.
        let free = Observed { made: Some(made()), ..observed(ten) };
        assert!(free.needs(now()));
        let plan = plan(&free, now());
        let told = &patches(&plan)[0]["metadata"]["annotations"];
        let error = "service.beta.openshift.io/serving-cert-generation-error-num";
        assert!(created(&plan).is_some() && told.get(error) == Some(&Value::Null));
    }

    #[test]
    fn a_write_that_is_refused_is_told() {
        let failure = Failure { reason: "FailedCreate".into(), message: "exceeded quota".into() };
        let seen = Observed { failure: Some(failure), made: Some(made()), ..asking() };
        let plan = plan(&seen, now());
        let told = &patches(&plan)[0]["metadata"]["annotations"];
        let error = &told["service.beta.openshift.io/serving-cert-generation-error"];
        assert_eq!(error, "exceeded quota");
        assert!(created(&plan).is_some());
        // What failed was only to tell of it.
        let failure = Failure { reason: "FailedUpdate".into(), message: "conflict".into() };
        let seen = Observed { failure: Some(failure), ..with_secret(|_| {}) };
        let plan = super::plan(&seen, now());
        let told = &patches(&plan)[0]["metadata"]["annotations"];
        assert!(told["service.beta.openshift.io/serving-cert-signed-by"].is_string());
    }

    #[test]
    fn headless_services_are_for_their_pods_too() {
        let mut seen = asking();
        assert_eq!(
            names(&seen.service, "cluster.local"),
            ["web.shop.svc", "web.shop.svc.cluster.local"]
        );
        let spec = json!({"clusterIP": "None"});
        Arc::get_mut(&mut seen.service).unwrap().spec = serde_json::from_value(spec).unwrap();
        let names = names(&seen.service, "cluster.local");
        assert_eq!(names[2..], ["*.web.shop.svc", "*.web.shop.svc.cluster.local"]);
    }

    #[test]
    fn a_map_holds_the_bundle_and_nothing_else() {
        let namespace = |phase: &str| {
            let one = json!({"metadata": {"name": "shop"}, "status": {"phase": phase}});
            serde_json::from_value::<Namespace>(one).unwrap()
        };
        assert_eq!(publish(Some(&namespace("Terminating")), false).actions, []);
        assert_eq!(publish(Some(&namespace("Active")), true).actions, []);
        let made = publish(Some(&namespace("Active")), false);
        let Action::Create { object, .. } = &made.actions[0] else { panic!("{made:?}") };
        let mut map: ConfigMap = serde_json::from_value(object.0.clone()).unwrap();
        map.data = Some([("more".to_owned(), "x".to_owned())].into());
        let plan = inject(&map, CA);
        assert_eq!(patches(&plan)[0]["data"], json!({"more": null, "service-ca.crt": CA}));
        map.data = Some([(BUNDLE_KEY.to_owned(), CA.to_owned())].into());
        assert_eq!(inject(&map, CA).actions, []);
        map.metadata.annotations = None;
        map.data = None;
        assert_eq!(inject(&map, CA).actions, [], "nobody asks");
    }
}
