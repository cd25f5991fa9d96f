//! image.openshift.io.

pub mod v1;
