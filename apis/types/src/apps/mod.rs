//! apps.openshift.io.

pub mod v1;
