//! Namespaces that are missing, that go, and that stay.

use super::*;

fn config_map() -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" } })
}

fn refusal(namespaces: &[Value], subresource: &str, object: &Value) -> Option<Status> {
    let chain = Chain::new(Objects::of(namespaces), &[]);
    let asked = Asked { subresource, ..asked(Operation::Create, object) };
    chain.mutate(&asked, &mut object.clone(), None).err()
}

#[test]
fn nothing_is_made_where_there_is_no_namespace_or_one_that_goes() {
    assert_eq!(refusal(&[namespace("ns")], "", &config_map()), None);
    let missing = refusal(&[], "", &config_map()).expect("refused");
    assert_eq!((missing.code, missing.message.as_str()), (404, "namespaces \"ns\" not found"));
    let mut ending = namespace("ns");
    ending["status"] = json!({ "phase": "Terminating" });
    let status = refusal(&[ending.clone()], "", &config_map()).expect("refused");
    assert_eq!(status.code, 403);
    assert_eq!(
        status.message,
        "configmaps \"m\" is forbidden: unable to create new content in namespace ns because it is being terminated"
    );
    let causes = &status.details.as_ref().expect("details").causes;
    assert_eq!(
        (causes[0].reason.as_str(), causes[0].field.as_str(), causes[0].message.as_str()),
        ("NamespaceTerminating", "metadata.namespace", "namespace ns is being terminated")
    );
    let status = refusal(&[ending.clone()], "eviction", &pod()).expect("refused");
    assert!(status.message.starts_with("pods \"p\" is forbidden: unable to create new content"));

    // What is there may be changed, and what belongs to no namespace made.
    let chain = Chain::new(Objects::of(&[ending]), &[]);
    let object = config_map();
    let update = asked(Operation::Update, &object);
    assert_eq!(chain.mutate(&update, &mut config_map(), Some(&config_map())), Ok(()));
    assert_eq!(refusal(&[], "", &namespace("other")), None);
}

#[test]
fn some_namespaces_stay() {
    let chain = Chain::new(Objects::default(), &[]);
    let delete = |object: Value| {
        let asked = asked(Operation::Delete, &object);
        chain.validate(&asked, None, Some(&object)).map_err(|status| status.message)
    };
    assert_eq!(delete(namespace("mine")), Ok(()));
    assert_eq!(delete(config_map()), Ok(()));
    for name in ["default", "kube-public", "kube-system"] {
        let why = format!("namespaces {name:?} is forbidden: this namespace may not be deleted");
        assert_eq!(delete(namespace(name)), Err(why));
    }
}

#[test]
fn a_plug_in_that_is_off_is_not_asked() {
    let chain = Chain::new(Objects::default(), &["NamespaceLifecycle"]);
    let object = config_map();
    let asked = asked(Operation::Create, &object);
    assert_eq!(chain.mutate(&asked, &mut config_map(), None), Ok(()));
}
