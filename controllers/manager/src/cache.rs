//! The caches: typed for the kinds that plans look into, metadata only for all others.

use std::collections::HashMap;
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
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leme_controller_runtime::{CacheReader, Client, Index, Informer, Key, Resource};
use leme_kinds::{Kind, builtin};
use leme_plan::deployment_config::config::DeploymentConfig;
use leme_plan::deployment_config::images::ImageStream;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use crate::indices::{
    CONTROLLER, HELPER, NODE, SERVICE, TRACKED, of_service, uncontrolled,
};
use crate::indices::{JOBS, PODS, REVISIONS, ROLLOUTS, SETS, SLICES};
use crate::kinds::Kinds;

/// An object of which only the metadata is kept.
#[derive(Debug)]
pub(crate) struct Meta(pub(crate) ObjectMeta);

/// What has metadata.
pub(crate) trait HasMeta: Send + Sync + 'static {
    /// The metadata.
    fn meta(&self) -> &ObjectMeta;
}

impl HasMeta for Meta {
    fn meta(&self) -> &ObjectMeta {
        &self.0
    }
}

macro_rules! has_meta {
    ($($kind:ty),*) => {$(
        impl HasMeta for $kind {
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
        }
    )*};
}

has_meta!(
    Pod,
    Node,
    Namespace,
    Service,
    Endpoints,
    EndpointSlice,
    ReplicationController,
    ReplicaSet,
    Deployment,
    DeploymentConfig,
    ImageStream,
    DaemonSet,
    StatefulSet,
    ControllerRevision,
    HorizontalPodAutoscaler,
    Job,
    CronJob,
    Lease,
    PersistentVolume,
    PersistentVolumeClaim,
    PodDisruptionBudget
);

/// Called with an object's key and its metadata before and now.
pub(crate) type MetaHandler =
    Arc<dyn Fn(&Key, Option<&ObjectMeta>, Option<&ObjectMeta>) + Send + Sync>;

/// A cache of any kind, looked at only for metadata.
pub(crate) trait Metadata: Send + Sync {
    fn resource(&self) -> &Resource;
    fn meta(&self, key: &Key) -> Option<ObjectMeta>;
    fn on_meta(&self, handler: MetaHandler);
}

impl<T: HasMeta> Metadata for Informer<T> {
    fn resource(&self) -> &Resource {
        Informer::resource(self)
    }

    fn meta(&self, key: &Key) -> Option<ObjectMeta> {
        self.get(&key.0, &key.1).map(|object| object.meta().clone())
    }

    fn on_meta(&self, handler: MetaHandler) {
        self.on_change(Box::new(move |key, old, new| {
            handler(key, old.map(|object| object.meta()), new.map(|object| object.meta()));
        }));
    }
}

/// All caches, one per kind.
pub(crate) struct Cache {
    pub(crate) pods: Arc<Informer<Pod>>,
    pub(crate) nodes: Arc<Informer<Node>>,
    pub(crate) namespaces: Arc<Informer<Namespace>>,
    pub(crate) services: Arc<Informer<Service>>,
    pub(crate) endpoints: Arc<Informer<Endpoints>>,
    pub(crate) slices: Arc<Informer<EndpointSlice>>,
    pub(crate) replication: Arc<Informer<ReplicationController>>,
    pub(crate) replica_sets: Arc<Informer<ReplicaSet>>,
    pub(crate) deployments: Arc<Informer<Deployment>>,
    pub(crate) configs: Arc<Informer<DeploymentConfig>>,
    pub(crate) streams: Arc<Informer<ImageStream>>,
    pub(crate) daemon_sets: Arc<Informer<DaemonSet>>,
    pub(crate) stateful_sets: Arc<Informer<StatefulSet>>,
    pub(crate) revisions: Arc<Informer<ControllerRevision>>,
    pub(crate) autoscalers: Arc<Informer<HorizontalPodAutoscaler>>,
    pub(crate) jobs: Arc<Informer<Job>>,
    pub(crate) cron_jobs: Arc<Informer<CronJob>>,
    pub(crate) leases: Arc<Informer<Lease>>,
    pub(crate) volumes: Arc<Informer<PersistentVolume>>,
    pub(crate) claims: Arc<Informer<PersistentVolumeClaim>>,
    pub(crate) budgets: Arc<Informer<PodDisruptionBudget>>,
    /// Every other kind, metadata only.
    pub(crate) others: Vec<Arc<Informer<Meta>>>,
    /// Kinds that come and go.
    pub(crate) kinds: Arc<Kinds>,
}

