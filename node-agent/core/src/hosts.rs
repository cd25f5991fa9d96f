//! A pod's names, and the text of its `/etc/hosts`.
//!
//! Knows: which names a pod has, the file's lines and their order, as programs look for them. Refuses to know: where the
//! file is.

use k8s_openapi::api::core::v1::Pod;

use crate::cri::SandboxConfig;
use crate::spec;

/// Longest name that the kernel keeps for a host.
const LONGEST_HOST_NAME: usize = 64;

/// A pod's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    /// Its own, without a domain.
    pub name: String,
    /// The domain of that, empty for none.
    pub domain: String,
    /// What its processes see as the host's name: one or both of these.
    pub kernel: String,
}

/// The names of a pod on the node `node`, in a cluster with this domain.
///
/// # Errors
/// When the whole name is to be the host's and is too long for that.
pub fn name(pod: &Pod, node: &str, domain: &str) -> Result<HostName, String> {
    let spec = spec::of(pod);
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if spec.host_network.unwrap_or(false) {
        return Ok(HostName {
            name: node.to_owned(),
            domain: String::new(),
            kernel: node.to_owned(),
        });
    }
    let id = spec::identity(pod);
    let name = given(&spec.hostname).unwrap_or(id.name);
    let name: String = name.chars().take(63).collect();
    let name = name.trim_end_matches(['-', '.']).to_owned();
    let domain = match given(&spec.subdomain) {
        Some(part) => format!("{part}.{}.svc.{}", id.namespace, domain),
        None => String::new(),
    };
    let full = spec.set_hostname_as_fqdn.unwrap_or(false) && !domain.is_empty();
    let kernel = if full { format!("{name}.{domain}") } else { name.clone() };
    if kernel.len() > LONGEST_HOST_NAME {
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {kernel} is too long \
             ({LONGEST_HOST_NAME} characters is the max, {} characters requested)",
            kernel.len()
        ));
    }
    Ok(HostName { name, domain, kernel })
}

/// The file for a sandbox with an address; `node` is the node's own file, for pods on its network.
pub fn text(config: &SandboxConfig, address: &str, node: &str) -> String {
    let mut text = String::new();
    if config.host_network {
        text += "# Kubernetes-managed hosts file (host network).\n";
        text += node;
        if !text.ends_with('\n') {
            text.push('\n');
        }
    } else {
        text += "# Kubernetes-managed hosts file.\n\
                 127.0.0.1\tlocalhost\n\
                 ::1\tlocalhost ip6-localhost ip6-loopback\n\
                 fe00::0\tip6-localnet\n\
                 fe00::0\tip6-mcastprefix\n\
                 fe00::1\tip6-allnodes\n\
                 fe00::2\tip6-allrouters\n";
        let own = [&config.host_name, &config.hostname];
        let name = own.into_iter().find(|name| !name.is_empty()).map_or("", String::as_str);
        match config.domain.as_str() {
            _ if address.is_empty() => {}
            "" => text += &format!("{address}\t{name}\n"),
            domain => text += &format!("{address}\t{name}.{domain}\t{name}\n"),
        }
    }
    if !config.host_aliases.is_empty() {
        text += "\n# Entries added by HostAliases.\n";
    }
    for (address, names) in &config.host_aliases {
        text += &format!("{address}\t{}\n", names.join("\t"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red without the header and the domain: programs do not know the file, `hostname -f` prints the short name.
    #[test]
    fn names_and_aliases() {
        let config = SandboxConfig {
            host_name: "one".into(),
            domain: "set.ns.svc.cluster.local".into(),
            host_aliases: vec![("10.1.1.1".into(), vec!["a".into(), "b.example".into()])],
            ..SandboxConfig::default()
        };
        let full = text(&config, "10.244.0.9", "");
        assert!(full.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
        let end = "10.244.0.9\tone.set.ns.svc.cluster.local\tone\n\n\
                   # Entries added by HostAliases.\n10.1.1.1\ta\tb.example\n";
        assert!(full.ends_with(end), "{full}");
        let plain = SandboxConfig { host_name: "one".into(), ..SandboxConfig::default() };
        assert!(text(&plain, "10.244.0.9", "").ends_with("ip6-allrouters\n10.244.0.9\tone\n"));
        let host = SandboxConfig { host_network: true, ..config };
        let want = "# Kubernetes-managed hosts file (host network).\n127.0.0.1 x\n\n\
                    # Entries added by HostAliases.\n10.1.1.1\ta\tb.example\n";
        assert_eq!(text(&host, "10.0.0.1", "127.0.0.1 x"), want);
    }
}
