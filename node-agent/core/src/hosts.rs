//! The text of a pod's `/etc/hosts`.
//!
//! Knows: its lines and their order, as programs look for them. Refuses to know: where the file is.

use crate::cri::SandboxConfig;

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
