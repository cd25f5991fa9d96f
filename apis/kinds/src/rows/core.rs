//! Rows of the Kubernetes groups: core, coordination and discovery.

use crate::columns::{core, event, network, node, pod, storage};
use crate::{Kind, SINGLY, Scope, Subresource, VERBS, selectable};

pub(super) const CONFIG_MAPS: Kind = Kind {
    group: "",
    version: "v1",
    kind: "ConfigMap",
    plural: "configmaps",
    singular: "configmap",
    short_names: &["cm"],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[],
    columns: core::CONFIG_MAP,
    selectable: &[],
    schema: "io.k8s.api.core.v1.ConfigMap",
};

pub(super) const ENDPOINTS: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Endpoints",
    plural: "endpoints",
    singular: "endpoints",
    short_names: &["ep"],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[],
    columns: network::ENDPOINTS,
    selectable: &[],
    schema: "io.k8s.api.core.v1.Endpoints",
};

pub(super) const ENDPOINT_SLICES: Kind = Kind {
    group: "discovery.k8s.io",
    version: "v1",
    kind: "EndpointSlice",
    plural: "endpointslices",
    singular: "endpointslice",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[],
    columns: network::ENDPOINT_SLICE,
    selectable: &[],
    schema: "io.k8s.api.discovery.v1.EndpointSlice",
};

pub(super) const EVENTS: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Event",
    plural: "events",
    singular: "event",
    short_names: &["ev"],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[],
    columns: event::EVENT,
    selectable: selectable::EVENT,
    schema: "io.k8s.api.core.v1.Event",
};

pub(super) const LEASES: Kind = Kind {
    group: "coordination.k8s.io",
    version: "v1",
    kind: "Lease",
    plural: "leases",
    singular: "lease",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[],
    columns: core::LEASE,
    selectable: &[],
    schema: "io.k8s.api.coordination.v1.Lease",
};

pub(super) const NAMESPACES: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Namespace",
    plural: "namespaces",
    singular: "namespace",
    short_names: &["ns"],
    categories: &[],
    scope: Scope::Cluster,
    verbs: SINGLY,
    subresources: &[Subresource::Status, Subresource::Finalize],
    columns: core::NAMESPACE,
    selectable: selectable::NAMESPACE,
    schema: "io.k8s.api.core.v1.Namespace",
};

pub(super) const NODES: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Node",
    plural: "nodes",
    singular: "node",
    short_names: &["no"],
    categories: &[],
    scope: Scope::Cluster,
    verbs: VERBS,
    subresources: &[Subresource::Status, Subresource::Proxy],
    columns: node::NODE,
    selectable: selectable::NODE,
    schema: "io.k8s.api.core.v1.Node",
};

pub(super) const PERSISTENT_VOLUMES: Kind = Kind {
    group: "",
    version: "v1",
    kind: "PersistentVolume",
    plural: "persistentvolumes",
    singular: "persistentvolume",
    short_names: &["pv"],
    categories: &[],
    scope: Scope::Cluster,
    verbs: VERBS,
    subresources: &[Subresource::Status],
    columns: storage::PERSISTENT_VOLUME,
    selectable: selectable::PERSISTENT_VOLUME,
    schema: "io.k8s.api.core.v1.PersistentVolume",
};

pub(super) const PERSISTENT_VOLUME_CLAIMS: Kind = Kind {
    group: "",
    version: "v1",
    kind: "PersistentVolumeClaim",
    plural: "persistentvolumeclaims",
    singular: "persistentvolumeclaim",
    short_names: &["pvc"],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[Subresource::Status],
    columns: storage::PERSISTENT_VOLUME_CLAIM,
    selectable: selectable::PERSISTENT_VOLUME_CLAIM,
    schema: "io.k8s.api.core.v1.PersistentVolumeClaim",
};

pub(super) const PODS: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Pod",
    plural: "pods",
    singular: "pod",
    short_names: &["po"],
    categories: &["all"],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[
        Subresource::Status,
        Subresource::Log,
        Subresource::Exec,
        Subresource::Attach,
        Subresource::PortForward,
        Subresource::Proxy,
        Subresource::Binding,
        Subresource::Eviction,
    ],
    columns: pod::POD,
    selectable: selectable::POD,
    schema: "io.k8s.api.core.v1.Pod",
};

pub(super) const POD_TEMPLATES: Kind = Kind {
    group: "",
    version: "v1",
    kind: "PodTemplate",
    plural: "podtemplates",
    singular: "podtemplate",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[],
    columns: core::POD_TEMPLATE,
    selectable: &[],
    schema: "io.k8s.api.core.v1.PodTemplate",
};

pub(super) const REPLICATION_CONTROLLERS: Kind = Kind {
    group: "",
    version: "v1",
    kind: "ReplicationController",
    plural: "replicationcontrollers",
    singular: "replicationcontroller",
    short_names: &["rc"],
    categories: &["all"],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[Subresource::Status, Subresource::Scale],
    columns: core::REPLICATION_CONTROLLER,
    selectable: selectable::REPLICATION_CONTROLLER,
    schema: "io.k8s.api.core.v1.ReplicationController",
};

pub(super) const SECRETS: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Secret",
    plural: "secrets",
    singular: "secret",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[],
    columns: core::SECRET,
    selectable: selectable::SECRET,
    schema: "io.k8s.api.core.v1.Secret",
};

pub(super) const SERVICES: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Service",
    plural: "services",
    singular: "service",
    short_names: &["svc"],
    categories: &["all"],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[Subresource::Status, Subresource::Proxy],
    columns: network::SERVICE,
    selectable: selectable::SERVICE,
    schema: "io.k8s.api.core.v1.Service",
};

pub(super) const SERVICE_ACCOUNTS: Kind = Kind {
    group: "",
    version: "v1",
    kind: "ServiceAccount",
    plural: "serviceaccounts",
    singular: "serviceaccount",
    short_names: &["sa"],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[],
    columns: core::SERVICE_ACCOUNT,
    selectable: &[],
    schema: "io.k8s.api.core.v1.ServiceAccount",
};
