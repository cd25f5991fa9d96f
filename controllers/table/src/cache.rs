//! The one cache: typed listers of the kinds that controllers look into, metadata only of all others.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{
    ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet,
};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod,
    ReplicationController, Service,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, StorageClass, VolumeAttachment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leme_kinds::{Kind, builtin};
use leme_lister::{AnyLister, HasMeta, Index, Key, Lister, Meta};
use leme_meta::resource::Resource;
use leme_plan::build::{Build, BuildConfig};
use leme_plan::deployment_config::config::DeploymentConfig;
use leme_plan::gateway::GatewayClass;
use leme_plan::image_stream::ImageStream;
use leme_plan::serving_cert;
use leme_plan::snapshot::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use serde::de::DeserializeOwned;

use crate::foreign::Foreign;
use crate::indices::{BUILDS, JOBS, PODS, REVISIONS, ROLLOUTS, SETS, SLICES};
pub use crate::indices::{
    CONFIG, CONTROLLER, HELPER, NODE, SERVICE, TRACKED, of_service, uncontrolled,
};

/// A kind that the cache keeps whole.
pub trait Kept: HasMeta + Sized {
    /// Its lister.
    fn of(cache: &Cache) -> &Arc<Lister<Self>>;
}

/// The kinds that are kept whole: the name of the lister, the type, whether it lives in namespaces, what it is found by.
macro_rules! cache {
    (
        built_in { $($field:ident: $kind:ty, $namespaced:literal, $indices:expr;)* }
        defined { $($late:ident: $defined:ty, $spaced:literal;)* }
    ) => {
        /// All listers, one per kind.
        pub struct Cache {
            $(
                #[doc = concat!("Every `", stringify!($kind), "`.")]
                pub $field: Arc<Lister<$kind>>,
            )*
            $(
                #[doc = concat!("Every `", stringify!($defined), "`, while that kind is defined.")]
                pub $late: Arc<Lister<$defined>>,
            )*
            /// Every other kind that the program brings along, metadata only.
            others: Vec<Arc<Lister<Meta>>>,
            /// Both, by number.
            all: Vec<Arc<dyn AnyLister>>,
            /// Kinds that come and go.
            pub foreign: Foreign,
        }

        $(impl Kept for $kind {
            fn of(cache: &Cache) -> &Arc<Lister<Self>> {
                &cache.$field
            }
        })*

        $(impl Kept for $defined {
            fn of(cache: &Cache) -> &Arc<Lister<Self>> {
                &cache.$late
            }
        })*

        impl Cache {
            fn without_others() -> Cache {
                Cache {
                    $($field: lister($namespaced, $indices),)*
                    $($late: lister($spaced, &[]),)*
                    others: Vec::new(),
                    all: Vec::new(),
                    foreign: Foreign::default(),
                }
            }

            /// The listers of the kinds that are kept whole.
            pub fn typed(&self) -> Vec<Arc<dyn AnyLister>> {
                vec![$(self.$field.clone()),*]
            }

            /// The listers of kinds that are kept whole while somebody defines them.
            pub fn defined(&self) -> Vec<Arc<dyn AnyLister>> {
                vec![$(self.$late.clone()),*]
            }
        }
    };
}

cache! {
    built_in {
        pods: Pod, true, PODS;
        nodes: Node, false, &[];
        namespaces: Namespace, false, &[];
        services: Service, true, &[];
        endpoints: Endpoints, true, &[];
        slices: EndpointSlice, true, SLICES;
        replication: ReplicationController, true, ROLLOUTS;
        replica_sets: ReplicaSet, true, SETS;
        deployments: Deployment, true, &[];
        configs: DeploymentConfig, true, &[];
        streams: ImageStream, true, &[];
        build_configs: BuildConfig, true, &[];
        builds: Build, true, BUILDS;
        daemon_sets: DaemonSet, true, &[];
        stateful_sets: StatefulSet, true, &[];
        revisions: ControllerRevision, true, REVISIONS;
        autoscalers: HorizontalPodAutoscaler, true, &[];
        jobs: Job, true, JOBS;
        cron_jobs: CronJob, true, &[];
        leases: Lease, true, &[];
        volumes: PersistentVolume, false, &[];
        claims: PersistentVolumeClaim, true, &[];
        classes: StorageClass, false, &[];
        cluster_roles: ClusterRole, false, &[];
        drivers: CSIDriver, false, &[];
        csi_nodes: CSINode, false, &[];
        attachments: VolumeAttachment, false, &[];
        budgets: PodDisruptionBudget, true, &[];
    }
    defined {
        snapshots: VolumeSnapshot, true;
        contents: VolumeSnapshotContent, false;
        snapshot_classes: VolumeSnapshotClass, false;
        gateway_classes: GatewayClass, false;
    }
}