/// Kinds that nothing owns and that come in great numbers.
fn is_cached(kind: &Kind) -> bool {
    kind.kind != "Event"
}

/// The resource of a kind that the program brings along.
pub(crate) fn resource(kind: &Kind) -> Resource {
    Resource {
        api_version: kind.api_version(),
        kind: kind.kind.to_string(),
        plural: kind.plural.to_string(),
        namespaced: kind.namespaced(),
    }
}

/// The resource of a kind in the table.
pub(crate) fn resolve(api_version: &str, kind: &str) -> Option<Resource> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    leme_kinds::by_kind(group, version, kind).map(|kind| resource(kind))
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
    let mut metadata: ObjectMeta = leme_controller_runtime::metadata(json)?;
    (metadata.managed_fields, metadata.annotations, metadata.labels) = (None, None, None);
    Ok(Meta(metadata))
}

fn informer<K>(namespaced: bool, indices: &'static [Index<K>]) -> Arc<Informer<K>>
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
    Informer::indexed(resource, typed::<K>, indices)
}

impl Cache {
    pub(crate) fn new() -> Cache {
        let mut cache = Cache {
            pods: informer(true, PODS),
            nodes: informer(false, &[]),
            namespaces: informer(false, &[]),
            services: informer(true, &[]),
            endpoints: informer(true, &[]),
            slices: informer(true, SLICES),
            replication: informer(true, ROLLOUTS),
            replica_sets: informer(true, SETS),
            deployments: informer(true, &[]),
            configs: informer(true, &[]),
            streams: informer(true, &[]),
            daemon_sets: informer(true, &[]),
            stateful_sets: informer(true, &[]),
            revisions: informer(true, REVISIONS),
            autoscalers: informer(true, &[]),
            jobs: informer(true, JOBS),
            cron_jobs: informer(true, &[]),
            leases: informer(true, &[]),
            volumes: informer(false, &[]),
            claims: informer(true, &[]),
            budgets: informer(true, &[]),
            others: Vec::new(),
            kinds: Arc::default(),
        };
        let known: Vec<Resource> = cache.all().iter().map(|one| one.resource().clone()).collect();
        cache.others = builtin()
            .filter(|kind| kind.is_kept() && is_cached(kind))
            .map(|kind| resource(kind))
            .filter(|resource| !known.contains(resource))
            .map(|resource| Informer::new(resource, meta_only))
            .collect();
        cache
    }

    /// All caches, for their metadata; the order never changes.
    pub(crate) fn all(&self) -> Vec<Arc<dyn Metadata>> {
        let mut all: Vec<Arc<dyn Metadata>> = vec![
            self.pods.clone(),
            self.nodes.clone(),
            self.namespaces.clone(),
            self.services.clone(),
            self.endpoints.clone(),
            self.slices.clone(),
            self.replication.clone(),
            self.replica_sets.clone(),
            self.deployments.clone(),
            self.configs.clone(),
            self.streams.clone(),
            self.daemon_sets.clone(),
            self.stateful_sets.clone(),
            self.revisions.clone(),
            self.autoscalers.clone(),
            self.jobs.clone(),
            self.cron_jobs.clone(),
            self.leases.clone(),
            self.volumes.clone(),
            self.claims.clone(),
            self.budgets.clone(),
        ];
        all.extend(self.others.iter().map(|one| one.clone() as Arc<dyn Metadata>));
        all
    }

