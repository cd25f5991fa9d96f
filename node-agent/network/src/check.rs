//! Whether this machine can carry a pod network, before anything is changed. Knows the tools and kernel features that the other
//! modules take for granted; every failure is one line that ends with the next step.

use crate::nft;

/// Asks the kernel for each feature the rules use, without keeping anything.
const PROBE: &str = "table ip leme-probe {
map verdicts { type ipv4_addr . inet_proto . inet_service : verdict; }
map slots { typeof ip daddr . meta l4proto . th dport . numgen random mod 65536 : ip daddr . th dport; }
map clients { typeof ip saddr . ip daddr . meta l4proto . th dport : ip daddr . th dport; flags dynamic,timeout; size 1024; }
chain keep { ct state new ct status dnat meta l4proto tcp update @clients { ip saddr . ct original ip daddr . meta l4proto . \
ct original proto-dst timeout 10s : ip daddr . th dport }; }
chain draw { dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 2 map @slots; }
chain in { type nat hook prerouting priority dstnat; ip daddr . meta l4proto . th dport vmap @verdicts; fib daddr type local accept; }
chain out { type nat hook postrouting priority srcnat; ct status dnat masquerade fully-random; }
chain dead { type filter hook prerouting priority filter; fib daddr oif missing meta l4proto tcp reject with tcp reset; }
chain pass { type filter hook forward priority filter; meta l4proto tcp reject with tcp reset; }
}
";

/// What the names of the bridges begin with, for firewall rules.
const BRIDGES: &str = "leme";

/// What keeps a pod network from working here; empty when nothing does.
pub async fn preflight() -> Vec<String> {
    if !nix::unistd::geteuid().is_root() {
        return vec!["the pod network needs root: run this as root, for example with sudo".into()];
    }
    let mut failures = Vec::new();
    if nft::program().is_none() {
        failures.push("nft is not installed: apt-get install nftables".into());
    } else if let Err(error) = nft::dry_run(PROBE).await {
        failures.push(format!(
            "this kernel does not take the service rules ({error:#}): load nf_tables, nft_chain_nat, nft_ct, \
             nft_numgen, nft_fib_ipv4, nft_masq and nft_reject_ipv4 with modprobe"
        ));
    } else {
        failures.extend(forwarding_dropped().await);
    }
    if let Err(error) = std::fs::metadata("/proc/sys/net/ipv4/ip_forward") {
        failures.push(format!("no IPv4 forwarding ({error}): mount /proc and enable IPv4"));
    }
    failures
}

/// Other programs' firewalls come before ours: Docker's, for one, drops what it does not know.
async fn forwarding_dropped() -> Option<String> {
    let chain = nft::chain("filter", "FORWARD").await?;
    let accepts = |direction: &str| {
        let matched = format!("{direction} \"{BRIDGES}");
        chain.lines().any(|line| line.contains(&matched) && line.trim_end().ends_with("accept"))
    };
    if !chain.contains("policy drop") || (accepts("iifname") && accepts("oifname")) {
        return None;
    }
    Some(format!(
        "the firewall of this machine drops what pods send each other (chain FORWARD has the policy DROP): \
         iptables -I FORWARD -i {BRIDGES}+ -j ACCEPT && iptables -I FORWARD -o {BRIDGES}+ -j ACCEPT"
    ))
}
