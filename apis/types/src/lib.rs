//! The OpenShift API groups as typed structs, a module per group and version.
