//! build.openshift.io.

pub mod v1;
