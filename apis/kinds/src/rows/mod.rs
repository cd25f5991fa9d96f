//! The rows, a module per family of groups, sorted by resource within a group as discovery lists them.

mod core;
mod openshift;

use crate::Kind;

/// Every row.
pub(crate) static ALL: &[Kind] = &[
    core::CONFIG_MAPS,
    core::ENDPOINTS,
    core::EVENTS,
    core::NAMESPACES,
    core::NODES,
    core::PERSISTENT_VOLUME_CLAIMS,
    core::PERSISTENT_VOLUMES,
    core::PODS,
    core::POD_TEMPLATES,
    core::REPLICATION_CONTROLLERS,
    core::SECRETS,
    core::SERVICE_ACCOUNTS,
    core::SERVICES,
    openshift::DEPLOYMENT_CONFIGS,
    openshift::BUILD_CONFIGS,
    openshift::BUILDS,
    core::LEASES,
    core::ENDPOINT_SLICES,
    openshift::IMAGE_STREAMS,
    openshift::ROUTES,
];
