//! Pod network, service rules, cluster DNS and the HTTP router.
//!
//! Knows: bridges, veth pairs, addresses, nftables, DNS and HTTP on one node. Learns everything about the cluster through a
//! [`kube::Client`]. Refuses to know: how containers are run, what a pod is beyond an id and a network namespace, and where
//! the API lives. Several nodes joined by an overlay would add routes for [`pods::PodNetworkConfig::cluster_cidr`] beside
//! [`pods::PodNetwork::setup`]; nothing else here assumes one node.

pub mod check;
mod conntrack;
pub mod dns;
mod model;
mod nft;
pub mod pods;
pub mod proxy;
pub mod router;

pub use dns::{DnsConfig, Upstreams, run_dns};
pub use pods::{HostPort, PodNetwork, PodNetworkConfig};
pub use proxy::{ProxyConfig, run_service_proxy};
pub use router::{RouterConfig, run_router};

/// An IPv4 network: its first address and the length of its prefix.
pub type Cidr = (std::net::Ipv4Addr, u8);

/// Whether `address` lies in `cidr`.
pub(crate) fn contains(cidr: Cidr, address: std::net::Ipv4Addr) -> bool {
    let mask = mask(cidr.1);
    u32::from(cidr.0) & mask == u32::from(address) & mask
}

/// The netmask of a prefix length; lengths above 32 count as 32.
pub(crate) fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership() {
        let inside = |cidr: &str, prefix, ip: &str| {
            contains((cidr.parse().unwrap(), prefix), ip.parse().unwrap())
        };
        assert!(inside("10.244.0.0", 24, "10.244.0.255"));
        assert!(!inside("10.244.0.0", 24, "10.244.1.0"));
        assert!(inside("0.0.0.0", 0, "255.1.2.3"));
        assert!(inside("10.1.2.3", 32, "10.1.2.3"));
        assert!(!inside("10.1.2.3", 32, "10.1.2.4"));
    }
}
