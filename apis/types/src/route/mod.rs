//! route.openshift.io.

pub mod v1;
