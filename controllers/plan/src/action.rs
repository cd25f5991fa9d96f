//! The actions a plan can ask for. Knows their shape; refuses to know how they are sent.

use std::borrow::Cow;

use k8s_openapi::Metadata;
use k8s_openapi::Resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use leme_meta::Object;
use serde::Serialize;
use serde_json::Value;

/// An object by kind and name, with the uid and resourceVersion it was seen with (either may be empty: not checked).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// Namespace, empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The uid that must still be there.
    pub uid: String,
    /// The resourceVersion that must still be there.
    pub resource_version: String,
}

impl ObjectRef {
    /// The reference of a typed object, with uid and resourceVersion.
    pub fn to<K: Resource + Metadata<Ty = ObjectMeta>>(object: &K) -> ObjectRef {
        ObjectRef::of_meta(K::API_VERSION, K::KIND, object.metadata())
    }

    /// The reference of an object known by its metadata.
    pub fn of_meta(api_version: &str, kind: &str, meta: &ObjectMeta) -> ObjectRef {
        ObjectRef {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
        }
    }

    /// The reference of an object as the API writes it; what is missing is empty.
    pub fn of_value(object: &Value) -> ObjectRef {
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let meta = &object["metadata"];
        ObjectRef {
            api_version: text(&object["apiVersion"]),
            kind: text(&object["kind"]),
            namespace: text(&meta["namespace"]),
            name: text(&meta["name"]),
            uid: text(&meta["uid"]),
            resource_version: text(&meta["resourceVersion"]),
        }
    }

    /// The same object, whatever its resourceVersion is by then; the uid is still checked.
    pub fn any_version(mut self) -> ObjectRef {
        self.resource_version.clear();
        self
    }

    /// The controlling ownerReference to this object.
    pub fn controller_ref(&self) -> OwnerReference {
        OwnerReference {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

/// What a delete does with dependents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// The kind's default.
    #[default]
    Default,
    /// Dependents go afterwards.
    Background,
    /// Dependents go first.
    Foreground,
    /// Dependents stay.
    Orphan,
}

/// The Events that tell of an action's outcome. `{name}` stands for the object's name, `{error}` for the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeEvents {
    /// The object that the Events are about.
    pub about: ObjectRef,
    /// Reason and message of success (Normal); an empty reason says nothing.
    pub done: (&'static str, Cow<'static, str>),
    /// Reason and message of failure (Warning); an empty reason says nothing.
    pub failed: (&'static str, Cow<'static, str>),
}

/// One thing to do to the API.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Creates an object.
    Create {
        /// The object, with `name` or `generateName`.
        object: Object,
        /// Events about it.
        told: Option<OutcomeEvents>,
    },
    /// Replaces an object, with its resourceVersion as precondition.
    Update {
        /// The whole object.
        object: Object,
        /// Events about it.
        told: Option<OutcomeEvents>,
    },
    /// JSON merge patch, with the target's uid and resourceVersion as preconditions.
    Patch {
        /// What is patched.
        target: ObjectRef,
        /// Empty, `status` or `scale`.
        subresource: &'static str,
        /// The patch, without preconditions.
        patch: Value,
        /// Only if this object still exists and is not being deleted, asked at the API itself.
        only_if: Option<ObjectRef>,
        /// Events about it.
        told: Option<OutcomeEvents>,
    },
    /// Deletes an object.
    Delete {
        /// What is deleted; uid and resourceVersion are preconditions where set.
        target: ObjectRef,
        /// Seconds of grace, `None` for the kind's default.
        grace: Option<u32>,
        /// What happens to dependents.
        propagation: Propagation,
        /// Events about it.
        told: Option<OutcomeEvents>,
    },
    /// Binds a pod to a node.
    Bind {
        /// The pod.
        pod: ObjectRef,
        /// The node's name.
        node: String,
        /// Events about it.
        told: Option<OutcomeEvents>,
    },
    /// Asks for something at a path below an object.
    Post {
        /// What is asked.
        target: ObjectRef,
        /// The last part of the path, such as `instantiate`.
        subresource: &'static str,
        /// What is sent.
        body: Value,
        /// Parts of refusals that mean that what is asked for has been done.
        done: &'static [&'static str],
        /// Events about it.
        told: Option<OutcomeEvents>,
    },
    /// Replaces a namespace through `finalize`.
    Finalize {
        /// The whole namespace with the finalizers that remain.
        namespace: Object,
    },
    /// Writes an Event.
    Event {
        /// What it is about.
        about: ObjectRef,
        /// Warning rather than Normal.
        warning: bool,
        /// Reason.
        reason: &'static str,
        /// Message.
        message: String,
    },
}

impl Action {
    /// Creates a typed object and tells nobody.
    pub fn create<K: Resource + Serialize>(object: &K) -> Action {
        Action::Create { object: to_object(object), told: None }
    }

    /// Replaces a typed object.
    pub fn update<K: Resource + Serialize>(object: &K) -> Action {
        Action::Update { object: to_object(object), told: None }
    }

    /// Merge-patches the status.
    pub fn status(target: ObjectRef, status: Value) -> Action {
        let patch = serde_json::json!({ "status": status });
        Action::Patch { target, subresource: "status", patch, only_if: None, told: None }
    }

    /// Merge-patches the object itself.
    pub fn patch(target: ObjectRef, patch: Value) -> Action {
        Action::Patch { target, subresource: "", patch, only_if: None, told: None }
    }

    /// Deletes with the kind's default grace and propagation.
    pub fn delete(target: ObjectRef) -> Action {
        Action::Delete { target, grace: None, propagation: Propagation::Default, told: None }
    }

    /// A Normal Event.
    pub fn normal(about: ObjectRef, reason: &'static str, message: impl Into<String>) -> Action {
        Action::Event { about, warning: false, reason, message: message.into() }
    }

    /// A Warning Event.
    pub fn warning(about: ObjectRef, reason: &'static str, message: impl Into<String>) -> Action {
        Action::Event { about, warning: true, reason, message: message.into() }
    }
}

/// A typed object as JSON. Kubernetes types always serialise: their maps have text keys.
pub fn to_object<K: Serialize>(object: &K) -> Object {
    Object(serde_json::to_value(object).unwrap_or_default())
}
