//! What takes a right of its own: images of other namespaces, the image of builders.

use leme_access::Policy;
use leme_registry::User;

use super::*;

struct World(Objects, Arc<Policy>);

impl Facts for &World {
    fn get(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, Status> {
        self.0.get(of, namespace, name)
    }

    fn list(&self, of: &Seen, namespace: &str) -> Result<Vec<Arc<Value>>, Status> {
        self.0.list(of, namespace)
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.1)
    }
}

/// What becomes of a write by somebody with these rules, in every namespace.
fn write(rules: &Value, new: &Value, old: Option<&Value>) -> Result<(), String> {
    let role = json!({ "rules": rules });
    let binding = json!({ "roleRef": { "kind": "ClusterRole", "name": "r" },
        "subjects": [{ "kind": "User", "name": "jo" }] });
    let policy = Policy::default().with("ClusterRole", ("", "r"), Some(&role));
    let policy = policy.with("ClusterRoleBinding", ("", "r"), Some(&binding));
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "default", "namespace": "ns" } });
    let world = World(Objects::of(&[namespace("ns"), account]), Arc::new(policy));
    let (groups, extra) = ([], BTreeMap::new());
    let user = User { name: "jo", uid: "", groups: &groups, extra: &extra };
    let operation = if old.is_some() { Operation::Update } else { Operation::Create };
    let chain = Chain::new(&world, &[]);
    let asked = Asked { user: Some(user), ..asked(operation, new) };
    let mut made = new.clone();
    let done = chain.mutate(&asked, &mut made, old);
    done.and_then(|()| chain.validate(&asked, Some(&made), old)).map_err(|status| status.message)
}

/// Red when a tag gives its stream the image of a namespace whose images whoever writes it may not have.
#[test]
fn only_who_may_pull_there_names_images_of_another_namespace() {
    let stream = |from: Value| {
        json!({ "apiVersion": "image.openshift.io/v1", "kind": "ImageStream",
            "metadata": { "name": "mine", "namespace": "ns" },
            "spec": { "tags": [{ "name": "a", "from": from }] } })
    };
    let tag = json!({ "kind": "ImageStreamTag", "name": "out:latest", "namespace": "pb" });
    let image = json!({ "kind": "ImageStreamImage", "name": "out@sha256:1", "namespace": "pb" });
    let may = json!([{ "verbs": ["get"], "apiGroups": ["image.openshift.io"], "resources": ["imagestreams/layers"] }]);
    for from in [&tag, &image] {
        let new = stream(from.clone());
        assert_eq!(write(&may, &new, None), Ok(()));
        let refused = write(&json!([]), &new, None).unwrap_err();
        assert!(refused.contains("spec.tags[a].from: Forbidden: pb/out"), "{refused}");
        assert_eq!(write(&json!([]), &new, Some(&new)), Ok(()), "what it has it keeps");
    }
    let own = json!({ "kind": "ImageStreamTag", "name": "out:latest" });
    assert_eq!(write(&json!([]), &stream(own), None), Ok(()));
    let view = json!({ "apiVersion": "image.openshift.io/v1", "kind": "ImageStreamTag",
        "metadata": { "name": "mine:a", "namespace": "ns" }, "tag": { "name": "a", "from": tag } });
    assert!(write(&json!([]), &view, None).unwrap_err().contains("tag.from: Forbidden: pb/out"));
}

/// Red when anybody runs what every node runs as the root of its own users.
#[test]
fn the_image_of_builders_is_for_builds() {
    let may = json!([{ "verbs": ["use"], "apiGroups": ["build.openshift.io"], "resources": ["builders"] }]);
    let mut other = pod();
    for image in [
        "leme.io/builder",
        "leme.io/builder:latest",
        "leme.io/builder@sha256:1",
        " leme.io/builder ",
    ] {
        other["spec"]["containers"][0]["image"] = image.into();
        assert_eq!(write(&may, &other, None), Ok(()));
        let refused = write(&json!([]), &other, None).unwrap_err();
        assert!(refused.contains("is for the pods of builds"), "{refused}");
        assert!(write(&json!([]), &other, Some(&pod())).is_err(), "an image put in later");
        assert_eq!(write(&json!([]), &other, Some(&other.clone())), Ok(()));
    }
    other["spec"]["containers"][0]["image"] = "leme.io/builders".into();
    assert_eq!(write(&json!([]), &other, None), Ok(()));
}
