//! Who hands out which rights.

use leme_access::Policy;
use leme_registry::User;

use super::*;

/// Somebody who may write roles and holds what a role named `own` says.
struct Rights;

impl Facts for Rights {
    fn get(&self, _: &Seen, _: &str, _: &str) -> Result<Option<Arc<Value>>, Status> {
        Ok(None)
    }

    fn list(&self, _: &Seen, _: &str) -> Result<Vec<Arc<Value>>, Status> {
        Ok(Vec::new())
    }

    fn policy(&self) -> Arc<Policy> {
        let own = role("own", json!([pods("get"), approve()]));
        let binding = json!({ "roleRef": { "kind": "ClusterRole", "name": "own" },
            "subjects": [{ "kind": "User", "name": "jo" }] });
        let policy = Policy::default().with("ClusterRole", ("", "own"), Some(&own));
        Arc::new(policy.with("ClusterRoleBinding", ("", "own"), Some(&binding)))
    }
}

fn pods(verb: &str) -> Value {
    json!({ "verbs": [verb], "apiGroups": [""], "resources": ["pods"] })
}

fn approve() -> Value {
    json!({ "verbs": ["approve"], "apiGroups": ["certificates.k8s.io"], "resources": ["signers"],
        "resourceNames": ["example.com/*"] })
}

fn role(name: &str, rules: Value) -> Value {
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": name }, "rules": rules })
}

fn told(subresource: &str, new: &Value, old: Option<&Value>) -> String {
    let (groups, extra) = (["system:authenticated".to_owned()], BTreeMap::new());
    let user = User { name: "jo", uid: "", groups: &groups, extra: &extra };
    let operation = if old.is_some() { Operation::Update } else { Operation::Create };
    let asked = Asked { user: Some(user), subresource, ..asked(operation, new) };
    let done = Chain::new(Rights, &[]).validate(&asked, Some(new), old);
    done.map_or_else(|status| status.message, |()| "yes".to_owned())
}

/// Red when only rules count: by a label a role that gathers others gets what the writer does not hold.
#[test]
fn a_label_hands_out_rights_as_well() {
    assert_eq!(told("", &role("x", json!([pods("get")])), None), "yes");
    let strong = role("x", json!([pods("delete")]));
    let refused = told("", &strong, None);
    assert!(refused.contains("user \"jo\" (groups=[\"system:authenticated\"])"), "{refused}");
    let mut labelled = strong.clone();
    labelled["metadata"]["labels"] =
        json!({ "rbac.authorization.k8s.io/aggregate-to-view": "true" });
    assert!(told("", &labelled, Some(&strong)).contains("permissions not currently held"));
    let mut going = strong.clone();
    going["metadata"]["finalizers"] = json!(["orphan"]);
    assert_eq!(told("", &going, Some(&strong)), "yes");
}

#[test]
fn who_approves_may_do_it_for_the_signer() {
    let request = |signer: &str, conditions: Value| {
        json!({ "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": { "name": "c" }, "spec": { "signerName": signer },
            "status": { "conditions": conditions } })
    };
    let approved = json!([{ "type": "Approved", "status": "True" }]);
    let change = |subresource: &str, signer: &str| {
        let (new, old) = (request(signer, approved.clone()), request(signer, json!([])));
        told(subresource, &new, Some(&old))
    };
    assert_eq!(change("approval", "example.com/x"), "yes");
    let signer = "kubernetes.io/kube-apiserver-client";
    let refused = change("approval", signer);
    let why = format!("user not permitted to approve requests with signerName {signer:?}");
    assert!(refused.contains(&why), "{refused}");
    let refused = change("status", "example.com/x");
    assert!(refused.contains("user not permitted to sign requests"), "{refused}");
}