/// Kinds that nothing owns and that come in great numbers.
fn is_cached(kind: &Kind) -> bool {
    kind.kind != "Event"
}

/// The resource of a kind that the program brings along.
pub fn resource(kind: &Kind) -> Resource {
    Resource {
        api_version: kind.api_version(),
        kind: kind.kind.to_string(),
        plural: kind.plural.to_string(),
        namespaced: kind.namespaced(),
    }
}

fn typed<K>(json: &str) -> Result<K, serde_json::Error>
where
    K: k8s_openapi::Metadata<Ty = ObjectMeta> + DeserializeOwned,
{
    let mut object: K = serde_json::from_str(json)?;
    object.metadata_mut().managed_fields = None;
    Ok(object)
}

/// An object of which only the metadata is kept, and of that not what nobody looks at.
pub(crate) fn meta_only(json: &str) -> Result<Meta, serde_json::Error> {
    let mut metadata: ObjectMeta = leme_meta::lean::metadata(json)?;
    (metadata.managed_fields, metadata.labels) = (None, None);
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| serving_cert::is_concerned(name));
    }
    metadata.annotations = metadata.annotations.filter(|left| !left.is_empty());
    Ok(Meta(metadata))
}

fn lister<K>(namespaced: bool, indices: &'static [Index<K>]) -> Arc<Lister<K>>
where
    K: k8s_openapi::Resource
        + k8s_openapi::Metadata<Ty = ObjectMeta>
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let resource = Resource {
        api_version: K::API_VERSION.to_owned(),
        kind: K::KIND.to_owned(),
        plural: K::URL_PATH_SEGMENT.to_owned(),
        namespaced,
    };
    Lister::new(resource, typed::<K>, indices)
}

impl Cache {
    /// A cache of nothing yet.
    pub fn new() -> Arc<Cache> {
        let mut cache = Cache::without_others();
        let known: Vec<Resource> = cache.typed().iter().map(|one| one.resource().clone()).collect();
        cache.others = builtin()
            .filter(|kind| kind.is_kept() && is_cached(kind))
            .map(|kind| resource(kind))
            .filter(|resource| !known.contains(resource))
            .map(|resource| Lister::new(resource, meta_only, &[]))
            .collect();
        cache.all = cache.typed();
        cache.all.extend(cache.others.iter().map(|one| one.clone() as Arc<dyn AnyLister>));
        cache.foreign = Foreign::numbered_from(cache.all.len());
        Arc::new(cache)
    }

    /// The listers of all kinds that the program brings along; their places are their numbers and never change.
    pub fn all(&self) -> &[Arc<dyn AnyLister>] {
        &self.all
    }

    /// The lister of a kind of which only metadata is kept.
    pub fn other(&self, api_version: &str, kind: &str) -> Option<&Arc<Lister<Meta>>> {
        self.others
            .iter()
            .find(|one| one.resource().kind == kind && one.resource().api_version == api_version)
    }

    /// The lister of a number.
    pub(crate) fn numbered(&self, number: usize) -> Option<Arc<dyn AnyLister>> {
        self.all.get(number).cloned().or_else(|| self.foreign.numbered(number))
    }

    /// The metadata of an object of any kind.
    pub(crate) fn meta(&self, resource: &Resource, key: &Key) -> Option<ObjectMeta> {
        let own = self.all.iter().find(|one| one.resource() == resource).cloned();
        own.or_else(|| self.foreign.of(resource))?.meta(key)
    }

    /// The resource of any kind that is served.
    pub fn resolve(&self, api_version: &str, kind: &str) -> Option<Resource> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let own = leme_kinds::by_kind(group, version, kind).map(|kind| resource(kind));
        own.or_else(|| self.foreign.resolve(api_version, kind))
    }
}
