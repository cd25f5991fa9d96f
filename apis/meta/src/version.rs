//! Which Kubernetes this is: the one home of the version that is served.
//!
//! Knows: the version whose API, behaviour and words are followed. Refuses to know: Leme's own version.

/// Major version.
pub const MAJOR: &str = "1";

/// Minor version; `k8s-openapi`'s feature in Cargo.toml follows it.
pub const MINOR: &str = "36";

/// The minor version whose objects and clients still fit.
pub const COMPATIBLE_MINOR: &str = "35";

/// `v1.36.0`, as nodes and documents name it.
pub const KUBERNETES: &str = "v1.36.0";

/// What probes call themselves.
pub const PROBE_USER_AGENT: &str = "kube-probe/1.36";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_says_the_same() {
        assert_eq!(KUBERNETES, format!("v{MAJOR}.{MINOR}.0"));
        assert_eq!(PROBE_USER_AGENT, format!("kube-probe/{MAJOR}.{MINOR}"));
    }
}
