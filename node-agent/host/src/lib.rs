//! Effects made real: cgroups, mounts, network namespaces, OCI bundles, images.