    /// The cache of another kind.
    pub(crate) fn other(&self, api_version: &str, kind: &str) -> Option<&Arc<Informer<Meta>>> {
        self.others
            .iter()
            .find(|one| one.resource().kind == kind && one.resource().api_version == api_version)
    }

    /// What the executor waits for after its writes.
    pub(crate) fn caches(&self) -> HashMap<(String, String), Arc<dyn CacheReader>> {
        let mut caches: Vec<(Resource, Arc<dyn CacheReader>)> = vec![
            (self.pods.resource().clone(), self.pods.clone()),
            (self.nodes.resource().clone(), self.nodes.clone()),
            (self.namespaces.resource().clone(), self.namespaces.clone()),
            (self.services.resource().clone(), self.services.clone()),
            (self.endpoints.resource().clone(), self.endpoints.clone()),
            (self.slices.resource().clone(), self.slices.clone()),
            (self.replication.resource().clone(), self.replication.clone()),
            (self.replica_sets.resource().clone(), self.replica_sets.clone()),
            (self.deployments.resource().clone(), self.deployments.clone()),
            (self.configs.resource().clone(), self.configs.clone()),
            (self.streams.resource().clone(), self.streams.clone()),
            (self.daemon_sets.resource().clone(), self.daemon_sets.clone()),
            (self.stateful_sets.resource().clone(), self.stateful_sets.clone()),
            (self.revisions.resource().clone(), self.revisions.clone()),
            (self.autoscalers.resource().clone(), self.autoscalers.clone()),
            (self.jobs.resource().clone(), self.jobs.clone()),
            (self.cron_jobs.resource().clone(), self.cron_jobs.clone()),
            (self.leases.resource().clone(), self.leases.clone()),
            (self.volumes.resource().clone(), self.volumes.clone()),
            (self.claims.resource().clone(), self.claims.clone()),
            (self.budgets.resource().clone(), self.budgets.clone()),
        ];
        caches.extend(
            self.others
                .iter()
                .map(|one| (one.resource().clone(), one.clone() as Arc<dyn CacheReader>)),
        );
        caches
            .into_iter()
            .map(|(resource, cache)| ((resource.api_version, resource.kind), cache))
            .collect()
    }

    /// Keeps the caches that `kept` wants in tasks of their own.
    pub(crate) fn spawn(
        &self,
        kept: fn(&Resource) -> bool,
        client: &Client,
        token: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) {
        macro_rules! spawn {
            ($($cache:expr),*) => {$(
                if kept($cache.resource()) {
                    tasks.spawn($cache.clone().run(client.clone(), token.clone()));
                }
            )*};
        }
        spawn!(
            self.pods,
            self.nodes,
            self.namespaces,
            self.services,
            self.endpoints,
            self.slices,
            self.replication,
            self.replica_sets,
            self.deployments,
            self.configs,
            self.streams,
            self.daemon_sets,
            self.stateful_sets,
            self.revisions,
            self.autoscalers,
            self.jobs,
            self.cron_jobs,
            self.leases,
            self.volumes,
            self.claims,
            self.budgets
        );
        for other in self.others.iter().filter(|other| kept(other.resource())) {
            tasks.spawn(other.clone().run(client.clone(), token.clone()));
        }
    }

    /// Waits until those of the typed caches that are kept are filled, or `token` is cancelled.
    pub(crate) async fn synced(&self, kept: fn(&Resource) -> bool, token: &CancellationToken) {
        macro_rules! synced {
            ($($cache:expr),*) => {$( if kept($cache.resource()) { $cache.synced().await; } )*};
        }
        let all = async {
            synced!(
                self.namespaces,
                self.pods,
                self.nodes,
                self.services,
                self.endpoints,
                self.slices,
                self.replication,
                self.replica_sets,
                self.deployments,
                self.configs,
                self.streams,
                self.daemon_sets,
                self.stateful_sets,
                self.revisions,
                self.autoscalers,
                self.jobs,
                self.cron_jobs,
                self.leases,
                self.volumes,
                self.claims,
                self.budgets
            );
        };
        tokio::select! {
            () = token.cancelled() => {}
            () = all => {}
        }
    }
}
